"""How a session with PostgreSQL begins, what it is told, and how it is handed to the next user; knows no load."""

from __future__ import annotations

import os
import socket
from select import POLLIN, poll
from time import monotonic
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy import event

from etlctl.db.dialects.base import AUTOCOMMIT, LEFT_CLEAN, WRITE, Options
from etlctl.db.dialects.postgresql import errors as postgresql_errors
from etlctl.db.dialects.postgresql import guard as postgresql_guard
from etlctl.db.dialects.postgresql.waiting import Waiter
from etlctl.errors import UnavailableError

NAME_BYTES = 63
"""The longest name that the server keeps."""
_OLDEST = 120000  # the oldest that has all we ask for; older ones are out of support for years
_IDLE_IN_TRANSACTION_MS = 3_600_000
_ALIVE_S = 0.5
"""For how long a session that was given back clean is handed out again without being asked whether it lives."""


def client_options(options: Options) -> dict[str, Any]:
    """What libpq is told of a session; the URL may say otherwise."""
    return {
        "application_name": _application_name(),
        "connect_timeout": max(2, round(options.connect_timeout_s)),  # libpq takes 1 for 2
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }


def _application_name() -> str:
    """`etlctl:host:pid`, cut in the middle where the server would cut the end."""
    pid = f":{os.getpid()}"
    host = socket.gethostname().encode("ascii", "replace").decode()
    return f"etlctl:{host[: NAME_BYTES - len('etlctl:') - len(pid)]}{pid}"


def session_sql(options: Options) -> str:
    """The statements that set a session up; run as one question."""
    settings = {
        "TimeZone": "'UTC'",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "standard_conforming_strings": "on",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "lock_timeout": f"{round(options.lock_timeout_s * 1000)}",
        "tcp_keepalives_idle": "60",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "6",
    }
    if options.statement_timeout_s is not None:
        settings["statement_timeout"] = f"{round(options.statement_timeout_s * 1000)}"
    statements = [f"SET {name} TO {value}" for name, value in settings.items()]
    statements.append(
        f"SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', '{_IDLE_IN_TRANSACTION_MS}', false) "
        "WHERE pg_catalog.current_setting('idle_in_transaction_session_timeout') = '0'"
    )
    statements.append(
        "SELECT pg_catalog.set_config('search_path', "
        "pg_catalog.concat_ws(', ', nullif(pg_catalog.current_setting('search_path'), ''), 'pg_temp'), "
        "false) WHERE pg_catalog.current_setting('search_path') !~ 'pg_temp'"
    )
    return "; ".join(statements)


_CLEAN = (
    "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; "
    "SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP"
)
"""As DISCARD ALL, which cannot be run together with others."""


def listen_for_sessions(engine: sa.Engine, session_sql: str) -> None:
    """Sets sessions up, at their beginning and each time one is handed out again."""

    @event.listens_for(engine, "do_connect")
    def _connect(_: Any, __: Any, arguments: Any, options: Any) -> Any:
        try:
            return Waiter().call(None, psycopg2.connect, *arguments, **options)
        except psycopg2.Error as error:
            raise postgresql_errors.ConnectError(*error.args) from error

    @event.listens_for(engine, "connect")
    def _connected(raw: postgresql_guard.Connection, record: Any) -> None:
        if raw.server_version < _OLDEST:
            raise UnavailableError(
                f"The server is PostgreSQL {raw.server_version // 10000}; loads need {_OLDEST // 10000} or newer."
            )
        raw.run_alone(session_sql)
        record.info[LEFT_CLEAN] = monotonic()

    @event.listens_for(engine, "checkout")
    def _checked_out(raw: postgresql_guard.Connection, record: Any, _: Any) -> None:
        given_back = record.info.pop(LEFT_CLEAN, None)
        if given_back is not None and monotonic() - given_back < _ALIVE_S and not _has_news(raw):
            return
        try:
            raw.run_alone(f"{_CLEAN}; {session_sql}")
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise sa.exc.DisconnectionError("the connection was lost while it was not used") from error


def _has_news(raw: postgresql_guard.Connection) -> bool:
    """Whether the server has said anything to an idle session: that it ends, as a rule. Asks it nothing."""
    if raw.closed:
        return True
    socket_of_it = poll()
    socket_of_it.register(raw.fileno(), POLLIN)
    return bool(socket_of_it.poll(0))


def listen_for_options(engine: sa.Engine) -> None:
    """Obeys our execution options by the driver's own means."""

    @event.listens_for(engine, "set_connection_execution_options")
    def _options_set(_: sa.Connection, options: dict[str, Any]) -> None:
        if options.get(AUTOCOMMIT):
            options["isolation_level"] = "AUTOCOMMIT"
        elif options.get(WRITE):
            options["isolation_level"] = "READ COMMITTED"
