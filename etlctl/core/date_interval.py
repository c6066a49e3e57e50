"""Stretches of days as immutable values: Luigi's half-open intervals and our inclusive DateRange.

Also how a day is read from text, with reasons a human understands. It knows no parameters and no tasks.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, Self

_ONE_DAY = dt.timedelta(days=1)


def make_date(year: int, month: int = 1, day: int = 1) -> dt.date:
    """The date, or a ValueError that says which part cannot be ("February 2013 has 28 days")."""
    if not dt.MINYEAR <= year <= dt.MAXYEAR:
        raise ValueError("years go from 0001 to 9999")
    if not 1 <= month <= 12:
        raise ValueError(f"months go from 01 to 12, not {month:02d}")
    days = calendar.monthrange(year, month)[1]
    if not 1 <= day <= days:
        raise ValueError(f"{calendar.month_name[month]} {year} has {days} days, so there is no day {day:02d}")
    return dt.date(year, month, day)


def parse_date(text: str) -> dt.date:
    """The date of an ISO text (2013-01-31); raises ValueError with a plain reason."""
    match = re.fullmatch(r"([0-9]+)-([0-9]{1,2})-([0-9]{1,2})", text)
    if match is None:
        raise ValueError("it is not written as year-month-day")
    return make_date(parse_year(match[1]), int(match[2]), int(match[3]))


def parse_year(digits: str) -> int:
    """The year of its four digits; raises ValueError when there are more or fewer."""
    if len(digits) != 4:
        raise ValueError("a year is written with four digits, from 0001 to 9999")
    return int(digits)


class DateInterval:
    """A stretch of days, `date_a` included and `date_b` not: May 2014 is 2014-05-01 to 2014-06-01.

    Two are equal when they are of one kind and of the same days; only intervals of one kind can be ordered.
    """

    __slots__ = ("date_a", "date_b")
    date_a: dt.date
    date_b: dt.date

    def __init__(self, date_a: dt.date, date_b: dt.date) -> None:
        object.__setattr__(self, "date_a", date_a)
        object.__setattr__(self, "date_b", date_b)

    def dates(self) -> list[dt.date]:
        """Its days, first to last."""
        return [self.date_a + dt.timedelta(days=n) for n in range((self.date_b - self.date_a).days)]

    def hours(self) -> Iterator[dt.datetime]:
        """Its hours, first to last."""
        for day in self.dates():
            for hour in range(24):
                yield dt.datetime.combine(day, dt.time(hour))

    def prev(self) -> Self:
        """The one before, of the same length in the calendar: May's is April."""
        if self.date_a == dt.date.min:
            raise ValueError(f"{self} is the first there is")
        return self.from_date(self.date_a - _ONE_DAY)

    def next(self) -> Self:
        """The one after: May's is June."""
        return self.from_date(self.date_b)

    def to_string(self) -> str:
        """The text that `parse` reads."""
        raise NotImplementedError

    @classmethod
    def from_date(cls, d: dt.date) -> Self:
        """The one that holds the day `d`: `Month.from_date(date(2012, 6, 6))` is `Month(2012, 6)`."""
        raise NotImplementedError(f"{cls.__name__} cannot be told by one day")

    @classmethod
    def parse(cls, s: str) -> Self | None:
        """The interval of a text, or None when the text is not written in this kind's way."""
        raise NotImplementedError

    def __contains__(self, day: object) -> bool:
        if isinstance(day, dt.datetime):
            day = day.date()
        return isinstance(day, dt.date) and self.date_a <= day < self.date_b

    def __iter__(self) -> Iterator[dt.date]:
        return iter(self.dates())

    def __str__(self) -> str:
        return self.to_string()

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DateInterval):
            return NotImplemented
        return type(self) is type(other) and self._bounds() == other._bounds()

    def __hash__(self) -> int:
        return hash((type(self), self.date_a, self.date_b))

    def __lt__(self, other: DateInterval) -> bool:
        return self._bounds() < self._comparable(other)

    def __le__(self, other: DateInterval) -> bool:
        return self._bounds() <= self._comparable(other)

    def __gt__(self, other: DateInterval) -> bool:
        return self._bounds() > self._comparable(other)

    def __ge__(self, other: DateInterval) -> bool:
        return self._bounds() >= self._comparable(other)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is fixed when it is made")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is fixed when it is made")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).parse, (self.to_string(),)

    def _bounds(self) -> tuple[dt.date, dt.date]:
        return self.date_a, self.date_b

    def _comparable(self, other: object) -> tuple[dt.date, dt.date]:
        if not isinstance(other, DateInterval) or type(self) is not type(other):
            raise TypeError(f"Date interval type mismatch: {type(self).__name__} and {type(other).__name__}")
        return other._bounds()


class Date(DateInterval):
    """One day."""

    __slots__ = ()

    def __init__(self, y: int, m: int, d: int) -> None:
        day = make_date(y, m, d)
        super().__init__(day, _after(day))

    def to_string(self) -> str:
        return self.date_a.isoformat()

    @classmethod
    def from_date(cls, d: dt.date) -> Self:
        return cls(d.year, d.month, d.day)

    @classmethod
    def parse(cls, s: str) -> Self | None:
        return cls.from_date(parse_date(s)) if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", s) else None


class Week(DateInterval):
    """An ISO 8601 week, Monday to Sunday; the week of a day near new year may belong to the neighbouring year."""

    __slots__ = ()

    def __init__(self, y: int, w: int) -> None:
        make_date(y)
        try:
            monday = dt.date.fromisocalendar(y, w, 1)
        except ValueError:
            weeks = dt.date(y, 12, 28).isocalendar().week  # 28 December is always in a year's last week (ISO 8601)
            raise ValueError(f"{y} has {weeks} weeks, so there is no week {w:02d}") from None
        super().__init__(monday, _after(monday, 7))

    def to_string(self) -> str:
        year, week, _ = self.date_a.isocalendar()
        return f"{year:04d}-W{week:02d}"

    @classmethod
    def from_date(cls, d: dt.date) -> Self:
        year, week, _ = d.isocalendar()
        return cls(year, week)

    @classmethod
    def parse(cls, s: str) -> Self | None:
        match = re.fullmatch("([0-9]{4})-W([0-9]{2})", s)
        return cls(int(match[1]), int(match[2])) if match else None


class Month(DateInterval):
    """A calendar month."""

    __slots__ = ()

    def __init__(self, y: int, m: int) -> None:
        first = make_date(y, m)
        super().__init__(first, _after(first, calendar.monthrange(y, m)[1]))

    def to_string(self) -> str:
        return f"{self.date_a.year:04d}-{self.date_a.month:02d}"

    @classmethod
    def from_date(cls, d: dt.date) -> Self:
        return cls(d.year, d.month)

    @classmethod
    def parse(cls, s: str) -> Self | None:
        match = re.fullmatch("([0-9]{4})-([0-9]{2})", s)
        return cls(int(match[1]), int(match[2])) if match else None


class Year(DateInterval):
    """A calendar year."""

    __slots__ = ()

    def __init__(self, y: int) -> None:
        first = make_date(y)
        super().__init__(first, _after(first, 366 if calendar.isleap(y) else 365))

    def to_string(self) -> str:
        return f"{self.date_a.year:04d}"

    @classmethod
    def from_date(cls, d: dt.date) -> Self:
        return cls(d.year)

    @classmethod
    def parse(cls, s: str) -> Self | None:
        return cls(int(s)) if re.fullmatch("[0-9]{4}", s) else None


class Custom(DateInterval):
    """Any stretch of days; it may be empty, and knows no `prev()` and `next()`."""

    __slots__ = ()

    def __init__(self, date_a: dt.date, date_b: dt.date) -> None:
        if date_b < date_a:
            raise ValueError(f"{date_b} is before {date_a}")
        super().__init__(date_a, date_b)

    def to_string(self) -> str:
        return f"{self.date_a.isoformat()}-{self.date_b.isoformat()}"

    @classmethod
    def parse(cls, s: str) -> Self | None:
        match = re.fullmatch("([0-9]{4}-[0-9]{2}-[0-9]{2})-([0-9]{4}-[0-9]{2}-[0-9]{2})", s)
        return cls(parse_date(match[1]), parse_date(match[2])) if match else None


class DateRange:
    """The days from `start` to `end`, both included: immutable, iterable, written `2013-01-01..2013-01-31`."""

    __slots__ = ("end", "start")
    start: dt.date
    end: dt.date

    def __init__(self, start: dt.date, end: dt.date) -> None:
        if end < start:
            raise ValueError(f"the end {end} is before the start {start}")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The range of `A..B`, or of one day; raises ValueError with a plain reason."""
        start, dots, end = text.partition("..")
        first = parse_date(start.strip())
        return cls(first, parse_date(end.strip()) if dots else first)

    def __iter__(self) -> Iterator[dt.date]:
        return (self.start + dt.timedelta(days=n) for n in range(len(self)))

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def __contains__(self, day: object) -> bool:
        if isinstance(day, dt.datetime):
            day = day.date()
        return isinstance(day, dt.date) and self.start <= day <= self.end

    def __str__(self) -> str:
        return f"{self.start.isoformat()}..{self.end.isoformat()}"

    def __repr__(self) -> str:
        return f"DateRange({self})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DateRange):
            return NotImplemented
        return (self.start, self.end) == (other.start, other.end)

    def __hash__(self) -> int:
        return hash((self.start, self.end))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("DateRange is fixed when it is made")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("DateRange is fixed when it is made")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.start, self.end)


def _after(day: dt.date, days: int = 1) -> dt.date:
    try:
        return day + dt.timedelta(days=days)
    except OverflowError:
        raise ValueError("an interval must end before 9999-12-31, the last day there is") from None
