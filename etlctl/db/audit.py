"""The audit table: who loaded what, when, with which code. Written only where the connection's setting `audit` is on.

It stands beside the marker table and is only ever inserted into, by the transaction of what it tells: a load that is
rolled back leaves no line. Nothing here reads it.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from etlctl.core import context
from etlctl.db.words import table_name
from etlctl.errors import LoadError

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.dialects.base import TableName
    from etlctl.db.markers import MarkerKey

NAME = "etlctl_audit"
LOAD, RESOLVE = "load", "resolve"
_SHORT, _LONG = 64, 255


@dataclass(frozen=True)
class Entry:
    """What was done, for one line of the table."""

    action: str
    """LOAD or RESOLVE."""
    key: MarkerKey
    owner: str | None = None
    """The marker's owner."""
    rows: int | None = None
    inputs: Sequence[Mapping[str, Any]] = ()
    detail: str | None = None
    """What there is to say about it in a word: `forced`, `loaded`, `absent`."""


def audit_table(database: Database, **options: Any) -> sa.Table:
    """The table; `options` are those of `sa.Table` for making it. `inserted` is UTC."""
    return _table_of(
        table_name(NAME, database.marker_name.schema), database.dialect.longest_id, tuple(sorted(options.items()))
    )


@lru_cache(maxsize=32)
def _table_of(name: TableName, longest_id: int | None, options: tuple[tuple[str, Any], ...]) -> sa.Table:
    instant = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb").with_variant(sa.String(65535), "redshift")
    return sa.Table(
        name.name,
        sa.MetaData(),
        sa.Column("entry", sa.String(32), primary_key=True),  # random: no sequence, so INSERT is all the right it needs
        sa.Column("inserted", instant, nullable=False),
        sa.Column("action", sa.String(_SHORT), nullable=False),
        sa.Column("detail", sa.String(_LONG)),
        sa.Column("update_id", sa.String(longest_id), nullable=False),
        sa.Column("target_table", sa.String(longest_id), nullable=False),
        sa.Column("row_count", sa.BigInteger),
        sa.Column("inputs", text),
        sa.Column("run_id", sa.String(_SHORT)),
        sa.Column("user_name", sa.String(_LONG), nullable=False),
        sa.Column("host", sa.String(_LONG), nullable=False),
        sa.Column("owner", sa.String(_LONG)),
        sa.Column("code_version", sa.String(_SHORT), nullable=False),
        sa.Column("code_fingerprint", sa.String(_SHORT)),
        schema=name.schema,
        **dict(options),
    )


def ensure(database: Database, doing: str) -> None:
    """The table is there where the setting wants it; made in a short transaction of its own, under the lock for DDL.

    Called after `markers.ensure`, which makes the schema. LoadError for a table of that name which is another.
    """
    if not database.settings.audit:
        return
    with database.reading(doing, is_ours=True) as connection:
        if _is_there(connection, database, doing):
            return
    dialect = database.dialect
    with database.writing(doing) as connection, dialect.lock_for_ddl(connection):
        if not _is_there(connection, database, doing):
            audit_table(database, **dialect.table_options(connection)).create(connection)


def _is_there(connection: sa.Connection, database: Database, doing: str) -> bool:
    table = audit_table(database)
    found = database.dialect.table_columns(connection, table_name(NAME, database.marker_name.schema))
    if found is None:
        return False
    missing = {column.name for column in table.columns} - {column.name.lower() for column in found}
    if missing:
        raise LoadError(
            f"{doing}: the table {NAME} there is not the audit table (it has no column {min(missing)}). Rename it, "
            f"or set [connections.{database.name}] audit = false."
        )
    return True


def write(connection: sa.Connection, database: Database, entry: Entry) -> None:
    """One line, inside the caller's transaction; nothing where the setting is off."""
    if not database.settings.audit:
        return
    from etlctl import __version__

    attempt = context.attempt()
    connection.execute(
        audit_table(database).insert(),
        {
            "entry": secrets.token_hex(16),
            "inserted": datetime.now(UTC).replace(tzinfo=None),
            "action": entry.action,
            "detail": entry.detail,
            "update_id": entry.key.update_id,
            "target_table": entry.key.target_table,
            "row_count": entry.rows,
            "inputs": json.dumps(list(entry.inputs), ensure_ascii=False, default=str) if entry.inputs else None,
            "run_id": attempt.run_id or None,
            "user_name": _user(),
            "host": socket.gethostname()[:_LONG],
            "owner": entry.owner,
            "code_version": f"etlctl {__version__}",
            "code_fingerprint": _fingerprint(attempt.module),
        },
    )


def _user() -> str:
    """Whom the process belongs to, by the system's word and not by a variable that anyone sets."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container whose user has no name
        return f"uid {uid}"


@lru_cache(maxsize=1024)
def _fingerprint(module: str) -> str | None:
    """SHA-256 of a module's file, once a process; None where it has none, as in a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return sha256(Path(file).read_bytes()).hexdigest() if file else None
    except OSError:
        return None
