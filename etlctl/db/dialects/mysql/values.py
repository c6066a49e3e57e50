"""How MySQL and MariaDB keep the values of our column types, and their text as literals; sends nothing.

Texts are equal only when they are the same (a binary collation, given with the table), instants are kept in UTC in
DATETIME(6), which unlike TIMESTAMP goes past 2038, and a bare numeric has 38 digits, 9 of them behind the point.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from etlctl.db.columns import BadValueError, Column, ColumnType, Kind
from etlctl.db.dialects.bare import BARE_PRECISION, BARE_SCALE, check_bare
from etlctl.db.values import to_value
from etlctl.errors import LoadError

LONGEST_ID = 255
"""Characters of an update_id, and of a table's name: an index holds 3,072 bytes, two of these in UTF-8 take 2,040."""
_KEY_LENGTH = 255
_DDL = {
    Kind.NUMERIC: f"DECIMAL({BARE_PRECISION}, {BARE_SCALE})",
    Kind.FLOAT: "DOUBLE",
    Kind.TEXT: "LONGTEXT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "DATETIME(6)",
    Kind.TIMESTAMPTZ: "DATETIME(6)",
    Kind.TIME: "TIME(6)",
    Kind.JSON: "JSON",
    Kind.BYTES: "LONGBLOB",
}
_KEY_DDL = {Kind.TEXT: f"VARCHAR({_KEY_LENGTH})", Kind.BYTES: f"VARBINARY({_KEY_LENGTH})"}
_LONGEST_VARCHAR = 4096
"""Characters; a row holds 65,535 bytes in all, so several long ones would be too much for it."""


def ddl(type_: ColumnType, *, is_key: bool = False) -> str:
    """The type's words in a CREATE TABLE; LoadError for a key of a type that gets no index."""
    if is_key and type_.kind is Kind.JSON:
        raise LoadError("A json column cannot be a key on MySQL. Declare it varchar(n), or take another column.")
    if is_key and type_.kind in _KEY_DDL and type_.length is None:
        return _KEY_DDL[type_.kind]
    if type_.kind is Kind.INTEGER:
        return str(type_).upper()
    if type_.length is not None:
        return f"VARCHAR({type_.length})" if is_key or type_.length <= _LONGEST_VARCHAR else "LONGTEXT"
    if type_.precision is not None:
        return f"DECIMAL({type_.precision}, {type_.scale})"
    return _DDL[type_.kind]


def stored(type_: ColumnType, value: Any) -> Any:
    """What goes into a column of the type for `value`: text or Python value; BadValueError when the type refuses it.

    A Decimal for numerics, a naive datetime in UTC for both kinds of timestamp.
    """
    kept = to_value(type_, value)
    if isinstance(kept, datetime):
        return _in_utc(kept)
    if isinstance(kept, Decimal):
        if type_.precision is None:
            check_bare(kept, value, "MySQL")
        return kept
    return kept + 0.0 if isinstance(kept, float) else kept  # 0.0 for -0.0, as the other databases have it


def bound(value: Any) -> Any:
    """A parameter's value in the form that `stored` keeps, to compare with: an instant in UTC."""
    return _in_utc(value) if isinstance(value, datetime) else value


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


# -- text of a file as literals

Literal = Callable[[str], str]
"""A field of a file as SQL: `NULL`, `17`, `'text'`. Raises BadValueError."""


Refusal = Callable[[Any], str | None]
"""Why a stored value would be changed by its column, as the end of a sentence; None where it is kept."""


def literals(
    columns: Sequence[Column],
    null_values: Sequence[str],
    escape: Callable[[Any], str],
    refusals: Mapping[str, Refusal],
) -> list[Literal]:
    """For each column what makes SQL of its fields; `escape` is the driver's, for any stored value.

    `refusals` are those of the columns that have one, by name. What is in the form that nearly every file uses becomes
    a literal as it is: converted and written again it would be the same. All else goes through `stored`.
    """
    nulls = frozenset(null_values)
    return [_literal_of(column, nulls, escape, refusals.get(column.name)) for column in columns]


def _literal_of(
    column: Column, nulls: frozenset[str], escape: Callable[[Any], str], refusal: Refusal | None
) -> Literal:
    match = _common_form(column.type) if refusal is None else None
    quotes = column.type.kind not in (Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT)

    def literal(field: str) -> str:
        if field in nulls:
            return "NULL"
        if match is not None and match(field):
            return f"'{field}'" if quotes else field
        try:
            value = stored(column.type, field)
        except BadValueError as error:
            raise error.in_column(column) from None
        check(column, value, refusal)
        return escape(value)

    return literal


def check(column: Column, value: Any, refusal: Refusal | None) -> None:
    """BadValueError, with its column, for a stored value that the column would change."""
    reason = None if refusal is None else refusal(value)
    if reason is not None:
        raise BadValueError(value if isinstance(value, str) else str(value), reason, column)


_INTEGER_DIGITS = {16: 4, 32: 9, 64: 18}
"""As many as fit whatever they are."""
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DAY = "(?:0[1-9]|[1-9][0-9])(?:[0-9]{2})-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
"""Of the years from 100 on; a day that every month has."""


def _common_form(type_: ColumnType) -> Callable[[str], Any] | None:
    pattern = _pattern(type_)
    return None if pattern is None else re.compile(pattern).fullmatch


def _pattern(type_: ColumnType) -> str | None:
    kind = type_.kind
    if kind is Kind.INTEGER:
        return f"0|-?[1-9][0-9]{{0,{_INTEGER_DIGITS[type_.bits] - 1}}}"
    if kind is Kind.NUMERIC:
        precision, scale = type_.precision or BARE_PRECISION, type_.scale if type_.precision else BARE_SCALE
        return _decimal(precision - (scale or 0), scale or 0)
    if kind is Kind.TEXT:
        longest = "" if type_.length is None else str(type_.length)
        return rf"[\x20-\x21\x23-\x26\x28-\x5b\x5d-\x7e]{{0,{longest}}}"  # ASCII without quotes and backslashes
    if kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return f"{_DAY} {_CLOCK}"
    return _DAY if kind is Kind.DATE else None


def _decimal(before: int, behind: int) -> str | None:
    if before < 1:
        return None
    fraction = rf"(?:\.[0-9]{{1,{behind}}})?" if behind else ""
    return rf"-?(?:0|[1-9][0-9]{{0,{before - 1}}}){fraction}"
