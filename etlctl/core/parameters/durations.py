"""Parameters whose value is a stretch of time: a timedelta, an interval of the calendar, a range of days."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from etlctl.core import date_interval
from etlctl.core.date_interval import DateInterval, DateRange
from etlctl.core.parameters.base import Parameter, named_type
from etlctl.core.parameters.dates import as_date

# patterns as text: re compiles and keeps them at their first use, which most programs never come to
_WORDS = (
    r"(?:(?P<weeks>-?\d+) ?w(?:eeks?)? ?)?(?:(?P<days>\d+) ?d(?:ays?)? ?)?(?:(?P<hours>\d+) ?h(?:(?:ou)?rs?)? ?)?"
    r"(?:(?P<minutes>\d+) ?m(?:in(?:ute)?s?)? ?)?(?:(?P<seconds>\d+)(?:\.(?P<micro>\d{1,6}))? ?s(?:ec(?:ond)?s?)?)?"
)
_ISO = (
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.(?P<micro>\d{1,6}))?S)?)?"
)


class TimeDeltaParameter(Parameter[dt.timedelta]):
    """A duration: seconds (`90`), words from the longest unit to the shortest (`1 week 2 days`, `3 h 5 m`) or ISO 8601
    (`P3DT4H`, `P2W`)."""

    @property
    def accepts(self) -> str:
        return "a duration like '2 days 3 hours', P3DT4H or a number of seconds"

    def parse(self, text: str) -> dt.timedelta:
        try:
            return _seconds(text)
        except OverflowError:
            raise ValueError("it is longer than 999999999 days") from None

    def serialize(self, value: dt.timedelta) -> str:
        weeks, days = divmod(value.days, 7)
        hours, rest = divmod(value.seconds, 3600)
        minutes, seconds = divmod(rest, 60)
        fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
        return f"{weeks} w {days} d {hours} h {minutes} m {seconds}{fraction} s"

    def normalize(self, value: Any) -> dt.timedelta:
        if not isinstance(value, dt.timedelta):
            raise TypeError(f"{named_type(value)} is not a timedelta; give datetime.timedelta(hours=3)")
        if value != value:  # noqa: PLR0124  pandas' NaT
            raise ValueError("NaT is no duration")
        if type(value) is dt.timedelta:
            return value
        return dt.timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)


class DateIntervalParameter(Parameter[DateInterval]):
    """A stretch of days: a year `2015`, a month `2015-05`, an ISO week `2015-W35`, a day `2015-11-04`, or
    `2015-11-04-2015-12-04`, whose last day is not part of it."""

    @property
    def accepts(self) -> str:
        return "a date interval like 2015, 2015-05, 2015-W35, 2015-11-04 or 2015-11-04-2015-12-04"

    def parse(self, text: str) -> DateInterval:
        kinds = date_interval.Year, date_interval.Month, date_interval.Week, date_interval.Date, date_interval.Custom
        for kind in kinds:
            found = kind.parse(text)
            if found is not None:
                return found
        raise ValueError("it is written in none of the ways of a date interval")

    def normalize(self, value: Any) -> DateInterval:
        if not isinstance(value, DateInterval):
            raise TypeError(f"{named_type(value)} is not a date interval; give date_interval.Month(2015, 5)")
        return value


class DateRangeParameter(Parameter[DateRange]):
    """The days from one to another, both included, written `2013-01-01..2013-01-31` (or one day alone)."""

    @property
    def accepts(self) -> str:
        return "a range of dates like 2013-01-01..2013-01-31"

    def parse(self, text: str) -> DateRange:
        return DateRange.parse(text)

    def normalize(self, value: Any) -> DateRange:
        if isinstance(value, DateRange):
            return DateRange(as_date(value.start), as_date(value.end))
        if isinstance(value, tuple | list) and len(value) == 2:
            return DateRange(as_date(value[0]), as_date(value[1]))
        raise TypeError(f"{named_type(value)} is not a range of dates; give DateRange(start, end)")


def _seconds(text: str) -> dt.timedelta:
    """The duration of any of the three notations; raises OverflowError beyond what a timedelta holds."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if number != number:  # noqa: PLR0124  NaN
            raise ValueError("NaN is no duration")
        return dt.timedelta(seconds=number)
    match = re.fullmatch(_ISO, text, re.ASCII) or re.fullmatch(_WORDS, text.strip(), re.ASCII)
    if match is None or not any(match.groups()):
        raise ValueError("it is not a duration (units go from the longest to the shortest; no months or years)")
    parts = {unit: int(digits) for unit, digits in match.groupdict("0").items() if unit != "micro"}
    micro = (match["micro"] or "0").ljust(6, "0")
    return dt.timedelta(**parts, microseconds=int(micro))
