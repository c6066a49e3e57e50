"""The marker table: which loads are in the database, and how the table is made. Commits nothing; callers own the
transaction, but for `ensure`, which has a short one of its own.

A row's key is (update_id, target_table). `state` is NULL (Luigi's rows, done), `done`, or `loading`: the last is seen
by others only when something committed in the middle of a load, and then nobody can tell whether its rows are whole.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from etlctl.db import ambient
from etlctl.db.words import named_table, same_text
from etlctl.errors import EtlctlError, LoadError, TornLoadError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.dialects.base import TableName

DONE = "done"
LOADING = "loading"
_NO_ID = "no update: "
"""Begins what the column `loading` holds while a load goes on: the key of no marker, so that no COMMIT is possible."""
_READ = ("update_id", "target_table", "inserted", "update_key", "state", "row_count", "run_id", "owner")


@dataclass(frozen=True)
class MarkerKey:
    """What one load is known by."""

    update_id: str
    target_table: str
    update_key: str | None = None
    """SHA-256 of the task, given where update_id is the default one; it must then equal the row's."""

    @property
    def pair(self) -> tuple[str, str]:
        """The primary key."""
        return self.update_id, self.target_table

    def doing(self, database: Database) -> str:
        """`flights on warehouse`, the beginning of every sentence about this load; the task is named by who runs it."""
        return f"{shortened(self.target_table)} on {database.name}"


class Marker(NamedTuple):
    """A marker row as it is read; columns that an older table lacks are None. Read ten thousand at a time."""

    update_id: str
    target_table: str
    inserted: datetime | str | None
    update_key: str | None
    state: str | None
    row_count: int | None
    run_id: str | None
    owner: str | None

    @property
    def inserted_at(self) -> datetime | None:
        """When it was written, aware and in UTC; None where the text is no instant."""
        try:
            found = datetime.fromisoformat(self.inserted) if isinstance(self.inserted, str) else self.inserted
        except ValueError:
            return None
        if found is None:
            return None
        if found.tzinfo is None and self.owner is not None:
            return found.replace(tzinfo=UTC)
        return found.astimezone(UTC)  # Luigi writes the local time of the host, without a zone

    @property
    def is_torn(self) -> bool:
        """Whether it was committed in the middle of its load; of one that another transaction has read."""
        return self.state == LOADING

    def check(self, key: MarkerKey, database: Database) -> None:
        """Raises TornLoadError for a committed `loading`, LoadError where it is another task's marker."""
        error = self.problem(key, database)
        if error is not None:
            raise error

    def answers_for(self, update_key: str | None) -> bool:
        """Whether it is done, and that of the task with this key; `problem` tells what is wrong."""
        is_other = update_key is not None and self.update_key is not None and update_key != self.update_key
        return not self.is_torn and not is_other

    def problem(self, key: MarkerKey, database: Database) -> EtlctlError | None:
        """Why this row does not answer for `key`, or None."""
        if self.is_torn:
            return TornLoadError(
                f"{key.doing(database)}: the marker {shortened(key.update_id, 120)!r} says that it is loading, and "
                "that was committed: something ended the load's transaction in the middle, so its rows are there "
                "whole, in part, or not at all. Look at them: `etlctl markers resolve TASK --loaded` keeps them; once "
                "they are deleted, `etlctl markers resolve TASK --absent` lets them be loaded again."
            )
        if key.update_key is not None and self.update_key is not None and key.update_key != self.update_key:
            return LoadError(
                f"{key.doing(database)}: the marker {shortened(key.update_id, 120)!r} belongs to another task whose id "
                "is the same by chance (ids keep 40 bits). Give one of the two tasks an update_id of its own."
            )
        return None


def marker_table(database: Database, **options: Any) -> sa.Table:
    """The marker table as we make it: Luigi's columns first, then ours. Its rows are written through it.

    `options` are those of `sa.Table` for making it.
    """
    dialect = database.dialect
    return _table_of(database.marker_name, dialect.longest_id, dialect.refuses_commit, **options)


@lru_cache(maxsize=32)
def _table_of(name: TableName, longest_id: int | None, has_loading: bool, **options: Any) -> sa.Table:
    loading = [sa.Column("loading", sa.String(longest_id))] if has_loading else []
    return sa.Table(
        name.name,
        sa.MetaData(),
        sa.Column("update_id", sa.String(longest_id), nullable=False, primary_key=True),
        sa.Column("target_table", sa.String(longest_id), nullable=False, primary_key=True),
        sa.Column("inserted", sa.DateTime),
        sa.Column("update_key", sa.String(64)),
        sa.Column("state", sa.String(16)),
        sa.Column("row_count", sa.BigInteger),
        sa.Column("run_id", sa.String(64)),
        sa.Column("fence", sa.BigInteger),
        sa.Column("owner", sa.String(255)),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("inputs", sa.Text),
        *loading,
        schema=name.schema,
        **options,
    )


# -- reading


def read(connection: sa.Connection, database: Database, ids: Collection[str]) -> dict[tuple[str, str], Marker]:
    """The markers with these update_ids, by (update_id, target_table); a table that does not exist has none.

    `SELECT *`, since an older table has fewer columns: so one question tells all.
    """
    found: dict[tuple[str, str], Marker] = {}
    table = named_table(database.marker_name, ["update_id"])
    for chunk in _chunks(ids, database.dialect.ids_per_query):
        query = sa.select(sa.text("*")).select_from(table).where(database.dialect.ids_among(table.c.update_id, chunk))
        found.update((row[:2], Marker._make(row)) for row in _asked(connection, database, query))
    return found


def _asked(connection: sa.Connection, database: Database, query: sa.Select[Any]) -> list[Any]:
    """The answer; none where the question fails because there is no such table."""
    try:
        with database.dialect.bounded_wait(connection):
            return _as_read(connection.execute(query))
    except SQLAlchemyError:
        if ambient.session_of(database) is not None:
            raise
    connection.rollback()
    if not {"update_id", "target_table"} <= _columns(connection, database):
        return []
    return _as_read(connection.execute(query))  # it failed for another reason, or was made a moment ago


def _as_read(result: sa.CursorResult[Any]) -> list[Any]:
    """The rows with the columns of `_READ`, in its order; None for each that the table lacks."""
    there = [name.lower() for name in list(result.keys())]
    if set(_READ) <= set(there):
        return list(map(itemgetter(*map(there.index, _READ)), result.all()))
    pick = itemgetter(*(there.index(name) if name in there else len(there) for name in _READ))
    return [pick((*row, None)) for row in result.all()]


def _columns(connection: sa.Connection, database: Database) -> set[str]:
    columns = database.dialect.table_columns(connection, database.marker_name) or ()
    return {column.name.lower() for column in columns}


def _chunks(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = list(dict.fromkeys(ids))
    for start in range(0, len(rest), size):
        yield rest[start : start + size]


# -- writing, in the caller's transaction


def insert_loading(connection: sa.Connection, database: Database, key: MarkerKey, *, run_id: str, owner: str) -> bool:
    """Claims `key` for this transaction; False when its marker is there already."""
    return _insert(connection, database, key, LOADING, run_id, owner)


def insert_done(connection: sa.Connection, database: Database, key: MarkerKey, *, run_id: str, owner: str) -> bool:
    """As `insert_loading`, for what has no rows to load: nothing is left to be done but the COMMIT."""
    return _insert(connection, database, key, DONE, run_id, owner)


def _insert(connection: sa.Connection, database: Database, key: MarkerKey, state: str, run_id: str, owner: str) -> bool:
    values = {
        "update_id": key.update_id,
        "target_table": key.target_table,
        "inserted": datetime.now(UTC).replace(tzinfo=None),
        "update_key": key.update_key,
        "state": state,
        "run_id": run_id or None,
        "owner": owner,
    }
    table = marker_table(database)
    if "loading" in table.c:
        values["loading"] = _NO_ID + owner if state == LOADING else None
    return database.dialect.insert_marker(connection, table, values)


def set_done(
    connection: sa.Connection, database: Database, key: MarkerKey, *, rows: int | None, inputs: list[Mapping[str, Any]]
) -> bool:
    """`loading` becomes `done`; False when the row is not there any more, or not `loading`."""
    values = {
        "row_count": rows,
        "inputs": json.dumps(inputs, ensure_ascii=False, default=str) if inputs else None,
        "of_id": key.update_id,
        "of_table": key.target_table,
    }
    return connection.execute(_end_of_loading(marker_table(database)), values).rowcount == 1


@lru_cache(maxsize=32)
def _end_of_loading(table: sa.Table) -> sa.Update:
    """Made once: many small loads would spend much of their time making statements."""
    place = zip((table.c.update_id, table.c.target_table), ("of_id", "of_table"), strict=True)
    there = (same_text(column, sa.bindparam(name, type_=sa.String())) for column, name in place)
    changes: dict[str, Any] = {"state": DONE, "row_count": sa.bindparam("row_count"), "inputs": sa.bindparam("inputs")}
    if "loading" in table.c:
        changes["loading"] = None
    return table.update().where(*there, table.c.state == LOADING).values(changes)


def delete(connection: sa.Connection, database: Database, key: MarkerKey) -> bool:
    """Takes the marker away, which the caller does only together with its rows; whether there was one."""
    table = marker_table(database)
    return connection.execute(table.delete().where(*_is(table, key))).rowcount > 0


def inputs_of(connection: sa.Connection, database: Database, key: MarkerKey) -> list[dict[str, Any]]:
    """What the marker's load was made from, as `set_done` kept it; empty without a marker, or where it kept nothing."""
    if "inputs" not in _columns(connection, database):
        return []
    table = marker_table(database)
    text = connection.execute(sa.select(table.c.inputs).where(*_is(table, key))).scalar_one_or_none()
    found = json.loads(text) if text else []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _is(table: sa.Table, key: MarkerKey) -> tuple[sa.ColumnElement[bool], ...]:
    same = zip((table.c.update_id, table.c.target_table), key.pair, strict=True)
    return tuple(same_text(column, sa.literal(text)) for column, text in same)


# -- making the table


def ensure(database: Database, doing: str) -> None:
    """Makes the marker table, or adopts an older one, in a short transaction of its own under a lock."""
    if not database.is_absent:
        with database.reading(doing, is_ours=True) as connection:
            if is_current(connection, database):
                return
    dialect = database.dialect
    with database.writing(doing) as connection, dialect.lock_for_ddl(connection):
        table = marker_table(database, **dialect.table_options(connection))
        if is_current(connection, database):
            return
        if dialect.table_columns(connection, database.marker_name) is None:
            dialect.create_markers(connection, table)
            return
        _check_adoptable(connection, database, doing)
        dialect.adopt_markers(connection, table)
        _check_adopted(connection, database, doing)


def is_current(connection: sa.Connection, database: Database) -> bool:
    """Whether the table is as this etlctl makes it, or more: with our columns, and the key of the pair alone."""
    wanted = {column.name for column in marker_table(database).columns}
    if not wanted <= _columns(connection, database):
        return False
    if not database.dialect.enforces_keys:
        return True
    keys = database.dialect.unique_keys(connection, database.marker_name)
    return frozenset({"update_id", "target_table"}) in keys and frozenset({"update_id"}) not in keys


def _check_adoptable(connection: sa.Connection, database: Database, doing: str) -> None:
    if "update_id" not in _columns(connection, database):
        raise LoadError(
            f"{doing}: the table {database.marker_table} there is no marker table (it has no column update_id). "
            f'Name another one in the settings: [connections.{database.name}] marker_table = "…".'
        )


def _check_adopted(connection: sa.Connection, database: Database, doing: str) -> None:
    if not is_current(connection, database):
        raise LoadError(
            f"{doing}: {database.marker_table} has an index of its own that keeps update_id alone unique, so that two "
            "tables could not be loaded under one id. Drop that index; the table is as it was."
        )
