"""Column types in plain SQL words, the same on every database; converts no value (db/values.py does)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from etlctl.suggest import did_you_mean
from etlctl.text import shortened


class Kind(Enum):
    """What a column holds; several SQL words may mean one kind."""

    INTEGER = "integer"
    NUMERIC = "numeric"
    FLOAT = "float"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamp with time zone"
    TIME = "time"
    JSON = "json"
    BYTES = "bytes"


@dataclass(frozen=True)
class ColumnType:
    """One type: its kind, and the sizes that its words gave."""

    kind: Kind
    length: int | None = None
    """Characters of a varchar(n); None is without limit."""
    precision: int | None = None
    """Digits in all of a numeric(p, s); None is as many as the value has."""
    scale: int | None = None
    """Digits behind the point of a numeric(p, s)."""
    bits: int = 32
    """Size of an integer: 16, 32 or 64."""

    def __str__(self) -> str:
        """The words that mean it, which `parse_type` takes back."""
        if self.kind is Kind.INTEGER:
            return {16: "smallint", 32: "integer", 64: "bigint"}[self.bits]
        if self.kind is Kind.TEXT and self.length is not None:
            return f"varchar({self.length})"
        if self.kind is Kind.NUMERIC and self.precision is not None:
            return f"numeric({self.precision},{self.scale})"
        return "double precision" if self.kind is Kind.FLOAT else self.kind.value


def sized_words(type_: ColumnType, by_kind: Mapping[Kind, str]) -> str:
    """The type's words in a CREATE TABLE: the standard's for integers and sizes, those of `by_kind` without a size."""
    if type_.kind is Kind.INTEGER:
        return str(type_).upper()
    if type_.length is not None:
        return f"VARCHAR({type_.length})"
    if type_.precision is not None:
        return f"NUMERIC({type_.precision}, {type_.scale})"
    return by_kind[type_.kind]


@dataclass(frozen=True)
class Column:
    """A column of a target table, as the task declares it."""

    name: str
    type: ColumnType
    nullable: bool = True
    primary_key: bool = False


_INTEGER = ColumnType(Kind.INTEGER)
_BY_WORDS = {
    "smallint": replace(_INTEGER, bits=16),
    "int2": replace(_INTEGER, bits=16),
    "integer": _INTEGER,
    "int": _INTEGER,
    "int4": _INTEGER,
    "bigint": replace(_INTEGER, bits=64),
    "int8": replace(_INTEGER, bits=64),
    "numeric": ColumnType(Kind.NUMERIC),
    "decimal": ColumnType(Kind.NUMERIC),
    "float": ColumnType(Kind.FLOAT),
    "float4": ColumnType(Kind.FLOAT),
    "float8": ColumnType(Kind.FLOAT),
    "real": ColumnType(Kind.FLOAT),
    "double": ColumnType(Kind.FLOAT),
    "double precision": ColumnType(Kind.FLOAT),
    "text": ColumnType(Kind.TEXT),
    "string": ColumnType(Kind.TEXT),
    "varchar": ColumnType(Kind.TEXT),
    "character varying": ColumnType(Kind.TEXT),
    "char": ColumnType(Kind.TEXT),
    "character": ColumnType(Kind.TEXT),
    "boolean": ColumnType(Kind.BOOLEAN),
    "bool": ColumnType(Kind.BOOLEAN),
    "date": ColumnType(Kind.DATE),
    "timestamp": ColumnType(Kind.TIMESTAMP),
    "timestamp without time zone": ColumnType(Kind.TIMESTAMP),
    "datetime": ColumnType(Kind.TIMESTAMP),
    "timestamp with time zone": ColumnType(Kind.TIMESTAMPTZ),
    "timestamptz": ColumnType(Kind.TIMESTAMPTZ),
    "time": ColumnType(Kind.TIME),
    "time without time zone": ColumnType(Kind.TIME),
    "json": ColumnType(Kind.JSON),
    "jsonb": ColumnType(Kind.JSON),
    "bytes": ColumnType(Kind.BYTES),
    "bytea": ColumnType(Kind.BYTES),
    "blob": ColumnType(Kind.BYTES),
    "binary": ColumnType(Kind.BYTES),
    "varbinary": ColumnType(Kind.BYTES),
}

MAX_LENGTH = 65535
"""Of a varchar(n), where Redshift and MySQL end; beyond it the word is text."""
MAX_PRECISION = 38
"""Of a numeric(p, s), where Redshift ends; PostgreSQL and MySQL take more."""

_WORDS = re.compile(r"([a-z][a-z0-9 ]*?) ?(?:\(([^()]*)\) ?([a-z ]*))?")
_SIZES = re.compile(r" ?(\d{1,6}) ?(?:, ?(\d{1,6}) ?)?")


@lru_cache(maxsize=512)
def parse_type(words: str) -> ColumnType:
    """The type that SQL words such as `varchar(2)`, `numeric(10, 2)` or `timestamp with time zone` mean.

    Case and spaces do not matter. `char(n)` is `varchar(n)`: padding with blanks is not alike on every database, and
    neither is a `real` of four bytes, so every float has eight. ValueError with a sentence for anything else.
    """
    normal = " ".join(words.lower().split())
    match = _WORDS.fullmatch(normal)
    known = _BY_WORDS.get(f"{match[1]} {match[3] or ''}".strip()) if match else None
    if match is None or known is None:
        near = did_you_mean(match[1] if match else normal, _BY_WORDS)
        raise ValueError(f"{words!r} is no column type; there are {', '.join(_NAMED)}.{near}")
    return known if match[2] is None else _sized(known, match[2], words)


_NAMED = (
    "integer", "bigint", "smallint", "numeric", "numeric(p,s)", "double precision", "text", "varchar(n)", "boolean",
    "date", "timestamp", "timestamp with time zone", "time", "json", "bytes",
)  # fmt: skip


def _sized(known: ColumnType, inside: str, words: str) -> ColumnType:
    sizes = _SIZES.fullmatch(inside)
    if sizes is None:
        raise ValueError(f"{words!r}: between the parentheses stand whole numbers, as in varchar(20) or numeric(10,2)")
    first, second = int(sizes[1]), None if sizes[2] is None else int(sizes[2])
    if known.kind is Kind.TEXT and second is None:
        if not 1 <= first <= MAX_LENGTH:
            raise ValueError(f"{words!r}: a length is from 1 to {MAX_LENGTH}; write text for a column without limit")
        return replace(known, length=first)
    if known.kind is Kind.NUMERIC:
        scale = second or 0
        if not (1 <= first <= MAX_PRECISION and scale <= first):
            raise ValueError(
                f"{words!r}: numeric(p,s) has p from 1 to {MAX_PRECISION} digits, s of them behind the point"
            )
        return replace(known, precision=first, scale=scale)
    raise ValueError(f"{words!r}: {known} has no size here; write {known}")


class BadValueError(ValueError):
    """A value that a column's type refuses; whoever knows the file and the line turns it into a BadDataError.

    `str()` says what is wrong with which value, without a place.
    """

    def __init__(self, value: object, reason: str, column: Column | None = None) -> None:
        self.value = value
        self.reason = reason
        self.column = column
        super().__init__(f"{shortened(repr(value))} {reason}")

    def in_column(self, column: Column) -> BadValueError:
        """The same, knowing its column."""
        return BadValueError(self.value, self.reason, column)
