"""A part of a table by the order of one column: its greatest value, and the rows between two of them, taken out.

Runs inside the caller's transaction and commits nothing; values come in the form that the database stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etlctl.db.rows import equal
from etlctl.db.words import named_table

if TYPE_CHECKING:
    from etlctl.db.connections import Database


def greatest(connection: sa.Connection, database: Database, table: str, column: str, values: Mapping[str, Any]) -> Any:
    """The greatest value of `column` in the rows with all of `values`, as the driver gives it; None without any."""
    target = named_table(database.dialect.table_name(table), {column: None, **values})
    return connection.execute(sa.select(sa.func.max(target.c[column])).where(*equal(target, values))).scalar_one()


def delete_between(
    connection: sa.Connection,
    database: Database,
    table: str,
    column: str,
    bounds: tuple[Any, Any],
    values: Mapping[str, Any],
) -> int:
    """Deletes the rows that have all of `values` and a `column` from the first bound on, below the second.

    A bound that is None is none; a row without a value in `column` stays, unless both are. How many rows went.
    """
    target = named_table(database.dialect.table_name(table), {column: None, **values})
    low, high = bounds
    conditions = equal(target, values)
    if low is not None:
        conditions.append(target.c[column] >= sa.literal(low))
    if high is not None:
        conditions.append(target.c[column] < sa.literal(high))
    return connection.execute(sa.delete(target).where(*conditions)).rowcount
