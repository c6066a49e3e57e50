"""Staging tables of Redshift: temporary ones of the session, by a name that no other table has. Runs no COPY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import Column
from etlctl.db.dialects.base import Staged, TableName
from etlctl.db.dialects.postgresql.staging import filled_by
from etlctl.db.dialects.redshift import values as redshift_values
from etlctl.db.dialects.redshift.statements import identifier
from etlctl.db.words import TypeWords, in_quotes, named_table, table_name


def create_staging(connection: sa.Connection, name: str, columns: Sequence[Column]) -> sa.TableClause:
    """Makes the table `name` of `columns`, inside the open transaction; as a table for statements.

    It is gone with the session. NOT NULL is left to the target, whose refusal names it.
    """
    quote = connection.dialect.identifier_preparer.quote_identifier
    body = ", ".join(f"{quote(column.name)} {redshift_values.ddl(column.type)}" for column in columns)
    place = staged_name(name)
    connection.exec_driver_sql(f"CREATE TEMP TABLE {in_quotes(place, connection)} ({body})")
    return named_table(place, (column.name for column in columns))


def convert_staged(
    connection: sa.Connection,
    name: str,
    columns: Sequence[Column],
    values: Mapping[Column, sa.ColumnElement[Any]],
    constants: Mapping[Column, Any],
    source: sa.TableClause,
) -> sa.TableClause:
    """The staging table `name` of `columns`, each made of its value from `source` or a constant; `source` is gone."""
    staged = create_staging(connection, name, columns)
    made = dict(values)
    for column, value in constants.items():
        made[column] = sa.cast(sa.literal(value), TypeWords(redshift_values.ddl(column.type)))
    into = [staged.c[column.name] for column in made]
    connection.execute(sa.insert(staged).from_select(into, sa.select(*made.values()).select_from(source)))
    connection.exec_driver_sql(f"DROP TABLE {identifier(source.name)}")
    return staged


def staged_name(name: str) -> TableName:
    """Without a schema: a temporary table is found before any other."""
    return table_name(f"etlctl_{name}".lower())


def stage_query(connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any) -> Staged:
    """See `Dialect.stage_query`."""
    return filled_by(connection, create_staging(connection, name, columns), staged_name(name), query, parameters)


def insert_staged(connection: sa.Connection, target: TableName, staged: Staged) -> int:
    """See `Dialect.insert_staged`."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    names = ", ".join(quote(name) for name in staged.columns)
    source = quote(staged.table.name)
    statement = f"INSERT INTO {in_quotes(target, connection)} ({names}) SELECT {names} FROM {source}"  # noqa: S608  quoted
    return connection.exec_driver_sql(statement).rowcount


def drop_staged(connection: sa.Connection, staged: Staged) -> None:
    """See `Dialect.drop_staged`."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    connection.exec_driver_sql(f"DROP TABLE {quote(staged.table.name)}")
