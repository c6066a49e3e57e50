"""Listing, adopting and resolving on the three databases, with our own marker tables and those that Luigi makes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import etlctl
from any_warehouse import AnyWarehouse
from etlctl import TableTarget
from etlctl.db import inventory, torn
from etlctl.db.inventory import Change, Wanted
from etlctl.errors import LoadError, UsageError
from warehouse import LUIGI_DDL

OURS = {"update_key", "state", "row_count", "run_id", "fence", "owner", "fingerprint", "inputs"}
LUIGI = {
    "sqlite": LUIGI_DDL,
    "postgresql": """
        CREATE TABLE table_updates (
            update_id TEXT PRIMARY KEY, target_table TEXT, inserted TIMESTAMP DEFAULT NOW())
        """,
    "mysql": """
        CREATE TABLE table_updates (
            id BIGINT(20) NOT NULL AUTO_INCREMENT, update_id VARCHAR(128) NOT NULL, target_table VARCHAR(128),
            inserted TIMESTAMP DEFAULT NOW(), PRIMARY KEY (update_id), KEY id (id))
        """,
}
"""What luigi.contrib.sqla, contrib.postgres and contrib.mysqldb make."""
Opened = Callable[..., AnyWarehouse]


class Hand(etlctl.Task):
    """A load written by hand, into two tables."""

    n = etlctl.IntParameter()

    def output(self) -> Any:
        return [TableTarget("a", f"x{self.n}"), TableTarget("b", f"x{self.n}")]


def _ids(warehouse: AnyWarehouse, **wanted: Any) -> list[str]:
    return [marker.update_id for marker in inventory.listed(warehouse.database, Wanted(**wanted)).markers]


def _luigis(warehouse: AnyWarehouse) -> None:
    insert = "INSERT INTO table_updates (update_id, target_table, inserted) VALUES ('{}', '{}', '2013-01-0{} 04:31:47')"
    warehouse.write(LUIGI[warehouse.kind], *(insert.format(f"l{n}", "t", n) for n in (1, 2, 3)))


# -- listing


@pytest.mark.parametrize("part", ["%", "_", "/", "\\", "'", '"', "é", "漢", "[a]", "a/%", "x y ", ";--"])
def test_what_an_id_holds_is_found_and_nothing_else(opened: Opened, part: str) -> None:
    """The text means itself on every database, whatever LIKE would take it for."""
    warehouse = opened()
    TableTarget("t", "plain").touch()
    TableTarget("t", f"before{part}behind").touch()

    assert _ids(warehouse, id_part=part) == [f"before{part}behind"]


def test_filters_go_together(opened: Opened) -> None:
    """Table, state, part of the id and limit; case does not matter in an id, and does in a table."""
    warehouse = opened()
    for table, update_id in (("t", "A1"), ("t", "a2"), ("T", "a3"), ("u", "b1")):
        TableTarget(table, update_id).touch()
    warehouse.write("UPDATE table_updates SET state = 'loading' WHERE update_id = 'a2'")

    assert _ids(warehouse, id_part="a", target_table="t") == ["a2", "A1"]
    assert _ids(warehouse, target_table="T") == ["a3"]
    assert _ids(warehouse, is_torn=True) == ["a2"]
    assert _ids(warehouse, is_torn=False) == ["b1", "a3", "A1"]
    listing = inventory.listed(warehouse.database, Wanted(id_part="A", most=2))
    assert ([marker.update_id for marker in listing.markers], listing.total) == (["a3", "a2"], 3)


def test_since_is_an_instant_for_our_rows_and_local_time_for_luigis(opened: Opened) -> None:
    """Ours hold UTC; Luigi writes what the clock on its wall says."""
    warehouse = opened()
    _luigis(warehouse)
    inventory.adopted(warehouse.database)
    TableTarget("t", "ours").touch()
    local = datetime(2013, 1, 2, 4, 31, 47).astimezone()

    assert _ids(warehouse, since=local) == ["ours", "l3", "l2"]
    assert _ids(warehouse, since=local + timedelta(seconds=1)) == ["ours", "l3"]
    assert _ids(warehouse, since=datetime.now(UTC) - timedelta(minutes=5)) == ["ours"]
    assert _ids(warehouse, since=datetime.now(UTC) + timedelta(minutes=5)) == []


def test_luigis_table_is_listed_as_it_is(opened: Opened) -> None:
    """Without our columns nothing is torn, and all is done."""
    warehouse = opened()
    _luigis(warehouse)
    before = _columns(warehouse)

    assert _ids(warehouse) == ["l3", "l2", "l1"]
    assert _ids(warehouse, is_torn=True) == []
    assert _ids(warehouse, is_torn=False, target_table="t", id_part="L2") == ["l2"]
    assert _columns(warehouse) == before


def test_no_table_and_another_table_are_told_apart(opened: Opened) -> None:
    """Nothing loaded yet is no error; a table that is something else is."""
    warehouse = opened()

    assert not inventory.listed(warehouse.database, Wanted()).is_there
    warehouse.write("CREATE TABLE table_updates (update_id INTEGER)")
    with pytest.raises(LoadError, match="is no marker table"):
        inventory.listed(warehouse.database, Wanted())


# -- adopting


def test_luigis_table_is_adopted_and_luigi_writes_on(opened: Opened) -> None:
    """Our columns and the key of the pair; the rows stay, and mean done."""
    warehouse = opened()
    _luigis(warehouse)

    adoption, again = inventory.adopted(warehouse.database), inventory.adopted(warehouse.database)
    warehouse.write("INSERT INTO table_updates (update_id, target_table) VALUES ('l1', 'u')")

    assert (adoption.change, adoption.rows) == (Change.ADOPTED, 3)
    assert set(adoption.columns_added) >= OURS
    assert (again.change, again.columns_added, again.rows) == (Change.CURRENT, (), 3)
    assert TableTarget("t", "l1").exists() and TableTarget("u", "l1").exists()


def test_a_missing_table_is_made(opened: Opened) -> None:
    """Before anything is loaded."""
    warehouse = opened()

    adoption = inventory.adopted(warehouse.database)

    assert (adoption.change, adoption.columns_added, adoption.rows) == (Change.MADE, (), 0)
    assert _columns(warehouse) >= OURS


@pytest.mark.parametrize("name", ["marks", "Marks of; the \"house'"])
def test_table_and_schema_of_the_settings_are_meant(postgres_url: str, tmp_path: Path, name: str) -> None:
    """The schema is made where it is missing; the table of the search path is left alone."""
    warehouse = AnyWarehouse(postgres_url, tmp_path, marker_table=name, marker_schema=name)

    adoption = inventory.adopted(warehouse.database)

    assert (adoption.change, adoption.marker_table) == (Change.MADE, f"{name}.{name}")
    assert inventory.listed(warehouse.database, Wanted()).is_there
    assert sa.inspect(warehouse.database.engine).get_table_names() == []
    warehouse.databases.close()


# -- torn loads


def _tear(warehouse: AnyWarehouse, where: str = "1 = 1") -> None:
    warehouse.write(f"UPDATE table_updates SET state = 'loading' WHERE {where}")


def _states(warehouse: AnyWarehouse) -> list[tuple[Any, ...]]:
    return warehouse.ask("SELECT update_id, target_table, state FROM table_updates ORDER BY 1, 2")


@pytest.fixture
def torn_warehouse(opened: Opened) -> AnyWarehouse:
    """x1 is torn in a; x2 in both of its tables; x3 in none."""
    warehouse = opened()
    for n in (1, 2, 3):
        for target in Hand(n).output():
            target.touch()
    _tear(warehouse, "update_id = 'x2' OR (update_id = 'x1' AND target_table = 'a')")
    return warehouse


def test_torn_markers_are_found_by_their_tasks(torn_warehouse: AnyWarehouse) -> None:
    """Of tasks with several tables, those that are torn."""
    found = torn.torn_of([Hand(2), Hand(1)])

    assert [(one.key.update_id, one.key.target_table) for one in found] == [("x2", "a"), ("x2", "b"), ("x1", "a")]
    with pytest.raises(UsageError, match="its marker is done, so there is nothing to resolve"):
        torn.torn_of([Hand(1), Hand(3)])
    with pytest.raises(UsageError, match="has no marker, so there is nothing to resolve"):
        torn.torn_of([Hand(4)])


def test_resolved_as_loaded_is_done(torn_warehouse: AnyWarehouse) -> None:
    """For every reader, a load that comes after it among them."""
    torn.resolve(torn.torn_of([Hand(1), Hand(2)]), as_loaded=True)

    assert all(target.exists() for n in (1, 2, 3) for target in Hand(n).output())
    assert {state for _, _, state in _states(torn_warehouse)} == {"done"}


def test_resolved_as_absent_can_be_loaded_again(torn_warehouse: AnyWarehouse) -> None:
    """Its marker is gone, and those of its whole tables are not."""
    torn.resolve(torn.torn_of([Hand(1)]), as_loaded=False)

    assert [target.exists() for target in Hand(1).output()] == [False, True]
    Hand(1).output()[0].touch()
    assert Hand(1).complete()


@pytest.mark.parametrize("as_loaded", [True, False])
@pytest.mark.parametrize("meanwhile", ["state = 'done'", "owner = 'somebody:1:2'"])
def test_who_comes_second_changes_nothing(torn_warehouse: AnyWarehouse, as_loaded: bool, meanwhile: str) -> None:
    """Resolved by another meanwhile, or torn again by another load: LoadError, and all of the call is undone."""
    found = torn.torn_of([Hand(1), Hand(2)])
    torn_warehouse.write(f"UPDATE table_updates SET {meanwhile} WHERE update_id = 'x2' AND target_table = 'b'")
    before = _states(torn_warehouse)

    with pytest.raises(LoadError, match="is not the torn one any more"):
        torn.resolve(found, as_loaded=as_loaded)

    assert _states(torn_warehouse) == before


def test_a_torn_marker_of_a_former_form_can_be_resolved(opened: Opened) -> None:
    """A table that lacks a column of ours gets it first."""
    warehouse = opened()
    for target in Hand(1).output():
        target.touch()
    _tear(warehouse)
    warehouse.write("ALTER TABLE table_updates DROP COLUMN fingerprint")

    torn.resolve(torn.torn_of([Hand(1)]), as_loaded=True)

    assert Hand(1).complete() and "fingerprint" in _columns(warehouse)


def _columns(warehouse: AnyWarehouse) -> set[str]:
    return {column["name"] for column in sa.inspect(warehouse.database.engine).get_columns("table_updates")}
