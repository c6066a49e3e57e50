"""The load protocol: killed at each of its moments, raced, cut off at COMMIT."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import pytest

from etlctl import faultpoints
from etlctl.core.context import Attempt, attempting
from etlctl.db import ambient, rows, tables
from etlctl.db.columns import Column, parse_type
from etlctl.db.dialects.base import Records
from etlctl.db.markers import MarkerKey
from etlctl.db.sessions import open_session
from etlctl.db.table_target import TableTarget
from etlctl.errors import AlreadyLoaded, BadDataError, LoadError, TornLoadError, UnavailableError
from warehouse import Warehouse, all_ended, die_at, ended, forked

COLUMNS = (Column("x", parse_type("integer")), Column("name", parse_type("varchar(20)")))
KEY = MarkerKey("a", "t")
ROWS = 500


def load(warehouse: Warehouse, key: MarkerKey = KEY, *, commit_inside: bool = False) -> int:
    """One staged load of ROWS rows, as LoadTable makes it; 0 when loaded here, 3 when it was there."""
    database = warehouse.database
    try:
        with open_session(database, "t on warehouse") as session:
            session.ensure_markers()
            with database.writing("t on warehouse") as connection:
                tables.create(connection, database, "t", COLUMNS)
            staged = session.stage_records("rows", COLUMNS, Records(COLUMNS, ((n, f"row {n}") for n in range(ROWS))))
            with session.load(key) as opened:
                if commit_inside:
                    raw: Any = opened.connection.connection.driver_connection
                    raw.set_authorizer(None)
                    raw.execute("COMMIT")
                    faultpoints.point("test.committed_inside")
                opened.rows = rows.insert(opened.connection, database, "t", staged, "t on warehouse")
    except AlreadyLoaded:
        return 3
    return 0


def done(number: int) -> list[tuple[Any, ...]]:
    return [("a", "t", "done", ROWS)] * number


@pytest.mark.parametrize("point", faultpoints.POINTS)
def test_kill_at_a_named_point_leaves_rows_and_marker_or_neither(warehouse: Warehouse, point: str) -> None:
    """kill -9 at the point, then again: every row once (F03 to F08)."""

    def work() -> int:
        die_at(point)
        return load(warehouse)

    assert ended(forked(work)) == -9
    was_committed = point == "load.committed"
    assert warehouse.count("t") == (ROWS if was_committed else 0)
    assert warehouse.markers() == done(was_committed)

    assert ended(forked(lambda: load(warehouse))) == (3 if was_committed else 0)
    assert warehouse.count("t") == ROWS and warehouse.markers() == done(1)
    assert warehouse.ask("PRAGMA integrity_check") == [("ok",)]


def test_every_point_is_passed_in_order(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load passes each named moment once, so the kill test kills where it says."""
    passed: list[str] = []
    monkeypatch.setattr(faultpoints, "point", passed.append)

    load(warehouse)

    assert tuple(passed) == faultpoints.POINTS


def test_a_commit_that_slips_by_is_a_torn_load(warehouse: Warehouse) -> None:
    """Code that takes the guard off, commits and dies leaves `loading`: neither skipped nor repeated (F25)."""

    def work() -> int:
        die_at("test.committed_inside")
        return load(warehouse, commit_inside=True)

    assert ended(forked(work)) == -9

    assert warehouse.markers() == [("a", "t", "loading", None)]
    with pytest.raises(TornLoadError):
        load(warehouse)
    assert warehouse.count("t") == 0


@pytest.mark.parametrize("processes", [2, 6])
def test_racing_processes_load_once(warehouse: Warehouse, processes: int) -> None:
    """All start at once; one loads, the others find its marker (F27)."""
    for number in range(3):
        key = MarkerKey(f"race {number}", "t")
        statuses = all_ended([forked(partial(load, warehouse, key)) for _ in range(processes)])

        assert sorted(statuses) == [0] + [3] * (processes - 1)

    assert warehouse.count("t") == 3 * ROWS


def test_a_lost_answer_to_commit_is_settled_by_the_marker(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT takes place and its answer is an error: the load is reported as done, and not repeated (F09)."""
    engine = warehouse.database.engine
    commit = engine.dialect.do_commit

    def lost(connection: Any) -> None:
        commit(connection)
        if done(1)[0] in warehouse.markers():
            raise sqlite3.OperationalError("disk I/O error")

    load(warehouse, MarkerKey("before", "t"))
    monkeypatch.setattr(engine.dialect, "do_commit", lost)
    attempt = Attempt()

    with attempting(attempt):
        status = load(warehouse)

    assert status == 0 and "the answer to COMMIT was lost" in attempt.notes[0]
    assert warehouse.count("t") == 2 * ROWS


def test_a_commit_that_fails_is_an_error(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """COMMIT that did not take place is reported as it is, and nothing is there."""
    TableTarget("other", "x").touch()
    engine = warehouse.database.engine
    with warehouse.database.writing("test") as connection:
        tables.create(connection, warehouse.database, "t", COLUMNS)

    def refused(connection: Any) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with pytest.raises(UnavailableError, match="no room left"), open_session(warehouse.database, "t") as session:
        staged = session.stage_records("rows", COLUMNS, Records(COLUMNS, [(1, "a")]))
        monkeypatch.setattr(engine.dialect, "do_commit", refused)
        with session.load(KEY) as opened:
            rows.insert(opened.connection, warehouse.database, "t", staged, "t")

    assert warehouse.count("t") == 0 and warehouse.markers() == [("x", "other", "done", None)]


def test_staging_locks_nobody_out(warehouse: Warehouse) -> None:
    """While rows are being staged another connection writes and commits."""
    warehouse.write("CREATE TABLE other (x)")

    def records() -> Iterator[tuple[int, str]]:
        yield 1, "a"
        warehouse.write("INSERT INTO other VALUES (1)")
        yield 2, "b"

    with open_session(warehouse.database, "t") as session:
        staged = session.stage_records("rows", COLUMNS, Records(COLUMNS, records()))

    assert staged.rows == 2 and warehouse.count("other") == 1


def test_rows_that_raise_stage_nothing_and_end_the_transaction(warehouse: Warehouse) -> None:
    """An exception of the rows comes out as it is."""

    def records() -> Iterator[tuple[int, str]]:
        yield 1, "a"
        raise KeyError("from rows()")

    with open_session(warehouse.database, "t") as session:
        with pytest.raises(KeyError, match="from rows"):
            session.stage_records("rows", COLUMNS, Records(COLUMNS, records()))
        assert session.stage_records("rows", COLUMNS, Records(COLUMNS, [(1, "a")])).rows == 1


def test_a_row_the_database_refuses_is_bad_data(warehouse: Warehouse) -> None:
    """A constraint of the target is a sentence, and nothing is kept."""
    warehouse.write("CREATE TABLE t (x INTEGER UNIQUE, name VARCHAR(20))")

    with (
        pytest.raises(BadDataError, match=r"UNIQUE constraint failed: t\.x"),
        open_session(warehouse.database, "t on warehouse") as session,
    ):
        session.ensure_markers()
        staged = session.stage_records("rows", COLUMNS, Records(COLUMNS, [(1, "a"), (1, "b")]))
        with session.load(KEY) as opened:
            rows.insert(opened.connection, warehouse.database, "t", staged, "t on warehouse")

    assert warehouse.count("t") == 0 and warehouse.markers() == []


def test_rowcount_that_differs_from_the_staged_rows_is_an_error(warehouse: Warehouse) -> None:
    """A trigger that swallows rows fails the load instead of losing them."""
    warehouse.write(
        "CREATE TABLE t (x INTEGER, name VARCHAR(20))",
        "CREATE TRIGGER odd BEFORE INSERT ON t WHEN new.x = 3 BEGIN SELECT RAISE(IGNORE); END",
    )

    with pytest.raises(LoadError, match="500 rows were sent, and the database wrote 499"):
        load(warehouse)

    assert warehouse.count("t") == 0 and warehouse.markers() == []


def test_before_commit_is_called_inside_the_transaction(warehouse: Warehouse) -> None:
    """What it raises rolls the load back."""

    def changed() -> None:
        raise BadDataError("flights.csv: changed while it was being loaded")

    with pytest.raises(BadDataError, match="changed"), open_session(warehouse.database, "t") as session:
        session.ensure_markers()
        with session.load(KEY) as opened:
            opened.connection.exec_driver_sql("CREATE TABLE t (x)")
            opened.before_commit.append(changed)

    assert warehouse.markers() == []


def test_marker_tells_run_owner_rows_and_inputs(warehouse: Warehouse) -> None:
    """Who loaded what, from what; the fence stays NULL while there are no leases."""
    with attempting(Attempt(run_id="r18")), open_session(warehouse.database, "t") as session:
        session.ensure_markers()
        with session.load(MarkerKey("a", "t", "k" * 64)) as opened:
            opened.rows = 7
            opened.inputs.append({"path": "flights.csv", "size": 3})

    columns = "update_key, row_count, run_id, fence, inputs"
    assert warehouse.ask(f"SELECT {columns} FROM table_updates") == [
        ("k" * 64, 7, "r18", None, '[{"path": "flights.csv", "size": 3}]')
    ]
    assert warehouse.ask("SELECT owner GLOB '*:*:*' FROM table_updates") == [(1,)]


def test_an_attempt_counts_its_open_transactions(warehouse: Warehouse) -> None:
    """The engine sees whether run() yields inside one."""
    with attempting(Attempt()) as attempt:
        with TableTarget("t", "a").transaction():
            assert attempt.transactions == 1
        assert attempt.transactions == 0
        with pytest.raises(ZeroDivisionError), TableTarget("t", "b").transaction():
            raise ZeroDivisionError
        assert attempt.transactions == 0


def test_a_generator_closed_late_leaves_no_open_transaction(warehouse: Warehouse) -> None:
    """Closing a generator that stood inside the block rolls back and forgets its Session."""

    def run() -> Generator[None, None, None]:
        with TableTarget("t", "a").transaction():
            yield

    running = run()
    next(running)
    running.close()

    assert ambient.session_of(warehouse.database) is None
    assert warehouse.markers() == []


def test_a_forked_child_does_not_join_its_parents_transaction(warehouse: Warehouse) -> None:
    """The child of a process with an open load has no open load, and uses no connection of its parent."""
    engine = warehouse.database.engine

    with TableTarget("t", "a").transaction():
        child = forked(
            lambda: int(ambient.session_of(warehouse.database) is not None or warehouse.database.engine is engine)
        )
        assert ended(child) == 0


def test_a_load_inside_a_load_is_a_savepoint_of_it(warehouse: Warehouse) -> None:
    """The inner one's rows go when it fails, the outer one's stay; the staged rows of both are freed."""
    with TableTarget("outer", "a").transaction() as connection:
        with pytest.raises(BadDataError), open_session(warehouse.database, "t") as session:
            tables.create(connection, warehouse.database, "t", COLUMNS)
            staged = session.stage_records("rows", COLUMNS, Records(COLUMNS, [(1, "a")]))
            with session.load(KEY) as opened:
                rows.insert(opened.connection, warehouse.database, "t", staged, "t")
                raise BadDataError("no")
        with open_session(warehouse.database, "t") as session:
            staged = session.stage_records("rows", COLUMNS, Records(COLUMNS, [(1, "a"), (2, "b")]))
            with session.load(MarkerKey("b", "t")) as opened:
                rows.insert(opened.connection, warehouse.database, "t", staged, "t")

    assert warehouse.count("t") == 2
    assert [row[:2] for row in warehouse.markers()] == [("a", "outer"), ("b", "t")]
