"""How SQLite keeps the values of our column types, and SQL that converts a file's text as it is inserted.

SQLite has no dates, no booleans and no exact decimals: dates and times are ISO text (what its own functions read), a
boolean is 1 or 0, a numeric is an integer or an eight-byte float. A numeric that such a float would change is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any

from etlctl.db.columns import BadValueError, Column, ColumnType, Kind, sized_words
from etlctl.db.values import to_value

_DDL = {
    Kind.NUMERIC: "NUMERIC",
    Kind.FLOAT: "DOUBLE PRECISION",
    Kind.TEXT: "TEXT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TIMESTAMPTZ: "TIMESTAMP",
    Kind.TIME: "TIME",
    Kind.JSON: "TEXT",  # a column called JSON has numeric affinity and would turn the document 1.10 into 1.1
    Kind.BYTES: "BLOB",
}


def ddl(type_: ColumnType) -> str:
    """The type's words in a CREATE TABLE; its affinity (sqlite.org/datatype3.html) changes nothing `stored` gives."""
    return sized_words(type_, _DDL)


def stored(type_: ColumnType, value: Any) -> int | float | str | bytes | None:
    """What goes into a column of the type for `value`: text or Python value; BadValueError when the type refuses it."""
    kept = to_value(type_, value)
    if isinstance(kept, Decimal):
        return _number(type_, kept, value)
    if isinstance(kept, bool):
        return int(kept)
    if isinstance(kept, datetime):
        return kept.replace(tzinfo=None).isoformat(" ")
    if isinstance(kept, (date, time)):
        return kept.isoformat()
    return kept + 0.0 if isinstance(kept, float) else kept  # a column keeps no negative zero, so that is what we say


def bound(value: Any) -> Any:
    """A parameter's value in the form that `stored` keeps, to compare with: a date as ISO text, an instant in UTC."""
    if isinstance(value, datetime):
        return stored(ColumnType(Kind.TIMESTAMP), value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(ColumnType(Kind.NUMERIC), value, value)
    return int(value) if isinstance(value, bool) else value


def _number(type_: ColumnType, number: Decimal, value: Any) -> int | float:
    if number == number.to_integral_value() and abs(number) < 1 << 63:
        return int(number)
    nearest = float(number)
    if Decimal(repr(nearest)) != number:
        raise BadValueError(
            value, f"would be rounded: SQLite keeps about 15 digits of a {type_.kind.value}; declare it text"
        )
    return nearest


class TextConverter:
    """SQL that turns the text of a file's fields into stored values as they are inserted, about a million rows in 2 s.

    `expressions` has one for each column, over the numbered parameters `?1`, `?2` and so on: a null word is NULL, text
    in the form that nearly every file uses is converted by SQLite itself, all else by `stored`, so the meaning is the
    same everywhere. They go into one INSERT with `executemany(records of str)`; a plain `?` behind them counts on. A
    value that its type refuses stops the statement with sqlite3.OperationalError and is then in `error`.
    """

    def __init__(self, columns: Sequence[Column], null_values: Sequence[str] = ("",)) -> None:
        self.error: BadValueError | None = None
        self._columns = list(columns)
        self._null_values = null_values
        self.expressions = [self.expression(index, f"?{index + 1}") for index in range(len(self._columns))]

    def expression(self, index: int, text: str) -> str:
        """The SQL over the parameter `text` for the column of this index, counted from 0."""
        return _expression(self._columns[index].type, text, self._null_values, f"{_FUNCTION}{index + 1}")

    def register(self, connection: sqlite3.Connection) -> None:
        """Makes the functions that the expressions call known to the driver's connection."""
        for number, column in enumerate(self._columns, start=1):
            connection.create_function(f"{_FUNCTION}{number}", 1, partial(self._convert, column), deterministic=True)

    def _convert(self, column: Column, text: str) -> int | float | str | bytes | None:
        try:
            return stored(column.type, text)
        except BadValueError as error:
            self.error = error.in_column(column)
            raise


_FUNCTION = "etlctl_value_"


def _expression(type_: ColumnType, text: str, null_values: Sequence[str], function: str) -> str:
    is_null = _is_null(text, null_values)
    branches = [f"WHEN {is_null} THEN NULL"] if is_null else []
    for test, value in _BY_SQLITE.get(type_.kind, _nothing)(type_, text):
        if test == _ALWAYS:
            return f"CASE {' '.join(branches)} ELSE {value} END" if branches else value
        branches.append(f"WHEN {test} THEN {value}")
    return f"CASE {' '.join(branches)} ELSE {function}({text}) END" if branches else f"{function}({text})"


def _is_null(text: str, null_values: Sequence[str]) -> str:
    return " OR ".join(f"{text} = {_literal(word)}" for word in null_values)


def _literal(word: str) -> str:
    if "\0" in word:
        raise ValueError("a null word holds a NUL character")
    return "'" + word.replace("'", "''") + "'"


# Each gives (test, value) pairs: where it holds, SQLite's own conversion is exactly that of `stored`. To write the
# converted value back and compare it with the text proves that SQLite has read all of it.


_ALWAYS = "1"


def _nothing(_: ColumnType, _text: str) -> list[tuple[str, str]]:
    return []


def _integers(type_: ColumnType, text: str) -> list[tuple[str, str]]:
    whole = f"CAST({text} AS INTEGER)"
    limit = 1 << (type_.bits - 1)
    in_range = "" if type_.bits == 64 else f" AND {whole} BETWEEN {-limit} AND {limit - 1}"
    return [(f"CAST({whole} AS TEXT) = {text}{in_range}", whole)]


def _numerics(type_: ColumnType, text: str) -> list[tuple[str, str]]:
    if type_.precision is not None:
        return _bounded_numerics(type_, text)
    whole, real = f"CAST({text} AS INTEGER)", f"CAST({text} AS REAL)"
    return [(f"CAST({whole} AS TEXT) = {text}", whole), (f"CAST({real} AS TEXT) = {text}", f"CAST({text} AS NUMERIC)")]


def _bounded_numerics(type_: ColumnType, text: str) -> list[tuple[str, str]]:
    """Up to 15 digits are exact in a float; what `round` leaves as it is needs no rounding to the scale."""
    number, real = f"CAST({text} AS NUMERIC)", f"CAST({text} AS REAL)"
    scale = type_.scale or 0
    limit = 10 ** ((type_.precision or 0) - scale)
    # a comparison with a numeric reads all of the text as a number, or is false
    is_number = f"{text} = {number} AND length({text}) <= 15"
    fits = f"{real} > {-limit}.0 AND {real} < {limit}.0 AND round({real}, {scale}) = {real}"
    return [(f"{is_number} AND {fits}", number)]


def _floats(_: ColumnType, text: str) -> list[tuple[str, str]]:
    whole, real = f"CAST({text} AS INTEGER)", f"CAST({text} AS REAL)"
    return [(f"CAST({whole} AS TEXT) = {text}", real), (f"CAST({real} AS TEXT) = {text}", real)]


def _texts(type_: ColumnType, text: str) -> list[tuple[str, str]]:
    """Bytes are counted first: for a count of characters SQLite copies the text, and no text has more of them."""
    if type_.length is None:
        return [(_ALWAYS, text)]
    return [(f"{_bytes_of(text)} <= {type_.length}", text), (f"length({text}) <= {type_.length}", text)]


def _booleans(_: ColumnType, text: str) -> list[tuple[str, str]]:
    return [(f"{text} IN ('true', 't', '1')", "1"), (f"{text} IN ('false', 'f', '0')", "0")]


_NORMAL = "'+0 days'"  # without a modifier, SQLite before 3.42 gives the 30th of February back as it is


def _dates(_: ColumnType, text: str) -> list[tuple[str, str]]:
    return [(f"date({text}, {_NORMAL}) = {text} AND {text} >= '0001'", text)]


def _timestamps(_: ColumnType, text: str) -> list[tuple[str, str]]:
    """The forms are told apart by length first: a date function costs as much as all the rest of an expression."""
    moment = f"datetime({text}, {_NORMAL})"
    iso = f"strftime('%Y-%m-%dT%H:%M:%S', {text}, {_NORMAL})"
    return [
        (f"{_bytes_of(text)} = 19 AND {moment} = {text} AND {text} >= '0001'", text),
        (f"{_bytes_of(text)} = 20 AND {iso} || 'Z' = {text} AND {text} >= '0001'", moment),
        (f"{_bytes_of(text)} = 19 AND {iso} = {text} AND {text} >= '0001'", moment),
    ]


def _bytes_of(text: str) -> str:
    return f"length(CAST({text} AS BLOB))"


_BY_SQLITE: dict[Kind, Callable[[ColumnType, str], list[tuple[str, str]]]] = {
    Kind.INTEGER: _integers,
    Kind.NUMERIC: _numerics,
    Kind.FLOAT: _floats,
    Kind.TEXT: _texts,
    Kind.BOOLEAN: _booleans,
    Kind.DATE: _dates,
    Kind.TIMESTAMP: _timestamps,
    Kind.TIMESTAMPTZ: _timestamps,
}
