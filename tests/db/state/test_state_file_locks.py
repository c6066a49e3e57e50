"""What the locks of a SQLite file of the state survive: POSIX ones end when any descriptor of the file is closed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from etlctl.db.state.store import Store

OTHER = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute(sys.argv[2]).fetchall()
raw.close()
"""


def elsewhere(file: Path, sql: str) -> None:
    """Runs `sql` in a process of its own, which believes to be the last one where nobody else has locks."""
    subprocess.run([sys.executable, "-c", OTHER, str(file), sql], check=True, timeout=60)


def test_a_second_connection_leaves_the_locks_of_the_first(open_store: Callable[[str], Store], tmp_path: Path) -> None:
    """https://www.sqlite.org/howtocorrupt.html 2.2: else the next process to leave takes the log of our changes along,
    and from then on nobody sees what the other writes."""
    file = tmp_path / "state.db"
    store = open_store(f"sqlite:///{file}")
    with store.transaction() as session:
        session.run("CREATE TABLE t (number INTEGER)")
    log = os.stat(f"{file}-wal").st_ino
    with store.transaction(write=False), store.transaction() as second:  # a connection for each
        second.run("INSERT INTO t VALUES (1)")

    elsewhere(file, "SELECT * FROM t")
    elsewhere(file, "INSERT INTO t VALUES (2)")

    with store.transaction(write=False) as session:
        assert session.run("SELECT number FROM t ORDER BY number") == [(1,), (2,)]
    assert os.stat(f"{file}-wal").st_ino == log


def test_a_file_that_threads_make_at_once_belongs_to_its_user_alone(
    open_store: Callable[[str], Store], tmp_path: Path
) -> None:
    store = open_store(f"sqlite:///{tmp_path}/deep/state.db")
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.append(store.now())) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(found) == 8
    assert (tmp_path / "deep/state.db").stat().st_mode & 0o777 == 0o600
