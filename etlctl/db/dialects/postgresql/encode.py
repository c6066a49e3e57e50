r"""Records of Python as the lines of COPY's text format (chapter "COPY" of PostgreSQL's manual); knows no connection.

Each of ten million values is touched here, so they are turned by columns, some hundred rows at a time, and where all of
a column are alike in the way that is usual, by one call of `map` or `str.join`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any

from etlctl.db.columns import BadValueError, Column, Kind
from etlctl.db.dialects.base import BadRecordError
from etlctl.db.dialects.lines import FieldForm, Lines, RowsAsText, in_blocks
from etlctl.db.dialects.postgresql.values import stored

_ROWS = 256
"""Turned at a time."""
_BLOCK = 1 << 17
"""Characters sent at a time, about."""
_NULL = r"\N"
_NONE = type(None)
_REMEMBERED = frozenset((int, date, datetime, time, bool))
_PLAIN = frozenset((int, float, Decimal, date, datetime, time, bool))
"""Their text has nothing to escape, and is never empty."""
_MOST_REMEMBERED, _IN_ALL = 10_000, 100_000
"""Values whose text is kept, of a column and of all: codes, days and moments come again and again."""
_MARKS = "\\\t\n\r"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_COMMON_FORMS = {
    Kind.INTEGER: {bits: rf"(?:0|-?[1-9][0-9]{{0,{digits}}}+)" for bits, digits in ((16, 3), (32, 8), (64, 17))},
    Kind.NUMERIC: {32: r"-?(?:0|[1-9][0-9]{0,100}+)(?:\.[0-9]{1,100}+)?+"},
}
"""By kind and bits: text that is what `to_value` makes of it, as text again."""


class LineEncoder:
    """Turns records into lines; `rows` counts those it has handed out.

    `nulls` are the words for NULL of records that are a file's text, which is converted; None when all values are in
    the form the database stores. `required` are the columns that take no NULL. Raises BadRecordError.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        nulls: Collection[str] | None,
        constants: Mapping[Column, Any],
        required: Collection[str],
    ) -> None:
        self.rows = 0
        self._records = tuple(columns)
        self._required = frozenset(required)
        self._columns = [_ColumnEncoder(column, nulls, column.name in required, len(columns)) for column in columns]
        fixed = [_NULL if value is None else _field_of(value) for value in constants.values()]
        self._end = "\t".join(["", *fixed] if columns else fixed) + "\n"

    def blocks(self, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
        """The lines of all rows; exceptions of the rows pass through."""
        return in_blocks(self._lines(rows), _BLOCK)

    def _lines(self, rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        if not self._columns:
            for _ in rows:
                self.rows += 1
                yield self._end
            return
        for found in self._written(rows):
            lines = found if isinstance(found, Lines) else list(map("\t".join, zip(*found, strict=True)))
            self.rows += len(lines)
            lines.append("")
            yield self._end.join(lines)

    def _written(self, rows: Iterable[Sequence[Any]]) -> Iterator[Lines | Sequence[Sequence[str]]]:
        """Some rows at a time: lines, or the fields of each column."""
        if isinstance(rows, RowsAsText):
            for found in rows.as_text(_FORM, self._required):
                if not isinstance(found, Lines):
                    self._refuse_nulls(found)
                yield found
            return
        for columns in _by_columns(rows):
            yield [self._texts(encoder, values) for encoder, values in zip(self._columns, columns, strict=True)]

    def _refuse_nulls(self, fields: Sequence[Sequence[str]]) -> None:
        for column, texts in zip(self._records, fields, strict=True):
            if column.name in self._required and _NULL in texts:
                raise BadRecordError(self.rows + texts.index(_NULL), _null_in(column))

    def _texts(self, encoder: _ColumnEncoder, values: Sequence[Any]) -> Sequence[str]:
        try:
            return encoder.texts(values)
        except _RefusedError as refused:
            raise BadRecordError(self.rows + refused.index, refused.error) from refused


def _null_in(column: Column) -> BadValueError:
    return BadValueError(None, "(NULL) where the table says NOT NULL", column)


def _by_columns(rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    left = iter(rows)
    while batch := list(islice(left, _ROWS)):
        yield list(zip(*batch, strict=True))


class _RefusedError(Exception):
    def __init__(self, index: int, error: BadValueError) -> None:
        self.index = index
        self.error = error
        super().__init__(str(error))


class _ColumnEncoder:
    def __init__(self, column: Column, nulls: Collection[str] | None, is_required: bool, width: int) -> None:
        self._column = column
        self._nulls = None if nulls is None else frozenset(nulls)
        self._is_required = is_required
        form = _COMMON_FORMS.get(column.type.kind, {}).get(column.type.bits) if column.type.precision is None else None
        self._most_known = min(_MOST_REMEMBERED, _IN_ALL // width)
        self._known: dict[type | None, dict[Any, str]] = {}
        self._all_common = None if form is None else re.compile(rf"(?>(?:{form}\t)*)").fullmatch

    def texts(self, values: Sequence[Any]) -> Sequence[str]:
        """The fields, NULL included. Raises _RefusedError."""
        if self._nulls is not None:
            if not self._nulls.isdisjoint(values):
                values = [None if value in self._nulls else value for value in values]
            values = self._converted(values)
        kinds = set(map(type, values))
        if _NONE in kinds:
            if self._is_required:
                raise _RefusedError(list(values).index(None), _null_in(self._column))
            kinds.discard(_NONE)
        kind = kinds.pop() if len(kinds) == 1 else None
        known = self._known.setdefault(kind, {None: _NULL}) if kind in _REMEMBERED else None
        if known is not None:  # of one such type only the same are equal
            with suppress(KeyError):
                return list(map(known.__getitem__, values))
            if len(known) < self._most_known:
                known.update({value: text_of(value) for value in values if value not in known})
                return list(map(known.__getitem__, values))
        return _written(kind, values)

    def _converted(self, values: Sequence[str | None]) -> Sequence[Any]:
        """The text of fields as values, or as it is where that makes no difference."""
        if self._all_common is not None:
            present = [value for value in values if value is not None]
            joined = "\t".join([*present, ""])
            if joined.count("\t") == len(present) and self._all_common(joined):
                return values
        known: dict[str | None, Any] = {None: None}
        kept = []
        for index, value in enumerate(values):
            if value not in known:
                try:
                    known[value] = stored(self._column.type, value)
                except BadValueError as error:
                    raise _RefusedError(index, error.in_column(self._column)) from error
            kept.append(known[value])
        return kept


def _written(kind: type | None, values: Sequence[Any]) -> Sequence[str]:
    """Fields of values, which are all of one type or None, or of any."""
    if kind is None:
        return [_NULL if value is None else _field_of(value) for value in values]
    if kind is str:
        return _escaped(values)
    render = _BY_TYPE.get(kind, text_of)
    if None in values:
        texts = [None if value is None else render(value) for value in values]
        return _escaped(texts) if kind not in _PLAIN else [text or _NULL for text in texts]
    return list(map(render, values)) if kind in _PLAIN else _escaped(list(map(render, values)))


def _escaped(texts: Sequence[str | None]) -> Sequence[str]:
    joined = "".join(filter(None, texts))
    if any(mark in joined for mark in _MARKS):
        return [_NULL if text is None else text.translate(_ESCAPES) for text in texts]
    if None in texts:
        return [_NULL if text is None else text for text in texts]
    return texts  # type: ignore[return-value]  # no None is in it


def text_of(value: Any) -> str:
    """A value in the form the database stores, as text that it takes for any type."""
    for base in type(value).__mro__:
        if base in _BY_TYPE:
            return _BY_TYPE[base](value)
    return str(value)


def _truth(value: bool) -> str:
    return "t" if value else "f"


def _moment(value: datetime) -> str:
    return value.isoformat(" ")


def _hexadecimal(value: bytes) -> str:
    return "\\x" + value.hex()


_BY_TYPE: dict[type, Callable[[Any], str]] = {
    str: str,
    bool: _truth,
    int: str,
    float: repr,
    Decimal: str,
    datetime: _moment,
    date: date.isoformat,
    time: time.isoformat,
    bytes: _hexadecimal,
}


def _field_of(value: Any) -> str:
    return text_of(value).translate(_ESCAPES)


_FORM = FieldForm(_NULL, _field_of, separator="\t", marks=_MARKS)
