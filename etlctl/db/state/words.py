"""The few words in which SQLite, PostgreSQL and MySQL differ where the state database is concerned, and its parameters.

Statements of `db/state/` are plain SQL with `:name` for a bound value and `IN :name` for a list, on every database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Kind = Literal["sqlite", "postgresql", "mysql"]
Parameters = Mapping[str, Any]
_JSON = (list, dict)


class Words(NamedTuple):
    """What each kind of database calls what we need."""

    now: str
    """The database's own clock as an expression: seconds since 1970 in UTC, a double."""
    serial: str
    """The type and constraint of a primary key that counts by itself."""
    double: str
    text: str
    """Of any length."""
    name: str
    """Begins a type of texts that are equal only when they are the same: `{name}(64)`."""
    long_bytes: str
    table: str
    """What stands behind the last bracket of CREATE TABLE."""
    lock_rows: str
    """At the end of a SELECT whose rows are about to be changed: waits for nobody, leaves out what others hold."""
    wait_for_rows: str
    """The same, waiting for those who hold them."""
    share_rows: str
    """At the end of a SELECT: nobody changes its rows before the transaction ends."""


WORDS: Mapping[Kind, Words] = {
    "sqlite": Words(
        now="((julianday('now') - 2440587.5) * 86400.0)",
        serial="INTEGER PRIMARY KEY AUTOINCREMENT",
        double="DOUBLE",
        text="TEXT",
        name="VARCHAR",
        long_bytes="BLOB",
        table="",
        lock_rows="",  # BEGIN IMMEDIATE has them all
        wait_for_rows="",
        share_rows="",
    ),
    "postgresql": Words(
        now="CAST(extract(epoch FROM pg_catalog.clock_timestamp()) AS double precision)",
        serial="SERIAL PRIMARY KEY",
        double="DOUBLE PRECISION",
        text="TEXT",
        name="VARCHAR",
        long_bytes="BYTEA",
        table="",
        lock_rows=" FOR UPDATE SKIP LOCKED",
        wait_for_rows=" FOR UPDATE",
        share_rows=" FOR SHARE",
    ),
    "mysql": Words(
        now="(UNIX_TIMESTAMP(SYSDATE(6)) + 0e0)",  # NOW() would be the clock of the statement's beginning
        serial="INTEGER PRIMARY KEY AUTO_INCREMENT",
        double="DOUBLE",
        text="LONGTEXT",
        name="VARCHAR",
        long_bytes="MEDIUMBLOB",
        table=" ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        lock_rows=" FOR UPDATE SKIP LOCKED",
        wait_for_rows=" FOR UPDATE",
        share_rows=" LOCK IN SHARE MODE",
    ),
}

_PLACES = r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*`
    | (?P<list>\bIN\s+:(?P<listed>[A-Za-z_]\w*))
    | (?<!:):(?P<name>[A-Za-z_]\w*)
    | (?P<percent>%)
    """


@lru_cache(maxsize=512)
def for_sqlite(sql: str) -> str:
    """`IN :name` reads a list from a JSON text, so that a statement is the same for lists of every length."""
    return re.sub(_PLACES, _in_sqlite, sql, flags=re.VERBOSE | re.DOTALL)


@lru_cache(maxsize=512)
def for_server(sql: str) -> str:
    """`:name` as psycopg2 and PyMySQL write it."""
    return re.sub(_PLACES, _in_python_format, sql, flags=re.VERBOSE | re.DOTALL)


def sqlite_values(parameters: Parameters) -> Parameters:
    """Lists and dicts as JSON."""
    return {name: json.dumps(value) if type(value) in _JSON else value for name, value in parameters.items()}


def server_values(parameters: Parameters) -> Parameters:
    """Lists as tuples, which both drivers write in brackets."""
    return {name: tuple(value) if type(value) is list else value for name, value in parameters.items()}


def _in_sqlite(match: re.Match[str]) -> str:
    return f"IN (SELECT value FROM json_each(:{match['listed']}))" if match["list"] else match[0]


def _in_python_format(match: re.Match[str]) -> str:
    if match["list"]:
        return f"IN %({match['listed']})s"
    if match["name"]:
        return f"%({match['name']})s"
    return match[0].replace("%", "%%")
