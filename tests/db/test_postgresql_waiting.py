"""A build can be stopped while PostgreSQL computes for minutes, or waits for another session's lock."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from etlctl.db.dialects.base import Options
from etlctl.db.dialects.postgresql.dialect import PostgreSQLDialect
from etlctl.db.dialects.postgresql.guard import Connection
from etlctl.db.dialects.postgresql.waiting import Waiter
from servers.postgres import Postgres
from stopping import started, stopped_twice

LONG = """
from etlctl import LoadTable, QueryTable

class Long(QueryTable):
    query = "SELECT 1 AS n, pg_sleep(600)::text AS s"
    columns = {"n": "integer", "s": "text"}

class Short(LoadTable):
    columns = {"n": "integer"}

    def rows(self):
        return [(1,)]
"""
SOON_S = 15.0
"""Far less than what the query, or the lock, would take; far more than a busy machine needs."""


@pytest.fixture
def project(tmp_path: Path, postgres_url: str) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "long.py").write_text(LONG)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "etlctl.toml").write_text(
        f'default_connection = "warehouse"\n[connections.warehouse]\nurl = "{postgres_url}"\n'
    )
    return tmp_path


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Connection]:
    found = psycopg2.connect(postgres_url, connection_factory=Connection)
    yield found
    found.close()


def wait_for(build: subprocess.Popen[str], server: Postgres, url: str, condition: str) -> None:
    """Returns when a session of the build is as the SQL condition over pg_stat_activity says."""
    query = f"SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'etlctl:%%' AND {condition}"
    end = time.monotonic() + 30
    while not server.ask(query, url=url):
        if build.poll() is not None:
            raise AssertionError(build.communicate())
        if time.monotonic() > end:
            raise TimeoutError(condition)
        time.sleep(0.05)


def test_build_stops_at_the_second_signal_while_a_query_computes(
    project: Path, postgres_server: Postgres, postgres_url: str
) -> None:
    """The first is heard at once and lets it go on; the second cancels the statement, and nothing is kept."""
    here = f"datname = '{postgres_url.rpartition('/')[2]}'"
    with started(project, "Long") as build:
        wait_for(build, postgres_server, postgres_url, f"state = 'active' AND query LIKE '%%pg_sleep%%' AND {here}")
        took_s = stopped_twice(build)

    assert took_s < SOON_S
    assert build.returncode == 143
    assert postgres_server.ask("SELECT count(*) FROM table_updates", url=postgres_url) == [(0,)]
    wait_until_gone = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'etlctl:%%' AND " + here
    end = time.monotonic() + 10
    while postgres_server.ask(wait_until_gone, url=postgres_url) and time.monotonic() < end:
        time.sleep(0.05)
    assert postgres_server.ask(wait_until_gone, url=postgres_url) == []


def test_build_stops_at_the_second_signal_while_it_waits_for_a_lock(
    project: Path, postgres_server: Postgres, postgres_url: str
) -> None:
    """Another session keeps the table; two signals end the wait, long before its 60 seconds are over."""
    here = f"datname = '{postgres_url.rpartition('/')[2]}'"
    with closing(psycopg2.connect(postgres_url)) as other:
        cursor = other.cursor()
        cursor.execute("CREATE TABLE short (n integer)")
        other.commit()
        cursor.execute("LOCK TABLE short")
        with started(project, "Short") as build:
            wait_for(build, postgres_server, postgres_url, f"wait_event_type = 'Lock' AND {here}")
            took_s = stopped_twice(build)

    assert took_s < SOON_S
    assert build.returncode == 143


# -- one connection


def interrupt_soon(delay_s: float = 0.3) -> None:
    """SIGINT to this process, from another thread, a moment later."""
    threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.mark.parametrize("where", ["execute", "a COPY that waits", "rows", "commit", "a fetch of the server's cursor"])
def test_ctrl_c_ends_whatever_waits(connection: Connection, postgres_url: str, where: str) -> None:
    """KeyboardInterrupt comes up at once and the session can roll back."""
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (n integer)")
    connection.commit()
    with closing(psycopg2.connect(postgres_url)) as other:
        other.cursor().execute("LOCK TABLE t")
        began = time.monotonic()
        interrupt_soon()
        with pytest.raises(KeyboardInterrupt):
            if where == "execute":
                cursor.execute("SELECT pg_sleep(60)")
            elif where == "a COPY that waits":
                cursor.copy_expert("COPY t FROM STDIN", StringIO("1\n"))
            elif where == "rows":
                cursor.copy_expert("CREATE TEMP TABLE mine (n integer); COPY mine FROM STDIN", Slow())
            elif where == "commit":
                slow_commit(connection)
            else:
                with connection.cursor("mine") as named:
                    named.execute("SELECT pg_sleep(60)")
                    named.fetchone()

    assert time.monotonic() - began < 4  # less than the patience with a server that does not answer
    connection.rollback()
    cursor.execute("SELECT count(*) FROM t")
    assert cursor.fetchone() == (0,)


def slow_commit(connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TEMP TABLE slow (n integer); CREATE FUNCTION pg_temp.sleep() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'; CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.sleep(); INSERT INTO slow VALUES (1)"
    )
    connection.commit()


class Slow:
    """Rows that are long in the making."""

    def read(self, size: int) -> str:
        time.sleep(60)
        return ""


class Source:
    """A file that is copied in, and where it was read."""

    def __init__(self, *chunks: str, error: Exception | None = None) -> None:
        self.chunks = list(chunks)
        self.error = error
        self.threads: set[threading.Thread] = set()

    def read(self, size: int) -> str:
        self.threads.add(threading.current_thread())
        if not self.chunks and self.error is not None:
            raise self.error
        return self.chunks.pop(0) if self.chunks else ""


def test_rows_are_made_in_the_thread_that_loads_them(connection: Connection) -> None:
    """A generator may hold what is bound to its thread, such as a SQLite connection."""
    cursor = connection.cursor()
    cursor.execute("CREATE TEMP TABLE t (n integer)")
    source = Source("1\n", "2\n")

    cursor.copy_expert("COPY t FROM STDIN", source)

    assert cursor.rowcount == 2
    assert source.threads == {threading.main_thread()}


def test_an_error_of_the_rows_comes_up_as_it_is(connection: Connection) -> None:
    """Not as the words that psycopg2 ends a COPY with; the session goes on."""
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (n integer)")
    connection.commit()
    mine = ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError) as caught:
        cursor.copy_expert("COPY t FROM STDIN", Source("1\n", error=mine))

    assert caught.value is mine
    connection.rollback()
    cursor.execute("SELECT count(*) FROM t")
    assert cursor.fetchone() == (0,)


def test_a_statement_in_the_middle_of_a_copy_is_refused(connection: Connection) -> None:
    """libpq would lose its place; the COPY itself fails with that error and nothing else."""
    cursor = connection.cursor()
    cursor.execute("CREATE TEMP TABLE t (n integer)")

    class Asking(Source):
        def read(self, size: int) -> str:
            connection.cursor().execute("SELECT 1")
            return ""

    with pytest.raises(psycopg2.InterfaceError, match="busy"):
        cursor.copy_expert("COPY t FROM STDIN", Asking())

    connection.rollback()
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)


def test_other_threads_wait_by_themselves(connection: Connection) -> None:
    """Signals are the main thread's; elsewhere the driver is called as ever."""
    found: list[Any] = []

    def ask() -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT 7")
        found.append(cursor.fetchone())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(20)

    assert found == [(7,)]


def test_handlers_run_while_a_statement_is_waited_for(connection: Connection) -> None:
    """One that raises nothing disturbs nothing."""
    heard: list[float] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(time.monotonic()))
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        cursor = connection.cursor()
        cursor.execute("SELECT pg_sleep(1)")
        ended = time.monotonic()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert len(heard) == 1 and ended - heard[0] > 0.3


def test_threads_end_with_their_connections(postgres_url: str) -> None:
    """Closed or forgotten, a connection leaves no thread behind."""
    before = our_threads()
    engine = PostgreSQLDialect().make_engine(postgres_url, Options())
    with engine.connect() as one:
        one.exec_driver_sql("SELECT 1")
    engine.dispose()
    forgotten = psycopg2.connect(postgres_url, connection_factory=Connection)
    forgotten.cursor().execute("SELECT 1")
    del forgotten

    end = time.monotonic() + 10
    while (left := our_threads() - before) and time.monotonic() < end:
        time.sleep(0.02)
    assert left == set()


def our_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("etlctl-")}


def test_a_call_that_never_comes_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server out of reach: the cancellation gets nowhere, and Ctrl-C ends the wait all the same."""
    monkeypatch.setattr("etlctl.db.dialects.postgresql.waiting._PATIENCE_S", 0.3)
    waiter, forever = Waiter(), threading.Event()
    interrupt_soon(0.2)

    with pytest.raises(KeyboardInterrupt):
        waiter.call(lambda: None, forever.wait, 60)

    assert waiter.is_given_up
    with pytest.raises(psycopg2.InterfaceError, match="no answer"):
        waiter.call(lambda: None, int)
    forever.set()
