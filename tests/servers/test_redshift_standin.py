"""The tests' Redshift, as a server: sessions, tables, transactions, accidents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2 import errors
from psycopg2.extensions import QueryCanceledError

from servers.postgres import Postgres
from servers.redshift.standin import Standin
from servers.redshift.trying import Connect, ask, until
from servers.s3 import S3Service, split_url

CLIENT = """
import psycopg2, sys, time
connection = psycopg2.connect(sys.argv[1])
connection.cursor().execute(sys.argv[2])
print("done", flush=True)
time.sleep(60)
"""


def behind(postgres_server: Postgres, redshift: Standin, url: str, sql: str) -> list[tuple[Any, ...]]:
    return postgres_server.ask(sql, url=redshift.behind(url))


def test_standin_tells_that_it_is_redshift(redshift_url: str) -> None:
    engine = sa.create_engine(redshift_url)

    with engine.connect() as connection:
        version = connection.scalar(sa.text("SELECT version()"))
        raw: Any = connection.connection.driver_connection

    assert "PostgreSQL 8.0.2" in str(version) and "Redshift 1.0." in str(version)
    assert raw.server_version == 80002
    assert raw.get_parameter_status("standard_conforming_strings") is None
    assert engine.dialect.name == "redshift"
    engine.dispose()


def test_standin_refuses_tls_and_goes_on_without(redshift: Standin, redshift_url: str) -> None:
    url = redshift.dsn(redshift_url).replace("sslmode=disable", "sslmode=prefer")

    connection = psycopg2.connect(url)

    assert ask(connection, "SELECT 1") == [(1,)]
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="does not support SSL"):
        psycopg2.connect(url.replace("prefer", "require"))


@pytest.mark.parametrize("text", ["it's", "back\\slash", "\\'; DROP TABLE x --", "a\nb\tc", "ü€", '"', "%s", "\\N"])
def test_literals_of_psycopg2_arrive_letter_by_letter(connect: Connect, text: str) -> None:
    connection = connect()

    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", (text,))

        assert cursor.fetchone() == (text,)


def test_a_text_that_is_no_utf8_is_refused(connect: Connect) -> None:
    connection = connect()

    with pytest.raises(errors.CharacterNotInRepertoire), connection.cursor() as cursor:
        cursor.execute(b"SELECT '\xff'")

    connection.rollback()
    assert ask(connection, "SELECT 1") == [(1,)]


def test_what_clients_sent_is_kept_for_tests(connect: Connect, redshift: Standin) -> None:
    connection = connect()
    ask(connection, "SELECT 'seen'")

    pid = ask(connection, "SELECT pg_backend_pid()")[0][0]

    assert [text for session, text in redshift.log if session == pid][:2] == ["BEGIN", "SELECT 'seen'"]


def test_keys_are_taken_and_not_enforced(connect: Connect, redshift: Standin) -> None:
    connection = connect()
    ask(connection, "CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE, c int REFERENCES u (x), UNIQUE (a, b))")

    ask(connection, "INSERT INTO t VALUES (1, 1, 9), (1, 1, 9)")

    assert ask(connection, "SELECT count(*) FROM t") == [(2,)]
    assert next(iter(redshift.said.values())).keys == [
        ("primary key", ("a",)),
        ("unique", ("b",)),
        ("foreign key", ("c",)),
        ("unique", ("a", "b")),
    ]


def test_a_primary_key_is_not_null_all_the_same(connect: Connect) -> None:
    connection = connect()
    ask(connection, "CREATE TABLE t (a int, b int, PRIMARY KEY (a))")

    with pytest.raises(errors.NotNullViolation):
        ask(connection, "INSERT INTO t VALUES (NULL, 1)")


def test_layout_of_a_table_is_noted(connect: Connect, redshift: Standin) -> None:
    ask(
        connect(),
        """CREATE TABLE IF NOT EXISTS public.t (
            a int ENCODE az64 DISTKEY NOT NULL, b date DEFAULT '2020-01-01' ENCODE zstd
        ) BACKUP NO DISTSTYLE KEY COMPOUND SORTKEY (b, a)""",
    )

    said = next(iter(redshift.said.values()))

    assert (said.distkey, said.diststyle, said.sortkey, said.sortstyle) == ("a", "key", ("b", "a"), "compound")
    assert said.encodings == {"a": "az64", "b": "zstd"}
    assert said.backup == "no"


def test_create_table_as_takes_a_layout(connect: Connect, redshift: Standin) -> None:
    connection = connect()

    ask(connection, "CREATE TABLE t DISTKEY(a) SORTKEY(a) AS SELECT 1 AS a, 'x'::varchar(3) AS b")

    assert ask(connection, "SELECT * FROM t") == [(1, "x")]
    assert next(iter(redshift.said.values())).distkey == "a"


def test_identity_counts(connect: Connect) -> None:
    connection = connect()
    ask(connection, "CREATE TABLE t (id bigint IDENTITY(10, 5), a int)")

    ask(connection, "INSERT INTO t (a) VALUES (1), (2)")

    assert ask(connection, "SELECT id FROM t ORDER BY id") == [(10,), (15,)]


@pytest.mark.parametrize(
    "make",
    [
        "CREATE TABLE t (a varchar(4))",
        "CREATE TABLE s (a varchar(4)); CREATE TABLE t (LIKE s)",
        "CREATE TABLE t AS SELECT 'x'::varchar(4) AS a",
        "CREATE TABLE t (b int); ALTER TABLE t ADD COLUMN a varchar(4); ALTER TABLE t DROP COLUMN b",
        "CREATE TABLE t (a varchar(2)); ALTER TABLE t ALTER COLUMN a TYPE varchar(4)",
    ],
)
def test_varchar_counts_bytes(connect: Connect, make: str) -> None:
    connection = connect()
    ask(connection, make)
    ask(connection, "INSERT INTO t VALUES ('éé')")
    connection.commit()

    with pytest.raises(errors.InternalError_, match="Value too long for character type"):
        ask(connection, "INSERT INTO t VALUES ('ééé')")


def test_text_and_decimal_are_as_small_as_redshifts(connect: Connect) -> None:
    connection = connect()
    ask(connection, "CREATE TABLE t (a text, b decimal)")
    ask(connection, "INSERT INTO t VALUES ('x', 1.6)")
    assert ask(connection, "SELECT b::varchar FROM t") == [("2",)]

    with pytest.raises(errors.InternalError_, match="Value too long"):
        ask(connection, f"INSERT INTO t (a) VALUES ('{'x' * 257}')")


def test_a_statement_of_several_is_one_transaction(connect: Connect) -> None:
    connection = connect()
    connection.autocommit = True

    with pytest.raises(errors.UndefinedTable):
        ask(connection, "CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT * FROM nothing_here")
    with pytest.raises(errors.UndefinedTable):
        ask(connection, "SELECT * FROM t")

    ask(connection, "CREATE TABLE t (a int); BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2)")
    assert ask(connection, "SELECT count(*) FROM t") == [(2,)]


def test_our_refusal_breaks_the_transaction_like_the_servers(connect: Connect) -> None:
    connection = connect()
    ask(connection, "CREATE TABLE t (a int)")
    with pytest.raises(errors.FeatureNotSupported):
        ask(connection, "SAVEPOINT x")

    with pytest.raises(errors.InFailedSqlTransaction):
        ask(connection, "SELECT 1")

    connection.rollback()
    with pytest.raises(errors.UndefinedTable):
        ask(connection, "SELECT * FROM t")


def test_truncate_commits_what_stands_before_it(connect: Connect) -> None:
    connection, other = connect(), connect()
    ask(connection, "CREATE TABLE t (a int)")
    ask(connection, "CREATE TABLE u (a int)")
    connection.commit()
    ask(connection, "INSERT INTO t VALUES (1)")

    ask(connection, "TRUNCATE u")
    connection.rollback()

    assert ask(other, "SELECT count(*) FROM t") == [(1,)]


def test_append_is_refused_inside_a_transaction(connect: Connect) -> None:
    connection = connect()
    ask(connection, "CREATE TABLE t (a int); CREATE TABLE u (a int); INSERT INTO u VALUES (1)")
    with pytest.raises(errors.ActiveSqlTransaction, match="APPEND cannot run inside"):
        ask(connection, "ALTER TABLE t APPEND FROM u")
    connection.rollback()
    connection.autocommit = True
    ask(connection, "CREATE TABLE t (a int); CREATE TABLE u (a int); INSERT INTO u VALUES (1)")

    ask(connection, "ALTER TABLE t APPEND FROM u")

    assert ask(connection, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)") == [(1, 0)]


def test_vacuum_runs_outside_of_transactions_only(connect: Connect) -> None:
    connection = connect()
    connection.autocommit = True
    ask(connection, "CREATE TABLE t (a int)")

    ask(connection, "VACUUM DELETE ONLY t TO 75 PERCENT BOOST")
    ask(connection, "ANALYZE t PREDICATE COLUMNS")

    connection.autocommit = False
    with pytest.raises(errors.ActiveSqlTransaction, match="VACUUM cannot run inside a transaction block"):
        ask(connection, "VACUUM t")


def test_a_cancel_reaches_the_session_behind(connect: Connect) -> None:
    one, two = connect(), connect()
    ask(one, "CREATE TABLE t (a int)")
    one.commit()
    ask(one, "LOCK t")
    threading.Timer(0.3, two.cancel).start()

    with pytest.raises(QueryCanceledError, match=r"Query \(\d+\) cancelled on user's request"):
        ask(two, "SELECT * FROM t")


def test_a_wait_for_a_lock_ends_by_statement_timeout(connect: Connect) -> None:
    one, two = connect(), connect()
    ask(one, "CREATE TABLE t (a int)")
    one.commit()
    ask(one, "LOCK t")
    ask(two, "SET statement_timeout TO 200")

    with pytest.raises(QueryCanceledError, match="cancelled on user's request"):
        ask(two, "LOCK t")


def test_a_killed_client_leaves_no_session_and_no_rows(
    redshift: Standin, redshift_url: str, connect: Connect, postgres_server: Postgres
) -> None:
    watcher = connect()
    ask(watcher, "CREATE TABLE t (a int)")
    watcher.commit()
    command = [sys.executable, "-c", CLIENT, redshift.dsn(redshift_url), "INSERT INTO t VALUES (1)"]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None and client.stdout.readline() == "done\n"

    os.kill(client.pid, signal.SIGKILL)
    client.communicate()

    ask(watcher, "INSERT INTO t VALUES (2)")  # the lock of the other is gone
    assert ask(watcher, "SELECT a FROM t") == [(2,)]


def test_a_client_killed_while_it_waits_leaves_no_session(
    redshift: Standin, redshift_url: str, connect: Connect, postgres_server: Postgres
) -> None:
    holder = connect()
    ask(holder, "CREATE TABLE t (a int)")
    holder.commit()
    ask(holder, "LOCK t")
    command = [sys.executable, "-c", CLIENT, redshift.dsn(redshift_url), "INSERT INTO t VALUES (1)"]
    client = subprocess.Popen(command)
    sessions = (
        "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    until(lambda: behind(postgres_server, redshift, redshift_url, sessions) == [(2,)])

    client.kill()
    client.wait()

    until(lambda: behind(postgres_server, redshift, redshift_url, sessions) == [(1,)])


def test_the_end_of_the_session_behind_reaches_the_client(
    redshift: Standin, redshift_url: str, connect: Connect, postgres_server: Postgres
) -> None:
    connection = connect()
    pid = ask(connection, "SELECT pg_backend_pid()")[0][0]

    behind(postgres_server, redshift, redshift_url, f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)):
        ask(connection, "SELECT 1")


def test_a_lost_reply_is_lost_after_the_commit(connect: Connect, redshift: Standin) -> None:
    connection, other = connect(), connect()
    ask(connection, "CREATE TABLE t (a int)")
    redshift.fault("^COMMIT", "lose_reply")

    with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)):
        connection.commit()

    assert redshift.struck
    assert ask(other, "SELECT count(*) FROM t") == [(0,)]


def test_a_session_killed_at_a_statement_has_not_run_it(connect: Connect, redshift: Standin) -> None:
    connection, other = connect(), connect()
    ask(connection, "CREATE TABLE t (a int)")
    redshift.fault("^commit", "kill")

    with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)):
        connection.commit()

    with pytest.raises(errors.UndefinedTable):
        ask(other, "SELECT count(*) FROM t")


def test_a_statement_can_be_made_to_fail_and_to_be_slow(connect: Connect, redshift: Standin) -> None:
    connection = connect()
    redshift.fault("select 1", "fail")
    with pytest.raises(errors.InternalError_, match="made on purpose"):
        ask(connection, "SELECT 1")
    connection.rollback()
    redshift.fault("select 1", "delay", delay_s=0.2)

    begin = time.monotonic()
    ask(connection, "SELECT 1")

    assert time.monotonic() - begin >= 0.2


def test_fixtures_of_staging_and_database_fit_together(
    redshift_url: str, redshift_staging: str, redshift_role: str, s3_server: S3Service
) -> None:
    bucket, prefix = split_url(redshift_staging)
    s3_server.put(bucket, f"{prefix}in", b"1|x\n")
    engine = sa.create_engine(redshift_url)

    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a int, b varchar)"))
        connection.execute(sa.text(f"COPY t FROM '{redshift_staging}in' IAM_ROLE '{redshift_role}'"))
        rows = connection.execute(sa.text("SELECT * FROM t")).fetchall()

    assert rows == [(1, "x")]
    engine.dispose()
