"""One multipart upload: its parts, sent by two threads, and its end; what is uploaded and why is not known here."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etlctl import faultpoints
from etlctl.errors import TaskError
from etlctl.s3.address import S3Address
from etlctl.s3.errors import code_of

if TYPE_CHECKING:
    from concurrent.futures import Future

PART_BYTES = 8 * 1024 * 1024
"""Of the first thousand parts; S3 takes none under 5 MiB but the last."""
MOST_PARTS = 10_000
_MOST_PART_BYTES = 1700 * 1024 * 1024
"""Under 2 GiB, which some TLS libraries take for one write; with it 10,000 parts hold more than S3's 5 TiB."""
_GROWS_EVERY = 1_000
_AT_ONCE = 2
_LARGE_BYTES = 64 * 1024 * 1024
"""Parts above this go one at a time, for the memory's sake."""
_THREAD = "etlctl-s3-part"


def body_checks(client: Any, body: bytes | bytearray) -> dict[str, str]:
    """The checksum that goes with a body: none where botocore adds its CRC32, else the MD5 that every store knows."""
    if _adds_crc(client):
        return {}
    import base64
    import hashlib  # heavy, as it brings OpenSSL

    return {"ContentMD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}


class Multipart:
    """An upload that the store knows of, from CreateMultipartUpload to its completion or abortion."""

    def __init__(self, client: Any, address: S3Address, options: Mapping[str, Any]) -> None:
        from concurrent.futures import ThreadPoolExecutor  # heavy: `list` and `show` write nothing

        self.sent = 0
        """Parts handed over so far."""
        self._client = client
        self._owner = os.getpid()
        self._shown = address.shown
        checksum = {"ChecksumAlgorithm": "CRC32"} if _adds_crc(client) else {}
        made = client.create_multipart_upload(Bucket=address.bucket, Key=address.key, **options, **checksum)
        self._upload = {"Bucket": address.bucket, "Key": address.key, "UploadId": made["UploadId"]}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=_THREAD)
        self._pending: deque[Future[dict[str, Any]]] = deque()
        self._done: list[dict[str, Any]] = []
        self._is_stopped = threading.Event()

    @staticmethod
    def part_bytes(sent: int, first: int = PART_BYTES) -> int:
        """The size of the next part: it doubles every thousand parts, so that the memory stays small for small ones."""
        return min(first << (sent // _GROWS_EVERY), _MOST_PART_BYTES)

    def send(self, part: bytearray) -> None:
        """Hands a part over, which is then the upload's own; waits while two are on their way. Raises what one met."""
        if self.sent >= MOST_PARTS:
            raise TaskError(f"writing {self._shown}: the object is larger than the 5 TiB that S3 takes: split it")
        most = 1 if len(part) > _LARGE_BYTES else _AT_ONCE
        while len(self._pending) >= most:
            self._take_oldest()
        self.sent += 1
        self._pending.append(self._pool.submit(self._put, self.sent, part))

    def finish(self) -> list[dict[str, Any]]:
        """Waits for all parts; their numbers, ETags and checksums, in order."""
        while self._pending:
            self._take_oldest()
        self._pool.shutdown()
        return self._done

    def complete(self, parts: list[dict[str, Any]], *, if_absent: bool) -> None:
        """Makes the parts the object. botocore takes an error in an answer of status 200 for one, and tries again."""
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        self._client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": parts}, **condition)

    def abort(self) -> bool:
        """Ends the upload without an object, once no part is on its way; False where the store would not hear of it."""
        self._is_stopped.set()
        if not threading.current_thread().name.startswith(_THREAD):
            from concurrent.futures import wait

            wait(self._pending)  # a part that arrives after the abortion would stay for ever
            self._pool.shutdown()
        try:
            self._client.abort_multipart_upload(**self._upload)
        except Exception as error:  # noqa: BLE001  whatever it is, the error that led here matters more
            return code_of(error) == "NoSuchUpload"
        return True

    def abandon(self) -> None:
        """`abort()` for an upload that nobody holds any longer, at whatever moment and in whatever thread that is."""
        if os.getpid() != self._owner:
            return
        if threading.current_thread().name.startswith(_THREAD):  # the collector's: it must not wait for itself
            threading.Thread(target=self.abort, name="etlctl-s3-abort").start()
        else:
            self.abort()

    def _take_oldest(self) -> None:
        self._done.append(self._pending[0].result())
        self._pending.popleft()

    def _put(self, number: int, part: bytearray) -> dict[str, Any]:
        if self._is_stopped.is_set():
            raise TaskError(f"writing {self._shown}: the upload was aborted")
        answer = self._client.upload_part(
            **self._upload, PartNumber=number, Body=part, **body_checks(self._client, part)
        )
        faultpoints.point("s3.part")
        checks = {
            name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"
        }
        return {"PartNumber": number, "ETag": answer["ETag"], **checks}


def _adds_crc(client: Any) -> bool:
    return bool(client.meta.config.request_checksum_calculation == "when_supported")
