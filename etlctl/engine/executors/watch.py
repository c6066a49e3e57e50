"""What the supervisor's thread waits for: descriptors that can be read, and moments. Knows no meaning of either."""

from __future__ import annotations

import math
import os
import selectors
import time
from collections.abc import Callable
from contextlib import suppress

from etlctl.engine.executors.peer import Worker

_AT_ONCE = 1 << 16


class Watch:
    """Descriptors, each with what to call when it can be read. Only `wait` may be called without the owner's lock."""

    def __init__(self) -> None:
        self._selector: selectors.BaseSelector | None = None
        self._fresh: dict[int, Callable[[], object]] = {}
        """Those to be looked at from the next turn on: a selector is not to be changed while another thread waits."""
        self._woken, self._wakes = -1, -1

    def look_at(self, number: int, call: Callable[[], object]) -> None:
        """From the next turn on; see `wake`."""
        self._fresh[number] = call

    def forget(self, number: int) -> None:
        """No more; one that is not looked at is no error. Called before the descriptor is closed."""
        self._fresh.pop(number, None)
        if self._selector is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(number)

    def wake(self) -> None:
        """Ends the turn: something is to be looked at that was not."""
        if self._wakes >= 0:
            with suppress(BlockingIOError):
                os.write(self._wakes, b"!")

    def prepare(self) -> None:
        """Before each `wait`."""
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._woken, self._wakes = os.pipe()
            os.set_blocking(self._woken, False)
            os.set_blocking(self._wakes, False)
            self._selector.register(self._woken, selectors.EVENT_READ, self._awake)
        for number, call in self._fresh.items():
            self._selector.register(number, selectors.EVENT_READ, call)
        self._fresh.clear()

    def wait(self, patience_s: float | None) -> list[selectors.SelectorKey]:
        """Those that can be read; none when the patience is over."""
        return [] if self._selector is None else [key for key, _ in self._selector.select(patience_s)]

    def call(self, ready: list[selectors.SelectorKey]) -> None:
        """Calls what was given for each; one may have another forgotten."""
        for key in ready:
            if self._selector is not None and key.fd in self._selector.get_map():
                key.data()

    def close(self) -> None:
        """Of no use from here on."""
        if self._selector is not None:
            self._selector.close()
            os.close(self._woken)
            os.close(self._wakes)
        self._selector = None
        self._woken = self._wakes = -1

    def _awake(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, _AT_ONCE)


class Moments:
    """The workers that something is to be done about at some moment, should nothing happen before."""

    def __init__(self) -> None:
        self._workers: set[Worker] = set()
        self._until = -math.inf
        """Until when the thread sleeps; long ago while it is awake."""

    def note(self, worker: Worker) -> bool:
        """Takes notice of its moment as it is now; true where it comes before the thread would wake up."""
        moment = worker.moment
        if moment is None:
            self._workers.discard(worker)
            return False
        self._workers.add(worker)
        return moment < self._until

    def forget(self, worker: Worker) -> None:
        """It is gone."""
        self._workers.discard(worker)

    def patience_s(self) -> float | None:
        """Seconds until the first, for which the thread sleeps; None for ever."""
        self._until = min((worker.moment for worker in self._workers if worker.moment is not None), default=math.inf)
        return None if math.isinf(self._until) else max(0.0, self._until - time.monotonic())

    def awake(self) -> None:
        """The thread looks at all moments before it sleeps again."""
        self._until = -math.inf

    def due(self) -> list[Worker]:
        """Those whose moment has come."""
        if not self._workers:
            return []
        now = time.monotonic()
        return [worker for worker in self._workers if worker.moment is not None and worker.moment <= now]
