"""How tasks stand, for `status`: rows of tasks over days, each day in one state; values only, nothing is printed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from etlctl.cli.grouping import axis_of, name_without
from etlctl.cli.states import SHOWN, Shown, state_of
from etlctl.core import dates
from etlctl.core.parameters import DateParameter, Parameter
from etlctl.core.plan import PlannedTask
from etlctl.core.task import Task, outputs_of

_DAY = dt.timedelta(days=1)


@dataclass
class Row:
    """One family (with its parameters besides the date) over days."""

    name: str
    days: dict[dt.date, Shown] = field(default_factory=dict)
    """The worst state of the tasks of a day."""
    planned: list[PlannedTask] = field(default_factory=list)


@dataclass(frozen=True)
class Grid:
    """Rows over consecutive days."""

    days: tuple[dt.date, ...]
    rows: tuple[Row, ...]


def split(
    planned: Iterable[PlannedTask], roots: Sequence[Task], state: Callable[[PlannedTask], Shown]
) -> tuple[Grid, list[PlannedTask]]:
    """The tasks that have a date as a grid, and the others; both in the order of the plan."""
    rows: dict[tuple[type[Task], str], Row] = {}
    undated: list[PlannedTask] = []
    for one in planned:
        span = span_of(one.task)
        if span is None:
            undated.append(one)
            continue
        axis = axis_of(type(one.task))
        name = name_without(one.task, axis[0] if axis else None)
        row = rows.setdefault((type(one.task), name), Row(name))
        row.planned.append(one)
    days = _days(roots, [one for row in rows.values() for one in row.planned])
    wanted = frozenset(days)
    for row in rows.values():
        for one in row.planned:
            _mark(row, one, state(one), wanted)
    return Grid(days, tuple(rows.values())), undated


def span_of(task: Task) -> tuple[dt.date, dt.date] | None:
    """First and last day that the task's date stands for: a month for a month; None for a task without a date."""
    axis = axis_of(type(task))
    if axis is None or not dates.is_date_like(axis[1]):
        return None
    value: Any = getattr(task, axis[0])
    if value is None:
        return None
    first = value.date() if isinstance(value, dt.datetime) else value
    return first, _last_day(axis[1], value, first)


def done_at(planned: Iterable[PlannedTask]) -> dt.datetime | None:
    """When the outputs of those that are done were last written; None where no target tells."""
    found: list[dt.datetime] = []
    for one in planned:
        if state_of(one.decision) == "done":
            try:
                moments = [target.updated_at() for target in outputs_of(one.task)]
            except Exception:  # noqa: BLE001, S112  a user's output(), or a target without the question: nothing is known
                continue
            found.extend(moment for moment in moments if moment is not None)
    return max(found, default=None)


def moment_text(moment: dt.datetime | None, now: dt.datetime) -> str:
    """The user's own time: `06:02:14` when it was today, else `2013-01-31 06:02`; `-` when it is not known."""
    if moment is None:
        return "-"
    here = moment.astimezone(now.tzinfo)
    return f"{here:%H:%M:%S}" if here.date() == now.date() else f"{here:%Y-%m-%d %H:%M}"


def _last_day(parameter: Parameter[Any], value: Any, first: dt.date) -> dt.date:
    inner = getattr(parameter, "inner", parameter)
    if not isinstance(inner, DateParameter):
        return first
    following = inner.next_in_enumeration(value)
    return first if following is None else max(first, following - _DAY)


def _days(roots: Sequence[Task], planned: Sequence[PlannedTask]) -> tuple[dt.date, ...]:
    """The days of the tasks asked for; where those have none, the days of all that stand for a single one."""
    spans = [span for root in roots if (span := span_of(root)) is not None]
    if not spans:
        all_spans = [span for one in planned if (span := span_of(one.task)) is not None]
        spans = [span for span in all_spans if span[0] == span[1]] or all_spans
    if not spans:
        return ()
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    return tuple(first + n * _DAY for n in range((last - first).days + 1))


def _mark(row: Row, one: PlannedTask, state: Shown, wanted: frozenset[dt.date]) -> None:
    span = span_of(one.task)
    if span is None:
        return
    day = span[0]
    while day <= span[1]:
        if day in wanted:
            before = row.days.get(day)
            row.days[day] = state if before is None else max(before, state, key=SHOWN.index)
        day += _DAY
