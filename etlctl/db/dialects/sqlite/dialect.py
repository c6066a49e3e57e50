"""SQLite as a Dialect: its connections, its staging in an attached temporary database, its tables.

Transactions. The driver begins none of its own (`isolation_level=None`); every one that writes says BEGIN IMMEDIATE, so
that a writer waits for the lock at its first word and never finds out half-way, where waiting would be a deadlock.

The journal mode of a warehouse is left as it is found. A mode is kept in the file, and the file is the user's: with
the default rollback journal it stays one file that can be copied, mailed and put on a network disk, none of which
holds for WAL. Both work; under the rollback journal a reader waits while a load is being written to the file, for the
half second that a staged load takes.

Staging. `ATTACH ''` gives a database that lives in memory and spills to a temporary file when it grows. Rows are
written and converted there before the write lock is taken, and then copied by one INSERT … SELECT.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateTable

from etlctl.db.columns import Column, ColumnType
from etlctl.db.dialects.base import AUTOCOMMIT, WRITE, EnforcesKeys, Options, Records, Staged, TableColumn, TableName
from etlctl.db.dialects.sqlite import catalog as sqlite_catalog
from etlctl.db.dialects.sqlite import errors as sqlite_errors
from etlctl.db.dialects.sqlite import guard as sqlite_guard
from etlctl.db.dialects.sqlite import settling as sqlite_settling
from etlctl.db.dialects.sqlite import staging as sqlite_staging
from etlctl.db.dialects.sqlite import values as sqlite_values
from etlctl.db.dialects.sqlite import waiting as sqlite_waiting
from etlctl.db.dialects.sqlite.staging import STAGING
from etlctl.db.words import checked_name, in_quotes, named_table, table_name, table_of
from etlctl.errors import EtlctlError, UnavailableError
from etlctl.settings.urls import sqlite_file

_OLDEST = (3, 35)  # UPDATE … FROM came with 3.33, the maths of conversions with 3.35


class SQLiteDialect(EnforcesKeys):
    """See `Dialect`."""

    name = "sqlite"
    ids_per_query = 10_000  # 32,766 parameters are allowed since 3.32
    longest_id: int | None = 255  # said for those who read the schema; SQLite itself keeps any
    stages_outside = True
    has_transactional_ddl = True
    refuses_commit = False  # the authorizer does

    # -- opening

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        """A file gets a connection per use and none kept: a kept one would hold a file that was deleted or replaced."""
        if sqlite3.sqlite_version_info < _OLDEST:
            raise UnavailableError(
                f"Python's SQLite is {sqlite3.sqlite_version}; loads need 3.35 or newer. Use a newer Python."
            )
        parsed = sa.make_url(url)
        in_memory = sqlite_file(url) is None
        engine = sa.create_engine(
            parsed,
            hide_parameters=True,
            poolclass=StaticPool if in_memory else NullPool,
            pool_reset_on_return="rollback" if in_memory else None,
            # no statement is kept prepared: the guard is asked when one is prepared, and one that is run again after
            # SQLite itself has ended the transaction would commit by itself; executemany() is one statement anyway
            connect_args={"check_same_thread": False, "cached_statements": 0}
            | ({} if "timeout" in parsed.query else {"timeout": options.lock_timeout_s}),
        )

        @event.listens_for(engine, "connect")
        def _connected(raw: sqlite3.Connection, _: Any) -> None:
            raw.isolation_level = None
            sqlite_waiting.make_interruptible(raw)

        @event.listens_for(engine, "begin")
        def _begun(connection: sa.Connection) -> None:
            options = connection.get_execution_options()
            if not options.get(AUTOCOMMIT):
                sqlite_waiting.begin(connection.connection.driver_connection, writes=bool(options.get(WRITE)))

        sqlite_guard.listen(engine)
        return engine

    def table_name(self, table: str) -> TableName:
        """A dot is part of the name: SQLite has no schemas."""
        return table_name(checked_name(table, "a table"), sqlite_catalog.TARGETS)

    def checked_column(self, name: str, table: str) -> str:
        """See `Dialect.checked_column`."""
        return checked_name(name, f"a column of {table}")

    def is_absent(self, url: str) -> bool:
        """Whether the file does not exist; a database in memory always does."""
        file = sqlite_file(url)
        try:
            return file is not None and not file.exists()
        except OSError:  # a folder that may not be looked into: opening the file tells it in better words
            return False

    def is_same(self, url: str, other: str) -> bool:
        """Whether both have one file, by whatever path or link."""
        first, second = sqlite_file(url), sqlite_file(other)
        return first is not None and second is not None and _real(first) == _real(second)

    def prepare_to_write(self, url: str) -> None:
        """Makes the folder of the file."""
        file = sqlite_file(url)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)

    # -- a load

    def open_staging(self, connection: sa.Connection) -> None:
        """ATTACH precedes BEGIN: inside a transaction the database could not be given a journal mode."""
        raw: Any = connection.connection.driver_connection
        if any(row[1] == STAGING for row in raw.execute("PRAGMA database_list")):
            return  # the one connection of a database in memory comes back with it
        raw.execute(f"ATTACH '' AS {STAGING}")
        # a journal on disk would make the commit of the warehouse one over two files; in memory it stays small, since
        # a new table has no old pages, and a savepoint that holds a staging table can still be rolled back
        raw.execute(f"PRAGMA {STAGING}.journal_mode = memory")

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """See `Dialect.stage_records`; the SQL around each value converts it while SQLite inserts it."""
        raw: Any = connection.connection.driver_connection
        staged = _staging_table(name, columns)
        owns_transaction = not raw.in_transaction
        if owns_transaction:
            raw.execute("BEGIN")  # of the staging database only, since nothing else is touched
        try:
            raw.execute(self._create_table_sql(name, columns, STAGING))
            rows = self._insert_records(connection, raw, staged, records)
            if owns_transaction:
                raw.execute("COMMIT")
        except BaseException:
            if owns_transaction and raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
        return Staged(staged, tuple(column.name for column in columns), rows)

    def _insert_records(
        self, connection: sa.Connection, raw: sqlite3.Connection, staged: sa.TableClause, records: Records
    ) -> int:
        inserts = sqlite_staging.Inserts(raw, connection.dialect.identifier_preparer, staged, records)
        return inserts.insert_all(records.rows)

    def stage_query(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any
    ) -> Staged:
        """See `Dialect.stage_query`."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        staged = _staging_table(name, columns)
        connection.exec_driver_sql(self._create_table_sql(name, columns, STAGING))
        names = ", ".join(quote(column.name) for column in columns)
        into = f"INSERT INTO {STAGING}.{quote(name)} ({names})\n"
        wrote = connection.exec_driver_sql(into + query, parameters).rowcount
        raw: Any = connection.connection.driver_connection
        sqlite_settling.settle(connection, raw, staged, columns)
        return Staged(staged, tuple(column.name for column in columns), wrote)

    def query_columns(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[Column]:
        """See `Dialect.query_columns`."""
        return sqlite_catalog.query_columns(connection, query, parameters, without_parameters=without_parameters)

    def result_types(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[ColumnType | None]:
        """See `Dialect.result_types`; an expression has none."""
        return [column.type for column in sqlite_catalog.declared_columns(connection, without_parameters)]

    def drop_staged(self, connection: sa.Connection, staged: Staged) -> None:
        """See `Dialect.drop_staged`."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        connection.exec_driver_sql(f"DROP TABLE {STAGING}.{quote(staged.table.name)}")

    def fit_staged(self, connection: sa.Connection, table: str, staged: Staged) -> None:
        """Nothing: a column takes any value."""

    def insert_staged(self, connection: sa.Connection, table: str, staged: Staged) -> int:
        """`SELECT *` where the columns are the target's own, which SQLite then copies page by page (its transfer
        optimization, sqlite3/src/insert.c) if nothing about the two tables differs."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        name = self.table_name(table)
        target = [column.name.lower() for column in sqlite_catalog.table_columns(connection, name) or ()]
        source = f"{STAGING}.{quote(staged.table.name)}"
        into = in_quotes(name, connection)
        names = ", ".join(map(quote, staged.columns))
        if target == [name.lower() for name in staged.columns]:
            statement = f"INSERT INTO {into} SELECT * FROM {source}"  # noqa: S608  names are quoted
        else:
            statement = f"INSERT INTO {into} ({names}) SELECT {names} FROM {source}"  # noqa: S608  as above
        return connection.exec_driver_sql(statement).rowcount

    def insert_records(self, connection: sa.Connection, table: str, records: Records) -> int:
        """By way of a staging table, whose conversions they need."""
        columns = [*records.columns, *(records.constants or {})]
        staged = self.stage_records(connection, f"records_{secrets.token_hex(4)}", columns, records)
        wrote = self.insert_staged(connection, table, staged)
        self.drop_staged(connection, staged)
        return wrote

    def ids_among(self, column: sa.ColumnElement[str], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Dialect.ids_among`."""
        return column.in_(ids)

    def insert_marker(self, connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """See `Dialect.insert_marker`."""
        return connection.execute(_claim_of(table), values).rowcount == 1

    def guard(self, connection: sa.Connection) -> AbstractContextManager[sqlite_guard.SQLiteGuard]:
        """See `Dialect.guard`."""
        return sqlite_guard.guarding(connection)

    # -- tables

    def lock_target(self, connection: sa.Connection, table: str, part: str | None) -> None:
        """Nothing: see `lock_for_ddl`."""

    def lock_for_ddl(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Nothing: BEGIN IMMEDIATE has the whole database already."""
        return nullcontext()

    def table_columns(self, connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
        """See `Dialect.table_columns`."""
        return sqlite_catalog.table_columns(connection, name)

    def unique_keys(self, connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
        """See `Dialect.unique_keys`."""
        return sqlite_catalog.unique_keys(connection, name)

    def is_partitioned(self, connection: sa.Connection, name: TableName) -> bool:
        """No."""
        return False

    def table_options(self, connection: sa.Connection) -> Mapping[str, Any]:
        """See `Dialect.table_options`."""
        return {}

    def type_ddl(self, column_type: ColumnType, *, is_key: bool = False) -> str:
        """See `Dialect.type_ddl`."""
        return sqlite_values.ddl(column_type)

    def stored(self, column_type: ColumnType, value: object) -> Any:
        """See `Dialect.stored`."""
        return sqlite_values.stored(column_type, value)

    def bound(self, value: object) -> Any:
        """See `Dialect.bound`."""
        return sqlite_values.bound(value)

    def create_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.create_markers`."""
        table.create(connection)

    def adopt_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.adopt_markers`."""
        sqlite_catalog.adopt_markers(connection, table)

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """See `Dialect.translated`."""
        return sqlite_errors.translated(error, doing=doing, shown_url=shown_url)

    def _create_table_sql(self, name: str, columns: Sequence[Column], schema: str) -> str:
        table = table_of(table_name(name, schema), columns, self)
        return str(CreateTable(table).compile(dialect=sqlite_dialect()))


@lru_cache(maxsize=32)
def _claim_of(markers: sa.Table) -> sa.Insert:
    """INSERT of a marker, made once: many small loads would spend much of their time making statements."""
    return insert(markers).on_conflict_do_nothing()


def _real(path: Path) -> tuple[int, int] | Path:
    try:
        status = path.stat()
    except OSError:  # not there yet
        return path.resolve()
    return status.st_dev, status.st_ino


def _staging_table(name: str, columns: Sequence[Column]) -> sa.TableClause:
    return named_table(table_name(name, STAGING), (column.name for column in columns))
