"""The load protocol: rows and their marker are committed together, by whoever comes first, or not at all.

    with open_session(database, doing) as session:       a connection of its own, no transaction yet
        session.ensure_markers()                         short transaction: the marker table is there and ours
        session.stage_records(...)                       rows converted and counted, the database is not locked
        with session.load(key) as load:                  load.begun    BEGIN (SQLite: IMMEDIATE)
            ...                                          lease.registered (db/fencing.py)
            ...                                          load.marker   INSERT marker 'loading', first of all
            rows.store(load.connection, ...)             load.copied, load.rowcount
        ...                                              guard intact? inputs unchanged? lease ours? (load.fenced)
        ...                                              marker 'done'; COMMIT
                                                         load.committed

Inside a transaction that is open already (`transaction()`, a Sequence, a hand-written load) `open_session` joins it: a
load is then a savepoint, and the outer end commits; without savepoints (Redshift), a load that fails fails all of it.
Exactly once needs no more than the primary key of the marker: two transactions that wrote the rows of one update would
both have inserted it. Where no key is enforced, the lock of the marker table, first of all in each transaction, stands
for it. This module knows no task and no mode.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from etlctl import faultpoints
from etlctl.core import context
from etlctl.db import ambient, audit, fencing, markers
from etlctl.db.connections import leave_clean
from etlctl.db.dialects.base import WRITE, Guard, Records, Staged
from etlctl.db.inherited import leave_open
from etlctl.db.markers import Marker, MarkerKey
from etlctl.db.parts import Parts
from etlctl.errors import (
    AlreadyLoaded,
    CommitInsideError,
    HeldError,
    LoadError,
    LockTimeoutError,
    UnavailableError,
    UnknownCommitError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from etlctl.db.columns import Column
    from etlctl.db.connections import Database


@dataclass
class OpenLoad:
    """A load whose transaction is open and whose marker says `loading`; what runs on `connection` commits with it."""

    session: Session
    key: MarkerKey
    is_forced: bool
    """The marker that was there has been taken away in this transaction: its rows must be replaced."""
    old_rows: int | None = None
    """How many rows the marker that was taken away spoke of, where it did."""
    prepared: Any = None
    """What the load made ready before the transaction; the load's own matter."""
    rows: int | None = None
    """Becomes the marker's row_count."""
    inputs: list[Mapping[str, Any]] = field(default_factory=list)
    """What the rows were made from, kept as JSON in the marker."""
    before_commit: list[Callable[[], object]] = field(default_factory=list)
    """Called last inside the transaction; what they raise rolls it back."""

    @property
    def connection(self) -> sa.Connection:
        """The SQLAlchemy Connection of the load. It must not be committed, rolled back or closed."""
        return self.session.connection

    @property
    def database(self) -> Database:
        """Where it loads to."""
        return self.session.database


class Session:
    """One connection on its way through one load, or a guest in the transaction that is open."""

    def __init__(self, database: Database, connection: sa.Connection, doing: str, host: Session | None) -> None:
        self.database = database
        self.connection = connection
        self.doing = doing
        self.host = host
        """The Session whose transaction this one has joined; None when it has its own."""
        self.owner: str = host.owner if host else f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._keys: list[MarkerKey] = host._keys if host else []
        """Of the loads that have gone well so far, or go on."""
        self._begun: list[MarkerKey] = host._begun if host else []
        """Of all loads whose marker was inserted, also those that were rolled back."""
        self._staged: list[Staged] = []
        self.parts: Parts = host.parts if host else Parts(has_savepoints=database.dialect.has_savepoints)
        self._pid = os.getpid()

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one that opened it, whose connection and transaction it is."""
        return self._pid != os.getpid()

    def is_loading(self, pair: tuple[str, str]) -> bool:
        """Whether a (update_id, target_table) is being loaded in this very transaction, or was."""
        return any(key.pair == pair for key in self._keys)

    def ensure_markers(self) -> None:
        """The marker table is there, with our columns and key, and the audit table where the settings want one.

        Inside an open transaction both were seen to before.
        """
        if self.host is None and not self.database.was_ready_lately:
            markers.ensure(self.database, self.doing)
            audit.ensure(self.database, self.doing)
            self.database.note_ready()

    # -- before the transaction

    @contextmanager
    def asking(self) -> Iterator[sa.Connection]:
        """This connection, for questions about staged rows: a transaction that takes no lock to write."""
        with self.database.translating(self.doing):
            if self.connection.in_transaction():
                yield self.connection
                return
            transaction = self.connection.begin()
            try:
                yield self.connection
            finally:
                transaction.rollback()

    def stage_records(self, name: str, columns: Sequence[Column], records: Records) -> Staged:
        """Streams rows into a staging table; see `Dialect.stage_records`. BadRecordError and errors of rows pass."""
        dialect = self.database.dialect
        return self.stage(name, lambda connection, its: dialect.stage_records(connection, its, columns, records))

    def stage(self, name: str, make: Callable[[sa.Connection, str], Staged]) -> Staged:
        """A staging table that `make` makes and fills, called with the connection and the name the table is to have."""
        with self.database.translating(f"{self.doing}: staging the rows"):
            staged = make(self.connection, self._stage_name(name))
        self._staged.append(staged)
        return staged

    def stage_query(self, name: str, columns: Sequence[Column], query: str, parameters: Any) -> Staged:
        """The rows of a query in a staging table, inside the transaction; see `Dialect.stage_query`."""
        with self.database.translating(self.doing):
            staged = self.database.dialect.stage_query(
                self.connection, self._stage_name(name), columns, query, parameters
            )
        self._staged.append(staged)
        return staged

    def _stage_name(self, name: str) -> str:
        return f"{name}_{secrets.token_hex(4)}"  # steps of a Sequence share one staging database

    def drop_staged(self) -> None:
        """Frees the staging tables of a load that has joined; those of one's own go with the connection."""
        if self.host is not None:
            for staged in self._staged:
                self.database.dialect.drop_staged(self.connection, staged)

    # -- the transaction

    @contextmanager
    def transaction(self, *, is_ours: bool = False) -> Iterator[sa.Connection]:
        """The write transaction: one's own, guarded and committed at the end, or a savepoint of the host's.

        Where `is_ours` says that no user code runs in it, nobody needs to be guarded against.
        """
        if self.host is not None:
            with self.database.translating(self.doing), self.parts.part(self.connection):
                yield self.connection
            return
        self.connection.execution_options(**{WRITE: True})
        with self.database.translating(self.doing):
            transaction = self.connection.begin()
            try:
                self.database.lock_markers(self.connection)
                with ambient.opened(self.database, self), nullcontext() if is_ours else self._guarded():
                    yield self.connection
                self.parts.check(self.doing)
            except BaseException as error:
                self.database.forget_ready()
                self._roll_back(transaction)
                if isinstance(error, CommitInsideError):
                    if not self.database.dialect.enforces_keys:
                        self.connection.close()  # or its lock would keep the markers from being read
                    self._check_torn()
                raise
            self._refuse_inherited()
            self._commit(transaction)
            if is_ours:
                leave_clean(self.connection)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """CommitInsideError whenever the block tried to end the transaction, also where user code hid the refusal."""
        with self.database.dialect.guard(self.connection) as guard:
            try:
                yield
            except Exception as error:
                if guard.violation is not None:  # comes up as the driver's bare "not authorized", for one
                    raise CommitInsideError(self._violated(guard)) from error
                raise
            if guard.violation is not None or not guard.is_intact:
                raise CommitInsideError(self._violated(guard))

    def _violated(self, guard: Guard) -> str:
        tried = guard.violation or "the end of the transaction"
        instead = " (a part that may fail goes into connection.begin_nested())" if self.parts.has_savepoints else ""
        return (
            f"{self.doing}: {tried} was tried inside the load's transaction, which commits by itself, rows and marker "
            f"together; nothing was kept. Take it out{instead}."
        )

    def _check_torn(self) -> None:
        """TornLoadError when a marker of this transaction was committed as `loading`: not every server prevents it."""
        if not self._begun or self.is_inherited:  # the parent has not ended it: SQLite would wait for its lock
            return
        with self.database.reading(self.doing) as connection:
            found = markers.read(connection, self.database, {key.update_id for key in self._begun})
        for key in self._begun:
            marker = found.get(key.pair)
            if marker is not None and marker.owner == self.owner:
                marker.check(key, self.database)

    def _refuse_inherited(self) -> None:
        if self.is_inherited:
            raise LoadError(
                f"{self.doing}: this process was forked inside the open transaction, which is its parent's to end. "
                "Leave the child process by os._exit(), or fork before the load."
            )

    def _roll_back(self, transaction: sa.RootTransaction) -> None:
        if self.is_inherited:
            return
        # the error that led here is the one to tell; a connection that is broken or closed has rolled back by itself
        with suppress(SQLAlchemyError):
            if self.connection.get_transaction() is transaction:  # else user code took it off; closing rolls back
                transaction.rollback()

    def _commit(self, transaction: sa.RootTransaction) -> None:
        try:
            transaction.commit()
        except Exception as error:
            self._roll_back(transaction)
            self.connection.invalidate()
            is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
            if not self._was_committed(error):
                if is_lost:  # the server may be at it still
                    raise self._unknown() from error
                raise
            reason = type(error).__name__
            context.attempt().notes.append(f"the answer to COMMIT was lost ({reason}), but the marker is there")
        context.attempt().committed.update((self.database, key) for key in self._keys)
        faultpoints.point("load.committed")

    def _was_committed(self, error: Exception) -> bool:
        """Asks the markers, over a new connection, whether the COMMIT whose answer was `error` took place.

        UnknownCommitError where they cannot be asked.
        """
        if not self._keys:
            return False
        try:
            with self.database.reading(self.doing) as connection:
                found = markers.read(connection, self.database, {key.update_id for key in self._keys})
        except UnavailableError:
            raise self._unknown() from error
        return all(self._is_ours(found.get(key.pair)) for key in self._keys)

    def _unknown(self) -> UnknownCommitError:
        return UnknownCommitError(
            f"{self.doing}: the answer to COMMIT was lost with the connection to {self.database.shown_url}, so all of "
            "it is there, or nothing. The next build finds out by the markers, and loads what is missing."
        )

    def _is_ours(self, marker: Marker | None) -> bool:
        return marker is not None and marker.state == markers.DONE and marker.owner == self.owner

    # -- one load in it

    @contextmanager
    def load(self, key: MarkerKey, *, forced: bool = False, refusal: str | None = None) -> Iterator[OpenLoad]:
        """Marker first, then the block, then the marker is done; all in `transaction()`.

        `forced` takes a marker that is there away, so that the block must replace its rows; `refusal` says why it may
        not. Raises AlreadyLoaded when the marker is there, TornLoadError when it says `loading`.
        """
        with self.transaction() as connection:
            faultpoints.point("load.begun")
            fencing.register(connection, self.database)
            old = self._unmark(connection, key, refusal) if forced else None
            self._insert(markers.insert_loading, connection, key)
            faultpoints.point("load.marker")
            load = OpenLoad(self, key, old is not None, old.row_count if old is not None else None)
            self._keys.append(key)
            try:
                yield load
            except BaseException:
                self._keys.remove(key)
                raise
            self._refuse_inherited()
            for check in load.before_commit:
                check()
            self.drop_staged()
            fencing.check(connection, self.database, self.doing)
            if not markers.set_done(connection, self.database, key, rows=load.rows, inputs=load.inputs):
                raise LoadError(
                    f"{self.doing}: its marker was changed or deleted in {self.database.marker_table} while it was "
                    "loading. Leave the marker table to etlctl."
                )
            self._audit(load)

    def mark(self, key: MarkerKey) -> None:
        """The marker of what has no rows to load, done at once; nothing when it is there.

        Raises as `load` does, but for AlreadyLoaded.
        """
        with suppress(AlreadyLoaded), self.transaction(is_ours=True) as connection:
            faultpoints.point("load.begun")
            fencing.register(connection, self.database)
            self._insert(markers.insert_done, connection, key)
            self._keys.append(key)
            faultpoints.point("load.marker")
            fencing.check(connection, self.database, self.doing)
            self._audit(OpenLoad(self, key, is_forced=False))

    def _audit(self, load: OpenLoad) -> None:
        detail = "forced" if load.is_forced else None
        entry = audit.Entry(audit.LOAD, load.key, self.owner, load.rows, load.inputs, detail)
        audit.write(self.connection, self.database, entry)

    def _insert(self, insert: Callable[..., bool], connection: sa.Connection, key: MarkerKey) -> None:
        try:
            with self.database.translating(self.doing):
                is_ours = insert(connection, self.database, key, run_id=context.attempt().run_id, owner=self.owner)
        except LockTimeoutError as error:
            raise HeldError(
                f"{self.doing}: another process is loading it, and did not end within the "
                f"{self.database.settings.lock_timeout_s:g} s of lock_timeout. A later build finds it done, or loads "
                "it."
            ) from error
        if not is_ours:
            self._raise_for(self._marker(connection, key), key)
        self._begun.append(key)

    def _unmark(self, connection: sa.Connection, key: MarkerKey, refusal: str | None) -> Marker | None:
        marker = self._marker(connection, key)
        if marker is None:
            return None
        marker.check(key, self.database)
        if refusal is not None:
            raise LoadError(refusal)
        markers.delete(connection, self.database, key)
        return marker

    def _marker(self, connection: sa.Connection, key: MarkerKey) -> Marker | None:
        return markers.read(connection, self.database, [key.update_id]).get(key.pair)

    def _raise_for(self, marker: Marker | None, key: MarkerKey) -> None:
        if marker is None:
            raise LoadError(
                f"{self.doing}: the marker {key.update_id!r} can neither be written nor read in "
                f"{self.database.marker_table}; its columns may have been changed."
            )
        marker.check(key, self.database)
        by = f" by {marker.owner}" if marker.owner else ""
        raise self.parts.refused(AlreadyLoaded(f"{self.doing}: loaded already{by}."))


@contextmanager
def open_session(database: Database, doing: str, *, stages: bool = True) -> Iterator[Session]:
    """A Session on `database`: with a connection of its own, closed at the end, or joining what is open.

    `stages` is False where nothing is going to be staged.
    """
    host = ambient.session_of(database)
    if host is not None:
        yield Session(database, host.connection, doing, host)
        return
    ambient.refuse_beside(database, doing)
    database.prepare_to_write(doing)
    with database.translating(doing):
        connection = database.engine.connect()
        session = Session(database, connection, doing, None)
        try:
            if stages:
                database.dialect.open_staging(connection)
            yield session
        finally:
            if session.is_inherited:
                leave_open(connection)
            else:
                with suppress(SQLAlchemyError):  # user code may have closed or broken it; its error is on its way
                    connection.close()
