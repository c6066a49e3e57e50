"""Columns of a file's text in the form that nearly every file uses, told by one look at many fields; runs no SQL.

To convert each field by SQL functions is most of the cost of a load. A text that a column has had before needs no
conversion: `KnownTexts`. Of other columns, where all fields, some dozens at a time, match one pattern, the meaning is
known, and SQLite's column affinity (sqlite.org/datatype3.html) gives exactly what `sqlite_values.stored` would: an
integer of digits alone, a decimal that a float keeps, a day that there is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from etlctl.db.columns import BadValueError, ColumnType, Kind
from etlctl.db.dialects.sqlite.values import stored

Look: TypeAlias = Callable[[Sequence[str]], Sequence[Any] | None]
"""What is to be bound for the fields, of which there is one at least; None where one is not of the common form."""

NULL = math.nan
"""Is NULL to SQLite (sqlite.org/floatingpoint.html). The driver binds it at once, and asks its adapters about None."""

_REMEMBERED = 1_000
_REMEMBERED_IN_ALL = 100_000
"""Texts whose values are kept, of a column and of all: a code, a day or a small number comes a million times. To find
one of more, which the processor's cache does not hold, takes longer than to look at it."""
_LONGEST_REMEMBERED = 50
"""Characters; longer texts hardly come again, and would take memory."""

_END = "\0"  # after each field when they are looked at together; a field that holds it is not of the common form

_DAY_OF_MONTH = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_LEAP_DAY = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29"
_DATE = f"(?:(?!0000)[0-9]{{4}}-{_DAY_OF_MONTH}|{_LEAP_DAY})"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_MOMENT = f"{_DATE}[ T]{_CLOCK}Z?+"
_INTEGER_DIGITS = {16: 4, 32: 9, 64: 18}
"""As many as fit whatever they are."""
_EXACT_DIGITS = 15
"""Decimal digits that an eight-byte float gives back."""


class KnownTexts:
    """The stored values of a column's fields, each text converted once.

    None, and no further use, where a text is refused, or too long to remember, or there are too many of them.
    """

    def __init__(self, type_: ColumnType, null_values: Sequence[str], columns: int) -> None:
        self._values = _Values(type_, min(_REMEMBERED, _REMEMBERED_IN_ALL // columns))
        self._values.update(dict.fromkeys(null_values, NULL))
        self._value_of = self._values.__getitem__

    def __call__(self, fields: Sequence[str]) -> Sequence[Any] | None:
        """See the class."""
        try:
            return list(map(self._value_of, fields))
        except (BadValueError, _TooManyError):
            self._values.clear()
            return None


class _Values(dict[str, Any]):
    """Values by their texts, filled as they are asked for."""

    def __init__(self, type_: ColumnType, most: int) -> None:
        self._type = type_
        self._most = most

    def __missing__(self, text: str) -> Any:
        if len(self) >= self._most or len(text) > _LONGEST_REMEMBERED:
            raise _TooManyError
        value = self[text] = stored(self._type, text)
        return value


class _TooManyError(Exception):
    """The texts of a column are not worth remembering."""


def known_texts(type_: ColumnType, null_values: Sequence[str], columns: int) -> KnownTexts | None:
    """For one of so many columns; None for a type whose texts hardly come again."""
    return None if type_.kind in (Kind.JSON, Kind.BYTES) else KnownTexts(type_, null_values, columns)


def look_for(type_: ColumnType, null_values: Sequence[str]) -> Look | None:
    """The look at a column of this type, or None where its fields are better converted one by one.

    What a look gives is what a column of `sqlite_values.ddl` keeps as `stored` says, and NULL for null words.
    """
    nulls = frozenset(null_values)
    if type_.kind is Kind.TEXT:
        return _texts(math.inf if type_.length is None else type_.length, nulls)
    pattern = _pattern(type_)
    if pattern is None:
        return None
    words = "".join(f"|{re.escape(word)}" for word in null_values)
    all_match = re.compile(f"(?>(?:(?:{pattern}{words}){_END})*)").fullmatch
    if type_.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        if any(mark in word for word in nulls for mark in "TZ"):  # would be changed as the moments are
            return None
        return _matching(all_match, nulls, _moments)
    return _matching(all_match, nulls, _integers if type_.kind is Kind.INTEGER else _as_they_are)


def _pattern(type_: ColumnType) -> str | None:
    if type_.kind is Kind.INTEGER:
        return f"0|-?[1-9][0-9]{{0,{_INTEGER_DIGITS[type_.bits] - 1}}}+"
    if type_.kind is Kind.NUMERIC and type_.precision is not None:
        return _decimal(type_.precision, type_.scale or 0)
    if type_.kind in (Kind.NUMERIC, Kind.FLOAT):
        return f"{_decimal(_EXACT_DIGITS, 12)}|{_decimal(_EXACT_DIGITS, 6)}|{_decimal(_EXACT_DIGITS, 0)}"
    if type_.kind is Kind.DATE:
        return _DATE
    return _MOMENT if type_.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ) else None


def _decimal(precision: int, scale: int) -> str | None:
    """No more digits than fit, before the point and behind it; no zero with a sign, which no column keeps."""
    whole = min(precision, _EXACT_DIGITS) - scale
    if whole < 1:
        return None
    fraction = rf"(?:\.[0-9]{{1,{scale}}}+)?+" if scale else ""
    return rf"-?[1-9][0-9]{{0,{whole - 1}}}+{fraction}|0{fraction}"


def _texts(length: float, nulls: frozenset[str]) -> Look:
    def look(fields: Sequence[str]) -> Sequence[Any] | None:
        is_long = length < math.inf and max(map(len, fields)) > length
        if is_long and any(len(field) > length and field not in nulls for field in fields):
            return None
        return fields if nulls.isdisjoint(fields) else [NULL if field in nulls else field for field in fields]

    return look


def _matching(
    all_match: Callable[[str, int], object], nulls: frozenset[str], values_of: Callable[[Sequence[str]], Sequence[Any]]
) -> Look:
    words = [f"{_END}{word}{_END}" for word in nulls]

    def look(fields: Sequence[str]) -> Sequence[Any] | None:
        joined = _END.join(("", *fields, ""))
        if not all_match(joined, 1) or joined.count(_END) != len(fields) + 1:
            return None
        if not any(word in joined for word in words):
            return values_of(fields)
        values = iter(values_of([field for field in fields if field not in nulls]))
        return [NULL if field in nulls else next(values) for field in fields]

    return look


def _as_they_are(fields: Sequence[str]) -> Sequence[str]:
    return fields


def _integers(fields: Sequence[str]) -> Sequence[int]:
    return list(map(int, fields))


def _moments(fields: Sequence[str]) -> Sequence[str]:
    """`2013-01-02T03:04:05Z` as `2013-01-02 03:04:05`: a moment without a zone is in UTC."""
    return _END.join(fields).replace("T", " ").replace("Z", "").split(_END)
