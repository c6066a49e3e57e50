"""Scripts of several statements."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.sqlscript import Statement, split_statements
from etlctl.db.sqltext import MYSQL, POSTGRESQL, Flavour, tokens
from etlctl.errors import QueryError


def split_by_sqlite(sql: str) -> list[str]:
    """The script cut at each `;` where SQLite says that a statement is complete; the rest is the last one."""
    found, start = [], 0
    for position, letter in enumerate(sql):
        if letter == ";" and sqlite3.complete_statement(sql[start : position + 1]):
            found.append(sql[start:position])
            start = position + 1
    return [*found, sql[start:]]


def without_blanks(sql: str) -> str:
    """What is left without spaces and comments: nothing, for an empty statement."""
    return "".join(token.text for token in tokens(sql) if token.kind.value not in ("space", "comment"))


piece = st.sampled_from(
    ["SELECT 1", ";", "';'", '";"', "[;]", "`;`", "-- ;\n", "/* ; */", " ", "\n", "INSERT INTO t VALUES (':a;', :b)",
     "CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = 1", "CREATE TEMP TRIGGER y BEGIN SELECT CASE 1 WHEN 2",
     "END", "; END", "CASE", "CREATE", "TRIGGER", "TEMP", "EXPLAIN ", "BEGIN", "create table u (a, b)"]
)  # fmt: skip


@given(st.lists(piece, max_size=12).map(" ".join))
def test_split_statements_cuts_where_sqlite_does(sql: str) -> None:
    """A script is cut exactly where SQLite's own sqlite3_complete() sees a statement end."""
    expected = [without_blanks(part) for part in split_by_sqlite(sql)]

    found = [without_blanks(statement.text) for statement in split_statements(sql)]

    assert found == [part for part in expected if part]


def test_split_statements_knows_lines_and_words() -> None:
    """Each statement has its text, the line it begins at and its first word."""
    script = "-- first\n\nDELETE FROM t; ;\n/* more */ insert into t\nVALUES (1); -- end\n"

    assert split_statements(script) == (
        Statement("DELETE FROM t", 3, "DELETE"),
        Statement("insert into t\nVALUES (1)", 4, "INSERT"),
    )


def test_split_statements_counts_from_the_line_it_is_told() -> None:
    """A script that begins in the middle of a file has its lines counted there."""
    assert [statement.line for statement in split_statements("a;\nb", line=10)] == [10, 11]


@pytest.mark.parametrize("sql", ["", " ;; ", "-- nothing\n", "/* ; */;"])
def test_split_statements_leaves_empty_ones_out(sql: str) -> None:
    """Nothing but blanks and comments is no statement."""
    assert split_statements(sql) == ()


@pytest.mark.parametrize(
    ("sql", "flavour", "count"),
    [
        ("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN a; b; END $$; SELECT 1", POSTGRESQL, 2),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 2; END; x",
         POSTGRESQL, 2),
        ("DO $x$ BEGIN a; END $x$; SELECT E'\\';'", POSTGRESQL, 2),
        ("SELECT 'a\\';b'; SELECT 1 # ;\n", MYSQL, 2),
    ],
)  # fmt: skip
def test_split_statements_knows_bodies_of_other_databases(sql: str, flavour: Flavour, count: int) -> None:
    """Dollar quotes, BEGIN ATOMIC and backslashes are seen through where the database has them."""
    assert len(split_statements(sql, flavour=flavour)) == count


def test_split_statements_names_the_place_of_an_open_quote() -> None:
    """An open quote is an error at its line, before anything runs."""
    with pytest.raises(QueryError, match=r"x\.sql:2: the quote ' opened here never ends"):
        split_statements("SELECT 1;\nSELECT 'a;", place="x.sql")
