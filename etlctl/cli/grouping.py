"""Many tasks in few words: tasks of one family that differ in a date alone become one line with collapsed dates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from etlctl.core import dates
from etlctl.core.parameters import Parameter, ParameterVisibility
from etlctl.core.plan import Decision, PlannedTask
from etlctl.core.task import Task
from etlctl.text import printable, shortened

_MOST_RUNS = 3
_SHORTEST_REPLACED = 4
_DAY_TEXT = len("2013-01-31")
"""A month is not shortened: its last part alone would be taken for a day."""


@dataclass(frozen=True)
class Group:
    """Tasks of a plan that are shown on one line."""

    decision: Decision
    name: str
    """The family, with the parameters that all of them share."""
    values: str
    """What they differ in, collapsed: `02..03`; empty where there is nothing."""
    reason: str
    """Why; with `{date}` where the tasks' reasons differ in their date alone."""
    tasks: tuple[Task, ...]


def axis_of(cls: type[Task]) -> tuple[str, Parameter[Any]] | None:
    """The parameter that tasks of a class are counted along: its first date, else its first parameter."""
    shown = [(name, one) for name, one in cls.get_params() if _is_shown(one)]
    for name, parameter in shown:
        if dates.is_date_like(parameter):
            return name, parameter
    return shown[0] if shown else None


def name_without(task: Task, left_out: str | None) -> str:
    """The family and the parameters besides one: `Cut(origin=EWR)`, or `LoadFlights` alone."""
    words = [
        f"{name}={printable(parameter.serialize(getattr(task, name)))}"
        for name, parameter in task.get_params()
        if name != left_out and _is_shown(parameter) and not _is_default(task, name, parameter)
    ]
    family = printable(task.task_family)
    return f"{family}({shortened(', '.join(words), 60)})" if words else family


def asked_for(tasks: Sequence[Task]) -> str:
    """The tasks of a command line in short: `DailyReport  2013-01-01..03`."""
    by_name: dict[str, list[Task]] = {}
    for task in tasks:
        axis = axis_of(type(task))
        by_name.setdefault(name_without(task, axis[0] if axis else None), []).append(task)
    ranges = {_collapsed(group, within=None) for group in by_name.values()}
    if len(ranges) == 1:
        return f"{', '.join(by_name)}  {ranges.pop()}".rstrip()
    return ", ".join(f"{name} {_collapsed(group, within=None)}".rstrip() for name, group in by_name.items())


def groups_of(planned: Iterable[PlannedTask], roots: Sequence[Task]) -> list[Group]:
    """Planned tasks as groups, in the order of the plan; dates are short where `roots` show the rest of them."""
    found: dict[tuple[Decision, type[Task], str, str], list[PlannedTask]] = {}
    for one in planned:
        axis = axis_of(type(one.task))
        name = name_without(one.task, axis[0] if axis else None)
        found.setdefault((one.decision, type(one.task), name, _general(one)), []).append(one)
    return [
        Group(
            decision,
            name,
            _collapsed([one.task for one in group], within=roots),
            group[0].reason if len(group) == 1 else general,
            tuple(one.task for one in group),
        )
        for (decision, _, name, general), group in found.items()
    ]


def _general(planned: PlannedTask) -> str:
    """The reason with the task's own values replaced by the names of their parameters."""
    reason = planned.reason
    for name, text in planned.task.to_str_params(only_public=True).items():
        if len(text) >= _SHORTEST_REPLACED:
            reason = reason.replace(text, f"{{{name}}}")
    return reason


def _collapsed(tasks: Sequence[Task], within: Sequence[Task] | None) -> str:
    axis = axis_of(type(tasks[0]))
    if axis is None:
        return ""
    name, parameter = axis
    values = [getattr(task, name) for task in tasks]
    if not dates.is_date_like(parameter) and len(values) == 1 and _is_default(tasks[0], name, parameter):
        return ""
    heading = _values_of_kind(parameter, within)
    if not heading or len(parameter.serialize(values[0])) < _DAY_TEXT:
        return printable(dates.collapse(parameter, values, limit=_MOST_RUNS))
    return printable(dates.collapse_short(parameter, values, [*heading, *values], limit=_MOST_RUNS))


def _values_of_kind(parameter: Parameter[Any], tasks: Sequence[Task] | None) -> list[Any]:
    """What the heading shows of values like this parameter's: a day of one task is told as shortly as another's."""
    axes = ((task, axis_of(type(task))) for task in tasks or ())
    return [getattr(task, axis[0]) for task, axis in axes if axis is not None and type(axis[1]) is type(parameter)]


def _is_shown(parameter: Parameter[Any]) -> bool:
    return parameter.significant and parameter.visibility is not ParameterVisibility.PRIVATE


def _is_default(task: Task, name: str, parameter: Parameter[Any]) -> bool:
    try:
        return parameter.has_default and bool(parameter.default_value() == getattr(task, name))
    except Exception:  # noqa: BLE001  a user's default or __eq__: then the value is shown
        return False
