"""Our column types as SQLAlchemy's, and back; for databases without a dialect of their own."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import ColumnType, Kind

_BARE_NUMERIC = (38, 9)
_KEY_LENGTH = 255


def sqlalchemy_type(type_: ColumnType, *, is_key: bool = False) -> sa.types.TypeEngine[Any]:
    """The SQLAlchemy type of a column; JSON is kept as its text."""
    match type_.kind:
        case Kind.INTEGER:
            return {16: sa.SmallInteger, 32: sa.Integer, 64: sa.BigInteger}[type_.bits]()
        case Kind.NUMERIC:
            precision, scale = _BARE_NUMERIC if type_.precision is None else (type_.precision, type_.scale)
            return sa.Numeric(precision, scale)
        case Kind.TEXT:
            length = type_.length or (_KEY_LENGTH if is_key else None)
            return sa.Text() if length is None else sa.String(length)
        case Kind.JSON:
            return sa.Text()
    return _PLAIN_TYPES[type_.kind]()


_PLAIN_TYPES: dict[Kind, type[sa.types.TypeEngine[Any]]] = {
    Kind.FLOAT: sa.Double,
    Kind.BOOLEAN: sa.Boolean,
    Kind.DATE: sa.Date,
    Kind.TIMESTAMP: sa.DateTime,
    Kind.TIMESTAMPTZ: sa.DateTime,
    Kind.TIME: sa.Time,
    Kind.BYTES: sa.LargeBinary,
}
_KNOWN: tuple[tuple[type[sa.types.TypeEngine[Any]], ColumnType], ...] = (
    (sa.Boolean, ColumnType(Kind.BOOLEAN)),
    (sa.SmallInteger, ColumnType(Kind.INTEGER, bits=16)),
    (sa.BigInteger, ColumnType(Kind.INTEGER, bits=64)),
    (sa.Integer, ColumnType(Kind.INTEGER)),
    (sa.Float, ColumnType(Kind.FLOAT)),
    (sa.DateTime, ColumnType(Kind.TIMESTAMP)),
    (sa.Date, ColumnType(Kind.DATE)),
    (sa.Time, ColumnType(Kind.TIME)),
    (sa.JSON, ColumnType(Kind.JSON)),
    (sa.LargeBinary, ColumnType(Kind.BYTES)),
)
_OF_PYTHON = {
    bool: ColumnType(Kind.BOOLEAN),
    int: ColumnType(Kind.INTEGER, bits=64),
    float: ColumnType(Kind.FLOAT),
    Decimal: ColumnType(Kind.NUMERIC),
    bytes: ColumnType(Kind.BYTES),
    memoryview: ColumnType(Kind.BYTES),
    datetime: ColumnType(Kind.TIMESTAMP),
    date: ColumnType(Kind.DATE),
    time: ColumnType(Kind.TIME),
}


def known_type(found: sa.types.TypeEngine[Any]) -> ColumnType | None:
    """Ours for a type that was read from a table; None where there is none."""
    if isinstance(found, sa.Numeric) and not isinstance(found, sa.Float):
        sizes = (found.precision, found.scale)
        if found.precision is None or sizes == _BARE_NUMERIC:
            return ColumnType(Kind.NUMERIC)
        return ColumnType(Kind.NUMERIC, precision=found.precision, scale=found.scale or 0)
    if isinstance(found, sa.String):
        return ColumnType(Kind.TEXT, length=None if isinstance(found, sa.Text) else found.length)
    return next((ours for theirs, ours in _KNOWN if isinstance(found, theirs)), None)


def type_of_values(kinds: set[type]) -> ColumnType:
    """The type of a column whose values are of these classes of Python; text where they tell none."""
    if kinds == {int, float}:
        return ColumnType(Kind.FLOAT)
    if kinds == {int, Decimal}:
        return ColumnType(Kind.NUMERIC)
    only = next(iter(kinds)) if len(kinds) == 1 else str
    return _OF_PYTHON.get(only, ColumnType(Kind.TEXT))
