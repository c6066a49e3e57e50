"""The marker table on MySQL and MariaDB: made, and adopted from Luigi. Inserts no row; every statement here commits.

Ids are kept with a binary collation without padding: `a`, `A` and `a ` are three of them, as on the other databases.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from etlctl.db.dialects.base import TableName
from etlctl.db.dialects.mysql import catalog as mysql_catalog
from etlctl.db.dialects.mysql.values import LONGEST_ID

_ID = f"VARCHAR({LONGEST_ID})"
_WORDS = {
    "update_id": _ID,
    "target_table": _ID,
    "inserted": "DATETIME(6)",
    "inputs": "LONGTEXT",
}
"""Where they are not what SQLAlchemy says for the column."""
_KEY = ("update_id", "target_table")


def create(connection: sa.Connection, table: sa.Table, collation: str) -> None:
    """See `Dialect.create_markers`."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    if table.schema is not None and not mysql_catalog.has_database(connection, table.schema):
        connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS {quote(table.schema)} CHARACTER SET utf8mb4")
    columns = [f"{quote(column.name)} {_words(connection, column, collation)}" for column in table.columns]
    key = ", ".join(map(quote, _KEY))
    connection.exec_driver_sql(
        f"CREATE TABLE {_place(connection, table)} ({', '.join(columns)}, PRIMARY KEY ({key})) "
        f"ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}"
    )


def adopt(connection: sa.Connection, table: sa.Table, collation: str) -> None:
    """See `Dialect.adopt_markers`.

    One ALTER TABLE does it all, which the server carries out whole or not at all; before it NULL goes out of
    target_table, where a key cannot have it. `inserted` and an `id` of Luigi's stay as they are, with their defaults:
    so Luigi goes on writing.
    """
    quote = connection.dialect.identifier_preparer.quote_identifier
    place = _place(connection, table)
    name = TableName(table.schema, table.name)  # type: ignore[arg-type]  # both are quoted names
    there = {column.name.lower() for column in mysql_catalog.table_columns(connection, name) or ()}
    keys = mysql_catalog.unique_keys(connection, name)
    if "target_table" in there:
        connection.exec_driver_sql(f"UPDATE {place} SET target_table = '' WHERE target_table IS NULL")  # noqa: S608  quoted
    changes = []
    for column in table.columns:
        if column.name.lower() not in there:
            changes.append(f"ADD COLUMN {quote(column.name)} {_words(connection, column, collation)}")
        elif column.name in _KEY:
            changes.append(f"MODIFY COLUMN {quote(column.name)} {_words(connection, column, collation)}")
    if frozenset(_KEY) not in keys or frozenset(("update_id",)) in keys:
        changes += _new_key(connection, name, quote)
    connection.exec_driver_sql(f"ALTER TABLE {place} {', '.join(changes)}, ENGINE=InnoDB")


def _new_key(connection: sa.Connection, name: TableName, quote: Any) -> list[str]:
    """The pair becomes the primary key; nothing else keeps update_id alone unique."""
    indexes = mysql_catalog.unique_indexes(connection, name)
    alone = [index for index, columns in indexes.items() if columns == frozenset(("update_id",))]
    changes = ["DROP PRIMARY KEY"] if "PRIMARY" in indexes else []
    changes += [f"DROP INDEX {quote(index)}" for index in alone if index != "PRIMARY"]
    return [*changes, f"ADD PRIMARY KEY ({', '.join(map(quote, _KEY))})"]


def _words(connection: sa.Connection, column: sa.Column[Any], collation: str) -> str:
    words = _WORDS.get(column.name) or column.type.compile(connection.dialect)
    if column.name not in _KEY:
        return words
    default = " DEFAULT ''" if column.name == "target_table" else ""
    return f"{words} CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL{default}"


def _place(connection: sa.Connection, table: sa.Table) -> str:
    quote = connection.dialect.identifier_preparer.quote_identifier
    return ".".join(quote(part) for part in (table.schema, table.name) if part is not None)
