"""The audit table on the three databases: one line a load, in its transaction, and none where the setting is off."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import etlctl
from etlctl import LoadTable, Sequence, TableTarget
from etlctl.core import context
from etlctl.core.context import Context
from etlctl.db import audit, inventory, torn
from etlctl.db.connections import Database, Databases
from etlctl.errors import LoadError
from etlctl.settings import ConnectionSettings, Secret, load
from warehouse import all_ended, forked


class Sales(LoadTable):
    """Three rows."""

    table = "sales"
    columns = {"n": "integer"}
    values = {"n": "first"}
    first = 1

    def rows(self) -> Any:
        yield from ({} for _ in range(3))


class BadSales(Sales):
    """Its last row is none."""

    def rows(self) -> Any:
        yield {}
        raise ValueError("bad luck")


class Both(Sequence):
    """Two loads in one transaction."""

    table = "both"

    def steps(self) -> Any:
        return [Sales(), TableTargetTask()]


class TableTargetTask(etlctl.Task):
    """A load written by hand."""

    def output(self) -> Any:
        return TableTarget("by_hand", "x")

    def run(self) -> None:
        with self.output().transaction():
            pass


Opened = Callable[..., Database]


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Iterator[Opened]:
    """Puts a project with one connection in place; keyword arguments are its settings."""
    with ExitStack() as stack:

        def open_(**given: Any) -> Database:
            settings = ConnectionSettings("warehouse", Secret(database_url), **given)
            databases = Databases({"warehouse": settings}, "warehouse", tmp_path)
            stack.callback(databases.close)
            stack.enter_context(context.use(Context(project=tmp_path, database=databases.get)))
            return databases.get()

        yield open_


def _build(database: Database, project: Path, task: etlctl.Task, **options: Any) -> Any:
    """As a command does it, with the settings of `database`."""
    url, is_on = database.url, str(database.settings.audit).lower()
    environ = {"ETLCTL_CONNECTIONS_WAREHOUSE_URL": url, "ETLCTL_CONNECTIONS_WAREHOUSE_AUDIT": is_on}
    summary = etlctl.build([task], settings=load(None, environ=environ, cwd=project), **options)
    assert summary, summary.text
    return summary


def _asked(database: Database, query: str) -> list[tuple[Any, ...]]:
    url = database.url.replace("postgresql:", "postgresql+psycopg2:")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def _lines(database: Database, columns: str = "action, detail, target_table, row_count") -> list[tuple[Any, ...]]:
    return sorted(_asked(database, f"SELECT {columns} FROM etlctl_audit"), key=repr)


def _tables(database: Database) -> list[str]:
    engine = sa.create_engine(database.url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sa.NullPool)
    return [name for name in sa.inspect(engine).get_table_names() if name == audit.NAME]


def test_a_load_writes_one_line_with_all_it_promises(opened: Opened, tmp_path: Path) -> None:
    """Who, when, which code, which run, what, how many rows."""
    database = opened(audit=True)

    Sales().run()
    summary = _build(database, tmp_path, TableTargetTask())

    columns = "target_table, action, detail, update_id, row_count, run_id, user_name, host, code_version"
    by_hand, sales = _lines(database, columns)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    who = (user, socket.gethostname(), f"etlctl {etlctl.__version__}")
    assert by_hand == ("by_hand", "load", None, "x", None, summary.run_id, *who)
    assert sales == ("sales", "load", None, Sales().task_id, 3, None, *who)
    ((written,),) = _asked(database, "SELECT max(inserted) FROM etlctl_audit")
    written_at = datetime.fromisoformat(str(written)).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=5)
    owners = (
        "SELECT count(*) FROM etlctl_audit a JOIN table_updates m ON m.owner = a.owner AND m.update_id = a.update_id"
    )
    assert _asked(database, owners) == [(2,)]


def test_the_line_of_a_build_holds_the_fingerprint_of_the_tasks_file(opened: Opened, tmp_path: Path) -> None:
    """Which code loaded it: the SHA-256 of the file its class is written in."""
    database = opened(audit=True)

    _build(database, tmp_path, TableTargetTask())

    assert _lines(database, "code_fingerprint") == [(sha256(Path(__file__).read_bytes()).hexdigest(),)]


def test_inputs_are_those_of_the_marker(opened: Opened, tmp_path: Path) -> None:
    """What a load was made from stands in both."""
    database = opened(audit=True)
    (tmp_path / "n.csv").write_text("n\n1\n2\n", encoding="utf-8")

    class FromFile(LoadTable):
        columns = {"n": "integer"}

        def requires(self) -> Any:
            class Given(etlctl.ExternalTask):
                def output(self) -> Any:
                    return etlctl.LocalTarget("n.csv")

            return Given()

    FromFile().run()

    ((inputs,),) = _lines(database, "inputs")
    ((marked,),) = _asked(database, "SELECT inputs FROM table_updates")
    assert inputs == marked and json.loads(inputs)


def test_a_load_that_fails_leaves_no_line(opened: Opened) -> None:
    """It is a part of the load's transaction."""
    database = opened(audit=True)

    with pytest.raises(ValueError, match="bad luck"):
        BadSales().run()

    assert _lines(database) == []


def test_a_load_that_is_done_already_leaves_no_line(opened: Opened) -> None:
    """Nothing was loaded, so there is nothing to tell."""
    database = opened(audit=True)

    Sales().run()
    Sales().run()

    assert _lines(database) == [("load", None, "sales", 3)]


def test_a_forced_load_says_so(opened: Opened, tmp_path: Path) -> None:
    """Both lines stay: the table is only ever inserted into."""
    database = opened(audit=True)
    Sales().run()

    _build(database, tmp_path, Sales(), force={Sales()})

    assert _lines(database) == [("load", "forced", "sales", 3), ("load", None, "sales", 3)]


def test_a_sequence_has_a_line_for_each_step_and_its_own(opened: Opened) -> None:
    """Each of the three markers of the one transaction."""
    database = opened(audit=True)

    Both().run()

    assert {line[2:] for line in _lines(database)} == {("sales", 3), ("by_hand", None), ("both", 3)}


@pytest.mark.parametrize("choice", [True, False])
def test_resolving_a_torn_load_is_on_record(opened: Opened, choice: bool) -> None:
    """Who said that its rows are there, or are not."""
    database = opened(audit=True)
    TableTarget("by_hand", "x").touch()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE table_updates SET state = 'loading'")

    torn.resolve(torn.torn_of([TableTargetTask()]), as_loaded=choice)

    assert ("resolve", "loaded" if choice else "absent", "by_hand", None) in _lines(database)


def test_without_the_setting_there_is_no_table(opened: Opened) -> None:
    """Off by default, and off costs nothing."""
    database = opened()

    Sales().run()

    assert _tables(database) == []


def test_adopting_the_markers_makes_it_too(opened: Opened) -> None:
    """So that rights can be granted on it before the first load."""
    database = opened(audit=True)

    inventory.adopted(database)

    assert _tables(database) == [audit.NAME] and _lines(database) == []


def test_it_stands_in_the_schema_of_the_markers(postgres_url: str, tmp_path: Path) -> None:
    """marker_schema is its schema."""
    settings = ConnectionSettings("warehouse", Secret(postgres_url), marker_schema="Marks; x", audit=True)
    databases = Databases({"warehouse": settings}, "warehouse", tmp_path)
    with context.use(Context(project=tmp_path, database=databases.get)):
        Sales().run()

    assert _asked(databases.get(), 'SELECT count(*) FROM "Marks; x".etlctl_audit') == [(1,)]
    databases.close()


def test_processes_that_start_without_any_table_meet_no_error(opened: Opened) -> None:
    """Marker and audit table are made once, under the lock for DDL; each load has its line (F29)."""
    database = opened(audit=True)

    def load(number: int) -> Callable[[], None]:
        return lambda: TableTarget("t", f"x{number}").touch()

    codes = all_ended([forked(load(number)) for number in range(8)])

    assert codes == [0] * 8
    assert len(_lines(database)) == 8


def test_another_table_of_its_name_is_left_alone(opened: Opened) -> None:
    """The sentence says how to go on; nothing is loaded."""
    database = opened(audit=True)
    TableTarget("t", "before").database.prepare_to_write("testing")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE etlctl_audit (a INTEGER)")

    with pytest.raises(LoadError, match=r"is not the audit table .* audit = false"):
        Sales().run()

    assert _asked(database, "SELECT count(*) FROM table_updates") == [(0,)]
