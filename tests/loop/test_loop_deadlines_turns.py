"""Which turn a deadline is of, what keeps it, and what is told where nothing did: by turns on record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from etlctl.db.state import owners
from etlctl.db.state.operations import Operations, Turn
from etlctl.errors import ExitCode, UnavailableError
from etlctl.loop.deadlines import Deadlines
from etlctl.loop.loop import Loop
from etlctl.loop.project import Project
from loop_house import House, JumpingClock, Until

_NUMBERS = count()
"""Of projects: a package of pipelines is imported once in a process."""
NIGHTLY = """
    [schedules.nightly]
    tasks = ["Day"]
    cron = "0 6 * * *"
    timezone = "Europe/Berlin"
    date = "yesterday"
    deadline = "07:00"
"""
WEEKLY = NIGHTLY.replace('"0 6 * * *"', '"0 6 * * 1"')
OFTEN = NIGHTLY.replace('cron = "0 6 * * *"', 'every = "20s"')
MONTHLY = NIGHTLY.replace('"0 6 * * *"', '"@monthly"')


def at(text: str) -> datetime:
    """An instant of May 2026 in UTC, two hours behind Berlin: `08 05:00`."""
    return datetime.fromisoformat(f"2026-05-{text}").replace(tzinfo=UTC)


class Row(NamedTuple):
    """A turn on record."""

    due: str
    began: str
    ended: str | None = None
    code: int | None = None
    run_id: str | None = None


class Desk:
    """A project whose turns somebody else has, looked at by deadlines at instants of a clock of its own."""

    def __init__(self, house: House, begin: str) -> None:
        self.lines = house.lines
        self.clock = JumpingClock(at(begin))
        self.project = house.opener(self.clock)()
        self.deadlines = self.opened()
        self._rows = 0

    def opened(self, before: Deadlines | None = None) -> Deadlines:
        """As a loop that starts now, or that reloads."""
        return Deadlines(self.project, self.clock, self.lines.append, before=before.seen if before else None)

    def recorded(self, *rows: Row, schedule: str = "nightly") -> None:
        self.project.operations.ping()
        for row in rows:
            self._rows += 1
            due, began, ended = (at(one).timestamp() if one else None for one in (row.due, row.began, row.ended))
            given = {"schedule": schedule, "number": self._rows, "due": due, "began": began, "ended": ended}
            with self.project._store.transaction() as session:
                session.run(
                    "INSERT INTO etlctl_turns "
                    "(profile, schedule, number, due, owner, began_at, ended_at, code, run_id) VALUES ('', "
                    ":schedule, :number, :due, :owner, :began, :ended, :code, :run_id)",
                    {**given, "owner": owners.this_process(), "code": row.code, "run_id": row.run_id},
                )

    def told(self, *instants: str) -> list[str]:
        """What is told at these instants, one after the other."""
        for one in instants:
            self.clock.wait((at(one) - self.clock.now()).total_seconds())
            self.deadlines.look()
        found = list(self.lines)
        self.lines.clear()
        return found


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """At 05:00 in Berlin of the eighth, a Friday; the parameter is the settings."""
    house = House(tmp_path, f"desk_{next(_NUMBERS)}", getattr(request, "param", NIGHTLY))
    one = Desk(house, "08 03:00")
    monkeypatch.setattr(Operations, "now", lambda _: one.clock.now())
    yield one
    one.project.close()


# -- which turn


@pytest.mark.parametrize("desk", [WEEKLY], indirect=True)
def test_a_day_on_which_no_turn_is_due_has_no_deadline(desk: Desk) -> None:
    """A schedule of Mondays that was never on record: nothing from Friday to Sunday; Monday's has one alert, once."""
    before = desk.told("08 06:00", "09 06:00", "10 06:00", "11 04:59")
    monday = desk.told("11 05:00", "11 05:01")
    after = desk.told("12 06:00", "13 06:00", "17 06:00", "18 04:59")

    assert (before, after) == ([], [])
    assert monday == ["nightly: not done by 2026-05-11 07:00 CEST: the turn of 2026-05-11 06:00 CEST has not begun"]


@pytest.mark.parametrize("desk", [WEEKLY], indirect=True)
def test_a_turn_that_stays_blocked_is_told_of_once(desk: Desk) -> None:
    """Not once a day until it is mended."""
    desk.recorded(Row("11 04:00", "11 04:00", "11 04:01", ExitCode.BLOCKED))

    (told,) = desk.told("11 05:00", "12 05:00", "13 05:00", "14 05:00")

    assert told == (
        "nightly: not done by 2026-05-11 07:00 CEST: the turn of 2026-05-11 06:00 CEST ended with exit 3: an input is "
        "missing; the next turn is due 2026-05-18 06:00 CEST"
    )


@pytest.mark.parametrize("desk", [MONTHLY], indirect=True)
def test_a_turn_at_midnight_of_the_first_has_until_seven(desk: Desk) -> None:
    desk.recorded(Row("01 03:00", "01 03:00", "01 03:01", ExitCode.DONE))

    told = desk.told("08 05:00", "09 05:00", "31 21:59")

    assert told == []
    desk.clock.wait(8 * 3_600)
    desk.deadlines.look()
    assert desk.lines == ["nightly: not done by 2026-06-01 07:00 CEST: the turn of 2026-06-01 00:00 CEST has not begun"]


def test_a_schedule_that_was_never_on_record_has_the_turns_after_it_was_seen(desk: Desk) -> None:
    """Today's was due before anybody knew of it."""
    desk.clock.wait(3.5 * 3_600)
    desk.deadlines = desk.opened()

    assert desk.told("08 06:45", "09 03:59") == []
    assert len(desk.told("09 05:00")) == 1


OFTEN_FAILED = Row("08 04:59:20", "08 04:59:20", "08 04:59:36", ExitCode.FAILED, "r1")
OFTEN_BEGUN = Row("08 05:00:00", "08 05:00:00")


@pytest.mark.parametrize("desk", [OFTEN], indirect=True)
def test_a_turn_that_begins_at_the_deadline_hides_no_cause(desk: Desk) -> None:
    """The last one before it is told, with its exit and its run."""
    desk.recorded(OFTEN_FAILED, OFTEN_BEGUN)

    (told,) = desk.told("08 05:00:00", "08 05:00:01", "08 05:00:20")

    assert told.startswith(
        "nightly: not done by 2026-05-08 07:00 CEST: the turn of 2026-05-08 06:59:20 CEST ended with exit 1: a task "
        "failed; etlctl history r1; the next turn is due "
    )


@pytest.mark.parametrize("desk", [OFTEN], indirect=True)
def test_turns_every_few_seconds_have_one_deadline_a_day(desk: Desk) -> None:
    """One that asked for that day and ended well by then is enough, whatever came after it."""
    desk.recorded(Row("07 22:00:20", "07 22:00:20", "07 22:00:30", ExitCode.DONE), OFTEN_FAILED, OFTEN_BEGUN)

    hanging = (
        "the turn of 2026-05-09 06:59:40 CEST has not begun: the turn of 2026-05-08 07:00 CEST is not at its end (by "
        f"{owners.holder(owners.this_process())} since 2026-05-08 07:00 CEST); etlctl status"
    )

    first = desk.told("08 05:00:00", "08 05:00:20", "08 12:00", "09 04:59:59")
    second = desk.told("09 05:00:00", "09 05:00:20", "09 12:00")

    assert first == []
    assert second == [f"nightly: not done by 2026-05-09 07:00 CEST: {hanging}"]


# -- what keeps it, and why it was not kept

DUE, BEGAN = "08 04:00", "08 04:00:01"
BY = "by HOST since"
SAID = "the turn of 2026-05-08 06:00 CEST"
NEXT = "the next turn is due 2026-05-09 06:00 CEST"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        pytest.param([Row(DUE, BEGAN, "08 04:50", ExitCode.DONE)], None, id="done"),
        pytest.param([Row(DUE, BEGAN, "08 05:00", ExitCode.DONE)], None, id="done just then"),
        pytest.param([Row(DUE, BEGAN, "08 04:10"), Row(DUE, BEGAN, "08 04:20", ExitCode.DONE)], None, id="taken over"),
        pytest.param(
            [Row(DUE, BEGAN)], f"{SAID} is not at its end ({BY} 2026-05-08 06:00:01 CEST); etlctl status", id="at work"
        ),
        pytest.param(
            [Row(DUE, BEGAN, "08 04:10")],
            f"{SAID} was cut off with its process ({BY} 2026-05-08 06:00:01 CEST)",
            id="killed",
        ),
        pytest.param(
            [Row(DUE, BEGAN, "08 04:10", ExitCode.FAILED)],
            f"{SAID} ended with exit 1: a task failed; {NEXT}",
            id="failed",
        ),
        pytest.param(
            [Row(DUE, BEGAN, "08 04:10", 77, "r9")],
            f"{SAID} ended with exit 77; etlctl history r9; {NEXT}",
            id="of a run",
        ),
        pytest.param(
            [Row("07 04:00", "07 04:00")],
            f"{SAID} has not begun: the turn of 2026-05-07 06:00 CEST is not at its end ({BY} 2026-05-07 06:00 CEST); "
            "etlctl status",
            id="the one before at work",
        ),
        pytest.param([Row("07 04:00", BEGAN, "08 04:10", ExitCode.DONE)], f"{SAID} has not begun", id="not begun"),
    ],
)
@pytest.mark.parametrize("when", ["08 05:00:00", "08 05:30:00"], ids=["in time", "late"])
def test_a_deadline_is_kept_by_a_turn_that_ended_well_by_then(
    desk: Desk, rows: Sequence[Row], why: str | None, when: str
) -> None:
    """Whenever it is looked at; else the reason is that of the turn."""
    desk.recorded(*rows)

    told = [line.replace(owners.holder(owners.this_process()), "HOST") for line in desk.told(when, f"{when[:-1]}5")]

    assert told == ([] if why is None else [f"nightly: not done by 2026-05-08 07:00 CEST: {why}"])


def test_what_was_done_by_hand_after_a_turn_that_failed_is_done(desk: Desk) -> None:
    """By `etlctl build`, of which the schedule's turns know nothing."""
    desk.recorded(Row(DUE, BEGAN, "08 04:10", ExitCode.FAILED))
    Path("days").mkdir()
    Path("days/2026-05-07").touch()

    assert desk.told("08 05:00") == []


def test_a_turn_that_ended_well_too_late_is_told_by_who_looks_later(desk: Desk) -> None:
    """A loop that was away at the deadline."""
    desk.recorded(Row(DUE, BEGAN, "08 05:12", ExitCode.DONE))

    assert desk.told("08 09:00") == [
        f"nightly: not done by 2026-05-08 07:00 CEST: {SAID} ended well, but at 2026-05-08 07:12 CEST"
    ]


def test_clocks_that_differ_make_no_turn_late(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state database's, by which a turn ended, is two minutes ahead of this machine's."""
    monkeypatch.setattr(Operations, "now", lambda _: desk.clock.now() + timedelta(minutes=2))
    desk.recorded(Row(DUE, BEGAN, "08 05:01", ExitCode.DONE))

    assert desk.told("08 05:00") == []


def test_the_loop_that_has_the_turn_has_the_first_word(desk: Desk) -> None:
    """It knows at which task that is; who only sees the record tells some seconds later, if nobody has."""
    desk.recorded(Row(DUE, BEGAN))

    assert (desk.told("08 05:00:00", "08 05:00:04"), len(desk.told("08 05:00:05"))) == ([], 1)


def test_a_pause_of_all_its_tasks_is_why_a_turn_has_not_begun(desk: Desk) -> None:
    """One of some other task is none."""
    desk.recorded(Row("07 04:00", "07 04:00", "07 04:10", ExitCode.DONE))
    desk.project.operations.pause("Fed", reason="of no interest", by="bob")
    desk.project.operations.pause("Day", reason="the warehouse is being moved", by="ann")

    (told,) = desk.told("08 05:00")

    assert f"{SAID} has not begun: paused by ann since " in told
    assert told.endswith(": the warehouse is being moved")


# -- who looks


def test_a_loop_that_starts_after_the_deadline_tells_of_it_once(desk: Desk) -> None:
    """Down from 06:59 to 07:01; the next one knows that it was told."""
    desk.recorded(Row("07 04:00", "07 04:00", "07 04:10", ExitCode.DONE))
    before = desk.told("08 04:59")
    desk.clock.wait(120)
    desk.deadlines = desk.opened()
    after = desk.told("08 05:01:01")
    desk.deadlines = desk.opened()

    assert (before, len(after), desk.told("08 05:02")) == ([], 1, [])


def test_a_loop_that_was_away_for_days_tells_of_the_last_deadline(desk: Desk) -> None:
    """Not of each day."""
    desk.recorded(Row("01 04:00", "01 04:00", "01 04:10", ExitCode.DONE))

    (told,) = desk.told("08 03:00:01")

    assert "not done by 2026-05-07 07:00 CEST: the turn of 2026-05-07 06:00 CEST has not begun" in told


def test_a_reload_forgets_no_schedule_that_has_not_begun(desk: Desk) -> None:
    """With nothing on record, what was seen before holds; a schedule with other times is a new one."""
    desk.clock.wait(3_600 * 2 + 60)
    fresh = desk.opened()

    desk.deadlines = desk.opened(before=fresh)
    unknown = desk.told("08 05:02")
    first = Deadlines(desk.project, JumpingClock(at("08 03:00")), desk.lines.append)
    desk.deadlines = desk.opened(before=first)

    assert (unknown, len(desk.told("08 05:03"))) == ([], 1)


def test_a_reload_across_the_deadline_tells(tmp_path: Path) -> None:
    """One that takes from 06:59 to 07:01, in a loop whose schedule waits for a pause to end."""
    house = House(tmp_path, "reload_across", NIGHTLY)
    clock = JumpingClock(at("08 04:58"))
    ending = Until(clock, at("08 05:03"))
    operations = house.opener()().operations
    yesterday = operations.claim_turn("nightly", at("07 04:00"))
    assert isinstance(yesterday, Turn)
    operations.end_turn(yesterday, code=ExitCode.DONE)
    operations.pause("", reason="", by="ann")
    opener = house.opener(clock)

    def open_it() -> Project:
        if clock.now() >= at("08 04:59"):
            clock.wait(120)
        return opener()

    clock.at.append((at("08 04:59"), lambda: setattr(ending, "reloads", 1)))
    loop = Loop(open_it, clock=clock, ending=ending, vitals=house.vitals, say=house.lines.append, chance=lambda: 0.5)

    assert loop.run() is ExitCode.TERMINATED

    assert any("were read anew" in line for line in house.lines), house.lines
    (told,) = [line for line in house.lines if "not done by 2026-05-08" in line]
    assert "has not begun: paused by ann since" in told


def test_a_clock_that_was_far_ahead_has_not_put_deadlines_off(desk: Desk) -> None:
    """Set right again, what is due next is looked at at its time."""
    desk.clock.wait(365 * 86_400)
    desk.deadlines.look()
    desk.lines.clear()
    desk.clock.set_back(365 * 86_400)

    assert len(desk.told("08 04:59", "08 05:00")) == 1


def test_an_outage_of_the_state_database_puts_alerts_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds who was told; nothing is lost, and nothing is told twice."""
    alerted = Operations.alerted

    def away(self: Operations, key: str) -> bool:
        raise UnavailableError("the state database is away")

    monkeypatch.setattr(Operations, "alerted", away)
    during = desk.told("08 05:00", "08 05:00:10")
    monkeypatch.setattr(Operations, "alerted", alerted)

    assert (during, len(desk.told("08 05:01", "08 05:02"))) == ([], 1)
