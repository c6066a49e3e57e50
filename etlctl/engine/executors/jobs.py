"""What the pool knows of its workers and of the attempts they carry out: values, and the output of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Literal

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.failures import Failure
from etlctl.engine.logs import AttemptLog, LineTeller

if TYPE_CHECKING:
    from etlctl.engine.executors.peer import Worker
    from etlctl.engine.executors.wire import Message

Shown = Callable[[Task, str], object]
"""Takes a printable line that a task wrote, from any thread."""


class State(Enum):
    """What a worker is at."""

    IDLE = "waits for an attempt"
    BUSY = "carries one out"
    PARKED = "waits for what its attempt needs"
    CLOSING = "ends an attempt that was abandoned"
    LEAVING = "ends itself"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an attempt is being ended from outside."""

    kind: Literal["timeout", "cancel"]
    sentence: str
    failure: Failure | None = None
    """What its Outcome is to say, where the runner has asked for the end."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An attempt that turned out to need this very process: it begins here, from the top."""

    task: Task
    attempt: Attempt
    why: str


class Output:
    """Where what an attempt writes goes: its log, the screen, both or nowhere."""

    def __init__(self, task: Task, log: str, max_bytes: int, shown: Shown | None) -> None:
        self._path = log
        self._max_bytes = max_bytes
        self._log: AttemptLog | None = None
        """Made when there is something for it: most tasks write nothing."""
        self._lines = LineTeller(partial(shown, task)) if shown is not None else None

        self.is_silent = True
        """Nothing was written so far."""

    def write(self, data: bytes) -> None:
        """Takes output as it comes."""
        self.is_silent = False
        self._keep(data)
        if self._lines is not None:
            try:
                self._lines.write(data)
            except Exception:  # noqa: BLE001  whoever shows it: the attempt, and its log, go on
                self._lines = None

    def note(self, text: str) -> None:
        """Adds text of ours to the log alone."""
        if text:
            self._keep(text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """The log is whole from here on, and takes nothing more."""
        log, self._log, self._path = self._log, None, ""
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()
        if log is not None:
            log.close()

    def _keep(self, data: bytes) -> None:
        if self._log is None:
            if not self._path:
                return
            self._log = AttemptLog(self._path, self._max_bytes)
        self._log.write(data)


class Job:
    """One attempt that a worker carries out."""

    def __init__(self, task: Task, attempt: Attempt, output: Output, timeout_s: float | None) -> None:
        self.task = task
        self.attempt = attempt
        self.message: Message = {}
        """What a worker is told to begin it, or to go on."""
        self.output = output
        self.timeout_s = timeout_s
        self.worker: Worker | None = None
        self.used_s = 0.0
        """Of its timeout, in steps before this one."""
        self.began = time.monotonic()
        """This step."""
        self.stop: Stop | None = None
        self.has_begun = False
        """Its worker has said so, as it does where there is a timeout: the clock of that stands still until then."""
        self.is_short = False
        """Its class's last attempts were over soon."""
        self.is_quick = False
        """They were over in a moment, and silent."""
        self.is_batched = False
        """Its output and its end come by the worker's files, with those of others."""
        self.handed = b""
        """The datagram that it was handed ahead in."""
        self.log = 0
        """Which of its worker's pipes it writes into."""
        self.is_over = False
        """Its last Came is on the way."""
        self.death = ""
        """What became of its process while it waited for needs."""
        self._notes = tuple(attempt.notes)

    @property
    def sent(self) -> Message:
        """`message`, with how it is to be carried out."""
        if "run" not in self.message:
            return self.message
        how = {"log": self.log, "is_batched": self.is_batched, "is_timed": self.timeout_s is not None}
        return {**self.message, **how}

    @property
    def deadline(self) -> float | None:
        """When its timeout is over, by the monotonic clock."""
        if self.timeout_s is None or not self.has_begun:
            return None
        return self.began + self.timeout_s - self.used_s

    def begins(self) -> None:
        """The worker has said so."""
        self.began = time.monotonic()
        self.has_begun = True

    def takes(self, told: Message) -> None:
        """Puts what the worker told into the live attempt."""
        attempt = self.attempt
        progress = told["progress"]
        attempt.rows = told["rows"]
        attempt.progress = None if progress is None else (progress[0], progress[1])
        attempt.status = told["status"]
        attempt.waiting = told["waiting"]
        if len(attempt.notes) != len(self._notes) + len(told["notes"]):
            attempt.notes[:] = [*self._notes, *told["notes"]]

    def rests(self) -> None:
        """The step is over: the clock of its timeout stands still."""
        self.used_s += time.monotonic() - self.began


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a step: a message of the worker, or in `death` what became of its process."""

    job: Job
    message: Message
    death: str = ""
