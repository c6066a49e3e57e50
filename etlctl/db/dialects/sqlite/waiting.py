"""How a SQLite connection waits and works so that a person can stop it: signals are seen while C code is at it.

Python runs signal handlers between byte codes, and SQLite gives it none while a query computes or a busy handler
sleeps. So a query calls back now and then, which lets a handler run, and a lock is waited for in short slices. What a
handler raises inside the callback aborts the statement (SQLITE_INTERRUPT), and comes up as KeyboardInterrupt again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from etlctl.core import context

_OPCODES = 50_000
"""Instructions of SQLite's machine between two callbacks: some milliseconds, and a thousandth of the time they take."""
_SLICE_MS = 200
"""A signal is heard after this at the latest while a lock is waited for."""


def make_interruptible(raw: sqlite3.Connection) -> None:
    """Lets signal handlers run while `raw` computes. Called once per connection."""
    raw.set_progress_handler(_breathe, _OPCODES)


def _breathe() -> int:
    """Does nothing: that byte code runs is all that is wanted. Not 0 would end the statement."""
    return 0


def begin(raw: Any, *, writes: bool, clock: Callable[[], float] = time.monotonic) -> None:
    """Begins a transaction that has its lock: IMMEDIATE to write, else a shared one.

    Waits for the connection's own busy timeout in slices, and says so in the attempt. Raises what the driver raises
    when the time is over.
    """
    timeout_ms = int(raw.execute("PRAGMA busy_timeout").fetchone()[0])
    end = clock() + timeout_ms / 1000
    attempt = context.attempt()
    raw.execute(f"PRAGMA busy_timeout = {min(_SLICE_MS, timeout_ms)}")
    try:
        while True:
            try:
                _begin_once(raw, writes=writes)
            except sqlite3.OperationalError as error:
                is_busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
                if not is_busy or clock() >= end:
                    raise
                attempt.waiting = "the lock of the database"
            else:
                return
    finally:
        attempt.waiting = ""
        raw.execute(f"PRAGMA busy_timeout = {timeout_ms}")


def _begin_once(raw: Any, *, writes: bool) -> None:
    raw.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    if writes:
        return
    try:
        raw.execute(
            "SELECT 1 FROM sqlite_master LIMIT 1"
        ).fetchall()  # a deferred BEGIN takes its lock at the first read
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise
