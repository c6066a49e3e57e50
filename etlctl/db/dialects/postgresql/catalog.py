"""What a PostgreSQL database tells about its tables and queries, and the making of a marker table; loads nothing.

A temporary table is never a target: ours come first in the search path, and one that hides nothing is passed over here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.schema import CreateSchema, CreateTable

from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.db.dialects.base import TableColumn, TableName
from etlctl.db.dialects.postgresql.errors import LOADING_KEY
from etlctl.db.dialects.postgresql.values import type_of
from etlctl.db.words import in_quotes, quoted
from etlctl.errors import UnavailableError
from etlctl.text import shortened

TypeOf = Callable[[int, int], ColumnType | None]
"""`values.type_of`, or another server's."""

_FIND = """
    SELECT c.oid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = :name AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND CASE WHEN CAST(:schema AS text) IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
               ELSE n.nspname = :schema END
    """
_HIDDEN = sa.text(
    """
    SELECT n.nspname
    FROM pg_catalog.pg_namespace AS n
    WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND CASE WHEN CAST(:schema AS text) IS NOT NULL THEN n.nspname = :schema
               ELSE EXISTS (SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = :name)
                    AND n.nspname IN (SELECT pg_catalog.btrim(one, ' "') FROM pg_catalog.unnest(
                        pg_catalog.string_to_array(pg_catalog.current_setting('search_path'), ',')) AS one) END
    """
)
"""A schema that the user may not look into, where the table is, or would be."""
_COLUMNS = sa.text(
    f"""
    SELECT a.attname, t.typtype, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END,
           CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
           pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull OR t.typnotnull,
           a.attgenerated <> '', a.atthasdef OR a.attidentity <> ''
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = ({_FIND}) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
    """  # noqa: S608  texts of ours, names are bound
)
_UNIQUE = sa.text(
    f"""
    SELECT i.indexrelid, a.attname
    FROM pg_catalog.pg_index AS i
    CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE i.indrelid = ({_FIND}) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND k.place <= i.indnkeyatts
    """  # noqa: S608  texts of ours, names are bound
)


_OTHERWISE = sa.text(
    f"""
    SELECT c.relhasrules OR EXISTS (
        SELECT 1 FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attidentity = 'a' AND a.attname = ANY (:columns))
    FROM pg_catalog.pg_class AS c WHERE c.oid = ({_FIND})
    """  # noqa: S608  texts of ours, names are bound
)
_PARTITIONED = sa.text(f"SELECT relkind = 'p' OR relispartition FROM pg_catalog.pg_class WHERE oid = ({_FIND})")  # noqa: S608  as above


def table_oid(connection: sa.Connection, name: TableName) -> int | None:
    """The server's number for a table or view that a load can have as target, or None.

    UnavailableError where the user may not look: nobody could tell then whether it is there.
    """
    place = _place(name)
    found = connection.execute(sa.text(_FIND), place).scalar()
    if found is not None:
        return int(found)
    hidden = connection.execute(_HIDDEN, place).scalar()
    if hidden is not None:
        raise UnavailableError(
            f"permission denied for schema {hidden}, so nobody can tell whether {shortened(name.name)} is there. "
            "GRANT USAGE on the schema to the user of the connection, or name another user."
        )
    return None


def _place(name: TableName) -> dict[str, str | None]:
    return {"name": str(name.name), "schema": None if name.schema is None else str(name.schema)}


def copies_otherwise(connection: sa.Connection, name: TableName, columns: Sequence[str]) -> bool:
    """Whether COPY would not do what INSERT does: into a view, past a rule, over an identity that is always made."""
    return bool(connection.execute(_OTHERWISE, {**_place(name), "columns": list(columns)}).scalar())


def is_partitioned(connection: sa.Connection, name: TableName) -> bool:
    """Whether the table is made of partitions, or is one."""
    return bool(connection.execute(_PARTITIONED, _place(name)).scalar())


def table_columns(connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
    """Columns in the table's order, or None when there is no such table. A domain counts as what it is made of."""
    found = connection.execute(_COLUMNS, _place(name)).all()
    if not found:
        if table_oid(connection, name) is None:
            return None
        found = connection.execute(_COLUMNS, _place(name)).all()  # it may have been made between the two questions
    return [
        TableColumn(column, type_of(type_oid, modifier), declared, not not_null, generated, default and not generated)
        for column, _, type_oid, modifier, declared, not_null, generated, default in found
    ]


def unique_keys(connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
    """Columns of each whole unique index, names in lower case; a deferred constraint is one too: it holds at COMMIT."""
    keys: dict[int, set[str]] = {}
    for index, column in connection.execute(_UNIQUE, _place(name)):
        keys.setdefault(index, set()).add(column.lower())
    return [frozenset(names) for names in keys.values()]


# -- queries


def query_columns(
    connection: sa.Connection, query: str, parameters: Any, *, known: TypeOf = type_of
) -> list[tuple[str, ColumnType | None]]:
    """Names and types of what a query returns, from the server's description of it; it is planned and not run.

    `known` tells the type of the server's number of one and its modifier.
    """
    probe = f"SELECT * FROM (\n{query}\n) AS etlctl_query LIMIT 0"  # noqa: S608  the task's own text
    with connection.exec_driver_sql(probe, parameters) as result:
        description: Any = result.cursor.description if result.cursor is not None else ()
        return [(column.name, _described(column, known)) for column in description]


def _described(column: Any, known: TypeOf) -> ColumnType | None:
    """The type of a column of psycopg2's description, which gives the sizes apart from each other."""
    found = known(column.type_code, -1)
    if found is None:
        return None
    if found.kind is Kind.NUMERIC and column.precision is not None and column.precision < 0xFFFF:
        modifier = (column.precision << 16 | (column.scale or 0)) + 4
        return known(column.type_code, modifier)
    if found.kind is Kind.TEXT and column.type_code in (1042, 1043) and (column.internal_size or 0) > 0:
        return known(column.type_code, column.internal_size + 4)
    return found


def as_columns(described: Sequence[tuple[str, ColumnType | None]]) -> list[Column]:
    """Columns for a table that is made from a query; a type that is none of our words is kept as text."""
    return [Column(name, type_ or ColumnType(Kind.TEXT)) for name, type_ in described]


# -- the marker table


def create_markers(connection: sa.Connection, table: sa.Table) -> None:
    """See `Dialect.create_markers`."""
    name = TableName(None if table.schema is None else quoted(table.schema), quoted(table.name))
    if name.schema is not None and not _has_schema(connection, name.schema):
        connection.execute(CreateSchema(name.schema))
    connection.execute(CreateTable(_as_text(table)))
    _default_inserted(connection, in_quotes(name, connection))
    _add_loading_key(connection, name)


def adopt_markers(connection: sa.Connection, table: sa.Table) -> None:
    """See `Dialect.adopt_markers`; every step is one that an earlier version may have made already."""
    name = TableName(None if table.schema is None else quoted(table.schema), quoted(table.name))
    target = in_quotes(name, connection)
    quote = connection.dialect.identifier_preparer.quote_identifier
    found = {column.name.lower(): column for column in table_columns(connection, name) or ()}
    for column in _as_text(table).columns:
        if column.name in found:
            continue
        words = column.type.compile(connection.dialect)
        filled = " NOT NULL DEFAULT ''" if column.name == "target_table" else ""
        connection.exec_driver_sql(f"ALTER TABLE {target} ADD COLUMN {quote(column.name)} {words}{filled}")
    for key in ("update_id", "target_table"):
        if key in found and found[key].declared != "text":
            connection.exec_driver_sql(f"ALTER TABLE {target} ALTER COLUMN {quote(found[key].name)} TYPE text")
    _default_inserted(connection, target)
    _make_pair_the_key(connection, name)
    _add_loading_key(connection, name)


def _as_text(table: sa.Table) -> sa.Table:
    """The marker table with every text column `text`: a length would only refuse what fits."""
    columns = [
        sa.Column(
            quoted(column.name),
            sa.Text() if isinstance(column.type, sa.String) else column.type,
            primary_key=column.primary_key,
            nullable=column.nullable,
        )
        for column in table.columns
    ]
    return sa.Table(quoted(table.name), sa.MetaData(), *columns, schema=table.schema)


def _default_inserted(connection: sa.Connection, target: str) -> None:
    """Luigi's contrib.postgres leaves it to the server."""
    connection.exec_driver_sql(f'ALTER TABLE {target} ALTER COLUMN "inserted" SET DEFAULT now()')


def _has_schema(connection: sa.Connection, schema: str) -> bool:
    query = sa.text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :schema")
    return connection.execute(query, {"schema": str(schema)}).scalar() is not None


class _Key(NamedTuple):
    index_name: str
    schema: str
    constraint: str | None
    is_primary: bool
    columns: list[str]


_KEYS = sa.text(
    """
    SELECT ic.relname, n.nspname, con.conname, i.indisprimary,
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                 WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) ORDER BY 1)
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = ic.relnamespace
    LEFT JOIN pg_catalog.pg_constraint AS con ON con.conindid = i.indexrelid AND con.contype IN ('p', 'u')
    WHERE i.indrelid = :oid AND i.indisunique
    """
)


def _make_pair_the_key(connection: sa.Connection, name: TableName) -> None:
    """(update_id, target_table) becomes the primary key; one on update_id alone goes. NULL is no table: ''."""
    target = in_quotes(name, connection)
    quote = connection.dialect.identifier_preparer.quote_identifier
    keys = [_Key(*row) for row in connection.execute(_KEYS, {"oid": table_oid(connection, name)})]
    pair = ["target_table", "update_id"]
    if any(key.is_primary and key.columns == pair for key in keys):
        return
    connection.exec_driver_sql(f"UPDATE {target} SET target_table = '' WHERE target_table IS NULL")  # noqa: S608  quoted
    for key in keys:
        if key.constraint is not None and (key.is_primary or key.columns == ["update_id"]):
            connection.exec_driver_sql(f"ALTER TABLE {target} DROP CONSTRAINT {quote(key.constraint)}")
        elif key.columns == ["update_id"]:
            connection.exec_driver_sql(f"DROP INDEX {quote(key.schema)}.{quote(key.index_name)}")
    connection.exec_driver_sql(f"ALTER TABLE {target} ADD PRIMARY KEY (update_id, target_table)")


def _add_loading_key(connection: sa.Connection, name: TableName) -> None:
    """A row whose `loading` is filled refers to no row, which the server finds out at COMMIT and not before.

    The index is for that key: without it each deleted marker would be looked for in the whole table. It holds the
    loads that are under way, so it is empty.
    """
    target = in_quotes(name, connection)
    query = sa.text("SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = :oid AND conname = :key")
    if connection.execute(query, {"oid": table_oid(connection, name), "key": LOADING_KEY}).scalar() is not None:
        return
    connection.exec_driver_sql(
        f"ALTER TABLE {target} ADD CONSTRAINT {LOADING_KEY} FOREIGN KEY (loading, target_table) "
        f"REFERENCES {target} (update_id, target_table) DEFERRABLE INITIALLY DEFERRED"
    )
    connection.exec_driver_sql(f"CREATE INDEX ON {target} (loading, target_table) WHERE loading IS NOT NULL")
