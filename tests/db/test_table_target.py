from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlctl.core.target import exists_in_bulk
from etlctl.db.table_target import TableTarget
from etlctl.errors import AlreadyLoaded, LoadError, SettingsError, TornLoadError, UnavailableError
from warehouse import LUIGI_DDL, Warehouse


def load(target: TableTarget, *statements: str) -> None:
    with target.transaction() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_exists_makes_no_file_and_no_folder(warehouse: Warehouse) -> None:
    """Asking a database that does not exist finds no marker and leaves nothing behind."""
    found = TableTarget("flights", "a").exists()

    assert found is False
    assert list(warehouse.project.iterdir()) == []


def test_a_plan_says_not_loaded_of_a_missing_marker() -> None:
    """A load is not told as a file is: its marker is missing, and "output" is not what its author wrote."""
    assert TableTarget("flights", "a").absent == "not loaded"


def test_exists_makes_no_marker_table(warehouse: Warehouse) -> None:
    """Asking a database without marker table finds nothing and changes nothing."""
    warehouse.write("CREATE TABLE other (x)")
    before = warehouse.file.read_bytes()

    found = TableTarget("flights", "a").exists()

    assert found is False and warehouse.file.read_bytes() == before


def test_transaction_commits_rows_and_marker_together(warehouse: Warehouse) -> None:
    """What ran in the block and its marker are both there afterwards."""
    load(TableTarget("t", "a"), "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")

    assert warehouse.count("t") == 1
    assert warehouse.markers() == [("a", "t", "done", None)]
    assert TableTarget("t", "a").exists()


def test_transaction_leaves_nothing_when_the_block_raises(warehouse: Warehouse) -> None:
    """An error in the block leaves neither its rows nor its table nor its marker."""
    with pytest.raises(ZeroDivisionError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        raise ZeroDivisionError

    assert warehouse.markers() == []
    assert warehouse.ask("SELECT name FROM sqlite_schema WHERE name = 't'") == []


def test_transaction_raises_already_loaded_before_the_block(warehouse: Warehouse) -> None:
    """A marker that is there stops the block from running, by an exception that is no failure."""
    load(TableTarget("t", "a"), "CREATE TABLE t (x)")
    ran = False

    with pytest.raises(AlreadyLoaded) as raised, TableTarget("t", "a").transaction():
        ran = True

    assert ran is False and raised.value.exit_code == 0


def test_marker_key_is_update_id_and_table(warehouse: Warehouse) -> None:
    """The same update_id for two tables is two loads (F28)."""
    load(TableTarget("t1", "a"), "CREATE TABLE t1 (x)")
    assert not TableTarget("t2", "a").exists()

    load(TableTarget("t2", "a"), "CREATE TABLE t2 (x)")

    assert [row[:2] for row in warehouse.markers()] == [("a", "t1"), ("a", "t2")]


def test_exists_is_false_for_the_load_that_is_going_on(warehouse: Warehouse) -> None:
    """Inside its own transaction a load is not done yet, and that is no torn load."""
    target = TableTarget("t", "a")

    with target.transaction():
        found = target.exists()

    assert found is False and target.exists() is True


def test_exists_asks_on_the_open_connection(warehouse: Warehouse) -> None:
    """A load inside another's transaction is seen there before it is committed."""
    with TableTarget("t", "a").transaction():
        TableTarget("t", "b").touch()

        assert TableTarget("t", "b").exists()
        assert warehouse.markers() == []

    assert [row[0] for row in warehouse.markers()] == ["a", "b"]


def test_touch_twice_is_one_marker(warehouse: Warehouse) -> None:
    """touch() of a marker that is there does nothing."""
    TableTarget("t", "a").touch()
    TableTarget("t", "a").touch()

    assert warehouse.markers() == [("a", "t", "done", None)]


def test_committed_loading_is_torn_for_exists_and_for_a_load(warehouse: Warehouse) -> None:
    """A committed `loading` is neither skipped nor repeated: exit code 6, and the sentence says what to do (F25)."""
    TableTarget("t", "x").touch()
    warehouse.write("UPDATE table_updates SET state = 'loading'")
    target = TableTarget("t", "x")

    with pytest.raises(TornLoadError, match="markers resolve TASK --loaded` keeps them") as asked:
        target.exists()
    with pytest.raises(TornLoadError), target.transaction():
        pytest.fail("the block ran")

    assert asked.value.exit_code == 6


def test_luigi_rows_are_read_as_they_are(warehouse: Warehouse) -> None:
    """A marker table of Luigi's answers without being changed; its rows have no state and count as done."""
    warehouse.write(LUIGI_DDL, "INSERT INTO table_updates VALUES ('a', 't', '2026-11-22 04:31:47.123456')")
    before = warehouse.file.read_bytes()

    assert TableTarget("t", "a").exists()
    assert not TableTarget("other", "a").exists()
    assert warehouse.file.read_bytes() == before


def test_update_key_of_another_task_is_an_error(warehouse: Warehouse) -> None:
    """A marker whose update_key differs is never a silent skip: ids keep 40 bits."""
    with TableTarget("t", "id", update_key="1" * 64).transaction():
        pass

    assert TableTarget("t", "id", update_key="1" * 64).exists()
    assert TableTarget("t", "id").exists()
    with pytest.raises(LoadError, match="another task whose id is the same"):
        TableTarget("t", "id", update_key="2" * 64).exists()
    with pytest.raises(LoadError, match="another task"), TableTarget("t", "id", update_key="2" * 64).transaction():
        pytest.fail("the block ran")


def test_update_key_is_not_compared_with_luigi_rows(warehouse: Warehouse) -> None:
    """A row without update_key answers for any."""
    warehouse.write(LUIGI_DDL, "INSERT INTO table_updates VALUES ('a', 't', NULL)")

    assert TableTarget("t", "a", update_key="1" * 64).exists()


def test_exists_many_asks_10000_ids_in_few_queries(warehouse: Warehouse) -> None:
    """Ten thousand ids of one database are one session and a handful of statements."""
    for update_id in ("7", "9999"):
        TableTarget("t", update_id).touch()
    statements: list[str] = []
    sa.event.listen(warehouse.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    connections: list[Any] = []
    sa.event.listen(warehouse.database.engine, "connect", lambda *args: connections.append(args))
    targets = [TableTarget("t", str(number)) for number in range(10_000)]

    found = TableTarget.exists_many(targets)

    assert [target.update_id for target, answer in zip(targets, found, strict=True) if answer is True] == ["7", "9999"]
    assert len(statements) <= 5 and len(connections) == 1


def test_exists_many_keeps_the_trouble_of_one_database_to_itself(warehouse: Warehouse) -> None:
    """A database that cannot be asked is an error for its own targets, and the others answer."""
    TableTarget("t", "a").touch()
    (warehouse.project / "text.db").write_text("this is no database, and long enough to tell " * 30)
    targets = [
        TableTarget("t", "a"),
        TableTarget("t", "a", "sqlite:///text.db"),
        TableTarget("t", "b"),
        TableTarget("t", "a", "nowhere"),
    ]

    answers = exists_in_bulk(targets)

    good, broken, absent, unknown = (answers[id(target)] for target in targets)
    assert (good, absent) == (True, False)
    assert isinstance(broken, UnavailableError) and "is not a SQLite database" in str(broken)
    assert isinstance(unknown, SettingsError) and "no connection 'nowhere'" in str(unknown)


def test_updated_at_is_utc(warehouse: Warehouse) -> None:
    """A marker of ours tells its instant in UTC; no marker, none."""
    TableTarget("t", "a").touch()

    found = TableTarget("t", "a").updated_at()

    assert found is not None and abs(datetime.now(UTC) - found) < timedelta(minutes=1)
    assert TableTarget("t", "b").updated_at() is None


@pytest.mark.parametrize(("table", "update_id"), [("", "a"), ("t", ""), ("t", "a\0b"), ("t", "\ud800"), ("t", None)])
def test_names_that_no_database_holds_are_refused(table: str, update_id: Any) -> None:
    """An empty text, a NUL, half a character and what is no text are refused where the target is made."""
    with pytest.raises(LoadError, match="TableTarget's"):
        TableTarget(table, update_id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=200).filter(lambda text: "\0" not in text))
def test_update_id_round_trips(warehouse: Warehouse, update_id: str) -> None:
    """Any text is a marker of its own, byte for byte, and harms nothing (S2)."""
    TableTarget("t", update_id).touch()

    assert TableTarget("t", update_id).exists()
    assert not TableTarget("t", update_id + "x").exists() or update_id + "x" in {row[0] for row in warehouse.markers()}
    assert update_id in {row[0] for row in warehouse.markers()}


@pytest.mark.parametrize(
    "name", ['t"; DROP TABLE table_updates; --', "a.b.c", "x' OR '1'='1", "té 表 🛫", "a:b %(c)s ?", "n" * 300]
)
def test_table_names_are_quoted(warehouse: Warehouse, name: str) -> None:
    """A table name is a name, whatever is in it (S1, F81)."""
    TableTarget(name, "a").touch()

    assert TableTarget(name, "a").exists()
    assert warehouse.markers() == [("a", name, "done", None)]


def test_force_is_refused_for_a_block_that_does_not_replace(warehouse: Warehouse) -> None:
    """A hand-written load is forced only where it says that it takes its earlier rows away."""
    from etlctl.core.context import Attempt, attempting

    load(TableTarget("t", "a"), "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")

    with attempting(Attempt(forced=True)):
        with pytest.raises(LoadError, match="second time"), TableTarget("t", "a").transaction():
            pytest.fail("the block ran")
        with TableTarget("t", "a").transaction(replaces=True) as connection:
            connection.exec_driver_sql("DELETE FROM t")
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    assert warehouse.ask("SELECT x FROM t") == [(2,)]
    assert warehouse.markers() == [("a", "t", "done", None)]


def test_marker_deleted_inside_the_block_fails_the_load(warehouse: Warehouse) -> None:
    """A block that takes its own marker away has its rows rolled back."""
    TableTarget("other", "b").touch()

    with (
        pytest.raises(LoadError, match="changed or deleted"),
        TableTarget("t", "a").transaction() as connection,
    ):
        connection.exec_driver_sql("CREATE TABLE t (x)")
        connection.exec_driver_sql("DELETE FROM table_updates WHERE target_table = 't'")

    assert warehouse.markers() == [("b", "other", "done", None)]
