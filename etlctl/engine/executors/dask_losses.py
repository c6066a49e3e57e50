"""Whose doing the death of a worker is, and what becomes of what is lost with it.

What Dask knows of it is too little: it counts a death against all that had been sent to the worker, and a task that
only waited there fails for what another did. So a worker tells, for certain, when it takes an order in hand and when
that has ended: a death is the doing of what was in hand. That is tried again on other workers, MOST_DEATHS in all.

Where several were at work side by side (a worker of several threads) nobody can tell which it was. Then their last
tries are made one at a time, and such a death is no proof until there are MOST_DOUBTFUL of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum

from etlctl.engine.executors.dask_orders import Ordered

MOST_DEATHS = 3
"""Workers that may die at one attempt, the last included; the cluster's own `allowed-failures` does not matter."""
MOST_DEATHS_HERE = 2
"""The same in a cluster of the build's own: no machine can be lost there but this one."""
MOST_DOUBTFUL = 6
_MOST_TAKEN_DOWN = 10
"""How often an attempt is sent again that no worker had in hand when it died of something unknown."""


class Fate(Enum):
    """What becomes of an attempt whose worker is gone."""

    GOES_ON = "Dask sends it to another by itself"
    AGAIN = "it is to be ordered again"
    ALONE = "it is to be ordered again, while no other such is under way"
    DIES = "it has had its tries"


class Losses:
    """The deaths of workers, as far as the orders of one build are concerned."""

    def __init__(self, orders: Mapping[str, Ordered], most_deaths: int = MOST_DEATHS) -> None:
        self._orders = orders
        self._most_deaths = most_deaths
        self._explained: set[str] = set()

    def explain(self, worker: str) -> None:
        """Its death is nobody's fault in whom it had in its queue."""
        self._explained.add(worker)

    def left(self, worker: str) -> list[tuple[Ordered, Fate]]:
        """Notes that a worker is gone; what it had in hand. Told twice, the second time there is nothing."""
        held = [job for job in self._orders.values() if job.on == worker]
        at_work = [job for job in held if not job.is_at_end]
        if at_work:
            self.explain(worker)
        for job in held:
            job.leaves()
        for job in at_work:
            job.is_lost_with(worker)
        return [(job, self._fate(job, len(at_work)) if job in at_work else Fate.GOES_ON) for job in held]

    def given_up(self, job: Ordered, worker: str) -> Fate:
        """Dask sends no more what it has lost with `worker`, of which `left` was told."""
        if worker not in self._explained:
            job.taken_down += 1
        return Fate.AGAIN if job.taken_down < _MOST_TAKEN_DOWN else Fate.DIES

    @staticmethod
    def sentence(job: Ordered, worker: str) -> str:
        """Why an attempt dies."""
        if job.taken_down >= _MOST_TAKEN_DOWN:
            return f"{job.taken_down} workers died that were to run it, before they had begun; the last was {worker}"
        return (
            f"{len(job.lost_on)} workers died at it, the last was {worker}: killed, out of memory, crashed in a "
            "library, or left by os._exit()"
        )

    def _fate(self, job: Ordered, together: int) -> Fate:
        deaths = len(job.lost_on)
        if deaths >= (self._most_deaths if together == 1 else MOST_DOUBTFUL):
            return Fate.DIES
        return Fate.ALONE if together > 1 and deaths >= self._most_deaths - 1 else Fate.GOES_ON


class LastTries:
    """Attempts that are under way one at a time; the first of them is."""

    def __init__(self, order: Callable[[Ordered], object]) -> None:
        self._order = order
        self.jobs: deque[Ordered] = deque()

    def add(self, job: Ordered) -> None:
        """It is ordered now, or when those before it have ended."""
        if job not in self.jobs:
            self.jobs.append(job)
        if self.jobs[0] is job:
            self._order(job)

    def discard(self, job: Ordered) -> None:
        """It has ended, or waits for what it needs; the next is ordered."""
        if job not in self.jobs:
            return
        was_first = self.jobs[0] is job
        self.jobs.remove(job)
        if was_first and self.jobs:
            self._order(self.jobs[0])
