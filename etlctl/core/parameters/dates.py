"""Parameters whose value is a date: a day, a month or a year. Times of day are in instants.py."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, Unpack

from etlctl.core import date_interval
from etlctl.core.date_interval import make_date, parse_date, parse_year
from etlctl.core.parameters.base import NO_VALUE, NoValue, Parameter, ParameterOptions, named_type
from etlctl.errors import ParameterError

_EPOCH = dt.date(1970, 1, 1)


class DateParameter(Parameter[dt.date]):
    """A day, written 2013-01-31.

    A datetime (or a pandas Timestamp) given from Python becomes its date. With `interval=7` the value is moved back
    to the last of every seven days counted from `start`.
    """

    def __init__(
        self,
        default: dt.date | Callable[[], dt.date] | NoValue = NO_VALUE,
        *,
        interval: int = 1,
        start: dt.date | None = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(default, **options)
        if interval < 1:
            raise ParameterError(f"interval={interval}: give a whole number of steps from 1 on.")
        self.interval = interval
        self.start = as_date(start) if start is not None else _EPOCH

    @property
    def accepts(self) -> str:
        return "a date like 2013-01-31"

    def parse(self, text: str) -> dt.date:
        return parse_date(text)

    def serialize(self, value: dt.date) -> str:
        return value.isoformat()

    def normalize(self, value: Any) -> dt.date:
        day = as_date(value)
        if self.interval == 1:
            return day
        return _moved(day, -((day - self.start).days % self.interval))

    def next_in_enumeration(self, value: dt.date) -> dt.date | None:
        try:
            return value + dt.timedelta(days=self.interval)
        except OverflowError:
            return None


class MonthParameter(DateParameter):
    """A month, written 2013-01; its value is the first day. Takes any day of it and `date_interval.Month` too."""

    @property
    def accepts(self) -> str:
        return "a month like 2013-01"

    def parse(self, text: str) -> dt.date:
        match = re.fullmatch("([0-9]+)-([0-9]{1,2})", text)
        if match is None:
            raise ValueError("it is not written as year-month")
        return make_date(parse_year(match[1]), int(match[2]))

    def serialize(self, value: dt.date) -> str:
        return f"{value.year:04d}-{value.month:02d}"

    def normalize(self, value: Any) -> dt.date:
        day = value.date_a if isinstance(value, date_interval.Month) else as_date(value)
        if self.interval == 1:
            return dt.date(day.year, day.month, 1)
        months = (day.year - self.start.year) * 12 + day.month - self.start.month
        return _first_of(day.year * 12 + day.month - 1 - months % self.interval)

    def next_in_enumeration(self, value: dt.date) -> dt.date | None:
        try:
            return _first_of(value.year * 12 + value.month - 1 + self.interval)
        except ValueError:
            return None


class YearParameter(DateParameter):
    """A year, written 2013; its value is the first day. Takes any day of it and `date_interval.Year` too."""

    @property
    def accepts(self) -> str:
        return "a year like 2013"

    def parse(self, text: str) -> dt.date:
        if not re.fullmatch("[0-9]+", text):
            raise ValueError("it is not a year")
        return make_date(parse_year(text))

    def serialize(self, value: dt.date) -> str:
        return f"{value.year:04d}"

    def normalize(self, value: Any) -> dt.date:
        day = value.date_a if isinstance(value, date_interval.Year) else as_date(value)
        return make_date(day.year - (day.year - self.start.year) % self.interval)

    def next_in_enumeration(self, value: dt.date) -> dt.date | None:
        try:
            return make_date(value.year + self.interval)
        except ValueError:
            return None


def as_date(value: Any) -> dt.date:
    """`value` as a plain date; raises TypeError with how to pass it, ValueError for pandas' NaT."""
    if type(value) is dt.date:
        return value
    if isinstance(value, dt.date):
        if value != value:  # noqa: PLR0124  pandas' NaT is a datetime that does not equal itself
            raise ValueError("NaT is no date")
        return dt.date(value.year, value.month, value.day)
    if isinstance(value, str):
        raise TypeError(f"text is not a date; give {_in_python(value)}")
    raise TypeError(f"{named_type(value)} is not a date; give datetime.date(2013, 1, 31)")


def _in_python(text: str) -> str:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        return "datetime.date(2013, 1, 31) or date.fromisoformat(text)"
    return f"datetime.date({day.year}, {day.month}, {day.day})"


def _moved(day: dt.date, days: int) -> dt.date:
    try:
        return day + dt.timedelta(days=days)
    except OverflowError:
        raise ValueError("its interval begins before the year 0001") from None


def _first_of(month_number: int) -> dt.date:
    return make_date(month_number // 12, month_number % 12 + 1)
