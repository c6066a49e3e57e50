"""What a forked process makes its own (streams, signals, log records) and what a task may leave in it."""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from etlctl.engine.executors.ending import Ending
from etlctl.engine.logs import MAX_BYTES, StreamOfNow

_LINGER_S = 0.1
"""Threads that are about to end anyway are waited for this long."""
_kept: list[Any] = []
"""Streams of the process this one was forked from: freed, they would close descriptors that are ours now."""
_DESCRIPTORS = {"stdout": 1, "stderr": 2}
streams: dict[str, io.TextIOWrapper] = {}
"""Ours, by their names in `sys`."""


def take_streams(log: int) -> None:
    """Points stdin at nothing, and stdout and stderr, Python's and the system's, at `log`."""
    _kept.extend([sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__])
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name in _DESCRIPTORS:
        open_stream(name)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115  as above


def open_stream(name: str) -> None:
    """A new `sys.stdout` or `sys.stderr`."""
    stream = open(  # noqa: SIM115  open as long as the process
        _DESCRIPTORS[name], "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )
    streams[name] = stream
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def take_signals(ending: Ending) -> None:
    """As any process has them; SIGTERM ends the attempt under way."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) or number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, ending.received)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def be_any_process(ending: Ending) -> None:
    """What run() forks ends by SIGTERM as any process does: multiprocessing ends its own so."""
    if os.getpid() != ending.pid:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def take_logging() -> None:
    """Records go to this process's stderr, which is the attempt's log; a user's own files get theirs as before."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if not isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
    root.addHandler(StreamOfNow(lambda: sys.stderr))
    root.setLevel(min(root.level, logging.INFO) if root.level else logging.INFO)
    for logger in logging.root.manager.loggerDict.values():
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.stream = sys.stderr


def reseed() -> None:
    """Python's own random numbers are other ones in each forked process; NumPy's would be the same in all."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def lingering(before: frozenset[threading.Thread]) -> list[str]:
    """Names of threads that are not those of `before`, and not about to end."""
    if threading.active_count() == len(before):
        return []
    until = time.monotonic() + _LINGER_S
    names = []
    for thread in threading.enumerate():
        if not thread.daemon and thread not in before:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                names.append(thread.name)
    return names


def spared() -> frozenset[int]:
    """multiprocessing's own helper, which is to live as long as this process."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    pid = getattr(getattr(tracker, "_resource_tracker", None), "_pid", None)
    return frozenset() if pid is None else frozenset({pid})


class Sink:
    """Where descriptors 1 and 2 lead: into the attempt's pipe; in a batch into a file, since attempts that share a pipe
    cannot be told apart in it. A crash is told in the pipe."""

    def __init__(self, log: int, ledger: int) -> None:
        self.logs = [log]
        """The pipes."""
        self._log = log
        self._ledger = ledger
        self._spool = -1
        self.is_batch = False

    def turn_to(self, log: int, *, is_batch: bool) -> None:
        """The next attempt's; in a batch the ends go on in the ledger."""
        if self.logs[log] == self._log and self.is_batch == is_batch:
            return
        if is_batch and self._spool < 0:
            import tempfile  # with all of shutil, and few tasks are batched

            with tempfile.TemporaryFile() as file:
                self._spool = os.dup(file.fileno())
        if self._log != self.logs[log]:
            self._log = self.logs[log]
            faulthandler.enable(self._log)
        self.is_batch = is_batch
        self.take_descriptors()

    def leave_batch(self) -> None:
        """The attempt under way goes on by itself: what it has written so far is in its pipe."""
        if self.is_batch:
            left = self.taken()
            self.is_batch = False
            self.take_descriptors()
            if left:
                os.write(1, left.encode("latin-1"))

    def take_descriptors(self) -> None:
        """Whatever a task has made of them."""
        number = self._spool if self.is_batch else self._log
        os.dup2(number, 1)
        os.dup2(number, 2)

    def taken(self) -> str:
        """What was written since the last call, a character a byte: the beginning of it where it is very much."""
        size = os.fstat(self._spool).st_size
        if not size:
            return ""
        data = os.pread(self._spool, MAX_BYTES, 0)
        os.ftruncate(self._spool, 0)
        os.lseek(self._spool, 0, os.SEEK_SET)
        return data.decode("latin-1")

    def begin_ledger(self) -> None:
        """It is read to its end, and empty now."""
        os.lseek(self._ledger, 0, os.SEEK_SET)

    def enter(self, line: bytes) -> None:
        """Adds an end to the ledger."""
        os.write(self._ledger, line)
