"""Staging tables of PostgreSQL: made, filled by a query, emptied into the target. Rows are streamed by others.

They are temporary tables of the transaction (ON COMMIT DROP), written without a log of the server's, and always named
by their schema: a bare name could be that of a user's table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import Column
from etlctl.db.dialects.base import Staged, TableColumn, TableName
from etlctl.db.dialects.postgresql import values as postgresql_values
from etlctl.db.words import in_quotes, named_table, quoted

STAGING = "pg_temp"
"""The schema of staging tables: the session's own."""


def create_staging(connection: sa.Connection, name: str, columns: Sequence[Column]) -> sa.TableClause:
    """Makes the table `name` of `columns`, inside the transaction that it goes with; as a table for statements.

    NOT NULL is left to the target, whose refusal names it.
    """
    quote = connection.dialect.identifier_preparer.quote_identifier
    body = ", ".join(f"{quote(column.name)} {postgresql_values.ddl(column.type)}" for column in columns)
    place = _place(name)
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {in_quotes(place, connection)} ({body}) ON COMMIT DROP")
    return named_table(place, (column.name for column in columns))


def stage_query(connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any) -> Staged:
    """See `Dialect.stage_query`."""
    return filled_by(connection, create_staging(connection, name, columns), _place(name), query, parameters)


def filled_by(
    connection: sa.Connection, staged: sa.TableClause, place: TableName, query: str, parameters: Any
) -> Staged:
    """The staging table `staged`, which is at `place`, with the rows of a query in it, column by column."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    names = tuple(str(column.name) for column in staged.c)
    into = f"INSERT INTO {in_quotes(place, connection)} ({', '.join(map(quote, names))})\n"
    return Staged(staged, names, connection.exec_driver_sql(into + query, parameters).rowcount)


def fit_staged(connection: sa.Connection, existing: Sequence[TableColumn], staged: Staged) -> None:
    """See `Dialect.fit_staged`; `existing` are the target's columns."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    foreign = {column.name: column.declared.replace("%", "%%") for column in existing if column.type is None}
    changes = [
        f"ALTER COLUMN {quote(name)} TYPE {foreign[name]} USING {quote(name)}::{foreign[name]}"
        for name in staged.columns
        if name in foreign
    ]
    if changes:
        connection.exec_driver_sql(
            f"ALTER TABLE {in_quotes(_place(staged.table.name), connection)} {', '.join(changes)}"
        )


def insert_staged(connection: sa.Connection, target: TableName, staged: Staged) -> int:
    """See `Dialect.insert_staged`."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    names = ", ".join(quote(name) for name in staged.columns)
    source = in_quotes(_place(staged.table.name), connection)
    statement = f"INSERT INTO {in_quotes(target, connection)} ({names}) SELECT {names} FROM {source}"  # noqa: S608  quoted
    return connection.exec_driver_sql(statement).rowcount


def drop_staged(connection: sa.Connection, staged: Staged) -> None:
    """See `Dialect.drop_staged`."""
    connection.exec_driver_sql(f"DROP TABLE {in_quotes(_place(staged.table.name), connection)}")


def _place(name: str) -> TableName:
    return TableName(quoted(STAGING), quoted(name))
