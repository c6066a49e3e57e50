"""The last look at a load's lease, inside its transaction: whoever has been taken over commits nothing.

Only where the state is kept in the very database that is loaded into, by the same user: the row is then locked until
COMMIT, so that nobody takes the lease over in between. Elsewhere the marker alone decides, which is enough for loading
once (RELIABILITY.md 5, step F).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from etlctl import faultpoints
from etlctl.core import context
from etlctl.db.dialects import ending
from etlctl.db.state.keys import stored_key
from etlctl.db.state.words import WORDS, Kind, for_server
from etlctl.errors import HeldError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.core.context import LeaseOfAttempt
    from etlctl.db.connections import Database

_FENCE = (
    "SELECT 1 FROM etlctl_leases WHERE lease_key = :key AND owner = :owner AND fence = :fence AND state = 'running'"
)


def register(connection: sa.Connection, database: Database) -> None:
    """Before the marker is inserted: whoever takes the lease over can end this session, should we stop in the middle.

    HeldError where the lease is lost already.
    """
    lease = context.attempt().lease
    if lease is None:
        return
    mark = ending.session_mark(database, connection)
    if mark is not None:
        lease.register(database.name, mark)
        faultpoints.point("lease.registered")


def check(connection: sa.Connection, database: Database, doing: str) -> None:
    """Before the marker is done: HeldError where the lease is another's by now."""
    lease = context.attempt().lease
    if lease is None or not _holds_state(database):
        return
    settings = context.current().settings
    kind: Kind = "postgresql" if database.dialect.name == "postgresql" else "mysql"
    given = {"key": stored_key(settings.profile, lease.key), "owner": lease.owner, "fence": lease.fence}
    sql = for_server(_FENCE + WORDS[kind].share_rows)
    if connection.exec_driver_sql(sql, given).first() is None:
        raise _taken_over(lease, doing)
    faultpoints.point("load.fenced")


def _holds_state(database: Database) -> bool:
    settings = context.current().settings
    if settings is None or database.dialect.name not in ("postgresql", "mysql"):
        return False
    return database.dialect.is_same(database.url, settings.state_url.reveal()) and _is_same_session(
        database.url, settings.state_url.reveal()
    )


@lru_cache(maxsize=32)
def _is_same_session(url: str, other: str) -> bool:
    """Whether a table without a schema is the same one in both."""
    import sqlalchemy as sa

    first, second = sa.make_url(url), sa.make_url(other)
    return first.username == second.username and first.query == second.query


def _taken_over(lease: LeaseOfAttempt, doing: str) -> HeldError:
    return HeldError(
        f"{doing}: its lease (fence {lease.fence}) was taken over by another process while it was loading, since this "
        "one gave no sign of life for longer than lease_ttl. Nothing was kept here; the other one loads it."
    )
