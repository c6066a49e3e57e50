"""User code that tries to end the load's transaction, in every way there is (F25)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from ending_inside import BY_SQLALCHEMY, Way
from etlctl.db.table_target import TableTarget
from etlctl.errors import BadDataError, CommitInsideError, EtlctlError
from warehouse import Warehouse


def raw_of(connection: sa.Connection) -> sqlite3.Connection:
    raw: Any = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def with_raw(connection: sa.Connection) -> None:
    raw = raw_of(connection)
    with raw:
        raw.execute("INSERT INTO t VALUES (9)")


def set_isolation_level(connection: sa.Connection) -> None:
    raw_of(connection).isolation_level = None


WAYS: dict[str, Way] = {
    **BY_SQLALCHEMY,
    "SQL COMMIT": lambda connection: connection.exec_driver_sql("COMMIT"),
    "SQL END": lambda connection: connection.exec_driver_sql("END TRANSACTION"),
    "text COMMIT": lambda connection: connection.execute(sa.text("commit")),
    "SQL ROLLBACK": lambda connection: connection.exec_driver_sql("ROLLBACK"),
    "raw commit": lambda connection: raw_of(connection).commit(),
    "raw rollback": lambda connection: raw_of(connection).rollback(),
    "raw SQL": lambda connection: raw_of(connection).execute("COMMIT"),
    "executescript": lambda connection: raw_of(connection).executescript("SELECT 1"),
    "with raw": with_raw,
    "isolation_level": set_isolation_level,
}


@pytest.mark.parametrize("way", WAYS)
def test_ending_the_transaction_inside_keeps_nothing(warehouse: Warehouse, way: str) -> None:
    """Each way is refused, with rows and marker rolled back."""
    warehouse.write("CREATE TABLE t (x)")

    with pytest.raises(CommitInsideError, match="t on warehouse"), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        WAYS[way](connection)

    assert warehouse.count("t") == 0 and warehouse.markers() == []


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_that_user_code_swallows_still_fails_the_load(warehouse: Warehouse, way: str) -> None:
    """A bare except around the commit hides nothing."""
    warehouse.write("CREATE TABLE t (x)")

    with pytest.raises(CommitInsideError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(sqlite3.Error, sa.exc.SQLAlchemyError, EtlctlError):
            WAYS[way](connection)

    assert warehouse.count("t") == 0 and warehouse.markers() == []


def test_an_error_of_the_database_that_ends_the_transaction_is_the_one_told(warehouse: Warehouse) -> None:
    """It says more than that the transaction has ended."""
    warehouse.write("CREATE TABLE t (x UNIQUE)", "INSERT INTO t VALUES (0)")

    with pytest.raises(BadDataError, match="UNIQUE"), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT OR ROLLBACK INTO t VALUES (0)")

    assert warehouse.markers() == []


def test_statements_after_the_database_rolled_back_by_itself_are_refused(warehouse: Warehouse) -> None:
    """INSERT OR ROLLBACK ends the transaction from within; what follows must not commit by itself."""
    warehouse.write("CREATE TABLE t (x UNIQUE)", "INSERT INTO t VALUES (0)")

    with pytest.raises(CommitInsideError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(sa.exc.IntegrityError):
            connection.exec_driver_sql("INSERT OR ROLLBACK INTO t VALUES (0)")
        with suppress(EtlctlError):
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(sqlite3.Error):
            raw_of(connection).execute("INSERT INTO t VALUES (3)")

    assert warehouse.ask("SELECT x FROM t") == [(0,)] and warehouse.markers() == []


CACHED = "INSERT INTO t VALUES (?)"
AGAIN: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "execute": lambda raw: raw.execute(CACHED, (3,)),
    "executemany": lambda raw: raw.executemany(CACHED, [(3,), (4,)]),
    "a cursor": lambda raw: raw.cursor().execute(CACHED, (3,)),
}
ENDS = {
    "OR ROLLBACK": "INSERT OR ROLLBACK INTO t VALUES (0)",
    "RAISE(ROLLBACK)": "INSERT INTO t VALUES (-1)",
}


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("again", AGAIN)
def test_a_statement_run_before_does_not_commit_after_the_rollback(
    warehouse: Warehouse, again: str, ending: str
) -> None:
    """A statement that the driver knows already is asked about as a new one is: no row without a marker."""
    warehouse.write(
        "CREATE TABLE t (x UNIQUE)",
        "INSERT INTO t VALUES (0)",
        "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.x < 0 BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    )

    with pytest.raises(CommitInsideError), TableTarget("t", "a").transaction() as connection:
        raw = raw_of(connection)
        raw.execute(CACHED, (1,))
        raw.executemany(CACHED, [(2,)])
        with suppress(sqlite3.Error):
            raw.execute(ENDS[ending])
        with suppress(sqlite3.Error):
            AGAIN[again](raw)

    assert warehouse.ask("SELECT x FROM t") == [(0,)] and warehouse.markers() == []


def test_savepoints_pass(warehouse: Warehouse) -> None:
    """A part that may fail is a savepoint, by SQLAlchemy or by SQL."""
    warehouse.write("CREATE TABLE t (x UNIQUE)")

    with TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(sa.exc.IntegrityError), connection.begin_nested():
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.exec_driver_sql("SAVEPOINT mine")
        connection.exec_driver_sql("INSERT INTO t VALUES (3)")
        connection.exec_driver_sql("ROLLBACK TO mine")
        connection.exec_driver_sql("RELEASE mine")

    assert warehouse.ask("SELECT x FROM t") == [(1,)]
    assert [row[2] for row in warehouse.markers()] == ["done"]


@pytest.mark.parametrize("if_exists", ["append", "replace", "fail"])
def test_pandas_writes_inside_the_transaction(warehouse: Warehouse, if_exists: Any) -> None:
    """DataFrame.to_sql creates, replaces and appends, and commits with the marker or not at all."""
    frame = pd.DataFrame({"day": ["2013-01-01", "2013-01-02"], "flights": [842, 943]})

    with pytest.raises(ZeroDivisionError), TableTarget("days", "a").transaction() as connection:
        frame.to_sql("days", con=connection, if_exists=if_exists, index=False)
        raise ZeroDivisionError
    assert warehouse.ask("SELECT name FROM sqlite_schema WHERE name = 'days'") == []

    with TableTarget("days", "a").transaction() as connection:
        frame.to_sql("days", con=connection, if_exists=if_exists, index=False)

    assert warehouse.ask("SELECT flights FROM days") == [(842,), (943,)]
    assert warehouse.markers() == [("a", "days", "done", None)]


def test_the_guard_is_gone_after_the_load(warehouse: Warehouse) -> None:
    """A connection of the same engine commits as ever."""
    TableTarget("t", "a").touch()

    with warehouse.database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")

    assert warehouse.count("t") == 0
