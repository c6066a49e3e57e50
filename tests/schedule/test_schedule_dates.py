"""The dates of a turn and the instant of a deadline, on the calendar of a zone (F70, F80)."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlctl.core import daytime
from etlctl.schedule import Cron, Every, Times, deadline, turn_dates
from etlctl.schedule.zones import instant_of

BERLIN = ZoneInfo("Europe/Berlin")
INSTANTS = st.datetimes(dt.datetime(2005, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC))


def at(text: str) -> dt.datetime:
    """The instant of an ISO text in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("word", "instant", "day"),
    [
        ("yesterday", "2026-11-22 22:59", "2026-11-21"),
        ("yesterday", "2026-11-22 23:00", "2026-11-22"),  # midnight in Berlin
        ("today", "2026-11-22 23:00", "2026-11-23"),
        ("-3d", "2026-03-29 22:30", "2026-03-27"),
        ("2026-02-28", "2026-11-22 23:00", "2026-02-28"),
    ],
)
def test_a_date_is_that_of_the_schedules_calendar(word: str, instant: str, day: str) -> None:
    """F70: the date of a turn is fixed by its beginning, in its zone."""
    assert turn_dates(word, 1, at(instant), BERLIN) == [dt.date.fromisoformat(day)]


@given(st.integers(1, 400), INSTANTS)
def test_a_window_ends_with_the_date_and_begins_with_the_oldest(days: int, instant: dt.datetime) -> None:
    found = turn_dates("yesterday", days, instant, BERLIN)

    assert len(found) == days and found == sorted(found)
    assert found[-1] - found[0] == dt.timedelta(days=days - 1)
    assert found[-1] == instant.astimezone(BERLIN).date() - dt.timedelta(days=1)


@pytest.mark.parametrize(
    "word", ["2023-02-29", "10000-01-01", "today..yesterday", "-3d..today", "-3h", "todya", "", "0"]
)
def test_a_word_that_is_no_date_is_refused(word: str) -> None:
    """F80."""
    with pytest.raises(ValueError, match=r"\w"):
        turn_dates(word, 1, at("2026-11-23"), BERLIN)


def test_a_window_ends_where_the_calendar_does() -> None:
    """F80."""
    with pytest.raises(ValueError, match="there is no calendar"):
        turn_dates("0001-01-02", 7, at("2026-11-23"), BERLIN)


@pytest.mark.parametrize(
    ("day", "text", "instant"),
    [
        ("2026-11-23", "07:00", "2026-11-23 06:00"),
        ("2026-07-01", "7:00", "2026-07-01 05:00"),
        ("2026-03-29", "02:30", "2026-03-29 01:00"),
        ("2026-10-25", "02:30", "2026-10-25 00:30"),
    ],
)
def test_a_deadline_is_the_first_such_time_of_the_day(day: str, text: str, instant: str) -> None:
    """F70: as cron has it where clocks are put forward or back."""
    assert deadline.due(dt.date.fromisoformat(day), text, BERLIN) == at(instant)


def test_the_deadline_of_a_turn_is_the_next_one_after_it() -> None:
    assert deadline.next_due(at("2026-11-22 21:00"), "07:00", BERLIN) == at("2026-11-23 06:00")
    assert deadline.next_due(at("2026-11-23 05:59"), "07:00", BERLIN) == at("2026-11-23 06:00")
    assert deadline.next_due(at("2026-11-23 06:00"), "07:00", BERLIN) == at("2026-11-24 06:00")


@given(INSTANTS, st.times())
def test_the_next_deadline_is_later_and_within_some_25_hours(instant: dt.datetime, time: dt.time) -> None:
    found = deadline.next_due(instant, f"{time:%H:%M}", BERLIN)

    assert dt.timedelta(0) < found - instant <= dt.timedelta(hours=25)


@pytest.mark.parametrize(
    ("line", "now", "due", "by"),
    [
        ("0 6 * * *", "2026-05-08 05:00", "2026-05-08 04:00", "2026-05-08 05:00"),
        ("0 6 * * *", "2026-05-08 04:59", "2026-05-07 04:00", "2026-05-07 05:00"),
        ("0 6 * * 1", "2026-05-08 12:00", "2026-05-04 04:00", "2026-05-04 05:00"),  # of Friday: that of Monday
        ("0 22 * * 5", "2026-05-10 12:00", "2026-05-08 20:00", "2026-05-09 05:00"),
        ("0 7 * * *", "2026-05-08 05:00", "2026-05-07 05:00", "2026-05-08 05:00"),  # the next day's
        ("*/30 * * * *", "2026-05-08 05:00", "2026-05-08 04:30", "2026-05-08 05:00"),
        ("0 6 * * *", "2026-10-25 12:00", "2026-10-25 05:00", "2026-10-25 06:00"),
    ],
)
def test_the_deadline_that_has_passed_is_that_of_the_last_turn_before_it(
    line: str, now: str, due: str, by: str
) -> None:
    """Of several turns with one deadline; a day on which no turn is due has none."""
    expected = deadline.passed(Cron(line, "Europe/Berlin"), at(now), "07:00", BERLIN)

    assert expected == (at(due), at(by))


def test_a_schedule_is_looked_at_when_its_next_turn_has_its_deadline() -> None:
    """On Monday, where it is due on Mondays; one of each few seconds once a day."""
    monday, often = Cron("0 6 * * 1", "Europe/Berlin"), Every(20)

    assert deadline.upcoming(monday, at("2026-05-08 12:00"), "07:00", BERLIN) == at("2026-05-11 05:00")
    assert deadline.upcoming(monday, at("2026-05-11 05:00"), "07:00", BERLIN) == at("2026-05-18 05:00")
    assert deadline.upcoming(often, at("2026-05-08 04:59"), "07:00", BERLIN) == at("2026-05-08 05:00")
    assert deadline.upcoming(often, at("2026-05-08 05:00"), "07:00", BERLIN) == at("2026-05-09 05:00")


@settings(max_examples=40)
@given(
    INSTANTS,
    st.times(),
    st.sampled_from(
        [
            Every(20),
            Every(3 * 3_600),
            Every(90_000),
            Cron("30 2 * * *", "Europe/Berlin"),
            Cron("0 6 * * 1", "Europe/Berlin"),
            Cron("*/7 1-3 * * *", "Europe/Berlin"),
            Cron("0 0 1 * *", "Pacific/Apia"),
        ]
    ),
)
def test_no_deadline_lies_between_the_last_and_the_next(instant: dt.datetime, time: dt.time, times: Times) -> None:
    """Each turn's is looked at, and none before its time, over changes of clocks too."""
    text = f"{time:%H:%M}"

    due, by = deadline.passed(times, instant, text, BERLIN)
    following = deadline.upcoming(times, instant, text, BERLIN)

    assert due < by == deadline.next_due(due, text, BERLIN) <= instant < following
    assert times.latest(due) == due
    assert deadline.next_due(times.after(due), text, BERLIN) == following


@pytest.mark.parametrize("text", ["24:00", "7", "07:60", "7am", "", "07:00:00", "-1:00", "\u0660\u0667:\u0660\u0660"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    """F80."""
    with pytest.raises(ValueError, match="is no time of day"):
        daytime.parsed(text)


@given(
    st.datetimes(dt.datetime(2005, 1, 1), dt.datetime(2037, 1, 1)).map(lambda wall: wall.replace(microsecond=0, fold=0))
)
def test_an_instant_is_what_clocks_show_or_the_next_thing_they_do(wall: dt.datetime) -> None:
    shown = instant_of(wall, BERLIN).astimezone(BERLIN).replace(tzinfo=None, fold=0)

    assert shown == wall or (shown > wall and shown - wall <= dt.timedelta(hours=1) and wall.hour == 2)
