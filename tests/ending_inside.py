"""Ways to end a load's transaction from inside that are the same on every database; the drivers' own are elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

Way = Callable[[sa.Connection], Any]


def commit_the_root(connection: sa.Connection) -> None:
    transaction = connection.get_transaction()
    assert transaction is not None
    transaction.commit()


BY_SQLALCHEMY: dict[str, Way] = {
    "Connection.commit": lambda connection: connection.commit(),
    "Connection.rollback": lambda connection: connection.rollback(),
    "Connection.close": lambda connection: connection.close(),
    "the root transaction": commit_the_root,
}


def close_detached(connection: sa.Connection) -> None:
    connection.detach()
    connection.connection.close()


def close_the_drivers(connection: sa.Connection) -> None:
    raw: Any = connection.connection.driver_connection
    raw.close()


CLOSES: dict[str, Way] = {
    "the driver's": close_the_drivers,
    "the pool's": lambda connection: connection.connection.close(),
    "invalidate": lambda connection: connection.invalidate(),
    "detach": close_detached,
}
