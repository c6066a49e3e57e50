"""What a query gave SQLite, brought into the form that loads keep; changes a staging table only.

SQLite puts any value into any column. A query's values must mean what they would mean in a file, so those that are not
of the common form, which SQL can tell, are read again by `sqlite_values.stored`, which changes or refuses them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import BadValueError, Column, ColumnType, Kind
from etlctl.db.dialects.sqlite.values import stored
from etlctl.errors import BadDataError
from etlctl.text import shortened

_FUNCTION = "etlctl_settled"
_LARGEST = "1.7976931348623157e308"


def settle(
    connection: sa.Connection, raw: sqlite3.Connection, staged: sa.TableClause, columns: Sequence[Column]
) -> None:
    """Every value of the staged `columns` as `stored` keeps it. BadDataError for one that its type refuses."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    table = f"{quote(str(staged.schema))}.{quote(staged.name)}"
    for column in columns:
        name = quote(column.name)
        is_settled = _is_settled(column.type, name)
        if is_settled is not None:
            _settle_column(raw, column, f"UPDATE {table} SET {name} = {_FUNCTION}({name}) WHERE NOT ({is_settled})")  # noqa: S608  quoted


def _settle_column(raw: sqlite3.Connection, column: Column, statement: str) -> None:
    refused: list[BadValueError] = []

    def settled(value: Any) -> Any:
        try:
            return stored(column.type, value)
        except BadValueError as error:
            refused.append(error.in_column(column))
            raise

    raw.create_function(_FUNCTION, 1, settled)
    try:
        raw.execute(statement)
    except sqlite3.OperationalError:
        if refused:
            raise BadDataError(f"the query's column {shortened(column.name)}: {refused[0]}.") from refused[0]
        raise


def _is_settled(type_: ColumnType, name: str) -> str | None:
    """SQL that holds for NULL and for values that are surely kept as they are; None where all are."""
    condition = _CONDITIONS[type_.kind](type_, name)
    return None if condition is None else f"{name} IS NULL OR ({condition})"


def _text(type_: ColumnType, name: str) -> str:
    fits = "" if type_.length is None else f" AND length({name}) <= {type_.length}"
    return f"typeof({name}) = 'text'{fits}"


def _number(type_: ColumnType, name: str) -> str:
    is_number = f"typeof({name}) IN ('integer', 'real') AND abs({name}) <= {_LARGEST}"
    if type_.precision is None:
        return is_number
    scale = type_.scale or 0
    return f"{is_number} AND {name} = round({name}, {scale}) AND abs({name}) < 1e{type_.precision - scale}"


def _integer(type_: ColumnType, name: str) -> str:
    limit = 1 << (type_.bits - 1)
    return f"typeof({name}) = 'integer' AND {name} BETWEEN {-limit} AND {limit - 1}"


def _moment(function: str) -> Callable[[ColumnType, str], str]:
    # the modifier: SQLite before 3.42 gives the 30th of February back as it is
    return lambda _, name: f"typeof({name}) = 'text' AND {function}({name}, '+0 days') IS {name} AND {name} >= '0001'"


def _time(_: ColumnType, name: str) -> str:
    return f"typeof({name}) = 'text' AND time({name}) IS {name}"


_CONDITIONS: dict[Kind, Callable[[ColumnType, str], str | None]] = {
    Kind.INTEGER: _integer,
    Kind.NUMERIC: _number,
    Kind.FLOAT: _number,
    Kind.TEXT: _text,
    Kind.BOOLEAN: lambda _, name: f"typeof({name}) = 'integer' AND {name} IN (0, 1)",
    Kind.DATE: _moment("date"),
    Kind.TIMESTAMP: _moment("datetime"),
    Kind.TIMESTAMPTZ: _moment("datetime"),
    Kind.TIME: _time,
    Kind.JSON: lambda _, name: f"typeof({name}) = 'text' AND json_valid({name})",
    Kind.BYTES: lambda _, name: f"typeof({name}) = 'blob'",
}
