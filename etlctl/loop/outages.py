"""What cannot be used at the moment, told once when it goes and once when it is back. Knows no database.

    gone(asker, sentence)    a line where nobody has met it yet
    used, back, forget       a line when nobody misses it any more; forget says nothing
    look()                   notifiers hear of what has been gone for ALERT_AFTER_S, and then that it is back

InTurn is the ear of a turn: it says `gone` while the turn goes on, and `used` when what was gone has served again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.results import RunSummary, Status, TaskResult, seconds
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from etlctl.loop.troubles import Troubles
from etlctl.text import printable

ALERT_AFTER_S = 30.0
"""A server that is started again is nothing that anybody must be called for: the loop mends it by itself."""
_ALERT_AGAIN_S = 300.0
"""Between two tries to tell notifiers; who has got the message gets no second one."""
_NEXT = (
    "Nothing is lost: what needs it is tried again until it can be used, and the rest goes on.\n"
    "next  see to it, and to the way to it from this host; etlctl doctor tries every connection"
)
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/@]*@)?[^\s/,;]*")
"""In a sentence: `postgresql://etl:***@wh-1:5432`. Of two databases of one server that falls one line is enough."""

_STATE = "the state database: "
_GONE = re.compile("cannot be reached|was lost|is not ready")


@dataclass
class _Outage:
    began: float
    sentence: str
    asked_by: dict[str, set[str]] = field(default_factory=dict)
    """Who has met it and not yet seen its end, and by which families of tasks, where it was by tasks."""
    alert_at: float = 0.0
    is_alerted: bool = False


class Outages:
    """What is gone now, by the server that the sentences about it name. Thread-safe."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float], troubles: Troubles) -> None:
        self._say = say
        self._monotonic = monotonic
        self._troubles = troubles
        self._lock = RLock()
        self._gone: dict[str, _Outage] = {}

    def gone(self, asker: str, sentence: str, *, task: str = "", family: str = "") -> None:
        """`asker` could not use something, for the reason of `sentence`; by a task of that label and family."""
        with self._lock:
            outage = self._met_by(asker)  # its words change while a server goes down and comes up: one change of state
            if outage is None:
                key = _server_in(sentence)
                if key not in self._gone:
                    self._begin(key, sentence, task)
                outage = self._gone[key]
            outage.asked_by.setdefault(asker, set()).update([family] if family else [])

    def _begin(self, key: str, sentence: str, task: str) -> None:
        now = self._monotonic()
        self._gone[key] = _Outage(now, printable(sentence).rstrip("."), alert_at=now + ALERT_AFTER_S)
        label = f"{task}: " if task else ""
        self._say(f"{label}{self._gone[key].sentence}; the loop goes on, and tries again until it can be used")

    def is_gone(self, asker: str) -> bool:
        """Whether `asker` has met one whose end it has not seen."""
        with self._lock:
            return self._met_by(asker) is not None

    def _met_by(self, asker: str) -> _Outage | None:
        return next((outage for outage in self._gone.values() if asker in outage.asked_by), None)

    def used(self, asker: str, family: str) -> None:
        """A task of that family was done, which was begun after all that `asker` has met."""
        with self._lock:
            outage = self._met_by(asker)
            if outage is not None and family in outage.asked_by[asker]:
                outage.asked_by[asker].discard(family)
                if not outage.asked_by[asker]:
                    self.back(asker)

    def back(self, asker: str) -> None:
        """`asker` could use all that it needs."""
        with self._lock:
            for key in self._left_by(asker):
                outage = self._gone.pop(key)
                lasted = seconds(self._monotonic() - outage.began)
                sentence = f"{printable(key)} can be used again after {lasted}"
                self._say(sentence)
                if outage.is_alerted:
                    self._troubles.over(_subject(key), sentence, "")

    def forget(self, asker: str) -> None:
        """`asker` asks no more, and will see no end."""
        with self._lock:
            for key in self._left_by(asker):
                del self._gone[key]

    def _left_by(self, asker: str) -> list[str]:
        """What nobody else misses."""
        for outage in self._gone.values():
            outage.asked_by.pop(asker, None)
        return [key for key, outage in self._gone.items() if not outage.asked_by]

    def look(self) -> None:
        """To be called now and then."""
        with self._lock:
            now = self._monotonic()
            for key, outage in self._gone.items():
                if outage.alert_at <= now:
                    outage.alert_at = now + _ALERT_AGAIN_S
                    outage.is_alerted = True
                    text = f"{outage.sentence}.\n{_NEXT}"
                    self._troubles.met(_subject(key), f"for {ALERT_AFTER_S:g} s: {outage.sentence}", text)


class InTurn:
    """The Observer of a turn that tells what its tasks cannot use when they meet it, and that it serves again when a
    task of the same family, begun since, is done: the same kind of task uses the same things."""

    def __init__(self, outages: Outages, asker: str, on_done: Callable[[], object]) -> None:
        """`on_done` is called when a task was done: others who miss something may ask for it."""
        self._outages = outages
        self._asker = asker
        self._on_done = on_done
        self._since: set[Task] = set()
        """Begun while it is gone, after it was met last."""
        self._has_told = False

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """See Observer."""

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """See Observer."""
        self._outages.look()
        if self._outages.is_gone(self._asker):
            self._since.add(task)

    def task_retried(self, task: Task, failure: Any, attempt: Attempt, delay_s: float) -> None:
        """See Observer."""
        if failure.exit_code is ExitCode.UNAVAILABLE:
            self._met(task, failure.reason)

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """See Observer."""
        self._outages.look()
        if result.status is Status.FAIL and result.exit_code is ExitCode.UNAVAILABLE:
            self._met(result.task, result.reason)
        elif result.status is Status.OK:
            if result.task in self._since:
                self._outages.used(self._asker, result.task.task_family)
            self._on_done()

    def run_finished(self, summary: RunSummary) -> None:
        """See Observer."""

    def left(self, summary: RunSummary) -> str:
        """Why the run could not use what it needed, where that was not told when a task met it; else empty."""
        for one in summary.results:
            if one.exit_code is ExitCode.UNAVAILABLE and not (self._has_told and one.status is Status.FAIL):
                return one.reason.removeprefix("not started: ").removeprefix("stopped: ")
        return ""

    def _met(self, task: Task, sentence: str) -> None:
        self._since.clear()
        self._has_told = True
        self._outages.gone(self._asker, sentence, task=task.task_label, family=task.task_family)


@contextmanager
def state_warnings(outages: Outages, asker: str, is_ending: Callable[[], object]) -> Iterator[None]:
    """In the block warnings about the state database are told as its outage, which `asker` has met."""
    logger, heard = logging.getLogger("etlctl"), _StateWarnings(outages, asker, is_ending)
    logger.addFilter(heard)
    try:
        yield
    finally:
        logger.removeFilter(heard)


class _StateWarnings(logging.Filter):
    """What leases and the history of a run warn of while the state database is gone becomes the one line about that;
    but no new line at the end, which tries nothing again."""

    def __init__(self, outages: Outages, asker: str, is_ending: Callable[[], object]) -> None:
        super().__init__()
        self._outages = outages
        self._asker = asker
        self._is_ending = is_ending

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        _, named, sentence = record.getMessage().partition(_STATE)
        if not (named and _GONE.search(sentence)) or (self._is_ending() and not self._outages.is_gone(self._asker)):
            return True
        self._outages.gone(self._asker, named + sentence)
        return False


def _subject(key: str) -> str:
    return f"outage of {key}"


def _server_in(sentence: str) -> str:
    found = _SERVER.search(sentence)
    return found[0] if found is not None else sentence.partition(": ")[0]
