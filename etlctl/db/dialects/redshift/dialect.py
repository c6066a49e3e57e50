"""Amazon Redshift as a Dialect: its connections, its marker lock, its staging by way of S3. psycopg2 speaks to it.

Redshift enforces no key and has no savepoints. So every write transaction of ours begins with `LOCK` of the marker
table, before anything is read: the snapshot that a transaction sees is taken at its first query, and the marker that
another one has just committed must be in it. The lock is the target's as well, and that of CREATE TABLE. Rows are
copied into a temporary table before it is taken, so that it is held for an INSERT … SELECT and no longer.

Sessions. Each is set up when it is opened: UTC, ISO dates, statement_timeout. One that user code has had is closed
afterwards, since Redshift has no DISCARD.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import Column, ColumnType
from etlctl.db.dialects.base import Options, Records, Staged, TableColumn, TableName
from etlctl.db.dialects.objects import Unloaded
from etlctl.db.dialects.postgresql import catalog as postgresql_catalog
from etlctl.db.dialects.postgresql.dialect import place_of
from etlctl.db.dialects.redshift import catalog as redshift_catalog
from etlctl.db.dialects.redshift import connection as redshift_connection
from etlctl.db.dialects.redshift import errors as redshift_errors
from etlctl.db.dialects.redshift import lock as redshift_lock
from etlctl.db.dialects.redshift import sessions as redshift_sessions
from etlctl.db.dialects.redshift import staging as redshift_staging
from etlctl.db.dialects.redshift import values as redshift_values
from etlctl.db.dialects.redshift.sessions import with_port
from etlctl.db.dialects.redshift.statements import Form
from etlctl.db.words import checked_name, quoted
from etlctl.errors import EtlctlError, LoadError, SettingsError
from etlctl.text import shortened

_SCHEMES = ("redshift", "redshift+psycopg2")
_NAME_BYTES = 127
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
        return redshift_sessions.make_engine(url, options)

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
        return place_of(with_port(url)) == place_of(with_port(other))

    def prepare_to_write(self, url: str) -> None:
        """Nothing: a database is made by those who run the server."""

    # -- a load

    def lock_markers(self, connection: sa.Connection, markers: sa.Table) -> None:
        """See `Dialect.lock_markers`."""
        redshift_lock.lock_markers(connection, markers)

    def bounded_wait(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """See `Dialect.bounded_wait`."""
        return redshift_lock.bounded_wait(connection)

    def open_staging(self, connection: sa.Connection) -> None:
        """The session is used for nothing else."""
        redshift_sessions.give_no_further(connection)

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """See `Dialect.stage_records`."""
        from etlctl.db.dialects.redshift import copy as redshift_copy

        return redshift_copy.stage_records(connection, name, columns, records)

    def check_copy(self, *, format: str, paths: str, options: Mapping[str, Any]) -> None:
        """See `CopiesObjects.check_copy`."""
        from etlctl.db.dialects.redshift import objects as redshift_objects

        redshift_objects.check_copy(Form(format, paths, options))

    def stage_objects(
        self,
        connection: sa.Connection,
        name: str,
        columns: Sequence[Column],
        objects: Sequence[tuple[str, int]],
        *,
        format: str = "csv",
        paths: str = "auto",
        options: Mapping[str, Any] | None = None,
        constants: Mapping[Column, Any] | None = None,
    ) -> Staged:
        """See `CopiesObjects.stage_objects`."""
        from etlctl.db.dialects.redshift import objects as redshift_objects

        form = Form(format, paths, options or {})
        return redshift_objects.stage_objects(connection, name, columns, objects, form, constants or {})

    def can_unload(self, query: str, types: Sequence[ColumnType | None]) -> bool:
        """See `Unloads.can_unload`."""
        from etlctl.db.dialects.redshift import unload as redshift_unload

        return redshift_unload.can_unload(query, types)

    def unload(
        self,
        connection: sa.Connection,
        query: str,
        parameters: Any,
        prefix: str,
        *,
        format: str = "csv",
        options: Mapping[str, Any] | None = None,
        columns: Sequence[tuple[str, ColumnType | None]] = (),
    ) -> list[Unloaded]:
        """See `Unloads.unload`."""
        from etlctl.db.dialects.redshift import unload as redshift_unload

        form = Form(format, options=options or {})
        return redshift_unload.unload(connection, query, parameters, prefix, form, columns)

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
        return postgresql_catalog.as_columns(redshift_catalog.query_columns(connection, query, parameters))

    def result_types(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[ColumnType | None]:
        """See `Dialect.result_types`."""
        return [type_ for _, type_ in redshift_catalog.query_columns(connection, query, parameters)]

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
