"""What the tests' Redshift refuses of PostgreSQL, by Redshift's own SQLSTATEs, and what it lets pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.redshift.commands import copy_command, unload_command
from servers.redshift.errors import Refusal
from servers.redshift.standin import Standin
from servers.redshift.statements import step
from servers.redshift.trying import ask
from servers.redshift.words import statements, tokens

MERGE = "MERGE INTO t USING u ON t.a = u.a WHEN"
STARTS = [
    *("select", "insert into t", "update t", "delete", "merge into t", "with x", "create table t", "create", "lock"),
    *("alter table t", "truncate", "set", "show", "begin", "vacuum", "declare c", "analyze", "reset", "commit", ""),
]
WORDS = [
    *("table", "t", "(", ")", ",", "a", "int", "varchar", "primary", "key", "unique", "as", "select", "from", "values"),
    *("1", "'x'", "in", "on", "to", "set", "into", "default", "identity", "generated", "add", "drop", "column", "type"),
    *("encode", "distkey", "sortkey", "append", "using", "when", "not", "matched", "then", "for", "cursor", "like"),
    *("references", "role", "csv", "iam_role", "null", "delimiter", "manifest", "json", "'s3://bucket/key'", "format"),
    *("maxfilesize", "credentials", "parallel", "quote", "update", "delete", "constraint", "check", "collate"),
]
TYPES = ["json", "jsonb", "uuid", "bytea", "serial", "bigserial", "int[]", "inet", "money", "interval", "xml"]


@pytest.fixture(scope="module")
def database(redshift_standin: Standin) -> Iterator[str]:
    """One for all the tests here: none of them commits."""
    url = redshift_standin.new_database()
    yield url
    redshift_standin.drop_database(url)


@pytest.fixture(scope="module")
def opened(redshift_standin: Standin, database: str) -> Iterator[Any]:
    with closing(psycopg2.connect(redshift_standin.dsn(database))) as connection:
        ask(connection, "CREATE TABLE t (a int, b varchar(8)); CREATE TABLE u (a int, b varchar(8))")
        connection.commit()
        yield connection


@pytest.fixture
def connection(opened: Any) -> Iterator[Any]:
    yield opened
    opened.rollback()


@pytest.mark.parametrize(
    ("sql", "code", "message"),
    [
        ("SAVEPOINT x", "0A000", 'SQL command "SAVEPOINT x" not supported.'),
        ("RELEASE SAVEPOINT x", "0A000", "not supported"),
        ("ROLLBACK TO SAVEPOINT x", "0A000", "not supported"),
        ("ROLLBACK TO x", "0A000", "not supported"),
        ("INSERT INTO t VALUES (1, 'x') RETURNING a", "42601", 'syntax error at or near "RETURNING"'),
        ("DELETE FROM t RETURNING *", "42601", "RETURNING"),
        ("INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING", "42601", "syntax error"),
        ("SELECT * FROM t FOR UPDATE", "0A000", "FOR UPDATE"),
        ("SELECT * FROM t FOR SHARE", "0A000", "FOR UPDATE"),
        ("SELECT pg_advisory_xact_lock(1)", "42883", "function pg_advisory_xact_lock"),
        ("SELECT pg_sleep(1)", "42883", "pg_sleep"),
        ("SELECT to_regclass('t')", "42883", "to_regclass"),
        ("SELECT txid_current()", "42883", "txid_current"),
        ("SELECT DISTINCT ON (a) a FROM t", "0A000", "DISTINCT ON"),
        ("SELECT count(*) FILTER (WHERE a > 1) FROM t", "42601", 'near "("'),
        ("SELECT * FROM t, LATERAL (SELECT 1) x", "42601", "LATERAL"),
        ("SELECT * FROM (VALUES (1), (2)) x", "42601", "VALUES"),
        ("SELECT a FROM t WHERE a = ANY (ARRAY[1, 2])", "0A000", "ARRAY"),
        ("WITH x AS (DELETE FROM t WHERE a = 1) SELECT 1", "42601", "DELETE"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "42601", "INSERT"),
        ("INSERT INTO t SELECT generate_series(1, 3), 'x'", "0A000", "Specified types or functions"),
        ("SET lock_timeout TO 5", "42704", 'unrecognized configuration parameter "lock_timeout"'),
        ("SET LOCAL idle_in_transaction_session_timeout = 5", "42704", "unrecognized"),
        ("SELECT set_config('lock_timeout', '5', true)", "42704", "unrecognized"),
        ("SHOW server_version_num", "42704", 'unrecognized configuration parameter "server_version_num"'),
        ("LOCK TABLE t IN EXCLUSIVE MODE", "42601", "IN"),
        ("LOCK t NOWAIT", "42601", "NOWAIT"),
        ("TRUNCATE t, u", "42601", '","'),
        ("TRUNCATE t CASCADE", "42601", "CASCADE"),
        ("CREATE TEMP TABLE x (a int) ON COMMIT DROP", "42601", "ON"),
        ("CREATE UNLOGGED TABLE x (a int)", "42601", "UNLOGGED"),
        ("CREATE TABLE x (a int, UNIQUE (a) DEFERRABLE)", "42601", "DEFERRABLE"),
        ("CREATE TABLE x (a int CHECK (a > 1))", "0A000", "CHECK"),
        ("CREATE TABLE x (a int) PARTITION BY HASH (a)", "42601", "PARTITION"),
        ("CREATE TABLE x (LIKE t INCLUDING ALL)", "42601", "ALL"),
        ("CREATE TABLE x (a varchar(65536))", "22023", "cannot exceed 65535"),
        ("CREATE UNIQUE INDEX i ON t (a)", "0A000", "not supported"),
        ("CREATE INDEX i ON t (a)", "0A000", "not supported"),
        ("CREATE SEQUENCE s", "0A000", "not supported"),
        ("DO $$ BEGIN END $$", "42601", "DO"),
        ("DISCARD ALL", "42601", "DISCARD"),
        ("LISTEN x", "0A000", "not supported"),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS c int", "42601", "IF"),
        ("ALTER TABLE t ADD COLUMN c int, ADD COLUMN d int", "42601", '","'),
        ("ALTER TABLE IF EXISTS t RENAME TO v", "42601", "IF"),
        ("ALTER TABLE t ALTER COLUMN a TYPE bigint", "0A000", "size of a VARCHAR"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "0A000", "CURSOR"),
        ("DECLARE c SCROLL CURSOR FOR SELECT 1", "0A000", "CURSOR"),
        ("COPY t TO STDOUT", "0A000", "UNLOAD"),
        ("COPY (SELECT 1) TO STDOUT", "0A000", "UNLOAD"),
        ("SELECT '{}'::jsonb", "42704", "jsonb"),
        (f"{MERGE} MATCHED THEN DELETE", "42601", "exactly one"),
        (
            f"{MERGE} MATCHED AND t.a > 1 THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "42601",
            "AND",
        ),
        *((f"CREATE TABLE x (a {kind})", "0A000", f'"x.a" has unsupported type "{kind}"') for kind in TYPES),
    ],
)
def test_standin_refuses(connection: Any, sql: str, code: str, message: str) -> None:
    with pytest.raises(psycopg2.Error) as caught:
        ask(connection, sql)

    assert caught.value.pgcode == code
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ' RETURNING ON CONFLICT FOR UPDATE SAVEPOINT ', \"a\" AS \"for\" FROM t -- RETURNING",
        "SELECT position('x' IN 'y'), substring('abc' FROM 2 FOR 1)",
        "SELECT getdate(), SYSDATE, nvl(NULL, 1), len('abc'), pg_backend_pid()",
        "SELECT * FROM generate_series(1, 3)",
        "SET query_group TO 'etlctl'; SHOW query_group; RESET query_group",
        "SET statement_timeout TO 60000",
        "SET enable_case_sensitive_identifier TO on",
        "DECLARE c CURSOR FOR SELECT 1",
        "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
        "DELETE t WHERE a = 1",
        "WITH x AS (SELECT 1 AS a) DELETE FROM t USING x WHERE t.a = x.a",
        f"{MERGE} MATCHED THEN UPDATE SET b = u.b WHEN NOT MATCHED THEN INSERT VALUES (u.a, u.b)",
        "CREATE TABLE x (a super, b varbyte, c timestamptz, d double precision, e char(3), f nvarchar(max), g timetz)",
        "CREATE TEMP TABLE x (LIKE t)",
        "CREATE TABLE x (a int DEFAULT (1 + 2) NOT NULL ENCODE raw, b varchar DEFAULT 'a,b' || ')')",
        "CREATE VIEW v AS SELECT 1 AS a",
        "CREATE SCHEMA s",
        "ALTER TABLE t ADD PRIMARY KEY (a)",
        "ALTER TABLE t ALTER DISTKEY a",
        "ALTER TABLE t ALTER COLUMN b ENCODE zstd",
        "ALTER TABLE t RENAME TO v",
        "LOCK t, u",
        "LOCK TABLE t",
        "ANALYZE t",
        "GRANT SELECT ON t TO PUBLIC",
        "",
    ],
)  # fmt: skip
def test_standin_lets_pass(connection: Any, sql: str) -> None:
    with connection.cursor() as cursor:
        if not sql:
            with pytest.raises(psycopg2.ProgrammingError, match="can't execute an empty query"):
                cursor.execute(sql)
            return

        cursor.execute(sql)


@given(
    text=st.text("().,;'\"$\\- a1", max_size=8), start=st.sampled_from(STARTS), words=st.lists(st.sampled_from(WORDS))
)
def test_any_text_is_understood_or_refused(text: str, start: str, words: list[str]) -> None:
    """A text that breaks the stand-in itself would end the session."""
    for sql in statements(" ".join([start, *words, text])):
        with suppress(Refusal):
            step(sql)
    with suppress(Refusal):
        copy_command(tokens(" ".join(["copy", *words, text])))
    with suppress(Refusal):
        unload_command(tokens(" ".join(["unload (", text, *words])))


def test_a_setting_in_the_startup_packet_is_looked_at_too(redshift_standin: Standin, database: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match='unrecognized configuration parameter "lock_timeout"'):
        psycopg2.connect(redshift_standin.dsn(database), options="-c lock_timeout=5")

    with closing(psycopg2.connect(redshift_standin.dsn(database), options="-c statement_timeout=5000")) as connection:
        assert ask(connection, "SHOW statement_timeout") == [("5s",)]
