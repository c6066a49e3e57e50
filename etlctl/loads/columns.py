"""The columns that a task declares, and its rows() in their order; db/values.py says what a value becomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from etlctl.db.columns import Column, ColumnType, Kind, parse_type
from etlctl.errors import BadDataError, LoadError
from etlctl.loads.columntexts import ColumnTexts
from etlctl.loads.columnvalues import ColumnValues, RefusedError, Stored
from etlctl.loads.linetexts import LineTexts
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.dialects.lines import FieldForm, Lines

_Rows = Sequence[Sequence[Any]]
_T = TypeVar("_T")
_AT_ONCE = 256
"""Rows read ahead, so that their values are converted by columns."""
_FAST_S = 0.1
"""A source that takes longer for the rows read ahead is asked for fewer: they are held back for so long."""


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
    in the columns' order. Some rows are read ahead, for as long as they come fast. BadValueError, knowing its column,
    for a value that the column refuses; BadDataError for a row that is none. `place()` says which row it was.
    """

    def __init__(
        self,
        rows: Any,
        columns: Sequence[Column],
        *,
        stored: Stored,
        null_values: Iterable[Any] = ("",),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._columns = tuple(columns)
        self._stored = stored
        self._null_values = [null_values] if isinstance(null_values, str) else list(null_values)
        self._at_once = 1
        names = [column.name for column in columns]
        self._pick: Callable[[Mapping[Any, Any]], tuple[Any, ...]] = (
            itemgetter(*names) if len(names) > 1 else lambda row: tuple(row[name] for name in names)
        )
        self._clock = clock
        self.rows = 0
        """Rows handed out so far; after an error the number of the row that it was."""

    def place(self, column: str | None = None) -> str:
        """Where the row asked for last is: `rows(): row 17, column dep_delay`; rows are counted from 1."""
        return f"rows(): row {self.rows}" + (f", column {shortened(column)}" if column is not None else "")

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        width = len(self._columns)
        conversions = [ColumnValues(one, self._stored, self._null_values, width).stored for one in self._columns]

        def converted(batch: _Rows) -> Iterable[tuple[Any, ...]]:
            return zip(*_by_columns(batch, conversions), strict=True) if conversions else [()] * len(batch)

        return chain.from_iterable(self._batches(converted))

    def as_text(self, form: FieldForm, required: Collection[str] = ()) -> Iterator[Lines | Sequence[Sequence[str]]]:
        """The same as text, some rows at a time; see `RowsAsText`."""
        width = len(self._columns)
        columns = [ColumnTexts(one, self._stored, self._null_values, width, form) for one in self._columns]
        conversions = [column.texts for column in columns]
        words = {word for word in self._null_values if isinstance(word, str)}
        needed = [index for index, column in enumerate(self._columns) if column.name in required]
        together = LineTexts(columns, form, null_words=words, required=needed)

        def written(batch: _Rows) -> Lines | Sequence[Sequence[str]]:
            lines = together.lines(batch)
            return _by_columns(batch, conversions) if lines is None else lines

        return self._batches(written)

    def _check(self) -> None:
        if hasattr(self._rows, "itertuples"):
            raise BadDataError("rows() gave a DataFrame; yield its rows: yield from frame.to_dict('records').")
        if isinstance(self._rows, (str, bytes, Mapping)) or not isinstance(self._rows, Iterable):
            raise BadDataError(
                f"rows() gave {shortened(repr(self._rows))}; it must yield rows, each a mapping or a sequence."
            )

    def _batches(self, convert: Callable[[_Rows], _T]) -> Iterator[_T]:
        """What `convert`, which raises RefusedError, makes of some rows at a time."""
        self._check()
        left = iter(self._rows)
        failed: Exception | None = None
        while failed is None:
            batch, failed = self._read(left)
            if not batch:
                continue
            try:
                found = convert(batch)
            except RefusedError as refused:
                yield from self._before(refused, batch, convert)
                raise refused.error from refused
            self.rows += len(batch)
            yield found
        if not isinstance(failed, StopIteration):
            self.rows += isinstance(failed, BadDataError)
            raise failed

    def _read(self, left: Iterator[Any]) -> tuple[list[Sequence[Any]], Exception | None]:
        """Some rows; and what ended them, StopIteration or an error, which is told after the rows before it.

        Of a row that can change only its values are held: a generator may fill one mapping again and again.
        """
        batch: list[Sequence[Any]] = []
        width, begun = len(self._columns), self._clock()
        at_once = self._at_once
        try:
            for row in islice(left, at_once):
                if type(row) is tuple and len(row) == width:
                    batch.append(row)
                elif type(row) is list and len(row) == width:
                    batch.append(tuple(row))
                else:
                    batch.append(self._fields(row, self.rows + len(batch) + 1))
        except Exception as error:  # noqa: BLE001  raised by whoever iterates
            return batch, error
        if self._clock() - begun < _FAST_S:
            self._at_once = min(at_once * 2, _AT_ONCE)
        else:
            self._at_once = max(at_once // 4, 1)
        return batch, None if len(batch) == at_once else StopIteration()

    def _before(self, refused: RefusedError, batch: _Rows, convert: Callable[[_Rows], _T]) -> Iterator[_T]:
        """The rows before the first that is refused, whose error becomes that of `refused`."""
        for number, row in enumerate(batch):
            try:
                convert([row])
            except RefusedError as first:
                refused.error = first.error
                if number:
                    yield convert(batch[:number])
                self.rows += number + 1
                return

    def _fields(self, row: Any, number: int) -> Sequence[Any]:
        if type(row) is dict or isinstance(row, Mapping):
            try:
                return self._pick(row)
            except KeyError:
                raise self._lacking(row, number) from None
        if isinstance(row, (str, bytes)) or not (hasattr(row, "__len__") and hasattr(row, "__iter__")):
            raise BadDataError(
                f"rows(): row {number}: {shortened(repr(row))} is no row; yield a mapping or a sequence."
            )
        if len(row) != len(self._columns):
            names = ", ".join(shortened(column.name) for column in self._columns)
            raise BadDataError(f"rows(): row {number}: {len(row)} values for the {len(self._columns)} columns {names}.")
        return tuple(row)

    def _lacking(self, row: Mapping[Any, Any], number: int) -> BadDataError:
        name = next(column.name for column in self._columns if column.name not in row)
        keys = [str(key) for key in row]
        return BadDataError(
            f"rows(): row {number}, column {shortened(name)}: the row has no such key; it has: "
            f"{shortened(', '.join(keys), 300)}.{did_you_mean(name, keys)}"
        )


def _by_columns(batch: _Rows, conversions: Sequence[Callable[[Sequence[Any]], Sequence[_T]]]) -> list[Sequence[_T]]:
    columns = zip(*batch, strict=True)
    return [convert(values) for convert, values in zip(conversions, columns, strict=True)]
