"""Loads that a worker carries out: rows and marker together or not at all, however the process ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etlctl import IntParameter, LoadTable
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.workers import LocalExecutor
from warehouse import Warehouse


class SlowRows(LoadTable):
    """One row at once, the second never."""

    table = "slow"
    columns = {"n": "integer"}
    way = IntParameter(default=0)

    @property
    def timeout(self) -> Any:
        return 1.5 if self.way == 0 else None

    def rows(self) -> Any:
        yield [1]
        (context.current().project / "begun").write_text("yes")
        if self.way == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        yield [2]


class QuickRows(LoadTable):
    table = "slow"
    columns = {"n": "integer"}

    def rows(self) -> Any:
        yield [3]


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """A SQLite warehouse that the executor's processes and this one share; a table that has been loaded before."""
    found = Warehouse(tmp_path)
    with context.use(found.context):
        QuickRows().run()
        assert found.ask("SELECT n FROM slow") == [(3,)]
        yield found
    found.databases.close()


def _carried_out(executor: LocalExecutor, task: LoadTable) -> Outcome:
    executor.submit(task, Attempt(run_id="r1"))
    outcome = executor.wait(60)
    assert outcome is not None and outcome.needs is None
    return outcome


@pytest.mark.parametrize(("way", "said"), [(0, "took longer than its timeout of 1.5 s"), (1, "was killed by signal 9")])
def test_load_of_a_worker_that_is_ended_leaves_no_row_and_no_marker(warehouse: Warehouse, way: int, said: str) -> None:
    """By its timeout in the middle of rows(), or by SIGKILL; the next load has the table to itself at once."""
    executor = LocalExecutor(warehouse.project, jobs=2, disconnect=warehouse.databases.disconnect)
    try:
        outcome = _carried_out(executor, SlowRows(way=way))

        assert outcome.failure is not None and said in outcome.failure.reason
        assert (warehouse.project / "begun").exists()
        assert warehouse.ask("SELECT n FROM slow") == [(3,)]
        assert warehouse.ask("SELECT count(*) FROM table_updates") == [(1,)]
        assert not SlowRows(way=way).complete()
    finally:
        executor.close()


def test_load_in_a_worker_is_seen_here(warehouse: Warehouse) -> None:
    """Each process has a connection of its own; rows are counted in the live attempt."""

    executor = LocalExecutor(warehouse.project, jobs=2, disconnect=warehouse.databases.disconnect)
    try:
        task = OtherRows()
        attempt = Attempt(run_id="r1")
        executor.submit(task, attempt)
        outcome = executor.wait(60)
    finally:
        executor.close()

    assert outcome is not None and outcome.failure is None
    assert attempt.rows == 2
    assert attempt.worker.rpartition(":")[2] not in ("", str(os.getpid()))
    assert task.complete()
    assert warehouse.ask("SELECT n FROM other ORDER BY n") == [(1,), (2,)]


class OtherRows(QuickRows):
    table = "other"

    def rows(self) -> Any:
        yield [1]
        yield [2]
