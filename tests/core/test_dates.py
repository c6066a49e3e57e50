"""What people type for dates, and the short text that they read back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.core import dates
from etlctl.core.date_interval import DateRange
from etlctl.core.parameters import (
    DateHourParameter,
    DateIntervalParameter,
    DateMinuteParameter,
    DateParameter,
    DateRangeParameter,
    DateSecondParameter,
    IntParameter,
    MonthParameter,
    OptionalDateParameter,
    OptionalIntParameter,
    OptionalOf,
    Parameter,
    YearParameter,
)

NOW = dt.datetime(2013, 3, 1, 14, 35, 20, 5)
DATE_LIKE: list[Parameter[Any]] = [
    DateParameter(),
    DateParameter(interval=7),
    MonthParameter(),
    YearParameter(),
    DateHourParameter(),
    DateMinuteParameter(interval=15),
    DateSecondParameter(),
]


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("parameter", "text", "values"),
    [
        (DateParameter(), "today", [day("2013-03-01")]),
        (DateParameter(), "yesterday", [day("2013-02-28")]),
        (DateParameter(), "tomorrow", [day("2013-03-02")]),
        (DateParameter(), "-3d", [day("2013-02-26")]),
        (DateParameter(), "-0d", [day("2013-03-01")]),
        (DateParameter(), "-2w", [day("2013-02-15")]),
        (DateParameter(), "2013-01-02", [day("2013-01-02")]),
        (DateParameter(), " 2013-01-02 ", [day("2013-01-02")]),
        (DateParameter(interval=7), "2013-01-02", [day("2012-12-27")]),
        (MonthParameter(), "today", [day("2013-03-01")]),
        (MonthParameter(), "-3d", [day("2013-02-01")]),
        (MonthParameter(), "2012-12", [day("2012-12-01")]),
        (YearParameter(), "yesterday", [day("2013-01-01")]),
        (DateHourParameter(), "today", [moment("2013-03-01T00")]),
        (DateHourParameter(), "-3h", [moment("2013-03-01T11")]),
        (DateHourParameter(), "-1d", [moment("2013-02-28T00")]),
        (DateHourParameter(), "2013-01-02", [moment("2013-01-02T00")]),
        (DateHourParameter(), "2013-01-02T05", [moment("2013-01-02T05")]),
        (DateMinuteParameter(), "-3h", [moment("2013-03-01T11:35")]),
        (DateSecondParameter(), "-24h", [moment("2013-02-28T14:35:20")]),
        (OptionalDateParameter(), "today", [day("2013-03-01")]),
        (OptionalDateParameter(), "", [None]),
        (IntParameter(), "5", [5]),
        (Parameter(), "1..3", ["1..3"]),
        (Parameter(), "today", ["today"]),
    ],
)
def test_expand_reads_one_value(parameter: Parameter[Any], text: str, values: list[Any]) -> None:
    """Words count from the `now` that is handed in; for a kind without dates they are plain text."""
    assert dates.expand(parameter, text, NOW) == values


@pytest.mark.parametrize(
    ("parameter", "text", "first", "last", "count"),
    [
        (DateParameter(), "2013-01-30..2013-02-02", day("2013-01-30"), day("2013-02-02"), 4),
        (DateParameter(), "2013-01-30 .. 2013-02-02", day("2013-01-30"), day("2013-02-02"), 4),
        (DateParameter(), "2013-01-01..2013-01-01", day("2013-01-01"), day("2013-01-01"), 1),
        (DateParameter(), "2013-01-01..03", day("2013-01-01"), day("2013-01-03"), 3),
        (DateParameter(), "2013-01-30..02-02", day("2013-01-30"), day("2013-02-02"), 4),
        (DateParameter(), "-3d..yesterday", day("2013-02-26"), day("2013-02-28"), 3),
        (DateParameter(), "2013-02-27..today", day("2013-02-27"), day("2013-03-01"), 3),
        (DateParameter(interval=7), "2013-01-02..2013-01-14", day("2012-12-27"), day("2013-01-10"), 3),
        (DateParameter(), "9999-12-30..9999-12-31", day("9999-12-30"), day("9999-12-31"), 2),
        (MonthParameter(), "2012-11..2013-02", day("2012-11-01"), day("2013-02-01"), 4),
        (MonthParameter(), "2013-01..03", day("2013-01-01"), day("2013-03-01"), 3),
        (YearParameter(), "2010..2013", day("2010-01-01"), day("2013-01-01"), 4),
        (DateHourParameter(), "2013-01-01T22..2013-01-02T01", moment("2013-01-01T22"), moment("2013-01-02T01"), 4),
        (DateHourParameter(), "2013-01-01T22..02T01", moment("2013-01-01T22"), moment("2013-01-02T01"), 4),
        (DateHourParameter(), "2013-01-01..2013-01-02", moment("2013-01-01T00"), moment("2013-01-02T23"), 48),
        (DateHourParameter(), "2013-01-01..02", moment("2013-01-01T00"), moment("2013-01-02T23"), 48),
        (DateHourParameter(), "-1d..-3h", moment("2013-02-28T00"), moment("2013-03-01T11"), 36),
        (DateMinuteParameter(interval=15), "today..today", moment("2013-03-01T00"), moment("2013-03-01T23:45"), 96),
        (DateMinuteParameter(), "2013-01-01T2358..2359", moment("2013-01-01T23:58"), moment("2013-01-01T23:59"), 2),
        (
            DateSecondParameter(),
            "2013-01-01T235958..2013-01-02T000001",
            moment("2013-01-01T23:59:58"),
            moment("2013-01-02T00:00:01"),
            4,
        ),
        (OptionalDateParameter(), "2013-01-01..03", day("2013-01-01"), day("2013-01-03"), 3),
        (OptionalOf(MonthParameter()), "2013-01..03", day("2013-01-01"), day("2013-03-01"), 3),
    ],
)
def test_expand_reads_an_inclusive_range(
    parameter: Parameter[Any], text: str, first: Any, last: Any, count: int
) -> None:
    """Both ends belong to it; a day as the end of hours means its last one."""
    values = dates.expand(parameter, text, NOW)

    assert (values[0], values[-1], len(values)) == (first, last, count)
    assert values == sorted(set(values))


@pytest.mark.parametrize(
    ("parameter", "text", "reason"),
    [
        (DateParameter(), "2013-02-01..2013-01-01", "its end 2013-01-01 is before its start 2013-02-01"),
        (DateParameter(), "2013-01-05..03", "its end 2013-01-03 is before its start 2013-01-05"),
        (DateParameter(), "..2013-01-01", "a range A..B needs both its ends"),
        (DateParameter(), "2013-01-01..", "a range A..B needs both its ends"),
        (DateParameter(), "2013-02-27..30", "February 2013 has 28 days"),
        (DateParameter(), "0001-01-01..9999-12-31", "a range of more than 100,000 values; give a shorter one"),
        (DateSecondParameter(), "2013-01-01..2013-12-31", "a range of more than 100,000 values"),
        (DateParameter(), "2013-01-01..2013-01-02..2013-01-03", "it is not written as year-month-day"),
        (DateParameter(), "-3d..01", "it is not written as year-month-day"),
        (DateParameter(), "tomorow", "it is not written as year-month-day (did you mean 'tomorrow'?)"),
        (DateParameter(), "-3h", "it has no hours; -3d counts days and -2w weeks"),
        (DateParameter(), "-3m", "it is not written as year-month-day"),
        (DateParameter(), "-999999999d", "that is outside the years 0001 to 9999"),
        (DateParameter(), "-999999999w", "that is outside the years 0001 to 9999"),
        (DateHourParameter(), "-999999999h", "that is outside the years 0001 to 9999"),
        (DateHourParameter(), "2013-02-29..2013-03-01", "February 2013 has 28 days"),
        (DateRangeParameter(), "today..yesterday", "the end 2013-02-28 is before the start 2013-03-01"),
        (MonthParameter(), "2013-01-02..2013-02-03", "it is not written as year-month"),
    ],
)
def test_expand_refuses_with_a_reason_one_understands(parameter: Parameter[Any], text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the reason is compared below
        dates.expand(parameter, text, NOW)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "text", "absolute"),
    [
        (DateParameter(), "-3d", "2013-02-26"),
        (DateParameter(), "-3d..yesterday", "2013-02-26..2013-02-28"),
        (DateParameter(), "2013-02-27..today", "2013-02-27..2013-03-01"),
        (DateParameter(), "2013-02-27..28", "2013-02-27..28"),
        (MonthParameter(), "yesterday", "2013-02"),
        (DateHourParameter(), "-3h", "2013-03-01T11"),
        (OptionalDateParameter(), "today", "2013-03-01"),
        (DateRangeParameter(), "-3d..yesterday", "2013-02-26..2013-02-28"),
        (Parameter(), "today", "today"),
        (DateParameter(), "today..yesterday", "today..yesterday"),
    ],
)
def test_without_words_means_the_same_on_any_day(parameter: Parameter[Any], text: str, absolute: str) -> None:
    """What counts from now becomes a date; what does not, or cannot be taken, stays as it was typed."""
    assert dates.without_words(parameter, text, NOW) == absolute
    if absolute != text:
        later = NOW + dt.timedelta(days=400)
        assert dates.expand(parameter, absolute, later) == dates.expand(parameter, text, NOW)


def test_expand_gives_a_date_range_as_one_value_and_takes_words_in_it() -> None:
    parameter = DateRangeParameter()

    assert dates.expand(parameter, "-3d..yesterday", NOW) == [DateRange(day("2013-02-26"), day("2013-02-28"))]
    assert dates.expand(parameter, "2013-01-01..03", NOW) == [DateRange(day("2013-01-01"), day("2013-01-03"))]
    assert dates.expand(parameter, "today", NOW) == [DateRange(day("2013-03-01"), day("2013-03-01"))]


def test_expand_ignores_the_zone_of_now() -> None:
    """The caller decides which clock is meant; the parameters have none."""
    now = NOW.replace(tzinfo=dt.timezone(dt.timedelta(hours=5)))

    assert dates.expand(DateParameter(), "today", now) == [day("2013-03-01")]
    assert dates.expand(DateHourParameter(), "-3h", now) == [moment("2013-03-01T11")]


def test_is_date_like_knows_the_kinds_that_take_ranges() -> None:
    assert all(dates.is_date_like(parameter) for parameter in [*DATE_LIKE, OptionalDateParameter()])
    for parameter in (IntParameter(), Parameter(), DateIntervalParameter(), DateRangeParameter()):
        assert not dates.is_date_like(parameter)


def test_accepts_names_words_and_ranges_for_date_like_kinds_only() -> None:
    assert dates.accepts(DateParameter()) == (
        "a date like 2013-01-31, today, yesterday, tomorrow, -3d, -2w, or an inclusive range A..B"
    )
    assert "-3h" in dates.accepts(DateHourParameter())
    assert dates.accepts(IntParameter()) == "a whole number like 42"


@pytest.mark.parametrize(
    ("parameter", "texts", "long", "short"),
    [
        (DateParameter(), ["2013-01-02", "2013-01-03"], "2013-01-02..03", "02..03"),
        (DateParameter(), ["2013-01-03", "2013-01-02"], "2013-01-02..03", "02..03"),
        (DateParameter(), ["2013-01-02"], "2013-01-02", "02"),
        (DateParameter(), ["2013-01-01", "2013-01-02", "2013-01-04"], "2013-01-01..02, 04", "01..02, 04"),
        (DateParameter(), ["2013-01-31", "2013-02-01"], "2013-01-31..2013-02-01", "01-31..02-01"),
        (DateParameter(), ["2013-01-01", "2014-01-02"], "2013-01-01, 2014-01-02", "2013-01-01, 2014-01-02"),
        (DateParameter(), [], "", ""),
        (MonthParameter(), ["2013-01", "2013-02", "2013-03"], "2013-01..03", "01..03"),
        (YearParameter(), ["2012", "2013", "2014"], "2012..2014", "2012..2014"),
        (DateHourParameter(), ["2013-01-01T03", "2013-01-01T04"], "2013-01-01T03..04", "03..04"),
        (
            DateHourParameter(),
            ["2013-01-01T23", "2013-01-02T00"],
            "2013-01-01T23..2013-01-02T00",
            "01T23..02T00",
        ),
        (DateMinuteParameter(), ["2013-01-01T0304", "2013-01-01T0305"], "2013-01-01T0304..0305", "0304..0305"),
        (IntParameter(), ["-3", "-2", "-1", "5"], "-3..-1, 5", "-3..-1, 5"),
        (OptionalIntParameter(), ["1", "", "2"], "1, , 2", "1, , 2"),
        (Parameter(), ["x-b", "x-a"], "x-b, x-a", "x-b, x-a"),
    ],
)
def test_collapse_writes_runs_shortly(parameter: Parameter[Any], texts: list[str], long: str, short: str) -> None:
    """The short form leaves out what all values share; only dates are ever cut."""
    values = [parameter.normalize(parameter.parse(text)) for text in texts]

    assert dates.collapse(parameter, values) == long
    assert dates.collapse_short(parameter, values, values) == short


def test_collapse_short_cuts_what_the_heading_shows() -> None:
    """The columns of a plan of 2013-01-01..03."""
    parameter = DateParameter()
    shown = dates.expand(parameter, "2013-01-01..03", NOW)

    assert [dates.collapse_short(parameter, part, shown) for part in (shown[1:], shown[1:2], shown[:1])] == [
        "02..03",
        "02",
        "01",
    ]
    over_new_year = dates.expand(parameter, "2012-12-31..2013-01-02", NOW)
    assert dates.collapse_short(parameter, shown, over_new_year) == "2013-01-01..03"


def test_collapse_counts_the_values_beyond_the_limit() -> None:
    parameter = DateParameter()
    values = [day(f"2013-01-{number:02d}") for number in (1, 2, 4, 6, 7, 8, 10)]

    assert dates.collapse(parameter, values, limit=2) == "2013-01-01..02, 04 and 4 more"
    assert dates.collapse_short(parameter, values, values, limit=3) == "01..02, 04, 06..08 and 1 more"


@given(st.sampled_from(DATE_LIKE), st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9000, 1, 1)), st.integers(0, 40))
def test_expand_reads_what_collapse_writes(parameter: Parameter[Any], start: dt.datetime, more: int) -> None:
    """What stands on the screen can be typed again."""
    values = [parameter.normalize(start)]
    for _ in range(more):
        values.append(parameter.next_in_enumeration(values[-1]))

    assert dates.expand(parameter, dates.collapse(parameter, values), NOW) == values
