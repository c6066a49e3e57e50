"""Keeps what an attempt in this process prints and logs, while it is shown as ever.

Python's own streams and log records: what subprocesses and C libraries write to descriptors 1 and 2 is shown alone,
since these belong to the program around.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from contextlib import suppress
from typing import Any, Protocol, TextIO, cast

from etlctl.engine.executors.jobs import Output
from etlctl.engine.logs import StreamOfNow


class Capture:
    """One executor's; attempts take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._output: Output | None = None
        self._handler: logging.Handler | None = None
        self._streams: dict[str, Twofold] = {}
        """Of the last attempt, by their names in sys: the next one has them too, unless others are there by then."""

    def into(self, output: Output) -> _Into:
        """Within the block, what is printed and logged goes to `output` as well."""
        return _Into(self, output)

    def begin(self, output: Output) -> None:
        """From here on; `into` ends it, too."""
        if self._handler is None:
            self._handler = StreamOfNow(lambda: self)
            logging.getLogger().addHandler(self._handler)
        self._output = output

    def end(self) -> None:
        """Nothing is kept from here on."""
        self._output = None

    def twofold(self, name: str, beneath: TextIO | None) -> TextIO | None:
        if beneath is None:
            return None
        known = self._streams.get(name)
        if known is None or known.beneath is not beneath:
            known = self._streams[name] = Twofold(beneath, self)
        return cast("TextIO", known)

    def write(self, text: str) -> None:
        """Takes what the attempt under way writes, from any thread."""
        with self._lock:
            if self._output is not None:
                self._output.write(text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Takes no more log records."""
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler = None


class _Into:
    """The streams of one block. No @contextmanager: each task has such a block."""

    def __init__(self, capture: Capture, output: Output) -> None:
        self._capture = capture
        self._output = output

    def __enter__(self) -> None:
        capture = self._capture
        self._stdout, self._stderr = sys.stdout, sys.stderr
        self._our_stdout = sys.stdout = capture.twofold("stdout", sys.stdout)
        self._our_stderr = sys.stderr = capture.twofold("stderr", sys.stderr)
        capture.begin(self._output)

    def __exit__(self, *exception: object) -> None:
        self._capture.end()
        if sys.stdout is self._our_stdout:  # else the task has put its own there, as it might without us
            sys.stdout = self._stdout
        if sys.stderr is self._our_stderr:
            sys.stderr = self._stderr


class Taker(Protocol):
    """Takes what is written to a Twofold."""

    def write(self, text: str) -> object:
        """From any thread."""


class Twofold(io.TextIOBase):
    """A stream that does all that the one beneath it does, and hands on what is written.

    Where the one beneath is on a full disk, or nobody reads it any more, it is handed on alone: a task that
    prints does not fail for that.
    """

    def __init__(self, beneath: TextIO, taker: Taker) -> None:
        self._beneath = beneath
        self._taker = taker

    @property
    def beneath(self) -> TextIO:
        """The stream that it stands for."""
        return self._beneath

    def write(self, text: str) -> int:
        self._taker.write(text)
        try:
            return self._beneath.write(text)
        except OSError:
            return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        with suppress(OSError):
            self._beneath.flush()

    def isatty(self) -> bool:
        return self._beneath.isatty()

    def fileno(self) -> int:
        return self._beneath.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # io declares an attribute
        return self._beneath.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # as above
        return self._beneath.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)

    def close(self) -> None:
        """The one beneath is the program's."""
