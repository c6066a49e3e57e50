"""What is to be said against a campaign of loops: dates that ran twice, loops or schedules that were starved. Pure.

A loop's even share is what it would have, were each turn given by lot to one of the loops that could take it. It is to
have a third of that at least: a lot falls below so once in some hundred campaigns of 12 even turns, and never in those
of 50, while a loop that is kept out has none. And no loop is to live through 60 turns without one of its own, which a
lot among four does once in thirty million.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEAST_PART = 1 / 3
"""Of an even share, that of a loop or of a schedule."""
LEAST_EXPECTED = 12
"""Turns: a smaller share says nothing."""
LONGEST_WITHOUT = 60
"""Turns, of a loop that lives."""


@dataclass
class Life:
    """A process of a loop, on one of the seats; instants in seconds of one clock."""

    seat: int
    pid: int
    ready_at: float | None = None
    """From when it could begin turns; None where it never came so far."""
    ended_at: float | None = None
    was_killed: bool = False

    def has(self, moment: float) -> bool:
        """Whether it could have begun a turn then."""
        return self.ready_at is not None and self.ready_at <= moment and (self.ended_at or moment) >= moment


class Begun(NamedTuple):
    """A turn on record."""

    schedule: str
    pid: int
    """Of its loop."""
    began_at: float


class Ran(NamedTuple):
    """A task's word that it runs: what it is, and in which process."""

    task: str
    pid: int


def ran_twice(ran: Sequence[Ran], lives: Sequence[Life]) -> Iterator[str]:
    """Tasks that ran more often than kills explain: again only after the last that a killed process did."""
    killed = {life.pid for life in lives if life.was_killed}
    last = {one.pid: index for index, one in enumerate(ran)}
    by_task: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(ran):
        by_task[one.task].append(index)
    for task, indexes in by_task.items():
        for index in indexes[:-1]:
            pid = ran[index].pid
            if pid not in killed:
                yield f"{task} ran again, and process {pid}, which had run it, was not killed"
            elif last[pid] != index:
                yield f"{task} ran again, and process {pid}, which had run it, went on to another before it was killed"


def shares(turns: Sequence[Begun], lives: Sequence[Life]) -> list[tuple[int, float]]:
    """By seat: its turns, and its even share of them."""
    seats = {life.pid: life.seat for life in lives}
    had = Counter(seats[turn.pid] for turn in turns if turn.pid in seats)
    even: dict[int, float] = defaultdict(float)
    for turn in turns:
        able = [life for life in lives if life.has(turn.began_at)]
        for life in able:
            even[life.seat] += 1 / len(able)
    return [(had[seat], even[seat]) for seat in sorted(set(seats.values()))]


def starved_loops(turns: Sequence[Begun], lives: Sequence[Life]) -> Iterator[str]:
    """Seats with too small a share, and loops that waited too long for a turn."""
    for seat, (had, even) in enumerate(shares(turns, lives)):
        if even >= LEAST_EXPECTED and had < LEAST_PART * even:
            yield f"loop {seat} had {had} turns; an even share were {even:.0f}"
    for life in lives:
        longest = longest_without(turns, life)
        if longest > LONGEST_WITHOUT:
            yield f"process {life.pid} of loop {life.seat} lived through {longest} turns of others without one"


def longest_without(turns: Sequence[Begun], life: Life) -> int:
    """How many turns of others began one after the other while it lived."""
    longest = without = 0
    for turn in sorted(turns, key=lambda one: one.began_at):
        if life.has(turn.began_at):
            without = 0 if turn.pid == life.pid else without + 1
            longest = max(longest, without)
    return longest


def starved_schedules(turns: Sequence[Begun], every_s: Mapping[str, float]) -> Iterator[str]:
    """Schedules with less than a third of the turns that were due; where all were late, of what another one had."""
    had = Counter(turn.schedule for turn in turns)
    moments = [turn.began_at for turn in turns]
    span_s = max(moments, default=0.0) - min(moments, default=0.0)
    for name, seconds in every_s.items():
        fair = min(span_s / seconds, max(had.values(), default=0))
        if had[name] < LEAST_PART * fair - 1:  # one may have been about to begin
            yield f"schedule {name} had {had[name]} turns, and {fair:.0f} would have been fair"
