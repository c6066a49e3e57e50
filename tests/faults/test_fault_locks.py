"""Locks, deadlocks and timeouts: what is waited for, what is tried again, and what ends with which exit code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from etlctl import faultpoints
from etlctl.core.parameters import IntParameter
from etlctl.core.results import Status
from etlctl.core.task import Task
from etlctl.db.table_target import TableTarget
from etlctl.errors import ExitCode
from etlctl.loads.query import QueryTable
from etlctl.loads.sequence import Sequence
from faults.faultcase import build, ended, execute, faults, rows_of, started
from torture import racers
from torture.loads import ROWS, RowsLoad
from torture.places import Place, PostgresPlace, place_for

LOCK_S = 0.5
HOLDS = {
    "sqlite": ("BEGIN EXCLUSIVE",),
    "postgresql": ("LOCK TABLE t_rows IN ACCESS EXCLUSIVE MODE",),
    "mysql": ("LOCK TABLES t_rows WRITE",),
}


@pytest.fixture
def impatient(database_url: str, tmp_path: Path) -> Place:
    """A database whose locks are waited for half a second."""
    place = place_for(database_url, tmp_path, more=f"lock_timeout = {LOCK_S}\n")
    place.prepare()
    return place


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Another process holds the target of RowsLoad; its end frees the lock."""

    def hold() -> int:
        connection = place.connect()
        if place.name == "sqlite":
            connection.isolation_level = None
        for statement in HOLDS[place.name]:
            place.ask(connection, statement)
        faultpoints.point("held")
        time.sleep(60)
        return 1

    holder = racers.start(hold)
    while "held" not in holder.points:
        assert holder.read(), "the holder died"
    yield
    holder.kill()
    assert ended(holder) == [-9]


def test_locked_target_is_waited_for_twice_and_then_given_up(impatient: Place) -> None:
    """F19: exit 4, within a bound; nothing of the load stays, no lock neither, and the next run does it."""
    assert build(impatient, RowsLoad(0)).exit_code == ExitCode.DONE
    with locked(impatient):
        began = time.monotonic()

        summary = build(impatient, RowsLoad(1))

        took_s = time.monotonic() - began
    assert summary.exit_code == ExitCode.UNAVAILABLE, summary.text
    assert LOCK_S <= took_s < 60
    assert "lock" in summary.text and "Traceback" not in summary.text
    assert faults(impatient, RowsLoad(1), done=False) == {} and rows_of(impatient, RowsLoad.table) == ROWS

    assert build(impatient, RowsLoad(1)).exit_code == ExitCode.DONE
    assert faults(impatient, RowsLoad(0), RowsLoad(1), done=True) == {}


def test_lock_that_is_given_back_in_time_holds_nobody_up(place: Place) -> None:
    """F19: a shorter wait than lock_timeout is no event at all."""
    assert build(place, RowsLoad(0)).exit_code == ExitCode.DONE
    with locked(place):
        child = started(place, RowsLoad(1))
        time.sleep(0.7)

    assert ended(child) == [0]
    assert faults(place, RowsLoad(0), RowsLoad(1), done=True) == {}


# -- deadlocks


class Opposite(Task):
    """Hand-written: adds one to two rows, the odd parts in the other order than the even ones."""

    part = IntParameter()

    def output(self) -> TableTarget:
        return TableTarget("counters", self.task_id)

    def run(self) -> None:
        names = ("one", "two") if self.part % 2 else ("two", "one")
        with self.output().transaction() as connection:
            for name in names:
                connection.exec_driver_sql(f"UPDATE counters SET value = value + 1 WHERE name = '{name}'")
                time.sleep(0.25)


class CountTwo(QueryTable):
    """A step that reads what the other has written."""

    part = IntParameter()
    table = "counted"
    columns = {"part": "integer", "value": "integer"}
    query = "SELECT :part AS part, value FROM counters WHERE name = 'two'"


class Steps(Sequence):
    """The same inside a Sequence."""

    part = IntParameter()
    table = "steps"

    def steps(self) -> list[Task]:
        return [Opposite(self.part), CountTwo(self.part)]


@pytest.mark.parametrize("kind", [Opposite, Steps])
def test_victim_of_a_deadlock_is_done_again_from_the_start_of_its_transaction(place: Place, kind: type[Task]) -> None:
    """F20: both end with 0, and each has counted once: the whole transaction is repeated, never one statement."""
    if place.name == "sqlite":
        pytest.skip("SQLite has one lock, and no deadlock")
    execute(
        place,
        "CREATE TABLE counters (name VARCHAR(10) PRIMARY KEY, value INTEGER)",
        "CREATE TABLE counted (part INTEGER, value INTEGER)",
        "INSERT INTO counters VALUES ('one', 0), ('two', 0)",
    )
    assert build(place, Opposite(0)).exit_code == ExitCode.DONE  # the marker table is there

    statuses = ended(*(started(place, kind(part=part)) for part in (1, 2)))

    assert statuses == [0, 0]
    with contextlib.closing(place.connect()) as connection:
        assert place.ask(connection, "SELECT value FROM counters") == [(3,), (3,)]
        assert kind is not Steps or rows_of(place, "counted") == 2


# -- PostgreSQL's other isolations


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_stricter_isolation_of_the_server_doubles_nothing(postgres_url: str, tmp_path: Path, isolation: str) -> None:
    """F21: the insert of a marker then fails with 40001 where another one has won; all processes end with 0."""
    place = PostgresPlace(postgres_url, tmp_path)
    place.prepare()
    _set_default(place, "transaction_isolation", isolation)
    tasks = [RowsLoad(part) for part in range(3)]

    statuses = ended(*(started(place, task) for task in tasks for _ in range(3)))

    assert statuses == [0] * 9
    assert faults(place, *tasks, done=True) == {}


def test_serialization_failure_in_hand_written_code_is_tried_again(postgres_url: str, tmp_path: Path) -> None:
    """F21: 40001 in the middle of a load repeats its whole transaction."""
    place = PostgresPlace(postgres_url, tmp_path)
    place.prepare()
    execute(
        place,
        "CREATE TABLE counters (name VARCHAR(10) PRIMARY KEY, value INTEGER)",
        "INSERT INTO counters VALUES ('one', 0), ('two', 0)",
    )
    assert build(place, Opposite(0)).exit_code == ExitCode.DONE
    _set_default(place, "transaction_isolation", "serializable")

    statuses = ended(*(started(place, Opposite(part)) for part in (2, 4)))

    assert statuses == [0, 0]
    with contextlib.closing(place.connect()) as connection:
        assert place.ask(connection, "SELECT value FROM counters") == [(3,), (3,)]


# -- statements that take too long


class Slow(QueryTable):
    """A query of some seconds."""

    part = IntParameter()
    table = "slow"
    columns = {"part": "integer"}
    runs = 0

    @property
    def query(self) -> str:
        type(self).runs += 1
        asleep = {"postgresql": "pg_sleep(100) IS NULL", "mysql": "sleep(100) > 5"}
        return f"SELECT :part AS part WHERE {asleep[self.database.dialect.name]}"


def test_statement_timeout_fails_the_load_cleanly(database_url: str, tmp_path: Path) -> None:
    """F22: the server ends the statement; the load fails with one sentence and is not tried again and again."""
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no statement timeout")
    place = place_for(database_url, tmp_path, more="statement_timeout = 1\n")
    place.prepare()
    began = time.monotonic()

    summary = build(place, Slow(1))

    assert summary.exit_code == ExitCode.FAILED, summary.text
    assert time.monotonic() - began < 60  # not the 100 s of the query
    assert "statement" in summary.text and "tried again" not in summary.text
    assert summary.counts[Status.FAIL] == 1 and _markers(place) == []


def _markers(place: Place) -> list[Any]:
    with contextlib.closing(place.connect()) as connection:
        return place.ask(connection, "SELECT * FROM table_updates")


def _set_default(place: Place, name: str, value: str) -> None:
    with contextlib.closing(place.connect()) as connection:
        connection.autocommit = True
        (database,) = place.ask(connection, "SELECT current_database()")[0]
        place.ask(connection, f"ALTER DATABASE {database} SET default_{name} = '{value}'")
