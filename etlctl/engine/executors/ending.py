"""What a worker tells while a task's code runs, and how that code is broken off from outside: never in the middle of a
message."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import NoReturn

from etlctl.core.context import Attempt
from etlctl.engine.attempt import EndedFromOutside
from etlctl.engine.executors.telling import Pace, told
from etlctl.engine.executors.wire import Channel, Message
from etlctl.errors import FailedInWorkerError, TaskTimeoutError, WorkerDiedError

LOST = 71
"""A worker's exit code when the building process is gone."""


class Ending:
    """What SIGTERM does: while a task's code runs it is ended by an exception, else it waits until one does."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.error: Exception | None = None
        """What was raised, or is to be raised; a process ends but once."""
        self.pid = os.getpid()
        self.is_idle = True
        self._thread = threading.get_ident()
        self._shields = 1
        self._is_due = False

    def received(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if self.is_idle:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self.pid, number)
        elif self._shields:
            self._is_due = True
        else:
            self._raise()

    def told(self, message: Message) -> None:
        """Why the signal comes."""
        kind = TaskTimeoutError if message["kind"] == "timeout" else FailedInWorkerError
        self.error = kind(message["stop"])

    @property
    def is_due(self) -> bool:
        """Whether the signal came."""
        return self._is_due

    def open(self) -> None:
        """What follows is a task's code. Signals are the main thread's, so others' calls mean nothing."""
        if threading.get_ident() != self._thread:
            return
        self._shields -= 1
        if self._is_due and not self._shields:
            self._raise()

    def shut(self) -> None:
        """What follows is not to be broken off; the signal is obeyed with the next open()."""
        if threading.get_ident() == self._thread:
            self._shields += 1

    def _raise(self) -> NoReturn:
        self._is_due = True
        self._shields += 1_000_000  # once is enough: what cleans up is not broken off again
        message = self.channel.glance() if self.error is None and self.channel is not None else None
        if message is not None:
            self.told(message)
        self.error = self.error or WorkerDiedError("its process was told to end by signal 15 (SIGTERM)")
        raise EndedFromOutside(self.error)


class Teller:
    """Sends messages of this worker, what its attempt tells among them, when the pace allows."""

    def __init__(self, channel: Channel, ending: Ending) -> None:
        self._channel = channel
        self._ending = ending
        self._lock = threading.Lock()
        self._pace = Pace()

    def tell(self, attempt: Attempt, *, is_seldom: bool) -> None:
        """See `telling.Teller`; a process that run() has forked tells nothing."""
        if os.getpid() == self._ending.pid and self._pace.is_due(is_seldom=is_seldom):
            self.send({"tell": told(attempt)})

    def send(self, message: Message) -> None:
        """Whole, whoever else sends; a building process that is gone ends this one."""
        ending = self._ending
        ending.shut()
        try:
            with self._lock:
                self._channel.send(message)
        except OSError:
            os._exit(LOST)
        finally:
            ending.open()
