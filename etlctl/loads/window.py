"""The window of an Incremental: from where to where a cursor column is copied; asks no database.

A window is half-open: `low` is in it, `high` is not, and None is without end. Its values are what Python has for the
column: a date, a whole number, or for timestamps a datetime without zone, in UTC, as loads keep them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from etlctl.db.columns import BadValueError, ColumnType, Kind
from etlctl.db.values import to_value
from etlctl.errors import LoadError
from etlctl.text import shortened

Value = int | dt.date | dt.datetime
"""Of one cursor all are of the same of these types."""


@dataclass(frozen=True)
class Window:
    """See the module."""

    low: Any = None
    high: Any = None

    def holds(self, value: Any) -> bool:
        """Whether it is inside."""
        return (self.low is None or value >= self.low) and (self.high is None or value < self.high)

    @property
    def is_empty(self) -> bool:
        """Whether no value can be inside."""
        return self.low is not None and self.high is not None and self.low >= self.high

    def __str__(self) -> str:
        low = "the beginning" if self.low is None else str(self.low)
        return f"from {low} on" + ("" if self.high is None else f", below {self.high}")


@dataclass(frozen=True)
class Cursor:
    """The column that a window is of: its name, and what its values are."""

    name: str
    kind: Kind
    """DATE, TIMESTAMP (for those with time zone too) or INTEGER."""

    def value(self, raw: Any) -> Any:
        """What a database, or a marker's inputs, gave, as the window has it; BadValueError when it is none."""
        return to_value(_BIGINT if self.kind is Kind.INTEGER else ColumnType(self.kind), raw)

    def of_type(self, type_: ColumnType, value: Any) -> Any:
        """A value of the window for a column of `type_`: aware where that has a time zone."""
        return value.replace(tzinfo=dt.UTC) if type_.kind is Kind.TIMESTAMPTZ and value is not None else value

    def kept(self, value: Any) -> Any:
        """For JSON."""
        return value if value is None or self.kind is Kind.INTEGER else str(value)

    def after(self, value: Any) -> Any:
        """The next value that there can be; databases keep microseconds."""
        if self.kind is Kind.INTEGER:
            return value + 1
        return _shifted(value, dt.timedelta(days=1) if self.kind is Kind.DATE else dt.timedelta(microseconds=1))

    def nothing_of(self, window: Window) -> Window:
        """One that holds nothing, where the other begins, or else where it ends."""
        bounds = (window.low, window.high, _LAST[self.kind])
        place = next(bound for bound in bounds if bound is not None)
        return Window(place, place)

    def before(self, value: Any, look_back: Any) -> Any:
        """`value` less the look-back; None where that is before the first there can be."""
        if self.kind is Kind.DATE and isinstance(look_back, dt.timedelta):
            return _shifted(value, dt.timedelta(days=look_back // -dt.timedelta(days=1)))
        return value - look_back if self.kind is Kind.INTEGER else _shifted(value, -look_back)

    def check_look_back(self, look_back: Any, where: str) -> None:
        """LoadError for one that is negative, or not of the cursor's kind: a timedelta, or a whole number."""
        if self.kind is Kind.INTEGER:
            fits = isinstance(look_back, int) and not isinstance(look_back, bool) and look_back >= 0
        else:
            fits = isinstance(look_back, dt.timedelta) and look_back >= dt.timedelta(0)
        if not fits:
            write = "1000" if self.kind is Kind.INTEGER else "timedelta(days=3)"
            raise LoadError(
                f"{where}: look_back is {shortened(repr(look_back))}; {shortened(self.name)} is "
                f"{_NAMES[self.kind]}, so write for example look_back = {write}."
            )


_LAST: dict[Kind, Value] = {Kind.INTEGER: (1 << 63) - 1, Kind.DATE: dt.date.max, Kind.TIMESTAMP: dt.datetime.max}
_BIGINT = ColumnType(Kind.INTEGER, bits=64)
_NAMES = {Kind.INTEGER: "a whole number", Kind.DATE: "a date", Kind.TIMESTAMP: "a timestamp"}
_KINDS = {kind: kind for kind in _NAMES} | {Kind.TIMESTAMPTZ: Kind.TIMESTAMP}


def cursor_of(name: str, source: ColumnType, target: ColumnType, where: str) -> Cursor:
    """The cursor of a column that has these types; LoadError where it has no order to go by, or two different ones.

    A source whose column is text (SQLite keeps dates so) is taken to hold what the target's type says.
    """
    kind = _KINDS.get(target.kind)
    if kind is None:
        raise LoadError(
            f"{where}: the cursor {shortened(name)} is {target}; it must be a date, a timestamp or a whole number. "
            f'Declare it in columns ("{shortened(name)}": "timestamp"), or CAST it in the query.'
        )
    if source.kind is not Kind.TEXT and _KINDS.get(source.kind) is not kind:
        raise LoadError(
            f"{where}: the cursor {shortened(name)} is {source} in the source and {target} in the table. Declare it "
            f'alike in columns: "{shortened(name)}": "{source}".'
        )
    return Cursor(name, kind)


def end_of(kind: Kind, following: dt.date | dt.datetime | None, zone: str, where: str) -> Value | None:
    """Where a window ends: at the beginning of the parameter's next value, in `zone` for timestamps.

    None for whole numbers, which no day ends, and for the last day there is.
    """
    if following is None or kind is Kind.INTEGER:
        return None
    if kind is Kind.DATE:
        if not isinstance(following, dt.datetime):
            return following
        is_midnight = following.time() == dt.time()
        return following.date() if is_midnight else following.date() + dt.timedelta(days=1)
    try:
        local = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise LoadError(
            f'{where}: time_zone is {shortened(repr(zone))}; write a name such as "Europe/Berlin".'
        ) from error
    moment = following if isinstance(following, dt.datetime) else dt.datetime.combine(following, dt.time())
    try:
        return moment.replace(tzinfo=local).astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:
        return None


def recorded(inputs: list[dict[str, Any]], cursor: Cursor) -> tuple[Window, Any, dict[str, Any]] | None:
    """The window that a marker's inputs tell, the greatest value that was loaded, and the words of both.

    None where they tell none, or one of another cursor.
    """
    for one in inputs:
        if one.get("cursor") == cursor.name and "from" in one and "to" in one:
            try:
                low, high, last = (cursor.value(one.get(name)) for name in ("from", "to", "last"))
            except BadValueError:  # the column was of another type then
                return None
            words: dict[str, Any] = {name: one[name] for name in ("cursor", "from", "to", "last") if name in one}
            return Window(low, high), last, words
    return None


def _shifted(value: Any, by: dt.timedelta) -> Any:
    try:
        return value + by
    except OverflowError:
        return None
