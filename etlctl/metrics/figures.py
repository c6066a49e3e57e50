"""The figures themselves: which there are, and what each holds. Plain values; knows neither Prometheus nor a file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

BUCKETS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400)
"""Upper bounds of how long a task takes: from a file that is copied to a night's load."""
OTHER = "other"
MOST_FAMILIES = 1_000
"""Families that have figures of their own; what comes after them is counted as `other`."""


class Kind(Enum):
    """What may become of a figure: a counter grows, a gauge is set, a histogram counts by size."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Figure(NamedTuple):
    """One metric. A counter's name has no `_total`: the format adds it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


TASKS = Figure("etlctl_tasks", Kind.COUNTER, "Tasks by how they ended.", ("family", "status"))
ROWS = Figure("etlctl_task_rows", Kind.COUNTER, "Rows that tasks loaded or wrote.", ("family",))
DURATION = Figure("etlctl_task_duration_seconds", Kind.HISTOGRAM, "How long tasks ran.", ("family",))
RETRIES = Figure("etlctl_task_retries", Kind.COUNTER, "Attempts after the first.", ("family",))
LAST_SUCCESS = Figure(
    "etlctl_task_last_success_timestamp_seconds", Kind.GAUGE, "When a task of the family last ran well.", ("family",)
)
RUNS = Figure("etlctl_runs", Kind.COUNTER, "Runs by the exit code they ended with.", ("exit_code",))
RUN_DURATION = Figure("etlctl_last_run_duration_seconds", Kind.GAUGE, "How long the last run took.")
RUN_ENDED = Figure("etlctl_last_run_end_timestamp_seconds", Kind.GAUGE, "When the last run ended.")
RUN_CODE = Figure("etlctl_last_run_exit_code", Kind.GAUGE, "The exit code that the last run ended with.")
TURNS = Figure(
    "etlctl_schedule_turns", Kind.COUNTER, "Turns by the exit code they ended with.", ("schedule", "exit_code")
)
LATENESS = Figure(
    "etlctl_schedule_lateness_seconds", Kind.GAUGE, "How long after it was due the last turn began.", ("schedule",)
)
NEXT_DUE = Figure("etlctl_schedule_next_due_timestamp_seconds", Kind.GAUGE, "When the next turn is due.", ("schedule",))
LAST_TURN = Figure(
    "etlctl_schedule_last_success_timestamp_seconds", Kind.GAUGE, "When a turn last ended with 0.", ("schedule",)
)
MISSED = Figure("etlctl_schedule_deadlines_missed", Kind.COUNTER, "Deadlines that passed.", ("schedule",))
STATE = Figure("etlctl_state_reachable", Kind.GAUGE, "1 while the state database can be used.")
ALL = (
    TASKS, ROWS, DURATION, RETRIES, LAST_SUCCESS, RUNS, RUN_DURATION, RUN_ENDED, RUN_CODE,
    TURNS, LATENESS, NEXT_DUE, LAST_TURN, MISSED, STATE,
)  # fmt: skip

Labels = tuple[str, ...]


@dataclass
class Spread:
    """A histogram's value: how many were at most as long as each bucket, below it, and all of them."""

    counts: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS_S) + 1))
    """By bucket, not cumulated; the last holds what is longer than all of them."""
    total: float = 0.0

    def add(self, value: float) -> None:
        """Counts one."""
        self.counts[bisect_left(BUCKETS_S, value)] += 1
        self.total += value

    def added(self, other: Spread) -> Spread:
        """Both together."""
        return Spread([one + two for one, two in zip(self.counts, other.counts, strict=True)], self.total + other.total)


class Figures:
    """A set of figures with their values. Not thread-safe."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[Figure, Labels], float] = {}
        self.spreads: dict[tuple[Figure, Labels], Spread] = {}

    def count(self, figure: Figure, *labels: str, by: float = 1) -> None:
        """A counter grows."""
        key = (figure, labels)
        self.numbers[key] = self.numbers.get(key, 0.0) + by

    def set(self, figure: Figure, *labels: str, to: float) -> None:
        """A gauge takes a value."""
        self.numbers[figure, labels] = to

    def observe(self, figure: Figure, *labels: str, value: float) -> None:
        """A histogram counts one more."""
        self.spreads.setdefault((figure, labels), Spread()).add(value)

    def after(self, before: Figures) -> Figures:
        """These on top of those there were before: counters and histograms add up, gauges are the newer."""
        found = Figures()
        found.numbers = {**before.numbers}
        for (figure, labels), value in self.numbers.items():
            grows = before.numbers.get((figure, labels), 0.0) if figure.kind is Kind.COUNTER else 0.0
            found.numbers[figure, labels] = value + grows
        found.spreads = {**before.spreads}
        for key, spread in self.spreads.items():
            found.spreads[key] = spread.added(before.spreads[key]) if key in before.spreads else spread
        return found

    def of(self, figure: Figure) -> Iterator[tuple[Labels, float]]:
        """The values of a counter or a gauge, by their labels."""
        for (one, labels), value in sorted(self.numbers.items(), key=lambda item: item[0][1]):
            if one == figure:
                yield labels, value

    def spreads_of(self, figure: Figure) -> Iterator[tuple[Labels, Spread]]:
        """The values of a histogram, by their labels."""
        for (one, labels), spread in sorted(self.spreads.items(), key=lambda item: item[0][1]):
            if one == figure:
                yield labels, spread


def figure_named(name: str) -> Figure | None:
    """The figure of this name."""
    return _BY_NAME.get(name)


_BY_NAME: Mapping[str, Figure] = {figure.name: figure for figure in ALL}
