"""The state in a SQLite file, by Python's own sqlite3: SQLAlchemy is not imported for a build of files alone.

WAL, so that nobody who reads keeps a claim waiting; `synchronous` NORMAL: a power loss may take the last claims and the
last history along, which is memory and no data. The file belongs to its user alone (mode 600).
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from etlctl.db.dialects.sqlite import errors as sqlite_errors
from etlctl.db.inherited import leave_open
from etlctl.db.state.store import RemovedError
from etlctl.db.state.words import WORDS, Kind, Parameters, for_sqlite, sqlite_values
from etlctl.errors import EtlctlError, UnavailableError
from etlctl.settings.urls import sqlite_file

_DOING = "the state database"
_SLICE_S = 0.2
"""How long SQLite itself waits for a lock; in between a signal is heard."""
_MOST_KEPT = 4
_File = tuple[int, int]
"""Device and inode."""
_OLDEST = (3, 35)


class LocalSession:
    """One transaction on the SQLite file; see `store.Session`."""

    kind: Kind = "sqlite"

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self.rowcount = -1

    def run(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """See `store.Session.run`."""
        cursor = self._raw.execute(for_sqlite(sql), sqlite_values(parameters) if parameters else {})
        self.rowcount = cursor.rowcount
        return cursor.fetchall()

    def run_values(self, sql: str, values: Sequence[Any]) -> None:
        """See `store.Session.run_values`."""
        self.rowcount = self._raw.execute(sql, values).rowcount

    def run_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """See `store.Session.run_many`."""
        self._raw.executemany(for_sqlite(sql), rows)

    def now(self) -> float:
        """See `store.Session.now`."""
        return float(self.run(f"SELECT {WORDS['sqlite'].now}")[0][0])

    def lock(self, name: str) -> None:
        """See `store.Session.lock`."""


class LocalDatabase:
    """The SQLite file of a Store. Thread-safe; a forked child opens its own connections."""

    kind: Kind = "sqlite"

    def __init__(self, url: str, shown_url: str, timeout_s: float) -> None:
        self._file = sqlite_file(url)
        self._options = url.partition("?")[2]
        self._shown_url = shown_url
        told = re.search(r"(?:^|&)timeout=([0-9.]+)", self._options)
        self._timeout_s = float(told[1]) if told else timeout_s
        self._lock = Lock()
        self._kept: list[sqlite3.Connection] = []
        self._making = Lock()
        """Held by whoever makes the file: see _make_file."""
        self._pid = os.getpid()
        self._opened_file: _File | None = None
        """What connections are open on: after a `rm` they would go on in a file that nobody else can see."""
        self._only = Lock()
        """Held by whoever uses the one connection of a database in memory."""

    def is_absent(self) -> bool:
        """Whether there is no file."""
        return self._file is not None and not self._file.exists()

    @contextmanager
    def transaction(self, *, write: bool, timeout_s: float | None = None) -> Iterator[LocalSession]:
        """See `Store.transaction`."""
        with self._translating():
            if self._file is None:
                with self._only:
                    yield from self._used(write=write, timeout_s=timeout_s)
            else:
                yield from self._used(write=write, timeout_s=timeout_s)

    def _used(self, *, write: bool, timeout_s: float | None) -> Iterator[LocalSession]:
        raw = self._taken(write=write)
        try:
            _begin(raw, write=write, until=time.monotonic() + (timeout_s or self._timeout_s))
            yield LocalSession(raw)
            raw.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the error that led here is the one to tell
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
            raise
        finally:
            self._give_back(raw)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._ours(error) from error

    def _ours(self, error: sqlite3.Error) -> EtlctlError:
        found = sqlite_errors.translated(error, doing=_DOING, shown_url=self._shown_url)
        return found if found is not None else UnavailableError(f"{_DOING}: {self._shown_url}: {error}.")

    # -- connections

    def _taken(self, *, write: bool) -> sqlite3.Connection:
        with self._lock:
            if self._pid != os.getpid():
                for inherited in self._kept:
                    leave_open(inherited)
                self._kept, self._pid, self._opened_file = [], os.getpid(), None
            self._check_is_same()
            if self._kept:
                return self._kept.pop()
        raw = self._opened(write=write)
        self._opened_file = self._opened_file or self._found_file()
        return raw

    def _found_file(self) -> _File | None:
        try:
            found = os.stat(self._file) if self._file is not None else None
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found is not None else None

    def _check_is_same(self) -> None:
        if self._opened_file is not None and self._opened_file != self._found_file():
            raise RemovedError(
                f"{_DOING}: {self._shown_url} was removed, or another file put in its place, while it was in use. "
                "What was kept in it is gone: let builds end before it is moved or removed."
            )

    def _give_back(self, raw: sqlite3.Connection) -> None:
        with self._lock:
            if self._pid == os.getpid() and len(self._kept) < _MOST_KEPT:
                self._kept.append(raw)
                return
        raw.close()

    def _opened(self, *, write: bool) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise UnavailableError(
                f"Python's SQLite is {sqlite3.sqlite_version}; the state needs 3.35 or newer. Use a newer Python."
            )
        if self._file is None:
            return _set_up(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
        if write:
            self._make_file(self._file)
        elif self.is_absent():
            raise UnavailableError(
                f"{_DOING}: {self._shown_url} does not exist yet. Nothing has been built with it, or its path is wrong."
            )
        raw = sqlite3.connect(
            f"file:{quote(os.fspath(self._file))}?{self._given_options('rwc' if write else 'rw')}",
            uri=True,
            timeout=_SLICE_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _set_up(raw)
            if write:
                _make_wal(raw, time.monotonic() + self._timeout_s)
            return raw
        except BaseException:
            raw.close()
            raise

    def _given_options(self, mode: str) -> str:
        ours = ("timeout", "uri")
        given = [option for option in self._options.split("&") if option and option.split("=")[0] not in ours]
        has_mode = any(option.startswith("mode=") for option in given)
        return "&".join(given if has_mode else [*given, f"mode={mode}"])

    def _make_file(self, file: Path) -> None:
        """An empty file, where there is none. One that is there is not opened: all locks that this process has on it
        would end with the descriptor (https://www.sqlite.org/howtocorrupt.html 2.2)."""
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._making:
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        except PermissionError:
            if not file.exists():
                raise UnavailableError(
                    f"{_DOING}: {self._shown_url} cannot be made: permission denied. "
                    "Give a path whose folder can be written to."
                ) from None
        except OSError as error:
            raise UnavailableError(
                f"{_DOING}: {self._shown_url} cannot be made: {error.strerror}. "
                "Give a path whose folder can be written to."
            ) from error

    def close(self) -> None:
        """Closes what is open and not in use."""
        with self._lock:
            kept, self._kept = self._kept, []
            self._opened_file = None
            is_ours = self._pid == os.getpid()
        for raw in kept:
            if is_ours:
                raw.close()
            else:
                leave_open(raw)


def _set_up(raw: sqlite3.Connection) -> sqlite3.Connection:
    raw.execute("PRAGMA synchronous = NORMAL")
    return raw


def _begin(raw: sqlite3.Connection, *, write: bool, until: float) -> None:
    """BEGIN, with its lock."""
    if write:
        _insist(lambda: raw.execute("BEGIN IMMEDIATE"), until)
        return
    raw.execute("BEGIN")
    _insist(lambda: raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall(), until)  # takes the lock of a reader


def _make_wal(raw: sqlite3.Connection, until: float) -> None:
    """Two processes that make a file WAL at once disturb each other, hence the patience.

    A file system that cannot have it (a network disk) keeps its journal, and works as well.
    """
    _insist(lambda: raw.execute("PRAGMA journal_mode = WAL").fetchone(), until)


def _insist(work: Callable[[], object], until: float) -> None:
    """Waits for the lock in slices."""
    while True:
        try:
            work()
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= until:
                raise
            time.sleep(0.005)  # some refusals come without SQLite's own wait


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
