"""How the marker table comes to be: made once by whoever is first, or adopted from Luigi."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa

from etlctl.db.table_target import TableTarget
from etlctl.errors import LoadError
from warehouse import LUIGI_DDL, Warehouse, all_ended, forked

COLUMNS = [
    "update_id", "target_table", "inserted", "update_key", "state", "row_count", "run_id", "fence", "owner",
    "fingerprint", "inputs",
]  # fmt: skip


def shape(warehouse: Warehouse) -> tuple[list[str], list[str]]:
    rows = warehouse.ask("SELECT name, pk FROM pragma_table_info('table_updates') ORDER BY cid")
    return [name for name, _ in rows], [name for name, pk in rows if pk]


def luigi_touch(warehouse: Warehouse, update_id: str, table: str) -> None:
    """What luigi.contrib.sqla does in SQLAlchemyTarget.touch(), on the reflected table."""
    engine = sa.create_engine(f"sqlite:///{warehouse.file}")
    markers = sa.Table("table_updates", sa.MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        values = {"update_id": update_id, "target_table": table, "inserted": datetime(2026, 11, 22, 4, 31)}
        connection.execute(markers.insert().values(values))
    engine.dispose()


def test_marker_table_has_luigis_columns_then_ours_and_the_pair_as_key(warehouse: Warehouse) -> None:
    """The table that the first load makes."""
    TableTarget("t", "a").touch()

    assert shape(warehouse) == (COLUMNS, ["update_id", "target_table"])


def test_luigis_table_is_adopted_at_the_first_load(warehouse: Warehouse) -> None:
    """Its rows stay valid, the key becomes the pair, and Luigi can go on writing it."""
    warehouse.write(LUIGI_DDL, "INSERT INTO table_updates VALUES ('a', 't', '2026-11-22 04:31:47.123456')")

    TableTarget("t2", "a").touch()
    luigi_touch(warehouse, "luigi_later", "t")

    assert shape(warehouse) == (COLUMNS, ["update_id", "target_table"])
    assert warehouse.markers() == [
        ("a", "t", None, None),
        ("a", "t2", "done", None),
        ("luigi_later", "t", None, None),
    ]
    assert TableTarget("t", "a").exists() and TableTarget("t", "luigi_later").exists()
    assert warehouse.ask("SELECT inserted FROM table_updates WHERE target_table = 't' AND update_id = 'a'") == [
        ("2026-11-22 04:31:47.123456",)
    ]


def test_adoption_keeps_columns_indexes_triggers_and_views_of_others(warehouse: Warehouse) -> None:
    """What a team has added to its marker table stays."""
    warehouse.write(
        LUIGI_DDL,
        "ALTER TABLE table_updates ADD COLUMN team TEXT",
        "CREATE INDEX by_inserted ON table_updates (inserted)",
        "CREATE TABLE log (x)",
        "CREATE TRIGGER noted AFTER INSERT ON table_updates BEGIN INSERT INTO log VALUES (new.update_id); END",
        "CREATE VIEW recent AS SELECT update_id FROM table_updates",
        "INSERT INTO table_updates VALUES ('a', NULL, NULL, 'red')",
        "DELETE FROM log",
    )

    TableTarget("t", "b").touch()

    assert warehouse.ask("SELECT update_id, target_table, team FROM table_updates ORDER BY 1") == [
        ("a", "", "red"),
        ("b", "t", None),
    ]
    assert warehouse.ask("SELECT x FROM log") == [("b",)]
    assert warehouse.ask("SELECT update_id FROM recent ORDER BY 1") == [("a",), ("b",)]
    assert warehouse.ask("SELECT 1 FROM sqlite_schema WHERE name = 'by_inserted'") == [(1,)]


def test_adoption_that_fails_leaves_luigis_table(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rebuild is one transaction."""
    warehouse.write(LUIGI_DDL, "INSERT INTO table_updates VALUES ('a', 't', NULL)")
    monkeypatch.setattr(sa.Table, "create", lambda *args: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        TableTarget("t", "b").touch()

    assert shape(warehouse) == (["update_id", "target_table", "inserted"], ["update_id"])
    assert warehouse.ask("SELECT update_id FROM table_updates") == [("a",)]


def test_a_table_of_that_name_that_is_no_marker_table_is_refused(warehouse: Warehouse) -> None:
    """Nothing of another table is rebuilt."""
    warehouse.write("CREATE TABLE table_updates (what)", "INSERT INTO table_updates VALUES (1)")

    with pytest.raises(LoadError, match="no marker table"):
        TableTarget("t", "a").touch()

    assert warehouse.ask("SELECT what FROM table_updates") == [(1,)]


def test_sixteen_processes_start_on_an_empty_project(warehouse: Warehouse) -> None:
    """No folder, no file, no table: each writes its marker, none fails (F29)."""
    pids = [forked(TableTarget("t", str(number)).touch) for number in range(16)]

    assert all_ended(pids) == [0] * 16
    assert len(warehouse.markers()) == 16


def test_processes_adopt_luigis_table_once(warehouse: Warehouse) -> None:
    """Several first loads at the same moment rebuild it under the lock, one after the other finding it done."""
    warehouse.write(LUIGI_DDL, "INSERT INTO table_updates VALUES ('a', 't', NULL)")

    pids = [forked(TableTarget("t", str(number)).touch) for number in range(6)]

    assert all_ended(pids) == [0] * 6
    assert [row[0] for row in warehouse.markers()] == ["0", "1", "2", "3", "4", "5", "a"]


def test_a_unique_index_on_the_id_alone_is_refused(warehouse: Warehouse) -> None:
    """It would be made anew with the table at each load, and let no two tables have one id."""
    warehouse.write(LUIGI_DDL, "CREATE UNIQUE INDEX mine ON table_updates (update_id)")

    with pytest.raises(LoadError, match=r"keeps update_id alone unique.*Drop that index"):
        TableTarget("flights", "one").touch()

    assert warehouse.ask("SELECT count(*) FROM pragma_table_info('table_updates')") == [(3,)]
