"""When a loop does what, by a clock of the test: summer time, days that were missed, a clock set back, files that come
late. Settings, pipelines, builds and the state database are real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from etlctl.errors import ExitCode
from loop_house import House, JumpingClock, Until

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = """
    [schedules.nightly]
    tasks = ["Day"]
    cron = "30 2 * * *"
    timezone = "Europe/Berlin"
    date = "yesterday"
"""


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_job_at_half_past_two_runs_once_where_clocks_skip_that_time(tmp_path: Path) -> None:
    """Europe/Berlin, 2026-03-29: 02:30 does not exist, and the turn is due when clocks show 03:00."""
    house = House(tmp_path, "gap", NIGHTLY)

    house.run(datetime(2026, 3, 28, 12, tzinfo=BERLIN), datetime(2026, 3, 30, 12, tzinfo=BERLIN))

    assert house.journal() == ["2026-03-28", "2026-03-29"]
    assert house.turns("nightly") == [
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
        datetime(2026, 3, 30, 0, 30, tzinfo=UTC),
    ]


def test_a_job_at_half_past_two_runs_once_where_clocks_show_that_time_twice(tmp_path: Path) -> None:
    """Europe/Berlin, 2026-10-25: 02:30 comes twice, and the turn is due at the first."""
    house = House(tmp_path, "fold", NIGHTLY)

    house.run(datetime(2026, 10, 24, 12, tzinfo=BERLIN), datetime(2026, 10, 26, 12, tzinfo=BERLIN))

    assert house.journal() == ["2026-10-24", "2026-10-25"]
    assert house.turns("nightly") == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
    ]


def test_a_loop_that_was_stopped_for_three_days_builds_what_is_missing_oldest_first(tmp_path: Path) -> None:
    """One turn makes up for all that were missed, at once when the loop is there again."""
    house = House(tmp_path, "stopped", f'{NIGHTLY}    window = "7d"\n')
    house.run(datetime(2026, 5, 8, 2, tzinfo=BERLIN), datetime(2026, 5, 8, 12, tzinfo=BERLIN))
    before = house.journal()

    back = datetime(2026, 5, 11, 15, 40, tzinfo=BERLIN)
    house.run(back, back + timedelta(minutes=5))

    assert before == [f"2026-05-0{day}" for day in range(1, 8)]
    assert house.journal() == ["2026-05-08", "2026-05-09", "2026-05-10"]
    assert house.turns("nightly")[1:] == [datetime(2026, 5, 11, 0, 30, tzinfo=UTC)]


def test_nothing_is_caught_up_where_nothing_is_on_record(tmp_path: Path) -> None:
    """The first loop ever waits for the time that its cron line names."""
    house = House(tmp_path, "fresh", NIGHTLY)

    house.run(datetime(2026, 5, 8, 12, tzinfo=BERLIN), datetime(2026, 5, 9, 2, tzinfo=BERLIN))

    assert house.journal() == []


@pytest.mark.parametrize(("name", "schedule"), [("cron", 'cron = "*/20 * * * *"'), ("every", 'every = "20m"')])
def test_a_clock_set_back_an_hour_repeats_nothing(tmp_path: Path, name: str, schedule: str) -> None:
    """Each instant is due once, and the next is later than all on record."""
    house = House(tmp_path, f"back_{name}", f'[schedules.often]\ntasks = ["Day"]\ndate = "today"\n{schedule}\n')
    clock = JumpingClock(datetime(2026, 5, 8, 10, 1, tzinfo=UTC))
    clock.at.append((datetime(2026, 5, 8, 11, 5, tzinfo=UTC), lambda: clock.set_back(3600)))
    loop = house.loop(clock, Until(clock, datetime(2026, 5, 8, 12, 1, tzinfo=UTC)))

    assert loop.run() is ExitCode.TERMINATED

    due = [f"{one:%H:%M}" for one in house.turns("often")]
    at_once = ["10:01"] if name == "every" else []
    assert due == [*at_once, "10:20", "10:40", "11:00", "11:20", "11:40", "12:00"]
    assert house.journal() == ["2026-05-08"]


def test_a_date_that_was_blocked_yesterday_is_built_when_its_file_has_come(tmp_path: Path) -> None:
    """The window brings it again; what is done stays done."""
    house = House(tmp_path, "late", NIGHTLY.replace("Day", "Fed") + '    window = "3d"\n')
    (tmp_path / "feed").mkdir()
    for day in ("04", "05", "07", "08"):
        (tmp_path / "feed" / f"2026-05-{day}").touch()
    begin = datetime(2026, 5, 7, 2, tzinfo=BERLIN)
    house.run(begin, begin + timedelta(hours=12))
    first = house.journal()

    (tmp_path / "feed" / "2026-05-06").touch()
    house.run(begin + timedelta(hours=12), begin + timedelta(hours=36))

    assert first == ["2026-05-04", "2026-05-05"]
    assert house.journal() == ["2026-05-06", "2026-05-07"]


def test_the_dates_of_a_turn_are_those_of_the_instant_at_which_it_was_due(tmp_path: Path) -> None:
    """A jitter over midnight, or a late begin, changes no date."""
    house = House(
        tmp_path,
        "midnight",
        '[schedules.late]\ntasks = ["Day"]\ncron = "59 23 * * *"\ndate = "today"\njitter = "10m"\n',
    )

    house.run(datetime(2026, 5, 8, 12, tzinfo=UTC), datetime(2026, 5, 9, 1, tzinfo=UTC))

    assert house.journal() == ["2026-05-08"]
    assert any(line.startswith("late 2026-05-08 23:59 UTC: run ") for line in house.lines)


def test_a_schedule_by_length_begins_at_once_and_goes_on_by_its_grid(tmp_path: Path) -> None:
    """Loops that are started at different times agree on what is due."""
    house = House(tmp_path, "grid", '[schedules.often]\ntasks = ["Day"]\ndate = "today"\nevery = "30m"\n')

    house.run(datetime(2026, 5, 8, 12, 7, tzinfo=UTC), datetime(2026, 5, 8, 13, 7, tzinfo=UTC))

    assert [f"{one:%H:%M}" for one in house.turns("often")] == ["12:07", "12:30", "13:00"]
