"""Ends the session of a load whose process says nothing any more: its number alone would not do, since it comes again.

So a session is known by its number and the moment it began, and is ended only where it is one of etlctl's (by
application_name) and of our own role (RELIABILITY.md S25).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from etlctl.errors import UnavailableError

_STARTED = "to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
_MARK = f"SELECT pid, {_STARTED} FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()"  # noqa: S608  constants
_FOUND = f"""
    SELECT usename = current_user, coalesce(application_name, '') LIKE 'etlctl:%%'
    FROM pg_catalog.pg_stat_activity WHERE pid = %(pid)s AND ({_STARTED} = %(started)s OR backend_start IS NULL)
    """  # noqa: S608  constants
_END = f"""
    SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE pid = %(pid)s AND {_STARTED} = %(started)s AND usename = current_user AND application_name LIKE 'etlctl:%%'
    """  # noqa: S608  constants
_KNOWN_AS = "etlctl_session_mark"


def mark(connection: sa.Connection) -> str:
    """`PID STARTED`."""
    known: str | None = connection.info.get(_KNOWN_AS)
    if known is None:
        pid, started = connection.exec_driver_sql(_MARK).one()
        known = connection.info[_KNOWN_AS] = f"{pid} {started}"
    return known


def end(connection: sa.Connection, mark: str) -> bool:
    """See `dialects.ending.end_session`. UnavailableError for one that is there and not ours to end."""
    pid, _, started = mark.partition(" ")
    which: dict[str, Any] = {"pid": int(pid), "started": started}
    if connection.exec_driver_sql(_END, which).scalar():
        return True
    is_foreign = [not (is_own and is_etlctls) for is_own, is_etlctls in connection.exec_driver_sql(_FOUND, which)]
    if any(is_foreign):
        raise UnavailableError(f"the session {pid} is of another role, or none of etlctl's, and is left alone")
    return False
