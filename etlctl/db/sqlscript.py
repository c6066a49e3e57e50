"""A script of SQL as statements: where each ends, and what it begins with. Runs none, and binds no value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from etlctl.db.sqltext import SQLITE, Flavour, Kind, Token, significant, tokens


class Statement(NamedTuple):
    """One statement of a script."""

    text: str
    """Without the `;` that ends it, and without what stands before it."""
    line: int
    """At which it begins, counted from the line at which the script does."""
    word: str
    """The keyword it begins with, in upper case."""


def split_statements(
    sql: str, *, flavour: Flavour = SQLITE, place: str = "query", line: int = 1
) -> tuple[Statement, ...]:
    """The statements of a script in order; empty ones are left out.

    A `;` in a string, a comment or a body between BEGIN and END (a trigger of SQLite, by the rule of its own
    sqlite3_complete(); a function with BEGIN ATOMIC of PostgreSQL) ends nothing.
    """
    found: list[Statement] = []
    current: list[Token] = []
    for token in [*tokens(sql, flavour=flavour, place=place, line=line), Token(Kind.SYMBOL, ";", 0)]:
        is_end = token.kind is Kind.SYMBOL and token.text == ";"
        if is_end and (token.line == 0 or not _is_in_body(significant(current))):
            found.extend(_statement(current))
            current = []
        else:
            current.append(token)
    return tuple(found)


def _statement(pieces: Sequence[Token]) -> Iterator[Statement]:
    first = next((index for index, token in enumerate(pieces) if token in significant([token])), None)
    if first is not None:
        text = "".join(token.text for token in pieces[first:]).rstrip()
        yield Statement(text, pieces[first].line, pieces[first].word)


def _is_in_body(pieces: Sequence[Token]) -> bool:
    words = [token.word or token.text for token in pieces]
    if words[:1] == ["EXPLAIN"]:
        words = words[1:]
    if words[:1] != ["CREATE"]:
        return False
    kind = next((word for word in words[1:4] if word not in ("TEMP", "TEMPORARY", "OR", "REPLACE")), "")
    if kind == "TRIGGER":
        return words[-2:] != [";", "END"]
    if kind in ("FUNCTION", "PROCEDURE") and "ATOMIC" in words:
        return words.count("BEGIN") + words.count("CASE") > words.count("END")
    return False
