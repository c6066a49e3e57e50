"""A PyMySQL connection of ours: what a session is set to, what a signal does, what a guard lets through.

This file and `mysql/conversions.py` alone import PyMySQL (extra `mysql`). It knows no load and makes no table.
Everything that a program can say to the server goes through the methods overridden here, so that is where a guard is
asked (`mysql/guard.py`).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pymysql.connections import Connection
from pymysql.constants import CLIENT, FIELD_TYPE, FLAG, SERVER_STATUS
from pymysql.cursors import Cursor, SSCursor
from pymysql.err import MySQLError, OperationalError

from etlctl.db.dialects.mysql.conversions import CONVERSIONS, without_values
from etlctl.db.dialects.mysql.settings import keep_alive, settings_of, unverified
from etlctl.errors import CommitInsideError, LockTimeoutError

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Options
    from etlctl.db.dialects.mysql.guard import MySQLGuard

    _Connection = Connection[Cursor]
else:
    _Connection = Connection  # generic in the stubs alone

__all__ = ["FIELD_TYPE", "ConnectError", "Field", "LoadConnection", "MySQLError", "described"]

_KILL_TIMEOUT_S = 2
_DEADLOCK = 1213
_LOST = ((1053,), (1077,), (1927,), (2006,), (2013,), (2014,), (2045,), (2055,), (4031,))
"""Errors after which there is no session any more."""
_RESET_CONNECTION = 0x1F
"""https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_reset_connection.html; MariaDB since 10.2.4."""


class ConnectError(OperationalError):
    """A session did not come about: no statement of anybody's was lost."""


class LoadConnection(_Connection):
    """A session set up for loads; see the module. Belongs to the process that opened it."""

    if TYPE_CHECKING:  # what the stubs lack
        server_version: str
        server_status: int
        connect_timeout: float | None
        unix_socket: str | None
        _sock: Any
        _read_timeout: float | None

        def _force_close(self) -> None: ...
        def _execute_command(self, command: int, sql: bytes) -> None: ...
        def _read_ok_packet(self) -> Any: ...

    def __init__(self, *, options: Options, **arguments: Any) -> None:
        self.options = options
        self.guard: MySQLGuard | None = None
        """Asked about every statement while user code has the connection."""
        self.staged: list[str] = []
        """Temporary tables that are to go before somebody else gets the session."""
        self.locks: list[str] = []
        """Named locks that are held until the transaction ends."""
        self.is_lost = False
        """The server has said that it ended the session; SQLAlchemy then closes what is left of it."""
        self.was_lent = False
        """User code had the session, and may have changed its settings."""
        self.may_be_shadowed = False
        """User code may have made a temporary table with the name of another."""
        self.checked: set[tuple[str | None, str]] = set()
        """Tables whose engine is known to have transactions."""
        self._pid = os.getpid()
        self._arguments = arguments
        super().__init__(**arguments)

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is a MariaDB; otherwise it is a MySQL."""
        return "mariadb" in str(self.server_version).lower()

    @property
    def binary_collation(self) -> str:
        """The server's collation of UTF-8 in which texts are equal only when they are the same, blanks included."""
        return "utf8mb4_nopad_bin" if self.is_mariadb else "utf8mb4_0900_bin"

    @property
    def is_in_transaction(self) -> bool:
        """What the server said last; it says so with every statement that changes anything."""
        return bool(self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one whose session it is."""
        return self._pid != os.getpid()

    def fileno(self) -> int:
        """The descriptor of its socket, as psycopg2 calls it."""
        return int(self._sock.fileno())

    # -- opening

    def connect(self, sock: Any = None) -> None:
        """Connects within `connect_timeout`, the greeting included, and sets the session."""
        self._read_timeout = self.connect_timeout  # PyMySQL waits for ever for a server that says nothing
        try:
            super().connect(sock)
            self._read_timeout = None
            if not self.unix_socket:
                keep_alive(self._sock)
            self.set_session()
        except MySQLError as error:
            raise ConnectError(*error.args) from error

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        """Where nothing is asked of TLS, nothing is verified either, and no certificates are read (40 ms each time)."""
        context: ssl.SSLContext = super()._create_ssl_ctx(sslp) if sslp else unverified()  # type: ignore[misc]  # not stubbed
        return context

    def set_session(self) -> None:
        """Gives the session its settings, whatever they were before."""
        super().set_character_set("utf8mb4")
        super().query(settings_of(self))

    # -- statements

    def escape(self, obj: object, mapping: Any = None) -> str:
        """The literal of a bound value; of bytes in hex, since PyMySQL before 1.2 made them text in UTF-8."""
        if isinstance(obj, bytes | bytearray):
            return f"X'{obj.hex()}'"
        return str(super().escape(obj, mapping))

    def query(self, sql: str | bytes | bytearray, unbuffered: bool = False) -> int:
        """Sends a statement, unless the guard refuses it. One that a signal interrupts is stopped on the server too."""
        guard = self._asked(sql)
        try:
            return int(super().query(sql, unbuffered))
        except MySQLError as error:
            error.args = without_values(error.args)
            self.is_lost = self.is_lost or error.args[:1] in _LOST
            if guard is not None and error.args[:1] == (_DEADLOCK,):
                guard.is_rolled_back = True
            raise
        except BaseException:
            self.drop()
            raise
        finally:
            self._look_after(guard)

    def next_result(self, unbuffered: bool = False) -> int:
        """A further result of the same statement, such as CALL has."""
        try:
            return int(super().next_result(unbuffered))
        finally:
            self._look_after(self._active_guard())

    def cursor(self, cursor: Any = None) -> Any:
        """A cursor; one that reads row by row is of ours."""
        return super().cursor(_RowByRow if cursor is SSCursor else cursor)

    def commit(self) -> None:
        """COMMIT, after which the locks are free."""
        self._refuse_under_guard("COMMIT")
        super().commit()
        self._free_locks()

    def rollback(self) -> None:
        """ROLLBACK, after which the locks are free."""
        self._refuse_under_guard("ROLLBACK")
        if not self.open:
            return  # the server has rolled back when it lost us
        super().rollback()
        self._free_locks()

    def begin(self) -> None:
        """BEGIN."""
        self._refuse_under_guard("BEGIN")
        super().begin()

    def autocommit(self, value: bool) -> None:
        """Whether every statement commits by itself."""
        self._refuse_under_guard("autocommit")
        super().autocommit(value)

    def select_db(self, db: str) -> None:
        """Another default database: not in the middle of a load, whose marker is in this one."""
        self._refuse_under_guard("USE")
        super().select_db(db)

    def ping(self, reconnect: bool | None = False) -> None:
        """Whether the server answers. It is never connected to anew: that would be another session."""
        self._refuse_inherited()
        super().ping(False)

    def close(self) -> None:
        """Closes the session; in a forked process this copy of its socket alone, since the session is the parent's."""
        if self.is_inherited:
            self._force_close()
            return
        guard = self._active_guard()
        if guard is not None and self.open and not self.is_lost:
            guard.note("closing the connection")
        super().close()

    # -- the guard

    def _active_guard(self) -> MySQLGuard | None:
        return None if self.guard is None or self.guard.is_over else self.guard

    def _asked(self, sql: str | bytes | bytearray) -> MySQLGuard | None:
        self._refuse_inherited()
        guard = self._active_guard()
        if guard is not None:
            guard.ask(sql)
        return guard

    def _refuse_under_guard(self, tried: str) -> None:
        self._refuse_inherited()
        guard = self._active_guard()
        if guard is not None:
            guard.refuse(tried)

    def _refuse_inherited(self) -> None:
        if not self.is_inherited:
            return
        if self.guard is not None:
            self.guard.note("a statement in a forked process")
        raise CommitInsideError(
            "a statement was sent in a forked process over the connection of its parent, whose transaction it is. "
            "Leave the child process by os._exit(), or fork before the load."
        )

    def _look_after(self, guard: MySQLGuard | None) -> None:
        if guard is not None and self.open and not self.is_in_transaction:
            guard.has_ended = True

    # -- ending

    def drop(self) -> None:
        """Ends the session, here and on the server, which would work on: it looks at us only when it has an answer."""
        arguments = self._arguments | {"connect_timeout": _KILL_TIMEOUT_S, "read_timeout": _KILL_TIMEOUT_S}
        this: Any = self  # the stubs leave two methods without types
        session: int = this.thread_id()
        with suppress(MySQLError, OSError):
            self._force_close()
            killer: Any = Connection(**arguments)
            try:
                killer.kill(session)
            finally:
                killer.close()

    # -- locks, staging

    def lock(self, name: str) -> None:
        """Takes the named lock, waiting as long as for any other; LockTimeoutError."""
        with self.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, @@lock_wait_timeout)", (name,))
            row: Any = cursor.fetchone()
        if row[0] != 1:
            raise LockTimeoutError(
                "another process of ours held the lock of the table, or of making tables, for as long as "
                "lock_timeout_s allows."
            )

    def unlock(self, name: str) -> None:
        """Frees the named lock."""
        super().query(f"DO RELEASE_LOCK({self.escape(name)})")

    def lock_until_the_end(self, name: str) -> None:
        """Takes the named lock, unless this transaction has it, and frees it after COMMIT or ROLLBACK."""
        if name not in self.locks:
            self.lock(name)
            self.locks.append(name)

    def drop_staged(self, names: Sequence[str]) -> None:
        """Drops temporary tables of `staged`."""
        if names:
            quoted = ", ".join(f"`{name.replace('`', '``')}`" for name in names)
            super().query(f"DROP TEMPORARY TABLE IF EXISTS {quoted}")
            self.staged = [name for name in self.staged if name not in names]

    def make_fit_for_others(self) -> None:
        """Leaves nothing of one user of the session to the next: no staged rows, no locks, no settings."""
        is_used = self.was_lent or self.staged or self.locks or self.get_autocommit()
        if not self.open or self.is_inherited or not is_used:
            return
        try:
            # drops temporary tables, of which one with a target's name would take its rows; frees locks; rolls back
            self._execute_command(_RESET_CONNECTION, b"")
            self._read_ok_packet()
            self.set_session()
        except MySQLError:
            self._force_close()  # it is lost; the pool finds out when it is next asked for
        self.staged, self.locks, self.was_lent, self.may_be_shadowed = [], [], False, False

    def _free_locks(self) -> None:
        while self.locks:
            self.unlock(self.locks.pop())


class _RowByRow(SSCursor):
    """Reads a result as it comes. Closed in the middle of it, it does not read on to the end, which may be hours away:
    the session is dropped, but inside a load, whose transaction it is."""

    def close(self) -> None:
        """Closes the cursor."""
        connection: Any = self.connection
        result: Any = getattr(self, "_result", None)
        if result is not None and result.unbuffered_active and connection is not None and connection.guard is None:
            result.unbuffered_active, result.connection = False, None
            connection.drop()
            self.connection = None  # type: ignore[assignment]  # as PyMySQL marks a closed one
        super().close()


def make_connection(arguments: dict[str, Any], options: Options) -> LoadConnection:
    """Connects. `arguments` are PyMySQL's; those that a load must rely on are ours."""
    given = dict(arguments)
    if isinstance(given.get("password"), str):
        given["password"] = given["password"].encode()  # PyMySQL takes Latin-1, the server's own programs UTF-8
    flags = int(given.pop("client_flag", 0)) & ~(CLIENT.MULTI_STATEMENTS | CLIENT.LOCAL_FILES)
    return LoadConnection(
        options=options,
        **given
        | {
            "client_flag": flags | CLIENT.FOUND_ROWS,
            "charset": "utf8mb4",
            "use_unicode": True,
            "conv": CONVERSIONS,
            "autocommit": False,
            "local_infile": False,
            "connect_timeout": max(1, options.connect_timeout_s),
        },
    )


class Field(NamedTuple):
    """A column of a result, as the server describes it."""

    name: str
    code: int
    """One of FIELD_TYPE."""
    length: int
    """In bytes; of a number, the characters that it may take."""
    scale: int
    is_unsigned: bool
    is_binary: bool
    """Bytes, and not text."""
    is_enum: bool
    is_column: bool
    """Of a table, and no expression."""


_BINARY_CHARACTERS = 63


def described(raw: LoadConnection, statement: str, parameters: Any) -> list[Field]:
    """The columns of what a statement returns. It is run, so let it return no row."""
    with raw.cursor() as cursor:
        cursor.execute(statement, parameters)
        result: Any = cursor._result  # `description` takes bytes for text
        fields: Sequence[Any] = result.fields
        return [
            Field(
                field.name,
                field.type_code,
                field.length,
                field.scale,
                bool(field.flags & FLAG.UNSIGNED),
                field.charsetnr == _BINARY_CHARACTERS,
                bool(field.flags & (FLAG.ENUM | FLAG.SET)),
                bool(field.org_table),
            )
            for field in fields
        ]
