"""Records of Python as the lines of a CSV file that Redshift's COPY reads; knows no connection.

NULL is a word made up for each attempt, which no text can be by chance: so an empty text stays one, and any text that
looks like another NULL.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any

from etlctl.db.columns import BadValueError, Column
from etlctl.db.dialects.base import BadRecordError
from etlctl.db.dialects.lines import FieldForm, Lines, RowsAsText, in_blocks
from etlctl.db.dialects.redshift.values import stored

_ROWS = 256
"""Turned at a time."""
_BLOCK = 1 << 18
"""Characters handed out at a time, about."""
_MARKS = '",\r\n'
_TO_QUOTE = re.compile(f"[{_MARKS}]")


def made_up_null() -> str:
    """A word for NULL that no text is."""
    return f"etlctl-null-{secrets.token_hex(8)}"


class CsvEncoder:
    """Turns records into lines; `rows` counts those it has handed out.

    `nulls` are the words for NULL of records that are a file's text, which is converted; None when all values are in
    the form the database stores. Raises BadRecordError.
    """

    def __init__(
        self, columns: Sequence[Column], *, nulls: Collection[str] | None, constants: Mapping[Column, Any]
    ) -> None:
        self.rows = 0
        self.null = made_up_null()
        """What stands for NULL in the lines."""
        self._columns = tuple(columns)
        self._nulls = None if nulls is None else frozenset(nulls)
        self._form = FieldForm(self.null, _field, separator=",", marks=_MARKS)
        fixed = [self.null if value is None else _field(value) for value in constants.values()]
        self._end = ",".join(["", *fixed] if columns else fixed) + "\n"
        self._is_narrow = len(columns) + len(fixed) == 1

    def blocks(self, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
        """The lines of all rows, some thousand at a time, no line in two blocks; exceptions of the rows pass."""
        return in_blocks(self._lines(rows), _BLOCK)

    def _lines(self, rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        if not self._columns:
            for _ in rows:
                self.rows += 1
                yield self._end
            return
        for found in self._written(rows):
            lines: list[str] = found if isinstance(found, Lines) else self._joined(found)
            if self._is_narrow:  # an empty line could be passed over as none
                lines = [line or '""' for line in lines]
            self.rows += len(lines)
            lines.append("")
            yield self._end.join(lines)

    def _joined(self, fields: Sequence[Sequence[str]]) -> list[str]:
        self._refuse_nulls(fields)
        return list(map(",".join, zip(*fields, strict=True)))

    def _written(self, rows: Iterable[Sequence[Any]]) -> Iterator[Lines | Sequence[Sequence[str]]]:
        """Some rows at a time: lines, or the fields of each column."""
        if isinstance(rows, RowsAsText):
            yield from rows.as_text(self._form, [column.name for column in self._columns if not column.nullable])
            return
        left = iter(rows)
        while batch := list(islice(left, _ROWS)):
            columns = zip(self._columns, zip(*batch, strict=True), strict=True)
            yield [self._texts(column, values) for column, values in columns]

    def _refuse_nulls(self, fields: Sequence[Sequence[str]]) -> None:
        for column, texts in zip(self._columns, fields, strict=True):
            if not column.nullable and self.null in texts:
                error = BadValueError(None, "(NULL) where the table says NOT NULL", column)
                raise BadRecordError(self.rows + list(texts).index(self.null), error)

    def _texts(self, column: Column, values: Sequence[Any]) -> list[str]:
        known: dict[Any, str] = {None: self.null}
        texts = []
        for number, value in enumerate(values):
            key = None if value is None else (type(value), value)
            try:
                text = known.get(key)
            except TypeError:  # a value that cannot be a key
                key, text = None, self.null if value is None else None
            if text is None:
                text = self._text(column, value, self.rows + number)
                if key is not None:
                    known[key] = text
            texts.append(text)
        return texts

    def _text(self, column: Column, value: Any, number: int) -> str:
        if self._nulls is None:
            return _field(value)
        if value in self._nulls:
            return self.null
        try:
            kept = stored(column.type, value)
        except BadValueError as error:
            raise BadRecordError(number, error.in_column(column)) from error
        return self.null if kept is None else _field(kept)


def _field(value: Any) -> str:
    """A value in the form the database stores, as one field."""
    for base in type(value).__mro__:
        if base in _BY_TYPE:
            text = _BY_TYPE[base](value)
            break
    else:
        text = str(value)
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text


def _truth(value: bool) -> str:
    return "true" if value else "false"


_BY_TYPE: dict[type, Callable[[Any], str]] = {
    str: str,
    bool: _truth,
    int: str,
    float: repr,
    Decimal: lambda number: format(number, "f"),
    datetime: lambda moment: moment.isoformat(" "),
    date: date.isoformat,
    time: time.isoformat,
}
