"""What a worker tells while a task's code runs, and how that code is broken off from outside: never in the middle of a
message."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any, NoReturn

from etlctl.core.context import Attempt
from etlctl.engine.attempt import EndedFromOutside
from etlctl.engine.executors.wire import Channel, Message
from etlctl.errors import FailedInWorkerError, TaskTimeoutError, WorkerDiedError

LOST = 71
"""A worker's exit code when the building process is gone."""
_TELL_EVERY_S = 0.25
_BURST = 8
_OFTEN = frozenset({"rows", "progress"})
_SELDOM = frozenset({"status", "waiting"})


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
    """Sends what an attempt tells: numbers at most four times a second, what is said seldom nearly always."""

    def __init__(self, channel: Channel, ending: Ending) -> None:
        self._channel = channel
        self._ending = ending
        self._lock = threading.Lock()
        self._last = 0.0
        self._tokens = float(_BURST)

    def tell(self, attempt: Attempt, *, is_seldom: bool) -> None:
        now = time.monotonic()
        if (now - self._last < _TELL_EVERY_S and not is_seldom) or os.getpid() != self._ending.pid:
            return
        self._tokens = min(_BURST, self._tokens + (now - self._last) / _TELL_EVERY_S)
        self._last = now
        if is_seldom and self._tokens < 1:
            return
        self._tokens -= 1
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


class ToldAttempt(Attempt):
    """An attempt whose changes are told to the building process."""

    _teller: Teller | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if self._teller is not None and (name in _OFTEN or name in _SELDOM):
            self._teller.tell(self, is_seldom=name in _SELDOM)


def told(attempt: Attempt) -> dict[str, Any]:
    """What an attempt has told so far, for the wire."""
    return {
        "rows": attempt.rows,
        "progress": attempt.progress,
        "status": attempt.status,
        "waiting": attempt.waiting,
        "notes": [str(note) for note in attempt.notes],
    }
