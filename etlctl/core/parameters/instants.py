"""Parameters whose value is a point in time, to the hour, minute or second; without a time zone."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, Unpack

from etlctl.core.date_interval import parse_date
from etlctl.core.parameters.base import NO_VALUE, NoValue, Parameter, ParameterOptions, named_type
from etlctl.errors import ParameterError

_EPOCH = dt.datetime(1970, 1, 1)


class InstantParameter(Parameter[dt.datetime]):
    """Base of DateHourParameter, DateMinuteParameter and DateSecondParameter.

    Given from Python, a plain date means its midnight, and what is finer than the kind is cut off. With `interval`
    the value is moved back to the last of every so many steps counted from `start`.
    """

    step = dt.timedelta(hours=1)
    _time = re.compile("([0-9]{1,2})")
    _form = "the hour after a T"

    def __init__(
        self,
        default: dt.datetime | Callable[[], dt.datetime] | NoValue = NO_VALUE,
        *,
        interval: int = 1,
        start: dt.datetime | dt.date | None = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(default, **options)
        if interval < 1:
            raise ParameterError(f"interval={interval}: give a whole number of steps from 1 on.")
        self.interval = interval
        self.start = as_datetime(start) if start is not None else _EPOCH
        if (self.start - _EPOCH) % self.step:
            raise ParameterError(f"start={self.start} is finer than {type(self).__name__}: its text could not hold it.")

    def parse(self, text: str) -> dt.datetime:
        date_text, separator, time_text = text.partition("T")
        day = parse_date(date_text)
        match = self._time.fullmatch(time_text) if separator else None
        if match is None:
            raise ValueError(f"it does not give {self._form}")
        hour, minute, second = (int(group) for group in (*match.groups(), 0, 0)[:3])
        if hour > 23:
            raise ValueError(f"hours go from 00 to 23, not {hour:02d}")
        if minute > 59:
            raise ValueError(f"minutes go from 00 to 59, not {minute:02d}")
        if second > 59:
            raise ValueError(f"seconds go from 00 to 59, not {second:02d}")
        return dt.datetime.combine(day, dt.time(hour, minute, second))

    def normalize(self, value: Any) -> dt.datetime:
        plain = type(value) is dt.datetime and value.tzinfo is None
        instant = value if plain else as_datetime(value)
        if self.interval == 1:
            return self._cut(instant)
        try:
            return instant - (instant - self.start) % (self.step * self.interval)
        except OverflowError:
            raise ValueError("its interval begins before the year 0001") from None

    def next_in_enumeration(self, value: dt.datetime) -> dt.datetime | None:
        try:
            return value + self.step * self.interval
        except OverflowError:
            return None

    def _cut(self, instant: dt.datetime) -> dt.datetime:
        """Without what is finer than the kind; same as an interval of 1, since `start` is on a whole step."""
        return instant.replace(minute=0, second=0, microsecond=0)


class DateHourParameter(InstantParameter):
    """An hour of a day, written 2013-01-31T19."""

    @property
    def accepts(self) -> str:
        return "a date and hour like 2013-01-31T19"

    def serialize(self, value: dt.datetime) -> str:
        return value.isoformat(timespec="hours")


class DateMinuteParameter(InstantParameter):
    """A minute of a day, written 2013-01-31T1907 (2013-01-31T19:07 and Luigi's old 2013-01-31T19H07 are read too)."""

    step = dt.timedelta(minutes=1)
    _time = re.compile("([0-9]{2})[:H]?([0-9]{2})")
    _form = "the hour and the minute after a T"

    @property
    def accepts(self) -> str:
        return "a date and time like 2013-01-31T1907"

    def serialize(self, value: dt.datetime) -> str:
        return value.isoformat(timespec="minutes").replace(":", "")

    def _cut(self, instant: dt.datetime) -> dt.datetime:
        return instant.replace(second=0, microsecond=0)


class DateSecondParameter(InstantParameter):
    """A second of a day, written 2013-01-31T190738 (2013-01-31T19:07:38 is read too)."""

    step = dt.timedelta(seconds=1)
    _time = re.compile("([0-9]{2}):?([0-9]{2}):?([0-9]{2})")
    _form = "the hour, the minute and the second after a T"

    @property
    def accepts(self) -> str:
        return "a date and time like 2013-01-31T190738"

    def serialize(self, value: dt.datetime) -> str:
        return value.isoformat(timespec="seconds").replace(":", "")

    def _cut(self, instant: dt.datetime) -> dt.datetime:
        return instant.replace(microsecond=0)


def as_datetime(value: Any) -> dt.datetime:
    """`value` as a plain datetime without time zone; raises TypeError with how to pass it."""
    if isinstance(value, dt.datetime):
        if value != value:  # noqa: PLR0124  pandas' NaT is a datetime that does not equal itself
            raise ValueError("NaT is no point in time")
        if value.tzinfo is not None:
            raise TypeError("it has a time zone and the parameter has none; give value.replace(tzinfo=None)")
        return dt.datetime(
            value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond
        )
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        raise TypeError(f"text is not a datetime; give {_in_python(value)}")
    raise TypeError(f"{named_type(value)} is not a datetime; give datetime.datetime(2013, 1, 31, 19)")


def _in_python(text: str) -> str:
    try:
        return repr(dt.datetime.fromisoformat(text).replace(tzinfo=None))
    except ValueError:
        return "datetime.datetime(2013, 1, 31, 19)"
