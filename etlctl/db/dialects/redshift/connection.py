"""psycopg2's connection to Redshift, and what keeps user code from ending a load there.

It is PostgreSQL's, with what Redshift does besides: TRUNCATE and ALTER TABLE APPEND commit the open transaction, and no
deferred key stands behind the guard. What gets past it (a procedure that commits) is found by the marker, which then
says `loading`. Redshift tells no number of a transaction, so that one in place of another is not noticed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg2
import sqlalchemy as sa

from etlctl.db.dialects.base import Options
from etlctl.db.dialects.guarding import put_up
from etlctl.db.dialects.postgresql.guard import Connection, PostgreSQLGuard, driver_connection
from etlctl.db.dialects.redshift.redaction import redacted
from etlctl.db.sqlscript import split_statements
from etlctl.db.sqltext import flavour_of
from etlctl.errors import CommitInsideError, QueryError

OPTIONS = "etlctl_options"
"""Execution option of every Connection: the Options it was made with."""
_SUSPICIOUS = re.compile(r"\b(?:TRUNCATE|APPEND)\b", re.IGNORECASE)
_INSTEAD = {"TRUNCATE": "DELETE", "ALTER TABLE APPEND": "INSERT … SELECT"}
_APPENDS = re.compile(r"\bAPPEND\s+FROM\b", re.IGNORECASE)


class RedshiftConnection(Connection):
    """See `Connection`; no error of it holds the credentials of a COPY."""

    def wait_for(self, function: Any, *args: Any, **options: Any) -> Any:
        """See `Connection.wait_for`."""
        try:
            return super().wait_for(function, *args, **options)
        except psycopg2.Error as error:
            error.args = tuple(redacted(text) if isinstance(text, str) else text for text in error.args)
            raise

    def transaction_number(self) -> str:
        """Nothing: the server has no function for it, and to ask anything would take the transaction's snapshot."""
        return ""


class RedshiftGuard(PostgreSQLGuard):
    """See `Guard`."""

    def refuse(self, tried: str) -> None:
        """Notes the violation and raises CommitInsideError."""
        self.note(tried)
        raise CommitInsideError(
            f"{tried} was tried inside the load's transaction, which commits by itself, rows and marker together. "
            "Take it out."
        )

    def check(self, query: object) -> None:
        """Refuses, besides what PostgreSQL's guard does, statements that commit by themselves."""
        super().check(query)
        tried = committing_words(self._raw.text_of(query))
        if tried is not None:
            self.refuse(f"{tried}, with which Redshift commits (write {_INSTEAD[tried]}),")


def committing_words(sql: str) -> str | None:
    """What in a text of one or several statements Redshift commits the open transaction for, or None."""
    if _SUSPICIOUS.search(sql) is None:
        return None
    try:
        statements = split_statements(sql, flavour=flavour_of("redshift"))
    except QueryError:  # an open quote, which the server refuses as well
        return None
    for statement in statements:
        if statement.word == "TRUNCATE":
            return "TRUNCATE"
        if statement.word == "ALTER" and _APPENDS.search(statement.text):
            return "ALTER TABLE APPEND"
    return None


@contextmanager
def guarding(connection: sa.Connection) -> Iterator[RedshiftGuard]:
    """See `Dialect.guard`."""
    raw = driver_connection(connection)
    guard = raw.guard = RedshiftGuard(raw)
    try:
        with put_up(connection, guard):
            yield guard
    finally:
        raw.guard = None


def options_of(connection: sa.Connection) -> Options:
    """What the connection's engine was made with."""
    found: Options = connection.get_execution_options()[OPTIONS]
    return found


@contextmanager
def own_transaction(connection: sa.Connection) -> Iterator[None]:
    """The open transaction, or one of its own that commits at the end."""
    with nullcontext() if connection.in_transaction() else connection.begin():
        yield


def run_bare(connection: sa.Connection, statement: str) -> None:
    """Runs a statement that may hold credentials past SQLAlchemy, which would put its text into logs and errors."""
    with driver_connection(connection).cursor() as cursor:
        cursor.execute(statement)
