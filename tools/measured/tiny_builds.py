"""One build of tiny tasks in this process, or the bare work it stands beside: `tiny_builds.py WAY COUNT [URL]`.

Runs in a project that `bench_workers.py` has made. Prints seconds and CPU seconds of the work without imports.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAY, COUNT = sys.argv[1], int(sys.argv[2])
URL = sys.argv[3] if len(sys.argv) > 3 else ""
TABLE = "CREATE TABLE bare (update_id varchar(250) PRIMARY KEY, target_table varchar(250), inserted timestamp)"
INSERT = "INSERT INTO bare VALUES ({0}, {0}, CURRENT_TIMESTAMP)"


def build(root: str, *, has_state: bool = True, **parameters: Any) -> None:
    """All of `root` by etlctl, with its state (leases and history, in the default SQLite file) or without."""
    import etlctl.db.state.history
    import etlctl.db.state.leases
    import etlctl.engine.runner
    from etlctl import settings
    from etlctl.app import App
    from etlctl.runs import RunOptions

    if URL:
        import sqlalchemy.dialects.postgresql.psycopg2  # noqa: F401  what is imported later is no part of the work

        import etlctl.db.dialects.postgresql.dialect
        import etlctl.db.dialects.sqlite.dialect
        import etlctl.db.sessions  # noqa: F401  as above

    with App.open(settings.load(None, environ={}, cwd=Path.cwd())) as app:
        task = app.registry.find(root)(count=COUNT, **parameters)
        with measured():
            summary = app.build([task], options=RunOptions(has_state=has_state))
    assert summary, summary.text


def sync_files() -> None:
    """A file by a temporary one and its rename, with one fsync of the file and one of its folder."""
    with measured():
        for number in range(COUNT):
            path = f"out/{number}.txt"
            with open(f"{path}.tmp", "w") as file:
                file.write("x")
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"{path}.tmp", path)
            folder = os.open("out", os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)


def commit_rows() -> None:
    """A row and its COMMIT, again and again."""
    statement = INSERT.format("?" if URL.startswith("sqlite") else "%s")
    with measured():
        connection = _connected()
        cursor = connection.cursor()
        cursor.execute(TABLE)
        connection.commit()
        for number in range(COUNT):
            cursor.execute(statement, (f"Mark_{number}", "marked"))
            connection.commit()
        connection.close()
    _tell_rows("bare")


def write_markers() -> None:
    """A marker for each task."""
    build("Marked", url=URL)
    _tell_rows("table_updates")


def commit_by_tasks() -> None:
    """A row and its COMMIT for each task, over a connection that the tasks keep."""
    build("Rows", url=URL)
    _tell_rows("bare")


def _connected() -> Any:
    if URL.startswith("sqlite"):
        return sqlite3.connect(URL.removeprefix("sqlite:///"))
    import psycopg2

    return psycopg2.connect(URL)


def _tell_rows(table: str) -> None:
    connection = _connected()
    cursor = connection.cursor()
    cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  one of two names
    print("ROWS", cursor.fetchone()[0])
    connection.close()


@contextmanager
def measured() -> Iterator[None]:
    """Tells what the block has taken, other processes that it started and waited for among it."""
    began, before = time.perf_counter(), os.times()
    yield
    took, after = time.perf_counter() - began, os.times()
    print("LOAD", took, "CPU", sum(after[:4]) - sum(before[:4]), "KIB", 0)


WAYS: dict[str, Callable[[], None]] = {
    "state": lambda: build("Tinies"),
    "stateless": lambda: build("Tinies", has_state=False),
    "opened": lambda: build("Opened"),
    "marked": write_markers,
    "rows": commit_by_tasks,
    "synced": sync_files,
    "committed": commit_rows,
}


if __name__ == "__main__":
    WAYS[WAY]()
