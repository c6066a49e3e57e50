"""The bytes of a Parquet file, read back by pyarrow."""

from __future__ import annotations

import datetime as dt
import io
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.columns import parse_type
from etlctl.errors import BadDataError, LoadError
from etlctl.loads import parquet
from etlctl.loads.parquet import ParquetWriter

UTC_5 = dt.datetime(2013, 1, 2, 5, tzinfo=dt.UTC)
NAIVE_5 = dt.datetime(2013, 1, 2, 5)


def written(types: Sequence[str | None], *batches: Sequence[Sequence[Any]]) -> bytes:
    """The bytes of a file with the columns a, b, …"""
    names = "abcdefghij"[: len(types)]
    writer = ParquetWriter(names, [None if words is None else parse_type(words) for words in types])
    return b"".join([writer.head(), *map(writer.lines, batches), writer.end()])


def read(content: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(content))


def column(words: str | None, values: Iterable[Any]) -> pa.ChunkedArray:
    """One column of these values, read back."""
    return read(written([words], [(value,) for value in values])).column("a")


@pytest.mark.parametrize(
    ("words", "kind", "values", "expected"),
    [
        ("smallint", pa.int16(), [1, None], 1),
        ("integer", pa.int32(), [1, None], 1),
        ("bigint", pa.int64(), [1 << 40, None], 1 << 40),
        ("numeric(6,2)", pa.decimal128(6, 2), [Decimal("1.5"), None], Decimal("1.50")),
        ("numeric(6,2)", pa.decimal128(6, 2), [1.5, None], Decimal("1.50")),
        ("numeric(6,2)", pa.decimal128(6, 2), [Decimal("1.499"), None], Decimal("1.50")),
        ("numeric", pa.decimal128(38, 9), [Decimal(2) / 3, None], Decimal("0.666666667")),
        ("double precision", pa.float64(), [0.1, None], 0.1),
        ("double precision", pa.float64(), [3, None], 3.0),
        ("text", pa.string(), ["\U0001f600\n", None], "\U0001f600\n"),
        ("varchar(2)", pa.string(), ["longer", None], "longer"),
        ("boolean", pa.bool_(), [True, None], True),
        ("boolean", pa.bool_(), [1, None], True),
        ("date", pa.date32(), [dt.date(2013, 1, 2), None], dt.date(2013, 1, 2)),
        ("date", pa.date32(), ["2013-01-02", None], dt.date(2013, 1, 2)),
        ("timestamp", pa.timestamp("us"), [NAIVE_5, None], NAIVE_5),
        ("timestamp", pa.timestamp("us"), ["2013-01-02 05:00:00", None], NAIVE_5),
        ("timestamp", pa.timestamp("us"), [UTC_5.astimezone(dt.timezone(dt.timedelta(hours=2))), None], NAIVE_5),
        ("timestamp with time zone", pa.timestamp("us", tz="UTC"), [UTC_5, None], UTC_5),
        ("timestamp with time zone", pa.timestamp("us", tz="UTC"), [NAIVE_5, None], UTC_5),
        ("time", pa.time64("us"), [dt.time(5), None], dt.time(5)),
        ("time", pa.time64("us"), [dt.timedelta(hours=5), None], dt.time(5)),
        ("json", pa.string(), ['{"a": 1.10}', None], '{"a": 1.10}'),
        ("json", pa.string(), [{"a": 1}, None], '{"a": 1}'),
        ("bytes", pa.binary(), [b"\x00\xff", None], b"\x00\xff"),
        ("bytes", pa.binary(), [memoryview(b"\x00\xff"), None], b"\x00\xff"),
        (None, pa.int64(), [None, 1], 1),
        (None, pa.float64(), [None, 1, 1.5], 1.0),
        (None, pa.decimal128(38, 9), [None, Decimal("1.5")], Decimal("1.5")),
        (None, pa.bool_(), [None, True], True),
        (None, pa.string(), [None, "a"], "a"),
        (None, pa.string(), [None, "a", 1], "a"),
        (None, pa.binary(), [None, b"a"], b"a"),
        (None, pa.date32(), [None, dt.date(2013, 1, 2)], dt.date(2013, 1, 2)),
        (None, pa.timestamp("us"), [None, NAIVE_5], NAIVE_5),
        (None, pa.timestamp("us", tz="UTC"), [None, UTC_5], UTC_5),
        (None, pa.string(), [None, {"a": 1}], '{"a": 1}'),
    ],
)
def test_types_follow_the_columns(words: str | None, kind: pa.DataType, values: list[Any], expected: Any) -> None:
    """Whatever driver a value comes from; without a type, by what the first rows hold. NULL is NULL."""
    found = column(words, values)

    assert found.type == kind
    first, *_ = (value for value in found.to_pylist() if value is not None)
    assert first == expected
    assert found.null_count == 1


_ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.none() | st.decimals(min_value=-9999, max_value=9999, places=2),
        st.none() | st.datetimes(timezones=st.just(dt.UTC)),
        st.none() | st.binary(max_size=8),
        st.none() | st.floats(allow_nan=False),
    ),
    max_size=12,
)


@given(_ROWS, st.integers(1, 5))
def test_rows_come_back_as_they_were(rows: list[tuple[Any, ...]], size: int) -> None:
    """Whatever the batches."""
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    types = ["bigint", "text", "numeric(6,2)", "timestamp with time zone", "bytes", "double precision"]

    found = read(written(types, *batches))

    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == rows


def test_no_rows_make_a_whole_file() -> None:
    """With the columns and their types; one without a type is a string."""
    found = read(written(["integer", None]))

    assert found.num_rows == 0
    assert found.schema.types == [pa.int32(), pa.string()]


def test_row_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are handed on as soon as a group is whole, so that memory does not grow with the rows."""
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 1000)
    writer = ParquetWriter(["a"], [parse_type("integer")])

    parts = [writer.lines([(number,) for number in range(500)]) for _ in range(7)]
    content = b"".join([*parts, writer.end()])

    found = pq.ParquetFile(io.BytesIO(content)).metadata
    assert [found.row_group(index).num_rows for index in range(found.num_row_groups)] == [1000, 1000, 1000, 500]
    assert all(parts[1::2])
    assert writer.rows == 3500


def test_held_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types that nobody tells are decided by the first rows; what does not fit afterwards is told with its row."""
    monkeypatch.setattr(parquet, "_HELD_ROWS", 10)
    writer = ParquetWriter(["a"], [None])
    writer.lines([(1,)] * 10)

    with pytest.raises(BadDataError, match=r"^row 12, column a: 1\.5 is no integer$"):
        writer.lines([(2,), (1.5,)])


@pytest.mark.parametrize(
    ("words", "value", "said"),
    [
        ("integer", "many", "'many' is no integer"),
        ("smallint", 1 << 20, "1048576 does not fit smallint"),
        ("numeric(4,2)", Decimal("100"), r"Decimal\('100'\) does not fit numeric\(4,2\)"),
        ("numeric", Decimal("NaN"), r"Decimal\('NaN'\) is no numeric\(38,9\) in Parquet"),
        ("text", "\ud800", "half a surrogate pair"),
        ("date", "soon", "is no date"),
        ("time", dt.timedelta(days=2), "is no time of day"),
    ],
)
def test_a_value_that_is_not_of_its_type_names_its_row(words: str, value: Any, said: str) -> None:
    """Counted through the batches, from 1."""
    writer = ParquetWriter(["a"], [parse_type(words)])
    writer.lines([(None,), (None,)])

    with pytest.raises(BadDataError, match=f"^row 4, column a: .*{said}"):
        writer.lines([(None,), (value,)])


def test_the_same_rows_make_the_same_bytes() -> None:
    """No time and no name is in them."""
    assert written(["integer"], [(1,), (2,)]) == written(["integer"], [(1,), (2,)])


def test_a_missing_pyarrow_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that mends it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(
        LoadError, match=r'^Parquet needs pyarrow, which is not installed: pip install "etlctl\[parquet\]"$'
    ):
        parquet.check_pyarrow()
