"""What goes wrong in a loop itself, and what it cannot use: told when it is met, once, and mended by the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from etlctl.errors import ExitCode
from etlctl.loop import project
from loop_house import FLOWS, House, JumpingClock, Until
from notify.receivers import Web, silent_server, web
from servers.postgres import Postgres

FRIDAY = datetime(2026, 5, 8, 10, 1, tzinfo=UTC)
FRIDAY_AT_SIX = datetime(2026, 5, 8, 6, tzinfo=UTC)
NIGHTLY = '[schedules.nightly]\ntasks = ["Day"]\ndate = "today"\ncron = "0 6 * * *"\n'
PICKY = (
    FLOWS
    + """

    class Picky(Day):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            if self.date.weekday() == 5:
                raise ValueError("not on Saturdays")
"""
)
MEETS = '''
    """Steps one after the other; the second meets a server that is gone, as the third finds it back."""

    from pathlib import Path

    from etlctl import IntParameter, LocalTarget, Task, WrapperTask
    from etlctl.errors import UnavailableError


    class Step(Task):
        number = IntParameter()

        @property
        def priority(self):
            return -self.number

        def output(self):
            return LocalTarget(f"steps/{self.number}")

        def run(self):
            if self.number == 1 and not Path("met").exists():
                Path("met").touch()
                raise UnavailableError("postgresql://etl:***@wh-1:5432/dw cannot be reached: refused")
            self.output().open("w").close()


    class All(WrapperTask):
        def requires(self):
            return [Step(number) for number in range(4)]
'''


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def desk() -> Iterator[Web]:
    """A receiver of messages."""
    with web() as kept:
        yield kept


def told_to(desk: Web, more: str = "") -> str:
    """Settings that tell it, without a further try."""
    return f'[notify.desk]\nkind = "webhook"\nurl = "{desk.url}/hook"\nretries = 0\n{more}'


def heard(desk: Web) -> list[tuple[str, str]]:
    """Kind and title of each message, without whose it is."""
    return [(one["kind"], one["title"].partition(": ")[2]) for one in desk.documents()]


# -- a turn, a reload


def test_a_turn_that_cannot_be_built_is_an_alert_and_its_end_is_told(tmp_path: Path, desk: Web) -> None:
    """Once for one reason, with what to do; a turn that can be built again ends it."""
    settings = NIGHTLY.replace("Day", "Picky") + told_to(desk)
    house = House(tmp_path, "picky", settings, PICKY)

    for days in range(3):
        morning = FRIDAY_AT_SIX + timedelta(days=days)
        house.run(morning - timedelta(minutes=1), morning + timedelta(minutes=2))

    assert heard(desk) == [("alert", "nightly cannot be built"), ("recovered", "nightly can be built again")]
    text = desk.documents()[0]["text"]
    assert "nightly 2026-05-09 06:00 UTC was not built: Picky cannot be made: ValueError: not on Saturdays" in text
    assert "SIGHUP" in text
    assert [one["is_bad"] for one in desk.documents()] == [True, False]


def test_a_reload_that_is_refused_is_an_alert_and_its_end_is_told(tmp_path: Path, desk: Web) -> None:
    """The notifiers of before tell it; those of the files tell that all is well."""
    house = House(tmp_path, "refused", NIGHTLY + told_to(desk))
    clock = JumpingClock(FRIDAY)
    ending = Until(clock, FRIDAY + timedelta(minutes=4))

    def edit(settings: str) -> None:
        if settings == NIGHTLY:  # in minutes, which take no time here, the alert has been told
            with desk.changed:
                desk.changed.wait_for(lambda: desk.requests, timeout=30)
        house.write(settings + told_to(desk))
        ending.reloads = 1

    for minutes, settings in ((1, NIGHTLY.replace("Day", "Dya")), (2, NIGHTLY)):
        clock.at.append((FRIDAY + timedelta(minutes=minutes), partial(edit, settings)))
    house.loop(clock, ending).run()

    assert heard(desk) == [
        ("alert", "settings and pipelines stay as they were"),
        ("recovered", "settings and pipelines were read anew"),
    ]
    assert "'Dya'" in desk.documents()[0]["text"]


def test_a_reload_waits_for_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U9: the endpoint of the notifiers before takes a message and never answers; the next turn begins all the same."""
    monkeypatch.setattr(project, "CLOSE_WAIT_S", 600.0)
    leaving: list[threading.Thread] = []

    def look() -> None:
        leaving.extend(one for one in threading.enumerate() if one.name == "etlctl-notify-close" and one.is_alive())

    with silent_server() as port:
        notifier = f'[notify.desk]\nkind = "webhook"\nurl = "http://127.0.0.1:{port}/"\ntimeout = 600\nretries = 0\n'
        house = House(tmp_path, "hung", NIGHTLY.replace("0 6", "*/2 *") + f'{notifier}on = ["ok", "uptodate"]\n')
        clock = JumpingClock(FRIDAY)
        ending = Until(clock, FRIDAY + timedelta(minutes=4))
        clock.at.append((FRIDAY + timedelta(minutes=2), lambda: setattr(ending, "reloads", 1)))
        clock.at.append((FRIDAY + timedelta(minutes=3, seconds=30), look))
        house.loop(clock, ending, patience=lambda: 0.0).run()
    for thread in leaving:
        thread.join()

    assert len(leaving) == 1, house.lines
    assert len(house.turns("nightly")) == 2


def test_no_reload_is_obeyed_once_the_end_was_asked_for(tmp_path: Path) -> None:
    """U9: a signal that comes while files are read: what was read is not taken over any more."""
    house = House(tmp_path, "ended", NIGHTLY)
    clock = JumpingClock(FRIDAY)
    ending = Until(clock, FRIDAY + timedelta(hours=2))
    opener = house.opener(clock)
    loop = house.loop(clock, ending)

    def slow() -> Any:
        clock.wait(7200.0)
        return opener()

    loop._opener = slow
    ending.reloads = 1

    assert loop.run() is ExitCode.TERMINATED
    assert not [line for line in house.lines if "read anew" in line]


# -- what cannot be used


def test_an_outage_in_a_turn_is_told_when_it_is_met_and_when_it_is_over(tmp_path: Path, desk: Web) -> None:
    """U7: a line when it goes, one when a task of the same kind is done again, before the turn has ended; the turn has
    its line; nobody is called, since the loop mends it by itself."""
    settings = '[schedules.all]\ntasks = ["All"]\ncron = "0 12 * * *"\n'
    on = 'on = ["fail", "blocked", "recovered", "alert"]\n'
    house = House(tmp_path, "meets", settings + told_to(desk, on), MEETS)

    house.run(FRIDAY, FRIDAY + timedelta(hours=3))

    text = "\n".join(house.lines)
    server = "postgresql://etl:***@wh-1:5432/dw"
    gone = f"Step(1): {server} cannot be reached: refused; the loop goes on, and tries again until it can be used"
    again = f"{server.removesuffix('/dw')} can be used again after 0.0 s"
    end = "all 2026-05-08 12:00 UTC: OK=3 FAIL=1 SKIP=1"
    assert [text.count(one) for one in ("cannot be reached", gone, "used again", again, end)] == [1, 1, 1, 1, 1], text
    in_order = ["OK       Step(0)", gone, again, "OK       Step(2)", end, "OK       Step(1)"]
    assert sorted(in_order, key=text.index) == in_order, text
    assert "exit 4; what could not be used is tried again" in text
    assert heard(desk) == []


def test_an_outage_of_many_turns_is_told_once(tmp_path: Path) -> None:
    """Each turn gives up and the next one is due: an hour is not a hundred lines."""
    flows = MEETS.replace(' and not Path("met").exists()', "").replace("range(4)", "(1,)")
    house = House(tmp_path, "turns", '[schedules.all]\ntasks = ["All"]\ncron = "* * * * *"\n', flows)

    house.run(FRIDAY, FRIDAY + timedelta(minutes=4))

    assert len(house.turns("all")) >= 3
    text = "\n".join(house.lines)
    assert [text.count(one) for one in ("cannot be reached", "to do", "All()", "tried again")] == [1, 1, 1, 1], text


@pytest.mark.parametrize(("minutes", "told"), [(0.25, False), (10, True)], ids=["short", "long"])
def test_an_outage_is_an_alert_when_it_lasts(tmp_path: Path, desk: Web, minutes: float, told: bool) -> None:
    """One message after half a minute, and one when it is over; of what is over before that nobody hears."""
    house = House(tmp_path, f"gone_{told}".lower(), NIGHTLY + told_to(desk))
    folder, aside = tmp_path / ".etlctl", tmp_path / "aside"

    def go() -> None:
        folder.rename(aside)
        folder.write_text("no folder")

    def come_back() -> None:
        folder.unlink()
        aside.rename(folder)

    gone = FRIDAY_AT_SIX + timedelta(minutes=5)
    at = [(gone, go), (gone + timedelta(minutes=minutes), come_back)]
    house.run(FRIDAY_AT_SIX - timedelta(minutes=1), gone + timedelta(minutes=20), at=at)

    assert sum("tries again until it can be used" in line for line in house.lines) == 1
    assert sum("can be used again after" in line for line in house.lines) == 1
    kinds = [kind for kind, _ in heard(desk)]
    assert kinds == (["alert", "recovered"] if told else []), heard(desk)
    if told:
        assert "for 30 s: the state database" in heard(desk)[0][1] and "etlctl doctor" in desk.documents()[0]["text"]
        assert "can be used again after" in heard(desk)[1][1]


def test_an_outage_of_a_schedule_that_a_reload_removes_is_forgotten(tmp_path: Path) -> None:
    """B5: its next one is told again."""
    flows = MEETS.replace(' and not Path("met").exists()', "").replace("range(4)", "(1,)")
    settings = '[schedules.all]\ntasks = ["All"]\ncron = "0 11 * * *"\n'
    house = House(tmp_path, "removed", settings, flows)
    clock = JumpingClock(FRIDAY)
    ending = Until(clock, FRIDAY + timedelta(minutes=72))

    def rename(name: str) -> None:
        house.write(settings.replace("schedules.all", f"schedules.{name}").replace("0 11", "10 11"), flows)
        ending.reloads = 1

    clock.at.append((FRIDAY + timedelta(minutes=61), lambda: rename("other")))
    house.loop(clock, ending).run()

    assert sum("cannot be reached: refused; the loop goes on" in line for line in house.lines) == 2
    assert not [line for line in house.lines if "used again" in line]


def test_the_end_is_heard_while_the_state_database_takes_no_write(tmp_path: Path, postgres_url: str) -> None:
    """B11: it can be read, so that the loop claims its turn, and tries that again for 48 s."""
    is_over = threading.Event()
    house = House(
        tmp_path, "deaf", f'[state]\nurl = "{postgres_url}"\nlease_ttl = 60\n{NIGHTLY.replace("0 6", "*/2 *")}'
    )
    clock = JumpingClock(FRIDAY)

    class Signal(Until):
        def __call__(self) -> ExitCode | None:
            return ExitCode.TERMINATED if is_over.is_set() else super().__call__()

    def take_no_write() -> None:
        name = postgres_url.rpartition("/")[2]
        server = Postgres(postgres_url)
        server.ask(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        server.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            name,
        )
        threading.Timer(0.5, is_over.set).start()

    clock.at.append((FRIDAY + timedelta(minutes=2), take_no_write))
    began = time.monotonic()
    code = house.loop(clock, Signal(clock, FRIDAY + timedelta(days=9))).run()

    assert code is ExitCode.TERMINATED
    assert is_over.is_set() and time.monotonic() - began < 40, house.lines
