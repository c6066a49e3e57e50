"""By when tasks must be done: one alert for each that is not, at its time, with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etlctl import Task
from etlctl.errors import ExitCode
from etlctl.loop.loop import Loop
from etlctl.loop.project import Project
from loop_house import FLOWS, House, JumpingClock, Until

NIGHTLY = """
    [schedules.nightly]
    tasks = ["Report"]
    cron = "0 6 * * *"
    timezone = "Europe/Berlin"
    date = "yesterday"
"""
REPORT = (
    FLOWS.replace("class Fed(Day):\n", 'class Fed(Day):\n        deadline = "07:00"\n\n').replace(
        "class Feed(ExternalTask):\n", 'class Feed(ExternalTask):\n        deadline = "06:30"\n'
    )
    + """

    class Failing(Day):
        deadline = "07:00"

        def run(self):
            raise ValueError("bad data")


    class Unbounded(Day):
        def run(self):
            raise ValueError("of no interest")


    class Report(Day):
        deadline = "07:00"

        def requires(self):
            return [Fed(self.date), Failing(self.date), Unbounded(self.date)]

        def output(self):
            return LocalTarget(f"reports/{self.date}")
"""
)
SLOW = (
    FLOWS
    + """

    import time


    class Slow(Day):
        deadline = "07:00"

        def run(self):
            Path("started").touch()
            until = time.monotonic() + 30
            while not Path("told").exists() and time.monotonic() < until:
                time.sleep(0.02)
            with self.output().open("w") as file:
                file.write("done")


    class Report(Day):
        deadline = "07:00"

        def requires(self):
            return Slow(self.date)

        def output(self):
            return LocalTarget(f"reports/{self.date}")
"""
)
FOUR, FIVE = datetime(2026, 5, 8, 4, tzinfo=UTC), datetime(2026, 5, 8, 5, tzinfo=UTC)
"""06:00 and 07:00 in Berlin."""


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def late(house: House) -> list[str]:
    return [line for line in house.lines if "not done by" in line]


def test_each_task_that_a_turn_reaches_is_told_of_once_with_its_reason(tmp_path: Path) -> None:
    """Not the roots alone, at their times on the schedule's clocks, over all loops; no task without a deadline."""
    house = House(tmp_path, "reached", NIGHTLY, REPORT)

    house.run(FOUR - timedelta(minutes=1), FIVE + timedelta(minutes=20))
    house.run(FIVE - timedelta(minutes=1), FIVE + timedelta(minutes=20))

    by = "not done by 2026-05-08 0"
    assert sorted(late(house)) == [
        f"nightly: Failing(2026-05-07) is {by}7:00 CEST: failed: ValueError: bad data",
        f"nightly: Fed(2026-05-07) is {by}7:00 CEST: blocked by Feed(2026-05-07)",
        f"nightly: Feed(2026-05-07) is {by}6:30 CEST: blocked: feed/2026-05-07 is missing",
        f"nightly: Report(2026-05-07) is {by}7:00 CEST: blocked by Feed(2026-05-07)",
    ]


def test_a_loop_that_did_not_have_the_turn_knows_the_reason_too(tmp_path: Path) -> None:
    """By the history; the one that had it may be gone."""
    house = House(tmp_path, "elsewhere", f'{NIGHTLY}    deadline = "07:00"\n', REPORT)

    house.run(FOUR - timedelta(minutes=1), FOUR + timedelta(minutes=15))
    house.run(FIVE - timedelta(minutes=1), FIVE + timedelta(minutes=15))

    by = "not done by 2026-05-08 07:00 CEST"
    missing = "blocked by Feed(2026-05-07): feed/2026-05-07 is missing"
    cause = "the turn of 2026-05-08 06:00 CEST ended with exit 1: Failing(2026-05-07) failed: ValueError: bad data"
    found = sorted(line.partition("; etlctl history")[0] for line in late(house))
    assert found[:4] == [
        f"nightly: Failing(2026-05-07) is {by}: failed: ValueError: bad data",
        f"nightly: Fed(2026-05-07) is {by}: {missing}",
        "nightly: Feed(2026-05-07) is not done by 2026-05-08 06:30 CEST: blocked: feed/2026-05-07 is missing",
        f"nightly: Report(2026-05-07) is {by}: {missing}",
    ]
    assert found[4].startswith(f"nightly: {by}: {cause} (and ")
    assert len(found) == 5


def test_those_who_hear_of_a_task_hear_of_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alert is of the task, for notifiers that choose by task and tag."""
    heard: list[tuple[str, str, str, Task | None]] = []

    def alert(self: Project, kind: str, title: str, text: str, task: Task | None = None) -> None:
        heard.append((kind, title, text, task))

    monkeypatch.setattr(Project, "alert", alert)
    house = House(tmp_path, "hearers", NIGHTLY.replace("Report", "Fed"), REPORT)

    house.run(FOUR - timedelta(minutes=1), FIVE + timedelta(minutes=15))

    assert [(kind, title, task.task_family if task else None) for kind, title, _, task in heard] == [
        ("deadline", "Feed(2026-05-07) is late", "Feed"),
        ("deadline", "Fed(2026-05-07) is late", "Fed"),
    ]
    assert heard[1][2] == "Fed(2026-05-07) is not done by 2026-05-08 07:00 CEST: blocked by Feed(2026-05-07)"


def test_a_task_that_is_done_by_then_is_not_told_of(tmp_path: Path) -> None:
    """Whoever has done it: it is asked, not what this loop remembers of it."""
    house = House(tmp_path, "kept", NIGHTLY.replace("Report", "Fed"), REPORT)

    def deliver() -> None:
        for place in ("feed", "days"):
            (tmp_path / place).mkdir(exist_ok=True)
            (tmp_path / place / "2026-05-07").touch()

    house.run(FOUR - timedelta(minutes=1), FIVE + timedelta(minutes=20), at=[(FOUR + timedelta(minutes=20), deliver)])

    assert late(house) == []


def test_a_day_is_told_of_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    """The window asks for it on each day; a new one has an alert of its own."""
    house = House(tmp_path, "window", f'{NIGHTLY.replace("Report", "Fed")}    window = "7d"\n', REPORT)
    (tmp_path / "feed").mkdir()
    for day in range(1, 7):
        (tmp_path / "feed" / f"2026-05-0{day}").touch()

    for day in range(3):
        house.run(FOUR + timedelta(days=day, minutes=-1), FIVE + timedelta(days=day, minutes=1))

    told = [line.partition(" is not done")[0] for line in late(house) if "Fed(" in line]
    assert told == [f"nightly: Fed(2026-05-0{day})" for day in (7, 8, 9)]


OWN = (
    FLOWS
    + """

    class Part(Fed):
        @property
        def deadline(self):
            return "07:00"

        def output(self):
            return LocalTarget(f"parts/{self.date}")


    class Report(Day):
        def run(self):
            yield Part(self.date)
"""
)


def test_a_task_that_comes_up_in_a_run_with_a_deadline_of_its_own_is_told_of(tmp_path: Path) -> None:
    """A property's, of what a task yields: neither class nor graph tells of it, and the turn took no time."""
    house = House(tmp_path, "own", NIGHTLY, OWN)

    house.run(FOUR - timedelta(minutes=1), FIVE + timedelta(minutes=1))

    assert late(house) == [
        "nightly: Part(2026-05-07) is not done by 2026-05-08 07:00 CEST: blocked by Feed(2026-05-07)"
    ]


class Leaping(JumpingClock):
    """It is past seven as soon as the long task runs."""

    def now(self) -> datetime:
        return FIVE + timedelta(minutes=1) if Path("started").exists() else super().now()


def test_a_deadline_is_told_while_one_long_task_runs(tmp_path: Path) -> None:
    """In this process, one job: at its time, the schedule's with the task that it is at. The task ends when all three
    have been told of."""
    house = House(tmp_path, "long", f'{NIGHTLY}    deadline = "07:00"\n', SLOW)
    clock = Leaping(FOUR - timedelta(seconds=1))

    def say(line: str) -> None:
        house.lines.append(line)
        if len(late(house)) == 3:
            Path("told").touch()

    ending = Until(clock, FIVE + timedelta(hours=1))
    loop = Loop(house.opener(), clock=clock, ending=ending, vitals=house.vitals, say=say, chance=lambda: 0.5)

    assert loop.run(1) is ExitCode.DONE

    found = sorted(late(house))
    assert len(found) == 3
    assert "nightly: Report(2026-05-07) is not done by 2026-05-08 07:00 CEST: waits for Slow(2026-05-07)" in found[0]
    assert "nightly: Slow(2026-05-07) is not done by 2026-05-08 07:00 CEST: is running since 2026-05-08" in found[1]
    assert "nightly: not done by 2026-05-08 07:00 CEST: the turn of" in found[2]
    assert "Slow(2026-05-07) is running since" in found[2]
    assert (tmp_path / "reports" / "2026-05-07").exists()
