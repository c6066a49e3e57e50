"""What the guards of all databases share: how SQLAlchemy asks them, and the sentence of a refusal. Guards no driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import event

_KEY = "etlctl_guard"  # in Connection.info


class RefusingGuard(Protocol):
    """A guard that SQLAlchemy's own commit and rollback ask."""

    is_over: bool
    """The transaction is no longer in the hands of user code; a copy of Connection.info may hold the guard yet."""

    def refuse(self, tried: str) -> None:
        """Notes the violation and raises CommitInsideError."""


_Guard = TypeVar("_Guard", bound=RefusingGuard)


def refusal(tried: str) -> str:
    """The sentence for user code that `tried` to end the load's transaction."""
    return (
        f"{tried} was tried inside the load's transaction, which commits by itself, rows and marker together. "
        "Take it out; a part that may fail goes into connection.begin_nested()."
    )


def listen(engine: sa.Engine) -> None:
    """Lets SQLAlchemy's own commit and rollback ask the guard of their connection, before they change its state."""

    @event.listens_for(engine, "commit")
    def _commit(connection: sa.Connection) -> None:
        _refuse(connection, "COMMIT")

    @event.listens_for(engine, "rollback")
    def _rollback(connection: sa.Connection) -> None:
        _refuse(connection, "ROLLBACK")


def guard_of(connection: sa.Connection) -> RefusingGuard | None:
    """The guard that is up on a connection; None where its session is lost, and the transaction with it."""
    if connection.invalidated:
        return None
    guard: RefusingGuard | None = connection.info.get(_KEY)
    return None if guard is None or guard.is_over else guard


@contextmanager
def put_up(connection: sa.Connection, guard: _Guard) -> Iterator[_Guard]:
    """The guard is asked while the block goes on."""
    info = connection.info
    info[_KEY] = guard
    try:
        yield guard
    finally:
        guard.is_over = True
        info.pop(_KEY, None)


def _refuse(connection: sa.Connection, tried: str) -> None:
    guard = guard_of(connection)
    if guard is not None:
        guard.refuse(tried)
