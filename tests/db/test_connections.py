from __future__ import annotations

from pathlib import Path

import pytest

from etlctl.db.connections import Database, Databases
from etlctl.db.table_target import TableTarget
from etlctl.errors import SettingsError
from etlctl.settings import ConnectionSettings, Secret
from warehouse import Warehouse, ended, forked


def connections(**urls: str) -> dict[str, ConnectionSettings]:
    return {name: ConnectionSettings(name, Secret(url)) for name, url in urls.items()}


def test_databases_gives_one_database_per_url(tmp_path: Path) -> None:
    """By name, by default, by relative and by absolute URL: one Database, so one engine."""
    databases = Databases(connections(warehouse="sqlite:///w.db"), "warehouse", tmp_path)

    found = databases.get("warehouse")

    assert databases.get(None) is found
    assert databases.get("sqlite:///w.db") is found
    assert databases.get(f"sqlite:///{tmp_path}/w.db") is found
    assert databases.get("sqlite:///other.db") is not found


def test_databases_suggests_for_an_unknown_name(tmp_path: Path) -> None:
    """Exit 2, the nearest name and all there are."""
    databases = Databases(connections(warehouse="sqlite:///w.db", lake="sqlite:///l.db"), "warehouse", tmp_path)

    with pytest.raises(SettingsError, match=r"no connection 'warehose'.*Did you mean 'warehouse'.*warehouse, lake"):
        databases.get("warehose")


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://user:S3cr3t@host/db", "mysql+mysqldb://u:S3cr3t@host/db", "nosuch://u:S3cr3t@host/db"]
)
def test_databases_names_what_it_cannot_load(tmp_path: Path, url: str) -> None:
    """A driver, or a kind of database, that nobody speaks to is a setting to mend; its password is not shown."""
    with pytest.raises(SettingsError, match=r"connection warehouse \(.*\*\*\*@host/db\): ") as raised:
        Databases(connections(warehouse=url), "warehouse", tmp_path).get(None)

    assert "S3cr3t" not in str(raised.value)


def test_a_url_that_cannot_be_read_is_not_shown_in_full(tmp_path: Path) -> None:
    """Its password may be anywhere in it."""
    with pytest.raises(SettingsError) as raised:
        Databases({}, "warehouse", tmp_path).get("postgresql://user:S3c@r3t@host:70000000/db")

    assert "r3t" not in str(raised.value)


def test_engine_is_made_anew_after_fork(warehouse: Warehouse) -> None:
    """A child loads with an engine of its own."""
    engine = warehouse.database.engine

    def work() -> int:
        TableTarget("t", "child").touch()
        return int(warehouse.database.engine is engine)

    assert ended(forked(work)) == 0
    assert TableTarget("t", "child").exists() and warehouse.database.engine is engine


def test_an_in_memory_database_is_one_database(tmp_path: Path) -> None:
    """Every use of it sees what was written: handy in tests of pipelines."""
    database = Databases(connections(warehouse="sqlite://"), "warehouse", tmp_path).get(None)

    with database.writing("test") as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 1 AS x")

    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT x FROM t").scalar_one() == 1
    database.close()


def test_a_deleted_file_is_not_read_on(warehouse: Warehouse) -> None:
    """No connection is kept, so a warehouse that was deleted is gone."""
    TableTarget("t", "a").touch()
    warehouse.file.unlink()

    assert TableTarget("t", "a").exists() is False


def test_the_folder_is_made_by_the_first_write(warehouse: Warehouse) -> None:
    """`.etlctl/` needs no mkdir."""
    TableTarget("t", "a").touch()

    assert warehouse.file.exists()


def test_the_journal_mode_is_left_as_it_is_found(warehouse: Warehouse) -> None:
    """A load works in either mode and changes neither."""
    for mode in ("wal", "delete"):
        warehouse.write(f"PRAGMA journal_mode = {mode}")

        TableTarget("t", mode).touch()

        assert warehouse.ask("PRAGMA journal_mode") == [(mode,)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("sqlite:///{}/a.db", "sqlite:///{}/folder/../a.db?timeout=5", True),
        ("sqlite:///{}/a.db", "sqlite:///{}/link.db", True),
        ("sqlite:///{}/new.db", "sqlite:///{}/folder/../new.db", True),
        ("sqlite:///{}/a.db", "sqlite:///{}/b.db", False),
        ("sqlite://", "sqlite://", False),
    ],
)
def test_databases_of_one_file_are_the_same(tmp_path: Path, one: str, other: str, expected: bool) -> None:
    """By whatever path, options or link, before the file exists as well; a database in memory is one of its own."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.db").touch()
    (tmp_path / "link.db").symlink_to("a.db")

    first, second = (Database(ConnectionSettings("w", Secret(url.format(tmp_path)))) for url in (one, other))

    assert first.is_same_as(second) is expected and second.is_same_as(first) is expected
