"""Keeps what attempts of one process print and log apart, where several of its threads are each at one of them.

What is printed goes on to the process's own streams as well: of a worker that is lost they are all there is to look at.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from etlctl.engine.executors.captured import Twofold
from etlctl.engine.logs import AttemptLog, StreamOfNow


class Router:
    """One process's. What a thread prints is its attempt's; what other threads print, that of the only one there is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[int, AttemptLog] = {}
        self._handler: logging.Handler | None = None

    @contextmanager
    def keeping(self) -> Iterator[AttemptLog]:
        """Within the block, what this thread prints and logs is kept: its last 64 KiB and how much there was."""
        kept = AttemptLog("", max_bytes=0)
        with self._lock:
            self._take_streams()
            self._logs[threading.get_ident()] = kept
        try:
            yield kept
        finally:
            with self._lock:
                del self._logs[threading.get_ident()]

    def write(self, text: str) -> None:
        """Takes what any thread writes."""
        with self._lock:
            kept = self._logs.get(threading.get_ident())
            if kept is None and len(self._logs) == 1:
                kept = next(iter(self._logs.values()))
            if kept is not None:
                kept.write(text.encode("utf-8", "backslashreplace"))

    def _take_streams(self) -> None:
        """Once in this process, and again where somebody has put streams of his own in their place."""
        if self._handler is None:
            self._handler = StreamOfNow(lambda: self)
            root = logging.getLogger()
            root.addHandler(self._handler)
            root.setLevel(min(root.level, logging.INFO) if root.level else logging.INFO)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if not isinstance(stream, Twofold):
                setattr(sys, name, Twofold(stream, self))
