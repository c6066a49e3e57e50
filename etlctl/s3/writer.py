"""ObjectWriter: an object open for writing, as a binary file; how its bytes get there is `upload.py`'s."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from etlctl.s3.address import S3Address
from etlctl.s3.multipart import PART_BYTES
from etlctl.s3.upload import Upload


class ObjectWriter(io.RawIOBase):
    """Writes an object that appears whole at close(), or never.

    It ends in one of three ways, as the files of targets do:
        close(), or the end of its `with` block     published: one PUT under 8 MiB, else a multipart upload completed
        an exception out of its `with` block        aborted
        dropped, or open when the process ends      aborted, with a ResourceWarning

    if_absent   the first writer wins: where an object is there, `published` is False after close(), and a note goes to
                the summary. It is for the store to decide between two at the same moment (If-None-Match)
    options     of `etlctl.s3.options.ALLOWED`

    write() takes all it is given. A buffer of the io module above it would publish at its own close(), after an
    exception too: give such a one `abort()` to call, or use `S3Target.open`.
    """

    def __init__(
        self,
        address: S3Address,
        *,
        if_absent: bool = False,
        options: Mapping[str, Any] | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._upload = Upload(address, if_absent=if_absent, options=options, part_bytes=part_bytes)
        self.name = str(address)

    @property
    def published(self) -> bool | None:
        """None while open; then True when these bytes are the object, False when they were discarded."""
        return self._upload.published

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The bytes taken so far."""
        return self._upload.size

    def write(self, data: Any, /) -> int:
        """Takes all of `data`; its length in bytes."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return self._upload.write(data)

    def close(self) -> None:
        """Publishes; a second call does nothing. On any failure what was there stays as it was."""
        if self.closed:
            return
        try:
            self._upload.publish()
        finally:
            super().close()

    def abort(self) -> None:
        """Closes without publishing."""
        if not self.closed:
            try:
                self._upload.abort()
            finally:
                super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if getattr(self, "_upload", None) is None or self.closed:
            return
        self.abort()
        warnings.warn(f"{self.name} was opened for writing and never closed: discarded", ResourceWarning, stacklevel=2)
