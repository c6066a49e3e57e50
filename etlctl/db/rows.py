"""SQL of the modes: how staged rows get into their target. Runs inside the caller's transaction and commits nothing.

Written once for every database; only the INSERT … SELECT itself is the dialect's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etlctl import faultpoints
from etlctl.db.words import named_table, same_text
from etlctl.errors import BadDataError, LoadError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.columns import Column
    from etlctl.db.connections import Database
    from etlctl.db.dialects.base import Records, Staged

_SHOWN = 3  # examples in a message


def delete_all(connection: sa.Connection, database: Database, table: str) -> int:
    """Empties the table by DELETE, which rolls back and which no reader sees; how many rows went."""
    return connection.execute(sa.delete(_target(database, table, ()))).rowcount


def delete_where(connection: sa.Connection, database: Database, table: str, values: Mapping[str, Any]) -> int:
    """Deletes the rows that have all of `values` (None: NULL), in the form the database stores."""
    target = _target(database, table, values)
    return connection.execute(sa.delete(target).where(*equal(target, values))).rowcount


def delete_partitions_of(
    connection: sa.Connection, database: Database, table: str, staged: Staged, columns: Sequence[str]
) -> int:
    """Deletes the rows whose `columns` equal those of any staged row."""
    _refuse_nulls(connection, staged, columns, "decides which rows are replaced")
    target = _target(database, table, columns)
    # a table of its own: MySQL would read all staged rows anew for each row of the target
    parts = sa.select(*(staged.table.c[name] for name in columns)).distinct().subquery("etlctl_parts")
    kept = sa.select(*parts.c)
    if len(columns) == 1:
        condition = target.c[columns[0]].in_(kept)
    else:
        condition = sa.tuple_(*(target.c[name] for name in columns)).in_(kept)
    return connection.execute(sa.delete(target).where(condition)).rowcount


def check_partition(
    connection: sa.Connection, staged: Staged, values: Mapping[str, Any], doing: str, *, hidden: Collection[str] = ()
) -> None:
    """LoadError when a staged row lies outside the partition that the load is about to replace.

    The values of columns in `hidden` are not shown.
    """
    inside = sa.and_(*equal(staged.table, values))
    query = sa.select(sa.func.count()).select_from(staged.table).where(sa.or_(sa.not_(inside), inside.is_(None)))
    outside = connection.execute(query).scalar_one()
    if outside:
        shown = ", ".join(
            f"{name} = {'***' if name in hidden else shortened(str(value))}" for name, value in values.items()
        )
        raise LoadError(
            f"{doing}: {outside} of {staged.rows} rows lie outside {shown}, the part of the table that this load "
            "replaces: loading it again would leave them there twice. Restrict the rows, or replace_where() by other "
            "columns."
        )


def insert(connection: sa.Connection, database: Database, table: str, staged: Staged, doing: str) -> int:
    """All staged rows into the table; LoadError when the database says it wrote another number than was staged."""
    wrote = database.dialect.insert_staged(connection, table, staged)
    faultpoints.point("load.copied")
    _check_count(wrote, staged, doing)
    faultpoints.point("load.rowcount")
    return wrote


def check_whole(connection: sa.Connection, staged: Staged, columns: Sequence[Column], place: str) -> None:
    """BadDataError when a staged number that is to become an integer is none: most databases would round it."""
    for wanted in columns:
        column, limit = staged.table.c[wanted.name], 1 << (wanted.type.bits - 1)
        is_none = (column != sa.func.round(column)) | sa.not_(column.between(-limit, limit - 1))
        found = connection.execute(sa.select(column).where(is_none).limit(1)).scalar()
        if found is not None:
            raise BadDataError(
                f"{place}: column {shortened(wanted.name)}: {shortened(str(found))} is no integer that fits the "
                f"column, {wanted.type}. Round it in the query, or declare the column numeric."
            )


def insert_records(connection: sa.Connection, database: Database, table: str, records: Records) -> int:
    """Records straight into the table; how many there are."""
    wrote = database.dialect.insert_records(connection, table, records)
    faultpoints.point("load.copied")
    faultpoints.point("load.rowcount")  # the dialect has compared the numbers
    return wrote


def part_of(database: Database, table: str, columns: Sequence[str], values: Mapping[str, Any]) -> sa.FromClause:
    """The rows of the table that have all of `values`, as something to select from."""
    target = _target(database, table, columns)
    return sa.select(target).where(*equal(target, values)).subquery("etlctl_load") if values else target


def merge(
    connection: sa.Connection, database: Database, table: str, staged: Staged, keys: Sequence[str], doing: str
) -> int:
    """Staged rows update the rows of the same `keys`, the rest is inserted; how many rows of the table are now theirs.

    The database itself must keep the keys unique (LoadError), and the input must hold each once (BadDataError). Where
    the database enforces no keys, those of the input must be unique in the table (LoadError).
    """
    if database.dialect.enforces_keys:
        check_unique_key(connection, database, table, keys, doing)
    check_merge_input(connection, staged, keys, doing)
    if not database.dialect.enforces_keys:
        check_unique_rows(connection, database, table, staged, keys, doing)
    source = staged.table
    target = _target(database, table, staged.columns)
    same = sa.and_(*(target.c[name] == source.c[name] for name in keys))
    rest = [name for name in staged.columns if name not in keys]
    is_there = sa.exists(sa.select(sa.literal(1)).select_from(target).where(same))
    old = connection.execute(sa.select(sa.func.count()).select_from(source).where(is_there)).scalar_one()
    if rest:
        update = sa.update(target).values({target.c[name]: source.c[name] for name in rest}).where(same)
        wrote = connection.execute(update).rowcount
        _check_updated(wrote, old, doing)
    new = sa.select(*(source.c[name] for name in staged.columns)).where(sa.not_(is_there))
    added = connection.execute(sa.insert(target).from_select(list(staged.columns), new)).rowcount
    faultpoints.point("load.copied")
    _check_count(old + added, staged, doing)
    faultpoints.point("load.rowcount")
    return old + added


def check_merge_input(connection: sa.Connection, staged: Staged, keys: Sequence[str], doing: str) -> None:
    """BadDataError when a key of the staged rows is NULL, or there twice."""
    _refuse_nulls(connection, staged, keys, "is a key of merge_on()")
    columns = [staged.table.c[name] for name in keys]
    twice = sa.select(*columns, sa.func.count()).group_by(*columns).having(sa.func.count() > 1).limit(_SHOWN)
    found = connection.execute(twice).all()
    if found:
        shown = "; ".join(f"({', '.join(shortened(str(part), 40) for part in row[:-1])}) ×{row[-1]}" for row in found)
        raise BadDataError(
            f"{doing}: the input holds rows with the same key {', '.join(keys)}: {shown}. merge_on() needs each "
            "key once."
        )


def check_unique_key(
    connection: sa.Connection, database: Database, table: str, keys: Sequence[str], doing: str
) -> None:
    """LoadError unless the database keeps `keys` of `table` unique."""
    wanted = frozenset(name.lower() for name in keys)
    if not any(
        unique <= wanted for unique in database.dialect.unique_keys(connection, database.dialect.table_name(table))
    ):
        raise LoadError(
            f"{doing}: merge_on({', '.join(keys)}) needs a unique index on these columns of {table}, and there is "
            f"none. CREATE UNIQUE INDEX … ON {table} ({', '.join(keys)}) makes one."
        )


def check_unique_rows(
    connection: sa.Connection, database: Database, table: str, staged: Staged, keys: Sequence[str], doing: str
) -> None:
    """LoadError when a key of the staged rows stands in several rows of the table."""
    source, target = staged.table, _target(database, table, keys)
    same = sa.and_(*(target.c[name] == source.c[name] for name in keys))
    columns = [target.c[name] for name in keys]
    joined = sa.select(*columns, sa.func.count()).select_from(target.join(source, same))
    found = connection.execute(joined.group_by(*columns).having(sa.func.count() > 1).limit(_SHOWN)).all()
    if found:
        shown = "; ".join(f"({', '.join(shortened(str(part), 40) for part in row[:-1])}) ×{row[-1]}" for row in found)
        raise LoadError(
            f"{doing}: merge_on({', '.join(keys)}) needs rows whose keys are unique, and {shortened(table)} holds "
            f"several of a key: {shown}. This database keeps no key unique itself; take the doubles out."
        )


def _target(database: Database, table: str, columns: Iterable[str]) -> sa.TableClause:
    return named_table(database.dialect.table_name(table), columns)


def equal(table: sa.TableClause, values: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    """Conditions that hold for the rows with all of `values` (None: NULL); texts are the same letter for letter."""
    return [_equals(table.c[name], value) for name, value in values.items()]


def _equals(column: sa.ColumnElement[Any], value: Any) -> sa.ColumnElement[bool]:
    if value is None:
        return column.is_(None)
    return same_text(column, sa.literal(value)) if isinstance(value, str) else column == sa.literal(value)


def _refuse_nulls(connection: sa.Connection, staged: Staged, columns: Sequence[str], role: str) -> None:
    for name in columns:
        query = sa.select(sa.func.count()).select_from(staged.table).where(staged.table.c[name].is_(None))
        if connection.execute(query).scalar_one():
            raise BadDataError(f"column {name} {role}, and is NULL in some of the rows.")


def _check_count(wrote: int, staged: Staged, doing: str) -> None:
    if wrote != staged.rows:
        raise LoadError(f"{doing}: {staged.rows} rows were sent, and the database wrote {wrote}; nothing was kept.")


def _check_updated(wrote: int, old: int, doing: str) -> None:
    if wrote != old:
        raise LoadError(f"{doing}: {old} rows were to be updated, and the database changed {wrote}; nothing was kept.")
