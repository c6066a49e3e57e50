"""A build can be stopped while SQLite computes for minutes, or waits for another process's lock."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.db.dialects.sqlite import waiting as sqlite_waiting
from stopping import started, stopped_twice

LONG = """
from etlctl import IntParameter, LoadTable, QueryTable

class Long(QueryTable):
    query = '''
        WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 4000000000)
        SELECT count(*) AS n FROM c
    '''
    columns = {"n": "bigint"}

class Short(LoadTable):
    columns = {"n": "integer"}

    def rows(self):
        return [(1,)]
"""
SOON_S = 30.0
"""Far less than what the query, or the lock, would take; far more than a busy machine needs."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "long.py").write_text(LONG)
    (tmp_path / ".etlctl").mkdir()
    return tmp_path


def markers(project: Path) -> int:
    with closing(sqlite3.connect(project / ".etlctl" / "warehouse.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'table_updates'").fetchone():
            return 0
        return int(connection.execute("SELECT count(*) FROM table_updates").fetchone()[0])


def wait_for_rows_lock(project: Path) -> None:
    """Returns when the build holds the write lock of a file that has its table: its query is computing then."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with closing(sqlite3.connect(project / ".etlctl" / "warehouse.db", timeout=0, isolation_level=None)) as probe:
            try:
                probe.execute("BEGIN IMMEDIATE")
                probe.execute("ROLLBACK")
            except sqlite3.OperationalError:
                if made_table(project):
                    return
        time.sleep(0.05)
    raise TimeoutError("the build never came to its query")


def wait_until_it_has_opened(build: subprocess.Popen[str], file: Path) -> None:
    """Where the system tells; elsewhere so long that it may well have."""
    opened = Path(f"/proc/{build.pid}/fd")
    end = time.monotonic() + (30 if opened.exists() else 1)
    while time.monotonic() < end:
        with suppress(OSError):  # closed meanwhile
            if file in [one.readlink() for one in opened.iterdir()]:
                break
        time.sleep(0.05)
    time.sleep(0.5)


def made_table(project: Path) -> bool:
    with closing(sqlite3.connect(project / ".etlctl" / "warehouse.db")) as connection:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'long'").fetchone())


def test_build_stops_at_the_second_signal_while_a_query_computes(project: Path) -> None:
    """The first is heard at once and lets it go on; the second aborts the statement, and nothing is kept."""
    with started(project, "Long") as build:
        wait_for_rows_lock(project)
        took_s = stopped_twice(build)

    assert took_s < SOON_S
    assert build.returncode == 143
    assert markers(project) == 0


def test_build_stops_at_the_second_signal_while_it_waits_for_a_lock(project: Path) -> None:
    """Another process keeps the database; two signals end the wait, long before its 60 seconds are over."""
    with closing(sqlite3.connect(project / ".etlctl" / "warehouse.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (n)")
        other.execute("BEGIN IMMEDIATE")
        with started(project, "Short") as build:
            wait_until_it_has_opened(build, project / ".etlctl" / "warehouse.db")
            took_s = stopped_twice(build)
        other.execute("ROLLBACK")

    assert took_s < SOON_S
    assert build.returncode == 143
    assert markers(project) == 0


def test_begin_waits_as_long_as_the_connection_says_and_tells_so(tmp_path: Path) -> None:
    """In slices until the busy timeout is over, then the driver's own error; the timeout is what it was."""
    file = tmp_path / "w.db"
    seen: list[str] = []
    mine = Attempt()
    ticks = iter([0.0, 0.1, 0.2, 9.9])

    def clock() -> float:
        seen.append(mine.waiting)
        return next(ticks)

    with (
        closing(sqlite3.connect(file, isolation_level=None)) as other,
        closing(sqlite3.connect(file, isolation_level=None, timeout=0.5)) as connection,
        context.attempting(mine),
    ):
        other.execute("BEGIN EXCLUSIVE")
        for writes in (True, False):
            ticks = iter([0.0, 0.1, 0.2, 9.9])
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                sqlite_waiting.begin(connection, writes=writes, clock=clock)
            assert not connection.in_transaction
        other.execute("ROLLBACK")
        sqlite_waiting.begin(connection, writes=True)

        assert connection.in_transaction
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (500,)
    assert "the lock of the database" in seen
    assert mine.waiting == ""
