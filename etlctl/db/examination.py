"""What a database tells of itself to `etlctl doctor`: version, clock, rights, TLS, marker table. Writes nothing.

Each answer is of the user who is connected, by the server's own catalogue: nothing is tried out. What a kind of
database has no word for is None.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from etlctl.db import markers
from etlctl.db.words import in_quotes
from etlctl.errors import EtlctlError, TaskError
from etlctl.settings.urls import sqlite_file

if TYPE_CHECKING:
    from etlctl.db.connections import Database

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""That a loader needs on the marker table."""
_POSTGRESQL = r"""
    SELECT 'PostgreSQL ' || pg_catalog.current_setting('server_version') AS version,
           CAST(extract(epoch FROM pg_catalog.clock_timestamp()) AS double precision) AS now,
           coalesce(CAST(:schema AS text), CASE WHEN current_schema() LIKE 'pg\_temp%' THEN NULL
                                                ELSE CAST(current_schema() AS text) END) AS place,
           pg_catalog.pg_is_in_recovery()
               OR pg_catalog.current_setting('default_transaction_read_only') = 'on' AS is_read_only,
           (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()) AS is_encrypted
"""
_REDSHIFT = """
    SELECT version() AS version, CAST(extract(epoch FROM getdate()) AS double precision) AS now,
           coalesce(CAST(:schema AS varchar), current_schema()) AS place,
           CAST(NULL AS boolean) AS is_read_only, CAST(NULL AS boolean) AS is_encrypted
"""
_MYSQL = """
    SELECT version() AS version, unix_timestamp(sysdate(6)) AS now, coalesce(:schema, database()) AS place,
           @@read_only AS is_read_only, NULL AS is_encrypted
"""
_SQLITE = """
    SELECT 'SQLite ' || sqlite_version() AS version, NULL AS now, NULL AS place, 0 AS is_read_only, NULL AS is_encrypted
"""
_ASKED: Mapping[str, str] = {
    "postgresql": _POSTGRESQL,
    "redshift": _REDSHIFT,
    "mysql": _MYSQL,
    "sqlite": _SQLITE,
}
_CAN_CREATE_POSTGRESQL = """
    SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :place)
                THEN pg_catalog.has_schema_privilege(CAST(:place AS text), 'CREATE')
                ELSE pg_catalog.has_database_privilege(current_database(), 'CREATE') END
"""
_HAS_RIGHT_POSTGRESQL = "SELECT pg_catalog.has_table_privilege(CAST(:table AS text), :right)"
_RIGHTS_MYSQL = """
    SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = {me}
    UNION SELECT privilege_type FROM information_schema.schema_privileges
    WHERE grantee = {me} AND :place LIKE table_schema
    UNION SELECT privilege_type FROM information_schema.table_privileges
    WHERE grantee = {me} AND table_schema = :place AND table_name = :table
""".format(  # noqa: S608  put together of a constant
    me="concat('''', substring_index(current_user(), '@', 1), '''@''', substring_index(current_user(), '@', -1), '''')"
)
_ROLE_MYSQL = "SELECT current_role()"
_TLS_MYSQL = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"


class MarkerTable(StrEnum):
    """How the marker table stands."""

    ABSENT = "absent"
    CURRENT = "current"
    OLDER = "older"
    """Luigi's, or one of an older etlctl: the first load adopts it."""
    FOREIGN = "foreign"
    """A table of that name that is none."""


class Examination(NamedTuple):
    """One database, told by itself."""

    version: str
    answered_s: float
    """How long it took to connect and to answer."""
    skew_s: float | None
    """By how much its clock is ahead of this machine's; None where it has none of its own."""
    place: str | None
    """The schema (MySQL: database) of the marker table; None where there are none, or no schema is to be seen."""
    is_read_only: bool
    is_encrypted: bool | None
    can_create: bool | None
    """Tables, in that place."""
    marker_table: MarkerTable
    lacking: tuple[str, ...]
    """Rights on the marker table that this user has not got."""
    torn: int | None
    """Torn markers; None where they may not be counted."""


def examine(database: Database) -> Examination:
    """What the database tells of itself. Raises what connecting raises; for a SQLite file that is not there, too."""
    doing = f"asking {database.name}"
    began = time.monotonic()
    with database.reading(doing, is_ours=True) as connection:
        connection.execute(sa.select(sa.literal(1))).all()
        answered_s = time.monotonic() - began
        before = time.time()
        row = _told(connection, database)
        skew_s = _skew(row["now"], before, time.time())
    standing = _marker_table(database, doing)
    place = row["place"]
    rights = _rights(database, place, standing)
    return Examination(
        version=_short_version(str(row["version"]), database.dialect.name),
        answered_s=answered_s,
        skew_s=skew_s,
        place=None if place is None else str(place),
        is_read_only=bool(row["is_read_only"]),
        is_encrypted=_is_encrypted(database, row["is_encrypted"]),
        can_create=rights.can_create,
        marker_table=standing,
        lacking=rights.lacking,
        torn=_torn(database) if standing in (MarkerTable.CURRENT, MarkerTable.OLDER) else None,
    )


def _told(connection: sa.Connection, database: Database) -> Mapping[str, Any]:
    asked = _ASKED.get(database.dialect.name)
    if asked is None:  # any other database that SQLAlchemy knows
        return {"version": connection.dialect.name, "now": None, "place": None, "is_read_only": 0, "is_encrypted": None}
    given = {} if asked is _SQLITE else {"schema": database.settings.marker_schema}
    return dict(connection.execute(sa.text(asked), given).mappings().one())


def _skew(now: Any, before: float, after: float) -> float | None:
    """The server's clock against the middle of the question; within the time of the answer they agree."""
    if now is None:
        return None
    skew_s = float(now) - (before + after) / 2
    return 0.0 if abs(skew_s) <= (after - before) / 2 else skew_s


def _short_version(version: str, kind: str) -> str:
    if kind == "redshift":
        return f"Redshift {version.rpartition('Redshift ')[2]}"
    if kind == "mysql":
        return f"MariaDB {version.partition('-')[0]}" if "MariaDB" in version else f"MySQL {version}"
    return version


# -- the marker table


def _marker_table(database: Database, doing: str) -> MarkerTable:
    with database.reading(doing, is_ours=True) as connection:
        columns = database.dialect.table_columns(connection, database.marker_name)
        if columns is None:
            return MarkerTable.ABSENT
        if "update_id" not in {column.name.lower() for column in columns}:
            return MarkerTable.FOREIGN
        return MarkerTable.CURRENT if markers.is_current(connection, database) else MarkerTable.OLDER


def _torn(database: Database) -> int | None:
    from etlctl.db.inventory import Wanted, listed

    try:
        return listed(database, Wanted(is_torn=True, most=1)).total
    except EtlctlError:  # the right to read it is among those that are lacking
        return None


# -- rights


class _Rights(NamedTuple):
    can_create: bool | None
    lacking: tuple[str, ...]


def _rights(database: Database, place: Any, standing: MarkerTable) -> _Rights:
    kind = database.dialect.name
    has_markers = standing in (MarkerTable.CURRENT, MarkerTable.OLDER)
    if kind == "sqlite":
        return _Rights(_can_write_file(database), ())
    if place is None:
        return _Rights(None, ())
    try:
        if kind in ("postgresql", "redshift"):
            return _rights_of_postgresql(database, str(place), has_markers=has_markers)
        if kind == "mysql":
            return _rights_of_mysql(database, str(place), has_markers=has_markers)
    except TaskError:  # a catalogue that this user may not ask
        return _Rights(None, ())
    return _Rights(None, ())


def _can_write_file(database: Database) -> bool:
    file = sqlite_file(database.url) or Path()
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def _rights_of_postgresql(database: Database, place: str, *, has_markers: bool) -> _Rights:
    with database.reading(f"asking {database.name} for its rights", is_ours=True) as connection:
        can_create = bool(connection.scalar(sa.text(_CAN_CREATE_POSTGRESQL), {"place": place}))
        if not has_markers:
            return _Rights(can_create, ())
        asked = sa.text(_HAS_RIGHT_POSTGRESQL)
        table = in_quotes(database.marker_name, connection)
        lacking = [one for one in RIGHTS if not connection.scalar(asked, {"table": table, "right": one})]
        return _Rights(can_create, tuple(lacking))


def _rights_of_mysql(database: Database, place: str, *, has_markers: bool) -> _Rights:
    with database.reading(f"asking {database.name} for its rights", is_ours=True) as connection:
        if connection.scalar(sa.text(_ROLE_MYSQL)) not in (None, "NONE"):
            return _Rights(None, ())  # what a role grants stands elsewhere
        given = {"place": place, "table": str(database.marker_name.name)}
        rights = {str(row[0]).upper() for row in connection.execute(sa.text(_RIGHTS_MYSQL), given)}
        return _Rights("CREATE" in rights, tuple(one for one in RIGHTS if has_markers and one not in rights))


def _is_encrypted(database: Database, told: Any) -> bool | None:
    if database.dialect.name != "mysql":
        return None if told is None else bool(told)
    with database.reading(f"asking {database.name}", is_ours=True) as connection:
        row = connection.execute(sa.text(_TLS_MYSQL)).first()
    return bool(row is not None and row[1])
