"""psycopg2's connection and cursor as loads need them: they can be stopped, and keep user code from ending a load.

A COMMIT or ROLLBACK is refused however it is said: by the driver's methods, by a setting that implies one, by SQL text,
also in the middle of several statements. Once the transaction has ended all the same (the server ends one in its own
ways) every further statement is refused: psycopg2 would go on in autocommit, and rows would stay without a marker. The
deferred foreign key of the marker table stands behind all this: a COMMIT that gets through keeps nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

import psycopg2.errors
import sqlalchemy as sa
from psycopg2 import InterfaceError, extensions
from psycopg2.sql import Composable

from etlctl.db.dialects.guarding import put_up, refusal
from etlctl.db.dialects.postgresql.printed import kept_back
from etlctl.db.dialects.postgresql.waiting import HeardFile, Waiter
from etlctl.errors import CommitInsideError, QueryError

_TELLING = 4  # characters from which on a value is one; shorter ones stand in any sentence
_T = TypeVar("_T")


class SwallowedError(psycopg2.errors.InFailedSqlTransaction):
    """COMMIT after an error that was passed over: the server would roll back, and report no error."""


class PostgreSQLGuard:
    """One guard, for the time that one transaction is in the hands of user code."""

    def __init__(self, raw: Connection) -> None:
        self._raw = raw
        self._tried: str | None = None
        self._transaction = raw.transaction_number()
        self.is_over = False
        """The transaction is no longer in the hands of user code; a copy of Connection.info may hold the guard yet."""

    @property
    def violation(self) -> str | None:
        """See `Guard.violation`; another transaction in place of the one that was open is one, too."""
        if self._tried is None and not self._raw.is_inherited and self._status == extensions.TRANSACTION_STATUS_INTRANS:
            with suppress(psycopg2.Error):  # a connection that is lost just now is nobody's violation
                if self._raw.transaction_number() != self._transaction:
                    self.note("the end of the transaction")
        return self._tried

    @property
    def is_intact(self) -> bool:
        """Whether the transaction is open still, and the same; one in which a statement failed is open, too."""
        if self._status in (extensions.TRANSACTION_STATUS_INERROR, extensions.TRANSACTION_STATUS_UNKNOWN):
            return True  # its COMMIT is refused in words of its own; of a session that is lost, by the driver
        return self._status == extensions.TRANSACTION_STATUS_INTRANS and self.violation is None

    @property
    def _status(self) -> int:
        """libpq's own, since psycopg2 believes in the transaction that it began."""
        return self._raw.info.transaction_status

    def note(self, tried: str) -> None:
        """Remembers what was tried first."""
        self._tried = self._tried or tried

    def refuse(self, tried: str) -> None:
        """Notes the violation and raises CommitInsideError."""
        self.note(tried)
        raise CommitInsideError(refusal(tried))

    def check(self, query: object) -> None:
        """Refuses a statement that would end the transaction, and any once it has ended."""
        if self._status == extensions.TRANSACTION_STATUS_IDLE:
            self.refuse("a statement after the transaction had ended")
        tried = ending_word(self._raw.text_of(query))
        if tried is not None:
            self.refuse(tried)


# -- SQL text

_ENDING = frozenset(("COMMIT", "ROLLBACK", "ABORT", "END", "BEGIN", "START", "PREPARE TRANSACTION"))
_SUSPICIOUS = re.compile(r"\b(?:COMMIT|ROLLBACK|ABORT|END|BEGIN|START|PREPARE)\b", re.IGNORECASE)
_TO_SAVEPOINT = re.compile(r"ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b", re.IGNORECASE)
_PREPARES = re.compile(r"PREPARE\s+TRANSACTION\b", re.IGNORECASE)
_CARELESS = re.compile(r"(?:\A|;)\s*(COMMIT|ROLLBACK|ABORT|END|BEGIN|START)\b", re.IGNORECASE)


def ending_word(sql: str) -> str | None:
    """What in a text of one or several statements would end a transaction or begin one, or None; savepoints pass."""
    if _SUSPICIOUS.search(sql) is None:
        return None
    from etlctl.db.sqlscript import split_statements  # a plan, which only asks, waits for neither
    from etlctl.db.sqltext import POSTGRESQL

    try:
        statements = split_statements(sql, flavour=POSTGRESQL)
    except QueryError:  # an open quote, which the server is most likely to refuse as well
        found = _CARELESS.search(sql)
        return None if found is None else found[1].upper()
    for statement in statements:
        text = _without_comments(statement.text)
        word = "PREPARE TRANSACTION" if _PREPARES.match(text) else statement.word
        if word in _ENDING and not (word == "ROLLBACK" and _TO_SAVEPOINT.match(text)):
            return word
    return None


def _without_comments(text: str) -> str:
    """The first words of a statement; comments between them are taken out."""
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", text[:1000], flags=re.DOTALL)


# -- the driver's connection


class Connection(extensions.connection):
    """A connection of psycopg2 whose waiting can be interrupted, and that asks its guard while there is one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.guard: PostgreSQLGuard | None = None
        self._waiter = Waiter()
        self._pid = os.getpid()

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one that opened it."""
        return self._pid != os.getpid()

    def wait_for(self, function: Any, *args: Any, **options: Any) -> Any:
        """Calls what blocks in libpq, so that signals are heard meanwhile.

        The text of an error is the server's sentence alone: behind it stands the line of the statement that is wrong,
        into which psycopg2 has written the values, and a traceback would show them.
        """
        try:
            return self._waiter.call(self.cancel, function, *args, **options)
        except psycopg2.Error as error:
            if error.diag.message_primary:
                error.args = (error.diag.message_primary,)
            raise

    def heard(self, file: Any) -> HeardFile:
        """`file` for a COPY inside `wait_for`."""
        return HeardFile(file, self._waiter)

    def check(self, query: object) -> None:
        """Called with each statement before it is sent."""
        if self.is_inherited:
            if self.guard is not None:
                self.guard.refuse("a statement in a forked process")
            raise InterfaceError("the connection was opened by the process that this one was forked from")
        if self.guard is not None:
            self.guard.check(query)

    def text_of(self, query: object) -> str:
        """A statement in whichever form psycopg2 takes it."""
        if isinstance(query, Composable):
            return query.as_string(self)
        return query.decode(errors="replace") if isinstance(query, bytes) else str(query)

    def run_alone(self, sql: str) -> None:
        """Runs statements outside any transaction, in one question."""
        self.autocommit = True
        try:
            with super().cursor(cursor_factory=extensions.cursor) as cursor:
                self.wait_for(cursor.execute, sql)
        finally:
            if not self.closed:
                self.autocommit = False

    def transaction_number(self) -> str:
        """That of the transaction that is open, which is begun if there is none."""
        with super().cursor(cursor_factory=extensions.cursor) as cursor:
            self.wait_for(cursor.execute, "SELECT pg_catalog.txid_current()")
            row = cursor.fetchone()
        return str(row[0]) if row is not None else ""

    def cursor(self, name: Any = None, cursor_factory: Any = None, *args: Any, **options: Any) -> Any:
        """A cursor of the class asked for that asks the guard and can be interrupted, too."""
        own: Any = self.cursor_factory
        factory = cursor_factory or own or extensions.cursor
        cursor = super().cursor(name, _watched(factory, is_named=name is not None), *args, **options)
        if name is not None:
            extensions.register_type(_JSON_TEXT, cursor)
        return cursor

    # what ends a transaction, or would

    def commit(self) -> None:
        """COMMIT; SwallowedError where the server would roll back without a word."""
        self._refuse_under_guard("COMMIT")
        self.check("COMMIT")
        if self.info.transaction_status == extensions.TRANSACTION_STATUS_INERROR:
            raise SwallowedError("an earlier statement of the transaction failed, and its error was passed over")
        self.wait_for(super().commit)

    def rollback(self) -> None:
        """ROLLBACK; nothing in a forked child, whose transaction it is not, and where a lost session has done it."""
        self._refuse_under_guard("ROLLBACK")
        if self.is_inherited or self.closed:
            return
        try:
            self.wait_for(super().rollback)
        except psycopg2.Error:
            if not self.closed:
                raise

    def close(self) -> None:
        """Closes it, by which the server rolls back; nothing in a forked child, and where libpq never came back."""
        if self.guard is not None and not self.closed:
            self.guard.note("closing the connection")
        if not self.is_inherited and not self._waiter.is_given_up:
            self._waiter.close()
            super().close()

    def reset(self) -> None:
        """Refused inside a load."""
        self._refuse_under_guard("reset()")
        self.wait_for(super().reset)

    def set_session(self, *args: Any, **options: Any) -> None:
        """Refused inside a load."""
        self._refuse_under_guard("set_session()")
        super().set_session(*args, **options)

    def set_isolation_level(self, level: Any) -> None:
        """Refused inside a load. Nothing on a lost session: the pool does it with each that it takes back."""
        self._refuse_under_guard("set_isolation_level()")
        if not self.closed:
            super().set_isolation_level(level)

    def tpc_begin(self, *args: Any) -> None:
        """Refused inside a load."""
        self._refuse_under_guard("tpc_begin()")
        super().tpc_begin(*args)

    def _refuse_under_guard(self, tried: str) -> None:
        if self.guard is not None:
            self.guard.refuse(tried)


def _guarded_setting(name: str) -> property:
    inherited: Any = getattr(extensions.connection, name)

    def get(self: Connection) -> Any:
        return inherited.__get__(self)

    def put(self: Connection, value: Any) -> None:
        if self.guard is not None:
            self.guard.refuse(f"{name} = {value!r}")
        inherited.__set__(self, value)

    return property(get, put)


for _name in ("autocommit", "isolation_level", "readonly", "deferrable"):
    setattr(Connection, _name, _guarded_setting(_name))


# -- its cursors

_JSON_TEXT = extensions.new_type((114, 3802), "JSON_TEXT", lambda text, _: text)
"""json and jsonb as they stand: rows that are streamed go on as text, and a parsed number would lose digits."""


class _Watched(extensions.cursor):
    """Mixed into a cursor class: each statement is checked, and its wait can be interrupted."""

    connection: Connection

    def execute(self, query: Any, vars: Any = None) -> Any:  # the driver's own name for it
        self.connection.check(query)
        try:
            return self.connection.wait_for(super().execute, query, vars)
        except psycopg2.Error as error:
            error.args = tuple(_masked(text, vars) for text in error.args)
            raise

    def executemany(self, query: Any, vars_list: Any) -> Any:
        self.connection.check(query)
        rows = vars_list if isinstance(vars_list, (list, tuple)) else list(vars_list)
        return self.connection.wait_for(super().executemany, query, rows)

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        self.connection.check("")
        return self.connection.wait_for(super().callproc, procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> Any:
        self.connection.check(sql)
        with kept_back():
            return self.connection.wait_for(super().copy_expert, sql, self._heard(file), size)

    def copy_from(self, file: Any, table: Any, *args: Any, **options: Any) -> Any:
        self.connection.check("")
        with kept_back():
            return self.connection.wait_for(super().copy_from, self._heard(file), table, *args, **options)

    def copy_to(self, file: Any, table: Any, *args: Any, **options: Any) -> Any:
        self.connection.check("")
        return self.connection.wait_for(super().copy_to, file, table, *args, **options)

    def _heard(self, file: Any) -> Any:
        """A file to write to is called by the connection's thread: once a row, which would be too much to hand over."""
        return self.connection.heard(file) if hasattr(file, "read") and not _is_written(file) else file


def _is_written(file: Any) -> bool:
    writable = getattr(file, "writable", None)
    return bool(writable()) if callable(writable) else hasattr(file, "write")


def _masked(text: object, bound: Any) -> object:
    """The server's sentence without the values that were bound: it quotes one that it cannot read."""
    if not isinstance(text, str) or not bound:
        return text
    for value in bound.values() if isinstance(bound, Mapping) else bound:
        if isinstance(value, str) and len(value) >= _TELLING:
            text = text.replace(value, "***")
    return text


class _WatchedNamed(_Watched):
    """As `_Watched`, for a cursor of the server, where each look at the next rows is a statement."""

    def fetchone(self) -> Any:
        return self.connection.wait_for(super().fetchone)

    def fetchmany(self, size: Any = None) -> Any:
        return self.connection.wait_for(super().fetchmany, self.arraysize if size is None else size)

    def fetchall(self) -> Any:
        return self.connection.wait_for(super().fetchall)

    def __next__(self) -> Any:
        return self.connection.wait_for(super().__next__)


@lru_cache(maxsize=64)
def _watched(factory: type[extensions.cursor], *, is_named: bool) -> type[extensions.cursor]:
    mixin = _WatchedNamed if is_named else _Watched
    if issubclass(factory, mixin):
        return factory
    return type(factory.__name__, (mixin, factory), {})


# -- SQLAlchemy


def driver_connection(connection: sa.Connection) -> Connection:
    """The driver's connection under one of SQLAlchemy's."""
    raw: Any = connection.connection.dbapi_connection  # of a detached one `driver_connection` is None
    if not isinstance(raw, Connection):
        raise InterfaceError("the connection is none of an engine of ours")
    return raw


@contextmanager
def guarding(connection: sa.Connection) -> Iterator[PostgreSQLGuard]:
    """See `Dialect.guard`."""
    raw = driver_connection(connection)
    guard = raw.guard = PostgreSQLGuard(raw)
    try:
        with put_up(connection, guard):
            yield guard
    finally:
        raw.guard = None
