"""Placing: attempts that wait for a worker, workers that wait for an attempt, and which of them goes to which.

An attempt goes to an idle worker, to a new one where there are fewer at work than there may be, or, when those of its
class are over soon, ahead of time to one that is about to be free. What was handed ahead comes back when its worker
turns out to take longer, or ends.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from etlctl.engine.executors.jobs import Job, State
from etlctl.engine.executors.peer import Worker

_HOST = socket.gethostname()
_TOGETHER = 4
"""Quick ones go in company: to tell a worker of one may take longer than the one."""
_SHARE_S = 0.002
"""A worker that is idle this long gets what others were handed ahead."""


class Placing:
    """`workers` is the crew's; `spawned` makes one, None where that has to wait; `begun` is told of each that is given
    an attempt, `failed` of attempts that could not be started, with why."""

    def __init__(
        self,
        capacity: int,
        workers: Mapping[int, Worker],
        *,
        spawned: Callable[[], Worker | None],
        begun: Callable[[Worker], object],
        failed: Callable[[Job, str], object],
        equip: Callable[[Worker], object],
    ) -> None:
        self._capacity = capacity
        self._workers = workers
        self._spawned = spawned
        self._begun = begun
        self._failed = failed
        self._equip = equip
        self._idle: list[Worker] = []
        self._pending: deque[Job] = deque()
        self._busy = 0

    def recruit(self, count: int) -> None:
        """Makes that many workers, before there is anything for them."""
        with suppress(OSError):  # it is told when an attempt needs one
            for _ in range(count):
                worker = self._spawned()
                if worker is not None:
                    self._idle.append(worker)

    def add(self, job: Job) -> None:
        """It waits for a worker, or to go on with its own; quick ones may wait for some others until `place()`."""
        self._pending.append(job)
        if not job.is_quick or len(self._pending) >= _TOGETHER:
            self.place()

    def forget(self, job: Job) -> bool:
        """It waits no more; False when it did not."""
        with suppress(ValueError):
            self._pending.remove(job)
            return True
        return False

    def closed(self) -> list[Job]:
        """What waited: nothing is given away from now on."""
        for worker in self._workers.values():
            self.take_back(worker)
        jobs, self._pending = list(self._pending), deque()
        self._capacity = 0
        return jobs

    def place(self) -> None:
        """Gives away what can be given away."""
        while self._pending and self._busy < self._capacity:
            job = self._pending[0]
            try:
                worker = job.worker or (self._idle.pop() if self._idle else self._spawned())
            except OSError as error:
                self._pending.remove(job)
                self._failed(job, f"could not be started: {os.strerror(error.errno or 0)}")
                continue
            if worker is None:
                return
            self._pending.popleft()
            self._begin(worker, job)
        while self._capacity and self._pending and self._is_handed_ahead(self._pending[0]):
            self._pending.popleft()

    def take_back(self, worker: Worker) -> bool:
        """What it has not begun of what it was handed ahead is for others; False when the next has begun all the
        same: then the attempt it was at has ended, and its end is on the way."""
        self._return(worker.taken_back())
        return not worker.batch

    def share(self) -> None:
        """What was handed ahead, and still has not begun, goes to those that are idle."""
        for worker in self._workers.values():
            if worker.state is State.BUSY:
                self.take_back(worker)
        self.place()

    def begin_elsewhere(self, job: Job) -> None:
        """Its worker could not begin it."""
        self._return([job])

    def set_state(self, worker: Worker, state: State) -> None:
        """From now on it is at this; `place()` is the caller's, and `is_idle` for one that waits for an attempt."""
        self._busy -= worker.state is State.BUSY
        worker.state = state

    def is_idle(self, worker: Worker) -> Worker | None:
        """It waits for an attempt; one of them that is too many is given back."""
        self._idle.append(worker)
        self.place()
        if len(self._idle) > self._capacity:
            return self._idle.pop(0)
        if worker.state is State.IDLE and any(one.batch for one in self._workers.values()):
            worker.look_at = time.monotonic() + _SHARE_S
        return None

    def bury(self, worker: Worker) -> None:
        """It has ended: what it was handed ahead never began."""
        self._return(worker.batch)
        worker.batch.clear()
        if worker in self._idle:
            self._idle.remove(worker)

    def _begin(self, worker: Worker, job: Job) -> None:
        if job.is_short and not worker.is_equipped:
            self._equip(worker)
        worker.state = State.BUSY
        self._busy += 1
        job.began = time.monotonic()
        job.attempt.worker = place_of(worker)
        worker.begin(job)
        self._begun(worker)

    def _is_handed_ahead(self, job: Job) -> bool:
        """Gives it to the worker that has the least to do besides what it is at."""
        if not job.is_short or job.worker is not None:
            return False
        ready = [worker for worker in self._workers.values() if worker.room_for(job)]
        if not ready:
            return False
        worker = min(ready, key=lambda one: len(one.batch))
        job.attempt.worker = place_of(worker)
        return worker.hand(job)

    def _return(self, jobs: Iterable[Job]) -> None:
        for job in reversed(list(jobs)):
            job.is_batched, job.worker = False, None
            self._pending.appendleft(job)


def place_of(worker: Worker) -> str:
    """`host:pid`, empty until it is known."""
    return "" if worker.pid is None else f"{_HOST}:{worker.pid}"
