"""When turns are due: cron lines where clocks change (F70), the grid of `every`, what makes up for missed turns."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.schedule import Cron, Every, Times, missed

BERLIN = "Europe/Berlin"
ZONES = ["UTC", BERLIN, "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
LINES = [
    "0 6 * * *",
    "30 2 * * *",
    "*/30 * * * *",
    "15,45 1-3 * * *",
    "0 0 29 2 *",
    "@weekly",
    "5 4 L * *",
    "7 7 * * 1#2",
]
INSTANTS = st.datetimes(dt.datetime(2005, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC))
TIMES: st.SearchStrategy[Times] = st.one_of(
    st.builds(Cron, st.sampled_from(LINES), st.sampled_from(ZONES)),
    st.builds(Every, st.floats(1, 10_000_000) | st.integers(1, 100_000)),
)


def at(text: str) -> dt.datetime:
    """The instant of an ISO text in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def due_between(times: Times, first: str, last: str) -> list[str]:
    """The instants due after `first` and not after `last`, as texts in UTC."""
    found, instant = [], at(first)
    while (instant := times.after(instant)) <= at(last):
        found.append(f"{instant:%m-%d %H:%M}")
    return found


def test_cron_runs_a_time_that_clocks_skip_once_at_the_next_one() -> None:
    """F70: 2026-03-29 goes from 02:00 to 03:00 in Berlin."""
    times = Cron("30 2 * * *", BERLIN)

    assert due_between(times, "2026-03-28", "2026-03-31") == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]


def test_cron_runs_a_time_that_clocks_show_twice_once() -> None:
    """F70: 2026-10-25 shows 02:00 to 03:00 twice in Berlin."""
    times = Cron("30 2 * * *", BERLIN)

    assert due_between(times, "2026-10-24", "2026-10-27") == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]


@pytest.mark.parametrize("instant", ["2026-10-25 00:30", "2026-10-25 00:45", "2026-10-25 01:15", "2026-10-25 01:30"])
def test_cron_asked_within_the_doubled_hour_does_not_repeat_it(instant: str) -> None:
    """F70: also for a loop that was started within it, which knows no turn before."""
    assert Cron("30 2 * * *", BERLIN).after(at(instant)) == at("2026-10-26 01:30")


def test_two_times_within_the_skipped_hour_are_one() -> None:
    assert due_between(Cron("10,50 2 * * *", BERLIN), "2026-03-28 12:00", "2026-03-29 12:00") == ["03-29 01:00"]


def test_cron_that_means_a_stretch_runs_through_the_doubled_hour() -> None:
    """As Debian's cron: `*/30` is each half hour that passes."""
    found = due_between(Cron("*/30 * * * *", BERLIN), "2026-10-24 23:45", "2026-10-25 02:00")

    assert found == ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("line", ["30 0 * * *", "30 2 * * *", "45 1 * * *"])
def test_a_daily_line_is_due_once_for_each_date(line: str, zone: str) -> None:
    """F70: over two years, in the hours at which clocks change in Havana, Berlin and on Lord Howe Island."""
    times, instant = Cron(line, zone), at("2025-12-31 12:00")

    dates = []
    while (instant := times.after(instant)) < at("2027-12-30 12:00"):
        dates.append(instant.astimezone(ZoneInfo(zone)).date())

    assert dates == [dates[0] + dt.timedelta(days=day) for day in range(len(dates))] and len(dates) in (728, 729)


@given(TIMES, INSTANTS)
def test_times_are_one_set_of_instants(times: Times, instant: dt.datetime) -> None:
    """`after` is strictly later, `latest` is not; they meet at each instant that is due, and nothing lies between."""
    after, latest = times.after(instant), times.latest(instant)

    assert latest <= instant < after
    assert times.after(latest) == after and times.latest(after) == after
    assert times.latest(after - dt.timedelta(microseconds=1)) == latest
    assert after.tzinfo is dt.UTC and latest.tzinfo is dt.UTC


@given(INSTANTS, st.sampled_from([dt.timezone(dt.timedelta(hours=5)), ZoneInfo("America/New_York")]))
def test_times_do_not_ask_in_which_zone_an_instant_is_told(instant: dt.datetime, zone: dt.tzinfo) -> None:
    for times in (Cron("30 2 * * *", BERLIN), Every(1800)):
        assert times.after(instant.astimezone(zone)) == times.after(instant)


@given(st.integers(1, 100_000), INSTANTS)
def test_every_is_a_grid_that_does_not_move_with_the_start(seconds: int, instant: dt.datetime) -> None:
    after = Every(seconds).after(instant)

    assert after.timestamp() % seconds == 0 and 0 < (after - instant).total_seconds() <= seconds


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (Every(1800), "every 30m"),
        (Every(90), "every 90s"),
        (Every(1.5), "every 1.5s"),
        (Every(172_800), "every 2d"),
        (Cron("  0  6 * * mon-fri ", BERLIN), "cron 0 6 * * mon-fri (Europe/Berlin)"),
        (Cron("@daily"), "cron 0 0 * * * (UTC)"),
    ],
)
def test_times_say_what_they_are(times: Times, text: str) -> None:
    assert times.text == text


@pytest.mark.parametrize("line", ["0 0 * * *", "@daily", "@DAILY", "@midnight"])
def test_words_of_crontab_are_their_lines(line: str) -> None:
    assert Cron(line).after(at("2026-11-23 05:00")) == at("2026-11-24")


@pytest.mark.parametrize(
    ("line", "zone", "told"),
    [
        ("6", "UTC", "'6' is no cron line: minute, hour, day of month, month, day of week, as in 0 6 * * *"),
        ("0 0 6 * * *", "UTC", "'0 0 6 * * *' is no cron line"),
        ("@reboot", "UTC", "'@reboot' is no cron line"),
        ("60 * * * *", "UTC", "'60 * * * *' is a cron line whose minute cannot be: see crontab(5)."),
        ("* * * * FRY", "UTC", "'* * * * FRY' is a cron line whose day-of-week cannot be"),
        ("0 0 30 2 *", "UTC", "'0 0 30 2 *' is a cron line whose day-of-month cannot be"),
        ("\x1b[2J", "UTC", "'\\x1b[2J' is no cron line"),
        (
            "0 6 * * *",
            "Europe/Berln",
            "'Europe/Berln' is no time zone of the IANA's list, as in Europe/Berlin. Did you",
        ),
        (
            "0 6 * * *",
            "Europe",
            (
                "'Europe' is no time zone of the IANA's list, as in Europe/Berlin. It is an area: name a city of "
                "it, as in Europe/"
            ),
        ),
        (
            "0 6 * * *",
            "CEST",
            (
                "'CEST' is no time zone of the IANA's list, as in Europe/Berlin. Letters such as these name no place: "
                "did you mean 'Europe/Berlin'?"
            ),
        ),
        ("0 6 * * *", "right/Europe/Berlin", "'right/Europe/Berlin' is no time zone"),
        ("0 6 * * *", "../../etc/passwd", "'../../etc/passwd' is no time zone"),
        ("0 6 * * *", "", "'' is no time zone"),
        ("0 6 * * *", "/etc/localtime", "'/etc/localtime' is no time zone"),
    ],
)
def test_a_line_that_cannot_be_read_is_told(line: str, zone: str, told: str) -> None:
    """F76, F80."""
    with pytest.raises(ValueError, match=r"is (no|a) ") as raised:
        Cron(line, zone)

    assert str(raised.value).startswith(told)


ATOMS = ["*", "*/2", "*/99", "*/0", "0", "1", "7", "23", "29", "30", "31", "60", "1,2", "1-5", "2-1", "1-5/2", "x"]
ATOMS += ["L", "L/2", "LW", "1,LW/3", "MON", "SUN#5", "1#2", "5L", "JAN", ",", "-", "/", "#"]


@given(st.lists(st.sampled_from(ATOMS), min_size=5, max_size=5).map(" ".join), st.sampled_from(ZONES), INSTANTS)
def test_any_line_is_one_set_of_instants_or_refused(line: str, zone: str, instant: dt.datetime) -> None:
    """F76: no line makes cronsim raise what nobody expects, or go on for ever."""
    try:
        times = Cron(line, zone)
    except ValueError:
        return

    latest, after = times.latest(instant), times.after(instant)
    assert latest <= instant < after and times.after(latest) == after


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan")])
def test_every_less_than_a_second_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="is too often"):
        Every(seconds)


def test_missed_is_the_newest_of_all_that_were_due() -> None:
    times = Cron("0 6 * * *")

    assert missed(times, at("2026-11-20 06:00"), at("2026-11-23 07:00")) == at("2026-11-23 06:00")
    assert missed(times, at("2026-11-23 06:00"), at("2026-11-23 07:00")) is None
    assert missed(times, None, at("2026-11-23 07:00")) is None


@given(TIMES, INSTANTS, st.timedeltas(dt.timedelta(0), dt.timedelta(days=3)))
def test_a_clock_that_was_set_back_repeats_nothing(times: Times, instant: dt.datetime, back: dt.timedelta) -> None:
    """F70: what was due before the newest turn on record is never made up for."""
    newest = times.latest(instant)

    assert missed(times, newest, instant - back) is None


@pytest.mark.parametrize(("first", "changed"), [("2026-03-25", "03-29 01:00"), ("2026-10-21", "10-25 00:30")])
def test_a_clock_that_walks_and_is_set_back_runs_each_turn_once(first: str, changed: str) -> None:
    """F70: a 02:30 job in Berlin runs once on each date; the clock goes an hour back within the hour of each turn."""
    times = Cron("30 2 * * *", BERLIN)
    ran = [times.latest(at(first))]

    now = at(first)
    while now < at(first) + dt.timedelta(days=9):
        now += dt.timedelta(minutes=17)
        due = missed(times, ran[-1], now)
        if due is not None:
            ran.append(due)
            now -= dt.timedelta(hours=1)

    dates = [due.astimezone(ZoneInfo(BERLIN)).date() for due in ran]
    assert dates == [dates[0] + dt.timedelta(days=day) for day in range(10)]
    assert changed in [f"{due:%m-%d %H:%M}" for due in ran]


@pytest.mark.parametrize("zone", ["localtime", "posixrules", "Factory"])
def test_what_differs_from_machine_to_machine_is_no_zone(zone: str) -> None:
    with pytest.raises(ValueError, match="differs from machine to machine: name a zone such as Europe/Berlin"):
        Cron("0 6 * * *", zone)
