"""What a MySQL or MariaDB server tells about tables and queries; changes nothing.

Names are bound as values to questions of information_schema. A temporary table is not in there, so that it is never
taken for a target of the same name.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.db.dialects.bare import BARE_PRECISION, BARE_SCALE
from etlctl.db.dialects.base import TableColumn, TableName
from etlctl.db.dialects.mysql.connection import FIELD_TYPE, Field, described
from etlctl.db.words import quoted
from etlctl.errors import LoadError

LONGEST_NAME = 64
"""Characters (dev.mysql.com/doc/refman/8.4/en/identifier-length.html)."""
_BYTES_PER_CHARACTER = 4  # of utf8mb4, in which results come
_TRANSACTIONAL = ("innodb", "rocksdb", "tokudb", "ndbcluster", "ndb")

_PLACE = (
    "table_schema = COALESCE(%(schema)s, DATABASE()) AND table_name = %(name)s "
    "AND (BINARY table_name = BINARY %(name)s OR @@lower_case_table_names > 0)"
)
_COLUMNS = "SELECT column_name, data_type, column_type, is_nullable, character_maximum_length, numeric_precision, "
_COLUMNS += "numeric_scale, extra REGEXP '(VIRTUAL|STORED|PERSISTENT) GENERATED', "
_COLUMNS += "extra LIKE '%%auto_increment%%' OR coalesce(column_default, 'NULL') <> 'NULL' "  # MariaDB's word for none
_COLUMNS += f"FROM information_schema.columns WHERE {_PLACE} ORDER BY ordinal_position"
_ENGINE = "SELECT engine FROM information_schema.tables WHERE " + _PLACE  # noqa: S608  its names are bound
_KEYS = "SELECT index_name, column_name, sub_part FROM information_schema.statistics "
_KEYS += f"WHERE non_unique = 0 AND {_PLACE} ORDER BY index_name, seq_in_index"


# -- names


def table_name(table: str) -> TableName:
    """See `Dialect.table_name`: `database.table` is two names."""
    parts = table.split(".")
    if len(parts) > 2:
        raise LoadError(f"{table!r} cannot be the name of a table: on MySQL it is table, or database.table.")
    for part in parts:
        _check(part, "a table")
    return TableName(quoted(parts[0]) if len(parts) == 2 else None, quoted(parts[-1]))


def checked_column(name: str, table: str) -> str:
    """See `Dialect.checked_column`."""
    _check(name, f"a column of {table}")
    return name


def _check(name: str, what: str) -> None:
    """The rules of dev.mysql.com/doc/refman/8.4/en/identifiers.html; a longer name would be cut, or refused late."""
    reason = None
    if not name or "\0" in name:
        reason = "it is empty or holds a NUL character"
    elif len(name) > LONGEST_NAME:
        reason = f"it has {len(name)} characters, and MySQL takes {LONGEST_NAME}"
    elif name != name.rstrip(" "):
        reason = "it ends with a blank, which MySQL does not take"
    elif any(ord(character) > 0xFFFF or 0xD800 <= ord(character) <= 0xDFFF for character in name):
        reason = "it holds a character beyond U+FFFF (an emoji, for one), which MySQL does not take in a name"
    if reason is not None:
        raise LoadError(f"{name!r} cannot be the name of {what}: {reason}.")


# -- tables


def table_columns(connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
    """See `Dialect.table_columns`. LoadError for a table without transactions; not for a marker table, whose engine is
    asked where it is written to, since one of Luigi's gets another engine when it is adopted."""
    found = _columns(connection, name)
    if found and not {"update_id", "target_table"} <= {column.name.lower() for column in found}:
        refuse_without_transactions(connection, name)
    return found


def _columns(connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
    rows = connection.exec_driver_sql(_COLUMNS, _values(name)).all()
    return [
        TableColumn(
            column,
            _declared_type(data, words, length, precision, scale),
            words,
            nullable == "YES",
            bool(generated),
            bool(default),
        )
        for column, data, words, nullable, length, precision, scale, generated, default in rows
    ] or None


def has_database(connection: sa.Connection, name: str) -> bool:
    """Whether the server has a database of this name, as far as the user may know."""
    question = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = %(name)s"
    return bool(connection.exec_driver_sql(question, {"name": str(name)}).scalar_one())


def engine_of(connection: sa.Connection, name: TableName) -> str | None:
    """The storage engine of a table; None for a view, or where there is no such table."""
    found: str | None = connection.exec_driver_sql(_ENGINE, _values(name)).scalar()
    return found


def refuse_without_transactions(connection: sa.Connection, name: TableName) -> None:
    """LoadError for a table of an engine that keeps what is rolled back (MyISAM, Aria)."""
    engine = engine_of(connection, name)
    if engine is not None and engine.lower() not in _TRANSACTIONAL:
        table = ".".join(part for part in name if part is not None)
        raise LoadError(
            f"the table {table} is kept by the engine {engine}, which has no transactions: a load into it could "
            f"neither be undone nor be counted on. ALTER TABLE {table} ENGINE=InnoDB mends it."
        )


def refuse_shadowed(connection: sa.Connection, name: TableName) -> None:
    """LoadError where a temporary table of this session has the name, and would take the rows with it when it ends."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    place = ".".join(quote(part) for part in name if part is not None)
    if str(connection.exec_driver_sql(f"SHOW CREATE TABLE {place}").one()[1]).startswith("CREATE TEMPORARY"):
        raise LoadError(
            f"a temporary table called {name.name} was made on this connection, and stands before the table itself: "
            "the rows would be lost with it. Give it another name, or drop it before the load."
        )


def unique_keys(connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
    """See `Dialect.unique_keys`."""
    return list(unique_indexes(connection, name).values())


def unique_indexes(connection: sa.Connection, name: TableName) -> dict[str, frozenset[str]]:
    """The columns of each unique index by its name, in lower case; not of those on an expression or on a part."""
    indexes: dict[str, list[str | None]] = defaultdict(list)
    for index, column, part in connection.exec_driver_sql(_KEYS, _values(name)).all():
        indexes[index].append(None if part is not None else column)
    return {
        index: frozenset(column.lower() for column in columns if column is not None)
        for index, columns in indexes.items()
        if None not in columns
    }


def _values(name: TableName) -> dict[str, Any]:
    return {"schema": None if name.schema is None else str(name.schema), "name": str(name.name)}


_INTEGER_BITS = {"tinyint": 16, "smallint": 16, "mediumint": 32, "int": 32, "bigint": 64}
_KINDS = {
    "float": Kind.FLOAT,
    "double": Kind.FLOAT,
    "date": Kind.DATE,
    "datetime": Kind.TIMESTAMP,
    "timestamp": Kind.TIMESTAMP,
    "time": Kind.TIME,
    "json": Kind.JSON,
    "binary": Kind.BYTES,
    "varbinary": Kind.BYTES,
    "tinyblob": Kind.BYTES,
    "blob": Kind.BYTES,
    "mediumblob": Kind.BYTES,
    "longblob": Kind.BYTES,
    "tinytext": Kind.TEXT,
    "text": Kind.TEXT,
    "mediumtext": Kind.TEXT,
    "longtext": Kind.TEXT,
    "enum": Kind.TEXT,
    "set": Kind.TEXT,
}


def _declared_type(
    data: str, words: str, length: int | None, precision: int | None, scale: int | None
) -> ColumnType | None:
    data = data.lower()
    if words.lower().startswith("tinyint(1)"):
        return ColumnType(Kind.BOOLEAN)
    if data in _INTEGER_BITS:
        return _integer(_INTEGER_BITS[data], is_unsigned="unsigned" in words.lower())
    if data == "decimal":
        return _numeric(int(precision or 0), int(scale or 0))
    if data in ("char", "varchar"):
        return ColumnType(Kind.TEXT, length=length)
    kind = _KINDS.get(data)
    return None if kind is None else ColumnType(kind)


def _integer(bits: int, *, is_unsigned: bool) -> ColumnType:
    if not is_unsigned:
        return ColumnType(Kind.INTEGER, bits=bits)
    return _numeric(20, 0) if bits == 64 else ColumnType(Kind.INTEGER, bits=bits * 2)


def _numeric(precision: int, scale: int) -> ColumnType:
    if (precision, scale) == (BARE_PRECISION, BARE_SCALE):
        return ColumnType(Kind.NUMERIC)  # as we make it
    return ColumnType(Kind.NUMERIC, precision=precision, scale=scale)


# -- queries


def query_columns(connection: sa.Connection, query: str, parameters: Any) -> list[Column]:
    """Names and types of what a query returns. A column of a table keeps its sizes; an expression, which may give more
    the next time, gets the roomiest type of its kind."""
    fields = _described(connection, query, parameters)
    return [Column(field.name, _roomy(field, _type_of(field) or ColumnType(Kind.TEXT))) for field in fields]


def result_types(connection: sa.Connection, query: str, parameters: Any) -> list[ColumnType | None]:
    """See `Dialect.result_types`."""
    return [_type_of(field) for field in _described(connection, query, parameters)]


def _described(connection: sa.Connection, query: str, parameters: Any) -> list[Field]:
    """`LIMIT 0` of a query that stands inside another is not computed; a statement that writes cannot stand there."""
    raw: Any = connection.connection.driver_connection
    if not connection.in_transaction():
        connection.begin()  # which the caller's Connection would do at its first statement
    # on one line with the query's first, so that a line in the server's words is the query's own
    # unmerged: else all columns seem to be those of a table
    probe = f"SELECT /*+ NO_MERGE(etlctl_probe) */ * FROM ({query}\n) AS etlctl_probe LIMIT 0"  # noqa: S608  user's own
    if raw.is_mariadb:
        probe = f"SET STATEMENT optimizer_switch = 'derived_merge=off' FOR {probe}"
    return described(raw, probe, parameters)


_RESULT_KINDS = {
    FIELD_TYPE.FLOAT: Kind.FLOAT,
    FIELD_TYPE.DOUBLE: Kind.FLOAT,
    FIELD_TYPE.DATE: Kind.DATE,
    FIELD_TYPE.NEWDATE: Kind.DATE,
    FIELD_TYPE.DATETIME: Kind.TIMESTAMP,
    FIELD_TYPE.TIMESTAMP: Kind.TIMESTAMP,
    FIELD_TYPE.TIME: Kind.TIME,
    FIELD_TYPE.JSON: Kind.JSON,
}
_RESULT_BITS = {
    FIELD_TYPE.TINY: 16,
    FIELD_TYPE.SHORT: 16,
    FIELD_TYPE.YEAR: 16,
    FIELD_TYPE.INT24: 32,
    FIELD_TYPE.LONG: 32,
    FIELD_TYPE.LONGLONG: 64,
}
_RESULT_TEXTS = (
    FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.TINY_BLOB, FIELD_TYPE.BLOB,
    FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB,
)  # fmt: skip
_RESULT_VARCHARS = (FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING)


def _type_of(field: Field) -> ColumnType | None:
    code = field.code
    if code == FIELD_TYPE.TINY and field.length == 1:
        return ColumnType(Kind.BOOLEAN)
    if code in _RESULT_BITS:
        return _integer(_RESULT_BITS[code], is_unsigned=field.is_unsigned and code != FIELD_TYPE.YEAR)
    if code in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        signs = (field.scale > 0) + (not field.is_unsigned)
        return _numeric(field.length - signs, field.scale)
    if code in _RESULT_TEXTS:
        if field.is_binary:
            return None if field.length == 0 else ColumnType(Kind.BYTES)  # NULL has no length
        is_sized = code in _RESULT_VARCHARS and not field.is_enum
        return ColumnType(Kind.TEXT, length=field.length // _BYTES_PER_CHARACTER or None if is_sized else None)
    kind = _RESULT_KINDS.get(code)
    return None if kind is None else ColumnType(kind)


def _roomy(field: Field, type_: ColumnType) -> ColumnType:
    if field.is_column:
        return type_
    if type_.kind is Kind.INTEGER:
        return replace(type_, bits=64)
    if type_.kind is Kind.TEXT:
        return ColumnType(Kind.TEXT)
    if type_.precision is not None and type_.scale is not None:
        fits = type_.scale <= BARE_SCALE and type_.precision - type_.scale <= BARE_PRECISION - BARE_SCALE
        return ColumnType(Kind.NUMERIC) if fits else type_
    return type_
