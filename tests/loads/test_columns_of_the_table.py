"""`columns = None`: the table's own, but for what it computes itself; what gets a value by itself may be missing."""

from __future__ import annotations

from typing import Any

import pytest

from any_warehouse import AnyWarehouse
from etlctl.core.parameters import IntParameter
from etlctl.core.task import ExternalTask
from etlctl.errors import BadDataError, EtlctlError
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget

TABLES = {
    "sqlite": "CREATE TABLE t (id integer PRIMARY KEY, a int NOT NULL, b varchar(9) DEFAULT 'none', "
    "twice int GENERATED ALWAYS AS (a * 2) STORED)",
    "postgresql": "CREATE TABLE t (id serial PRIMARY KEY, a int NOT NULL, b varchar(9) DEFAULT 'none', "
    "twice int GENERATED ALWAYS AS (a * 2) STORED)",
    "mysql": "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a int NOT NULL, b varchar(9) DEFAULT 'none', "
    "twice int GENERATED ALWAYS AS (a * 2) STORED)",
}


class File(ExternalTask):
    name: Any = "t.csv"

    def output(self) -> Any:
        return LocalTarget(self.name)


class Load(LoadTable):
    number = IntParameter(default=1)
    table = "t"
    given: Any = None

    def rows(self) -> Any:
        return self.given


class FromFile(LoadTable):
    table = "t"

    def requires(self) -> Any:
        return File()


def loaded(warehouse: AnyWarehouse) -> list[tuple[Any, ...]]:
    return warehouse.ask("SELECT id, a, b, twice FROM t ORDER BY id")


@pytest.fixture
def table(anywhere: AnyWarehouse) -> AnyWarehouse:
    """A table that counts, fills in and computes."""
    anywhere.write(TABLES[anywhere.kind])
    return anywhere


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"a": 1}, {"a": 2}], [(1, 1, "none", 2), (2, 2, "none", 4)]),
        ([{"a": 1, "b": "x"}], [(1, 1, "x", 2)]),
        ([{"id": 7, "a": 1, "b": None, "more": 5}], [(7, 1, None, 2)]),
        ([(1,), (2,)], [(1, 1, "none", 2), (2, 2, "none", 4)]),
        ([(7, 1, "x")], [(7, 1, "x", 2)]),
        ([], []),
    ],
)
def test_rows_bring_what_they_have(table: AnyWarehouse, rows: list[Any], expected: list[Any]) -> None:
    """As the first of them tells, whether they are a list or come one by one."""
    type("Load", (Load,), {"given": (row for row in rows)})().run()

    assert loaded(table) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n1\n", [(1, 1, "none", 2)]), ("b,more,a\nx,5,1\n", [(1, 1, "x", 2)]), ("id,a,b\n7,1,x\n", [(7, 1, "x", 2)])],
)
def test_a_file_brings_what_its_header_names(
    table: AnyWarehouse, tmp_path: Any, text: str, expected: list[Any]
) -> None:
    """And the rest is the table's own affair."""
    (tmp_path / "t.csv").write_text(text)

    FromFile().run()

    assert loaded(table) == expected


def test_values_bring_a_column_too(table: AnyWarehouse) -> None:
    """Though rows and file have none of the name."""
    type("Load", (Load,), {"given": [{"a": 1}], "values": {"b": "name"}, "name": "x"})().run()

    assert loaded(table) == [(1, 1, "x", 2)]


def test_what_has_no_default_must_come(table: AnyWarehouse, tmp_path: Any) -> None:
    """As ever, and the error names it."""
    (tmp_path / "t.csv").write_text("b\nx\n")

    with pytest.raises(BadDataError, match=r"t\.csv: line 1.*no column a"):
        FromFile().run()
    with pytest.raises(EtlctlError, match=r"rows\(\): row 1, column a: the row has no such key"):
        type("Load", (Load,), {"given": [{"b": "x"}]})().run()
