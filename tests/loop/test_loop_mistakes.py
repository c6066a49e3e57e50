"""What users' code does wrong in a loop: it costs that schedule a turn, and no other anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etlctl.core.results import RunSummary
from etlctl.loop.vitals import Vitals
from loop_house import FLOWS, House, JumpingClock, Until

FRIDAY = datetime(2026, 5, 8, 10, 1, tzinfo=UTC)
BOTH = """
    [schedules.picky]
    tasks = ["Picky"]
    date = "today"
    cron = "0 6 * * *"
    [schedules.day]
    tasks = ["Day"]
    date = "today"
    cron = "0 7 * * *"
"""
PICKY = """

    class Picky(Day):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            if self.date.weekday() == 5:
                raise {error}
"""
CANARY = "CANARY-123456789"
PRIVATE = '''

    class Pinned(Task):
        """Quotes its pin where it should not."""

        date = DateParameter()
        pin = Parameter(visibility=ParameterVisibility.PRIVATE)

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            if self.date.weekday() == 5:
                raise {error}("cannot use " + self.pin)
'''


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("error", ["TaskError('no feed on Saturdays')", "ValueError('Saturday')", "SystemExit(0)"])
def test_a_task_that_cannot_be_made_on_some_day_costs_its_schedule_that_turn_alone(tmp_path: Path, error: str) -> None:
    """The other schedule keeps its turns, and on Sunday the picky one is back."""
    code = FLOWS.replace("LocalTarget, Task\n", "LocalTarget, Task\n    from etlctl.errors import TaskError\n")
    house = House(tmp_path, f"picky_{len(error)}", BOTH, code + PICKY.format(error=error))

    house.run(FRIDAY, FRIDAY + timedelta(days=2))

    assert house.journal() == ["2026-05-09", "2026-05-10"], house.lines
    assert [due.day for due in house.turns("picky")] == [9, 10]
    assert sum("Saturday" in line or "SystemExit" in line for line in house.lines) == 1


@pytest.mark.parametrize("error", ["RuntimeError", "TaskError"])
def test_what_a_task_quotes_of_its_private_parameter_is_not_told(tmp_path: Path, error: str) -> None:
    """Given by the schedule: no task knows it yet."""
    code = FLOWS.replace(
        "LocalTarget, Task\n",
        "LocalTarget, Parameter, ParameterVisibility, Task\n    from etlctl.errors import TaskError\n",
    )
    settings = (
        '[schedules.pinned]\ntasks = ["Pinned"]\ndate = "today"\ncron = "0 6 * * *"\n'
        f'[schedules.pinned.params]\npin = "{CANARY}"\n'
    )
    house = House(tmp_path, f"pinned_{error.lower()}", settings, code + PRIVATE.format(error=error))

    house.run(FRIDAY, FRIDAY + timedelta(days=1))

    told = "\n".join(house.lines)
    assert "cannot use ***" in told
    assert CANARY not in told


def test_an_error_of_the_loops_own_costs_one_turn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told, the turn is on record as failed, and the schedule is not stuck behind it."""
    house = House(tmp_path, "own", BOTH.replace("picky", "other").replace("Picky", "Fed"))
    mistakes = [ValueError("nobody foresaw this")]

    class Mistaken(Vitals):
        def turn_ended(self, schedule: str, code: int, summary: RunSummary | None = None) -> None:
            super().turn_ended(schedule, code, summary)
            if mistakes and schedule == "day":
                raise mistakes.pop()

    house.vitals = Mistaken()
    house.run(FRIDAY, FRIDAY + timedelta(days=2))

    assert house.journal() == ["2026-05-09", "2026-05-10"]
    assert [due.day for due in house.turns("day")] == [9, 10]
    assert "day: internal error: ValueError: nobody foresaw this" in caplog.text


def test_a_reload_that_raises_what_nobody_foresaw_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The schedules go on as they were."""
    house = House(tmp_path, "unread", BOTH.replace("Picky", "Day"))
    clock = JumpingClock(FRIDAY)
    ending = Until(clock, FRIDAY + timedelta(days=1))
    loop = house.loop(clock, ending)

    def unread() -> None:
        raise ValueError("nobody foresaw this")

    loop._opener = unread  # type: ignore[assignment]
    ending.reloads = 1
    loop.run()

    assert house.journal() == ["2026-05-09"]
    assert "settings and pipelines stay as they were: internal error: ValueError" in caplog.text


WILD = '''

    class Wild(Param):
        """A kind of parameter whose values cannot be written down."""

        def serialize(self, value):
            raise {error}


    class InRequires(Day):
        deadline = "06:30"

        def requires(self):
            raise {error}


    class InComplete(Day):
        deadline = "06:30"

        def complete(self):
            raise {error}


    class InOutput(Day):
        deadline = "06:30"

        def output(self):
            raise {error}


    class InDeadline(Day):
        @property
        def deadline(self):
            raise {error}


    class InHash(Day):
        deadline = "06:30"
        wild = Wild(default="x")
'''
PLACES = ("InRequires", "InComplete", "InOutput", "InDeadline", "InHash")
ERRORS = {
    "usage": "UsageError('wild')",
    "unavailable": "UnavailableError('wild')",
    "exit": "SystemExit(3)",
}


@pytest.mark.parametrize("name", ERRORS)
def test_no_error_of_a_task_ends_a_loop_that_looks_at_it(tmp_path: Path, name: str) -> None:
    """Wherever it comes from, at the start, in a turn, in the look at a pause, in that at a deadline and at a reload:
    the other schedule has its turns."""
    imports = "\n    from etlctl import Parameter as Param\n    from etlctl.errors import *\n"
    code = FLOWS.replace("LocalTarget, Task\n", f"LocalTarget, Task{imports}") + WILD.format(error=ERRORS[name])
    each = '[schedules.{0}]\ntasks = ["{0}"]\ndate = "today"\ncron = "0 6 * * *"\n'
    settings = '[loop]\nbackoff_max = "12h"\n' + "".join(each.format(place) for place in (*PLACES, "Day"))
    house = House(tmp_path, f"wild_{name}", settings, code)
    house.opener()().operations.pause("Nobody", reason="so that pauses are looked at", by="ann")
    clock = JumpingClock(FRIDAY)
    ending = Until(clock, FRIDAY + timedelta(days=1))
    clock.at.append((FRIDAY + timedelta(hours=1), lambda: setattr(ending, "reloads", 1)))

    house.loop(clock, ending).run()

    assert house.journal() == ["2026-05-09"], house.lines
