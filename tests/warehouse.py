"""A SQLite warehouse in a folder of its own, looked at with the bare driver and not through the code under test."""

from __future__ import annotations

import os
import signal
import sqlite3
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from etlctl import faultpoints
from etlctl.core.context import Context
from etlctl.db.connections import Database, Databases
from etlctl.settings import ConnectionSettings, Secret

LUIGI_DDL = (
    "CREATE TABLE table_updates (update_id VARCHAR(128) NOT NULL, target_table VARCHAR(128), inserted DATETIME, "
    "PRIMARY KEY (update_id))"
)
"""What luigi.contrib.sqla makes (LUIGI.md, end of section 3)."""


class Warehouse:
    """One project folder with the connection `warehouse`, and a Context to use it in."""

    def __init__(self, project: Path, options: str = "") -> None:
        self.project = project
        self.file = project / ".etlctl" / "warehouse.db"
        self.databases = Databases(
            {"warehouse": ConnectionSettings("warehouse", Secret(f"sqlite:///.etlctl/warehouse.db{options}"))},
            "warehouse",
            project,
        )
        self.context = Context(project=project, database=self.databases.get)

    @property
    def database(self) -> Database:
        return self.databases.get("warehouse")

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query over a connection of its own, which sees what is committed."""
        connection = sqlite3.connect(self.file, timeout=20)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def write(self, *statements: str) -> None:
        """Runs and commits statements with the bare driver."""
        self.file.parent.mkdir(exist_ok=True)
        connection = sqlite3.connect(self.file, timeout=20)
        try:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        finally:
            connection.close()

    def count(self, table: str) -> int:
        quoted = table.replace('"', '""')
        return int(self.ask(f'SELECT count(*) FROM "{quoted}"')[0][0])

    def markers(self) -> list[tuple[Any, ...]]:
        """(update_id, target_table, state, row_count), in order; empty where there is no marker table."""
        if not self.file.exists() or not self.ask("SELECT 1 FROM sqlite_schema WHERE name = 'table_updates'"):
            return []
        return self.ask("SELECT update_id, target_table, state, row_count FROM table_updates ORDER BY 1, 2")


def forked(work: Callable[[], int | None]) -> int:
    """Starts `work` in a child process that ends without any cleaning up; its pid. An exception is exit status 9."""
    pid = os.fork()
    if pid:
        return pid
    status = 9
    try:
        status = work() or 0
    except BaseException:  # noqa: BLE001  the child has nobody to tell but its parent's terminal
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """Exit status of a forked child; the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_at(moment: str) -> None:
    """From now on this process kills itself with SIGKILL at the fault point `moment`."""

    def point(name: str) -> None:
        if name == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    faultpoints.point = point


def all_ended(pids: Sequence[int]) -> list[int]:
    return [ended(pid) for pid in pids]
