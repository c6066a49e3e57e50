"""A process that is forked while a load is open: the transaction is its parent's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from warehouse import Warehouse

SCRIPT = """
import os, sys
from pathlib import Path
from etlctl.core import context
from etlctl.db.table_target import TableTarget
from etlctl.errors import LoadError
from warehouse import Warehouse

way, project = sys.argv[1], Path(sys.argv[2])
warehouse = Warehouse(project, "?timeout=5")
with context.use(warehouse.context):
    with TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("PRAGMA cache_size = 10")  # so that pages are in the file before the commit
        connection.exec_driver_sql(
            "INSERT INTO t WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i "
            "FROM n"
        )
        if (pid := os.fork()) == 0:
            if way == "exit":
                raise SystemExit(0)
            if way == "error":
                raise ZeroDivisionError
            if way == "statement":
                connection.exec_driver_sql("INSERT INTO t VALUES (0)")
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("exit", ""),
        ("error", "ZeroDivisionError"),
        ("statement", "t on warehouse: "),
        ("end of the block", "LoadError: t on warehouse: this process was forked inside the open transaction"),
    ],
)
def test_a_forked_child_ends_nothing_of_its_parents_transaction(warehouse: Warehouse, way: str, said: str) -> None:
    """However it leaves the block: neither committed nor rolled back, and the parent's journal stays."""
    warehouse.write("CREATE TABLE t (x)")
    warehouse.databases.close()

    tests = str(Path(__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, way, str(warehouse.project)],
        env={"PYTHONPATH": ":".join([tests, *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ("0\n" if way == "exit" else "1\n")
    assert said in ran.stderr
    assert warehouse.count("t") == 20_000
    assert warehouse.markers() == [("a", "t", "done", None)]
