"""A loop whose state database goes while nothing is due, and one on a machine whose clock is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loop_house import House

NIGHTLY = '[schedules.nightly]\ntasks = ["Day"]\ndate = "yesterday"\ncron = "0 6 * * *"\n'
MORNING = datetime(2026, 5, 8, 5, 59, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_loop_with_nothing_to_do_is_not_ready_while_its_state_database_is_gone(tmp_path: Path) -> None:
    """One line when it goes, one when it is back; ready follows within half a minute."""
    house = House(tmp_path, "idle", NIGHTLY)
    folder, aside = tmp_path / ".etlctl", tmp_path / "aside"
    ready: list[str] = []

    def go() -> None:
        folder.rename(aside)
        folder.write_text("no folder")

    def come_back() -> None:
        folder.unlink()
        aside.rename(folder)

    def look() -> None:
        ready.append(house.vitals.why_not_ready())

    half_a_minute = timedelta(seconds=30)
    gone, back = MORNING + timedelta(minutes=20), MORNING + timedelta(minutes=30)
    at = [(gone, look), (gone, go), (gone + half_a_minute, look), (back, come_back), (back + half_a_minute, look)]
    house.run(MORNING, MORNING + timedelta(minutes=40), at=at)

    assert (ready[0], ready[2]) == ("", "")
    assert ready[1].startswith("the state database cannot be used: ")
    assert sum("tries again until it can be used" in line for line in house.lines) == 1
    assert sum("can be used again after" in line for line in house.lines) == 1


def test_a_clock_that_is_ahead_begins_nothing_and_says_so_once(tmp_path: Path) -> None:
    """What it would begin is not due yet; on a machine whose clock is right the same turn is begun."""
    house = House(tmp_path, "ahead", NIGHTLY.replace('cron = "0 6 * * *"', 'every = "30m"'))
    ahead = datetime.now(UTC) + timedelta(days=200)

    house.run(ahead, ahead + timedelta(hours=3))

    assert house.journal() == [] and house.turns("nightly") == []
    assert sum("this machine's clock: it is at least" in line for line in house.lines) == 1

    house.run(MORNING, MORNING + timedelta(minutes=10))

    assert house.journal() == ["2026-05-07"]


def test_a_state_that_can_be_read_but_not_written_is_gone_once(tmp_path: Path) -> None:
    """F72: that its empty place can be looked at does not bring it back: one line, and waits that grow."""
    house = House(tmp_path, "unwritten", '[state]\nurl = "sqlite:////proc/none/state.db"\n' + NIGHTLY)

    house.run(MORNING, MORNING + timedelta(minutes=30))

    assert sum("tries again until it can be used" in line for line in house.lines) == 1
    assert not [line for line in house.lines if "can be used again" in line]
