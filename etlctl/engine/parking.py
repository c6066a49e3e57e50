"""Parking: attempts that wait for tasks, where each keeps a process while it waits. DESIGN.md section 8 has the rule.

A generator that nobody waits for begins only while few are parked; a hard limit alone would deadlock a deep nest.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable

from etlctl.engine.entries import Entry, Rank
from etlctl.engine.executors.base import Executor

MOST = 100
"""Beyond it an attempt that waits fails, and says so."""
TOO_MANY = (
    f"more than {MOST} tasks wait for tasks that they have yielded, each in a process of its own. Yield less deeply, "
    "or name what is needed in requires()."
)


class Parking:
    """Who is parked, and who is kept from the start because of it; `push` makes these ready again."""

    def __init__(self, executor: Executor, push: Callable[[Entry], None]) -> None:
        self._executor = executor
        self._push = push
        self._parked = 0
        self._kept_back: deque[Entry] = deque()

    @property
    def is_full(self) -> bool:
        """Whether there is no place for one more, however much it is waited for."""
        return self._parked > MOST and self._executor.parking_places is not None

    def park(self, entry: Entry) -> None:
        """Its attempt waits from now on."""
        entry.is_parked = True
        self._parked += 1

    def leave(self, entry: Entry) -> None:
        """It waits no more; one of those kept back may begin."""
        entry.is_parked = False
        self._parked -= 1
        self._take_up()

    def drop(self, entry: Entry) -> None:
        """Its attempt, if it waits, goes on no more."""
        if entry.is_parked:
            self._executor.abandon(entry.node.task)
            self.leave(entry)

    def keeps_back(self, entry: Entry) -> bool:
        """Whether `entry` may not begin yet: a generator that nobody waits for, while enough others wait."""
        if not self._parked or entry.rank is not Rank.PLANNED:
            return False
        return not self._places and inspect.isgeneratorfunction(type(entry.node.task).run)

    def keep_back(self, entry: Entry) -> None:
        """Until there is a place for it."""
        self._kept_back.append(entry)

    def fill(self) -> None:
        """Lets as many begin of those kept back as there are places: each that is asked for takes a lease."""
        if self._kept_back:
            for _ in range(min(self._places, len(self._kept_back))):
                self._take_up()

    @property
    def _places(self) -> int:
        """For generators that nobody waits for."""
        limit = self._executor.parking_places
        return len(self._kept_back) + 1 if limit is None else max(limit - self._parked, 0)

    def _take_up(self) -> None:
        """The first of those kept back becomes ready; one that somebody waits for by now is so already."""
        while self._kept_back:
            entry = self._kept_back.popleft()
            if entry.status is None and entry.rank is Rank.PLANNED:
                self._push(entry)
                return
