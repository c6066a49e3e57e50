"""The columns that a task declares, and its rows() in their order; db/values.py says what a value becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from etlctl.db.columns import BadValueError, Column, ColumnType, Kind, parse_type
from etlctl.errors import BadDataError, LoadError
from etlctl.suggest import did_you_mean
from etlctl.text import shortened


def declared(columns: Any, *, where: str) -> tuple[Column, ...]:
    """What a task's `columns` declare, in order; LoadError names the class (`where`) and the column that is wrong.

    A mapping of names to SQL type words, which may end in `not null` and `primary key`; SQLAlchemy columns, or a
    mapping to SQLAlchemy types; and what Luigi has, `[("name", "TEXT"), …]` and `[(["name", String(64)], {…}), …]`.
    """
    if isinstance(columns, Mapping):
        found = [_column(name, type_, {}, where) for name, type_ in columns.items()]
    elif isinstance(columns, Iterable) and not isinstance(columns, (str, bytes)):
        found = [_from_item(item, where) for item in columns]
    else:
        raise LoadError(f'{where}.columns is {shortened(repr(columns))}; write columns = {{"name": "type", …}}.')
    if not found:
        raise LoadError(f"{where}.columns declares no column.")
    seen: dict[str, str] = {}
    for column in found:
        first = seen.setdefault(column.name.lower(), column.name)
        if first is not column.name:
            both = f"{shortened(first)} and {shortened(column.name)}"
            raise LoadError(f"{where}.columns has {both}, which are one column to a database.")
    return tuple(found)


def _from_item(item: Any, where: str) -> Column:
    if hasattr(item, "name") and hasattr(item, "type"):
        return _column(item.name, item.type, {"nullable": item.nullable, "primary_key": item.primary_key}, where)
    match item:
        case (str(name), type_):
            return _column(name, type_, {}, where)
        case ((str(name), type_, *_), Mapping() as options):
            return _column(name, type_, options, where)
        case (str(name), type_, *_):
            return _column(name, type_, {}, where)
    raise LoadError(f'{where}.columns has {shortened(repr(item))}; write columns = {{"name": "type", …}}.')


def _column(name: Any, type_: Any, options: Mapping[str, Any], where: str) -> Column:
    if not isinstance(name, str) or not name:
        raise LoadError(f"{where}.columns: {shortened(repr(name))} is no name of a column.")
    nullable, primary = bool(options.get("nullable", True)), bool(options.get("primary_key", False))
    if isinstance(type_, str):
        words = " ".join(type_.lower().split())
        words, is_primary = words.removesuffix(" primary key"), words.endswith(" primary key")
        words, is_not_null = words.removesuffix(" not null"), words.endswith(" not null")
        primary, nullable = primary or is_primary, nullable and not is_not_null
        type_ = words
    try:
        return Column(name, _type(type_), nullable=nullable and not primary, primary_key=primary)
    except ValueError as error:
        raise LoadError(f"{where}.columns: {shortened(name)}: {error}") from error


def _type(given: Any) -> ColumnType:
    if isinstance(given, ColumnType):
        return given
    if isinstance(given, str):
        return parse_type(given)
    return _from_sqlalchemy(given)


# By the names of SQLAlchemy's classes, the nearest of its bases counts. SQLAlchemy is not imported,
# since a pipeline that is merely listed must not wait for it; one that declares such types has imported it itself.
_SQLALCHEMY = {
    "SmallInteger": ColumnType(Kind.INTEGER, bits=16),
    "BigInteger": ColumnType(Kind.INTEGER, bits=64),
    "Integer": ColumnType(Kind.INTEGER),
    "Float": ColumnType(Kind.FLOAT),
    "Numeric": ColumnType(Kind.NUMERIC),
    "Boolean": ColumnType(Kind.BOOLEAN),
    "Date": ColumnType(Kind.DATE),
    "DateTime": ColumnType(Kind.TIMESTAMP),
    "Time": ColumnType(Kind.TIME),
    "JSON": ColumnType(Kind.JSON),
    "LargeBinary": ColumnType(Kind.BYTES),
    "_Binary": ColumnType(Kind.BYTES),
    "Uuid": ColumnType(Kind.TEXT, length=36),
    "Enum": ColumnType(Kind.TEXT),
    "String": ColumnType(Kind.TEXT),
}


def _from_sqlalchemy(given: Any) -> ColumnType:
    kind = given if isinstance(given, type) else type(given)
    bases = [base.__name__ for base in kind.__mro__ if base.__module__.startswith("sqlalchemy.")]
    known = next((_SQLALCHEMY[name] for name in bases if name in _SQLALCHEMY), None)
    if known is None:
        raise ValueError(f'{shortened(repr(given))} is no column type; write SQL words such as "varchar(2)"')
    if known.kind is Kind.TEXT and known.length is None:
        return replace(known, length=getattr(given, "length", None) if "Enum" not in bases else None)
    if known.kind is Kind.NUMERIC and getattr(given, "precision", None) is not None:
        return replace(known, precision=given.precision, scale=given.scale or 0)
    if known.kind is Kind.TIMESTAMP and getattr(given, "timezone", False) is True:
        return ColumnType(Kind.TIMESTAMPTZ)
    return known


def type_of(value: Any) -> ColumnType:
    """The type of a column that is to hold a value of Python, where nobody declared one."""
    for kind, bits, types in _KINDS:
        if isinstance(value, types):
            return ColumnType(kind, bits=bits)
    raise LoadError(f"values: {shortened(repr(value))} tells no column type; declare the column in columns.")


_KINDS: list[tuple[Kind, int, tuple[type, ...]]] = [
    (Kind.BOOLEAN, 32, (bool,)),
    (Kind.INTEGER, 64, (int,)),
    (Kind.FLOAT, 32, (float,)),
    (Kind.NUMERIC, 32, (Decimal,)),
    (Kind.TIMESTAMP, 32, (datetime,)),
    (Kind.DATE, 32, (date,)),
    (Kind.TEXT, 32, (str,)),
]
"""The narrower class before the one it is a subclass of."""


class RowReader:
    """The rows of a task's rows(), in the order of the columns and in the form the database stores.

    Iterating once gives a tuple for each row. A row is a mapping, in which further keys are passed over, or a sequence
    in the columns' order. BadValueError, knowing its column, for a value that the column refuses; BadDataError for a
    row that is none. `place()` says which row it was.
    """

    def __init__(
        self,
        rows: Any,
        columns: Sequence[Column],
        *,
        stored: Callable[[ColumnType, Any], Any],
        null_values: Iterable[Any] = ("",),
    ) -> None:
        self._rows = rows
        self._columns = tuple(columns)
        self._stored = stored
        words = [null_values] if isinstance(null_values, str) else list(null_values)
        self._null_words = frozenset(word for word in words if isinstance(word, str))
        self._null_others = [word for word in words if not isinstance(word, str) and word is not None]
        self.rows = 0
        """Rows handed out so far."""

    def place(self, column: str | None = None) -> str:
        """Where the row asked for last is: `rows(): row 17, column dep_delay`; rows are counted from 1."""
        return f"rows(): row {self.rows}" + (f", column {shortened(column)}" if column is not None else "")

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        if hasattr(self._rows, "itertuples"):
            raise BadDataError("rows() gave a DataFrame; yield its rows: yield from frame.to_dict('records').")
        if isinstance(self._rows, (str, bytes, Mapping)) or not isinstance(self._rows, Iterable):
            raise BadDataError(
                f"rows() gave {shortened(repr(self._rows))}; it must yield rows, each a mapping or a sequence."
            )
        for row in self._rows:
            self.rows += 1
            yield tuple(map(self._value, self._columns, self._in_order(row)))

    def _value(self, column: Column, value: Any) -> Any:
        if value is None or self._is_null(value):
            return None
        try:
            return self._stored(column.type, value)
        except BadValueError as error:
            raise error.in_column(column) from error

    def _is_null(self, value: Any) -> bool:
        if isinstance(value, str):
            return value in self._null_words
        return any(type(value) is type(other) and value == other for other in self._null_others)

    def _in_order(self, row: Any) -> Sequence[Any]:
        if isinstance(row, Mapping):
            try:
                return [row[column.name] for column in self._columns]
            except KeyError:
                raise self._lacking(row) from None
        if isinstance(row, (str, bytes)) or not (hasattr(row, "__len__") and hasattr(row, "__iter__")):
            raise BadDataError(f"{self.place()}: {shortened(repr(row))} is no row; yield a mapping or a sequence.")
        if len(row) != len(self._columns):
            names = ", ".join(shortened(column.name) for column in self._columns)
            raise BadDataError(f"{self.place()}: {len(row)} values for the {len(self._columns)} columns {names}.")
        return list(row)

    def _lacking(self, row: Mapping[Any, Any]) -> BadDataError:
        name = next(column.name for column in self._columns if column.name not in row)
        keys = [str(key) for key in row]
        return BadDataError(
            f"{self.place(name)}: the row has no such key; it has: {shortened(', '.join(keys), 300)}."
            f"{did_you_mean(name, keys)}"
        )
