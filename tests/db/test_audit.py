"""The audit table on the three databases: one line a load, in its transaction, and none where the setting is off."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import etlctl
from any_warehouse import AnyWarehouse
from etlctl import LoadTable, Sequence, TableTarget
from etlctl.core import context
from etlctl.db import audit, inventory, torn
from etlctl.errors import LoadError
from etlctl.settings import load
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


Opened = Callable[..., AnyWarehouse]


def _build(warehouse: AnyWarehouse, project: Path, task: etlctl.Task, **options: Any) -> Any:
    """As a command does it, with an audit table."""
    environ = {"ETLCTL_CONNECTIONS_WAREHOUSE_URL": warehouse.url, "ETLCTL_CONNECTIONS_WAREHOUSE_AUDIT": "true"}
    summary = etlctl.build([task], settings=load(None, environ=environ, cwd=project), **options)
    assert summary, summary.text
    return summary


def _lines(warehouse: AnyWarehouse, columns: str = "action, detail, target_table, row_count") -> list[tuple[Any, ...]]:
    return sorted(warehouse.ask(f"SELECT {columns} FROM etlctl_audit"), key=repr)


def _is_there(warehouse: AnyWarehouse) -> bool:
    return audit.NAME in sa.inspect(warehouse.database.engine).get_table_names()


def test_a_load_writes_one_line_with_all_it_promises(opened: Opened, tmp_path: Path) -> None:
    """Who, when, which code, which run, what, how many rows."""
    warehouse = opened(audit=True)

    Sales().run()
    summary = _build(warehouse, tmp_path, TableTargetTask())

    columns = "target_table, action, detail, update_id, row_count, run_id, user_name, host, code_version"
    by_hand, sales = _lines(warehouse, columns)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    who = (user, socket.gethostname(), f"etlctl {etlctl.__version__}")
    assert by_hand == ("by_hand", "load", None, "x", None, summary.run_id, *who)
    assert sales == ("sales", "load", None, Sales().task_id, 3, None, *who)
    ((written,),) = warehouse.ask("SELECT max(inserted) FROM etlctl_audit")
    written_at = datetime.fromisoformat(str(written)).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=5)
    owners = (
        "SELECT count(*) FROM etlctl_audit a JOIN table_updates m ON m.owner = a.owner AND m.update_id = a.update_id"
    )
    assert warehouse.ask(owners) == [(2,)]


def test_the_line_of_a_build_holds_the_fingerprint_of_the_tasks_file(opened: Opened, tmp_path: Path) -> None:
    """Which code loaded it: the SHA-256 of the file its class is written in."""
    warehouse = opened(audit=True)

    _build(warehouse, tmp_path, TableTargetTask())

    assert _lines(warehouse, "code_fingerprint") == [(sha256(Path(__file__).read_bytes()).hexdigest(),)]


def test_inputs_are_those_of_the_marker(opened: Opened, tmp_path: Path) -> None:
    """What a load was made from stands in both."""
    warehouse = opened(audit=True)
    (tmp_path / "n.csv").write_text("n\n1\n2\n", encoding="utf-8")

    class FromFile(LoadTable):
        columns = {"n": "integer"}

        def requires(self) -> Any:
            class Given(etlctl.ExternalTask):
                def output(self) -> Any:
                    return etlctl.LocalTarget("n.csv")

            return Given()

    FromFile().run()

    ((inputs,),) = _lines(warehouse, "inputs")
    ((marked,),) = warehouse.ask("SELECT inputs FROM table_updates")
    assert inputs == marked and json.loads(inputs)


def test_a_load_that_fails_leaves_no_line(opened: Opened) -> None:
    """It is a part of the load's transaction."""
    warehouse = opened(audit=True)

    with pytest.raises(ValueError, match="bad luck"):
        BadSales().run()

    assert _lines(warehouse) == []


def test_a_load_that_is_done_already_leaves_no_line(opened: Opened) -> None:
    """Nothing was loaded, so there is nothing to tell."""
    warehouse = opened(audit=True)

    Sales().run()
    Sales().run()

    assert _lines(warehouse) == [("load", None, "sales", 3)]


def test_a_forced_load_says_so(opened: Opened, tmp_path: Path) -> None:
    """Both lines stay: the table is only ever inserted into."""
    warehouse = opened(audit=True)
    Sales().run()

    _build(warehouse, tmp_path, Sales(), force={Sales()})

    assert _lines(warehouse) == [("load", "forced", "sales", 3), ("load", None, "sales", 3)]


def test_a_sequence_has_a_line_for_each_step_and_its_own(opened: Opened) -> None:
    """Each of the three markers of the one transaction."""
    warehouse = opened(audit=True)

    Both().run()

    assert {line[2:] for line in _lines(warehouse)} == {("sales", 3), ("by_hand", None), ("both", 3)}


@pytest.mark.parametrize("choice", [True, False])
def test_resolving_a_torn_load_is_on_record(opened: Opened, choice: bool) -> None:
    """Who said that its rows are there, or are not."""
    warehouse = opened(audit=True)
    TableTarget("by_hand", "x").touch()
    warehouse.write("UPDATE table_updates SET state = 'loading'")

    torn.resolve(torn.torn_of([TableTargetTask()]), as_loaded=choice)

    assert ("resolve", "loaded" if choice else "absent", "by_hand", None) in _lines(warehouse)


def test_without_the_setting_there_is_no_table(opened: Opened) -> None:
    """Off by default, and off costs nothing."""
    warehouse = opened()

    Sales().run()

    assert not _is_there(warehouse)


def test_adopting_the_markers_makes_it_too(opened: Opened) -> None:
    """So that rights can be granted on it before the first load."""
    warehouse = opened(audit=True)

    inventory.adopted(warehouse.database)

    assert _is_there(warehouse) and _lines(warehouse) == []


def test_it_stands_in_the_schema_of_the_markers(postgres_url: str, tmp_path: Path) -> None:
    """marker_schema is its schema."""
    warehouse = AnyWarehouse(postgres_url, tmp_path, marker_schema="Marks; x", audit=True)
    with context.use(warehouse.context):
        Sales().run()

    assert warehouse.ask('SELECT count(*) FROM "Marks; x".etlctl_audit') == [(1,)]
    warehouse.databases.close()


def test_processes_that_start_without_any_table_meet_no_error(opened: Opened) -> None:
    """Marker and audit table are made once, under the lock for DDL; each load has its line (F29)."""
    warehouse = opened(audit=True)

    def load(number: int) -> Callable[[], None]:
        return lambda: TableTarget("t", f"x{number}").touch()

    codes = all_ended([forked(load(number)) for number in range(8)])

    assert codes == [0] * 8
    assert len(_lines(warehouse)) == 8


def test_another_table_of_its_name_is_left_alone(opened: Opened) -> None:
    """The sentence says how to go on; nothing is loaded."""
    warehouse = opened(audit=True)
    warehouse.write("CREATE TABLE etlctl_audit (a INTEGER)")

    with pytest.raises(LoadError, match=r"is not the audit table .* audit = false"):
        Sales().run()

    assert warehouse.ask("SELECT count(*) FROM table_updates") == [(0,)]
