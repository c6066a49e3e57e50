"""What PostgreSQL's errors become: the class, the exit code, and a sentence that tells where and how to mend it."""

from __future__ import annotations

import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl.core import context
from etlctl.db import markers
from etlctl.db.dialects.postgresql.errors import ConnectError, translated
from etlctl.db.markers import MarkerKey
from etlctl.db.sqltext import POSTGRESQL
from etlctl.db.table_target import TableTarget
from etlctl.errors import (
    BadDataError,
    CommitInsideError,
    EtlctlError,
    LoadError,
    LockTimeoutError,
    QueryError,
    SettingsError,
    TransientError,
    UnavailableError,
)
from etlctl.loads.queryfile import Query
from servers.postgres import PostgresServer
from servers.process import free_port

PASSWORD = "S3cr3t-8f1b"


@pytest.fixture
def house(open_house: Callable[..., AnyWarehouse]) -> Iterator[AnyWarehouse]:
    found = open_house(lock_timeout_s=0.5)
    found.write("CREATE TABLE t (x integer UNIQUE, v varchar(3) CHECK (v <> 'no'))")
    with context.use(found.context):
        yield found


def error_of(house: AnyWarehouse, *statements: str) -> EtlctlError:
    """What the last of the statements, in one write transaction, becomes."""
    with pytest.raises(EtlctlError) as caught, house.database.writing("t on warehouse") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    assert str(caught.value).startswith("t on warehouse: ")
    return caught.value


STATEMENTS: list[tuple[str, type[EtlctlError], str]] = [
    ("SELECT nothing FROM t", QueryError, 'column "nothing" does not exist'),
    ("SELECT x FROM nowhere", QueryError, 'relation "nowhere" does not exist'),
    ("SELECT FROM WHERE", QueryError, 'syntax error at or near "WHERE"'),
    ("SELECT nofunction(x) FROM t", QueryError, "function nofunction(integer) does not exist"),
    ("INSERT INTO t (y) VALUES (1)", QueryError, 'column "y" of relation "t" does not exist'),
    ("INSERT INTO missing.t VALUES (1)", QueryError, 'relation "missing.t" does not exist'),
    ("CREATE TABLE missing.t (x int)", LoadError, 'schema "missing" does not exist. Create the schema'),
    ("INSERT INTO t VALUES (1), (1)", BadDataError, "t_x_key"),
    ("INSERT INTO t VALUES (1), (1)", BadDataError, "Key (x)=(1) already exists"),
    ("INSERT INTO t VALUES (1, 'no')", BadDataError, "t_v_check"),
    ("INSERT INTO t VALUES (1, 'long')", BadDataError, "value too long for type character varying(3)"),
    ("INSERT INTO t VALUES (99999999999)", BadDataError, "integer out of range"),
    ("SELECT 'x'::int", BadDataError, 'invalid input syntax for type integer: "x"'),
    ("SELECT '2013-02-29'::date", BadDataError, 'date/time field value out of range: "2013-02-29"'),
    ("VACUUM t", QueryError, "VACUUM cannot run inside a transaction block"),
    ("DO $$ BEGIN COMMIT; END $$", CommitInsideError, "by a procedure or a DO block"),
]


@pytest.mark.parametrize(("statement", "kind", "said"), STATEMENTS)
def test_an_error_of_a_statement_is_told(
    house: AnyWarehouse, statement: str, kind: type[EtlctlError], said: str
) -> None:
    error = error_of(house, statement)

    assert type(error) is kind and said in str(error)
    assert "\n" not in str(error) and "Failing row" not in str(error)


RAISED: list[tuple[str, type[EtlctlError], int, str]] = [
    ("08006", TransientError, 4, "connection was lost"),
    ("25006", UnavailableError, 4, "is read-only"),
    ("25P03", UnavailableError, 4, "idle_in_transaction_session_timeout"),
    ("40001", TransientError, 4, "can be tried again"),
    ("53100", UnavailableError, 4, "database disk is full"),
    ("53200", UnavailableError, 4, "no resources left"),
    ("53300", TransientError, 4, "no connection free"),
    ("57P01", TransientError, 4, "connection was lost"),
    ("57P03", TransientError, 4, "connection was lost"),
    ("58030", UnavailableError, 4, "error of its system"),
    ("XX001", UnavailableError, 4, "internal error"),
    ("54000", LoadError, 1, "a limit of the database"),
    ("22P02", BadDataError, 1, "refused a value"),
    ("23514", BadDataError, 1, "refused a row"),
    ("P0001", QueryError, 1, "told by the server"),
]


@pytest.mark.parametrize(("code", "kind", "exit_code", "said"), RAISED)
def test_a_code_of_the_server_has_its_class_and_exit_code(
    house: AnyWarehouse, code: str, kind: type[EtlctlError], exit_code: int, said: str
) -> None:
    """The server raises it, as it would in its own trouble."""
    error = error_of(house, f"DO $$ BEGIN RAISE EXCEPTION 'told by the server' USING ERRCODE = '{code}'; END $$")

    assert type(error) is kind and error.exit_code == exit_code
    assert said in str(error)


# -- the connection


@pytest.mark.parametrize("way", ["write", "read", "load", "alone"])
def test_a_session_that_is_ended_is_a_lost_connection(house: AnyWarehouse, way: str) -> None:
    """F13: the whole transaction is worth another try."""
    block: Any = {
        "write": lambda: house.database.writing("t on warehouse"),
        "read": lambda: house.database.reading("t on warehouse"),
        "load": lambda: TableTarget("t", "u").transaction(),
        "alone": lambda: house.database.unguarded("t on warehouse"),
    }[way]

    with pytest.raises(TransientError, match=r"^t on warehouse: "), block() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        house.ask(f"SELECT pg_terminate_backend({pid}, 5000)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    assert house.count("t") == 0
    TableTarget("t", "u").touch()


def test_a_session_that_is_lost_before_the_rollback_is_quiet(
    house: AnyWarehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """It has rolled back: the error of the task is the one to tell, and nothing is logged beside it."""
    with pytest.raises(ZeroDivisionError), TableTarget("t", "u").transaction() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        house.ask(f"SELECT pg_terminate_backend({pid}, 5000)")
        raise ZeroDivisionError

    assert caplog.records == [] and house.markers() == []


def test_a_lock_is_waited_for_as_long_as_the_settings_say(house: AnyWarehouse) -> None:
    """F19: LockTimeoutError, which is worth another try."""
    with house.driver() as other:
        other.cursor().execute("LOCK TABLE t")
        began = time.monotonic()
        error = error_of(house, "INSERT INTO t VALUES (1)")
        took_s = time.monotonic() - began

    assert type(error) is LockTimeoutError and "lock_timeout" in str(error)
    assert 0.4 < took_s < 20


def test_a_deadlock_is_worth_another_try(house: AnyWarehouse) -> None:
    """F20: one of the two is ended, the other goes on."""
    house.write("INSERT INTO t VALUES (1), (2)", f"ALTER DATABASE {database_of(house)} SET deadlock_timeout = '50ms'")
    barrier = threading.Barrier(2)
    errors: list[BaseException] = []

    def update(first: int, second: int) -> None:
        try:
            with house.database.writing("t on warehouse") as connection:
                connection.exec_driver_sql(f"UPDATE t SET v = 'a' WHERE x = {first}")
                barrier.wait(20)
                connection.exec_driver_sql(f"UPDATE t SET v = 'b' WHERE x = {second}")
        except BaseException as error:  # noqa: BLE001  looked at below
            errors.append(error)

    threads = [threading.Thread(target=update, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [type(error) for error in errors] == [TransientError]
    assert "waited for each other" in str(errors[0])


def test_losing_the_marker_under_repeatable_read_is_worth_another_try(house: AnyWarehouse) -> None:
    """F21, where user code has asked for that level on the engine: the row is there and cannot be seen."""
    markers.ensure(house.database, "test")
    database = house.database
    with pytest.raises(TransientError), database.translating("test"), database.engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        connection.exec_driver_sql("SELECT 1")
        TableTarget("t", "a").touch()
        markers.insert_loading(connection, database, MarkerKey("a", "t"), run_id="", owner="me")


def test_a_statement_that_takes_too_long_is_not_tried_again(open_house: Callable[..., AnyWarehouse]) -> None:
    """F22: it would take as long another time."""
    house = open_house(statement_timeout_s=0.2)

    error = error_of(house, "SELECT pg_sleep(20)")

    assert type(error) is LoadError and "statement_timeout" in str(error)


def test_a_statement_that_somebody_cancels_says_so(house: AnyWarehouse) -> None:
    found: list[EtlctlError] = []
    thread = threading.Thread(target=lambda: found.append(error_of(house, "SELECT pg_sleep(60)")))
    thread.start()
    end = time.monotonic() + 20
    cancel = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND query = 'SELECT pg_sleep(60)' AND state = 'active'"
    )
    while not house.ask(cancel) and time.monotonic() < end:
        time.sleep(0.02)
    thread.join(30)

    assert type(found[0]) is LoadError and "pg_cancel_backend" in str(found[0])


def test_a_limit_of_the_servers_own_for_silence_is_kept(open_house: Callable[..., AnyWarehouse]) -> None:
    """Ours is for servers that have none. libpq tells no more of it than that the connection is gone."""
    house = open_house(lambda url: url.update_query_dict({"options": "-c idle_in_transaction_session_timeout=200"}))

    with pytest.raises(UnavailableError), house.database.writing("t on warehouse") as connection:
        connection.exec_driver_sql("SELECT 1")
        time.sleep(1)
        connection.exec_driver_sql("SELECT 1")


# -- rights


@pytest.fixture
def role(house: AnyWarehouse) -> Iterator[str]:
    """A user who may do nothing but log in."""
    name = f"etlctl_{secrets.token_hex(4)}"
    house.write(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 1")
    yield name
    house.databases.close()
    end_sessions = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{name}'"
    house.ask(end_sessions)
    house.write(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_missing_right_names_the_table(house: AnyWarehouse, role: str, open_house: Any) -> None:
    """F24: exit 1, no retry."""
    poor = open_house(lambda url: url.set(username=role, password=PASSWORD))

    error = error_of(poor, "SELECT * FROM t")

    assert type(error) is LoadError and "permission denied for table t. GRANT SELECT" in str(error)


def test_a_server_without_a_free_connection_is_worth_another_try(
    house: AnyWarehouse, role: str, open_house: Any
) -> None:
    """F23: a limit of the role stands for that of the server."""
    poor = open_house(lambda url: url.set(username=role, password=PASSWORD))

    with poor.database.reading(), pytest.raises(TransientError, match="no connection free"):
        error_of_second = poor.database.engine.connect
        with poor.database.translating("t on warehouse"):
            error_of_second().close()


def test_a_read_only_database_says_so(house: AnyWarehouse) -> None:
    """F26: after a failover, for one."""
    house.write(f"ALTER DATABASE {database_of(house)} SET default_transaction_read_only = on")

    error = error_of(house, "INSERT INTO t VALUES (1)")

    assert type(error) is UnavailableError and "is read-only" in str(error)


def database_of(house: AnyWarehouse) -> str:
    return f'"{sa.make_url(house.url).database}"'


# -- no session at all


def test_a_port_where_nothing_listens_is_named(open_house: Callable[..., AnyWarehouse]) -> None:
    house = open_house(lambda url: url.set(port=free_port(), username="me", password=PASSWORD))

    error = error_of(house, "SELECT 1")

    assert type(error) is UnavailableError
    assert "nothing listens there" in str(error) and f":{sa.make_url(house.url).port}/" in str(error)
    assert PASSWORD not in str(error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.set(host="nowhere.invalid"), "host name is unknown"),
        (lambda url: url.set(database="nothing"), 'database "nothing" does not exist. Create it'),
        (lambda url: url.set(username="nobody_here", password=PASSWORD), "refused the user"),
        (lambda url: url.update_query_dict({"sslmode": "require"}), "sslmode"),
    ],
)
def test_a_url_that_leads_nowhere_is_told(open_house: Callable[..., AnyWarehouse], change: Any, said: str) -> None:
    """Exit 4, with host, port and database, and never the password."""
    house = open_house(change)

    error = error_of(house, "SELECT 1")

    assert error.exit_code == 4 and type(error) is UnavailableError
    assert said in str(error) and PASSWORD not in str(error)


def test_an_option_that_libpq_does_not_know_is_a_mistake_in_the_settings(
    open_house: Callable[..., AnyWarehouse],
) -> None:
    """Exit 2, as for what the settings themselves refuse: no server was asked."""
    house = open_house(lambda url: url.update_query_dict({"nonsense": "1"}).set(password=PASSWORD))

    error = error_of(house, "SELECT 1")

    assert error.exit_code == 2 and type(error) is SettingsError
    assert 'invalid connection option "nonsense". Mend the URL' in str(error) and PASSWORD not in str(error)


def test_a_server_that_does_not_answer_is_given_up(open_house: Callable[..., AnyWarehouse]) -> None:
    """F17: it takes the connection and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        house = open_house(lambda url: url.set(host="127.0.0.1", port=port), connect_timeout_s=2)
        began = time.monotonic()
        error = error_of(house, "SELECT 1")

    assert type(error) is UnavailableError and "no answer came" in str(error)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("FATAL:  the database system is starting up", TransientError),
        ("FATAL:  the database system is in recovery mode", TransientError),
        ("FATAL:  sorry, too many clients already", TransientError),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", TransientError),
        ("server closed the connection unexpectedly", TransientError),
        ('FATAL:  password authentication failed for user "me"', UnavailableError),
        ("fe_sendauth: no password supplied", UnavailableError),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', UnavailableError),
        ("Is the server running locally and accepting connections on that socket?", UnavailableError),
        ("received invalid response to SSL negotiation: d", UnavailableError),
        ('invalid dsn: invalid connection option "sslmod"', SettingsError),
        ('invalid sslmode value: "of"', SettingsError),
        ("something nobody has seen", UnavailableError),
    ],
)
def test_words_of_libpq_have_their_class(words: str, kind: type[EtlctlError]) -> None:
    """Before there is a session there are no codes."""
    error = ConnectError(f'connection to server at "wh-1" (10.0.0.1), port 5432 failed: {words}\n')

    ours = translated(error, doing="test", shown_url="postgresql://me:***@wh-1/dw")

    assert type(ours) is kind and "postgresql://me:***@wh-1/dw" in str(ours)


# -- places in a query


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SELECT x,\n  nothing\nFROM t", 2),
        ("SELECT x\nFROM\n  nowhere", 3),
        ("SELECT x\nFROM t\nWHERE x = 1 FRM t", 3),
        ("SELECT x,\n nofunction(v)\nFROM t", 2),
        ("SELECT t.x\n, u.nothing\nFROM t CROSS JOIN t AS u", 2),
        ("SELECT x\nFROM t\nGROUP BY v", 1),
    ],
)
def test_the_line_of_a_query_is_told(house: AnyWarehouse, text: str, line: int) -> None:
    """Where the server's words, or the place it points at, name something that stands in one line alone."""
    query = Query(text, "pipelines/x.sql")

    with (
        pytest.raises(QueryError, match=rf"^pipelines/x\.sql:{line}: "),
        query.locating(POSTGRESQL),
        house.database.reading("t on warehouse") as connection,
    ):
        house.dialect.query_columns(connection, text, {}, without_parameters=text)


def test_no_bound_value_is_in_the_words(house: AnyWarehouse) -> None:
    """psycopg2 writes values into the statement, and shows the line that is wrong."""
    with pytest.raises(QueryError) as caught, house.database.reading("t on warehouse") as connection:
        connection.exec_driver_sql("SELECT nothing FROM t WHERE v = %(v)s", {"v": PASSWORD})

    assert PASSWORD not in str(caught.value)


def test_a_bound_value_that_the_server_quotes_is_masked(house: AnyWarehouse) -> None:
    """By name and by position; in the traceback, too."""
    for query, values in (
        ("SELECT x FROM t WHERE x = %(v)s", {"v": PASSWORD}),
        ("SELECT x FROM t WHERE x = %s", (PASSWORD,)),
    ):
        with pytest.raises(BadDataError) as caught, house.database.reading("t on warehouse") as connection:
            connection.exec_driver_sql(query, values)

        told = "".join(traceback.format_exception(caught.value))
        assert 'invalid input syntax for type integer: "***"' in str(caught.value)
        assert PASSWORD not in told.replace(f'PASSWORD = "{PASSWORD}"', "")


# -- the marker


def test_an_id_that_no_index_holds_is_refused_in_words(house: AnyWarehouse) -> None:
    """2,704 bytes, after the server has packed them."""
    with pytest.raises(LoadError, match="limit of the database: index row"):
        TableTarget("t", secrets.token_hex(5000)).touch()

    TableTarget("t", "x" * 5000).touch()
    assert len(house.markers()) == 1


# -- the server's end


@pytest.mark.slow
@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_a_load_is_whole_or_absent_when_the_server_goes_down(
    crashing_postgres: PostgresServer, tmp_path: Path, how: str
) -> None:
    """F14, F15: the error is one to try again after, and the load runs when the server is back."""
    url = crashing_postgres.new_database()
    house = AnyWarehouse(url, tmp_path)
    house.write("CREATE TABLE t (x integer)")
    with context.use(house.context):
        TableTarget("t", "before").touch()
        with pytest.raises(TransientError), TableTarget("t", "u").transaction() as connection:
            connection.exec_driver_sql("INSERT INTO t SELECT generate_series(1, 1000)")
            crashing_postgres.stop(how)
            connection.exec_driver_sql("INSERT INTO t VALUES (0)")
        with pytest.raises(UnavailableError):
            TableTarget("t", "u").exists()
        crashing_postgres.start()
        with TableTarget("t", "u").transaction() as connection:
            connection.exec_driver_sql("INSERT INTO t SELECT generate_series(1, 1000)")

    assert house.count("t") == 1000 and [row[0] for row in house.markers()] == ["before", "u"]
    house.databases.close()
    crashing_postgres.drop_database(url)


def test_an_error_that_is_none_of_ours_is_left_alone() -> None:
    for error in (ZeroDivisionError(), ValueError("mine")):
        assert translated(error, doing="test", shown_url="x") is None
