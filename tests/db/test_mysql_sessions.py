"""Sessions on MySQL: a person can stop them, a stream that is left is dropped, settings hold."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl.db.table_target import TableTarget

LONG = """
from etlctl import QueryTable

class Long(QueryTable):
    query = "SELECT count(*) AS n FROM seq_1_to_1000000 a, seq_1_to_1000000 b"
    columns = {"n": "bigint"}
"""
SOON_S = 30.0
"""Far less than what the query would take; far more than a busy machine needs."""


@pytest.fixture
def house(mysql_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(mysql_url, tmp_path) as found:
        yield found


def working(house: AnyWarehouse) -> int:
    """Sessions that compute the long query."""
    asked = house.ask("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'INSERT%seq_1_to%'")
    return int(asked[0][0])


def wait_until(is_so: bool, house: AnyWarehouse) -> None:
    end = time.monotonic() + SOON_S
    while bool(working(house)) is not is_so:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_second_signal_ends_a_long_query_on_both_sides(house: AnyWarehouse, tmp_path: Path) -> None:
    """The process ends at once with 130, the server stops working, and nothing is loaded."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "long.py").write_text(LONG)
    (tmp_path / "etlctl.toml").write_text(
        f'default_connection = "warehouse"\n[connections.warehouse]\nurl = "{house.url}"\n'
    )
    command = [sys.executable, "-m", "etlctl", "build", "Long"]
    build = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(True, house)
        build.send_signal(signal.SIGINT)
        assert build.stderr is not None
        assert "stopping when what runs has ended" in build.stderr.readline()
        build.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = build.communicate(timeout=60)
    finally:
        build.kill()
        build.wait()

    assert build.returncode == 130, (out, err)
    assert time.monotonic() - began < SOON_S and "Traceback" not in err
    wait_until(False, house)
    assert house.markers() == []


def test_a_stream_that_is_left_is_not_read_to_its_end(house: AnyWarehouse) -> None:
    """The session is dropped, and the next question has another."""
    began = time.monotonic()
    with house.database.reading() as connection:
        result = connection.exec_driver_sql(
            "SELECT a.seq FROM seq_1_to_1000000 a, seq_1_to_1000000 b", execution_options={"stream_results": True}
        )
        assert result.fetchmany(3) == [(1,), (2,), (3,)]
        result.close()

    assert time.monotonic() - began < SOON_S
    with house.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_a_stream_inside_a_load_keeps_the_load(house: AnyWarehouse) -> None:
    """Its rest is read: to drop the session would end the transaction."""
    house.write("CREATE TABLE t (k int) ENGINE=InnoDB")

    with TableTarget("t", "a").transaction() as connection:
        result = connection.exec_driver_sql(
            "SELECT seq FROM seq_1_to_10000", execution_options={"stream_results": True}
        )
        assert result.fetchone() == (1,)
        result.close()
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    assert house.count("t") == 1 and [row[2] for row in house.markers()] == ["done"]


def test_pandas_appends_inside_a_load(house: AnyWarehouse) -> None:
    """Its executemany sends bytes, which the guard reads like text."""
    house.write("CREATE TABLE t (k int, v varchar(10)) ENGINE=InnoDB")

    with TableTarget("t", "a").transaction() as connection:
        frame = pd.DataFrame({"k": [1, 2], "v": ["a", "'%s"]})
        frame.to_sql("t", connection, index=False, if_exists="append")

    assert house.ask("SELECT k, v FROM t ORDER BY k") == [(1, "a"), (2, "'%s")]


def test_a_session_is_set_for_loads(mysql_url: str, tmp_path: Path) -> None:
    """Whatever the server's own settings are."""
    house = AnyWarehouse(mysql_url, tmp_path, lock_timeout_s=7, statement_timeout_s=90)
    with house.database.reading() as connection:
        modes, zone, isolation, *numbers = connection.exec_driver_sql(
            "SELECT @@sql_mode, @@time_zone, @@tx_isolation, @@lock_wait_timeout, @@innodb_lock_wait_timeout, "
            "@@max_statement_time, @@autocommit"
        ).one()
        assert connection.exec_driver_sql("SELECT 'a' || 'b'").scalar() == "ab"
    house.databases.close()

    assert {"STRICT_ALL_TABLES", "NO_ZERO_DATE", "NO_AUTO_VALUE_ON_ZERO"} <= set(modes.split(","))
    assert (zone, isolation) == ("+00:00", "READ-COMMITTED") and numbers == [7, 7, 90, 0]


def test_statements_of_an_unguarded_connection_commit_by_themselves(house: AnyWarehouse) -> None:
    """And the session that is used next does not."""
    house.write("CREATE TABLE t (k int) ENGINE=InnoDB")

    with house.database.unguarded("test") as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        assert house.count("t") == 1
    with house.database.reading() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    assert house.ask("SELECT k FROM t") == [(1,)]


def test_a_connection_that_the_server_closed_is_noticed(house: AnyWarehouse) -> None:
    """One that was kept is asked before it is used."""
    with house.database.reading() as connection:
        session = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
    with house.driver() as other:
        other.cursor().execute(f"KILL {session}")

    with house.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar() != session


def test_two_urls_of_one_database_are_the_same(house: AnyWarehouse) -> None:
    """Whatever user and spelling; another database or server is another."""
    url = sa.make_url(house.url)
    other_user = url.set(drivername="mariadb", username="x").render_as_string(hide_password=False)
    elsewhere = url.set(database="other").render_as_string(hide_password=False)

    assert house.dialect.is_same(house.url, other_user)
    assert not house.dialect.is_same(house.url, elsewhere)
    assert not house.dialect.is_same(house.url, "sqlite:///x.db")
