"""Keeps what an attempt in this process prints and logs, while it is shown as ever.

Python's own streams and log records: what subprocesses and C libraries write to descriptors 1 and 2 is shown alone,
since these belong to the program around.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def into(self, output: Output) -> Iterator[None]:
        """Within the block, what is printed and logged goes to `output` as well."""
        if self._handler is None:
            self._handler = StreamOfNow(lambda: self)
            logging.getLogger().addHandler(self._handler)
        before = sys.stdout, sys.stderr
        ours = self._twofold("stdout", before[0]), self._twofold("stderr", before[1])
        sys.stdout, sys.stderr = ours
        self._output = output
        try:
            yield
        finally:
            self._output = None
            if sys.stdout is ours[0]:  # else the task has put its own there, as it might without us
                sys.stdout = before[0]
            if sys.stderr is ours[1]:
                sys.stderr = before[1]

    def _twofold(self, name: str, beneath: TextIO | None) -> TextIO | None:
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


class Taker(Protocol):
    """Takes what is written to a Twofold."""

    def write(self, text: str) -> object:
        """From any thread."""


class Twofold(io.TextIOBase):
    """A stream that does all that the one beneath it does, and hands on what is written."""

    def __init__(self, beneath: TextIO, taker: Taker) -> None:
        self._beneath = beneath
        self._taker = taker

    @property
    def beneath(self) -> TextIO:
        """The stream that it stands for."""
        return self._beneath

    def write(self, text: str) -> int:
        self._taker.write(text)
        return self._beneath.write(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
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
