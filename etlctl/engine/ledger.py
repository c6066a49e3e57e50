"""The ledger of a run: how each task ended, told to the observers in that order. Decides nothing."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from etlctl.core.results import Observer, Status, TaskResult
from etlctl.engine.entries import Entry
from etlctl.text import printable

_logger = logging.getLogger("etlctl")


class Ledger:
    """Results as they come; an end that is written down is told at the next `settled()`."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)
        self._results: list[TaskResult] = []
        self._up_to_date: list[TaskResult] = []
        self._settled: deque[tuple[Entry, TaskResult]] = deque()
        self.total = 0
        """Tasks that are not up to date, as far as they are known."""

    @property
    def results(self) -> tuple[TaskResult, ...]:
        """In the order of the ends; what was found complete comes first."""
        return (*self._up_to_date, *self._results)

    def found_complete(self, entry: Entry) -> None:
        """Nothing of it is to run, and nobody is told."""
        entry.status = Status.UPTODATE
        self._up_to_date.append(TaskResult(entry.node.task, Status.UPTODATE))

    def end(self, entry: Entry, status: Status, reason: str, notes: Sequence[str], **more: Any) -> None:
        """Gives the entry its status and its result."""
        entry.status, entry.reason = status, reason
        attempt = entry.attempt
        result = TaskResult(
            entry.node.task,
            status,
            reason,
            rows=attempt.rows if attempt and status is Status.OK else None,  # what failed has loaded none
            notes=(*notes, *(printable(note) for note in attempt.notes)) if attempt else tuple(notes),
            started_at=entry.started_at,
            duration_s=entry.active_s if attempt else None,
            forced=entry.node.forced,
            log=attempt.log if attempt and status is Status.FAIL and os.path.exists(attempt.log) else "",
            **more,
        )
        self._settled.append((entry, result))

    def settled(self) -> Iterator[Entry]:
        """What has ended since, each told to the observers before it is given; more may end meanwhile."""
        while self._settled:
            entry, result = self._settled.popleft()
            self._results.append(result)
            self.tell("task_finished", result, len(self._results), self.total)
            yield entry

    def tell(self, call: str, *arguments: Any) -> None:
        """An observer that raises is dropped, one without this call is not told: the work depends on none of them."""
        for observer in list(self._observers):
            try:
                told = getattr(observer, call, None)
                if told is not None:
                    told(*arguments)
            except Exception:
                self._observers.remove(observer)
                _logger.exception("an observer of the run raised and is told no more")
