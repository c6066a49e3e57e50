"""Keeps off stderr what psycopg2 prints by itself when the server goes away in the middle of a COPY.

It asks for the server's last words while an exception is set already, and has Python print the SystemError that comes
of it (PyErr_Print, thus sys.excepthook): past every log, with the server's text, in the middle of lines of JSON. What
went wrong is raised all the same. Of what others have printed nothing is kept back.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import psycopg2

_logger = logging.getLogger("etlctl")
_lock = threading.Lock()


class _Hook:
    """Stands in for sys.excepthook while any thread copies."""

    def __init__(self) -> None:
        self.copies = 0
        self._before = sys.excepthook

    def begin(self) -> None:
        with _lock:
            if not self.copies:
                self._before, sys.excepthook = sys.excepthook, self.called
            self.copies += 1

    def end(self) -> None:
        with _lock:
            self.copies -= 1
            if not self.copies and sys.excepthook == self.called:  # else somebody has put another over it
                sys.excepthook = self._before

    def called(self, kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        """What Python calls."""
        if isinstance(error, SystemError) and isinstance(error.__cause__, psycopg2.Error):
            _logger.debug("the driver met the end of its connection in a COPY", exc_info=(kind, error, at))
        else:
            self._before(kind, error, at)


_hook = _Hook()


@contextmanager
def kept_back() -> Iterator[None]:
    """Around a COPY."""
    _hook.begin()
    try:
        yield
    finally:
        _hook.end()
