"""Temporary tables that have the name of a target, or of the marker table: SQLite takes a bare name for them first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import IntParameter
from etlctl.db.table_target import TableTarget
from etlctl.errors import CheckFailedError
from etlctl.loads.checks import relationship, row_count, unique
from etlctl.loads.modes import merge_on, replace, replace_where
from etlctl.loads.query import QueryTable, RunSQL
from etlctl.loads.sequence import Sequence, transaction
from etlctl.loads.table import LoadTable
from warehouse import Warehouse


class Load(LoadTable):
    """Two rows into a table that has one of them, and one besides."""

    table = "t"
    columns = {"k": "integer", "v": "text"}

    def rows(self) -> Any:
        return [(1, "new"), (2, "new")]


@pytest.fixture
def shadowed(warehouse: Warehouse) -> Iterator[sa.Connection]:
    """An open transaction with a temporary `t`, which has rows that must stay."""
    warehouse.write("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'old')")
    with transaction("warehouse") as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE t AS SELECT 1 AS k, 'temporary' AS v")
        yield connection
        assert connection.exec_driver_sql("SELECT k, v FROM temp.t").all() == [(1, "temporary")]


@pytest.mark.parametrize(
    "mode",
    [replace, replace(recreate=True), replace_where("v"), replace_where("k"), replace_where("k", "v"), merge_on("k")],
)
def test_every_mode_leaves_the_temporary_table_alone(warehouse: Warehouse, shadowed: sa.Connection, mode: Any) -> None:
    """What is deleted or updated is of the table into which the rows go."""
    if mode in (replace_where("v"), replace_where("k", "v")):
        shadowed.exec_driver_sql("UPDATE main.t SET v = 'new'")

    type("Load", (Load,), {"mode": mode})().run()

    assert shadowed.exec_driver_sql("SELECT k, v FROM main.t ORDER BY k").all() == [(1, "new"), (2, "new")]


def test_evolve_adds_the_column_to_the_target(shadowed: sa.Connection) -> None:
    """And not to the temporary table, which would leave the INSERT without it."""
    wider = {"k": "integer", "v": "text", "w": "integer"}

    type("Load", (Load,), {"columns": wider, "evolve": True, "mode": replace, "rows": lambda _: [(1, "a", 3)]})().run()

    assert shadowed.exec_driver_sql("SELECT * FROM main.t").all() == [(1, "a", 3)]


def test_force_deletes_the_rows_of_the_target(shadowed: sa.Connection) -> None:
    """The lineage tells them."""
    load = type("Load", (Load,), {"lineage": True, "rows": lambda _: [(7, "a")]})
    load().run()
    shadowed.exec_driver_sql("DROP TABLE temp.t")
    shadowed.exec_driver_sql("CREATE TEMP TABLE t AS SELECT 1 AS k, 'temporary' AS v")

    with attempting(Attempt(forced=True)):
        load().run()

    assert shadowed.exec_driver_sql("SELECT k FROM main.t ORDER BY k").all() == [(1,), (7,)]


@pytest.mark.parametrize(
    "check", [row_count(max=2, scope="table"), unique("v", scope="table"), relationship("k", to="t.k")]
)
def test_checks_look_at_the_target(shadowed: sa.Connection, check: Any) -> None:
    """A check of the whole table is of the target, as a relationship is to a table that stays."""
    load = type("Load", (Load,), {"checks": [check], "rows": lambda _: [(2, "b"), (3, "b")]})

    if "relationship" in str(check):
        load().run()
    else:
        with pytest.raises(CheckFailedError):
            load().run()


def test_a_temporary_marker_table_takes_no_marker(warehouse: Warehouse) -> None:
    """Markers are read from and written to the database; a temporary one would be gone with its connection."""
    with transaction("warehouse") as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE table_updates AS SELECT * FROM main.table_updates")
        Load().run()
        assert TableTarget("t", Load().task_id).exists()

    assert [row[1:] for row in warehouse.markers()] == [("t", "done", 2)]


class Make(RunSQL):
    """What made rows double: a script whose helper table has the target's name."""

    table = "made"
    query = "CREATE TEMP TABLE t AS SELECT 1 AS k, 'temporary' AS v"


class Fill(QueryTable):
    number = IntParameter(default=1)
    table = "t"
    mode = replace
    query = "SELECT k, v FROM temp.t"


class Both(Sequence):
    def steps(self) -> Any:
        return [Make(), Fill()]


def test_a_query_may_read_the_temporary_table_of_its_targets_name(warehouse: Warehouse) -> None:
    """Its rows replace those of the target."""
    warehouse.write("CREATE TABLE t (k INTEGER, v TEXT)", "INSERT INTO t VALUES (9, 'old')")

    Both().run()

    assert warehouse.ask("SELECT k, v FROM t") == [(1, "temporary")]
