"""The engine of a Redshift database: how its sessions are opened, set up and handed out again. Loads nothing."""

from __future__ import annotations

from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from etlctl.db.dialects import guarding
from etlctl.db.dialects.base import AUTOCOMMIT, Options
from etlctl.db.dialects.postgresql.errors import ConnectError
from etlctl.db.dialects.postgresql.guard import Connection
from etlctl.db.dialects.postgresql.sessions import client_options
from etlctl.db.dialects.postgresql.waiting import Waiter
from etlctl.db.dialects.redshift.connection import OPTIONS, RedshiftConnection
from etlctl.db.dialects.redshift.redaction import redacted

_PORT = 5439
_KEPT_CONNECTIONS = 2
_USED = "etlctl_is_used"


def make_engine(url: str, options: Options) -> sa.Engine:
    """See `Dialect.make_engine`."""
    parsed = with_port(url).set(drivername="redshift+psycopg2")
    given = {name: value for name, value in client_options(options).items() if name not in parsed.query}
    engine = sa.create_engine(
        parsed,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=-1,
        pool_use_lifo=True,
        use_native_hstore=False,
        execution_options={OPTIONS: options},
        connect_args=given | {"connection_factory": RedshiftConnection, "client_encoding": "utf8"},
    )
    _listen_for_sessions(engine, _session_sql(options))
    _listen_for_statements(engine)
    guarding.listen(engine)
    return engine


def with_port(url: str) -> sa.URL:
    """Redshift listens where PostgreSQL does not."""
    parsed = sa.make_url(url)
    return parsed.set(port=_PORT) if parsed.port is None and "port" not in parsed.query else parsed


def _session_sql(options: Options) -> str:
    """The statements that set a session up; run as one question."""
    statements = ["SET TimeZone TO 'UTC'", "SET DateStyle TO 'ISO, YMD'", "SET extra_float_digits TO 2"]
    if options.statement_timeout_s is not None:
        statements.append(f"SET statement_timeout TO {round(options.statement_timeout_s * 1000)}")
    return "; ".join(statements)


def _listen_for_sessions(engine: sa.Engine, session_sql: str) -> None:
    """Sets sessions up, and sees that one which is handed out again still lives."""

    @event.listens_for(engine, "do_connect")
    def _connect(_: Any, __: Any, arguments: Any, options: Any) -> Any:
        try:
            return Waiter().call(None, psycopg2.connect, *arguments, **options)
        except psycopg2.Error as error:
            raise ConnectError(*error.args) from error

    @event.listens_for(engine, "connect")
    def _connected(raw: Connection, record: Any) -> None:
        raw.run_alone(session_sql)
        record.info["etlctl_is_fresh"] = True

    @event.listens_for(engine, "checkout")
    def _checked_out(raw: Connection, record: Any, _: Any) -> None:
        if record.info.pop("etlctl_is_fresh", False):
            return
        try:
            raw.run_alone("SELECT 1")
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise sa.exc.DisconnectionError("the connection was lost while it was not used") from error

    @event.listens_for(engine, "checkin")
    def _checked_in(_: Any, record: Any) -> None:
        if record.info.pop(_USED, False):
            record.invalidate()


def give_no_further(connection: sa.Connection) -> None:
    """The session is closed when it is given back: temporary tables, and what user code has set, end with it."""
    connection.info[_USED] = True


def _listen_for_statements(engine: sa.Engine) -> None:
    """Obeys our execution options, and keeps credentials in a user's own COPY out of errors."""

    @event.listens_for(engine, "set_connection_execution_options")
    def _options_set(connection: sa.Connection, options: dict[str, Any]) -> None:
        if options.get(AUTOCOMMIT):
            options["isolation_level"] = "AUTOCOMMIT"
            give_no_further(connection)

    @event.listens_for(engine, "handle_error")
    def _redact(context: sa.engine.ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if error is not None and error.statement is not None:
            error.statement = redacted(error.statement)
