"""Many values of one column at a time in the form a database stores; the meaning of each is the dialect's `stored`.

Of ten million values nearly all are what they should be, and alike: one look at the types of some hundred tells, and
what is to be done for each is then done outside of Python. What is not alike goes one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from math import isfinite
from typing import Any

from etlctl.db.columns import BadValueError, Column, ColumnType, Kind

Stored = Callable[[ColumnType, Any], Any]
"""`Dialect.stored`."""

_NONE = type(None)
_REMEMBERED = 10_000
_REMEMBERED_IN_ALL = 100_000
"""Values whose form is kept, of a column and of all, so that a day or a code that comes a million times is converted
once. A column with more of them is converted without."""
_DIGITS = {16: 4, 32: 9, 64: 18}
"""As many as fit whatever they are."""
MOMENTS = (Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
LONG = (Kind.JSON, Kind.BYTES)
"""Whose values may be so large that none is kept for the next that is the same."""


def whole_number(type_: ColumnType) -> str:
    """A pattern for an integer as Python writes it, which fits the type whatever it is."""
    return rf"(?:0|-?[1-9][0-9]{{0,{_DIGITS[type_.bits] - 1}}}+)"


_DAY = (
    "(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_MOMENT = rf"{_DAY} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.(?!000000)[0-9]{{6}})?"
_CANONICAL = {Kind.DATE: _DAY, Kind.TIMESTAMP: _MOMENT, Kind.TIMESTAMPTZ: rf"{_MOMENT}\+00:00"}
_MOST_FRACTION, _MOST_WHOLE = 6, 28
"""Digits of a numeric that Python writes without an exponent, and that every database holds where none are declared."""


def canonical(type_: ColumnType) -> str | None:
    """A pattern for texts that are what Python writes of the value that they become, which the type takes for sure.

    A text that it does not match may be so too (the last of February, say). None where there is no such pattern.
    """
    if type_.kind is not Kind.NUMERIC:
        return _CANONICAL.get(type_.kind)
    if type_.precision is None or type_.scale is None:
        return rf"-?(?:0|[1-9][0-9]{{0,{_MOST_WHOLE - 1}}})(?:\.[0-9]{{1,{_MOST_FRACTION}}})?"
    if type_.scale > _MOST_FRACTION:
        return None
    digits = type_.precision - type_.scale
    whole = rf"(?:0|[1-9][0-9]{{0,{digits - 1}}})" if digits else "0"
    return rf"-?{whole}\.[0-9]{{{type_.scale}}}" if type_.scale else f"-?{whole}"


class RefusedError(Exception):
    """A value that its column refuses, and which of those that were given it is."""

    def __init__(self, index: int, error: BadValueError) -> None:
        self.index = index
        self.error = error
        super().__init__(str(error))


class ColumnValues:
    """Converts the values of one column of `width`. `null_values` are words, and other values, that mean NULL."""

    def __init__(self, column: Column, stored: Stored, null_values: Collection[Any], width: int) -> None:
        self._column = column
        self._stored = stored
        self._null_words = frozenset(word for word in null_values if isinstance(word, str))
        self._null_others = [word for word in null_values if not isinstance(word, str) and word is not None]
        self._known: dict[type, dict[Any, Any]] = {}
        self._most_known = min(_REMEMBERED, _REMEMBERED_IN_ALL // width)
        whole = re.compile(rf"(?>(?:{whole_number(column.type)}\t)*)")
        self._all_whole = whole.fullmatch if column.type.kind is Kind.INTEGER else None

    def stored(self, values: Sequence[Any]) -> Sequence[Any]:
        """In the form the database stores, NULL as None. Raises RefusedError."""
        kinds = set(map(type, values))
        kinds.discard(_NONE)
        if self._null_others or len(kinds) != 1:
            return self._one_by_one(values)
        kind = kinds.pop()
        if kind is str and self._column.type.kind is Kind.TEXT:
            if not self._null_words.isdisjoint(values):
                values = [None if value in self._null_words else value for value in values]
            return values if self._are_texts(values) else self._one_by_one(values)
        if self._are_stored(kind, values):
            return values
        column_kind = self._column.type.kind
        is_alike = kind in (str, date, bool) or (kind is datetime and column_kind in MOMENTS)
        if is_alike and column_kind not in LONG:
            return self._remembered(kind, values)  # of one such type only the same are equal
        return self._one_by_one(values)

    def _are_texts(self, values: Sequence[str | None]) -> bool:
        """Whether every database stores all of them as they are."""
        try:
            joined = "".join(values)  # type: ignore[arg-type]  # a NULL among them is told by the error
        except TypeError:
            values = [value for value in values if value is not None]
            joined = "".join(values)  # type: ignore[arg-type]  # none is left
        length = self._column.type.length
        if "\0" in joined or (length is not None and len(max(values, key=len, default="")) > length):  # type: ignore[arg-type]  # as above
            return False
        return is_unicode(joined)

    def _are_stored(self, kind: type, values: Sequence[Any]) -> bool:
        """As for texts."""
        type_ = self._column.type
        if (kind, type_.kind) not in ((int, Kind.INTEGER), (float, Kind.FLOAT)):
            return False
        if None in values:
            values = [value for value in values if value is not None]
        if kind is float:
            return 0.0 not in values and all(map(isfinite, values))
        limit = 1 << (type_.bits - 1)
        return bool(-limit <= min(values) and max(values) < limit)

    def _remembered(self, kind: type, values: Sequence[Any]) -> Sequence[Any]:
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = dict.fromkeys((None, *self._null_words))
        try:
            return list(map(known.__getitem__, values))
        except KeyError:
            pass
        if len(known) > self._most_known:
            return self._varied(kind, values)
        try:
            known.update({value: self._one(0, value) for value in values if value not in known})
        except RefusedError:
            return self._one_by_one(values)  # tells which it was
        return list(map(known.__getitem__, values))

    def _varied(self, kind: type, values: Sequence[Any]) -> Sequence[Any]:
        texts = self._whole_texts(values) if kind is str and self._all_whole is not None else None
        if texts is None:
            return self._one_by_one(values)
        return [None if text is None else int(text) for text in texts]

    def _whole_texts(self, values: Sequence[str | None]) -> Sequence[str | None] | None:
        """The texts, NULL as None, where all are integers as Python writes them."""
        if not self._null_words.isdisjoint(values):
            values = [None if value in self._null_words else value for value in values]
        present = [value for value in values if value is not None] if None in values else values
        joined = "\t".join((*present, ""))  # type: ignore[arg-type]  # no None is left
        matches = joined.count("\t") == len(present) and self._all_whole is not None and self._all_whole(joined)
        return values if matches else None

    def _one_by_one(self, values: Sequence[Any]) -> Sequence[Any]:
        return [None if self._is_null(value) else self._one(index, value) for index, value in enumerate(values)]

    def _one(self, index: int, value: Any) -> Any:
        try:
            return self._stored(self._column.type, value)
        except BadValueError as error:
            raise RefusedError(index, error.in_column(self._column)) from error

    def _is_null(self, value: Any) -> bool:
        if isinstance(value, str):
            return value in self._null_words
        return value is None or any(type(value) is type(other) and value == other for other in self._null_others)


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it: half a surrogate pair it cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
