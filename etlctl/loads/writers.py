r"""Rows of a database as lines of CSV, TSV or JSON; opens no file, and knows no database.

The same rows give the same text, whatever database and driver they come from:

    numbers       plain decimal digits, no exponent and no zeros at the end (12.50: 12.5); a numeric(p,s) has s digits
                  behind the point, and more where a database that does not hold it to s has kept more
    booleans      true, false: also where the database keeps 1 and 0 in a column declared boolean
    dates, times  ISO 8601 with a blank, 2013-01-01 05:00:00, and a fraction of a second without zeros at the end; an
                  instant in UTC, without its zone, as loads keep it
    bytes         \x and hexadecimal digits
    json          as it stands; in JSON lines as a part of the line
    text          as it is

All of it is what LoadTable reads back. Batches of rows are turned column by column, since most of the work on a column
can then be done outside of Python; that is what csv.writer takes for the same, and csv.writer has no way to tell an
empty text from NULL before Python 3.12.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Protocol

from etlctl.db.columns import ColumnType, Kind
from etlctl.errors import BadDataError
from etlctl.text import shortened

Render = Callable[[Any], str]
"""A value that is not None as text."""


class RowWriter(Protocol):
    """Turns rows into text, or into the bytes of a file that is none (loads/parquet.py)."""

    rows: int
    """How many rows it has taken."""

    def head(self) -> str | bytes:
        """What stands before the rows."""

    def lines(self, rows: Sequence[Sequence[Any]]) -> str | bytes:
        """The rows as whole lines; at least one row. BadDataError, naming row and column, for what has no form."""

    def end(self) -> str | bytes:
        """What ends the file."""


class DelimitedWriter:
    """CSV (RFC 4180, lines end with LF), and TSV, which is the same with tabs.

    A field is quoted where it must be: it holds the delimiter, a quote or a line end, it is a text that would read as
    NULL, or it would make a line `\\.`, where COPY stops reading before PostgreSQL 18. NULL is the word `null` without
    quotes, so `a,,c` has a NULL and `a,"",c` an empty text; PostgreSQL's COPY reads it so, most other readers take both
    for one.
    """

    def __init__(
        self,
        names: Sequence[str],
        types: Sequence[ColumnType | None],
        *,
        delimiter: str = ",",
        null: str = "",
        header: bool = True,
        escape_formulas: bool = False,
    ) -> None:
        self.rows = 0
        self.delimiter = delimiter
        self._null = null
        self._marks = (delimiter, '"', "\n", "\r")
        self._quoted_besides = "\\." if len(names) == 1 else null
        of_text: Render = _not_a_formula if escape_formulas else _as_it_is
        self._head = self._line([self._quoted(of_text(name)) for name in names]) if header else ""
        self._renders = [_Renders(type_, of_text) for type_ in types]

    def head(self) -> str:
        """The names of the columns, unless there is to be no header."""
        return self._head

    def lines(self, rows: Sequence[Sequence[Any]]) -> str:
        """See `RowWriter.lines`."""
        self.rows += len(rows)
        columns = map(self._fields, self._renders, zip(*rows, strict=True))
        return "\n".join(map(self.delimiter.join, zip(*columns, strict=True))) + "\n"

    def end(self) -> str:
        """Nothing: a line ends itself."""
        return ""

    def _line(self, fields: Sequence[str]) -> str:
        return self.delimiter.join(fields) + "\n"

    def _fields(self, renders: _Renders, column: Sequence[Any]) -> Sequence[str]:
        texts = renders.texts(column)
        joined = "".join(filter(None, texts))
        if self._null in texts or self._quoted_besides in texts or any(mark in joined for mark in self._marks):
            return [self._null if text is None else self._quoted(text) for text in texts]
        if None in texts:
            return [self._null if text is None else text for text in texts]
        return texts  # type: ignore[return-value]  # no None is in it

    def _quoted(self, text: str) -> str:
        if text == self._null or text == self._quoted_besides or any(mark in text for mark in self._marks):
            return '"' + text.replace('"', '""') + '"'
        return text


class JsonLinesWriter:
    """One JSON object a line, without blanks, keys in the columns' order: numbers, booleans and null are JSON's own."""

    def __init__(self, names: Sequence[str], types: Sequence[ColumnType | None]) -> None:
        self.rows = 0
        self._names = list(names)
        keys = (encode_basestring(name).replace("%", "%%") for name in names)
        self._object = "{" + ",".join(f"{key}:%s" for key in keys) + "}\n"
        self._renders = [_Renders(type_, encode_basestring, _JSON) for type_ in types]

    def head(self) -> str:
        """Nothing: each line has its own keys."""
        return ""

    def lines(self, rows: Sequence[Sequence[Any]]) -> str:
        """See `RowWriter.lines`; JSON has no infinity and no NaN."""
        columns = [self._literals(index, column) for index, column in enumerate(zip(*rows, strict=True))]
        self.rows += len(rows)
        return "".join(map(self._object.__mod__, zip(*columns, strict=True)))

    def end(self) -> str:
        """Nothing: a line ends itself."""
        return ""

    def _literals(self, index: int, column: Sequence[Any]) -> Sequence[str]:
        texts = self._renders[index].texts(column)
        if any(word in texts for word in _NO_NUMBERS):
            found, text = next((number, text) for number, text in enumerate(texts) if text in _NO_NUMBERS)
            raise BadDataError(
                f"row {self.rows + found + 1}, column {shortened(self._names[index])}: {text} is no number in JSON"
            )
        return ["null" if text is None else text for text in texts] if None in texts else texts  # type: ignore[return-value]  # no None is left


class _Renders:
    """How the values of one column become text, by their Python type."""

    def __init__(self, type_: ColumnType | None, of_text: Render, further: Sequence[tuple[type, Render]] = ()) -> None:
        self._of_text = of_text
        self._by_type: dict[type, Render] = dict(_BY_TYPE) | {str: of_text} | dict(further)
        if type_ is None:
            return
        if type_.kind is Kind.BOOLEAN:
            self._by_type[int] = _truth
        elif type_.kind is Kind.NUMERIC and type_.scale is not None:
            self._by_type |= dict.fromkeys((int, float, Decimal), _with_digits(type_.scale))
        elif type_.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.TIME):  # text where the database has no such type
            self._by_type[str] = lambda text: of_text(_without_zeros(text))
        elif type_.kind is Kind.JSON and further:
            self._by_type[str] = _document

    def texts(self, column: Sequence[Any]) -> Sequence[str | None]:
        """The texts of the values; None stays None."""
        kinds = set(map(type, column))
        nullable = _NONE in kinds
        kinds.discard(_NONE)
        if len(kinds) != 1:
            return [None if value is None else self._of(type(value))(value) for value in column]
        render = self._of(kinds.pop())
        if render is _as_it_is:
            return column
        if nullable:
            return [None if value is None else render(value) for value in column]
        return list(map(render, column))

    def _of(self, kind: type) -> Render:
        found = self._by_type.get(kind)
        if found is None:
            bases: Collection[Render] = [self._by_type[base] for base in kind.__mro__ if base in self._by_type]
            found = self._by_type[kind] = next(iter(bases), lambda value: self._of_text(str(value)))
        return found


_NONE = type(None)
_NO_NUMBERS = (
    "inf",
    "-inf",
    "nan",
    "NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
)  # of float and Decimal; a JSON text has quotes


_FRACTION = re.compile(r"(:[0-9]{2}\.[0-9]*?)0+$")


def _as_it_is(text: str) -> str:
    return text


def _not_a_formula(text: str) -> str:
    """A spreadsheet runs a cell that begins so: https://owasp.org/www-community/attacks/CSV_Injection."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


# --- one value ----------------------------------------------------------------------------------------------------


def _boolean(value: Any) -> str:
    return "true" if value else "false"


def _truth(value: int) -> str:
    """Of a column declared boolean in a database without booleans; what else it may hold there stays what it is."""
    return "true" if value == 1 else "false" if value == 0 else str(value)


def _float(value: float) -> str:
    text = repr(value + 0.0)  # no negative zero
    if text.endswith(".0"):
        return text[:-2]
    return format(Decimal(text), "f") if "e" in text else text


def _decimal(value: Decimal) -> str:
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _with_digits(scale: int) -> Render:
    """Numbers with `scale` digits behind the point, or with all their digits where those are more."""
    form = f".{scale}f"
    limit = 10.0 ** (15 - scale)  # a float below it tells any number of that many digits from its neighbours

    def render(value: Any) -> str:
        if type(value) is float:
            if -limit < value < limit and float(text := format(value + 0.0, form)) == value:
                return text
            value = repr(value)
        number = Decimal(value)
        if not number.is_finite():
            return str(value)
        plain = _decimal(number)
        digits = len(plain.partition(".")[2])
        if digits >= scale:
            return plain
        return plain + ("" if digits else ".") + "0" * (scale - digits)

    return render


def _instant(value: datetime) -> str:
    """As loads keep it, `db/values.py`: an aware one in UTC, without its zone."""
    return _without_zeros(
        (value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)).isoformat(" ")
    )


def _clock(value: time) -> str:
    return _without_zeros(value.isoformat())


def _without_zeros(text: str) -> str:
    """A moment with a fraction of its second as short as it can be, which is how PostgreSQL writes it."""
    return _FRACTION.sub(r"\1", text) if text.endswith("0") and "." in text else text


def _hexadecimal(value: Any) -> str:
    return "\\x" + bytes(value).hex()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _document(text: str) -> str:
    """A JSON document as it stands, on one line; a text that is none, which SQLite may hold, as a text."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return encode_basestring(text)
    return text.strip().translate(_LINE_ENDS)


_LINE_ENDS = str.maketrans("\r\n", "  ")
"""In a JSON document they are blanks between its parts: a string has them escaped."""


_BY_TYPE: dict[type, Render] = {
    int: str,
    float: _float,
    bool: _boolean,
    Decimal: _decimal,
    datetime: _instant,
    date: date.isoformat,
    time: _clock,
    bytes: _hexadecimal,
    bytearray: _hexadecimal,
    memoryview: _hexadecimal,
    dict: _json,
    list: _json,
}


def _in_quotes(render: Render) -> Render:
    return lambda value: encode_basestring(render(value))


_JSON = [
    (kind, _in_quotes(render))
    for kind, render in _BY_TYPE.items()
    if kind in (datetime, date, time, bytes, bytearray, memoryview)
]
