"""Sessions of PostgreSQL: how they are opened, kept, handed out again, and what holds in them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl.core import context
from etlctl.db.table_target import TableTarget
from etlctl.errors import QueryError, UnavailableError


@pytest.fixture
def house(open_house: Callable[..., AnyWarehouse]) -> Iterator[AnyWarehouse]:
    found = open_house(lock_timeout_s=0.5)
    found.write("CREATE TABLE t (x integer)")
    with context.use(found.context):
        yield found


def told(house: AnyWarehouse, *names: str) -> list[str]:
    with house.database.reading() as connection:
        return [str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names]


def test_a_session_says_whose_it_is_and_speaks_utc(house: AnyWarehouse) -> None:
    """Host and process are what eviction and a look at pg_stat_activity go by."""
    found = told(house, "application_name", "TimeZone", "DateStyle", "search_path", "client_encoding")

    assert found[0] == f"etlctl:{socket.gethostname()[:40]}:{os.getpid()}"
    assert found[1:] == ["UTC", "ISO, YMD", '"$user", public, pg_temp', "UTF8"]


def test_a_long_host_name_keeps_the_process(house: AnyWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server would cut the end."""
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 100)

    name = told(house, "application_name")[0]

    assert len(name) == 63 and name.endswith(f"h:{os.getpid()}")


def test_the_url_goes_before_our_own_options(open_house: Callable[..., AnyWarehouse]) -> None:
    options = {"application_name": "mine", "keepalives_idle": "7", "options": "-c search_path=a,b -c work_mem=1MB"}
    house = open_house(lambda url: url.update_query_dict(options))

    assert told(house, "application_name", "search_path", "work_mem") == ["mine", "a,b, pg_temp", "1MB"]
    with house.database.reading() as connection:
        raw: Any = connection.connection.driver_connection
        assert raw.info.dsn_parameters["keepalives_idle"] == "7"
        assert raw.info.dsn_parameters["tcp_user_timeout"] == "60000"


def test_the_settings_timeouts_hold_in_every_session(open_house: Callable[..., AnyWarehouse]) -> None:
    """In one that reads, too: a plan must not wait for a lock for ever."""
    house = open_house(lock_timeout_s=2.5, statement_timeout_s=90, connect_timeout_s=7)

    assert told(house, "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout") == [
        "2500ms",
        "90s",
        "1h",
    ]
    with house.database.reading() as connection:
        raw: Any = connection.connection.driver_connection
        assert raw.info.dsn_parameters["connect_timeout"] == "7"


@pytest.mark.parametrize("password", ["p@ss:w/rd#%?[] x", "quote'\"\\back", "pässwörd 表"])
def test_any_password_reaches_the_driver(open_house: Callable[..., AnyWarehouse], password: str) -> None:
    """F79: percent-encoded in the URL, whole for libpq."""
    house = open_house(lambda url: url.set(password=password))

    with house.database.reading() as connection:
        raw: Any = connection.connection.driver_connection
        assert raw.info.password == password


def test_few_connections_are_kept(house: AnyWarehouse) -> None:
    """As many as are wanted at once are opened; two stay."""
    open_ones = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'etlctl:%'"
    )
    connections = [house.database.engine.connect() for _ in range(5)]
    assert house.ask(open_ones) == [(5,)]

    for connection in connections:
        connection.close()

    end = time.monotonic() + 40
    while house.ask(open_ones) != [(2,)] and time.monotonic() < end:  # the server takes its time to end one
        time.sleep(0.02)
    assert house.ask(open_ones) == [(2,)]


def test_statements_commit_by_themselves_where_they_are_to(house: AnyWarehouse) -> None:
    """VACUUM runs, a failing statement takes nothing back; the next session has transactions again."""
    with pytest.raises(QueryError), house.database.unguarded("alone") as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.exec_driver_sql("VACUUM t")
        connection.exec_driver_sql("SELECT nothing")
    with pytest.raises(ZeroDivisionError), house.database.writing("after") as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")
        raise ZeroDivisionError

    assert house.ask("SELECT x FROM t") == [(1,)]


def test_a_forgotten_transaction_is_rolled_back_on_return(house: AnyWarehouse) -> None:
    """By the driver, behind SQLAlchemy's back."""
    with house.database.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.cursor().execute("INSERT INTO t VALUES (1)")
    with house.database.writing("next") as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    assert house.ask("SELECT x FROM t") == [(2,)]


def test_an_old_server_is_refused(house: AnyWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, before a statement fails that it does not know."""
    monkeypatch.setattr("etlctl.db.dialects.postgresql.sessions._OLDEST", 990000)

    with pytest.raises(UnavailableError, match=r"loads need 99 or newer"):
        told(house, "TimeZone")


def test_a_kept_connection_that_died_is_replaced(house: AnyWarehouse) -> None:
    """Nobody hears of it: what is kept is looked at before it is used."""
    TableTarget("t", "a").touch()
    ended = house.ask(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'etlctl:%'"
    )

    TableTarget("t", "b").touch()

    assert ended and [row[0] for row in house.markers()] == ["a", "b"]


def test_a_session_is_handed_out_as_it_was_made(house: AnyWarehouse) -> None:
    """Temporary tables, settings, roles and locks that user code left are gone."""
    with house.database.writing("first") as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE mine AS SELECT 1 AS x")
        connection.exec_driver_sql("SET search_path TO pg_catalog; SET TimeZone TO 'Asia/Tokyo'; SET lock_timeout TO 1")
        connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
        connection.exec_driver_sql("CREATE ROLE etlctl_nobody; SET ROLE etlctl_nobody")
        first = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()

    with house.database.writing("second") as connection:
        told = connection.exec_driver_sql(
            "SELECT pg_backend_pid(), to_regclass('pg_temp.mine'), current_setting('search_path'), "
            "current_setting('TimeZone'), current_setting('lock_timeout'), current_user = session_user, "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
        ).one()
        connection.exec_driver_sql("DROP ROLE etlctl_nobody")

    assert tuple(told) == (first, None, '"$user", public, pg_temp', "UTC", "500ms", True, 0)


def test_a_load_is_read_committed_whatever_the_server_says(house: AnyWarehouse) -> None:
    """F21: no serialization failure at the marker, since nothing is serialized."""
    house.write(f"ALTER DATABASE {database_of(house)} SET default_transaction_isolation = 'serializable'")

    with TableTarget("t", "a").transaction() as connection:
        level = connection.exec_driver_sql("SHOW transaction_isolation").scalar()

    assert level == "read committed"


def database_of(house: AnyWarehouse) -> str:
    return f'"{sa.make_url(house.url).database}"'


def test_results_are_streamed_by_a_cursor_of_the_server(house: AnyWarehouse) -> None:
    """In a load, too, whose guard knows that cursor."""
    with TableTarget("t", "a").transaction() as connection:
        rows = connection.exec_driver_sql(
            "SELECT i FROM generate_series(1, 5000) AS i", execution_options={"stream_results": True}
        )
        assert sum(row[0] for row in rows) == 12502500
