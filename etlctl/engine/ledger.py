"""The ledger of a run: how each task ended, told to the observers in that order. Decides nothing."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from etlctl.core.results import Observer, Status, TaskResult
from etlctl.engine.entries import Entry
from etlctl.text import printable

_logger = logging.getLogger("etlctl")


class Ledger:
    """Results as they come; an end that is written down is told at the next `settled()`."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)
        self._listeners: dict[str, list[tuple[Observer, Callable[..., object]]]] = {}
        """By call: who has it. Looked up once, since each task has several."""
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
        entry.attempt = None  # a large run keeps results alone: what is kept is looked through by the collector, too
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
        listeners = self._listeners.get(call)
        if listeners is None:
            listeners = self._listeners[call] = self._having(call)
        for observer, told in listeners:
            try:
                told(*arguments)
            except Exception as error:  # noqa: BLE001  an observer's: it is told
                self._drop(observer, error)

    def _having(self, call: str) -> list[tuple[Observer, Callable[..., object]]]:
        found = []
        for observer in list(self._observers):
            try:
                told = getattr(observer, call, None)
            except Exception as error:  # noqa: BLE001  an observer's: it is told
                self._drop(observer, error)
                continue
            if told is not None:
                found.append((observer, told))
        return found

    def _drop(self, observer: Observer, error: Exception) -> None:
        self._observers.remove(observer)
        self._listeners.clear()
        _logger.error("an observer of the run raised and is told no more", exc_info=error)
