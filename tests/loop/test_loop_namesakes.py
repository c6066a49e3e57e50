"""Projects that share a state database, with schedules of one name: each has its turns; and what stays one schedule."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loop_house import FLOWS, House

NIGHTLY = (
    '[state]\nurl = "sqlite:///{0}/state.db"\n[schedules.nightly]\ntasks = {1}\ndate = "today"\ncron = "0 6 * * *"\n'
)
EARLY = datetime(2026, 5, 8, 5, 55, tzinfo=UTC)
OTHER = FLOWS.replace("class Day(", "class Count(").replace("Fed(Day)", "FedCount(Count)").replace("Feed", "CountFeed")


def house(folder: Path, name: str, tasks: str, flows: str = FLOWS) -> House:
    """A project in a folder of its own, on the state database beside it."""
    place = folder / name
    place.mkdir()
    return House(place, name, NIGHTLY.format(folder, tasks), flows)


def ran(one: House, begin: datetime, end: datetime, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a loop of it builds meanwhile."""
    monkeypatch.chdir(one.folder)
    one.run(begin, end)
    return one.journal()


def test_two_projects_with_schedules_of_one_name_take_no_turn_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second builds its days, as it would alone."""
    first, second = house(tmp_path, "one", '["Day"]'), house(tmp_path, "two", '["Count"]', OTHER)
    end = EARLY + timedelta(days=1)

    assert ran(first, EARLY, end, monkeypatch) == ["2026-05-08"]
    assert ran(second, EARLY, end, monkeypatch) == ["2026-05-08"]
    assert ran(first, end, end + timedelta(days=1), monkeypatch) == ["2026-05-09"]
    assert ran(second, end, end + timedelta(days=1), monkeypatch) == ["2026-05-09"]


def test_a_project_in_another_folder_with_other_tasks_beside_has_the_same_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's name is nobody's business, and a deployment that adds a task goes on with the record."""
    first, moved = house(tmp_path, "three", '["Day"]'), house(tmp_path, "four", '["Day", "Fed"]')
    assert ran(first, EARLY, EARLY + timedelta(hours=1), monkeypatch) == ["2026-05-08"]
    shutil.copytree(first.folder / "days", moved.folder / "days")

    assert ran(moved, EARLY, EARLY + timedelta(hours=1), monkeypatch) == []

    assert first.turns("nightly") == [EARLY + timedelta(minutes=5)]
    made_up = ran(moved, EARLY + timedelta(hours=30), EARLY + timedelta(hours=31), monkeypatch)
    assert made_up == ["2026-05-09"]  # missed while nothing ran: it is known what the last turn was
