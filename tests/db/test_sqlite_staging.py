"""Records that come as columns: however many at a time, what is staged is what they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlctl.db.columns import Column, parse_type
from etlctl.db.dialects.base import BadRecordError, Records
from etlctl.db.sessions import open_session
from warehouse import Warehouse

COLUMNS = (Column("n", parse_type("integer")), Column("v", parse_type("varchar(5)")))
DAY = Column("day", parse_type("date"))


@dataclass(frozen=True)
class Texts:
    """Rows in blocks of these sizes, and again."""

    rows: Sequence[tuple[str, ...]]
    sizes: Sequence[int]

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        raise AssertionError("asked for rows, where columns are there")

    def text_columns(self) -> Iterator[Sequence[Sequence[str]]]:
        begin = turn = 0
        while begin < len(self.rows):
            end = begin + self.sizes[turn % len(self.sizes)]
            yield list(zip(*self.rows[begin:end], strict=True))
            begin, turn = end, turn + 1


def staged(warehouse: Warehouse, rows: Sequence[tuple[str, ...]], sizes: Sequence[int]) -> list[Any]:
    """What lies in the staging table, in order."""
    with open_session(warehouse.database, "t") as session:
        records = Records(COLUMNS, Texts(rows, sizes), ("", "NA"), {DAY: "2013-01-01"})
        found = session.stage_records("rows", (*COLUMNS, DAY), records)
        assert found.rows == len(rows)
        with session.asking() as connection:
            query = f'SELECT n, v, day FROM etlctl_staging."{found.table.name}" ORDER BY rowid'
            return list(map(tuple, connection.exec_driver_sql(query).all()))


field = st.sampled_from(["0", "-7", "NA", "", " 5", "+6", "123456789", "-0", "2147483647"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(field, st.sampled_from(["", "NA", "a", "é" * 5])), max_size=150),
    st.lists(st.integers(1, 70), min_size=1, max_size=3),
    st.integers(0, 1200),
)
def test_staged_rows_are_in_order_with_their_own_values(
    warehouse: Warehouse, rows: list[tuple[str, str]], sizes: list[int], many: int
) -> None:
    """Though known texts, looks and conversions by SQL take turns."""
    rows = [*rows, *((str(n), f"v{n}") for n in range(many)), *rows]

    found = staged(warehouse, rows, sizes)

    nulls = ("", "NA")
    assert found == [(None if n in nulls else int(n), None if v in nulls else v, "2013-01-01") for n, v in rows]


@pytest.mark.parametrize("sizes", [[1], [31], [32], [33, 5], [427], [2000]])
@pytest.mark.parametrize(
    ("number", "bad"), [(0, ("x", "a")), (31, ("1.5", "")), (32, ("2147483648", "a")), (1403, ("7", "toolong"))]
)
def test_a_refused_record_is_found_by_its_number(
    warehouse: Warehouse, number: int, bad: tuple[str, str], sizes: list[int]
) -> None:
    """Its file, line and column are told by it."""
    rows = [(str(n), f"v{n % 3000}") for n in range(1404)]
    rows[number] = bad

    with pytest.raises(BadRecordError) as refused:
        staged(warehouse, rows, sizes)

    assert refused.value.number == number
    assert refused.value.error.column is not None
    assert refused.value.error.column.name == ("v" if bad[1] == "toolong" else "n")
