"""What a SQLite database tells about its tables, and the rebuild of an older marker table; loads nothing.

Names are looked for in the `main` database only: a temporary or attached table of the same name is not the target,
though SQLite takes a bare name for the temporary one first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import Column, ColumnType, Kind, parse_type
from etlctl.db.dialects.base import TableColumn, TableName
from etlctl.db.words import table_name

TARGETS = "main"
"""The database of targets and markers, among those of a connection."""
_SAMPLE = 1000  # rows looked at for the type of an expression, which SQLite itself does not have
_OLD_ROWS = "etlctl_old_markers"
_PROBE = "etlctl_probe"


def table_columns(connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
    """Columns in the table's order, or None when there is no such table."""
    rows = connection.exec_driver_sql(
        'SELECT name, type, "notnull", pk, dflt_value IS NOT NULL FROM pragma_table_info(?, ?) ORDER BY cid',
        (str(name.name), str(name.schema)),
    ).all()
    keys = [words.upper() for _, words, _, pk, _ in rows if pk]
    is_rowid = keys == ["INTEGER"]  # then the key counts by itself: sqlite.org/lang_createtable.html#rowid
    return [
        TableColumn(column, _parsed(words), words, not (not_null or pk), has_default=bool(default or (pk and is_rowid)))
        for column, words, not_null, pk, default in rows
    ] or None


def unique_keys(connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
    """The primary key and the columns of each whole unique index, names in lower case."""
    found, table = [], str(name.name)
    primary = connection.exec_driver_sql("SELECT name FROM pragma_table_info(?, 'main') WHERE pk > 0", (table,)).all()
    if primary:
        found.append(frozenset(name.lower() for (name,) in primary))
    indexes = connection.exec_driver_sql(
        "SELECT name FROM pragma_index_list(?, 'main') WHERE \"unique\" AND NOT partial", (table,)
    ).all()
    for (index,) in indexes:
        names = connection.exec_driver_sql("SELECT name FROM pragma_index_info(?, 'main')", (index,)).scalars().all()
        if None not in names:  # an index on an expression keeps no column unique
            found.append(frozenset(name.lower() for name in names))
    return found


def query_columns(connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str) -> list[Column]:
    """A view tells the declared type of a column that is taken as it is; an expression's type is seen in its values."""
    declared = declared_columns(connection, without_parameters)
    seen: list[ColumnType] = []
    if any(column.type is None for column in declared):
        rows = connection.exec_driver_sql(query, parameters).fetchmany(_SAMPLE)
        seen = [_type_of({type(row[index]) for row in rows}) for index in range(len(declared))]
    return [Column(column.name, column.type or seen[index]) for index, column in enumerate(declared)]


def declared_columns(connection: sa.Connection, without_parameters: str) -> list[TableColumn]:
    """What a query returns, as a view of it tells; the type of an expression is None.

    Needs no right to write, since the view is in the connection's own temporary database.
    """
    connection.exec_driver_sql(f"CREATE TEMP VIEW {_PROBE} AS\n{without_parameters}")
    try:
        return table_columns(connection, table_name(_PROBE, "temp")) or []
    finally:
        connection.exec_driver_sql(f"DROP VIEW temp.{_PROBE}")


def adopt_markers(connection: sa.Connection, table: sa.Table) -> None:
    """Makes `table` anew with the rows of the one that is there, its further columns, indexes and triggers."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    name = quote(table.name)
    old = table_columns(connection, table_name(table.name, TARGETS)) or []
    ours = {column.name.lower() for column in table.columns}
    surplus = [column for column in old if column.name.lower() not in ours]
    kept = [column.name for column in old]
    attached: Sequence[str] = (
        connection.exec_driver_sql(
            "SELECT sql FROM main.sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND type IN ('index', 'trigger') "
            "AND sql IS NOT NULL",
            (table.name,),
        )
        .scalars()
        .all()
    )

    connection.exec_driver_sql(f"CREATE TEMP TABLE {_OLD_ROWS} AS SELECT * FROM main.{name}")  # noqa: S608  quoted
    connection.exec_driver_sql(f"DROP TABLE main.{name}")
    table.create(connection)
    for column in surplus:
        connection.exec_driver_sql(f"ALTER TABLE main.{name} ADD COLUMN {quote(column.name)} {column.declared}")
    names = ", ".join(map(quote, kept))
    # Luigi lets target_table be NULL, a key does not
    values = ", ".join(f"coalesce({quote(n)}, '')" if n.lower() == "target_table" else quote(n) for n in kept)
    copy = f"INSERT INTO main.{name} ({names}) SELECT {values} FROM temp.{_OLD_ROWS}"  # noqa: S608  names are quoted
    connection.exec_driver_sql(copy)
    connection.exec_driver_sql(f"DROP TABLE temp.{_OLD_ROWS}")
    for statement in attached:
        connection.exec_driver_sql(statement)


def _parsed(words: str) -> ColumnType | None:
    try:
        return parse_type(words)
    except ValueError:
        return None


def _type_of(kinds: set[type]) -> ColumnType:
    """The type that takes values of these kinds: what SQLite keeps is the type of a value, not of an expression."""
    kinds = kinds - {type(None)}
    if not kinds:
        return ColumnType(Kind.NUMERIC)  # an expression that gave nothing yet; most are counts and means
    if kinds <= {int}:
        return ColumnType(Kind.INTEGER, bits=64)
    if kinds <= {int, float}:
        return ColumnType(Kind.FLOAT)
    return ColumnType(Kind.BYTES) if kinds == {bytes} else ColumnType(Kind.TEXT)
