"""Keeps user code from ending the transaction of a SQLite load; its state hangs on the connection, nowhere else.

SQLite asks an authorizer about every statement it prepares, so a COMMIT is refused however it is said: as SQL, by
the driver's `commit()`, by `executescript()`, by `with raw:`. Savepoints pass. (sqlite.org/c3ref/set_authorizer.html)
The engine lets the driver keep no statement prepared (`cached_statements=0`), so that each one is asked about.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from etlctl.db.dialects import guarding as shared
from etlctl.db.dialects.guarding import put_up, refusal
from etlctl.errors import CommitInsideError


class SQLiteGuard:
    """One guard, for the time that one transaction is in the hands of user code."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._tried: str | None = None
        self._pid = os.getpid()
        self.is_over = False
        """The transaction is no longer in the hands of user code; a copy of Connection.info may hold the guard yet."""

    @property
    def violation(self) -> str | None:
        """See `Guard.violation`."""
        if self._tried is None and self._in_transaction() is None:
            self._tried = "closing the connection"
        return self._tried

    @property
    def is_intact(self) -> bool:
        """Whether the transaction is open still; SQLite itself ends one when the disk is full, for instance."""
        return self._in_transaction() is True

    def _in_transaction(self) -> bool | None:
        try:
            return self._raw.in_transaction
        except sqlite3.ProgrammingError:  # closed
            return None

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one whose transaction it is."""
        return self._pid != os.getpid()

    def authorize(self, action: int, first: str | None, *_: Any) -> int:
        """The authorizer: no word that ends a transaction, and nothing at all once it has ended, or in a fork."""
        if self.is_inherited:
            self._tried = self._tried or "a statement in a forked process"
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_TRANSACTION:
            self._tried = self._tried or first
            return sqlite3.SQLITE_DENY
        if not self._raw.in_transaction:
            self._tried = self._tried or "a statement after the transaction had ended"
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def refuse(self, tried: str) -> None:
        """Notes the violation and raises CommitInsideError."""
        self._tried = self._tried or tried
        raise CommitInsideError(refusal(tried))


def listen(engine: sa.Engine) -> None:
    """See `guarding.listen`; a statement after the end is refused in words, and not by a bare "not authorized"."""
    shared.listen(engine)

    @event.listens_for(engine, "before_cursor_execute")
    def _execute(connection: sa.Connection, *_: Any) -> None:
        guard = shared.guard_of(connection)
        if isinstance(guard, SQLiteGuard) and not guard.is_intact:
            guard.refuse("a statement after the transaction had ended")


@contextmanager
def guarding(connection: sa.Connection) -> Iterator[SQLiteGuard]:
    """See `Dialect.guard`."""
    raw: Any = connection.connection.driver_connection
    guard = SQLiteGuard(raw)
    raw.set_authorizer(guard.authorize)
    try:
        with put_up(connection, guard):
            yield guard
    finally:
        # closed by user code: SQLite has rolled back, and there is nothing to take the authorizer off from
        with suppress(sqlite3.ProgrammingError):
            if not guard.is_inherited:
                raw.set_authorizer(None)
