"""What an attempt wrote, kept in its own file: capped, of any bytes, and never a reason for the attempt to fail.

Also how log records get there. Where the files are, and what becomes of them, is decided elsewhere.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from etlctl.core.private import hidden
from etlctl.text import printable

TAIL_BYTES = 64 * 1024
"""Of the end of each output that is kept whatever its length."""
MAX_BYTES = 10 * 1024 * 1024
_LONGEST_LINE = 8 * 1024
_TELL_KEYS = ("boto3", "botocore", "s3transfer")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class AttemptLog:
    """The log of one attempt. Not thread-safe.

    The file begins with the first byte; what comes after `max_bytes` is left out of it but for the last 64 KiB, which
    are put behind a notice when it is closed. A disk that takes no more ends the file, not the attempt.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> None:
        self._path = os.fspath(path)
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._kept = 0
        self._tail = bytearray()
        self.written = 0
        """Bytes of output so far, those left out among them."""
        self.error: OSError | None = None
        """Why the file holds less than it should."""

    @property
    def tail(self) -> bytes:
        """The last 64 KiB of the output."""
        return bytes(self._tail[-TAIL_BYTES:])

    def write(self, data: bytes) -> None:
        """Adds output. Raises nothing."""
        self.written += len(data)
        self._tail += data[-TAIL_BYTES:]
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        room = self._max_bytes - self._kept
        if room > 0:
            self._kept += min(room, len(data))
            self._put(data[:room])
            if len(data) >= room:
                self._put(_notice(f"more than {self._max_bytes:,} bytes; what follows is left out, but for its end"))

    def close(self) -> None:
        """The file is whole from here on."""
        missing = self.written - self._kept
        if missing > 0:
            end = self._tail[-min(missing, TAIL_BYTES) :]
            if missing > len(end):
                self._put(_notice(f"{missing - len(end):,} bytes are left out here"))
            self._put(end)
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self.error = self.error or error
            self._file = None

    def _put(self, data: bytes | bytearray) -> None:
        if self.error is not None:
            return
        try:
            if self._file is None:
                Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = open(self._path, "ab", buffering=0, opener=_own)  # noqa: SIM115  closed by close()
            self._file.write(data)
        except OSError as error:
            self.error = error


def _own(path: str, flags: int) -> int:
    """What a task prints may be for no other user's eyes."""
    return os.open(path, flags, 0o600)


def tail_of(path: str | os.PathLike[str]) -> bytes:
    """The last 64 KiB of a log; nothing where an attempt wrote nothing. Raises OSError for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""


class LineTeller:
    """Cuts output into printable lines and hands each on, for a screen. A line without end comes in pieces."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._begun = b""

    def write(self, data: bytes) -> None:
        """Tells the lines that `data` completes."""
        *whole, self._begun = (self._begun + data).split(b"\n")
        for line in whole:
            self._say(line)
        while len(self._begun) >= _LONGEST_LINE:
            self._say(self._begun[:_LONGEST_LINE])
            self._begun = self._begun[_LONGEST_LINE:]

    def close(self) -> None:
        """Tells a last line that has no end."""
        if self._begun:
            self._say(self._begun)
            self._begun = b""

    def _say(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), _LONGEST_LINE):
            piece = line[start : start + _LONGEST_LINE].removesuffix(b"\r")
            self._tell(printable(piece.decode("utf-8", "backslashreplace").replace("\t", "    ")))


class StreamOfNow(logging.Handler):
    """Writes records to whatever a function calls the stream of the moment."""

    def __init__(self, stream: Callable[[], object]) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(logging.Formatter(_FORMAT))
        self.addFilter(tells_no_keys)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
            if record.exc_info or record.levelno >= logging.WARNING:  # it may quote an exception; others are many
                text = hidden(text)
            write = getattr(self._stream(), "write", None)
            if write is not None:
                write(text)
        except Exception:  # noqa: BLE001  what the logging module asks of every handler
            self.handleError(record)


def tells_no_keys(record: logging.LogRecord) -> bool:
    """Whether a record may be shown: boto3's DEBUG holds session tokens, signatures, the answers that keys come in."""
    return record.levelno > logging.DEBUG or record.name.partition(".")[0] not in _TELL_KEYS


def _notice(text: str) -> bytes:
    return f"\n[etlctl: {text}]\n".encode()
