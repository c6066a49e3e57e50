"""What people ask of a loop while it works: pauses, reloads, deadlines; and what it refuses to begin with."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etlctl.app import load_settings
from etlctl.db.state.operations import Operations
from etlctl.db.state.store import Store
from etlctl.errors import ExitCode, SettingsError, TaskNotFoundError, UsageError
from etlctl.loop.project import check_state
from loop_house import FLOWS, House, JumpingClock, Until

OFTEN = '[schedules.often]\ntasks = ["Day"]\ndate = "today"\nevery = "30m"\n'
BEGIN = datetime(2026, 5, 8, 10, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def operations_of(house: House) -> Operations:
    return Operations(Store(house.opener()().app.settings.state))


def test_a_turn_waits_for_a_pause_to_end(tmp_path: Path) -> None:
    """It is due all the while, says once why it waits, and begins soon after the pause has ended."""
    house = House(tmp_path, "paused", OFTEN)
    people = operations_of(house)
    people.pause("", reason="the warehouse is being moved", by="ann")
    resumed = datetime(2026, 5, 8, 10, 20, tzinfo=UTC)

    def resume() -> None:
        house.lines.append(f"{house.journal()}")
        people.resume("", by="ann")

    house.run(BEGIN, datetime(2026, 5, 8, 10, 29, tzinfo=UTC), at=[(resumed, resume)])

    assert sum("the warehouse is being moved" in line for line in house.lines) == 1
    assert "[]" in house.lines
    assert house.journal() == ["2026-05-08"]


def test_no_task_is_made_to_ask_for_a_pause_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that waits for another's turn looks every few seconds; its window may be years."""
    house = House(tmp_path, "unpaused", OFTEN)
    project = house.opener()()
    people, (often,) = operations_of(house), project.schedules
    people.pause("", reason="first", by="ann")
    assert "first" in project.held(often, BEGIN)
    people.resume("", by="ann")
    fresh = house.opener()()
    monkeypatch.setattr(fresh, "_tasks", lambda *_: pytest.fail("tasks were made"))

    assert fresh.held(often, BEGIN) == ""


def test_a_reload_brings_other_schedules_and_edited_code(tmp_path: Path) -> None:
    """After SIGHUP the next turn runs what the files say then."""
    house = House(tmp_path, "reloaded", OFTEN)
    clock = JumpingClock(BEGIN)
    ending = Until(clock, datetime(2026, 5, 8, 11, 5, tzinfo=UTC))

    def edit() -> None:
        code = FLOWS.replace('write(f"{self.date}', 'write(f"edited-{self.date}')
        assert code != FLOWS
        house.write(OFTEN.replace("today", "yesterday"), code)
        ending.reloads = 1

    clock.at.append((datetime(2026, 5, 8, 10, 10, tzinfo=UTC), edit))
    assert house.loop(clock, ending).run() is ExitCode.TERMINATED

    assert house.journal() == ["2026-05-08", "edited-2026-05-07"]


def test_a_reload_of_what_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    """Half a file that is being written does not end a loop."""
    house = House(tmp_path, "broken", OFTEN.replace("today", "yesterday"))
    clock = JumpingClock(BEGIN)
    ending = Until(clock, BEGIN + timedelta(hours=26))

    def edit() -> None:
        house.write(OFTEN, FLOWS + "\n\nclass Half(\n")
        ending.reloads = 1

    clock.at.append((datetime(2026, 5, 8, 10, 10, tzinfo=UTC), edit))
    assert house.loop(clock, ending).run() is ExitCode.TERMINATED

    assert house.journal() == ["2026-05-07", "2026-05-08"]
    assert sum("stay as they were" in line and "days.py" in line for line in house.lines) == 1


def test_a_task_that_a_reload_has_taken_away_is_not_found(tmp_path: Path) -> None:
    """Classes of the code before are not there any more."""
    house = House(tmp_path, "gone", OFTEN)
    opener = house.opener()
    first = opener()
    house.write(OFTEN.replace("Day", "Fed"))
    opener().close()
    first.close()
    del first
    gc.collect()

    house.write(OFTEN, FLOWS.replace("Day", "Night"))

    with pytest.raises(TaskNotFoundError, match="'Day'"):
        opener()


def test_a_deadline_that_is_missed_is_one_alert_with_the_reason(tmp_path: Path) -> None:
    """Two loops look at it, and one tells; a day on which it is kept tells nothing."""
    settings = """
        [schedules.nightly]
        tasks = ["Fed"]
        cron = "0 6 * * *"
        date = "yesterday"
        window = "2d"
        deadline = "07:00"
    """
    house = House(tmp_path, "tardy", settings)
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed" / "2026-05-06").touch()
    begin = datetime(2026, 5, 8, 5, 55, tzinfo=UTC)

    house.run(begin, begin + timedelta(hours=1, minutes=10))
    house.run(begin + timedelta(hours=1), begin + timedelta(hours=1, minutes=10))
    missed = [line for line in house.lines if "not done by" in line]
    house.lines.clear()
    for day in ("07", "08"):
        (tmp_path / "feed" / f"2026-05-{day}").touch()
    house.run(begin + timedelta(days=1), begin + timedelta(days=1, hours=1, minutes=10))

    assert len(missed) == 1
    assert (
        "2026-05-08 07:00 UTC: the turn of 2026-05-08 06:00 UTC ended with exit 3: Feed(2026-05-07) blocked: "
        in missed[0]
    )
    assert "feed/2026-05-07 is missing (and 1 more); etlctl history " in missed[0]
    assert missed[0].endswith("; the next turn is due 2026-05-09 06:00 UTC")
    assert house.journal() == ["2026-05-06", "2026-05-07", "2026-05-08"]
    assert not [line for line in house.lines if "not done by" in line]


def test_a_remote_warehouse_with_a_local_state_database_is_refused(tmp_path: Path) -> None:
    """Another loop elsewhere would know nothing of this one; whoever says that there is none may begin."""
    house = House(tmp_path, "remote", '[connections.dw]\nurl = "postgresql://etl:secret@wh-1/dw"\n' + OFTEN)
    settings = load_settings(house.folder / "config" / "etlctl.toml", environ={}, cwd=house.folder)

    with pytest.raises(SettingsError, match="--local-state-ok") as refused:
        house.opener()()

    assert "secret" not in str(refused.value)
    check_state(settings, is_local_ok=True)


def test_a_schedule_whose_tasks_cannot_be_made_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """A parameter without a value is found at the start, not at six in the morning."""
    house = House(tmp_path, "unmade", OFTEN.replace('date = "today"\n', ""))

    with pytest.raises(UsageError, match="Day needs date"):
        house.opener()()


def test_a_failing_turn_never_ends_the_loop(tmp_path: Path) -> None:
    """F75: the poison task is asked for less and less often; another schedule has all its turns."""
    flows = FLOWS + '\n\n    class Poison(Task):\n        def run(self):\n            raise ValueError("bad")\n'
    settings = (
        '[loop]\nbackoff_max = "10m"\n[schedules.poison]\ntasks = ["Poison"]\nevery = "10s"\n'
        '[schedules.good]\ntasks = ["Day"]\ndate = "today"\nevery = "10m"\n'
    )
    house = House(tmp_path, "poison", settings, flows)

    house.run(BEGIN, BEGIN + timedelta(hours=2))

    assert 10 < len(house.turns("poison")) < 30
    assert len(house.turns("good")) == 13
