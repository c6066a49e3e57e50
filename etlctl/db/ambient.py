"""Which load or `transaction()` is open in this thread of work, by database; opens and ends nothing.

Everything that asks a database inside an open one goes through its connection: on SQLite any other would wait for the
lock that this very thread holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlctl.core import context
from etlctl.errors import LoadError

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.sessions import Session


@dataclass(frozen=True)
class _Open:
    database: Database
    session: Session
    pid: int


_open: ContextVar[tuple[_Open, ...]] = ContextVar("etlctl_open_transactions", default=())


def session_of(database: Database) -> Session | None:
    """The Session whose transaction is open on `database`, or None; one that the parent process opened is not ours."""
    for entry in reversed(_open.get()):
        if entry.database is database and entry.pid == os.getpid():
            return entry.session
    return None


def refuse_beside(database: Database, doing: str) -> None:
    """LoadError where this thread of work has a transaction open on `database` under another name, or of another app.

    It would wait for a lock that it holds itself, until the time to wait is over.
    """
    for entry in _open.get():
        other = entry.database
        if other is database or entry.pid != os.getpid() or not database.is_same_as(other):
            continue
        if (other.name, other.url) == (database.name, database.url):
            raise LoadError(
                f"{doing}: an open transaction() or Sequence holds {other.name}, and a build() inside it would wait "
                "for it. Build before or after, or run() the task itself, which joins the transaction."
            )
        raise LoadError(
            f"{doing}: {other.name} ({other.shown_url}), on which a transaction() or Sequence is open, is the same "
            f"database as {database.name} ({database.shown_url}), which would wait for it. Name it one way inside."
        )


def refuse_inside(database: Database, doing: str) -> None:
    """LoadError where a transaction is open on `database`."""
    if session_of(database) is not None:
        raise LoadError(
            f"{doing}: it cannot run inside an open transaction() or Sequence on {database.name}, since it commits by "
            "itself. Run it before or after."
        )


@contextmanager
def opened(database: Database, session: Session) -> Iterator[None]:
    """Makes `session` the one of `database` for the block, and counts it for the attempt at hand."""
    attempt = context.attempt()
    before = _open.get()
    _open.set((*before, _Open(database, session, os.getpid())))
    attempt.transactions += 1
    try:
        yield
    finally:
        attempt.transactions -= 1
        # not by token: a generator that is closed late may end this in another context than it began it in
        _open.set(tuple(entry for entry in _open.get() if entry.session is not session))
