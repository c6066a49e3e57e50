"""Rows of a database as the bytes of a Parquet file, and the names in one; knows no database. Alone with pyarrow.

    type of the column     in the file            what may need a word
    integers               int16, int32, int64
    numeric(p,s)           decimal128(p,s)
    numeric                decimal128(38,9)       further digits behind the point are rounded half up
    double precision       double
    boolean, text, bytes   bool, string, binary
    date, time             date32, time64[us]
    timestamp              timestamp[us]          without zone; an instant in UTC, as loads keep it
    timestamp with zone    timestamp[us, UTC]
    json                   string                 the document as text
    not told (SQLite)      by the first rows      string where those are all NULL

Values are turned by the column's type, like those of a load (db/values.py). Some thousand rows make one row group, so
memory does not grow with their number: https://parquet.apache.org/docs/file-format/configurations/
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO, cast

from etlctl.db.columns import BadValueError, ColumnType, Kind
from etlctl.db.values import to_value
from etlctl.errors import BadDataError, LoadError
from etlctl.text import shortened

_GROUP_BYTES = 16 << 20
"""A row group is written when its columns hold so much in memory; it is packed to a fraction of that."""
_GROUP_ROWS = 1 << 16
_HELD_ROWS = 10_000
"""Rows looked at for the types of columns that the database does not tell."""


class ParquetWriter:
    """Turns rows into Parquet, a batch at a time; see `writers.RowWriter`, of which this one gives bytes.

    Raises LoadError where pyarrow is not installed, BadDataError, naming row and column, for a value that is not of its
    column's type.
    """

    def __init__(self, names: Sequence[str], types: Sequence[ColumnType | None]) -> None:
        self.rows = 0
        self._names = list(names)
        self._types = list(types)
        self._held: list[Sequence[Any]] | None = [] if None in self._types else None
        """Rows that wait until the types are known; None once they are."""
        self._file: _File | None = None

    def head(self) -> bytes:
        """Nothing: what stands before the rows comes with the first of them."""
        return b""

    def lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """The bytes of the row groups that are whole by now; may be none."""
        if self._held is None:
            return self._added(rows)
        self._held.extend(rows)
        self.rows += len(rows)
        if len(self._held) < _HELD_ROWS:
            return b""
        return self._added(self._released())

    def end(self) -> bytes:
        """The last row group and the footer: without them the file is none."""
        last = self._added(self._released()) if self._held is not None else b""
        return last + self._opened().close()

    def _released(self) -> list[Sequence[Any]]:
        """The rows that were held, whose types are known from here on."""
        held, self._held = self._held or [], None
        columns = list(zip(*held, strict=True)) or [()] * len(self._names)
        self._types = [type_ or _seen_in(column) for type_, column in zip(self._types, columns, strict=True)]
        self.rows -= len(held)
        return held

    def _added(self, rows: Sequence[Sequence[Any]]) -> bytes:
        if not rows:
            return b""
        file = self._opened()
        columns = zip(*rows, strict=True)
        arrays = [self._array(index, column) for index, column in enumerate(columns)]
        self.rows += len(rows)
        return file.add(arrays)

    def _opened(self) -> _File:
        if self._file is None:
            types = [type_ or ColumnType(Kind.TEXT) for type_ in self._types]
            self._types = list(types)
            self._file = _File(self._names, types)
        return self._file

    def _array(self, index: int, column: Sequence[Any]) -> Any:
        type_, file = self._types[index] or ColumnType(Kind.TEXT), self._opened()
        if _is_plain(type_, column):
            with suppress(ValueError, TypeError, OverflowError):  # pyarrow does not say which row; converting does
                return file.array(index, column)
        try:
            return file.array(index, _converted(type_, column))
        except _BadValueInRowError as bad:
            raise BadDataError(f"{self._place(index, bad.number)}: {bad}") from bad
        except (ValueError, TypeError, OverflowError) as error:
            until = self.rows + len(column)
            raise BadDataError(
                f"rows {self.rows + 1} to {until}, column {shortened(self._names[index])}: a value cannot be written "
                f"as {type_}: {shortened(str(error), 200)}"
            ) from error

    def _place(self, index: int, number: int) -> str:
        return f"row {self.rows + number + 1}, column {shortened(self._names[index])}"


def check_pyarrow() -> None:
    """LoadError, with the line that mends it, where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401  only whether it is there
    except ImportError as error:
        raise LoadError('Parquet needs pyarrow, which is not installed: pip install "etlctl[parquet]"') from error


def column_names(raw: BinaryIO, shown: str) -> list[str]:
    """The columns of the Parquet file that `raw` is, which can seek; BadDataError, naming `shown`, where it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(raw).names)
    except pa.ArrowException as error:
        said = shortened(" ".join(str(error).split()), 200)
        raise BadDataError(f"{shown}: is no Parquet file: {said}") from error


def unpacked_zstd(raw: BinaryIO) -> BinaryIO:
    """What `raw` is, unpacked, as a buffered file; LoadError where pyarrow, which has zstd, is not installed."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise LoadError(
            'a header packed by zstd is read with pyarrow, which is not installed: pip install "etlctl[parquet]"'
        ) from error
    return cast(BinaryIO, io.BufferedReader(_Unzstd(raw, pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))))


class _Unzstd(io.RawIOBase):
    """Closes `raw` with itself."""

    def __init__(self, raw: BinaryIO, stream: Any) -> None:
        self._raw = raw
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _File:
    """pyarrow's writer, whose bytes are handed on instead of written to a file."""

    def __init__(self, names: Sequence[str], types: Sequence[ColumnType]) -> None:
        check_pyarrow()
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self._types = [_arrow_type(pa, type_) for type_ in types]
        self._schema = pa.schema(list(zip(names, self._types, strict=True)))
        self._sink = _Bytes()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema)
        self._batches: list[Any] = []
        self._bytes = self._rows = 0

    def array(self, index: int, values: Sequence[Any]) -> Any:
        """One column; pyarrow's own errors are ValueError and TypeError."""
        return self._pa.array(values, self._types[index])

    def add(self, arrays: Sequence[Any]) -> bytes:
        """A batch of rows; what could be written of it and those before."""
        batch = self._pa.RecordBatch.from_arrays(list(arrays), schema=self._schema)
        self._batches.append(batch)
        self._bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._bytes >= _GROUP_BYTES or self._rows >= _GROUP_ROWS:
            self._write_group()
        return self._sink.taken()

    def close(self) -> bytes:
        """The rest of it."""
        self._write_group()
        self._writer.close()
        return self._sink.taken()

    def _write_group(self) -> None:
        if self._batches:
            table = self._pa.Table.from_batches(self._batches, schema=self._schema)
            self._batches.clear()
            self._bytes = self._rows = 0
            self._writer.write_table(table, row_group_size=table.num_rows)


class _Bytes:
    """A file for pyarrow.PythonFile that keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def write(self, part: Any) -> int:
        """Takes a copy: pyarrow's buffer is its own again afterwards."""
        self._parts.append(bytes(part))
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        """How much was written, whether taken or not."""
        return self._position

    def flush(self) -> None:
        """Nothing lies deeper."""

    def close(self) -> None:
        """Nothing to free."""

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts = b"".join(self._parts)
        self._parts.clear()
        return parts


# --- types --------------------------------------------------------------------------------------------------------

_BARE_NUMERIC = ColumnType(Kind.NUMERIC, precision=38, scale=9)
"""What MySQL, too, makes of a numeric without sizes."""


def _arrow_type(pa: Any, type_: ColumnType) -> Any:
    if type_.kind is Kind.INTEGER:
        return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[type_.bits]
    if type_.kind is Kind.NUMERIC:
        sized = _sized(type_)
        return pa.decimal128(sized.precision, sized.scale)
    simple: dict[Kind, Callable[[], Any]] = {
        Kind.FLOAT: pa.float64,
        Kind.TEXT: pa.string,
        Kind.BOOLEAN: pa.bool_,
        Kind.DATE: pa.date32,
        Kind.TIMESTAMP: lambda: pa.timestamp("us"),
        Kind.TIMESTAMPTZ: lambda: pa.timestamp("us", tz="UTC"),
        Kind.TIME: lambda: pa.time64("us"),
        Kind.JSON: pa.string,
        Kind.BYTES: pa.binary,
    }
    return simple[type_.kind]()


def _sized(type_: ColumnType) -> ColumnType:
    """A numeric with the sizes that decimal128 needs; text without its length, which Parquet does not know."""
    if type_.kind is Kind.NUMERIC and type_.precision is None:
        return _BARE_NUMERIC
    return replace(type_, length=None) if type_.length is not None else type_


_NONE = type(None)
_PLAIN: dict[Kind, frozenset[type]] = {
    Kind.INTEGER: frozenset((int, _NONE)),
    Kind.NUMERIC: frozenset((Decimal, _NONE)),  # pyarrow refuses to cut digits off; then they are rounded
    Kind.FLOAT: frozenset((float, _NONE)),
    Kind.TEXT: frozenset((str, _NONE)),
    Kind.BOOLEAN: frozenset((bool, _NONE)),
    Kind.DATE: frozenset((date, _NONE)),
    Kind.TIMESTAMP: frozenset((datetime, _NONE)),
    Kind.TIMESTAMPTZ: frozenset((datetime, _NONE)),
    Kind.TIME: frozenset((time, _NONE)),
    Kind.JSON: frozenset((str, _NONE)),
    Kind.BYTES: frozenset((bytes, memoryview, bytearray, _NONE)),
}
"""What pyarrow takes as it is, without losing anything; what is left out is looked at value by value."""


def _is_plain(type_: ColumnType, column: Sequence[Any]) -> bool:
    if not set(map(type, column)) <= _PLAIN[type_.kind]:
        return False
    if type_.kind not in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return True
    is_naive = type_.kind is Kind.TIMESTAMP
    return all(value is None or (value.tzinfo is None) is is_naive for value in column)


class _BadValueInRowError(Exception):
    """A value that its column's type refuses, with its row in the batch, counted from 0."""

    def __init__(self, number: int, reason: str) -> None:
        self.number = number
        super().__init__(reason)


def _converted(type_: ColumnType, column: Sequence[Any]) -> list[Any]:
    sized = _sized(type_)
    found = []
    for number, value in enumerate(column):
        try:
            found.append(None if value is None else to_value(sized, _as_a_load_takes_it(sized, value)))
        except BadValueError as error:
            raise _BadValueInRowError(number, str(error)) from error
    return found


def _as_a_load_takes_it(type_: ColumnType, value: Any) -> Any:
    if type_.kind is Kind.NUMERIC and isinstance(value, (Decimal, float)) and value != value:  # noqa: PLR0124  NaN
        raise BadValueError(value, f"is no {type_} in Parquet")
    if isinstance(value, timedelta) and type_.kind is Kind.TIME:  # how drivers of MySQL give a time of day
        if not timedelta(0) <= value < timedelta(days=1):
            raise BadValueError(value, "is no time of day")
        return (datetime.min + value).time()
    if type_.kind is Kind.TEXT and isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return value


def _seen_in(column: Sequence[Any]) -> ColumnType:
    """The type that takes all these values, where the database tells none."""
    kinds = set(map(type, column)) - {_NONE}
    for kind, bits, members in _BY_VALUES:
        if kinds and kinds <= members:
            return ColumnType(kind, bits=bits)
    if kinds == {datetime}:
        aware = all(value is None or value.tzinfo is not None for value in column)
        return ColumnType(Kind.TIMESTAMPTZ if aware else Kind.TIMESTAMP)
    return ColumnType(Kind.TEXT)


_BY_VALUES: list[tuple[Kind, int, frozenset[type]]] = [
    (Kind.BOOLEAN, 32, frozenset((bool,))),
    (Kind.INTEGER, 64, frozenset((int,))),
    (Kind.FLOAT, 32, frozenset((int, float))),
    (Kind.NUMERIC, 32, frozenset((int, Decimal))),
    (Kind.BYTES, 32, frozenset((bytes, bytearray, memoryview))),
    (Kind.DATE, 32, frozenset((date,))),
    (Kind.TIME, 32, frozenset((time,))),
    (Kind.JSON, 32, frozenset((dict, list))),
]
