"""Bytes on their way to an object, which is not there for anybody before `publish()`; files and formats live above.

    write()     fills a part in memory; a full one goes to the store, two at a time, while the next is being filled
    publish()   nothing sent yet: one PUT, else the last part and CompleteMultipartUpload
    abort()     waits for parts that are on their way, AbortMultipartUpload

An upload that is dropped, or still open when the interpreter ends, is aborted; one of a process that was killed stays
in the store, unseen, until `etlctl gc --s3` or a lifecycle rule of the bucket removes it.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from etlctl import faultpoints
from etlctl.core import context
from etlctl.errors import TaskError
from etlctl.s3.address import S3Address
from etlctl.s3.client import client
from etlctl.s3.errors import status_of, translating
from etlctl.s3.multipart import PART_BYTES, Multipart, body_checks
from etlctl.s3.options import TOKEN, checked

_CONFLICT_PAUSES_S = (0.2, 0.4, 0.8, 1.6)
"""Between the tries of a PUT that met another one: S3 answers 409 while neither has won."""


class Upload:
    """One object being written; used by one thread at a time."""

    def __init__(
        self,
        address: S3Address,
        *,
        if_absent: bool = False,
        options: Mapping[str, Any] | None = None,
        part_bytes: int = PART_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = address
        self.published: bool | None = None
        """None while open; then True when these bytes are what is there, False when they were discarded."""
        self.size = 0
        self._doing = f"writing {address.shown}"
        if address.key.endswith("/"):
            raise TaskError(f"{self._doing}: the key names a folder: leave the '/' at the end out to write an object")
        self._options = checked(options or {}, self._doing)
        self._token = os.urandom(16).hex()
        self._options["Metadata"] = {**self._options.get("Metadata", {}), TOKEN: self._token}
        self._if_absent = if_absent
        self._part_bytes = part_bytes
        self._sleep = sleep
        self._owner = os.getpid()
        self._failed = False
        self._buffer = bytearray()
        self._multipart: Multipart | None = None
        self._forgotten: weakref.finalize[[], Upload] | None = None
        self._client = client()

    def write(self, data: Any) -> int:
        """Takes all of `data`; its length in bytes. TransientError, UnavailableError or TaskError from the store."""
        self._check()
        with memoryview(data) as given, given.cast("B") as view:
            taken = 0
            while taken < view.nbytes:
                room = self._wanted_bytes() - len(self._buffer)
                self._buffer += view[taken : taken + room]
                taken += min(room, view.nbytes - taken)
                if len(self._buffer) >= self._wanted_bytes():
                    self._send()
            self.size += view.nbytes
            return view.nbytes

    def publish(self) -> None:
        """Makes the bytes the object, or, with `if_absent` where one is there, discards them; on failure aborts.

        Where the answer is lost, the store is asked whose object is there, so that a write that took place counts.
        """
        try:
            self._check()
            faultpoints.point("s3.written")
            is_ours = self._put() if self._multipart is None else self._complete(self._multipart)
        except BaseException:
            self.abort()
            raise
        self._settle(is_ours)
        if is_ours:
            faultpoints.point("s3.published")
            return
        context.attempt().notes.append(
            f"{self.address.shown} was there already: the first one stays, what this run wrote is discarded"
        )

    def abort(self) -> None:
        """Discards all; after publish() it does nothing. What the store will not remove is told in the summary."""
        if self.published is None:
            multipart = self._multipart if self._forgotten is not None and self._forgotten.alive else None
            self._settle(False)
            if multipart is None or os.getpid() != self._owner:  # a forked child leaves its parent's upload alone
                return
            self._discard(multipart)

    def _discard(self, multipart: Multipart) -> None:
        if not multipart.abort():
            context.attempt().notes.append(
                f"an unfinished upload of {self.address.shown} could not be removed: `etlctl gc --s3` does that"
            )

    def _check(self) -> None:
        if os.getpid() != self._owner:
            raise TaskError(f"{self._doing}: process {self._owner} opened it, which alone can write it")
        if self.published is not None:
            raise ValueError(f"{self._doing}: it is closed")
        if self._failed:
            raise TaskError(f"{self._doing}: a part failed before, so nothing of it is published")

    def _wanted_bytes(self) -> int:
        sent = 0 if self._multipart is None else self._multipart.sent
        return Multipart.part_bytes(sent, self._part_bytes)

    def _send(self) -> None:
        try:
            with translating(self._doing):
                if self._multipart is None:
                    self._multipart = Multipart(self._client, self.address, self._options)
                    self._forgotten = weakref.finalize(self, self._multipart.abandon)
                    faultpoints.point("s3.created")
                full, self._buffer = self._buffer, bytearray()
                self._multipart.send(full)
        except BaseException:
            self._failed = True
            raise

    def _put(self) -> bool:
        """Whether this is now the object; one PUT."""
        if self._if_absent and self._is_there():
            return False
        condition = {"IfNoneMatch": "*"} if self._if_absent else {}
        body = {"Body": self._buffer, **body_checks(self._client, self._buffer)}
        faultpoints.point("s3.completing")
        with translating(self._doing):
            for pause_s in (*_CONFLICT_PAUSES_S, None):
                try:
                    self._client.put_object(**self._place, **self._options, **body, **condition)
                    break
                except Exception as error:
                    status = status_of(error)
                    is_met = self._if_absent and status in (409, 412)
                    if (is_met or status == 0 or status >= 500) and self._is_ours():
                        break
                    if not is_met:
                        raise
                    if status == 412 or self._is_there():
                        return False
                    if pause_s is None:
                        raise
                    self._sleep(pause_s)
        return True

    def _complete(self, multipart: Multipart) -> bool:
        """Whether this is now the object; the upload is gone in any case, or an error is raised."""
        with translating(self._doing):
            if self._buffer:
                multipart.send(self._buffer)
            parts = multipart.finish()
            if self._if_absent and self._is_there():
                self._discard(multipart)
                return False
            faultpoints.point("s3.completing")
            try:
                multipart.complete(parts, if_absent=self._if_absent)
                return True
            except Exception as error:
                if self._is_ours():
                    return True
                if self._if_absent and status_of(error) in (409, 412) and self._is_there():
                    self._discard(multipart)
                    return False
                raise

    def _is_there(self) -> bool:
        """Whether the store says so; where it does not say, the conditional write decides."""
        return self._metadata() is not None

    def _is_ours(self) -> bool:
        """Whether what is there was written by this very upload."""
        metadata = self._metadata() or {}
        return any(name.lower() == TOKEN and value == self._token for name, value in metadata.items())

    def _metadata(self) -> Mapping[str, str] | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found: Mapping[str, str] = self._client.head_object(**self._place).get("Metadata", {})
        except (BotoCoreError, ClientError):  # absent, or no right to look: the write itself tells more
            return None
        return found

    @property
    def _place(self) -> dict[str, str]:
        return {"Bucket": self.address.bucket, "Key": self.address.key}

    def _settle(self, is_ours: bool) -> None:
        self.published = is_ours
        self._buffer = bytearray()
        self._multipart = None
        if self._forgotten is not None:
            self._forgotten.detach()
