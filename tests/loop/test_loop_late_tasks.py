"""Which tasks are told of at their deadline, whatever cannot be asked then, and who looks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.db.state.operations import Turn
from etlctl.engine.executors.template import Template
from etlctl.errors import ExitCode
from etlctl.loop.deadlines import Deadlines
from etlctl.loop.late_tasks import LateTasks
from etlctl.loop.project import Project
from etlctl.loop.standing import Standing
from etlctl.schedule import deadline
from loop_house import FLOWS, House, JumpingClock, Until

_NUMBERS = count()
"""Of projects: a package of pipelines is imported once in a process."""
TWO = """
    [connections.warehouse]
    url = "postgresql://etl@127.0.0.1:{port}/dw"
    connect_timeout = 1
    [schedules.loads]
    tasks = ["Summary"]
    cron = "0 6 * * *"
    timezone = "Europe/Berlin"
    date = "yesterday"
    [schedules.reports]
    tasks = ["Report"]
    cron = "0 6 * * *"
    timezone = "Europe/Berlin"
    date = "yesterday"
"""
LOADS = (
    FLOWS
    + """

    from etlctl import LoadTable, WrapperTask


    class File(Day):
        deadline = "07:00"


    class Load(LoadTable):
        date = DateParameter()
        deadline = "07:00"
        table = "days"
        columns = {"date": "date"}

        def requires(self):
            return File(self.date)

        def rows(self):
            yield {"date": self.date}


    class Summary(Load):
        deadline = None
        table = "summaries"

        def requires(self):
            return Load(self.date)


    class Report(Day):
        deadline = "07:00"

        def output(self):
            return LocalTarget(f"reports/{self.date}")
"""
)
SIX, SEVEN = datetime(2026, 5, 8, 4, tzinfo=UTC), datetime(2026, 5, 8, 5, tzinfo=UTC)
"""In Berlin."""
BY, SINCE = "is not done by 2026-05-08 07:00 CEST", "2026-05-08 06:00 CEST"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Nobody listens there: it is bound, and that is all."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def threads() -> set[threading.Thread]:
    """Those that look at deadlines."""
    return {thread for thread in threading.enumerate() if thread.name == "etlctl-deadlines"}


def house_of(folder: Path, settings: str, flows: str) -> House:
    return House(folder, f"late_{next(_NUMBERS)}", settings, flows)


def opened(house: House, clock: JumpingClock, *, code: ExitCode | None = None) -> tuple[Project, Deadlines]:
    """As in a loop that begins now; with `code` each schedule's turn of six has ended with that."""
    project = house.opener(clock)()
    for schedule in project.schedules if code is not None else ():
        turn = project.operations.claim_turn(schedule.name, SIX)
        assert isinstance(turn, Turn)
        project.operations.end_turn(turn, code=code or 0)
    return project, Deadlines(project, clock, house.lines.append)


def looked_at_seven(house: House, *, code: ExitCode | None = None) -> list[str]:
    clock = JumpingClock(SIX - timedelta(hours=1))
    project, deadlines = opened(house, clock, code=code)
    clock.wait(2 * 3_600)
    deadlines.look()
    deadlines.look()
    project.close()
    return sorted(house.lines)


def test_a_warehouse_that_is_away_is_a_reason_and_silences_nobody(tmp_path: Path, closed_port: int) -> None:
    """What is in it, what a build would ask for behind that, and other schedules' tasks are told of."""
    found = looked_at_seven(house_of(tmp_path, TWO.format(port=closed_port), LOADS))

    assert [line.partition(": ")[2].partition(": ")[0] for line in found] == [
        f"File(2026-05-07) {BY}",
        f"Load(2026-05-07) {BY}",
        f"Report(2026-05-07) {BY}",
    ]
    file, load, report = found
    assert file.endswith(": has not begun")
    assert "cannot be reached" in load and str(closed_port) in load
    assert report.endswith(": has not begun")


def test_nothing_is_asked_where_a_turn_has_ended_well(tmp_path: Path, closed_port: int) -> None:
    """All was complete by then, so that an outage at the deadline is nobody's."""
    assert looked_at_seven(house_of(tmp_path, TWO.format(port=closed_port), LOADS), code=ExitCode.DONE) == []


ODD = (
    FLOWS
    + """

    class Odd(Day):
        @property
        def deadline(self):
            raise SystemExit(1)


    class Keyless(Day):
        deadline = "07:00"

        @property
        def update_key(self):
            raise SystemExit(1)

        def output(self):
            return LocalTarget(f"keyless/{self.date}")


    class Last(Day):
        deadline = "07:00"

        def output(self):
            return LocalTarget(f"last/{self.date}")
"""
)
ONE = """
    [schedules.nightly]
    tasks = ["Odd", "Keyless", "Last"]
    cron = "0 6 * * *"
    timezone = "Europe/Berlin"
    date = "yesterday"
"""


def test_a_property_that_ends_the_process_ends_neither_the_loop_nor_what_is_told_of_others(tmp_path: Path) -> None:
    """sys.exit() in a user's code, where it is asked when it must be done and what it is."""
    found = looked_at_seven(house_of(tmp_path, ONE, ODD), code=ExitCode.FAILED)

    assert found == [f"nightly: Last(2026-05-07) {BY}: has not begun"]


MANY = (
    FLOWS
    + """

    from etlctl import IntParameter


    class Part(Task):
        number = IntParameter()
        date = DateParameter()
        deadline = "07:00"

        def output(self):
            return LocalTarget(f"parts/{self.number}-{self.date}")


    class Parts(Day):
        def requires(self):
            return [Part(number, self.date) for number in range(25)]
"""
)


def test_a_turn_that_has_not_begun_is_a_reason(tmp_path: Path) -> None:
    """A pause that holds all of it is named."""
    house = house_of(tmp_path, ONE.replace('"Odd", "Keyless", "Last"', '"Last"'), ODD)
    house.opener()().operations.pause("", reason="the warehouse is being moved", by="ann")

    (told,) = looked_at_seven(house)

    assert told.startswith(f"nightly: Last(2026-05-07) {BY}: has not begun: paused by ann since ")
    assert told.endswith(": the warehouse is being moved")


def test_many_late_tasks_are_twenty_messages_and_one(tmp_path: Path) -> None:
    """The last one says how many there are besides, and the first of them."""
    settings = ONE.replace('"Odd", "Keyless", "Last"', '"Parts"')

    found = looked_at_seven(house_of(tmp_path, settings, MANY), code=ExitCode.FAILED)

    single = [line for line in found if line.startswith("nightly: Part(")]
    shared = [line for line in found if line not in single]
    assert (len(single), len(shared)) == (20, 1)
    assert shared[0].startswith("nightly: 5 more tasks are not done by 2026-05-08 07:00 CEST, Part(")


class Busy:
    """A loop that is at a long task of one schedule, and is to look at the tasks of another."""

    def __init__(self, folder: Path, waiting: str, working: str) -> None:
        self.house = house_of(folder, TWO.format(port=1), LOADS)
        self.clock = JumpingClock(SIX)
        self.project, _ = opened(self.house, self.clock)
        schedules = {one.name: one for one in self.project.schedules}
        self._waiting = schedules[waiting]
        self._work = Standing(schedules[working], SIX, self.clock)
        self._work.task_started(self.project.app.registry.find("Day")(SIX.date()), Attempt("run"))
        self._late_tasks = LateTasks(self.project, self.clock, self.house.lines.append)

    def look(self, minutes: int = 0, *, is_over: bool = False) -> bool:
        self.clock.wait(60 * minutes)
        zone = self._waiting.zone
        expected = deadline.passed(self._waiting.times, SEVEN, "07:00", zone)
        current = None if is_over else self._work
        return self._late_tasks.look_at(self._waiting, "07:00", expected, expected.due, standing=None, current=current)


def test_tasks_that_wait_for_another_schedules_turn_are_told_of_in_time(tmp_path: Path) -> None:
    """After a minute it is said that they cannot be looked at, and why; when that turn has ended each by itself."""
    busy = Busy(tmp_path, "reports", "loads")

    answers = [busy.look(60), busy.look(), busy.look(1), busy.look(1), busy.look(is_over=True)]
    busy.project.close()

    assert answers == [False, False, False, False, True]
    unknown = "whether its tasks are done by 2026-05-08 07:00 CEST is not known"
    assert busy.house.lines == [
        f"reports: {unknown}: this loop is at loads 2026-05-08 06:00 CEST: Day(2026-05-08) is running since {SINCE}",
        f"reports: Report(2026-05-07) {BY}: has not begun",
    ]


def test_a_schedule_that_is_not_known_to_have_such_tasks_waits_in_silence(tmp_path: Path) -> None:
    """What another schedule's tasks must keep is nothing to it."""
    busy = Busy(tmp_path, "loads", "reports")

    assert [busy.look(60), busy.look(5)] == [False, False]
    busy.project.close()
    assert busy.house.lines == []


def test_tasks_that_another_loop_has_looked_at_are_known(tmp_path: Path) -> None:
    """The busy one need not say that it cannot look."""
    busy = Busy(tmp_path, "reports", "loads")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "2026-05-07").touch()

    assert [busy.look(60, is_over=True), busy.look(), busy.look(5)] == [True, False, False]
    busy.project.close()
    assert busy.house.lines == []


def test_the_thread_begins_when_a_build_has_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -j the template is a copy of a process without it; then it is there while the tasks run."""
    before = threads()
    seen: dict[str, set[threading.Thread]] = {}
    forked, started = Template.forked, Standing.task_started

    def at_fork(_: type[Template], *arguments: Any) -> Template:
        seen["fork"] = threads() - before
        return forked(*arguments)

    def at_start(self: Standing, task: Task, attempt: Attempt) -> None:
        seen["task"] = threads() - before
        started(self, task, attempt)

    monkeypatch.setattr(Template, "forked", classmethod(at_fork))
    monkeypatch.setattr(Standing, "task_started", at_start)
    settings = ONE.replace('"Odd", "Keyless", "Last"', '"Last"').replace("0 6", "* *")
    house = house_of(tmp_path, f"{settings}    [build]\n    jobs = 2\n", ODD)
    clock = JumpingClock(SIX)

    assert house.loop(clock, Until(clock, SEVEN)).run(1) is ExitCode.DONE

    assert (len(seen["fork"]), len(seen["task"])) == (0, 1)
    for thread in seen["task"]:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("begin", "told_at", "by"),
    [
        ("2026-03-28T20:00", "2026-03-29T01:00", "2026-03-29 03:00 CEST"),
        ("2026-10-24T20:00", "2026-10-25T00:30", "2026-10-25 02:30 CEST"),
    ],
)
def test_a_deadline_in_the_hour_that_clocks_skip_or_show_twice_is_told_once(
    tmp_path: Path, begin: str, told_at: str, by: str
) -> None:
    """02:30 in Berlin: at the next minute that is shown, and when it is shown for the first time."""
    settings = ONE.replace('"Odd", "Keyless", "Last"', '"Day"').replace("0 6", "0 1")
    house = house_of(tmp_path, f'{settings}    deadline = "02:30"\n', ODD)
    clock = JumpingClock(datetime.fromisoformat(begin).replace(tzinfo=UTC))
    project, deadlines = opened(house, clock)
    told = []
    for _ in range(40):
        clock.wait(900)
        deadlines.look()
        told += [(clock.now(), line) for line in house.lines]
        house.lines.clear()
    project.close()

    ((instant, line),) = told
    assert instant == datetime.fromisoformat(told_at).replace(tzinfo=UTC)
    assert line.startswith(f"nightly: not done by {by}: ")
