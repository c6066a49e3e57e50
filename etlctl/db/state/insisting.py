"""Trying a transaction of leases again while the state database cannot be used."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from etlctl.db.state.store import RemovedError
from etlctl.errors import UnavailableError

_T = TypeVar("_T")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_ASKED_EVERY_S = 0.25  # whether somebody wants an end


def insisted(work: Callable[[], _T], for_s: float, *, clock: Callable[[], float], stop: Callable[[], object]) -> _T:
    """What `work` returns, which is tried for `for_s` by `clock`, and until `stop` is true; UnavailableError after
    that. Once more in any case: a process that was stopped for long finds its session ended."""
    until, pause_s, is_again = clock() + for_s, _FIRST_PAUSE_S, False
    while True:
        try:
            return work()
        except UnavailableError as error:
            is_over = is_again and clock() + pause_s > until
            if is_over or not _may_pass(error) or not _paused(pause_s, stop):
                raise
        is_again, pause_s = True, min(pause_s * 2, _LONGEST_PAUSE_S)


def _paused(seconds: float, stop: Callable[[], object]) -> bool:
    """Waits so long; False as soon as somebody wants an end."""
    while not stop() and seconds > 0:
        time.sleep(min(seconds, _ASKED_EVERY_S))
        seconds -= _ASKED_EVERY_S
    return not stop()


def _may_pass(error: UnavailableError) -> bool:
    """Whether waiting can help: a SQLite file that is locked, or any trouble with a server."""
    if isinstance(error, RemovedError):
        return False
    cause = error.__cause__
    if not isinstance(cause, sqlite3.Error):
        return True
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
