"""Amazon Redshift as a Dialect: its connections, its marker lock, its staging by way of S3. psycopg2 speaks to it.

Redshift enforces no key and has no savepoints. So every write transaction of ours begins with `LOCK` of the marker
table, before anything is read: the snapshot that a transaction sees is taken at its first query, and the marker that
another one has just committed must be in it. The lock is the target's as well, and that of CREATE TABLE. Rows are
copied into a temporary table before it is taken, so that it is held for an INSERT … SELECT and no longer.

Sessions. Each is set up when it is opened: UTC, ISO dates, statement_timeout. One that user code has had is closed
afterwards, since Redshift has no DISCARD.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from etlctl.db.columns import Column, ColumnType
from etlctl.db.dialects import guarding
from etlctl.db.dialects.base import AUTOCOMMIT, Options, Records, Staged, TableColumn, TableName
from etlctl.db.dialects.postgresql import catalog as postgresql_catalog
from etlctl.db.dialects.postgresql.dialect import client_options, place_of
from etlctl.db.dialects.postgresql.errors import ConnectError
from etlctl.db.dialects.postgresql.guard import Connection, driver_connection
from etlctl.db.dialects.postgresql.waiting import Waiter
from etlctl.db.dialects.redshift import catalog as redshift_catalog
from etlctl.db.dialects.redshift import connection as redshift_connection
from etlctl.db.dialects.redshift import errors as redshift_errors
from etlctl.db.dialects.redshift import staging as redshift_staging
from etlctl.db.dialects.redshift import values as redshift_values
from etlctl.db.dialects.redshift.statements import redacted
from etlctl.db.words import checked_name, quoted
from etlctl.errors import EtlctlError, LoadError, LockTimeoutError, SettingsError
from etlctl.text import shortened

_SCHEMES = ("redshift", "redshift+psycopg2")
_NAME_BYTES = 127
_PORT = 5439
_KEPT_CONNECTIONS = 2
_TRIES = 20
"""To make the marker table, where others do so at the same moment."""
_NO_TABLE = ("42P01", "3F000")
_NO_RIGHT = "42501"
_CANCELLED = "57014"
_CAPITALS = {ord(capital): capital.lower() for capital in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class RedshiftDialect:
    """See `Dialect`."""

    name = "redshift"
    ids_per_query = 5_000
    longest_id: int | None = redshift_catalog.LONGEST_ID
    stages_outside = True
    has_transactional_ddl = True
    refuses_commit = False
    enforces_keys = False
    has_savepoints = False
    units_per_character = redshift_values.BYTES_PER_CHARACTER

    def __init__(self, scheme: str = "redshift", shown: str = "") -> None:
        if scheme not in _SCHEMES:
            driver = scheme.partition("+")[2]
            raise SettingsError(f"{shown}: {driver} is not the driver that loads are made with. Write redshift://…")
        if find_spec("sqlalchemy_redshift") is None:
            raise SettingsError(
                f'{shown}: Redshift needs sqlalchemy-redshift, which is not installed: pip install "etlctl[redshift]"'
            )

    # -- opening

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        """See `Dialect.make_engine`."""
        parsed = _with_port(url).set(drivername="redshift+psycopg2")
        given = {name: value for name, value in client_options(options).items() if name not in parsed.query}
        engine = sa.create_engine(
            parsed,
            hide_parameters=True,
            poolclass=QueuePool,
            pool_size=_KEPT_CONNECTIONS,
            max_overflow=-1,
            pool_use_lifo=True,
            use_native_hstore=False,
            execution_options={redshift_connection.OPTIONS: options},
            connect_args=given
            | {"connection_factory": redshift_connection.RedshiftConnection, "client_encoding": "utf8"},
        )
        _listen_for_sessions(engine, _session_sql(options))
        _listen_for_statements(engine)
        guarding.listen(engine)
        return engine

    def table_name(self, table: str) -> TableName:
        """See `Dialect.table_name`. In small letters, which is what Redshift makes of a name, quoted or not."""
        checked_name(table, "a table")
        schema, dot, name = table.rpartition(".")
        if "." in schema:
            raise LoadError(
                f"{table!r} cannot be the name of a table: it has more than one dot. A schema may stand before one."
            )
        if dot and not (schema and name):
            raise LoadError(f"{table!r} cannot be the name of a table: nothing stands on one side of the dot.")
        for part in (schema, name):
            _refuse_long(part, "a table or schema")
        folded = quoted(name.translate(_CAPITALS))
        return TableName(quoted(schema.translate(_CAPITALS)) if dot else None, folded)

    def checked_column(self, name: str, table: str) -> str:
        """See `Dialect.checked_column`."""
        checked_name(name, f"a column of {table}")
        _refuse_long(name, f"a column of {table}")
        return name

    def is_absent(self, url: str) -> bool:
        """False: a server is asked, and tells itself that it has no such database."""
        return False

    def is_same(self, url: str, other: str) -> bool:
        """Whether host, port and database are the same, whoever the user is."""
        return place_of(_with_port(url)) == place_of(_with_port(other))

    def prepare_to_write(self, url: str) -> None:
        """Nothing: a database is made by those who run the server."""

    # -- a load

    def lock_markers(self, connection: sa.Connection, markers: sa.Table) -> None:
        """See `Dialect.lock_markers`; made outside the transaction where it is missing, which then begins anew."""
        raw, options = driver_connection(connection), redshift_connection.options_of(connection)
        place = redshift_catalog.marker_place(connection, markers)
        for number in range(_TRIES):
            try:
                _lock(raw, place, options)
            except psycopg2.Error as error:
                raw.rollback()
                if error.pgcode == _CANCELLED:
                    raise LockTimeoutError(
                        f"another load held the marker table {shortened(markers.name)} for longer than lock_timeout "
                        f"({options.lock_timeout_s:g} s). svv_transactions tells which session."
                    ) from error
                if error.pgcode not in _NO_TABLE or number == _TRIES - 1:
                    raise
            else:
                return
            _make(raw, redshift_catalog.marker_statements(connection, markers))

    def open_staging(self, connection: sa.Connection) -> None:
        """Takes the session out of the pool: its temporary tables and settings end with it."""
        connection.detach()

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """See `Dialect.stage_records`."""
        from etlctl.db.dialects.redshift import copy as redshift_copy

        return redshift_copy.stage_records(connection, name, columns, records)

    def insert_records(self, connection: sa.Connection, table: str, records: Records) -> int:
        """By way of a staging table."""
        columns = [*records.columns, *(records.constants or {})]
        staged = self.stage_records(connection, f"records_{secrets.token_hex(4)}", columns, records)
        wrote = self.insert_staged(connection, table, staged)
        self.drop_staged(connection, staged)
        return wrote

    def stage_query(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any
    ) -> Staged:
        """See `Dialect.stage_query`."""
        return redshift_staging.stage_query(connection, name, columns, query, parameters)

    def query_columns(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[Column]:
        """See `Dialect.query_columns`."""
        return postgresql_catalog.as_columns(postgresql_catalog.query_columns(connection, query, parameters))

    def result_types(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[ColumnType | None]:
        """See `Dialect.result_types`."""
        return [type_ for _, type_ in postgresql_catalog.query_columns(connection, query, parameters)]

    def drop_staged(self, connection: sa.Connection, staged: Staged) -> None:
        """See `Dialect.drop_staged`."""
        redshift_staging.drop_staged(connection, staged)

    def fit_staged(self, connection: sa.Connection, table: str, staged: Staged) -> None:
        """Nothing: what Redshift converts by itself has to do."""

    def insert_staged(self, connection: sa.Connection, table: str, staged: Staged) -> int:
        """See `Dialect.insert_staged`."""
        return redshift_staging.insert_staged(connection, self.table_name(table), staged)

    def ids_among(self, column: sa.ColumnElement[str], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Dialect.ids_among`."""
        return column.in_(ids)

    def insert_marker(self, connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """See `Dialect.insert_marker`: asked for first, under the lock that this transaction began with.

        The pairs are compared here: to Redshift, 'a' and 'a ' are the same text.
        """
        pair = values["update_id"], values["target_table"]
        for text in pair:
            _refuse_long_id(text)
        query = sa.select(table.c.update_id, table.c.target_table).where(table.c.update_id == pair[0])
        if any(tuple(row) == pair for row in connection.execute(query)):
            return False
        connection.execute(sa.insert(table).values(values))
        return True

    def guard(self, connection: sa.Connection) -> AbstractContextManager[redshift_connection.RedshiftGuard]:
        """See `Dialect.guard`."""
        return redshift_connection.guarding(connection)

    # -- tables

    def lock_target(self, connection: sa.Connection, table: str, part: str | None) -> None:
        """Nothing: the lock of the markers, which this transaction has, is every target's."""

    def lock_for_ddl(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Nothing: see `lock_target`."""
        return nullcontext()

    def table_columns(self, connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
        """See `Dialect.table_columns`."""
        return redshift_catalog.table_columns(connection, name)

    def unique_keys(self, connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
        """None: a key is a hint for the planner, and nothing is refused for its sake."""
        return []

    def is_partitioned(self, connection: sa.Connection, name: TableName) -> bool:
        """No."""
        return False

    def table_options(self, connection: sa.Connection) -> Mapping[str, Any]:
        """None."""
        return {}

    def type_ddl(self, column_type: ColumnType, *, is_key: bool = False) -> str:
        """See `Dialect.type_ddl`."""
        return redshift_values.ddl(column_type)

    def stored(self, column_type: ColumnType, value: object) -> Any:
        """See `Dialect.stored`."""
        return redshift_values.stored(column_type, value)

    def bound(self, value: object) -> Any:
        """See `Dialect.bound`."""
        return redshift_values.bound(value)

    def create_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.create_markers`."""
        for statement in redshift_catalog.marker_statements(connection, table):
            connection.exec_driver_sql(statement)

    def adopt_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.adopt_markers`."""
        redshift_catalog.adopt_markers(connection, table)

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """See `Dialect.translated`."""
        return redshift_errors.translated(error, doing=doing, shown_url=shown_url)


# -- sessions


def _with_port(url: str) -> sa.URL:
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


def _listen_for_statements(engine: sa.Engine) -> None:
    """Obeys our execution options, and keeps credentials in a user's own COPY out of errors."""

    @event.listens_for(engine, "set_connection_execution_options")
    def _options_set(connection: sa.Connection, options: dict[str, Any]) -> None:
        if options.get(AUTOCOMMIT):
            options["isolation_level"] = "AUTOCOMMIT"
            connection.detach()  # what user code sets in the session ends with it

    @event.listens_for(engine, "handle_error")
    def _redact(context: sa.engine.ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if error is not None and error.statement is not None:
            error.statement = redacted(error.statement)


def _refuse_long(name: str, what: str) -> None:
    size = len(name.encode())
    if size > _NAME_BYTES:
        raise LoadError(
            f"{name!r} cannot be the name of {what}: it has {size} bytes, and Redshift keeps {_NAME_BYTES}. Shorten it."
        )


def _refuse_long_id(text: str) -> None:
    if len(text) > redshift_catalog.LONGEST_ID:
        raise LoadError(
            f"{shortened(text)!r} has {len(text)} characters, and the marker table on Redshift holds "
            f"{redshift_catalog.LONGEST_ID}: shorten the update_id, or the table's name."
        )


# -- the lock


def _lock(raw: Connection, place: str, options: Options) -> None:
    """LOCK, for lock_timeout at most: Redshift has no such setting, so statement_timeout is lent to it.

    Neither SET nor LOCK takes the transaction's snapshot; they are its first statements.
    """
    after = "RESET statement_timeout"
    if options.statement_timeout_s is not None:
        after = f"SET statement_timeout TO {round(options.statement_timeout_s * 1000)}"
    with raw.cursor() as cursor:
        cursor.execute(f"SET statement_timeout TO {round(options.lock_timeout_s * 1000)}")
        cursor.execute(f"LOCK TABLE {place}")
        cursor.execute(after)


def _make(raw: Connection, statements: Sequence[str]) -> None:
    """Runs them outside any transaction. Of several processes that do so at once some may meet an error of the catalog;
    whether the table is there is seen by who locks it."""
    for statement in statements:
        try:
            raw.run_alone(statement)
        except psycopg2.Error as error:
            if error.pgcode == _NO_RIGHT or not error.pgcode:
                raise
            time.sleep(random.uniform(0.01, 0.2))  # noqa: S311  no secret
