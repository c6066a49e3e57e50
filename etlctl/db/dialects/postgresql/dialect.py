"""PostgreSQL as a Dialect: its connections, its staging in temporary tables, its locks. psycopg2 speaks to it.

Sessions. Each is set up alike when it is opened and whenever it is handed out again, in one question that also tells
whether it still lives: UTC, ISO dates, standard strings, and pg_temp at the end of the search path, so that a user's
temporary table never stands before a target. Temporary tables and settings that user code left behind are gone then.

A load is one transaction at READ COMMITTED, whatever the server's default: a marker that another transaction has just
written must be seen. `lock_timeout` and `statement_timeout` hold in every session of ours. A transaction that is open
and silent is ended by the server after an hour, where it has no limit of its own: user code may compute between two
statements for long, and a holder that is stopped should not stop others for ever. That a host is lost the server finds
out within two minutes, by keepalives of its own.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.pool import QueuePool

from etlctl.db.columns import Column, ColumnType
from etlctl.db.dialects import guarding
from etlctl.db.dialects.base import EnforcesKeys, Options, Records, Staged, TableColumn, TableName
from etlctl.db.dialects.postgresql import catalog as postgresql_catalog
from etlctl.db.dialects.postgresql import errors as postgresql_errors
from etlctl.db.dialects.postgresql import guard as postgresql_guard
from etlctl.db.dialects.postgresql import staging as postgresql_staging
from etlctl.db.dialects.postgresql import values as postgresql_values
from etlctl.db.dialects.postgresql.sessions import (
    NAME_BYTES,
    client_options,
    listen_for_options,
    listen_for_sessions,
    session_sql,
)
from etlctl.db.words import checked_name, quoted
from etlctl.errors import EtlctlError, LoadError, SettingsError

_KEPT_CONNECTIONS = 2
_SCHEMES = ("postgresql", "postgresql+psycopg2")


class PostgreSQLDialect(EnforcesKeys):
    """See `Dialect`."""

    name = "postgresql"
    ids_per_query = 10_000
    longest_id: int | None = None
    stages_outside = False
    has_transactional_ddl = True
    refuses_commit = True

    def __init__(self, scheme: str = "postgresql", shown: str = "") -> None:
        if scheme not in _SCHEMES:
            driver = scheme.partition("+")[2]
            raise SettingsError(f"{shown}: {driver} is not the driver that loads are made with. Write postgresql://…")

    # -- opening

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        """See `Dialect.make_engine`."""
        parsed = sa.make_url(url).set(drivername="postgresql+psycopg2")
        given = {name: value for name, value in client_options(options).items() if name not in parsed.query}
        engine = sa.create_engine(
            parsed,
            hide_parameters=True,
            poolclass=QueuePool,
            pool_size=_KEPT_CONNECTIONS,
            max_overflow=-1,
            pool_use_lifo=True,
            use_native_hstore=False,  # would cost a question for every session
            connect_args=given | {"connection_factory": postgresql_guard.Connection, "client_encoding": "utf8"},
        )
        listen_for_sessions(engine, session_sql(options))
        listen_for_options(engine)
        guarding.listen(engine)
        return engine

    def table_name(self, table: str) -> TableName:
        """See `Dialect.table_name`."""
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
        return TableName(quoted(schema) if dot else None, quoted(name))

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
        return place_of(url) == place_of(other)

    def prepare_to_write(self, url: str) -> None:
        """Nothing: a database is made by those who run the server."""

    # -- a load

    def open_staging(self, connection: sa.Connection) -> None:
        """Nothing: temporary tables need no room made."""

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """See `Dialect.stage_records`."""
        from etlctl.db.dialects.postgresql import copy as postgresql_copy  # what is only asked waits for neither

        return postgresql_copy.stage_records(connection, name, columns, records)

    def insert_records(self, connection: sa.Connection, table: str, records: Records) -> int:
        """See `Dialect.insert_records`."""
        from etlctl.db.dialects.postgresql import copy as postgresql_copy

        target = self.table_name(table)
        columns = [*(records.constants or ()), *records.columns]
        if not postgresql_catalog.copies_otherwise(connection, target, [column.name for column in columns]):
            return postgresql_copy.insert_records(connection, target, records)
        staged = postgresql_copy.stage_records(connection, f"view_{secrets.token_hex(4)}", columns, records)
        self.fit_staged(connection, table, staged)
        wrote = self.insert_staged(connection, table, staged)
        if wrote != staged.rows:
            raise LoadError(
                f"{staged.rows} rows were sent to {table}, and the database wrote {wrote}: a rule or a trigger keeps "
                "some back or adds some. Nothing was kept."
            )
        return wrote

    def stage_query(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any
    ) -> Staged:
        """See `Dialect.stage_query`."""
        return postgresql_staging.stage_query(connection, name, columns, query, parameters)

    def query_columns(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[Column]:
        """See `Dialect.query_columns`; the server knows the types of bound values too."""
        return postgresql_catalog.as_columns(postgresql_catalog.query_columns(connection, query, parameters))

    def result_types(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[ColumnType | None]:
        """See `Dialect.result_types`."""
        return [type_ for _, type_ in postgresql_catalog.query_columns(connection, query, parameters)]

    def drop_staged(self, connection: sa.Connection, staged: Staged) -> None:
        """See `Dialect.drop_staged`."""
        postgresql_staging.drop_staged(connection, staged)

    def fit_staged(self, connection: sa.Connection, table: str, staged: Staged) -> None:
        """See `Dialect.fit_staged`."""
        existing = postgresql_catalog.table_columns(connection, self.table_name(table)) or ()
        postgresql_staging.fit_staged(connection, existing, staged)

    def insert_staged(self, connection: sa.Connection, table: str, staged: Staged) -> int:
        """See `Dialect.insert_staged`."""
        return postgresql_staging.insert_staged(connection, self.table_name(table), staged)

    def can_copy(self, connection: sa.Connection, types: Sequence[ColumnType | None]) -> bool:
        """See `CopiesOut.can_copy`."""
        from etlctl.db.dialects.postgresql import dump as postgresql_dump

        return postgresql_dump.can_copy(connection, types)

    def copy_rows(
        self,
        connection: sa.Connection,
        query: str,
        parameters: Any,
        types: Sequence[ColumnType | None],
        write: Callable[[bytes], object],
        *,
        delimiter: str,
        null: str,
    ) -> int:
        """See `CopiesOut.copy_rows`."""
        from etlctl.db.dialects.postgresql import dump as postgresql_dump

        return postgresql_dump.copy_rows(connection, query, parameters, types, write, delimiter=delimiter, null=null)

    def ids_among(self, column: sa.ColumnElement[str], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Dialect.ids_among`: one array, which is parsed faster than a list."""
        return column == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Text())))

    def insert_marker(self, connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """See `Dialect.insert_marker`."""
        return connection.execute(_claim_of(table), values).rowcount == 1

    def guard(self, connection: sa.Connection) -> AbstractContextManager[postgresql_guard.PostgreSQLGuard]:
        """See `Dialect.guard`."""
        return postgresql_guard.guarding(connection)

    # -- tables

    def lock_target(self, connection: sa.Connection, table: str, part: str | None) -> None:
        """See `Dialect.lock_target`: a part shares the whole table with other parts, and has itself alone."""
        oid = postgresql_catalog.table_oid(connection, self.table_name(table))
        whole = f"etlctl:table:{table if oid is None else oid}"
        if part is None:
            _advisory_lock(connection, "pg_advisory_xact_lock", whole)
            return
        _advisory_lock(connection, "pg_advisory_xact_lock_shared", whole)
        _advisory_lock(connection, "pg_advisory_xact_lock", f"{whole}:{part}")

    @contextmanager
    def lock_for_ddl(self, connection: sa.Connection) -> Iterator[None]:
        """See `Dialect.lock_for_ddl`; held until the transaction ends. CREATE TABLE IF NOT EXISTS alone is no help:
        of two at once one fails in the catalog (23505)."""
        _advisory_lock(connection, "pg_advisory_xact_lock", "etlctl:ddl")
        yield

    def table_columns(self, connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
        """See `Dialect.table_columns`."""
        return postgresql_catalog.table_columns(connection, name)

    def unique_keys(self, connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
        """See `Dialect.unique_keys`."""
        return postgresql_catalog.unique_keys(connection, name)

    def is_partitioned(self, connection: sa.Connection, name: TableName) -> bool:
        """See `Dialect.is_partitioned`."""
        return postgresql_catalog.is_partitioned(connection, name)

    def table_options(self, connection: sa.Connection) -> Mapping[str, Any]:
        """None."""
        return {}

    def type_ddl(self, column_type: ColumnType, *, is_key: bool = False) -> str:
        """See `Dialect.type_ddl`."""
        return postgresql_values.ddl(column_type)

    def stored(self, column_type: ColumnType, value: object) -> Any:
        """See `Dialect.stored`."""
        return postgresql_values.stored(column_type, value)

    def bound(self, value: object) -> Any:
        """See `Dialect.bound`."""
        return postgresql_values.bound(value)

    def create_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.create_markers`."""
        postgresql_catalog.create_markers(connection, table)

    def adopt_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.adopt_markers`."""
        postgresql_catalog.adopt_markers(connection, table)

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """See `Dialect.translated`."""
        return postgresql_errors.translated(error, doing=doing, shown_url=shown_url)


@lru_cache(maxsize=32)
def _claim_of(markers: sa.Table) -> sa.Insert:
    """INSERT of a marker, made once: many small loads would spend much of their time making statements."""
    return insert(markers).on_conflict_do_nothing()


def place_of(url: str | sa.URL) -> tuple[object, ...]:
    """Where a URL leads, as far as its text tells; libpq's own defaults are filled in."""
    parsed = sa.make_url(url)
    local = ("localhost", "127.0.0.1", "::1")
    host = (parsed.host or "").lower()
    hosts = parsed.query.get("host", "")
    user = parsed.username or ""
    database = parsed.database or parsed.query.get("dbname") or user
    return "localhost" if host in local else host, hosts, parsed.port or 5432, parsed.query.get("port", ""), database


def _refuse_long(name: str, what: str) -> None:
    size = len(name.encode())
    if size > NAME_BYTES:
        raise LoadError(
            f"{name!r} cannot be the name of {what}: it has {size} bytes, and PostgreSQL keeps {NAME_BYTES}. "
            "Shorten it."
        )


def _advisory_lock(connection: sa.Connection, function: str, key: str) -> None:
    """Waits, for lock_timeout at most, for a lock that is no table's; held until the transaction ends."""
    if len(key) > 1000:
        key = hashlib.sha256(key.encode()).hexdigest()
    query = sa.text(f"SELECT pg_catalog.{function}(pg_catalog.hashtextextended(:key, 0))")
    connection.execute(query, {"key": key})
