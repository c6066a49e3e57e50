"""Which statements end a transaction, by their text alone."""

from __future__ import annotations

import pytest

from etlctl.db.dialects.mysql.commits import ending

ENDING = {
    "COMMIT": "COMMIT",
    "commit work and chain": "COMMIT",
    "  -- well\n# then\n/* so */ Commit": "COMMIT",
    "/*!COMMIT*/": "COMMIT",
    "/*!50000 COMMIT */": "COMMIT",
    "/*M!100000 COMMIT */": "COMMIT",
    "/*! */ /* x */ COMMIT": "COMMIT",
    "; COMMIT": "COMMIT",
    "ROLLBACK": "ROLLBACK",
    "ROLLBACK WORK AND CHAIN": "ROLLBACK",
    "BEGIN": "BEGIN",
    "BEGIN NOT ATOMIC COMMIT; END": "BEGIN",
    "START TRANSACTION READ ONLY": "START TRANSACTION",
    "start/**/transaction": "START TRANSACTION",
    "XA START 'x'": "XA",
    "SET autocommit = 1": "SET autocommit",
    "SET SESSION autocommit=ON": "SET autocommit",
    "SET @x = 1, @@session.autocommit := 1": "SET autocommit",
    "SET `autocommit` = 1": "SET autocommit",
    "/*! SET autocommit = 1 */": "SET autocommit",
    "SET STATEMENT max_statement_time = 1 FOR COMMIT": "COMMIT",
    "SET PASSWORD = 'x'": "SET PASSWORD",
    "CREATE TABLE t (a int)": "CREATE TABLE",
    "CREATE OR REPLACE TABLE t (a int)": "CREATE OR",
    "create index i on t (a)": "CREATE INDEX",
    "ALTER TABLE t ADD b int": "ALTER TABLE",
    "DROP TABLE t": "DROP TABLE",
    "TRUNCATE t": "TRUNCATE t".upper(),
    "RENAME TABLE a TO b": "RENAME TABLE",
    "GRANT SELECT ON t TO u": "GRANT SELECT",
    "ANALYZE LOCAL TABLE t": "ANALYZE TABLE",
    "OPTIMIZE TABLE t": "OPTIMIZE TABLE",
    "LOCK TABLES t WRITE": "LOCK TABLES",
    "UNLOCK TABLES": "UNLOCK TABLES",
    "FLUSH TABLES": "FLUSH TABLES",
    "LOAD INDEX INTO CACHE t": "LOAD INDEX",
    "USE other": "USE",
    "PREPARE s FROM 'COMMIT'": "COMMIT",
    'EXECUTE IMMEDIATE "DROP TABLE t"': "DROP TABLE",
}

HARMLESS = [
    "",
    "SELECT 1",
    "SELECT 'COMMIT'",
    "(SELECT 1)",
    "INSERT INTO commits VALUES ('COMMIT; DROP TABLE t')",
    "/* COMMIT */ SELECT 1",
    "-- COMMIT\nSELECT 1",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "ROLLBACK WORK TO SAVEPOINT a",
    "RELEASE SAVEPOINT a",
    "CREATE TEMPORARY TABLE t (a int)",
    "CREATE OR REPLACE TEMPORARY TABLE t (a int)",
    "DROP TEMPORARY TABLE t",
    "DROP PREPARE s",
    "DEALLOCATE PREPARE s",
    "SET @autocommit_like = 1",
    "SET @x = 'autocommit'",
    "ANALYZE SELECT 1",
    "LOAD DATA INFILE 'x' INTO TABLE t",
    "PREPARE s FROM 'SELECT 1'",
    "PREPARE s FROM @text",
    "DO GET_LOCK('a', 1)",
    "CALL p()",
    "'never ends",
]


@pytest.mark.parametrize("statement", ENDING)
def test_ending_names_what_would_commit(statement: str) -> None:
    """However it is written: in small letters, behind comments, in comments that the server runs."""
    assert ending(statement) == ENDING[statement]
    assert ending(statement.encode()) == ENDING[statement]


@pytest.mark.parametrize("statement", HARMLESS)
def test_ending_lets_the_rest_pass(statement: str) -> None:
    assert ending(statement) is None


def test_ending_looks_at_the_beginning_alone() -> None:
    """A large INSERT costs nothing."""
    values = ", ".join("('COMMIT')" for _ in range(200_000))

    assert ending(f"INSERT INTO t VALUES {values}") is None
