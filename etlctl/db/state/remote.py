"""The state in PostgreSQL, MySQL or MariaDB, over the connections of `db/connections.py`: their timeouts, their errors.

Its Database is one of its own: no load's transaction is ever joined, also where the warehouse is the same database.
"""

from __future__ import annotations

import hashlib
import math
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from etlctl.db.connections import Database
from etlctl.db.dialects.base import WRITE
from etlctl.db.inherited import leave_open
from etlctl.db.state.words import WORDS, Kind, Parameters, for_server, server_values
from etlctl.errors import SettingsError, UnavailableError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.settings import ConnectionSettings

_DOING = "the state database"
_MOST_KEPT = 2
_FRESH_S = 10
_UNUSED_S = 15
_LOOK_S = 0.1
"""Between two looks at what takes too long."""
_PER_QUERY = 500
"""Statements, or rows of an INSERT, that go to a server together."""


class ServerSession:
    """One transaction on the server; see `store.Session`."""

    def __init__(self, connection: sa.Connection, kind: Kind) -> None:
        self._connection = connection
        self.kind = kind
        self.rowcount = -1

    def run(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """See `store.Session.run`."""
        # the drivers look for % where there are parameters alone, so there are always some
        result = self._connection.exec_driver_sql(for_server(sql), dict(server_values(parameters or {"": None})))
        self.rowcount = result.rowcount
        return [tuple(row) for row in result] if result.returns_rows else []

    def run_values(self, sql: str, values: Sequence[Any]) -> None:
        """See `store.Session.run_values`."""
        self.rowcount = self._connection.exec_driver_sql(sql.replace("?", "%s"), tuple(values)).rowcount

    def run_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """See `store.Session.run_many`."""
        text = for_server(sql)
        for start in range(0, len(rows), _PER_QUERY):
            some = [dict(row) for row in rows[start : start + _PER_QUERY]]
            if self.kind == "mysql":
                self._connection.exec_driver_sql(text, some)  # the driver makes one INSERT of many rows
            else:
                self._run_joined(text, some)

    def _run_joined(self, text: str, rows: list[dict[str, Any]]) -> None:
        """As one question: psycopg2's own executemany would wait for an answer after each row."""
        raw: Any = self._connection.connection.driver_connection
        with raw.cursor() as cursor:
            joined = b";".join(cursor.mogrify(text, row) for row in rows)
        self._connection.exec_driver_sql(joined.decode().replace("%", "%%"), {"": None})

    def now(self) -> float:
        """See `store.Session.now`."""
        return float(self.run(f"SELECT {WORDS[self.kind].now}")[0][0])

    def lock(self, name: str) -> None:
        """See `store.Session.lock`."""
        if self.kind == "postgresql":
            self.run("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(:name, 0))", {"name": name})
            return
        ((database,),) = self.run("SELECT database()")  # a lock's name is one for all of the server
        digest = hashlib.sha256(f"{name}:{database}".encode()).hexdigest()[:40]
        raw: Any = self._connection.connection.driver_connection
        raw.lock_until_the_end(f"etlctl:{digest}")


class ServerDatabase:
    """The server's database of a Store. Thread-safe; a forked child connects anew."""

    def __init__(self, settings: ConnectionSettings, silent_s: float) -> None:
        database = Database(settings)
        name = database.dialect.name
        if name not in ("postgresql", "mysql"):
            raise SettingsError(
                f"{settings.place or 'state.url'}: the state cannot be kept in {name}, whose keys and locks are not "
                "made for it. Name a PostgreSQL, a MySQL or a SQLite file."
            )
        self.database = database
        self.kind: Kind = "postgresql" if name == "postgresql" else "mysql"
        self._silent_s = silent_s
        self._watch = _Watch()
        self._lock = Lock()
        self._kept: list[tuple[sa.Connection, float]] = []
        """Connections that nobody uses, and since when by the monotonic clock: setting one up takes a question each
        time that SQLAlchemy's pool hands it out, and claims are many."""
        self._pid = os.getpid()

    def is_absent(self) -> bool:
        """Never: a database that is missing is an error of the server's."""
        return False

    @contextmanager
    def transaction(self, *, write: bool, timeout_s: float | None = None) -> Iterator[ServerSession]:
        """See `Store.transaction`."""
        with self.database.translating(_DOING):
            connection = self._taken()
            try:
                with self._watch.over(connection, timeout_s), connection.begin():
                    yield ServerSession(connection, self.kind)
            except BaseException:
                with suppress(SQLAlchemyError):  # the error that led here is the one to tell
                    connection.close()
                raise
            self._give_back(connection)

    # -- connections

    def _taken(self) -> sa.Connection:
        with self._lock:
            if self._pid != os.getpid():
                for inherited, _ in self._kept:
                    leave_open(inherited)
                self._kept, self._pid = [], os.getpid()
            kept = self._kept.pop() if self._kept else None
        if kept is not None:
            connection, used_at = kept
            if time.monotonic() - used_at < _FRESH_S or self._lives(connection):
                return connection
            connection.invalidate()
            connection.close()
        connection = self.database.engine.connect()
        try:
            return self._set_up(connection)
        except BaseException:
            connection.close()
            raise

    def _set_up(self, connection: sa.Connection) -> sa.Connection:
        """What holds as long as the connection is kept. One that falls silent in a transaction is ended soon: its
        process may be stopped, and others wait for the locks of its pools."""
        connection.execution_options(**{WRITE: True})  # also to read: READ COMMITTED sees what others have done
        raw: Any = connection.connection.driver_connection
        if self.kind == "postgresql":
            limit = f"SET idle_in_transaction_session_timeout = '{self._silent_s * 1000:.0f}ms'"
        elif raw.is_mariadb:
            limit = f"SET SESSION idle_transaction_timeout = {math.ceil(self._silent_s)}"
        else:
            limit = (
                f"SET SESSION wait_timeout = {math.ceil(self._silent_s * 2)}"  # there is none for transactions alone
            )
        with connection.begin():
            connection.exec_driver_sql(limit)
        return connection

    def _lives(self, connection: sa.Connection) -> bool:
        try:
            with self.database.translating(_DOING), self._watch.over(connection, _FRESH_S), connection.begin():
                connection.exec_driver_sql("SELECT 1")
        except UnavailableError:
            return False
        return True

    def _give_back(self, connection: sa.Connection) -> None:
        with self._lock:
            if self._pid == os.getpid() and len(self._kept) < _MOST_KEPT:
                self._kept.append((connection, time.monotonic()))
                return
        connection.close()

    def close(self) -> None:
        """Closes what is open and not in use."""
        with self._lock:
            kept, self._kept = self._kept, []
            is_ours = self._pid == os.getpid()
        for connection, _ in kept:
            if is_ours:
                with suppress(SQLAlchemyError):  # it is lost, which is as good
                    connection.close()
            else:
                leave_open(connection)
        self.database.close()


class _Watch:
    """Cuts connections whose time is over: no other limit holds where a network swallows everything.

    What waits for an answer then fails as for any lost connection. One thread for all, which ends when it is idle.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._until: dict[int, float] = {}
        """By a descriptor of our own of the connection's socket."""
        self._thread: Thread | None = None
        self._pid = os.getpid()

    @contextmanager
    def over(self, connection: sa.Connection, timeout_s: float | None) -> Iterator[None]:
        """Cuts `connection` when the block takes longer; None lets it take its time."""
        if timeout_s is None:
            yield
            return
        raw: Any = connection.connection.driver_connection
        descriptor = os.dup(raw.fileno())
        if self._pid != os.getpid():  # what the parent process watches is not ours to cut
            self._guard, self._until, self._thread, self._pid = Lock(), {}, None, os.getpid()
        with self._guard:
            self._until[descriptor] = time.monotonic() + timeout_s
            self._start()
        try:
            yield
        finally:
            with self._guard:
                self._until.pop(descriptor, None)
            os.close(descriptor)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="etlctl-watch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        idle_since = time.monotonic()
        while True:
            time.sleep(_LOOK_S)
            now = time.monotonic()
            with self._guard:
                if self._until:
                    idle_since = now
                elif now - idle_since > _UNUSED_S:
                    self._thread = None
                    return
                for descriptor in [one for one, until in self._until.items() if now > until]:
                    del self._until[descriptor]
                    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
                        copy.shutdown(socket.SHUT_RDWR)
