"""What a column of an existing MySQL table would change in silence, so that we refuse it; inserts nothing.

Strict mode makes an error of a value that does not fit, but not of every one that is changed: MySQL cuts fractions of a
second that a DATETIME does not keep, takes the text '1' for the first word of an ENUM and 13 for the year 2013, and
drops blanks that are too many for a VARCHAR.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Protocol

import sqlalchemy as sa

from etlctl.db.columns import Column, Kind
from etlctl.db.dialects.bare import BARE_PRECISION, BARE_SCALE, EXACT
from etlctl.db.dialects.base import Staged, TableName
from etlctl.errors import BadDataError
from etlctl.text import shortened


class Limit(Protocol):
    """Of one column, beyond what its kind takes."""

    def refusal(self, value: Any) -> str | None:
        """Why a stored value would be changed, as the end of a sentence about it; None where it is kept."""

    def condition(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """True for a staged value that would be changed."""


@dataclass(frozen=True)
class Fraction:
    """DATETIME, TIMESTAMP and TIME keep so many digits of a second's fraction."""

    declared: str
    digits: int

    def refusal(self, value: Any) -> str | None:
        """See Limit."""
        if isinstance(value, datetime | time) and value.microsecond % 10 ** (6 - self.digits):
            return f"has a finer fraction of a second than {self.declared} keeps; {self._kind}(6) keeps microseconds"
        return None

    def condition(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """See Limit."""
        rest: sa.ColumnElement[int] = sa.func.microsecond(column, type_=sa.Integer()) % 10 ** (6 - self.digits)
        return rest != 0

    @property
    def _kind(self) -> str:
        return self.declared.partition("(")[0]


@dataclass(frozen=True)
class Words:
    """ENUM and SET have words; anything else would be taken for their numbers."""

    declared: str
    words: tuple[str, ...]
    takes_several: bool

    def refusal(self, value: Any) -> str | None:
        """See Limit."""
        if value is None:
            return None
        given = str(value).split(",") if self.takes_several and value != "" else [str(value)]
        return None if set(given) <= set(self.words) or given == [""] else f"is no word of {self.declared}"

    def condition(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """See Limit."""
        if self.takes_several:
            letters = "|".join(re.escape(word) for word in self.words)
            return sa.not_(sa.func.regexp_instr(column, f"^(({letters})(,({letters}))*)?$") == 1)
        return sa.cast(column, sa.BINARY).not_in([word.encode() for word in self.words])


@dataclass(frozen=True)
class Length:
    """VARCHAR and CHAR drop blanks at the end that are too many."""

    declared: str
    characters: int

    def refusal(self, value: Any) -> str | None:
        """See Limit."""
        if isinstance(value, str) and len(value) > self.characters:
            return f"is longer than {self.declared} ({len(value)} characters)"
        return None

    def condition(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """See Limit."""
        return sa.func.char_length(column) > self.characters


@dataclass(frozen=True)
class Places:
    """A numeric without sizes keeps so many digits behind the point; MySQL rounds without a word."""

    digits: int = BARE_SCALE

    def refusal(self, value: Any) -> str | None:
        """See Limit."""
        if isinstance(value, Decimal) and value != value.quantize(Decimal(1).scaleb(-self.digits), context=EXACT):
            return f"would be rounded: the column keeps {self.digits} digits behind the point"
        return None

    def condition(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """See Limit."""
        rounded: sa.ColumnElement[bool] = column != sa.func.round(column, self.digits)
        return rounded


@dataclass(frozen=True)
class Year:
    """YEAR takes two digits for a year of this century or the last."""

    def refusal(self, value: Any) -> str | None:
        """See Limit."""
        return "is no year of four digits" if _TWO_DIGITS.fullmatch(str(value)) else None

    def condition(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """See Limit."""
        return sa.and_(column > 0, column < _CENTURY)


_CENTURY = 100
_TWO_DIGITS = re.compile(r"0*[1-9][0-9]?(?:\.0*)?")
_QUESTION = (
    "SELECT column_name, data_type, column_type, datetime_precision, character_maximum_length, numeric_precision, "
    "numeric_scale "
    "FROM information_schema.columns WHERE table_schema = COALESCE(%(schema)s, DATABASE()) AND table_name = %(name)s"
)
_WORD = re.compile(r"'((?:[^']|'')*)'")


def limits_of(connection: sa.Connection, name: TableName, columns: Sequence[Column]) -> dict[str, Limit]:
    """The limits of a table's columns by the names of `columns`, for those that have one."""
    values = {"schema": None if name.schema is None else str(name.schema), "name": str(name.name)}
    rows = connection.exec_driver_sql(_QUESTION, values).all()
    found = {row[0].lower(): _limit(*row[1:]) for row in rows}
    limits = {column.name: found.get(column.name.lower()) for column in columns}
    return {
        column.name: limit
        for column in columns
        if (limit := limits[column.name]) is not None and not _is_kept(column, limit)
    }


def _limit(
    data: str, declared: str, fraction: int | None, length: int | None, precision: int | None, scale: int | None
) -> Limit | None:
    match data.lower():
        case "decimal" if (precision, scale) == (BARE_PRECISION, BARE_SCALE):
            return Places()
        case "datetime" | "timestamp" | "time" if fraction is not None and fraction < 6:
            return Fraction(declared, fraction)
        case "enum" | "set":
            words = tuple(word.replace("''", "'") for word in _WORD.findall(declared))
            return Words(shortened(declared), words, data.lower() == "set")
        case "varchar" | "char" if length is not None:
            return Length(declared, int(length))
        case "year":
            return Year()
    return None


def _is_kept(column: Column, limit: Limit) -> bool:
    """Whether the declared type has the limit already."""
    if isinstance(limit, Places):
        return column.type.kind in (Kind.INTEGER, Kind.NUMERIC) and (column.type.scale or 0) <= BARE_SCALE
    length = column.type.length
    return isinstance(limit, Length) and length is not None and length <= limit.characters


def refuse_staged(connection: sa.Connection, limits: Mapping[str, Limit], staged: Staged) -> None:
    """BadDataError when the table would change a staged value."""
    for name in staged.columns:
        limit = limits.get(name)
        if limit is None:
            continue
        column = staged.table.c[name]
        value = connection.execute(sa.select(column).where(limit.condition(column)).limit(1)).scalar()
        if value is not None:
            reason = limit.refusal(value) or "would be changed"
            raise BadDataError(f"column {shortened(name)}: {shortened(repr(value))} {reason}.")
