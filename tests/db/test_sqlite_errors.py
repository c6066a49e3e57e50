"""What goes wrong with a SQLite file, as sentences and exit codes (exit 4: it cannot be used)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from etlctl.core import context
from etlctl.db.table_target import TableTarget
from etlctl.errors import BadDataError, LoadError, QueryError, UnavailableError
from warehouse import Warehouse


def test_locked_past_the_timeout(tmp_path: Path) -> None:
    """The sentence names the database, the cause and the way to wait longer."""
    warehouse = Warehouse(tmp_path, "?timeout=0.1")
    warehouse.write("CREATE TABLE t (x)")
    other = sqlite3.connect(warehouse.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with context.use(warehouse.context), pytest.raises(UnavailableError) as raised:
        TableTarget("t", "a").touch()
    other.close()

    assert raised.value.exit_code == 4
    assert "t on warehouse" in str(raised.value) and "warehouse.db" in str(raised.value)
    assert "is locked by another process" in str(raised.value) and "timeout=SECONDS" in str(raised.value)


def test_a_reader_that_stays_past_the_timeout_fails_the_commit_and_nothing_else(tmp_path: Path) -> None:
    """Under the rollback journal COMMIT itself meets the lock; rows and marker are then both absent."""
    warehouse = Warehouse(tmp_path, "?timeout=0.1")
    warehouse.write("CREATE TABLE t (x)", "INSERT INTO t VALUES (0)")
    with context.use(warehouse.context):
        TableTarget("other", "a").touch()
        other = sqlite3.connect(warehouse.file, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM t").fetchone()

        with pytest.raises(UnavailableError, match="locked"), TableTarget("t", "a").transaction() as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        other.close()

    assert warehouse.count("t") == 1 and len(warehouse.markers()) == 1


def test_disk_full(warehouse: Warehouse) -> None:
    """A full disk rolls back and says so."""
    TableTarget("t", "first").touch()
    warehouse.write("CREATE TABLE t (x)")

    @sa.event.listens_for(warehouse.database.engine, "connect")
    def _small(raw: sqlite3.Connection, _: object) -> None:
        raw.execute("PRAGMA max_page_count = 20")

    with pytest.raises(UnavailableError, match="no room left"), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(1000000))")

    assert warehouse.count("t") == 0 and len(warehouse.markers()) == 1


def test_read_only_database(warehouse: Warehouse) -> None:
    """A database opened read-only answers questions and refuses loads."""
    TableTarget("t", "a").touch()
    url = f"sqlite:///file:{warehouse.file}?mode=ro&uri=true"

    assert TableTarget("t", "a", url).exists()
    with pytest.raises(UnavailableError, match="is read-only") as raised:
        TableTarget("t", "b", url).touch()

    assert raised.value.exit_code == 4


def test_not_a_database(warehouse: Warehouse) -> None:
    """A file of something else is not overwritten."""
    warehouse.file.parent.mkdir()
    warehouse.file.write_text("a CSV file, perhaps\n" * 100)

    with pytest.raises(UnavailableError, match="is not a SQLite database"):
        TableTarget("t", "a").touch()

    assert warehouse.file.read_text().startswith("a CSV file")


def test_a_folder_that_cannot_be_made(warehouse: Warehouse) -> None:
    """A file where the folder should be."""
    (warehouse.project / ".etlctl").write_text("")

    with pytest.raises(UnavailableError, match=r"the folder of sqlite:///.*warehouse\.db cannot be made"):
        TableTarget("t", "a").touch()


def test_a_path_that_is_a_folder(warehouse: Warehouse) -> None:
    """SQLite cannot open it."""
    warehouse.file.mkdir(parents=True)

    with pytest.raises(UnavailableError, match="cannot be opened"):
        TableTarget("t", "a").exists()


def test_reading_what_does_not_exist_makes_nothing(warehouse: Warehouse) -> None:
    """A query on a database that was never written to says so, and makes no file."""
    with pytest.raises(UnavailableError, match="does not exist yet"), warehouse.database.reading("DumpReport"):
        pytest.fail("the block ran")

    assert list(warehouse.project.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "error", "said"),
    [
        ("SELECT * FROM nowhere", QueryError, "no such table: nowhere"),
        ("SELECT absent FROM t", QueryError, "no such column: absent"),
        ("SELEC 1", QueryError, "syntax error"),
        ("INSERT INTO t VALUES (1), (1)", BadDataError, "UNIQUE constraint failed: t.x"),
        ("INSERT INTO t VALUES ('one')", BadDataError, "datatype mismatch"),
        ("INSERT INTO v VALUES (1)", QueryError, "cannot modify v because it is a view"),
    ],
)
def test_statements_that_fail(warehouse: Warehouse, statement: str, error: type[Exception], said: str) -> None:
    """The task's own trouble, exit 1, in SQLite's words."""
    warehouse.write("CREATE TABLE t (x INTEGER PRIMARY KEY)", "CREATE VIEW v AS SELECT x FROM t")

    with pytest.raises(error, match=said) as raised, TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql(statement)

    assert "t on warehouse" in str(raised.value) and "\n" not in str(raised.value)


def test_a_number_beyond_64_bits(warehouse: Warehouse) -> None:
    """Python's integers have no end, SQLite's do."""
    warehouse.write("CREATE TABLE t (x)")

    with pytest.raises(BadDataError, match="64 bits"), TableTarget("t", "a").transaction() as connection:
        connection.execute(sa.insert(sa.table("t", sa.column("x"))).values(x=1 << 70))


def test_parameters_are_not_in_the_message(warehouse: Warehouse) -> None:
    """A value bound to a failing statement may be a secret."""
    with pytest.raises(QueryError) as raised, TableTarget("t", "a").transaction() as connection:
        connection.execute(sa.text("SELECT * FROM nowhere WHERE x = :x"), {"x": "S3cr3t"})

    assert "S3cr3t" not in str(raised.value) + str(raised.value.__cause__)


def test_unguarded_is_refused_inside_a_transaction(warehouse: Warehouse) -> None:
    """What commits by itself cannot be a part of a load."""
    with (
        pytest.raises(LoadError, match="cannot run inside an open"),
        TableTarget("t", "a").transaction(),
        warehouse.database.unguarded("VacuumTask"),
    ):
        pytest.fail("the block ran")


def test_unguarded_commits_each_statement(warehouse: Warehouse) -> None:
    """VACUUM runs, which it cannot in a transaction."""
    TableTarget("t", "a").touch()

    with warehouse.database.unguarded("VacuumTask") as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        connection.exec_driver_sql("VACUUM")

    assert warehouse.count("t") == 0
