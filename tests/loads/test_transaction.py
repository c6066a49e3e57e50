"""`with transaction("warehouse"):`, the block that loads join."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl.core import context
from etlctl.core.context import Attempt, Context, attempting
from etlctl.core.parameters import IntParameter
from etlctl.core.task import Task
from etlctl.db.connections import Databases
from etlctl.db.table_target import TableTarget
from etlctl.errors import BadDataError, CommitInsideError, LoadError, SettingsError
from etlctl.loads.sequence import transaction
from etlctl.loads.table import LoadTable
from etlctl.settings import ConnectionSettings, Secret
from warehouse import Warehouse, ended, forked


class Load(LoadTable):
    number = IntParameter()
    table = "t"
    columns = {"x": "integer"}

    def rows(self) -> Any:
        return [(self.number,), (self.number,)] if self.number >= 0 else [("none",)]


class ByHand(Task):
    """A task that is written by hand."""

    def output(self) -> TableTarget:
        return TableTarget("by_hand", self.task_id)

    def run(self) -> None:
        with self.output().transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE by_hand AS SELECT 1 AS x")


def test_loads_in_the_block_are_committed_together(warehouse: Warehouse) -> None:
    """Tables that are missing are made inside; outside nothing is seen until the end."""
    with transaction("warehouse") as connection:
        Load(1).run()
        ByHand().run()
        connection.exec_driver_sql("INSERT INTO t VALUES (7)")

        assert Load(1).complete() and ByHand().complete()
        assert warehouse.markers() == []
        assert warehouse.ask("SELECT name FROM sqlite_schema WHERE name IN ('t', 'by_hand')") == []

    assert warehouse.count("t") == 3 and warehouse.count("by_hand") == 1 and len(warehouse.markers()) == 2


@pytest.mark.parametrize("spelling", ["folder/../warehouse.db", "link.db", "warehouse.db?timeout=5"])
def test_another_name_of_the_same_file_is_refused_at_once(warehouse: Warehouse, spelling: str) -> None:
    """It would wait a minute for the lock of its own process, and then blame another one."""
    folder = warehouse.file.parent
    (folder / "folder").mkdir(parents=True)
    (folder / "link.db").symlink_to(warehouse.file)
    url = f"sqlite:///{folder}/{spelling}"
    other = type("Load", (Load,), {"connection": url})(1)
    Load(2).run()

    with pytest.raises(LoadError, match="is the same database as") as caught, transaction("warehouse"):
        other.run()
    assert str(folder / "warehouse.db") in str(caught.value) and url in str(caught.value)

    with pytest.raises(LoadError, match="is the same database as"), transaction("warehouse"):
        TableTarget("t", "a", url).touch()

    other.run()
    assert warehouse.count("t") == 4


def test_a_build_inside_the_block_is_refused_at_once(warehouse: Warehouse) -> None:
    """Its own connection to the same database would wait for the block."""
    beside = Databases(
        {"warehouse": ConnectionSettings("warehouse", Secret("sqlite:///.etlctl/warehouse.db"))},
        "warehouse",
        warehouse.project,
    )

    with pytest.raises(LoadError, match=r"build\(\) inside it would wait"), transaction("warehouse"):
        Load(1).run()
        with context.use(Context(project=warehouse.project, database=beside.get)):
            Load(2).run()

    assert warehouse.markers() == []


def test_an_error_in_the_block_takes_everything_back(anywhere: AnyWarehouse) -> None:
    """Rows, tables and markers of the loads before it."""
    with pytest.raises(ZeroDivisionError), transaction("warehouse"):
        Load(1).run()
        raise ZeroDivisionError

    assert anywhere.markers() == [] and not Load(1).complete()
    tables = sa.inspect(anywhere.database.engine).get_table_names()
    assert anywhere.count("t") == 0 if anywhere.kind == "mysql" else "t" not in tables  # DDL would commit there


def test_a_load_whose_error_is_caught_leaves_the_others(anywhere: AnyWarehouse) -> None:
    """Each load is a savepoint."""
    with transaction("warehouse"):
        Load(1).run()
        with pytest.raises(BadDataError):
            Load(-1).run()
        Load(2).run()

    assert anywhere.ask("SELECT x FROM t") == [(1,), (1,), (2,), (2,)]
    assert len(anywhere.markers()) == 2


def test_a_load_that_is_done_is_passed_over(anywhere: AnyWarehouse) -> None:
    """Also one that was loaded in the same block."""
    Load(1).run()

    with transaction("warehouse"):
        Load(1).run()
        Load(2).run()
        Load(2).run()

    assert anywhere.count("t") == 4


def test_kill_inside_the_block_leaves_nothing(anywhere: AnyWarehouse) -> None:
    """kill -9 after two loads of three."""

    def work() -> None:
        with transaction("warehouse"):
            Load(1).run()
            Load(2).run()
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(work)) == -9

    assert anywhere.markers() == []


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
def test_ending_the_block_by_hand_is_refused(anywhere: AnyWarehouse, statement: str) -> None:
    """And nothing of it is kept."""
    with pytest.raises(CommitInsideError), transaction() as connection:
        Load(1).run()
        connection.exec_driver_sql(statement)

    assert anywhere.markers() == []


def test_an_inner_block_joins_the_outer(anywhere: AnyWarehouse) -> None:
    """One transaction, whoever opens it."""
    with pytest.raises(ZeroDivisionError), transaction():
        with transaction("warehouse"):
            Load(1).run()
        assert anywhere.markers() == []
        raise ZeroDivisionError

    assert anywhere.markers() == []


def test_two_databases_are_two_transactions(anywhere: AnyWarehouse) -> None:
    """A load of another database commits by itself."""

    class Other(Load):
        connection = "sqlite:///other.db"

    with pytest.raises(ZeroDivisionError), transaction("warehouse"):
        Load(1).run()
        Other(2).run()
        raise ZeroDivisionError

    assert not Load(1).complete() and Other(2).complete()


def test_the_attempt_counts_the_open_block(anywhere: AnyWarehouse) -> None:
    """The engine refuses a yield in it."""
    with attempting(Attempt()) as attempt:
        with transaction():
            assert attempt.transactions == 1
        assert attempt.transactions == 0


def test_force_inside_the_block_replaces(anywhere: AnyWarehouse) -> None:
    """The marker that is taken away and the new one are of one transaction."""

    class Lineage(Load):
        lineage = True

    Lineage(1).run()

    with transaction(), attempting(Attempt(forced=True)):
        Lineage(1).run()

    assert anywhere.count("t") == 2 and len(anywhere.markers()) == 1


def test_bad_rows_in_the_block_name_their_row(anywhere: AnyWarehouse) -> None:
    """Staging inside a transaction finds them as well."""
    with pytest.raises(BadDataError, match=r"rows\(\): row 1, column x: 'none'"), transaction():
        Load(-1).run()


def test_an_unknown_connection_is_a_settings_error(anywhere: AnyWarehouse) -> None:
    """Before anything is opened."""
    with pytest.raises(SettingsError, match="no connection 'warehous'"), transaction("warehous"):
        pytest.fail("the block ran")


@pytest.mark.parametrize("database_url", ["sqlite", "mysql"], indirect=True)  # PostgreSQL copies over it, and refuses
def test_rows_that_ask_the_database_see_the_block(anywhere: AnyWarehouse) -> None:
    """rows() may read what was loaded before it, over the same connection."""

    class Copied(LoadTable):
        columns = {"x": "integer"}

        def rows(self) -> Any:
            with self.database.reading() as connection:
                yield from connection.exec_driver_sql("SELECT x FROM t").all()

    with transaction():
        Load(5).run()
        Copied().run()

    assert anywhere.ask("SELECT x FROM copied") == [(5,), (5,)]


def test_a_task_of_its_own_writing_inside_is_not_waited_for(anywhere: AnyWarehouse) -> None:
    """Another connection that writes would wait for this very thread; `unguarded` says so at once."""
    with pytest.raises(LoadError, match="cannot run inside an open transaction"), transaction():
        Load(1).run()
        with anywhere.database.unguarded("Vacuum"):
            pytest.fail("the block ran")
