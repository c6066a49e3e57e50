"""An object read as a stream, the same one from beginning to end; what its bytes mean is not known here.

open_object(address)      GET; FileNotFoundError where nothing is there
  read …                  from the body of that answer
  the connection breaks   GET of the rest: Range, and If-Match of the first answer's ETag
  seek()                  GET from there, when it is read
"""

from __future__ import annotations

import contextlib
import errno
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from etlctl.errors import TransientError
from etlctl.s3.address import S3Address
from etlctl.s3.client import client, settings
from etlctl.s3.errors import code_of, is_lost, status_of, translating

BUFFER_BYTES = 1024 * 1024
"""What one read asks the connection for at most; lines are cut from it in memory."""
_PAUSE_S = 0.5
_MOST_PAUSE_S = 8.0


class ObjectStream(io.BufferedReader):
    """A binary file, buffered; can be sought. Closing it early closes its connection."""

    raw: ObjectReader

    def __init__(self, raw: ObjectReader) -> None:
        super().__init__(raw, BUFFER_BYTES)

    @property
    def etag(self) -> str:
        """Of the object that is being read, with its quotes, as the store gives it."""
        return self.raw.etag

    @property
    def size(self) -> int:
        """Of the whole object, in bytes."""
        return self.raw.size

    @property
    def updated_at(self) -> datetime:
        """When the object was written, aware UTC, by the store's clock."""
        return self.raw.updated_at


def open_object(address: S3Address, *, sleep: Callable[[float], None] = time.sleep) -> ObjectStream:
    """Opens an object; FileNotFoundError where the bucket is there and the object is not.

    A connection that breaks while it is read is made again where it broke, as often as `max_attempts` in `[s3]` says
    without a byte in between, and only for the same object: TransientError when that was replaced meanwhile, or when
    the store stays away. UnavailableError for credentials, rights, region or bucket.
    """
    return ObjectStream(ObjectReader(address, sleep=sleep))


class ObjectReader(io.RawIOBase):
    """The unbuffered file under an ObjectStream."""

    def __init__(self, address: S3Address, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.name = str(address)
        self.address = address
        self._client = client()
        self._most_failures = settings().max_attempts
        self._sleep = sleep
        self._at = 0
        self._body: Any = None
        answer = self._get()
        self.etag = str(answer["ETag"])
        self.size = int(answer["ContentLength"])
        self.updated_at: datetime = answer["LastModified"].astimezone(UTC)
        self._body = answer["Body"]

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is: each jump costs a request when it is read from."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        self._check_open()
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves there; asks the store for nothing yet."""
        self._check_open()
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}.get(whence)
        if start is None:
            raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        if start + offset < 0:
            raise OSError(errno.EINVAL, "a place before the beginning", self.name)
        if start + offset != self._at:
            self._drop_body()
            self._at = start + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fills a part of `buffer`; 0 at the end, and there only."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        if self._at >= self.size or not view.nbytes:
            self._check_whole()
            return 0
        data = self._read(view.nbytes)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Gives the connection back, or closes it when something is left to read."""
        if not self.closed:
            self._drop_body()
        super().close()

    def _read(self, most: int) -> bytes:
        """At least one byte, from a new connection where the old one broke."""
        failures = 0
        while True:
            try:
                if self._body is None:
                    self._body = self._resumed()
                data: bytes = self._body.read(most)
                if data:
                    return data
                broken: Exception = ConnectionError("the answer ended before the object did")
            except Exception as error:
                if not is_lost(error):
                    self._drop_body()
                    raise
                broken = error
            failures += 1
            self._drop_body()
            if failures >= self._most_failures:
                raise TransientError(
                    f"reading {self.address.shown}: the connection broke {failures} times at byte {self._at:,} of "
                    f"{self.size:,} ({type(broken).__name__}): run again."
                ) from broken
            self._sleep(min(_PAUSE_S * 2 ** (failures - 1), _MOST_PAUSE_S))

    def _resumed(self) -> Any:
        """The body of an answer that goes on at `_at`, of the very object that was opened."""
        answer = self._get(Range=f"bytes={self._at}-", IfMatch=self.etag)
        began = str(answer.get("ContentRange", ""))
        if answer["ETag"] != self.etag:  # a store that does not know If-Match
            answer["Body"].close()
            raise self._changed()
        if began != f"bytes {self._at}-{self.size - 1}/{self.size}":
            answer["Body"].close()
            raise TransientError(
                f"reading {self.address.shown}: the store answered with {began or 'the whole object'} where the part "
                f"from byte {self._at:,} was asked for: it cannot go on after a lost connection. Run again."
            )
        return answer["Body"]

    def _get(self, **more: Any) -> Any:
        doing = f"reading {self.address.shown}"
        with translating(doing):
            try:
                return self._client.get_object(Bucket=self.address.bucket, Key=self.address.key, **more)
            except self._client.exceptions.ClientError as error:
                if code_of(error) in ("NoSuchKey", "404"):
                    if more:
                        raise self._changed() from error
                    raise FileNotFoundError(errno.ENOENT, "there is no such object", self.address.shown) from error
                if status_of(error) == 412:
                    raise self._changed() from error
                raise

    def _changed(self) -> TransientError:
        return TransientError(
            f"reading {self.address.shown}: the object was replaced or removed while it was being read, at byte "
            f"{self._at:,} of {self.size:,}: run again, which reads the new one from its beginning."
        )

    def _check_whole(self) -> None:
        """Reads the end of an answer that is through, at which botocore compares its checksum where one came along."""
        if self._body is None or self._at > self.size:
            return
        from botocore.exceptions import FlexibleChecksumError

        try:
            self._body.read(1)
        except FlexibleChecksumError as error:
            raise TransientError(
                f"reading {self.address.shown}: what came is not what was stored: run again."
            ) from error
        except Exception as error:
            if not is_lost(error):
                raise
        self._drop_body()

    def _drop_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            with contextlib.suppress(Exception):  # what is left of a broken connection tells nothing
                body.close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
