"""The databases of the settings, opened when they are first asked for: one engine per URL and process.

Holds no load protocol (db/sessions.py) and no marker (db/markers.py). SQLAlchemy is imported with the first engine.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from math import inf
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from etlctl.db import ambient
from etlctl.db.dialects import dialect_for
from etlctl.errors import EtlctlError, SettingsError, TransientError, UnavailableError
from etlctl.settings import ConnectionSettings, Secret
from etlctl.settings.urls import anchored, complaint, is_in_memory, masked_url
from etlctl.suggest import did_you_mean

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.dialects.base import Options, TableName

_NOWHERE = logging.NullHandler()
_LATELY_S = 1.0
"""For how long a look at the marker table holds for the next load: it spares many small loads most of their questions,
and a table that is taken away or changed under a build is noticed."""


class Database:
    """One database that loads go to. Thread-safe; in a forked child it makes itself a new engine."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self.name = settings.name
        """The connection's name in the settings, or the masked URL where it was given by URL."""
        self.url = settings.url.reveal()
        """With its password: for the driver alone, never for a message."""
        shown = settings.place or f"connection {settings.name}"
        self.dialect = dialect_for(self.url, f"{shown} ({settings.shown_url})")
        self._lock = Lock()
        self._engine: sa.Engine | None = None
        self._pid = 0
        self._ready_at = -inf

    def __repr__(self) -> str:
        return f"Database({self.name!r}, {self.shown_url!r})"

    @property
    def shown_url(self) -> str:
        """The URL as a person may read it."""
        return masked_url(self.url)

    @property
    def marker_table(self) -> str:
        """The marker table's name, for people."""
        schema = self.settings.marker_schema
        return self.settings.marker_table if schema is None else f"{schema}.{self.settings.marker_table}"

    @cached_property
    def marker_name(self) -> TableName:
        """Where the marker table is, for statements."""
        from etlctl.db.words import table_name

        name = self.dialect.table_name(self.settings.marker_table)
        return name if self.settings.marker_schema is None else table_name(name.name, self.settings.marker_schema)

    @property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine, made at the first look. What commits on it is no part of any load."""
        with self._lock:
            if self._engine is not None and self._pid != os.getpid():
                self._engine.dispose(close=False)  # its connections belong to the parent process
                self._engine = None
            if self._engine is None:
                # the pool would tell of a server that fell by a traceback on stderr, where nobody has set up a log;
                # the error itself comes up in our words
                logging.getLogger("sqlalchemy.pool").addHandler(_NOWHERE)
                self._engine, self._pid = self.dialect.make_engine(self.url, self._options()), os.getpid()
            return self._engine

    def _options(self) -> Options:
        from etlctl.db.dialects.base import Options

        given = self.settings
        return Options(
            given.connect_timeout_s,
            given.statement_timeout_s,
            given.lock_timeout_s,
            given.s3_staging,
            given.iam_role,
            given.static_keys,
            self.name,
        )

    def is_same_as(self, other: Database) -> bool:
        """Whether both are one database, by whatever URL: a lock on one is a lock on the other."""
        return self is other or self.dialect.is_same(self.url, other.url)

    @property
    def was_ready_lately(self) -> bool:
        """Whether the tables that a load needs were seen a moment ago, and no transaction has failed since."""
        return monotonic() - self._ready_at < _LATELY_S and not self.is_absent

    def note_ready(self) -> None:
        """They were seen just now."""
        self._ready_at = monotonic()

    def forget_ready(self) -> None:
        """The next load looks for itself."""
        self._ready_at = -inf

    @property
    def is_absent(self) -> bool:
        """Whether there is no database yet (a SQLite file that nothing has been written to)."""
        return self.dialect.is_absent(self.url)

    @contextmanager
    def translating(self, doing: str) -> Iterator[None]:
        """Turns the database's errors of the block into ours; `doing` begins their sentences."""
        try:
            yield
        except Exception as error:
            ours = self._ours(error, doing)
            if ours is None or ours is error:
                raise
            raise ours from error

    def _ours(self, error: BaseException, doing: str) -> EtlctlError | None:
        """What the dialect makes of an error; of a lost connection also where user code hid it behind its own error."""
        from sqlalchemy.exc import PendingRollbackError

        if isinstance(error, PendingRollbackError):  # the connection went before, and that error was passed over
            return TransientError(f"{doing}: the connection to {self.shown_url} was lost.")
        found = self.dialect.translated(error, doing=doing, shown_url=self.shown_url)
        cause = error.__cause__
        while found is None and cause is not None and not isinstance(error, EtlctlError):
            behind = self.dialect.translated(cause, doing=doing, shown_url=self.shown_url)  # pandas raises its own
            found = behind if isinstance(behind, TransientError) else None
            cause = cause.__cause__
        return found

    @contextmanager
    def reading(self, doing: str = "reading", *, is_ours: bool = False) -> Iterator[sa.Connection]:
        """A Connection for questions, in a read transaction that ends with the block; `is_ours` where none is a user's.

        Inside an open load or `transaction()` on this database it is that one's connection, which sees what it has
        written. Raises UnavailableError where there is no database: a SQLite file is not made by reading it. Other
        errors of the database come out as ours.
        """
        session = ambient.session_of(self)
        if session is not None:
            with self.translating(doing):
                yield session.connection
            return
        ambient.refuse_beside(self, doing)
        if self.is_absent:
            raise UnavailableError(
                f"{doing}: {self.shown_url} does not exist yet. Nothing has been loaded into it, or its path is wrong."
            )
        with self.translating(doing), self.engine.connect() as connection:
            yield connection
            if is_ours:
                leave_clean(connection)

    @contextmanager
    def writing(self, doing: str) -> Iterator[sa.Connection]:
        """A Connection in a short write transaction of its own, which commits at the end of the block.

        Inside an open load or `transaction()` it is a part of that one; but where DDL commits, and would commit that
        one too, it is a transaction of its own all the same.
        """
        from etlctl.db.dialects.base import WRITE

        session = ambient.session_of(self)
        if session is not None and self.dialect.has_transactional_ddl:
            with self.translating(doing), session.parts.part(session.connection):
                yield session.connection
            return
        if session is None:
            ambient.refuse_beside(self, doing)
        self.prepare_to_write(doing)
        with self.translating(doing), self.engine.connect() as connection:
            connection.execution_options(**{WRITE: True})
            with connection.begin():
                self.lock_markers(connection)
                yield connection

    def lock_markers(self, connection: sa.Connection) -> None:
        """See `Dialect.lock_markers`."""
        if not self.dialect.enforces_keys:
            from etlctl.db.markers import marker_table

            self.dialect.lock_markers(connection, marker_table(self))

    @contextmanager
    def unguarded(self, doing: str) -> Iterator[sa.Connection]:
        """A Connection on which every statement commits by itself: for VACUUM and the like, run at least once.

        Raises LoadError inside an open load or `transaction()`.
        """
        from etlctl.db.dialects.base import AUTOCOMMIT

        ambient.refuse_inside(self, doing)
        ambient.refuse_beside(self, doing)
        self.prepare_to_write(doing)
        with self.translating(doing), self.engine.connect() as connection:
            yield connection.execution_options(**{AUTOCOMMIT: True})

    def prepare_to_write(self, doing: str) -> None:
        """Makes what a first write needs, such as the folder `.etlctl/`. Raises UnavailableError."""
        try:
            self.dialect.prepare_to_write(self.url)
        except OSError as error:
            raise UnavailableError(
                f"{doing}: the folder of {self.shown_url} cannot be made: {error.strerror}. "
                "Give a path whose folder can be written to."
            ) from error

    def close(self) -> None:
        """Closes what is open; the Database can be used again."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose(close=self._pid == os.getpid())
                self._engine = None


def leave_clean(connection: sa.Connection) -> None:
    """To be said before a Connection is given back on which no SQL but ours was run, and all of it went well."""
    from etlctl.db.dialects.base import LEFT_CLEAN

    connection.info[LEFT_CLEAN] = monotonic()


class Databases:
    """The connections of one project by name, and any other database by URL."""

    def __init__(self, connections: Mapping[str, ConnectionSettings], default: str, project: Path) -> None:
        self._connections = connections
        self._default = default
        self._project = project
        self._lock = Lock()
        self._open: dict[tuple[str, str | None, str], Database] = {}
        self._known: dict[str | None, Database] = {}
        """Answers of `get`, which is asked for each of ten thousand tasks."""

    def get(self, name_or_url: str | None = None) -> Database:
        """The database of a connection's name or of a URL; None asks for the default connection.

        The same URL and marker table give the same Database. Raises SettingsError for an unknown name.
        """
        found = self._known.get(name_or_url)
        if found is None:
            found = self._known[name_or_url] = self._found(self._default if name_or_url is None else name_or_url)
        return found

    def _found(self, name: str) -> Database:
        settings = self._connections.get(name)
        if settings is not None:
            return self._database(settings)
        if "://" not in name:
            known = ", ".join(self._connections) or "none"
            raise SettingsError(
                f"There is no connection {name!r} in the settings.{did_you_mean(name, self._connections)} "
                f"There are: {known}; a URL such as sqlite:///data.db may be given too."
            )
        wrong = complaint(name)
        if wrong is not None:
            raise SettingsError(f"The URL given as connection, {masked_url(name)}, {wrong}")
        url = anchored(name, self._project)
        return self._by_url(url) or self._database(
            ConnectionSettings(masked_url(name), Secret(url), place="The URL given as connection")
        )

    def close(self) -> None:
        """Closes every database that was opened."""
        for database in self._open.values():
            database.close()

    def disconnect(self) -> None:
        """Closes every database but those in memory, which would be gone; they can be used again."""
        for database in self._open.values():
            if not is_in_memory(database.url):
                database.close()

    def _by_url(self, url: str) -> Database | None:
        """The named connection of this very URL, so that a URL means its marker table too."""
        for settings in self._connections.values():
            if anchored(settings.url.reveal(), self._project) == url:
                return self._database(settings)
        return None

    def _database(self, settings: ConnectionSettings) -> Database:
        url = anchored(settings.url.reveal(), self._project)
        key = (url, settings.marker_schema, settings.marker_table)
        with self._lock:
            found = self._open.get(key)
            if found is None:
                found = self._open[key] = Database(replace(settings, url=Secret(url)))
            return found
