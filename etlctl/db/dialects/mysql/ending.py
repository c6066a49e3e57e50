"""Ends the session of a load whose process says nothing any more. A session is known by a named lock that it holds.

The server tells which session holds a lock (IS_USED_LOCK) and frees it with the session: so no other one, nor one of a
server that was started anew, is ever taken for it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from etlctl.errors import UnavailableError

if TYPE_CHECKING:
    import sqlalchemy as sa

_PREFIX = "etlctl:load:"
_OURS = "SELECT user = substring_index(user(), '@', 1) FROM information_schema.processlist WHERE id = %s"


def mark(connection: sa.Connection) -> str:
    """The name of a lock that is held until the transaction ends."""
    raw: Any = connection.connection.driver_connection
    names: list[str] = [name for name in raw.locks if name.startswith(_PREFIX)]  # of a load before, in the same one
    name = names[0] if names else f"{_PREFIX}{secrets.token_hex(12)}"
    raw.lock_until_the_end(name)
    return name


def end(connection: sa.Connection, mark: str) -> bool:
    """See `dialects.ending.end_session`. UnavailableError for one that is there and of another user."""
    number = connection.exec_driver_sql("SELECT IS_USED_LOCK(%s)", (mark,)).scalar()
    if number is None:
        return False
    if not connection.exec_driver_sql(_OURS, (number,)).scalar():
        raise UnavailableError(f"the session {number} is of another user, and is left alone")
    connection.exec_driver_sql(f"KILL CONNECTION {int(number)}")
    return True
