"""What tables of the state database look like now, asked of each kind of database in its own way. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from etlctl.db.state.store import Session
from etlctl.db.state.words import Kind


class Found(NamedTuple):
    """A table that is there."""

    columns: Mapping[str, str]
    """Name -> declared type, both in lower case."""
    led_by: frozenset[str]
    """Columns that an index begins with."""


_COLUMNS: Mapping[Kind, str] = {
    "sqlite": "SELECT name, type FROM pragma_table_info(:name)",
    "postgresql": (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = pg_catalog.to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
    ),
    "mysql": (
        "SELECT column_name, column_type FROM information_schema.columns "
        "WHERE table_schema = database() AND table_name = :name"
    ),
}
_LED_BY: Mapping[Kind, str] = {
    "sqlite": ("SELECT i.name FROM pragma_index_list(:name) AS l, pragma_index_info(l.name) AS i WHERE i.seqno = 0"),
    "postgresql": (
        "SELECT a.attname FROM pg_index AS i "
        "JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
        "WHERE i.indrelid = pg_catalog.to_regclass(:name)"
    ),
    "mysql": (
        "SELECT column_name FROM information_schema.statistics "
        "WHERE table_schema = database() AND table_name = :name AND seq_in_index = 1"
    ),
}


def found(session: Session, table: str) -> Found | None:
    """The table, or None where there is none."""
    columns = {
        str(name).lower(): str(kind).lower() for name, kind in session.run(_COLUMNS[session.kind], {"name": table})
    }
    if not columns:
        return None
    led_by = frozenset(str(row[0]).lower() for row in session.run(_LED_BY[session.kind], {"name": table}))
    return Found(columns, led_by)
