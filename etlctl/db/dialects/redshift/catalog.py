"""What a Redshift database tells about its tables, and the making of a marker table; loads nothing.

The questions are those that PostgreSQL 8.0's catalog answers, which Redshift's is made of. A temporary table is never a
target, nor is a table of another database or of Spectrum, which that catalog does not list.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import ColumnType
from etlctl.db.dialects.base import TableColumn, TableName
from etlctl.db.dialects.postgresql import catalog as postgresql_catalog
from etlctl.db.dialects.redshift.values import BYTES_PER_CHARACTER, type_of
from etlctl.db.words import in_quotes, quoted

LONGEST_ID = 1024
"""Characters of an update_id or target_table."""
_KEYS = ("update_id", "target_table")
_COLUMNS = sa.text(
    """
    SELECT a.attname, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.atthasdef
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = :name AND c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname NOT LIKE 'pg_temp%'
      AND ((:schema <> '' AND n.nspname = :schema) OR (:schema = '' AND pg_catalog.pg_table_is_visible(c.oid)))
      AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
    """
)


def table_columns(connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
    """Columns in the table's order, or None when there is no such table."""
    place = {"name": str(name.name), "schema": "" if name.schema is None else str(name.schema)}
    found = connection.execute(_COLUMNS, place).all()
    return [
        TableColumn(column, type_of(type_oid, modifier), declared, not not_null, has_default=default)
        for column, type_oid, modifier, declared, not_null, default in found
    ] or None


def query_columns(connection: sa.Connection, query: str, parameters: Any) -> list[tuple[str, ColumnType | None]]:
    """Names and types of what a query returns; it is planned and not run."""
    return postgresql_catalog.query_columns(connection, query, parameters, known=type_of)


# -- the marker table


def marker_statements(connection: sa.Connection, table: sa.Table) -> list[str]:
    """What makes the marker table, each statement by itself, where it is not there yet.

    No primary key is declared: it would bind nobody but the planner, to which 'a' and 'a ' are the same text.
    """
    quote = connection.dialect.identifier_preparer.quote_identifier
    statements = []
    if table.schema is not None:
        statements.append(f"CREATE SCHEMA IF NOT EXISTS {quote(table.schema)}")
    columns = ", ".join(f"{quote(column.name)} {_words(column)}" for column in table.columns)
    place = in_quotes(_name_of(table), connection)
    statements.append(f"CREATE TABLE IF NOT EXISTS {place} ({columns}) DISTSTYLE ALL SORTKEY (update_id)")
    return statements


def adopt_markers(connection: sa.Connection, table: sa.Table) -> None:
    """See `Dialect.adopt_markers`: our columns are added, one by one; Luigi's stay as they are."""
    name = _name_of(table)
    place = in_quotes(name, connection)
    quote = connection.dialect.identifier_preparer.quote_identifier
    there = {column.name.lower() for column in table_columns(connection, name) or ()}
    for column in table.columns:
        if column.name not in there:
            connection.exec_driver_sql(f"ALTER TABLE {place} ADD COLUMN {quote(column.name)} {_words(column)}")
    connection.exec_driver_sql(f"UPDATE {place} SET target_table = '' WHERE target_table IS NULL")  # noqa: S608  quoted


def marker_place(connection: sa.Connection, table: sa.Table) -> str:
    """The marker table as SQL text."""
    return in_quotes(_name_of(table), connection)


def _name_of(table: sa.Table) -> TableName:
    return TableName(None if table.schema is None else quoted(table.schema), quoted(table.name))


def _words(column: sa.Column[object]) -> str:
    if column.name in _KEYS:
        return f"VARCHAR({LONGEST_ID * BYTES_PER_CHARACTER}) NOT NULL"
    match column.type:
        case sa.Text():
            return "VARCHAR(65535)"
        case sa.String():
            return f"VARCHAR({(column.type.length or LONGEST_ID) * BYTES_PER_CHARACTER})"
        case sa.BigInteger():
            return "BIGINT"
        case sa.DateTime():
            return "TIMESTAMP"
    raise TypeError(f"the marker table has a column {column.name} of an unknown type")
