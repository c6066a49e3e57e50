"""User code that tries to end the transaction of a PostgreSQL load, in every way there is (F25)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest
import sqlalchemy as sa
from psycopg2.sql import SQL

from any_warehouse import AnyWarehouse, in_place
from ending_inside import BY_SQLALCHEMY, Way
from etlctl.db import sqltext
from etlctl.db.dialects.postgresql.guard import ending_word
from etlctl.db.table_target import TableTarget
from etlctl.errors import CommitInsideError, EtlctlError, LoadError, TransientError
from etlctl.loads.sequence import transaction

MESSAGE = r"^t on warehouse: .*load's transaction"
ANY_ERROR = (psycopg2.Error, sa.exc.SQLAlchemyError, EtlctlError)


@pytest.fixture
def house(postgres_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(postgres_url, tmp_path) as found:
        found.write("CREATE TABLE t (x integer UNIQUE)", "CREATE TABLE parent (x integer PRIMARY KEY)")
        yield found


def raw_of(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def raw_sql(sql: Any) -> Callable[[sa.Connection], Any]:
    return lambda connection: raw_of(connection).cursor().execute(sql)


def with_raw(connection: sa.Connection) -> None:
    with raw_of(connection) as raw:
        raw.cursor().execute("INSERT INTO t VALUES (9)")


def set_on_raw(name: str, value: Any) -> Callable[[sa.Connection], Any]:
    return lambda connection: setattr(raw_of(connection), name, value)


def by_dict_cursor(connection: sa.Connection) -> None:
    with raw_of(connection).cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("COMMIT")


def by_named_cursor(connection: sa.Connection) -> None:
    raw_of(connection).cursor("mine").execute("SELECT 1; COMMIT")


WAYS: dict[str, Way] = {
    **BY_SQLALCHEMY,
    "SQL COMMIT": lambda connection: connection.exec_driver_sql("COMMIT"),
    "SQL END": lambda connection: connection.exec_driver_sql("END TRANSACTION"),
    "text COMMIT": lambda connection: connection.execute(sa.text("commit")),
    "SQL ROLLBACK": lambda connection: connection.exec_driver_sql("/* it */ rollback -- now"),
    "several": lambda connection: connection.exec_driver_sql("ROLLBACK; INSERT INTO t VALUES (9)"),
    "in the middle": lambda connection: connection.exec_driver_sql("SELECT 1; COMMIT; INSERT INTO t VALUES (9)"),
    "and chain": lambda connection: connection.exec_driver_sql("COMMIT AND CHAIN"),
    "prepared": lambda connection: connection.exec_driver_sql("PREPARE TRANSACTION 'x'"),
    "raw commit": lambda connection: raw_of(connection).commit(),
    "raw rollback": lambda connection: raw_of(connection).rollback(),
    "raw reset": lambda connection: raw_of(connection).reset(),
    "raw SQL": raw_sql("COMMIT"),
    "raw bytes": raw_sql(b"commit"),
    "raw composed": raw_sql(SQL("abort")),
    "executemany": lambda connection: raw_of(connection).cursor().executemany("COMMIT", [()]),
    "execute_batch": lambda connection: psycopg2.extras.execute_batch(raw_of(connection).cursor(), "COMMIT", [()]),
    "copy_expert": lambda connection: raw_of(connection).cursor().copy_expert("COMMIT; COPY t FROM STDIN", StringIO()),
    "a cursor class": by_dict_cursor,
    "a cursor of the server": by_named_cursor,
    "with raw": with_raw,
    "autocommit": set_on_raw("autocommit", True),
    "isolation_level": set_on_raw("isolation_level", "SERIALIZABLE"),
    "readonly": set_on_raw("readonly", True),
    "set_session": lambda connection: raw_of(connection).set_session(autocommit=True),
    "set_isolation_level": lambda connection: raw_of(connection).set_isolation_level(0),
    "tpc_begin": lambda connection: raw_of(connection).tpc_begin(raw_of(connection).xid(1, "a", "b")),
    "a DO block": raw_sql("DO $$ BEGIN INSERT INTO t VALUES (9); COMMIT; END $$"),
    "SQLAlchemy's autocommit": lambda connection: connection.execution_options(isolation_level="AUTOCOMMIT"),
}


@pytest.mark.parametrize("way", WAYS)
def test_ending_the_transaction_inside_keeps_nothing(house: AnyWarehouse, way: str) -> None:
    """Each way is refused, with rows and marker rolled back."""
    refused = (CommitInsideError, LoadError) if way == "SQLAlchemy's autocommit" else CommitInsideError
    said = "already" if way == "SQLAlchemy's autocommit" else MESSAGE
    errors = (*refused, EtlctlError) if isinstance(refused, tuple) else refused

    with pytest.raises(errors, match=said), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        WAYS[way](connection)

    assert house.count("t") == 0 and house.markers() == []


HARMLESS_WHEN_SWALLOWED = ("SQLAlchemy's autocommit",)
"""SQLAlchemy has refused it, and nothing has happened."""


@pytest.mark.parametrize("way", [way for way in WAYS if way not in HARMLESS_WHEN_SWALLOWED])
def test_a_refusal_that_user_code_swallows_still_fails_the_load(house: AnyWarehouse, way: str) -> None:
    """A bare except around the commit hides nothing, and what is written behind it does not stay."""
    with pytest.raises((CommitInsideError, LoadError)), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(*ANY_ERROR):
            WAYS[way](connection)
        with suppress(*ANY_ERROR):
            raw_of(connection).cursor().execute("INSERT INTO t VALUES (2)")

    assert house.count("t") == 0 and house.markers() == []


# -- what gets past the guard of the client


def past_the_guard(sql: str) -> Callable[[sa.Connection], Any]:
    """A cursor that is none of ours, which asks nobody."""
    return lambda connection: psycopg2.extensions.cursor(raw_of(connection)).execute(sql)


def test_the_server_refuses_a_commit_that_gets_past_the_guard(house: AnyWarehouse) -> None:
    """The deferred key of the marker: nothing is kept, and what follows is not run in autocommit."""
    with pytest.raises(CommitInsideError, match=MESSAGE), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        past_the_guard("COMMIT")(connection)

    assert house.count("t") == 0 and house.markers() == []


@pytest.mark.parametrize("word", ["COMMIT", "ROLLBACK"])
def test_no_statement_runs_after_the_transaction_has_ended(house: AnyWarehouse, word: str) -> None:
    """psycopg2 would go on in autocommit: a row without a marker."""
    with pytest.raises(CommitInsideError, match=MESSAGE), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(*ANY_ERROR):
            past_the_guard(word)(connection)
        for again in ("INSERT INTO t VALUES (2)", "INSERT INTO t SELECT 3"):
            with suppress(*ANY_ERROR):
                raw_of(connection).cursor().execute(again)
            with suppress(*ANY_ERROR):
                connection.exec_driver_sql(again)
        with suppress(*ANY_ERROR):
            raw_of(connection).cursor().copy_expert("COPY t FROM STDIN", StringIO("4\n"))

    assert house.count("t") == 0 and house.markers() == []


def test_a_new_transaction_behind_the_guards_back_is_found(house: AnyWarehouse) -> None:
    """It is another transaction: its number tells, and it is rolled back."""
    with pytest.raises(CommitInsideError, match=MESSAGE), TableTarget("t", "a").transaction() as connection:
        past_the_guard("ROLLBACK; BEGIN; INSERT INTO t VALUES (9)")(connection)

    assert house.count("t") == 0 and house.markers() == []


def test_an_error_that_is_passed_over_keeps_nothing_and_is_told(house: AnyWarehouse) -> None:
    """The server makes a ROLLBACK of the COMMIT then, and reports no error."""
    with (
        pytest.raises(LoadError, match=r"passed over.*begin_nested"),
        TableTarget("t", "a").transaction() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(sa.exc.IntegrityError):
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    assert house.count("t") == 0 and house.markers() == []


def test_an_error_that_is_passed_over_at_the_end_of_a_transaction_is_told(house: AnyWarehouse) -> None:
    """A load inside has ended well by then, so the COMMIT alone can tell."""
    with pytest.raises(LoadError, match="passed over"), transaction("warehouse") as connection:
        TableTarget("t", "a").touch()
        with suppress(sa.exc.ProgrammingError):
            connection.exec_driver_sql("SELECT nothing")

    assert house.markers() == []


# -- what passes


def test_savepoints_pass(house: AnyWarehouse) -> None:
    """A part that may fail is a savepoint, by SQLAlchemy or by SQL."""
    with TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with suppress(sa.exc.IntegrityError), connection.begin_nested():
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.exec_driver_sql("SAVEPOINT mine")
        connection.exec_driver_sql("INSERT INTO t VALUES (3)")
        connection.exec_driver_sql("ROLLBACK TO mine; ROLLBACK WORK TO SAVEPOINT mine; RELEASE mine")

    assert house.ask("SELECT x FROM t") == [(1,)]
    assert [row[2] for row in house.markers()] == ["done"]


@pytest.mark.parametrize("method", [None, "multi"])
@pytest.mark.parametrize("if_exists", ["append", "replace", "fail"])
def test_pandas_writes_inside_the_transaction(house: AnyWarehouse, if_exists: Any, method: Any) -> None:
    """DataFrame.to_sql creates, replaces and appends, and commits with the marker or not at all."""
    frame = pd.DataFrame({"day": ["2013-01-01", "the end; COMMIT"], "flights": [842, 943]})

    with pytest.raises(ZeroDivisionError), TableTarget("days", "a").transaction() as connection:
        frame.to_sql("days", con=connection, if_exists=if_exists, index=False, method=method)
        raise ZeroDivisionError
    assert house.ask("SELECT to_regclass('days')") == [(None,)]

    with TableTarget("days", "a").transaction() as connection:
        frame.to_sql("days", con=connection, if_exists=if_exists, index=False, method=method)

    assert house.ask("SELECT flights FROM days") == [(842,), (943,)]
    assert house.markers() == [("a", "days", "done", None)]


def test_the_drivers_copy_commits_with_the_marker(house: AnyWarehouse) -> None:
    """COPY by the driver connection, both ways, and a cursor of the server beside it."""
    out = StringIO()

    with TableTarget("t", "a").transaction() as connection:
        cursor = raw_of(connection).cursor()
        cursor.copy_expert("COPY t FROM STDIN", StringIO("1\n2\n"))
        assert cursor.rowcount == 2
        cursor.copy_from(StringIO("3\n"), "t")
        cursor.copy_to(out, "t")
        with raw_of(connection).cursor("mine") as named:
            named.itersize = 2
            named.execute("SELECT x FROM t ORDER BY x")
            assert named.fetchone() == (1,) and list(named) == [(2,), (3,)]

    assert out.getvalue() == "1\n2\n3\n" and house.count("t") == 3


def test_the_guard_is_gone_after_the_load(house: AnyWarehouse) -> None:
    """A connection of the same engine commits as ever."""
    TableTarget("t", "a").touch()

    with house.database.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    assert house.count("t") == 1


def test_a_session_that_the_server_ends_is_a_lost_connection(house: AnyWarehouse) -> None:
    """F13: not the user's fault, and to be tried again."""
    with pytest.raises(TransientError, match="connection"), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        pid = raw_of(connection).get_backend_pid()
        house.ask(f"SELECT pg_terminate_backend({pid}, 5000)")
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    assert house.count("t") == 0 and house.markers() == []


# -- a forked child


def test_a_child_leaves_the_sessions_alone_that_the_parent_keeps(house: AnyWarehouse) -> None:
    """One that is forked between loads gets an engine of its own; the parent's goes on."""
    TableTarget("t", "a").touch()
    pid = os.fork()
    if pid == 0:
        try:
            TableTarget("t", "b").touch()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    TableTarget("t", "c").touch()

    assert [row[0] for row in house.markers()] == ["a", "b", "c"]


# -- the words


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("SELECT 1", None),
        ("SELECT CASE WHEN a THEN 1 ELSE 2 END; SELECT 2", None),
        ("SELECT 'a; COMMIT'; SELECT $x$; ROLLBACK $x$", None),
        ("SELECT 1 -- ; COMMIT\n", None),
        ("SELECT 1 /* ; /* nested */ COMMIT */", None),
        ('SELECT "; COMMIT"', None),
        ("SELECT E'\\'; COMMIT; --'", None),
        ("PREPARE mine AS SELECT 1", None),
        ("ROLLBACK TO SAVEPOINT a", None),
        ("ROLLBACK /* back */ TRANSACTION TO a", None),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", None),
        ("begin", "BEGIN"),
        ("START TRANSACTION", "START"),
        ("SELECT '\\'; COMMIT; --'", "COMMIT"),
        ("; ;commit", "COMMIT"),
        ("SELECT 1;/**/-- x\nABORT", "ABORT"),
        ("PREPARE  TRANSACTION 'a'", "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 'a'", "COMMIT"),
        ("ROLLBACK AND CHAIN", "ROLLBACK"),
        ("SELECT 1;\nEND", "END"),
        ("COMMIT; SELECT 'open", "COMMIT"),
        ("SELECT 'open; COMMIT", "COMMIT"),  # the server refuses it anyway
    ],
)
def test_the_word_that_ends_a_transaction_is_found(sql: str, word: str | None) -> None:
    """By the server's rules for text: in strings, quotes and comments it is none."""
    assert ending_word(sql) == word


def test_a_long_text_is_not_kept() -> None:
    """Rows of values that hold such a word cost no memory afterwards."""
    text = "INSERT INTO t VALUES " + ", ".join(f"('the end {number}')" for number in range(2_000))
    before = sqltext._tokens.cache_info().currsize

    assert ending_word(text) is None

    assert sqltext._tokens.cache_info().currsize == before
