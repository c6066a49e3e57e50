"""The tasks of a turn: those of its schedule for each day of its window, oldest first. Asks none of them anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, tzinfo
from itertools import product
from typing import Any, Protocol

from etlctl.core import dates
from etlctl.core.date_interval import DateRange
from etlctl.core.parameters import DateRangeParameter, OptionalOf, Parameter, ParameterVisibility
from etlctl.core.parameters.instants import InstantParameter
from etlctl.core.private import hidden, private_given
from etlctl.core.registry import Registry
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, NotMadeError, ParameterValueError, UsageError
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

MOST_TASKS = 100_000
"""More of them in one turn are taken for a mistake."""
_DATE = "date"


class Wanted(Protocol):
    """What a schedule says of its tasks; `schedule.Schedule` has it."""

    @property
    def tasks(self) -> Sequence[str]:
        """Families."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Values by the names of parameters: texts as on the command line, or values as TOML has them."""

    @property
    def zone(self) -> tzinfo:
        """Whose calendar and clock hold."""

    @property
    def place(self) -> str:
        """Where it stands, to begin a sentence."""


def tasks_of(wanted: Wanted, registry: Registry, days: Sequence[date], due: datetime) -> list[Task]:
    """The tasks of a turn that was due at `due` (aware) and means these days, oldest first; empty for no days named.

    A task without a parameter for a day is there once. One for hours gets those of the days that were over at `due`.
    Raises UsageError for what cannot be made.
    """
    classes = [registry.find(name) for name in wanted.tasks]
    _check_params(wanted, classes)
    local = due.astimezone(wanted.zone).replace(tzinfo=None)
    dated = {cls: day_parameter(cls, wanted) if days else None for cls in classes}
    if days and not any(dated.values()):
        raise UsageError(
            f"{wanted.place} has a date, but none of its tasks has a parameter that takes one: "
            f"{', '.join(wanted.tasks)}. Leave the date out."
        )
    made: dict[Task, None] = {}
    given = {cls: _given(wanted, cls, local) for cls in classes}
    for values in _by_day(dated, days, local):
        for cls, name, value in values:
            several = {**given[cls], **({name: [value]} if name is not None else {})}
            if len(made) + math.prod(len(one) for one in several.values()) > MOST_TASKS:
                raise UsageError(f"{wanted.place}: a turn of more than {MOST_TASKS:,} tasks; give it a shorter window.")
            for combination in product(*several.values()):
                made[_made(cls, dict(zip(several, combination, strict=True)))] = None
    return list(made)


def _by_day(
    dated: Mapping[type[Task], str | None], days: Sequence[date], local: datetime
) -> Iterator[list[tuple[type[Task], str | None, Any]]]:
    """Class, name of its parameter for days, and value; a day at a time."""
    yield [(cls, None, None) for cls, name in dated.items() if name is None]
    for day in days:
        found: list[tuple[type[Task], str | None, Any]] = []
        for cls, name in dated.items():
            if name is not None:
                parameter = dict(cls.get_params())[name]
                found += [(cls, name, value) for value in _values_of_day(parameter, day, days, local)]
        yield found


def _values_of_day(parameter: Parameter[Any], day: date, days: Sequence[date], local: datetime) -> list[Any]:
    kind = parameter.inner if isinstance(parameter, OptionalOf) else parameter
    if isinstance(kind, DateRangeParameter):
        return [DateRange(days[0], days[-1])]
    if not isinstance(kind, InstantParameter):
        return [day]
    values = []
    value: datetime | None = datetime.combine(day, datetime.min.time())
    while value is not None and value.date() == day and value + kind.step * kind.interval <= local:
        values.append(value)
        value = kind.next_in_enumeration(value)
    return values


def day_parameter(cls: type[Task], wanted: Wanted) -> str | None:
    """The parameter that takes the day: `date`, or the only one that can; None for a task without any. UsageError
    where several could."""
    able = [name for name, one in cls.get_params() if takes_days(one) and name not in wanted.params]
    if _DATE in able or len(able) < 2:
        return _DATE if _DATE in able else next(iter(able), None)
    needed = [name for name in able if not dict(cls.get_params())[name].has_default]
    if len(needed) == 1:
        return needed[0]
    raise UsageError(
        f"{wanted.place}: {cls.task_family} has several parameters that could take its date: {', '.join(able)}. Name "
        f"one of them {_DATE}, or give the others their values in params."
    )


def takes_days(parameter: Parameter[Any]) -> bool:
    """Whether a day, or days, can be its value."""
    kind = parameter.inner if isinstance(parameter, OptionalOf) else parameter
    return dates.is_date_like(kind) or isinstance(kind, DateRangeParameter)


def _check_params(wanted: Wanted, classes: Sequence[type[Task]]) -> None:
    known = {name for cls in classes for name, _ in cls.get_params()}
    for name in wanted.params:
        if name not in known:
            raise UsageError(
                f"{wanted.place}: none of its tasks has a parameter {shortened(name)!r}.{did_you_mean(name, known)}"
            )


def _given(wanted: Wanted, cls: type[Task], local: datetime) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, parameter in cls.get_params():
        if name in wanted.params:
            value = wanted.params[name]
            found[name] = _expanded(wanted, cls, parameter, value, local) if isinstance(value, str) else [value]
    return found


def _expanded(wanted: Wanted, cls: type[Task], parameter: Parameter[Any], text: str, local: datetime) -> list[Any]:
    try:
        return dates.expand(parameter, text, local)
    except (Exception, SystemExit) as error:  # a user's own kind may raise anything
        name = f"{wanted.place}: {cls.task_family}.{parameter.name}"
        if parameter.visibility is ParameterVisibility.PRIVATE:
            raise ParameterValueError(f"{name}: the private value is refused.") from error
        raise ParameterValueError(
            f"{name}: cannot take {shortened(text)!r}: {shortened(str(error), 200)}; {dates.accepts(parameter)} is "
            "accepted."
        ) from error


def _made(cls: type[Task], values: dict[str, Any]) -> Task:
    try:
        made = cls(**values)
        hash(made)  # writes its values down, which a user's own kind of parameter may refuse
    except (Exception, SystemExit) as error:  # a user's own __init__
        told = str(error)
        safe = hidden(told, also=private_given(cls, values))
        if isinstance(error, EtlctlError) and safe == told and type(error) is not UsageError:  # which is the user's own
            raise
        why = safe if isinstance(error, EtlctlError) else f"{type(error).__name__}: {shortened(safe, 200)}"
        chained = error if safe == told else None  # a traceback would quote what is private
        raise NotMadeError(f"{cls.task_family} cannot be made: {why.rstrip('.')}.") from chained
    return made
