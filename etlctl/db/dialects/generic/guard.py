"""Keeps user code from ending a load's transaction through SQLAlchemy; what goes past it, to the driver, is not seen.

So on such a database a COMMIT said to the driver, or in SQL, tears the load: its marker stays as `loading` and the next
run says so (exit 6). That is found; it is not prevented.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import event

from etlctl.db.dialects import guarding as shared
from etlctl.db.dialects.guarding import put_up, refusal
from etlctl.errors import CommitInsideError


class GenericGuard:
    """One guard, for the time that one transaction is in the hands of user code."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._raw = connection.connection.driver_connection
        self._tried: str | None = None
        self._pid = os.getpid()
        self.is_over = False
        """The transaction is no longer in the hands of user code."""

    @property
    def violation(self) -> str | None:
        """See `Guard.violation`."""
        if self._tried is None and not self._has_connection():
            self._tried = "closing the connection"
        return self._tried

    @property
    def is_intact(self) -> bool:
        """Whether SQLAlchemy has the transaction open still, on the same connection."""
        return self._has_connection() and self._connection.in_transaction()

    def _has_connection(self) -> bool:
        if self._connection.closed or self._connection.invalidated:
            return False
        return self._connection.connection.driver_connection is self._raw

    def refuse(self, tried: str) -> None:
        """Notes the violation and raises CommitInsideError; in a forked process everything is refused."""
        self._tried = self._tried or tried
        raise CommitInsideError(refusal(tried))

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one whose transaction it is."""
        return self._pid != os.getpid()


def listen(engine: sa.Engine) -> None:
    """See `guarding.listen`; statements ask the guard of their connection too."""
    shared.listen(engine)

    @event.listens_for(engine, "before_execute")
    def _execute(connection: sa.Connection, *_: object) -> None:
        guard = shared.guard_of(connection)
        if isinstance(guard, GenericGuard) and guard.is_inherited:
            guard.refuse("a statement in a forked process")


@contextmanager
def guarding(connection: sa.Connection) -> Iterator[GenericGuard]:
    """See `Dialect.guard`."""
    with put_up(connection, GenericGuard(connection)) as guard:
        yield guard
