"""Where the state is kept: one database of three kinds, asked in plain SQL by short transactions. Knows no table.

    store = Store(settings.state)                 connects to nothing yet
    with store.transaction() as session:          SQLite: BEGIN IMMEDIATE; commits at the end, rolls back on an error
        session.run("SELECT … WHERE lease_key IN :keys", {"keys": [...]})

`:name` stands for a value and `IN :name` for a list of at least one, on every database; `store.words` holds what they
call differently. Times are seconds since 1970 in UTC by the database's clock alone. Tables: `schema.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from etlctl.db.state.words import WORDS, Kind, Parameters, Words
from etlctl.errors import UnavailableError
from etlctl.settings.urls import is_sqlite, sqlite_file

if TYPE_CHECKING:
    from etlctl.db.state.local import LocalDatabase
    from etlctl.db.state.remote import ServerDatabase
    from etlctl.settings import ConnectionSettings

_MOST_SILENT_S = 15.0
_TABLES_OF_SQLITE = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN :names"
_TABLES_OF_POSTGRESQL = (
    "SELECT name FROM pg_catalog.unnest(CAST(:names AS text[])) AS name WHERE pg_catalog.to_regclass(name) IS NOT NULL"
)
_TABLES_OF_MYSQL = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name IN :names"
)


class RemovedError(UnavailableError):
    """The SQLite file was removed while in use, or another put in its place: what was kept in it is gone for good."""


class Session(Protocol):
    """One transaction, of one thread."""

    kind: Kind
    rowcount: int
    """Rows that the last `run` changed or returned; matched ones, also where nothing about them changed."""

    def run(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows, if it has any."""

    def run_values(self, sql: str, values: Sequence[Any]) -> None:
        """Runs one statement in which each `?` stands for the next of `values`: many rows, for little of our time."""

    def run_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """Runs one statement with each of `rows` (no lists in them); `rowcount` is not told."""

    def now(self) -> float:
        """The database's clock, seconds since 1970."""

    def lock(self, name: str) -> None:
        """Waits, for the store's lock_timeout, until no other transaction has `name`; held until this one ends.

        On SQLite every transaction that writes has all there is.
        """


class Store:
    """The state database of one project. Thread-safe; of use in a forked child too, which connects anew."""

    def __init__(self, settings: ConnectionSettings, *, silent_s: float = _MOST_SILENT_S) -> None:
        """`settings.url` is absolute. SettingsError for a database that cannot hold the state.

        A session that says nothing for `silent_s` (15 at most) in the middle of a transaction is ended by its server:
        its process is stopped, and has the locks that others wait for. Those with leases give less than they would
        insist on a claim for.
        """
        self.settings = settings
        self._silent_s = min(silent_s, _MOST_SILENT_S)
        url = settings.url.reveal()
        self._database: LocalDatabase | ServerDatabase
        if is_sqlite(url):
            from etlctl.db.state.local import LocalDatabase

            self._database = LocalDatabase(url, settings.shown_url, settings.lock_timeout_s)
        else:
            from etlctl.db.state.remote import ServerDatabase  # imports SQLAlchemy

            self._database = ServerDatabase(settings, self._silent_s)

    def __repr__(self) -> str:
        return f"Store({self.shown_url!r})"

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        return self._database.kind

    @property
    def words(self) -> Words:
        """What its SQL calls what we need."""
        return WORDS[self.kind]

    @property
    def shown_url(self) -> str:
        """The URL, its password masked."""
        return self.settings.shown_url

    @property
    def opening(self) -> tuple[str, float, float] | None:
        """URL, connect_timeout_s, lock_timeout_s: what another process opens the same file with. None for no file."""
        settings, url = self.settings, self.settings.url.reveal()
        is_file = is_sqlite(url) and sqlite_file(url) is not None
        return (url, settings.connect_timeout_s, settings.lock_timeout_s) if is_file else None

    def transaction(
        self, *, write: bool = True, timeout_s: float | None = None
    ) -> AbstractContextManager[Session, bool | None]:
        """A short transaction (READ COMMITTED on a server); never a part of a load's.

        `write=False` makes no SQLite file: UnavailableError where there is none. `timeout_s`: a lock of the SQLite file
        is waited for as long; a connection to a server is cut when the block takes longer. Errors of the database come
        up as ours: UnavailableError, of which TransientError may go well when all of the block is tried again.
        """
        return self._database.transaction(write=write, timeout_s=timeout_s)

    def now(self) -> float:
        """The database's clock, seconds since 1970; asked in a transaction of its own, which makes a SQLite file."""
        with self.transaction() as session:
            return session.now()

    def tables(self, *names: str) -> set[str]:
        """Which of these tables there are; makes no SQLite file."""
        if self._database.is_absent():
            return set()
        with self.transaction(write=False) as session:
            return tables_in(session, self.kind, names)

    def is_there(self) -> bool:
        """Whether anything has been kept in it: tables of ours, or the history of a Luigi."""
        return bool(self.tables("etlctl_schema", "tasks"))

    def apart(self, connect_s: float) -> Store:
        """The same state by connections of their own, which give up connecting after `connect_s`."""
        from dataclasses import replace

        return Store(replace(self.settings, connect_timeout_s=connect_s), silent_s=self._silent_s)

    def close(self) -> None:
        """Closes what is open and not in use; the Store can be used again."""
        self._database.close()


def tables_in(session: Session, kind: Kind, names: Sequence[str]) -> set[str]:
    """Which of these tables there are."""
    if kind == "postgresql":
        rows = session.run(_TABLES_OF_POSTGRESQL, {"names": "{" + ",".join(names) + "}"})
    else:
        rows = session.run(_TABLES_OF_SQLITE if kind == "sqlite" else _TABLES_OF_MYSQL, {"names": list(names)})
    return {str(row[0]) for row in rows}
