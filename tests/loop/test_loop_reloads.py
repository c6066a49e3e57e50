"""SIGHUP: what a reload keeps of a schedule, what it takes over, what it refuses, and what it says needs a restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etlctl.errors import SettingsError
from loop_house import House, JumpingClock, Until

AT_SIX = '[schedules.six]\ntasks = ["Day"]\ndate = "today"\ncron = "0 6 * * *"\njitter = "20m"\n'
SIX = datetime(2026, 5, 8, 6, tzinfo=UTC)
EARLY = SIX - timedelta(minutes=5)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(house: House, begin: datetime, end: datetime, at: datetime, change: Callable[[], object]) -> None:
    """A loop in which something changes, and everything is read anew."""
    clock = JumpingClock(begin)
    ending = Until(clock, end)

    def reload() -> None:
        change()
        ending.reloads = 1

    clock.at.append((at, reload))
    house.loop(clock, ending).run()


def test_a_turn_that_is_due_at_a_reload_and_has_no_predecessor_begins(tmp_path: Path) -> None:
    """Its jitter has not passed yet: it is not left out until the next day."""
    house = House(tmp_path, "due", AT_SIX)

    run(house, SIX - timedelta(minutes=5), SIX + timedelta(hours=1), SIX + timedelta(minutes=5), lambda: None)

    assert house.journal() == ["2026-05-08"], house.lines


def test_schedules_that_are_due_at_once_are_so_after_a_reload(tmp_path: Path) -> None:
    """One that had not come to its first turn when the reload came."""
    each = '[schedules.{0}]\ntasks = ["Day"]\ndate = "{1}"\nevery = "12h"\n'
    house = House(tmp_path, "once", each.format("a", "today") + each.format("b", "yesterday"))
    clock = JumpingClock(SIX)
    ending = Until(clock, SIX + timedelta(minutes=1))
    loop = house.loop(clock, ending)
    loop.run(turns=1, keeps_open=True)
    ending.reloads = 1

    loop.run()

    assert house.journal() == ["2026-05-08", "2026-05-07"], house.lines


def test_a_reload_changes_when_a_schedule_is_due(tmp_path: Path) -> None:
    """Other times are found out anew."""
    house = House(tmp_path, "times", AT_SIX)
    later = AT_SIX.replace("0 6", "30 7")

    run(
        house,
        SIX - timedelta(minutes=5),
        SIX + timedelta(hours=3),
        SIX - timedelta(minutes=2),
        lambda: house.write(later),
    )

    assert [due.strftime("%H:%M") for due in house.turns("six")] == ["07:30"]


def test_a_reload_refuses_a_far_warehouse_with_a_local_state_as_the_start_does(tmp_path: Path) -> None:
    """What was there before goes on, and the line says why."""
    house = House(tmp_path, "far", AT_SIX)
    far = AT_SIX + '[connections.far]\nurl = "postgresql://u@wh-1.example.com/d"\n'

    run(
        house,
        SIX - timedelta(minutes=5),
        SIX + timedelta(hours=1),
        SIX - timedelta(minutes=2),
        lambda: house.write(far),
    )

    assert any("stay as they were" in line and "a file of this machine" in line for line in house.lines), house.lines
    assert house.journal() == ["2026-05-08"]
    with pytest.raises(SettingsError, match="a file of this machine"):
        house.opener()()


def test_a_reload_says_what_needs_a_restart(tmp_path: Path) -> None:
    """Only what has changed since the loop was started."""
    house = House(tmp_path, "restart", AT_SIX)
    other = '[loop]\ngrace = "1m"\nbackoff_max = "9s"\n[metrics]\ntextfile = "m.prom"\n' + AT_SIX

    run(house, EARLY, SIX, EARLY + timedelta(minutes=2), lambda: house.write(other))

    (line,) = [line for line in house.lines if "read anew" in line]
    assert line.endswith("read anew: six; [loop] grace, [metrics] textfile as they were until it is started again")
