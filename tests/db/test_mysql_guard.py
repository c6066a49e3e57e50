"""User code that tries to end the transaction of a MySQL load, in every way there is (F25)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pymysql
import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from ending_inside import BY_SQLALCHEMY, Way
from etlctl.db.table_target import TableTarget
from etlctl.errors import CommitInsideError, EtlctlError, TornLoadError
from warehouse import ended, forked


@pytest.fixture
def house(mysql_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(mysql_url, tmp_path) as found:
        found.write("CREATE TABLE t (k int) ENGINE=InnoDB")
        yield found


def raw_of(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def run(connection: sa.Connection, statement: str) -> None:
    with raw_of(connection).cursor() as cursor:
        cursor.execute(statement)


def frame_to_a_new_table(connection: sa.Connection) -> None:
    pd.DataFrame({"a": [1]}).to_sql("fresh", connection, index=False)


WAYS: dict[str, Way] = {
    **BY_SQLALCHEMY,
    "SQL COMMIT": lambda connection: connection.exec_driver_sql("COMMIT"),
    "a comment that runs": lambda connection: connection.exec_driver_sql("/*!50000 COMMIT */"),
    "text commit": lambda connection: connection.execute(sa.text("  commit")),
    "raw commit": lambda connection: raw_of(connection).commit(),
    "raw rollback": lambda connection: raw_of(connection).rollback(),
    "raw begin": lambda connection: raw_of(connection).begin(),
    "raw autocommit": lambda connection: raw_of(connection).autocommit(True),
    "raw select_db": lambda connection: raw_of(connection).select_db("mysql"),
    "raw SQL": lambda connection: run(connection, "COMMIT"),
    "raw query": lambda connection: raw_of(connection).query("COMMIT"),
    "raw bytes": lambda connection: raw_of(connection).query(b"COMMIT"),
    "SET autocommit": lambda connection: run(connection, "SET autocommit = 1"),
    "START TRANSACTION": lambda connection: run(connection, "START TRANSACTION"),
    "CREATE TABLE": lambda connection: run(connection, "CREATE TABLE u (a int)"),
    "TRUNCATE": lambda connection: run(connection, "TRUNCATE TABLE t"),
    "pandas makes a table": frame_to_a_new_table,
}


@pytest.mark.parametrize("way", WAYS)
def test_ending_the_transaction_inside_keeps_nothing(house: AnyWarehouse, way: str) -> None:
    """Each way is refused before it reaches the server, with rows and marker rolled back."""
    TableTarget("other", "before").touch()

    with pytest.raises(CommitInsideError, match="t on warehouse"), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        WAYS[way](connection)

    assert house.count("t") == 0 and [row[0] for row in house.markers()] == ["before"]


@pytest.mark.parametrize("way", ["SQL COMMIT", "raw commit", "CREATE TABLE", "raw autocommit", "Connection.close"])
def test_a_refusal_that_user_code_swallows_still_fails_the_load(house: AnyWarehouse, way: str) -> None:
    """A bare except around the commit hides nothing."""
    with pytest.raises(CommitInsideError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(pymysql.err.MySQLError, sa.exc.SQLAlchemyError, EtlctlError):
            WAYS[way](connection)

    assert house.count("t") == 0 and house.markers() == []


def test_ddl_inside_is_told_to_commit(house: AnyWarehouse) -> None:
    """The sentence says why it is refused on MySQL, and what to do."""
    with pytest.raises(CommitInsideError) as caught, TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE t ADD b int")

    assert "ALTER TABLE (which commits on MySQL: tables are made before a load, or TEMPORARY)" in str(caught.value)


@pytest.mark.parametrize("body", ["COMMIT", "COMMIT; START TRANSACTION", "CREATE TABLE u (a int)"])
def test_a_procedure_that_commits_is_found_and_the_load_is_torn(house: AnyWarehouse, body: str) -> None:
    """Its text is not ours to see; the committed `loading` marker says it all, and the next run refuses (exit 6)."""
    house.write(f"CREATE PROCEDURE p() BEGIN {body}; END")

    with pytest.raises(TornLoadError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.exec_driver_sql("CALL p()")

    assert house.count("t") == 1 and [row[2] for row in house.markers()] == ["loading"]
    with pytest.raises(TornLoadError):
        TableTarget("t", "a").exists()


def test_after_a_commit_no_further_row_is_written(house: AnyWarehouse) -> None:
    """What the procedure committed is there; what would come after it is refused at once."""
    house.write("CREATE PROCEDURE p() BEGIN COMMIT; END")

    with pytest.raises(TornLoadError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.exec_driver_sql("CALL p()")
        with pytest.raises(CommitInsideError, match="after the transaction had ended"):
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    assert house.ask("SELECT k FROM t") == [(1,)]


def test_what_does_not_commit_passes(house: AnyWarehouse) -> None:
    """Savepoints, temporary tables, procedures, prepared statements, settings of the session."""
    house.write("CREATE PROCEDURE p() BEGIN SELECT 1; INSERT INTO t VALUES (7); SELECT 2; END")

    with TableTarget("t", "a").transaction() as connection:
        for statement in (
            "CREATE TEMPORARY TABLE u (a int)",
            "INSERT INTO u VALUES (1)",
            "INSERT INTO t SELECT a FROM u",
            "DROP TEMPORARY TABLE u",
            "SAVEPOINT mine",
            "INSERT INTO t VALUES (2)",
            "ROLLBACK TO SAVEPOINT mine",
            "PREPARE s FROM 'INSERT INTO t VALUES (3)'",
            "EXECUTE s",
            "SET @a = 1",
            "CALL p()",
        ):
            connection.exec_driver_sql(statement)
        pd.DataFrame({"k": [4]}).to_sql("t", connection, index=False, if_exists="append")

    assert sorted(house.ask("SELECT k FROM t")) == [(1,), (3,), (4,), (7,)]
    assert [row[2] for row in house.markers()] == ["done"]


def test_the_next_load_gets_a_clean_session(house: AnyWarehouse) -> None:
    """A temporary table of the target's name, settings and locks of one load are gone for the next on that session."""
    with TableTarget("t", "a").transaction() as connection:
        session = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
        for statement in ("CREATE TEMPORARY TABLE t (k int)", "SET sql_mode = ''", "SET time_zone = '+05:00'"):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("SELECT GET_LOCK('mine', 0)")

    with TableTarget("t", "b").transaction() as connection:
        assert connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar() == session
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")
        modes, zone, lock, client = connection.exec_driver_sql(
            "SELECT @@sql_mode, @@time_zone, IS_USED_LOCK('mine'), @@character_set_client"
        ).one()

    assert "STRICT_ALL_TABLES" in modes and (zone, lock, client) == ("+00:00", None, "utf8mb4")
    assert house.ask("SELECT k FROM t") == [(2,)]


def test_a_forked_process_cannot_use_or_end_the_load(house: AnyWarehouse) -> None:
    """The session is the parent's: a statement is refused in the child, and its end closes nothing of the parent's."""

    def in_the_child(connection: sa.Connection) -> int:
        with pytest.raises(CommitInsideError):
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")
        with pytest.raises(CommitInsideError):
            raw_of(connection).commit()
        raw_of(connection).close()
        return 0

    with TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        child = forked(lambda: in_the_child(connection))
        assert ended(child) == 0
        connection.exec_driver_sql("INSERT INTO t VALUES (3)")

    assert house.ask("SELECT k FROM t ORDER BY k") == [(1,), (3,)]


def test_a_child_that_ends_as_python_ends_leaves_the_load_alone(house: AnyWarehouse) -> None:
    """Its copies are collected, its pool is closed; the parent's session lives on."""
    with TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        child = os.fork()
        if child == 0:
            house.databases.close()
            raw_of(connection).__del__()
            os._exit(0)
        assert ended(child) == 0
        connection.exec_driver_sql("INSERT INTO t VALUES (3)")

    assert house.count("t") == 2
