"""Keeps user code from ending the transaction of a MySQL load, or finds out that it did; its state hangs on the guard.

The server refuses nothing: it commits when it is told to, and before any DDL without being told. So there are three
lines. A statement that would end the transaction is refused before it is sent, by its first words (`mysql/commits.py`),
and so are the driver's own methods. After each statement the server says whether a transaction is open; when none is,
the rest is refused. And a savepoint that was set in the beginning must be there in the end: whatever ended the
transaction in between, a procedure for one, took it along. Then the marker was committed as `loading`, and the load is
torn (exit 6): neither skipped nor repeated until a person has looked.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etlctl.db.dialects.guarding import put_up, refusal
from etlctl.db.dialects.mysql.commits import ending, makes_temporary
from etlctl.errors import CommitInsideError, TransientError

if TYPE_CHECKING:
    from etlctl.db.dialects.mysql.connection import LoadConnection

_NO_SUCH_SAVEPOINT = 1305


class MySQLGuard:
    """One guard, for the time that one transaction is in the hands of user code."""

    def __init__(self, raw: LoadConnection) -> None:
        self._raw = raw
        self._tried: str | None = None
        self._pid = os.getpid()
        self._savepoint = f"etlctl_guard_{secrets.token_hex(6)}"
        self._is_intact: bool | None = None
        self._is_own = False
        self.is_over = False
        """The transaction is no longer in the hands of user code."""
        self.has_ended = False
        """The server has said that no transaction is open."""
        self.is_rolled_back = False
        """The server has rolled the transaction back by itself, to end a deadlock."""

    def begin(self) -> None:
        """Sets the savepoint."""
        self._send(f"SAVEPOINT {self._savepoint}")

    @property
    def violation(self) -> str | None:
        """See `Guard.violation`."""
        if self._tried is None and self.has_ended and not self.is_rolled_back:
            return "a statement that commits"
        return self._tried

    @property
    def is_intact(self) -> bool:
        """Whether the transaction is the one that was open in the beginning. Raises what the driver says of a lost
        connection, and TransientError where the server has rolled it back by itself."""
        if self._is_intact is None:
            self._is_intact = self._has_savepoint()
        return self._is_intact

    def _has_savepoint(self) -> bool:
        if self.is_rolled_back:
            raise TransientError(_ROLLED_BACK)
        if self._tried is not None or self.has_ended:
            return False
        try:
            self._send(f"RELEASE SAVEPOINT {self._savepoint}")
        except Exception as error:
            if error.args[:1] == (_NO_SUCH_SAVEPOINT,):
                return False
            raise
        return True

    def _send(self, statement: str) -> None:
        self._is_own = True
        try:
            self._raw.query(statement)
        finally:
            self._is_own = False

    def note(self, tried: str) -> None:
        """Keeps the first violation."""
        self._tried = self._tried or tried

    def refuse(self, tried: str) -> None:
        """Notes the violation and raises CommitInsideError."""
        self.note(tried)
        raise CommitInsideError(refusal(tried))

    def ask(self, statement: str | bytes | bytearray) -> None:
        """Raises CommitInsideError for a statement that must not be sent."""
        if self._is_own:
            return
        if self.is_rolled_back:
            raise TransientError(_ROLLED_BACK)
        if self.has_ended:
            self.refuse("a statement after the transaction had ended")
        if makes_temporary(statement):
            self._raw.may_be_shadowed = True
        tried = ending(statement)
        if tried is not None:
            self.refuse(tried + (_DDL_COMMITS if tried.split(" ")[0] in _DDL else ""))


_DDL = ("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE")
_DDL_COMMITS = " (which commits on MySQL: tables are made before a load, or TEMPORARY)"
_ROLLED_BACK = "the server has rolled the transaction back to end a deadlock, so no statement can go on in it"


@contextmanager
def guarding(connection: sa.Connection) -> Iterator[MySQLGuard]:
    """See `Dialect.guard`."""
    raw: Any = connection.connection.driver_connection
    guard = MySQLGuard(raw)
    guard.begin()
    raw.guard, raw.was_lent = guard, True
    try:
        with put_up(connection, guard):
            yield guard
    finally:
        raw.guard = None
