"""A process that is forked while a load is open: the transaction is its parent's, on each kind of database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from any_warehouse import AnyWarehouse

SCRIPT = """
import os, sys
from pathlib import Path
from any_warehouse import AnyWarehouse
from etlctl.core import context
from etlctl.db.table_target import TableTarget

way, url, project = sys.argv[1], sys.argv[2], Path(sys.argv[3])
house = AnyWarehouse(url, project, lock_timeout_s=20)
with context.use(house.context):
    with TableTarget("t", "a").transaction() as connection:
        if house.kind == "sqlite":
            connection.exec_driver_sql("PRAGMA cache_size = 10")  # so that pages are in the file before the commit
        insert = "INSERT INTO t VALUES " + ", ".join(f"({n})" for n in range(20_000))
        connection.exec_driver_sql(insert)
        if (pid := os.fork()) == 0:
            if way == "exit":
                raise SystemExit(0)
            if way == "error":
                raise ZeroDivisionError
            if way == "statement":
                connection.exec_driver_sql("INSERT INTO t VALUES (0)")
            if way == "raw":
                connection.connection.driver_connection.rollback()
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            connection.exec_driver_sql("INSERT INTO t VALUES (20000)")
"""


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("exit", ""),
        ("error", "ZeroDivisionError"),
        ("statement", "CommitInsideError: t on warehouse: a statement in a forked process"),
        ("raw", "CommitInsideError: t on warehouse: "),
        ("end of the block", "LoadError: t on warehouse: this process was forked inside the open transaction"),
    ],
)
def test_a_forked_child_ends_nothing_of_its_parents_transaction(
    database_url: str, tmp_path: Path, way: str, said: str
) -> None:
    """However it leaves the block: neither committed nor rolled back; the parent's session, or journal, goes on.

    The child is told at once whose transaction it is: on SQLite it would wait for a lock that its parent holds.
    """
    house = AnyWarehouse(database_url, tmp_path)
    house.write("CREATE TABLE t (x integer)")

    tests = str(Path(__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, way, house.url, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": ":".join([tests, *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ("0\n" if way == "exit" else "1\n")
    assert said in (ran.stderr.splitlines() or [""])[-1], ran.stderr
    assert house.count("t") == 20_001
    assert house.markers() == [("a", "t", "done", None)]
