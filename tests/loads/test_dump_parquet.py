"""DumpTable into Parquet: typed by the columns of each database, whole or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from copying import Pair
from etlctl.core.context import Attempt, attempting
from etlctl.errors import BadDataError, LoadError, QueryError
from etlctl.loads.dump import DumpTable
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget

MakePair = Callable[..., Pair]
COLUMNS = {
    "id": "bigint",
    "small": "smallint",
    "amount": "numeric(10,2)",
    "mean": "double precision",
    "what": "varchar(20)",
    "paid": "boolean",
    "day": "date",
    "at": "timestamp",
    "clock": "time",
    "extra": "json",
    "raw": "bytes",
}
ROW = {
    "id": 1,
    "small": 2,
    "amount": Decimal("12.50"),
    "mean": 0.1,
    "what": "a 'q' é",
    "paid": True,
    "day": dt.date(2013, 1, 2),
    "at": dt.datetime(2013, 1, 2, 5, 0, 0, 250000),
    "clock": dt.time(5),
    "extra": '{"a": [1, "é"]}',
    "raw": b"\x00\xff",
}


class Wide(LoadTable):
    columns = COLUMNS

    def rows(self) -> Any:
        return [ROW, dict.fromkeys(COLUMNS)]


class Dump(DumpTable):
    query: Any = "SELECT * FROM wide ORDER BY id"
    name = "out.parquet"

    def output(self) -> Any:
        return LocalTarget(self.name)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
@pytest.mark.parametrize("of_table", [True, False])
def test_values_come_back_in_their_types(pair_of: MakePair, tmp_path: Path, kind: str, of_table: bool) -> None:
    """From each database alike, a table and a query of its columns."""
    pair_of("sqlite", kind)
    Wide().run()

    type("Dump", (Dump,), {"table": "wide", "query": None} if of_table else {})().run()

    found = pq.read_table(tmp_path / "out.parquet")
    assert [str(field.type) for field in found.schema] == [
        "int64", "int16", "decimal128(10, 2)", "double", "string", "bool", "date32[day]", "timestamp[us]", "time64[us]",
        "string", "binary",
    ]  # fmt: skip
    whole, empty = sorted(found.to_pylist(), key=lambda row: row["id"] is None)
    assert {**whole, "extra": None} == {**ROW, "extra": None}
    assert whole["extra"].replace(" ", "") == '{"a":[1,"é"]}'
    assert set(empty.values()) == {None}


def test_no_rows_make_a_file_with_columns(pair_of: MakePair, tmp_path: Path) -> None:
    """And say so."""
    pair = pair_of()
    pair.warehouse.write("CREATE TABLE wide (id integer, what text)")

    with attempting(Attempt()) as attempt:
        Dump().run()

    assert pq.read_table(tmp_path / "out.parquet").column_names == ["id", "what"]
    (note,) = attempt.notes
    assert note.endswith("out.parquet holds a header alone: 0 rows")


def test_nothing_is_published_after_an_error(pair_of: MakePair, tmp_path: Path) -> None:
    """A value that is not of its column's type, in what SQLite calls an integer."""
    pair = pair_of()
    pair.warehouse.write("CREATE TABLE wide (id integer)", "INSERT INTO wide VALUES (1), ('many')")

    with pytest.raises(BadDataError, match=r"Dump\(\) on warehouse: row 2, column id: 'many' is no integer\.$"):
        Dump().run()

    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(
    ("attributes", "error", "said"),
    [
        ({"name": "out.parquet.gz"}, LoadError, "Parquet is packed inside"),
        ({"name": "out.gz", "format": "parquet"}, LoadError, "Parquet is packed inside"),
        ({"query": "SELECT 1 AS a, 2 AS a"}, QueryError, "two columns called a"),
        ({"format": "orc"}, LoadError, "there are csv, tsv, jsonl and parquet"),
    ],
)
def test_what_cannot_be_written_is_told(
    pair_of: MakePair, attributes: dict[str, Any], error: type[Exception], said: str
) -> None:
    """Before anything is."""
    pair = pair_of()
    pair.warehouse.write("CREATE TABLE wide (id integer)")

    with pytest.raises(error, match=said):
        type("Dump", (Dump,), attributes)().run()


def test_many_rows_come_in_groups(pair_of: MakePair, tmp_path: Path) -> None:
    """None of them held longer than until its group is whole."""
    pair = pair_of()
    pair.warehouse.write(
        "CREATE TABLE wide (id integer)",
        "INSERT INTO wide WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) "
        "SELECT i FROM n",
    )

    Dump().run()

    found = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert found.num_rows == 200_000
    assert found.num_row_groups == 4
