"""What MySQL's errors come out as: the right class, a sentence with its place, and no secret."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl.db.dialects.mysql.connection import ConnectError
from etlctl.db.dialects.mysql.conversions import without_values
from etlctl.db.dialects.mysql.errors import translated
from etlctl.db.table_target import TableTarget
from etlctl.errors import (
    BadDataError,
    EtlctlError,
    LoadError,
    LockTimeoutError,
    QueryError,
    SettingsError,
    TransientError,
    UnavailableError,
)
from servers.mariadb import Mysql

URL = "mysql://user:***@db.example/dw"


@pytest.fixture
def house(mysql_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(mysql_url, tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (1213, TransientError, "deadlock"),
        (1205, LockTimeoutError, "lock_timeout_s"),
        (2006, UnavailableError, "is the port right"),
        (2013, UnavailableError, "is the port right"),
        (2055, TransientError, "lost"),
        (1040, TransientError, "max_connections"),
        (1290, UnavailableError, "read-only"),
        (1792, UnavailableError, "read-only"),
        (1836, UnavailableError, "read-only"),
        (1021, UnavailableError, "no room"),
        (1114, UnavailableError, "no room"),
        (1045, UnavailableError, "db.example:3306/dw refuses the user or the password"),
        (1049, UnavailableError, "CREATE DATABASE"),
        (2003, UnavailableError, "host and port"),
        (1146, QueryError, "said"),
        (1054, QueryError, "said"),
        (1064, QueryError, "said"),
        (1305, QueryError, "said"),
        (1142, LoadError, "GRANT"),
        (1044, UnavailableError, "into the database"),
        (1062, BadDataError, "refused a row"),
        (1048, BadDataError, "refused a row"),
        (1452, BadDataError, "refused a row"),
        (3819, BadDataError, "refused a row"),
        (1264, BadDataError, "refused a row"),
        (1292, BadDataError, "refused a row"),
        (1366, BadDataError, "refused a row"),
        (1406, BadDataError, "refused a row"),
        (3024, QueryError, "statement_timeout_s"),
        (1969, QueryError, "statement_timeout_s"),
        (1071, LoadError, "too long"),
        (0, UnavailableError, "is the port right"),
    ],
)
def test_translated_knows_the_codes(code: int, kind: type[EtlctlError], words: str) -> None:
    """Each has its exit code, begins with what was being done, and never shows user or password."""
    driver_error = ConnectError if kind is UnavailableError else pymysql.err.OperationalError
    error = sa.exc.OperationalError(None, None, driver_error(code, "said" if code else ""))

    found = translated(error, doing="t on warehouse", shown_url=URL)

    assert type(found) is kind
    assert str(found).startswith("t on warehouse: ") and words in str(found)
    assert "user:" not in str(found) and "***" not in str(found)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (2006, TransientError, "closed the connection"),
        (2013, TransientError, "lost"),
        (0, TransientError, "closed the connection"),
        (6, UnavailableError, "trouble with its files"),
    ],
)
def test_translated_tells_a_statement_from_the_beginning(code: int, kind: type[EtlctlError], words: str) -> None:
    """What is lost in the middle may go well another time; what never began is another server's port, mostly."""
    found = translated(pymysql.err.OperationalError(code, "said" if code else ""), doing="t", shown_url=URL)

    assert type(found) is kind and words in str(found)


@pytest.mark.parametrize("code", [1044, 1049])
def test_translated_tells_another_database_of_a_statement(code: int) -> None:
    """F24: the connection is fine, the table's database is not there, or not for this user."""
    found = translated(pymysql.err.OperationalError(code, "Unknown 'nowhere'"), doing="t", shown_url=URL)

    assert type(found) is LoadError and "'nowhere'" in str(found)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("use near 'FORM t WHERE v = 'S3cr3t' at line 3", "use near 'FORM t WHERE v = …' at line 3"),
        ("use near '= 'S3cr3t'\nAND x' at line 1", "use near '= …' at line 1"),
        ("use near '4711 FROM t' at line 1", "use near '…' at line 1"),
        ("use near 'FORM t' at line 1", "use near 'FORM t' at line 1"),
        (
            "Incorrect integer value: 'S3cr3t' for column 'k' at row 1",
            "Incorrect integer value for column 'k' at row 1",
        ),
        ("Incorrect datetime value: 'S3cr3t'", "Incorrect datetime value"),
        ("BIGINT value is out of range in '(4711 + x)'", "BIGINT value is out of range"),
        ("Unknown column 'x' in 'field list'", "Unknown column 'x' in 'field list'"),
    ],
)
def test_what_the_server_says_of_a_statement_holds_no_value(said: str, shown: str) -> None:
    """S5: PyMySQL writes parameters into the statement, and the server quotes it."""
    assert without_values((1064, said)) == (1064, shown)


def test_translated_knows_a_full_disk_by_its_words() -> None:
    """F18: the server's codes for it are many."""
    said = "Error writing file '/tmp/x' (Errcode: 28 \"No space left on device\")"

    found = translated(pymysql.err.OperationalError(3, said), doing="t", shown_url=URL)

    assert type(found) is UnavailableError and "disk" in str(found)


def test_translated_leaves_foreign_errors_alone() -> None:
    assert translated(ZeroDivisionError(), doing="t", shown_url=URL) is None


def test_a_server_that_is_not_there_is_told_with_host_port_and_hint(tmp_path: Path) -> None:
    """F17, and within the time to connect."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with in_place(f"mysql://me:S3cr3t@127.0.0.1:{port}/dw", tmp_path), pytest.raises(UnavailableError) as caught:
        TableTarget("t", "a").exists()

    assert f"127.0.0.1:{port}/dw cannot be reached" in str(caught.value)
    assert not isinstance(caught.value, TransientError)
    assert "S3cr3t" not in str(caught.value)


def test_a_server_that_says_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    """It takes the connection and never greets: connect_timeout_s counts for that too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mysql://me@127.0.0.1:{silent.getsockname()[1]}/dw"
        with in_place(url, tmp_path, connect_timeout_s=1):
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                TableTarget("t", "a").exists()

    assert time.monotonic() - began < 9.5  # and not the 10 s of the default


def test_a_server_of_another_kind_is_told(postgres_url: str, tmp_path: Path) -> None:
    """MySQL's URL with PostgreSQL's port."""
    port = sa.make_url(postgres_url).port
    opening = in_place(f"mysql://me@127.0.0.1:{port}/dw", tmp_path, connect_timeout_s=1)
    with opening, pytest.raises(UnavailableError, match="does not answer as a MySQL server does: is the port right"):
        TableTarget("t", "a").exists()


def test_a_wrong_password_is_told_without_it(house: AnyWarehouse, mariadb_server: Mysql, tmp_path: Path) -> None:
    url = sa.make_url(house.url).set(username="nobody", password="S3cr3t-pässword")
    with (
        in_place(url.render_as_string(hide_password=False), tmp_path),
        pytest.raises(UnavailableError, match="refuses the user or the password") as caught,
    ):
        TableTarget("t", "a").exists()

    assert "S3cr3t" not in str(caught.value)


def test_a_password_may_have_any_letters(house: AnyWarehouse, mariadb_server: Mysql, tmp_path: Path) -> None:
    """It is sent as UTF-8, as the server's own programs send it."""
    database = sa.make_url(house.url).database
    user = f"u_{database[-12:]}" if database else ""
    mariadb_server.ask(f"CREATE USER {user}@'%%' IDENTIFIED BY %s", "pä$$%wörd 表")
    mariadb_server.ask(f"GRANT ALL ON {database}.* TO {user}@'%%'".replace("%%", "%"))
    try:
        url = sa.make_url(house.url).set(username=user, password="pä$$%wörd 表")
        with in_place(url.render_as_string(hide_password=False), tmp_path):
            TableTarget("t", "a").touch()
    finally:
        mariadb_server.ask(f"DROP USER {user}@'%'")

    assert [row[0] for row in house.markers()] == ["a"]


def test_a_missing_database_is_told(house: AnyWarehouse, tmp_path: Path) -> None:
    url = sa.make_url(house.url).set(database="no_such_database")
    with (
        in_place(url.render_as_string(hide_password=False), tmp_path),
        pytest.raises(UnavailableError, match="has no database of this name"),
    ):
        TableTarget("t", "a").exists()


def test_a_url_without_a_database_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    with in_place("mysql://me@127.0.0.1", tmp_path), pytest.raises(SettingsError, match="names no database"):
        TableTarget("t", "a").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("ssl=true", "has the option 'ssl', which takes no text; ssl_ca=FILE asks for TLS"),
        ("sslmode=require", "has the option 'sslmode', which PyMySQL does not take"),
        ("ssl_ca=/no/such.pem", "the file /no/such.pem of the URL is not there"),
    ],
)
def test_a_url_that_pymysql_cannot_follow_is_told(house: AnyWarehouse, tmp_path: Path, option: str, words: str) -> None:
    """With the connection's name, and no traceback."""
    with in_place(f"{house.url}&{option}", tmp_path), pytest.raises(UnavailableError, match=words) as caught:
        TableTarget("t", "a").exists()

    assert "warehouse" in str(caught.value)


def test_another_driver_is_refused(tmp_path: Path) -> None:
    """Whatever the guard and the session need is PyMySQL's."""
    with pytest.raises(SettingsError, match="PyMySQL"):
        _ = AnyWarehouse("mysql+mysqldb://me@127.0.0.1/dw", tmp_path).database


def test_without_pymysql_the_pip_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2, before anything runs."""
    monkeypatch.setattr("etlctl.db.dialects.mysql.dialect.find_spec", lambda name: None)

    with pytest.raises(SettingsError, match=r'pip install "etlctl\[mysql\]"'):
        _ = AnyWarehouse("mysql://me@127.0.0.1/dw", tmp_path).database


def test_a_query_names_its_own_line(house: AnyWarehouse) -> None:
    """The server counts lines; those of ours before it do not count."""
    with pytest.raises(QueryError, match="at line 3"), house.database.reading("q") as connection:
        house.dialect.result_types(connection, "SELECT 1\nAS a,\n2 AS b c d", {}, without_parameters="")


def test_a_lock_that_is_held_is_given_up_in_time(mysql_url: str, tmp_path: Path) -> None:
    """F19: LockTimeoutError after lock_timeout_s, with nothing of the load kept."""
    with in_place(mysql_url, tmp_path, lock_timeout_s=1) as house:
        house.write("CREATE TABLE t (k int PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO t VALUES (1)")
        with house.driver() as other:
            other.cursor().execute("UPDATE t SET k = 2")

            with pytest.raises(LockTimeoutError), TableTarget("t", "a").transaction() as connection:
                connection.exec_driver_sql("INSERT INTO t VALUES (9)")
                connection.exec_driver_sql("DELETE FROM t WHERE k < 9")

        assert house.ask("SELECT k FROM t") == [(2,)] and house.markers() == []


def test_a_deadlock_is_transient_also_when_user_code_swallows_it(house: AnyWarehouse) -> None:
    """F20: the server has rolled the victim back; what it says afterwards must not be committed."""
    house.write("CREATE TABLE t (k int PRIMARY KEY, v int) ENGINE=InnoDB", "INSERT INTO t VALUES (1, 0), (2, 0)")
    house.write("CREATE TABLE heavy (k int) ENGINE=InnoDB", "INSERT INTO heavy VALUES (1)")
    TableTarget("t", "before").touch()
    has_lock, may_go_on = threading.Event(), threading.Event()

    def other() -> None:
        with house.driver() as connection:
            cursor = connection.cursor()
            cursor.execute("INSERT INTO heavy SELECT seq FROM seq_1_to_5000")  # the lighter one is the victim
            cursor.execute("UPDATE t SET v = 9 WHERE k = 2")
            has_lock.set()
            may_go_on.wait(20)
            cursor.execute("UPDATE t SET v = 9 WHERE k = 1")

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(TransientError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("UPDATE t SET v = 1 WHERE k = 1")
        has_lock.wait(20)
        may_go_on.set()
        time.sleep(0.3)
        with pytest.raises(sa.exc.OperationalError, match="1213"):
            connection.exec_driver_sql("UPDATE t SET v = 1 WHERE k = 2")
    thread.join(20)

    assert house.ask("SELECT k, v FROM t ORDER BY k") == [(1, 9), (2, 9)]
    assert [row[0] for row in house.markers()] == ["before"]


def kill(house: AnyWarehouse, session: int) -> None:
    with house.driver() as connection:
        connection.cursor().execute(f"KILL {session}")


@pytest.mark.parametrize("moment", ["before a statement", "before the commit"])
def test_a_session_that_is_killed_is_a_lost_connection(house: AnyWarehouse, moment: str) -> None:
    """F13: the whole transaction may go well another time; and it does."""
    house.write("CREATE TABLE t (k int) ENGINE=InnoDB")
    target = TableTarget("t", "a")

    with pytest.raises(TransientError), target.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        kill(house, connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())
        if moment == "before a statement":
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")
    with target.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (3)")

    assert house.ask("SELECT k FROM t") == [(3,)]


def test_a_statement_that_takes_too_long_is_stopped(mysql_url: str, tmp_path: Path) -> None:
    """F22: by the server, after statement_timeout_s, and not tried again."""
    with in_place(mysql_url, tmp_path, statement_timeout_s=0.5) as house:
        reading = house.database.reading("q")
        with pytest.raises(QueryError, match="statement_timeout_s"), reading as connection:
            connection.exec_driver_sql("SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_100000 b")


def test_too_many_connections_may_go_well_later(house: AnyWarehouse, mariadb_server: Mysql, tmp_path: Path) -> None:
    """F23."""
    database = sa.make_url(house.url).database
    user = f"u_{database[-12:]}" if database else ""
    mariadb_server.ask(f"CREATE USER {user}@'%' WITH MAX_USER_CONNECTIONS 1")
    mariadb_server.ask(f"GRANT ALL ON {database}.* TO {user}@'%'")
    try:
        url = sa.make_url(house.url).set(username=user)
        opening = in_place(url.render_as_string(hide_password=False), tmp_path)
        with opening as one, one.database.reading("q"), pytest.raises(TransientError, match="connection"):
            TableTarget("t", "a", one.url).exists()
    finally:
        mariadb_server.ask(f"DROP USER {user}@'%'")


WAYS_TO_FAIL: dict[str, tuple[Callable[[sa.Connection], Any], type[EtlctlError], str]] = {
    "no such table": (lambda c: c.exec_driver_sql("SELECT * FROM nowhere"), QueryError, "nowhere"),
    "no such column": (lambda c: c.exec_driver_sql("SELECT nothing FROM t"), QueryError, "nothing"),
    "NULL": (lambda c: c.exec_driver_sql("INSERT INTO t VALUES (NULL, 'a')"), BadDataError, "'k'"),
    "duplicate": (lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1,'a'),(1,'a')"), BadDataError, "Duplicate"),
    "too long": (lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1, 'abcdef')"), BadDataError, "'v'"),
    "no integer": (lambda c: c.exec_driver_sql("INSERT INTO t VALUES ('x', 'a')"), BadDataError, "`k`"),
    "out of range": (lambda c: c.exec_driver_sql("INSERT INTO t VALUES (99999999999, 'a')"), BadDataError, "'k'"),
    "by zero": (lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1 / 0, 'a')"), BadDataError, "0"),
}


@pytest.mark.parametrize("way", WAYS_TO_FAIL)
def test_nothing_is_cut_or_made_zero(house: AnyWarehouse, way: str) -> None:
    """Strict mode, whatever the server's own is; the sentence names the column."""
    house.write("CREATE TABLE t (k int PRIMARY KEY, v varchar(3)) ENGINE=InnoDB")
    act, kind, words = WAYS_TO_FAIL[way]

    with pytest.raises(kind, match="t on warehouse") as caught, TableTarget("t", "a").transaction() as connection:
        act(connection)

    assert words in str(caught.value) and house.count("t") == 0
