"""Target tables: made when they are missing, given further columns when the load may; holds no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from etlctl.db.columns import MAX_LENGTH, Column, ColumnType, Kind
from etlctl.db.words import in_quotes, named_table, table_of
from etlctl.errors import LoadError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.dialects.base import TableColumn
    from etlctl.db.sessions import Session


def existing(connection: sa.Connection, database: Database, table: str) -> list[TableColumn] | None:
    """The columns of `table`, or None when there is no such table."""
    return database.dialect.table_columns(connection, database.dialect.table_name(table))


def create(
    connection: sa.Connection,
    database: Database,
    table: str,
    columns: Sequence[Column],
    *,
    unique: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> None:
    """Makes the table under the lock for DDL, unless another process has made it by then.

    `options` are of `words.table_of`.
    """
    with database.dialect.lock_for_ddl(connection):
        if existing(connection, database, table) is None:
            _create(connection, database, table, columns, unique, options)


def _create(
    connection: sa.Connection,
    database: Database,
    table: str,
    columns: Sequence[Column],
    unique: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> None:
    dialect = database.dialect
    given = {**dialect.table_options(connection), **(options or {})}
    connection.execute(CreateTable(table_of(dialect.table_name(table), columns, dialect, unique=unique, **given)))


def recreate(
    connection: sa.Connection,
    database: Database,
    table: str,
    columns: Sequence[Column],
    doing: str,
    *,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Inside a load: the table is empty and has exactly these columns. Dropped, its indexes and rights go with it.

    One that is partitioned is refused (LoadError): its parts would go. Where DDL commits, the table is emptied only,
    since DROP would commit the marker without the rows; LoadError when its columns are others.
    """
    if database.dialect.has_transactional_ddl:
        if database.dialect.is_partitioned(connection, database.dialect.table_name(table)):
            raise LoadError(
                f"{doing}: replace(recreate=True) would make a plain table of {shortened(table)}, which is "
                "partitioned, and its parts would go with it. Use replace, which empties it; or drop it yourself."
            )
        connection.exec_driver_sql(f"DROP TABLE {_in_quotes(connection, database, table)}")
        _create(
            connection, database, table, columns, options=options
        )  # dropped, it is ours: the lock would keep all others waiting
        return
    found = existing(connection, database, table) or []
    if _shape_of(found, database) != _shape_of(columns, database):
        raise LoadError(
            f"{doing}: replace(recreate=True) would have to change the columns of {shortened(table)}, and this "
            "database cannot do that in one transaction with the load and its marker. Drop the table before the "
            "load, which then makes it; or use replace with evolve = True."
        )
    connection.execute(sa.delete(named_table(database.dialect.table_name(table), ())))


def _shape_of(columns: Sequence[Column] | Sequence[TableColumn], database: Database) -> list[tuple[str, str | None]]:
    """Names and types, so far as the database tells them apart once the table is made: some keep json as text."""

    def words_of(type_: ColumnType | None) -> str | None:
        if type_ is None:
            return None
        return database.dialect.type_ddl(ColumnType(Kind.TEXT) if type_.kind is Kind.JSON else type_)

    return sorted((column.name, words_of(column.type)) for column in columns)


def refuse_change_inside(session: Session, table: str, doing: str) -> None:
    """LoadError inside an open transaction where DDL commits: the table may be in use in it, and ALTER would wait."""
    if session.host is not None and not session.database.dialect.has_transactional_ddl:
        raise LoadError(
            f"{doing}: {shortened(table)} lacks columns, and this database cannot add them inside an open "
            "transaction() or Sequence. Add them before, or run the load by itself once."
        )


def missing_columns(found: Sequence[TableColumn], columns: Sequence[Column]) -> list[Column]:
    """Those of `columns` that the table has not; names are compared without case, as databases do."""
    there = {column.name.lower() for column in found}
    return [column for column in columns if column.name.lower() not in there]


def refuse_missing(missing: Sequence[Column], table: str, doing: str) -> None:
    """LoadError when there are any."""
    if missing:
        names = ", ".join(shortened(column.name) for column in missing)
        plural = "s" if len(missing) > 1 else ""
        raise LoadError(
            f"{doing}: the table {shortened(table)} has no column{plural} {names}. Set evolve = True in the task to "
            "have it added, add it yourself, or take it out of columns."
        )


def add_columns(connection: sa.Connection, database: Database, table: str, columns: Sequence[Column]) -> None:
    """Adds those of `columns` that are not there by now, under the lock for DDL; rows that are there get NULL."""
    dialect = database.dialect
    quote = connection.dialect.identifier_preparer.quote_identifier
    target = _in_quotes(connection, database, table)
    with dialect.lock_for_ddl(connection):
        for column in missing_columns(existing(connection, database, table) or (), columns):
            name, words = quote(dialect.checked_column(column.name, table)), dialect.type_ddl(column.type)
            connection.exec_driver_sql(f"ALTER TABLE {target} ADD COLUMN {name} {words}")


def _in_quotes(connection: sa.Connection, database: Database, table: str) -> str:
    """As text of a statement that is run without parameters; in such a one no driver reads `%`."""
    return in_quotes(database.dialect.table_name(table), connection)


_KEPT_AS_TEXT_OF = frozenset(Kind) - {Kind.TEXT, Kind.JSON, Kind.BYTES}
_LOSING: dict[Kind, frozenset[Kind]] = {
    Kind.NUMERIC: frozenset((Kind.INTEGER,)),
    Kind.FLOAT: frozenset((Kind.INTEGER,)),
    Kind.TIMESTAMP: frozenset((Kind.DATE, Kind.TIME)),
    Kind.TIMESTAMPTZ: frozenset((Kind.DATE, Kind.TIME)),
    Kind.TEXT: _KEPT_AS_TEXT_OF,
}
"""By the kind that is declared, the kinds of a table's column that some database would round or cut its values to."""


def refuse_losing(found: Sequence[TableColumn], columns: Sequence[Column], table: str, doing: str) -> None:
    """LoadError when a table's own column is of another kind, into which some databases change values in silence."""
    there = {column.name.lower(): column for column in found}
    for column in columns:
        own = there.get(column.name.lower())
        if own is not None and own.type is not None and own.type.kind in _LOSING.get(column.type.kind, ()):
            raise LoadError(
                f"{doing}: the column {shortened(column.name)} of {shortened(table)} is {own.declared}, and columns "
                f"declares {column.type}, whose values would be changed on their way into it. Declare {own.type}, or "
                "change the table."
            )


def refuse_narrowing(
    found: Sequence[TableColumn], columns: Sequence[Column], table: str, doing: str, *, units: int = 1
) -> None:
    """LoadError when a declared type holds less than the table's column does: its rows would no longer fit.

    `units` are the dialect's `units_per_character`.
    """
    types = {column.name.lower(): column for column in found}
    for column in columns:
        there = types.get(column.name.lower())
        if there is not None and there.type is not None and is_narrower(_in_units(column.type, units), there.type):
            raise LoadError(
                f"{doing}: the column {shortened(column.name)} of {shortened(table)} is {there.declared}, and columns "
                f"declares the narrower {column.type}. evolve adds columns and narrows none; declare {there.type}, or "
                "rebuild the table."
            )


_WIDTH = {Kind.BOOLEAN: 0, Kind.INTEGER: 1, Kind.NUMERIC: 2, Kind.FLOAT: 2, Kind.TEXT: 9}


def is_narrower(new: ColumnType, old: ColumnType) -> bool:
    """Whether some value of `old` is none of `new`."""
    if new.kind is not old.kind:
        if new.kind is Kind.TEXT and new.length is None:
            return False
        return _WIDTH.get(new.kind, 5) < _WIDTH.get(old.kind, 5)
    if new.kind is Kind.INTEGER:
        return new.bits < old.bits
    if new.kind is Kind.TEXT:
        return _less(new.length, old.length)
    if new.kind is Kind.NUMERIC and new.precision is not None:
        if old.precision is None:
            return True
        before = old.precision - (old.scale or 0), old.scale or 0
        after = new.precision - (new.scale or 0), new.scale or 0
        return after[0] < before[0] or after[1] < before[1]
    return False


def _in_units(type_: ColumnType, units: int) -> ColumnType:
    return type_ if type_.length is None else replace(type_, length=min(type_.length * units, MAX_LENGTH))


def _less(new: int | None, old: int | None) -> bool:
    return new is not None and (old is None or new < old)
