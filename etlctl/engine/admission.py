"""Admission: who runs next. Between "all it requires is there" and "it runs" stand its lease, its pools and its delay.

    push       ready now, in the order of rank, priority and place in the graph
    put_off    ready again when its delay is over
    admit      asks for the leases of the first of them, many at once where tasks are short

What another process holds, or a full pool keeps out, is asked for again and again, a second apart at most.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from etlctl.core.leases import Answer, Ended, EndState, Full, Granted, Held, Leases
from etlctl.engine.entries import Entry

_AHEAD_S = 0.1
"""Work that is claimed at once: longer would keep it from others, shorter is a transaction for each short task."""
_MOST_AHEAD = 250
_SOONEST_S, _LATEST_S = 0.05, 1.0
"""Between two questions for what others hold."""


class HeldTooLong(NamedTuple):
    """It was waited for as long as the user allows, and another process still has it."""

    holder: str


class NeverFits(NamedTuple):
    """It takes more of a pool than there is, so it would wait for ever."""

    pool: str
    limit: int
    amount: int


Verdict = Answer | HeldTooLong | NeverFits


class _Place(NamedTuple):
    """Where an entry stands; the smallest goes first. No two are compared by their entry: tickets tell them apart."""

    rank: int
    less: float
    """Its priority, negated."""
    order: int
    ticket: int
    entry: Entry

    @property
    def is_good(self) -> bool:
        """Whether it still counts: the entry has not ended, and stands nowhere else since."""
        return self.entry.status is None and self.ticket == self.entry.ticket


class Admission:
    """The tasks of one run that are ready; not thread-safe."""

    def __init__(
        self,
        leases: Leases,
        *,
        wait_held_s: float = 0,
        is_nested: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_nested`: a task builds these, which may itself hold what they wait for; so full pools have an end too."""
        self._leases = leases
        self._wait_held_s = wait_held_s
        self._is_nested = is_nested
        self._clock = clock
        self._ready: list[_Place] = []
        self._delayed: list[tuple[float, int, Entry, float]] = []
        self._kept_out: list[_Place] = []
        """Held elsewhere, or waiting for a pool."""
        self._granted: list[_Place] = []
        """Claimed, and not begun."""
        self._next_look = 0.0
        self._interval_s = _SOONEST_S
        self._mean_s = 0.2
        """Of how long tasks took lately."""

    def push(self, entry: Entry, priority: float) -> None:
        """It may run from now on; in place of where it stood before, if it did."""
        entry.ticket += 1
        heapq.heappush(self._ready, _Place(entry.rank, -priority, entry.node.order, entry.ticket, entry))

    def put_off(self, entry: Entry, priority: float, delay_s: float) -> None:
        """It may run again in `delay_s`; until then it takes nothing of any pool, and its lease lives on."""
        self._park(entry)
        heapq.heappush(self._delayed, (self._clock() + delay_s, entry.node.order, entry, priority))

    def set_aside(self, entry: Entry) -> None:
        """Its attempt waits for tasks: it takes nothing of any pool meanwhile."""
        self._park(entry)

    def admit(self, free: Callable[[], int], may_begin: Callable[[], bool]) -> Iterator[tuple[Entry, Verdict]]:
        """What can begin, or has been decided elsewhere, while there are `free()` places. An entry is told once.

        `may_begin` is asked before each that is granted, and ends the round when it says no.
        """
        self._wake()
        while (places := free()) > 0:
            if self._granted and not (self._ready and self._ready[0] < self._granted[0]):
                if not may_begin():
                    return
                place = heapq.heappop(self._granted)
                entry = place.entry
                if not place.is_good or entry.granted is None:  # put forward, ended or lost since it was claimed
                    continue
                if self._leases.begin(entry.wanted.key):
                    yield entry, entry.granted
                else:
                    entry.granted = None
                    self.push(entry, -place.less)
                continue
            most = min(_MOST_AHEAD, int(_AHEAD_S / max(self._mean_s, 1e-5)))
            batch = self._batch(places, most - len(self._granted))
            if not batch:
                return
            yield from self._asked(batch)

    def took(self, active_s: float) -> None:
        """A task has taken this long: how much is claimed at once depends on it."""
        self._mean_s += (active_s - self._mean_s) / 8

    def ended(self, entry: Entry, state: EndState, reason: str = "") -> None:
        """Gives its lease back, if it has one."""
        if entry.granted is not None:
            entry.granted = None
            self._leases.end(Ended(entry.wanted.key, state, reason))
            self._next_look = min(self._next_look, self._clock() + _SOONEST_S)  # a pool may have room now

    def lost(self) -> dict[str, str]:
        """Keys whose leases were lost, with why."""
        return dict(self._leases.lost())

    @property
    def is_waiting(self) -> bool:
        """Whether anything waits for a moment to come: the end of a delay, of a lease elsewhere, of a crowd."""
        return bool(self._delayed or self._kept_out or self._ready or self._granted)

    def patience_s(self) -> float | None:
        """How long nothing can become ready by itself; None for ever."""
        moments = [self._next_look] if self._kept_out else []
        if self._delayed:
            moments.append(self._delayed[0][0])
        return max(min(moments) - self._clock(), 0) if moments else None

    # -- inside

    def _batch(self, places: int, most: int) -> list[_Place]:
        """The first of the ready: as many as there are places, and ahead of them what takes of no pool."""
        found: list[_Place] = []
        most = max(places, most)
        while self._ready and len(found) < most:
            place = self._ready[0]
            if place.is_good:
                if len(found) >= places and place.entry.wanted.resources:
                    break
                found.append(place)
            heapq.heappop(self._ready)
        return found

    def _asked(self, batch: list[_Place]) -> Iterator[tuple[Entry, Verdict]]:
        """Sorts the answers: what is granted waits its turn, what is kept out its next look, the rest is decided."""
        answers = self._answers([place.entry for place in batch])
        decided: list[tuple[Entry, Verdict]] = []
        for place in batch:
            entry, answer = place.entry, answers[place.entry]
            if isinstance(answer, Granted):
                entry.granted = answer
                entry.held_by, entry.held_since, self._interval_s = None, None, _SOONEST_S
                heapq.heappush(self._granted, place)
            elif isinstance(answer, (Held, Full)):
                late = self._keep_out(place, answer)
                if late is not None:
                    decided.append((entry, late))
            else:
                decided.append((entry, answer))
        yield from decided

    def _answers(self, entries: list[Entry]) -> dict[Entry, Answer]:
        found: dict[Entry, Answer] = {}
        fresh: list[Entry] = []
        for entry in entries:
            if entry.granted is None:
                fresh.append(entry)
            else:  # it is ours, and goes on, or once more; or was put forward after it was claimed
                full = self._leases.unpark(entry.wanted.key) if entry.gave_back else None
                entry.gave_back = full is not None
                found[entry] = full or entry.granted
        if fresh:
            found.update(zip(fresh, self._leases.claim([entry.wanted for entry in fresh]), strict=True))
        return found

    def _keep_out(self, place: _Place, answer: Held | Full) -> HeldTooLong | NeverFits | None:
        entry = place.entry
        if isinstance(answer, Held):
            now = self._clock()
            if entry.held_since is None or entry.held_by != answer:  # another has it by now, or has it again
                entry.held_by, entry.held_since = answer, now
            if now - entry.held_since >= self._wait_held_s:
                return HeldTooLong(answer.holder)
        elif entry.wanted.resources[answer.pool] > answer.limit:
            return NeverFits(answer.pool, answer.limit, entry.wanted.resources[answer.pool])
        elif self._is_nested:
            now = self._clock()
            entry.held_since = now if entry.held_since is None else entry.held_since
            if now - entry.held_since >= self._wait_held_s:
                return HeldTooLong(f"a full pool, {answer.pool}, in which the task that builds it may have a place")
        if not self._kept_out:
            self._next_look = self._clock() + self._interval_s
        self._kept_out.append(place)
        return None

    def _wake(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, entry, priority = heapq.heappop(self._delayed)
            self.push(entry, priority)
        if self._kept_out and now >= self._next_look:
            again, self._kept_out = self._kept_out, []
            # others are likely to be about as long at a task of this graph as we are
            self._interval_s = min(self._interval_s * 1.5, max(self._mean_s, _SOONEST_S), _LATEST_S)
            self._next_look = now + self._interval_s * (0.75 + random.random() / 2)  # noqa: S311  no secret
            for place in again:
                if place.is_good:
                    self.push(place.entry, -place.less)

    def _park(self, entry: Entry) -> None:
        if entry.granted is not None:
            entry.gave_back = True
            self._leases.park(entry.wanted.key)
