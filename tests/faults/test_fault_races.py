"""Many processes at once: for one load, for one table, for a database that has no tables yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl.core.parameters import IntParameter
from etlctl.core.results import Status
from etlctl.core.task import Task
from etlctl.db.dialects.base import TableName
from etlctl.db.dialects.postgresql import catalog as postgresql_catalog
from etlctl.loads.modes import append
from etlctl.loads.table import LoadTable
from faults.faultcase import build, ended, faults, rows_of, started
from torture.loads import COLUMNS, ROWS, BothLoad, MergeLoad, PartitionLoad, RowsLoad, numbers
from torture.places import Place


@pytest.mark.parametrize("processes", [2, 8, pytest.param(32, marks=pytest.mark.slow)])
def test_one_load_of_many_processes_is_there_once(place: Place, processes: int) -> None:
    """F27, F30: all begin at once on a database without the target; every one of them ends with 0."""
    task = RowsLoad(1)

    statuses = ended(*(started(place, task) for _ in range(processes)))

    assert statuses == [0] * processes
    assert faults(place, task, done=True) == {} and rows_of(place, task.table) == ROWS


@pytest.mark.parametrize("kind", [MergeLoad, PartitionLoad, BothLoad])
def test_one_load_of_other_kinds_is_there_once(place: Place, kind: type[Task]) -> None:
    """F27 of a merge, a replaced partition and a Sequence."""
    task = kind(part=1)

    statuses = ended(*(started(place, task) for _ in range(6)))

    assert statuses == [0] * 6
    assert faults(place, task, done=True) == {}


class Here(LoadTable):
    """One of two loads with the same update_id, into tables of their own."""

    part = IntParameter()
    table = "t_here"
    columns = COLUMNS
    mode = append
    update_id = "the same"

    def rows(self) -> list[tuple[Any, ...]]:
        return [(self.part, number, payload) for number, payload in numbers()]


class There(Here):
    """The other one."""

    table = "t_there"


def test_one_update_id_of_two_tables_is_two_loads(place: Place) -> None:
    """F28: the key of a marker is the pair."""
    statuses = ended(*(started(place, kind(1)) for kind in (Here, There) for _ in range(2)))

    assert statuses == [0] * 4
    assert rows_of(place, "t_here") == ROWS and rows_of(place, "t_there") == ROWS
    assert build(place, Here(1), There(1)).counts[Status.UPTODATE] == 2


def test_sixteen_processes_that_start_with_no_tables_meet_no_error(place: Place) -> None:
    """F29, F30: different loads into one table, and neither it nor the marker table is there."""
    tasks = [RowsLoad(part) for part in range(16)]

    statuses = ended(*(started(place, task) for task in tasks))

    assert statuses == [0] * 16
    assert faults(place, *tasks, done=True) == {}


def test_table_that_is_made_between_two_questions_has_its_columns(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F30: the catalog is asked twice, and another process creates the table in between."""
    house = AnyWarehouse(postgres_url, tmp_path)
    asked = postgresql_catalog.table_oid

    def made_meanwhile(connection: sa.Connection, name: TableName) -> int | None:
        house.write("CREATE TABLE IF NOT EXISTS t_late (part integer)")
        return asked(connection, name)

    monkeypatch.setattr(postgresql_catalog, "table_oid", made_meanwhile)
    with house.database.reading("test") as connection:
        found = house.dialect.table_columns(connection, house.dialect.table_name("t_late"))
    house.databases.close()

    assert [column.name for column in found or ()] == ["part"]
