"""How PostgreSQL keeps the values of our column types: its words in DDL, values as psycopg2 binds them. Runs no SQL.

A value has its own type there (db/values.py makes it), so little is left to do. JSON is kept as `json`, which gives the
text back as it came, like SQLite and MariaDB; `jsonb` would order its keys anew.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from etlctl.db.columns import ColumnType, Kind, sized_words
from etlctl.db.values import Value, is_missing, to_value

_DDL = {
    Kind.NUMERIC: "NUMERIC",
    Kind.FLOAT: "DOUBLE PRECISION",
    Kind.TEXT: "TEXT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE",
    Kind.TIME: "TIME",
    Kind.JSON: "JSON",
    Kind.BYTES: "BYTEA",
}


def ddl(type_: ColumnType) -> str:
    """The type's words in a CREATE TABLE."""
    return sized_words(type_, _DDL)


def stored(type_: ColumnType, value: Any) -> Value | None:
    """What is bound for a column of the type: text or Python value; BadValueError when the type refuses it."""
    kept = to_value(type_, value)
    return kept + 0.0 if isinstance(kept, float) else kept  # no negative zero, as on SQLite, which cannot keep one


def bound(value: Any) -> Any:
    """A parameter's value as psycopg2 writes it into a statement, to compare with: an instant without zone, in UTC."""
    if isinstance(value, (list, tuple, dict)):
        return value
    if is_missing(value):
        return None
    if isinstance(value, datetime):
        return to_value(ColumnType(Kind.TIMESTAMP), value)
    return str(value) if isinstance(value, UUID) else value


# -- types as the server tells them (pg_type.dat; the numbers never change)

_BY_OID = {
    16: ColumnType(Kind.BOOLEAN),
    17: ColumnType(Kind.BYTES),
    18: ColumnType(Kind.TEXT),  # "char"
    19: ColumnType(Kind.TEXT),  # name
    20: ColumnType(Kind.INTEGER, bits=64),
    21: ColumnType(Kind.INTEGER, bits=16),
    23: ColumnType(Kind.INTEGER),
    25: ColumnType(Kind.TEXT),
    26: ColumnType(Kind.INTEGER, bits=64),  # oid
    114: ColumnType(Kind.JSON),
    700: ColumnType(Kind.FLOAT),
    701: ColumnType(Kind.FLOAT),
    705: ColumnType(Kind.TEXT),  # unknown: a literal, or NULL
    1042: ColumnType(Kind.TEXT),
    1043: ColumnType(Kind.TEXT),
    1082: ColumnType(Kind.DATE),
    1083: ColumnType(Kind.TIME),
    1114: ColumnType(Kind.TIMESTAMP),
    1184: ColumnType(Kind.TIMESTAMPTZ),
    1700: ColumnType(Kind.NUMERIC),
    3802: ColumnType(Kind.JSON),
}
_HEADER = 4  # bytes that a type modifier counts besides (VARHDRSZ)


def type_of(oid: int, modifier: int) -> ColumnType | None:
    """Our type for the server's type number and modifier (-1: none); None for one that is none of our words."""
    known = _BY_OID.get(oid)
    if known is None or modifier < _HEADER:
        return known
    if oid in (1042, 1043):
        return ColumnType(Kind.TEXT, length=modifier - _HEADER)
    if oid == 1700:
        precision, scale = (modifier - _HEADER) >> 16, (modifier - _HEADER) & 0x7FF
        # since PostgreSQL 15 the scale may be negative, or above the precision; our words know neither
        return ColumnType(Kind.NUMERIC, precision=precision, scale=scale) if scale <= precision else known
    return known
