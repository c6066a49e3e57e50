"""Many values of one column at a time in the form a database stores; the meaning of each is the dialect's `stored`.

Of ten million values nearly all are what they should be, and alike: one look at the types of some hundred tells, and
what is to be done for each is then done outside of Python. What is not alike goes one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import date
from math import isfinite
from typing import Any

from etlctl.db.columns import BadValueError, Column, ColumnType, Kind

Stored = Callable[[ColumnType, Any], Any]
"""`Dialect.stored`."""

_NONE = type(None)
_REMEMBERED = 4096
"""Values of a column whose form is kept, so that a day or a code that comes a million times is converted once."""
_DIGITS = {16: 4, 32: 9, 64: 18}
"""As many as fit whatever they are."""


class RefusedError(Exception):
    """A value that its column refuses, and which of those that were given it is."""

    def __init__(self, index: int, error: BadValueError) -> None:
        self.index = index
        self.error = error
        super().__init__(str(error))


class ColumnValues:
    """Converts the values of one column. `null_values` are words, and other values, that mean NULL."""

    def __init__(self, column: Column, stored: Stored, null_values: Collection[Any]) -> None:
        self._column = column
        self._stored = stored
        self._null_words = frozenset(word for word in null_values if isinstance(word, str))
        self._null_others = [word for word in null_values if not isinstance(word, str) and word is not None]
        self._known: dict[type, dict[Any, Any]] = {}
        whole = rf"(?:-?[0-9]{{1,{_DIGITS[column.type.bits]}}}+\t)*+"
        self._all_whole = re.compile(whole).fullmatch if column.type.kind is Kind.INTEGER else None

    def stored(self, values: Sequence[Any]) -> Sequence[Any]:
        """In the form the database stores, NULL as None. Raises RefusedError."""
        kinds = set(map(type, values))
        if self._null_others or len(kinds - {_NONE}) != 1:
            return self._one_by_one(values)
        if str in kinds and not self._null_words.isdisjoint(values):
            values = [None if value in self._null_words else value for value in values]
            kinds = set(map(type, values))
        kind = next(iter(kinds - {_NONE}), _NONE)
        present = [value for value in values if value is not None] if _NONE in kinds else values
        if self._are_stored(kind, present):
            return values
        if kind is str and self._all_whole is not None:
            joined = "\t".join((*present, ""))
            if joined.count("\t") == len(present) and self._all_whole(joined):
                return list(map(int, values)) if present is values else [v if v is None else int(v) for v in values]
        if kind in (str, date, bool):  # of one such type only the same are equal
            return self._remembered(kind, values)
        return self._one_by_one(values)

    def _are_stored(self, kind: type, present: Sequence[Any]) -> bool:
        """Whether every database stores all of them as they are."""
        type_ = self._column.type
        if not present:
            return True
        if kind is int and type_.kind is Kind.INTEGER:
            limit = 1 << (type_.bits - 1)
            return bool(-limit <= min(present) and max(present) < limit)
        if kind is str and type_.kind is Kind.TEXT:
            joined = "".join(present)
            return joined.isascii() and "\0" not in joined and max(map(len, present)) <= (type_.length or len(joined))
        return kind is float and type_.kind is Kind.FLOAT and 0.0 not in present and all(map(isfinite, present))

    def _remembered(self, kind: type, values: Sequence[Any]) -> Sequence[Any]:
        known = self._known.setdefault(kind, {None: None})
        kept = []
        for index, value in enumerate(values):
            if value not in known:
                if len(known) > _REMEMBERED:
                    known.clear()
                    known[None] = None
                known[value] = self._one(index, value)
            kept.append(known[value])
        return kept

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
