"""Any other database that SQLAlchemy speaks to, by what is alike in all of them: correct where it works, and plain.

Rows go in by batches of INSERT, the marker's key is a primary key like any other, and types are SQLAlchemy's. What only
a dialect of its own can have is missing: the guard sees what goes through SQLAlchemy alone, no lock keeps two loads
that replace the same rows apart, and a marker table of Luigi's must get its key by hand. The database needs
transactions, savepoints and CREATE TEMPORARY TABLE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema, CreateTable

from etlctl.db.columns import BadValueError, Column, ColumnType
from etlctl.db.dialects.base import (
    AUTOCOMMIT,
    WRITE,
    BadRecordError,
    EnforcesKeys,
    Options,
    Records,
    Staged,
    TableColumn,
    TableName,
)
from etlctl.db.dialects.generic import guard as generic_guard
from etlctl.db.dialects.generic.errors import translated
from etlctl.db.dialects.generic.types import known_type, sqlalchemy_type, type_of_values
from etlctl.db.values import to_value
from etlctl.db.words import checked_name, named_table, quoted, table_name
from etlctl.errors import EtlctlError, LoadError, SettingsError, TransientError

_BATCH = 1_000
_SAMPLE = 1_000
"""Rows looked at for the types of a query: drivers have no common words for them."""
_READ_COMMITTED = "READ COMMITTED"
_PLACEHOLDER = re.compile(r"%%|%\((\w+)\)s")


class GenericDialect(EnforcesKeys):
    """See `Dialect`, and the module. SettingsError for a scheme that SQLAlchemy does not know."""

    ids_per_query = 500
    longest_id: int | None = 255
    stages_outside = False
    has_transactional_ddl = False
    refuses_commit = False

    def __init__(self, scheme: str, shown: str) -> None:
        self._shown = shown
        self.name = scheme.partition("+")[0]
        try:
            self._class = sa.make_url(f"{scheme}://").get_dialect()
        except (sa.exc.NoSuchModuleError, sa.exc.ArgumentError) as error:
            raise SettingsError(
                f"{shown}: {scheme} is no database that is known here. URLs begin with sqlite:///, postgresql://, "
                "mysql:// or mariadb://, or with the words of a SQLAlchemy dialect that is installed."
            ) from error

    # -- opening

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        """A connection per use and none kept: a temporary table then ends with its load. SettingsError without the
        driver. `options` are the driver's own matter: its URL takes them."""
        try:
            engine = sa.create_engine(url, hide_parameters=True, poolclass=NullPool)
        except ImportError as error:
            raise SettingsError(
                f"{self._shown}: the driver of {self.name} is not installed ({error}). Install it with pip."
            ) from error

        @event.listens_for(engine, "set_connection_execution_options")
        def _options_set(_: sa.Connection, given: dict[str, Any]) -> None:
            if given.get(AUTOCOMMIT):
                given["isolation_level"] = "AUTOCOMMIT"
            elif given.get(WRITE) and _READ_COMMITTED in _isolation_levels(engine):
                given["isolation_level"] = _READ_COMMITTED  # so that another's marker, and a new table, is seen

        @event.listens_for(engine, "before_cursor_execute", retval=True)
        def _executes(_: Any, __: Any, statement: str, values: Any, context: Any, ___: Any) -> tuple[str, Any]:
            if getattr(context, "compiled", None) is None and isinstance(values, Mapping):
                return in_paramstyle(statement, values, engine.dialect.paramstyle)
            return statement, values

        generic_guard.listen(engine)
        return engine

    def table_name(self, table: str) -> TableName:
        """See `Dialect.table_name`."""
        schema, dot, name = table.partition(".")
        parts = (schema, name) if dot else (table,)
        for part in parts:
            self._check(part, "a table")
        return table_name(parts[-1], parts[0] if dot else None)

    def checked_column(self, name: str, table: str) -> str:
        """See `Dialect.checked_column`."""
        self._check(name, f"a column of {table}")
        return name

    def _check(self, name: str, what: str) -> None:
        checked_name(name, what)
        longest = self._class.max_identifier_length
        if len(name) > longest:
            raise LoadError(f"{name!r} cannot be the name of {what}: it is longer than {longest} characters.")

    def is_absent(self, url: str) -> bool:
        """Never, as far as can be told."""
        return False

    def is_same(self, url: str, other: str) -> bool:
        """Whether the two URLs are equal."""
        return url == other

    def prepare_to_write(self, url: str) -> None:
        """Nothing."""

    # -- a load

    def open_staging(self, connection: sa.Connection) -> None:
        """Nothing: temporary tables need no room made."""

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """See `Dialect.stage_records`."""
        made = self._create_staging(connection, name, columns)
        sent = self._insert(connection, made, records)
        rows = connection.execute(sa.select(sa.func.count()).select_from(made)).scalar_one()
        _check_count(sent, rows)
        return Staged(self._clause(name, columns), tuple(column.name for column in columns), rows)

    def insert_records(self, connection: sa.Connection, table: str, records: Records) -> int:
        """See `Dialect.insert_records`."""
        columns = (*records.columns, *(records.constants or {}))
        return self._insert(connection, self._table(self.table_name(table), columns), records)

    def stage_query(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any
    ) -> Staged:
        """See `Dialect.stage_query`."""
        made = self._create_staging(connection, name, columns)
        quote = connection.dialect.identifier_preparer.quote_identifier
        names = ", ".join(quote(column.name) for column in columns)
        connection.exec_driver_sql(f"INSERT INTO {quote(name)} ({names}) {query}", parameters)
        rows = connection.execute(sa.select(sa.func.count()).select_from(made)).scalar_one()
        return Staged(self._clause(name, columns), tuple(column.name for column in columns), rows)

    def query_columns(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[Column]:
        """The types are those of the values in the first rows; text where there are none."""
        result = connection.exec_driver_sql(query, parameters)
        names, rows = list(result.keys()), result.fetchmany(_SAMPLE)
        result.close()
        return [
            Column(name, type_of_values({type(row[index]) for row in rows} - {type(None)}))
            for index, name in enumerate(names)
        ]

    def result_types(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[ColumnType | None]:
        """None for each."""
        probe = f"SELECT * FROM (\n{query}\n) etlctl_probe WHERE 1 = 0"  # noqa: S608  the query is the user's own
        return [None] * len(list(connection.exec_driver_sql(probe, parameters).keys()))

    def drop_staged(self, connection: sa.Connection, staged: Staged) -> None:
        """Empties it: to drop it would commit on some databases, and the session ends soon."""
        connection.execute(sa.delete(staged.table))

    def fit_staged(self, connection: sa.Connection, table: str, staged: Staged) -> None:
        """Nothing: what the database converts by itself has to do."""

    def insert_staged(self, connection: sa.Connection, table: str, staged: Staged) -> int:
        """See `Dialect.insert_staged`."""
        target = named_table(self.table_name(table), staged.columns)
        rows = sa.select(*(staged.table.c[name] for name in staged.columns))
        return connection.execute(sa.insert(target).from_select(list(staged.columns), rows)).rowcount

    def ids_among(self, column: sa.ColumnElement[str], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Dialect.ids_among`."""
        return column.in_(ids)

    def insert_marker(self, connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """See `Dialect.insert_marker`; in a savepoint, since on some databases an error breaks the transaction."""
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table).values(values))
        except sa.exc.IntegrityError:
            key = (column == values[column.name] for column in table.primary_key)
            if connection.execute(sa.select(sa.func.count()).select_from(table).where(*key)).scalar_one():
                return False
            raise
        return True

    def guard(self, connection: sa.Connection) -> AbstractContextManager[generic_guard.GenericGuard]:
        """See `Dialect.guard`; what user code says to the driver itself is not seen."""
        return generic_guard.guarding(connection)

    # -- tables

    def lock_target(self, connection: sa.Connection, table: str, part: str | None) -> None:
        """Nothing: there is no such lock that all databases have."""

    @contextmanager
    def lock_for_ddl(self, connection: sa.Connection) -> Iterator[None]:
        """No lock, but TransientError where another process made the same thing first: it is there the next time."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            if re.search("exist|duplicate", str(error.orig), re.IGNORECASE):
                raise TransientError(f"another process was making the same table ({error.orig}).") from error
            raise

    def table_columns(self, connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
        """See `Dialect.table_columns`."""
        try:
            found = sa.inspect(connection).get_columns(str(name.name), schema=_text(name.schema))
        except sa.exc.NoSuchTableError:
            return None
        return [
            TableColumn(one["name"], known_type(one["type"]), str(one["type"]), one.get("nullable", True))
            for one in found
        ] or None

    def unique_keys(self, connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
        """See `Dialect.unique_keys`."""
        inspector, table, schema = sa.inspect(connection), str(name.name), _text(name.schema)
        keys: list[Iterable[str | None]] = [inspector.get_pk_constraint(table, schema)["constrained_columns"]]
        keys += [one["column_names"] for one in inspector.get_unique_constraints(table, schema)]
        keys += [one["column_names"] for one in inspector.get_indexes(table, schema) if one["unique"]]
        whole = [[column for column in key if column is not None] for key in keys if key and None not in key]
        return [frozenset(column.lower() for column in key) for key in whole]

    def is_partitioned(self, connection: sa.Connection, name: TableName) -> bool:
        """No."""
        return False

    def table_options(self, connection: sa.Connection) -> Mapping[str, Any]:
        """None."""
        return {}

    def type_ddl(self, column_type: ColumnType, *, is_key: bool = False) -> str:
        """See `Dialect.type_ddl`."""
        return sqlalchemy_type(column_type, is_key=is_key).compile(self._class())

    def stored(self, column_type: ColumnType, value: object) -> Any:
        """See `Dialect.stored`; instants are kept in UTC."""
        return self.bound(to_value(column_type, value))

    def bound(self, value: object) -> Any:
        """See `Dialect.bound`."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def create_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.create_markers`."""
        if table.schema is not None and not sa.inspect(connection).has_schema(table.schema):
            connection.execute(CreateSchema(table.schema))
        connection.execute(CreateTable(table))

    def adopt_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """Adds our columns. LoadError where the key is not that of the pair, which no statement changes everywhere."""
        name = TableName(table.schema, table.name)  # type: ignore[arg-type]  # both are quoted names
        pair = frozenset(column.name for column in table.primary_key)
        keys = self.unique_keys(connection, name)
        if pair not in keys or frozenset(("update_id",)) in keys:
            raise LoadError(
                f"the marker table {table.name} has another primary key than (update_id, target_table). Give it this "
                "one by hand, or name another marker_table in the settings."
            )
        there = {column.name.lower() for column in self.table_columns(connection, name) or ()}
        quote = connection.dialect.identifier_preparer.quote_identifier
        place = ".".join(quote(part) for part in (table.schema, table.name) if part is not None)
        for column in table.columns:
            if column.name.lower() not in there:
                words = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {place} ADD {quote(column.name)} {words}")

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """See `Dialect.translated`."""
        return translated(error, doing=doing, shown_url=shown_url)

    # -- rows

    def _create_staging(self, connection: sa.Connection, name: str, columns: Sequence[Column]) -> sa.Table:
        made = self._table(table_name(name), columns, prefixes=["TEMPORARY"])
        connection.execute(CreateTable(made))
        return made

    def _clause(self, name: str, columns: Sequence[Column]) -> sa.TableClause:
        return named_table(table_name(name), (column.name for column in columns))

    def _table(self, name: TableName, columns: Iterable[Column], **options: Any) -> sa.Table:
        """With types, by which SQLAlchemy hands values to the driver."""
        parts = [sa.Column(quoted(one.name), sqlalchemy_type(one.type), nullable=one.nullable) for one in columns]
        return sa.Table(name.name, sa.MetaData(), *parts, schema=name.schema, **options)

    def _insert(self, connection: sa.Connection, table: sa.Table, records: Records) -> int:
        constants = {column.name: value for column, value in (records.constants or {}).items()}
        rows, sent = self._converted(records), 0
        while batch := [constants | row for row in islice(rows, _BATCH)]:
            wrote = connection.execute(sa.insert(table), batch).rowcount
            if connection.dialect.supports_sane_multi_rowcount:
                _check_count(len(batch), wrote)
            sent += len(batch)
            if records.progress is not None:
                records.progress(sent)
        return sent

    def _converted(self, records: Records) -> Iterator[dict[str, Any]]:
        nulls = None if records.null_values is None else frozenset(records.null_values)
        for number, record in enumerate(records.rows):
            row = {}
            for column, value in zip(records.columns, record, strict=True):
                try:
                    row[column.name] = self._field(column, value, nulls)
                except BadValueError as error:
                    raise BadRecordError(number, error.in_column(column)) from error
            yield row

    def _field(self, column: Column, value: Any, nulls: frozenset[str] | None) -> Any:
        kept = value if nulls is None else None if value in nulls else self.stored(column.type, value)
        if kept is None and not column.nullable:
            raise BadValueError(None, "(NULL) where the table says NOT NULL", column)
        return kept


def in_paramstyle(statement: str, values: Mapping[str, Any], style: str) -> tuple[str, Any]:
    """A statement with `%(name)s`, as db/sqltext.py writes it, and its values, as a driver of `style` takes them."""
    if style == "pyformat":
        return statement, values
    order: list[str] = []

    def placed(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%%" if style == "format" else "%"
        order.append(name)
        return {"format": "%s", "qmark": "?", "numeric": f":{len(order)}"}.get(style, f":{name}")

    written = _PLACEHOLDER.sub(placed, statement)
    return written, dict(values) if style == "named" else tuple(values[name] for name in order)


def _isolation_levels(engine: sa.Engine) -> Sequence[str]:
    try:
        return engine.dialect.get_isolation_level_values(None)  # type: ignore[arg-type]  # no dialect looks at it
    except NotImplementedError:
        return ()


def _text(name: str | None) -> str | None:
    return None if name is None else str(name)


def _check_count(sent: int, wrote: int) -> None:
    if sent != wrote:
        raise LoadError(f"{sent} rows were sent, and the database wrote {wrote}; nothing was kept.")
