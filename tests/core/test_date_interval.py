"""Intervals of the calendar behave as Luigi's, can be compared across kinds, and cannot be changed."""

from __future__ import annotations

import copy
import datetime as dt
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.core.date_interval import Custom, Date, DateInterval, DateRange, Month, Week, Year, make_date, parse_date

DAY = dt.date(2013, 2, 3)
EVERY_KIND: list[DateInterval] = [
    Date(2013, 2, 3),
    Week(2013, 5),
    Month(2013, 2),
    Year(2013),
    Custom(dt.date(2013, 2, 3), dt.date(2013, 3, 1)),
]


@pytest.mark.parametrize(
    ("interval", "first", "end", "before", "after"),
    [
        (Date(2013, 1, 1), dt.date(2013, 1, 1), dt.date(2013, 1, 2), "2012-12-31", "2013-01-02"),
        (Week(2009, 1), dt.date(2008, 12, 29), dt.date(2009, 1, 5), "2008-W52", "2009-W02"),
        (Week(2015, 53), dt.date(2015, 12, 28), dt.date(2016, 1, 4), "2015-W52", "2016-W01"),
        (Month(2012, 2), dt.date(2012, 2, 1), dt.date(2012, 3, 1), "2012-01", "2012-03"),
        (Month(2013, 12), dt.date(2013, 12, 1), dt.date(2014, 1, 1), "2013-11", "2014-01"),
        (Year(2012), dt.date(2012, 1, 1), dt.date(2013, 1, 1), "2011", "2013"),
    ],
)
def test_an_interval_is_half_open_and_knows_its_neighbours(
    interval: DateInterval, first: dt.date, end: dt.date, before: str, after: str
) -> None:
    assert (interval.date_a, interval.date_b) == (first, end)
    assert (str(interval.prev()), str(interval.next())) == (before, after)
    assert interval.prev().next() == interval == interval.next().prev()


def test_an_interval_lists_its_days_and_hours() -> None:
    week = Week(2013, 5)

    assert list(week) == week.dates() == [dt.date(2013, 1, 28) + dt.timedelta(days=n) for n in range(7)]
    hours = list(week.hours())
    assert len(hours) == 168 and hours[25] == dt.datetime(2013, 1, 29, 1)
    assert dt.date(2013, 2, 3) in week and dt.date(2013, 2, 4) not in week
    assert dt.datetime(2013, 2, 3, 23) in week and "2013-02-03" not in week


@pytest.mark.parametrize("interval", EVERY_KIND)
def test_an_interval_survives_text_copy_and_pickle(interval: DateInterval) -> None:
    """A worker gets it by text, Dask by pickle."""
    kind = type(interval)

    assert kind.parse(str(interval)) == interval
    assert repr(interval) == str(interval)
    assert pickle.loads(pickle.dumps(interval)) == copy.deepcopy(interval) == interval
    assert hash(copy.copy(interval)) == hash(interval)


@pytest.mark.parametrize("interval", EVERY_KIND)
def test_an_interval_is_read_by_its_own_kind_alone(interval: DateInterval) -> None:
    readers = [kind for kind in (Date, Week, Month, Year, Custom) if kind.parse(str(interval)) is not None]

    assert readers == [type(interval)]
    assert type(interval).parse(f"{interval} ") is None


def test_an_interval_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="Year is fixed when it is made"):
        Year(2013).date_a = DAY
    with pytest.raises(AttributeError):
        del Year(2013).date_b


def test_intervals_of_two_kinds_are_never_equal_and_cannot_be_ordered() -> None:
    """Their texts differ, so their task ids do; Luigi raises at the comparison already."""
    assert Date(2013, 1, 1) != Custom(dt.date(2013, 1, 1), dt.date(2013, 1, 2))
    assert Year(2013) != 2013
    assert Month(2013, 1) < Month(2013, 2) <= Month(2013, 2) and Month(2013, 2) >= Month(2013, 1)
    assert max(Year(2012), Year(2013)) == Year(2013)
    with pytest.raises(TypeError, match="Date interval type mismatch: Date and Year"):
        _ = Date(2013, 1, 1) > Year(2013)


def test_a_custom_interval_may_be_empty_and_has_no_neighbour() -> None:
    empty = Custom(DAY, DAY)

    assert empty.dates() == []
    with pytest.raises(NotImplementedError):
        empty.next()


@given(st.dates(max_value=dt.date(9999, 11, 30)), st.sampled_from([Date, Week, Month]))
def test_from_date_finds_the_interval_of_the_day(day: dt.date, kind: type[DateInterval]) -> None:
    assert day in kind.from_date(day)


def test_the_ends_of_the_calendar_are_said_in_words() -> None:
    with pytest.raises(ValueError, match="0001-W01 is the first there is"):
        Week(1, 1).prev()
    with pytest.raises(ValueError, match="an interval must end before 9999-12-31"):
        Month(9999, 11).next()


def test_a_range_includes_both_its_ends() -> None:
    days = DateRange(dt.date(2013, 1, 30), dt.date(2013, 2, 2))

    assert len(days) == 4 == len(list(days))
    assert days.start in days and days.end in days and dt.date(2013, 2, 3) not in days
    assert dt.datetime(2013, 2, 2, 23) in days
    assert (str(days), repr(days)) == ("2013-01-30..2013-02-02", "DateRange(2013-01-30..2013-02-02)")
    assert DateRange.parse("2013-01-30 .. 2013-02-02") == days
    assert DateRange.parse("2013-01-30") == DateRange(days.start, days.start)


def test_a_range_is_an_immutable_value() -> None:
    days = DateRange(DAY, DAY)

    assert pickle.loads(pickle.dumps(days)) == days and hash(days) == hash(DateRange(DAY, DAY))
    assert days != (DAY, DAY)
    with pytest.raises(AttributeError, match="DateRange is fixed when it is made"):
        days.end = DAY
    with pytest.raises(ValueError, match="the end 2013-02-02 is before the start 2013-02-03"):
        DateRange(DAY, dt.date(2013, 2, 2))


@given(st.dates())
def test_parse_date_reads_what_isoformat_writes(day: dt.date) -> None:
    assert parse_date(day.isoformat()) == day == make_date(day.year, day.month, day.day)
