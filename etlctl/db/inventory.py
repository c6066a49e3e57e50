"""The marker table for people: its rows listed, and an older table adopted at once.

Each function has short transactions of its own. Loads (db/sessions.py) know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etlctl.db import audit, markers
from etlctl.db.markers import LOADING, Marker
from etlctl.db.words import quoted
from etlctl.errors import LoadError

if TYPE_CHECKING:
    from etlctl.db.connections import Database

_SHOWN = ("update_id", "target_table", "inserted", "update_key", "state", "row_count", "run_id", "owner")


@dataclass(frozen=True)
class Wanted:
    """Which markers are asked for; a filter that is None lets all pass."""

    id_part: str | None = None
    """What the update_id holds, be it in capitals or not."""
    target_table: str | None = None
    is_torn: bool | None = None
    since: datetime | None = None
    """Written at this instant (aware) or later."""
    most: int | None = None


@dataclass(frozen=True)
class Listing:
    """What one marker table holds of what was wanted, the newest first."""

    connection: str
    shown_url: str
    marker_table: str
    markers: tuple[Marker, ...] = ()
    total: int = 0
    """How many there are, those beyond `Wanted.most` too."""
    is_there: bool = True
    """False where there is no marker table yet."""


class Change(StrEnum):
    """What adopting a marker table came to."""

    MADE = "made"
    ADOPTED = "adopted"
    CURRENT = "current"


@dataclass(frozen=True)
class Adoption:
    """A marker table that has our columns and key from now on."""

    connection: str
    shown_url: str
    marker_table: str
    change: Change
    columns_added: tuple[str, ...]
    rows: int


def listed(database: Database, wanted: Wanted) -> Listing:
    """The markers in `database`; writes nothing and makes no file. LoadError for a table that is none of markers."""
    place = (database.name, database.shown_url, database.marker_table)
    doing = f"listing the markers of {database.name}"
    if database.is_absent:
        return Listing(*place, is_there=False)
    with database.reading(doing) as connection:
        columns = database.dialect.table_columns(connection, database.marker_name)
        if columns is None:
            return Listing(*place, is_there=False)
        table = _typed_table(database, doing, [column.name for column in columns])
        conditions = list(_conditions(table, wanted, database.dialect.bound))
        rows = connection.execute(_newest_first(table, conditions, wanted.most)).mappings().all()
        total = len(rows)
        if total == wanted.most:
            total = connection.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0
    return Listing(*place, tuple(_marker(row) for row in rows), total)


def _typed_table(database: Database, doing: str, names: Sequence[str]) -> sa.TableClause:
    """The table with those of our columns that it has; an older one lacks some."""
    by_name = {name.lower(): name for name in names}
    if not {"update_id", "target_table"} <= set(by_name):
        raise LoadError(
            f"{doing}: the table {database.marker_table} there is no marker table (it has no columns update_id and "
            f'target_table). Name another one in the settings: [connections.{database.name}] marker_table = "…".'
        )
    types: dict[str, Any] = {"inserted": sa.types.NullType}  # text on SQLite
    found = [sa.column(quoted(by_name[name]), types.get(name, sa.String)) for name in _SHOWN if name in by_name]
    return sa.table(database.marker_name.name, *found, schema=database.marker_name.schema)


def _columns_of(table: sa.TableClause) -> dict[str, sa.ColumnClause[Any]]:
    return {column.name.lower(): column for column in table.columns}


def _conditions(
    table: sa.TableClause, wanted: Wanted, bound: Callable[[object], Any]
) -> Iterator[sa.ColumnElement[bool]]:
    columns = _columns_of(table)
    if wanted.id_part is not None:
        yield columns["update_id"].icontains(wanted.id_part, autoescape=True)
    if wanted.target_table is not None:
        yield columns["target_table"] == wanted.target_table
    if wanted.is_torn is not None:
        state = columns.get("state")
        is_torn = sa.false() if state is None else sa.func.coalesce(state, markers.DONE) == LOADING
        yield is_torn if wanted.is_torn else sa.not_(is_torn)
    if wanted.since is not None and "inserted" in columns:
        yield _since(columns, wanted.since, bound)


def _since(
    columns: Mapping[str, sa.ColumnClause[Any]], since: datetime, bound: Callable[[object], Any]
) -> sa.ColumnElement[bool]:
    """Ours hold UTC, Luigi's the local time of its host; see `Marker.inserted_at`."""
    inserted, owner = columns["inserted"], columns.get("owner")
    by_luigi: sa.ColumnElement[bool] = inserted >= bound(since.astimezone().replace(tzinfo=None))
    if owner is None:
        return by_luigi
    ours = inserted >= bound(since.astimezone(UTC).replace(tzinfo=None))
    return sa.or_(sa.and_(owner.is_not(None), ours), sa.and_(owner.is_(None), by_luigi))


def _newest_first(
    table: sa.TableClause, conditions: Iterable[sa.ColumnElement[bool]], most: int | None
) -> sa.Executable:
    columns = _columns_of(table)
    as_they_are = (sa.type_coerce(column, sa.types.NullType()).label(name) for name, column in columns.items())
    query = sa.select(*as_they_are).where(*conditions).limit(most)
    inserted = columns.get("inserted")
    if inserted is not None:
        query = query.order_by(sa.case((inserted.is_(None), 1), else_=0), inserted.desc())
    return query.order_by(columns["update_id"], columns["target_table"])


def _marker(row: sa.RowMapping) -> Marker:
    values: dict[str, Any] = {name: row.get(name) for name in _SHOWN}
    return Marker(**values)


# -- adopting


def adopted(database: Database) -> Adoption:
    """Makes the marker table, or gives an older one our columns and key, as the first load would; says what it did."""
    doing = f"adopting the markers of {database.name}"
    before = _shape(database, doing)
    markers.ensure(database, doing)
    audit.ensure(database, doing)
    after = _shape(database, doing)
    columns = after[0] if after is not None else ()
    change = Change.MADE if before is None else Change.CURRENT if before == after else Change.ADOPTED
    with database.reading(doing) as connection:
        table = markers.marker_table(database)
        rows = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
    added = tuple(name for name in columns if change is Change.ADOPTED and before is not None and name not in before[0])
    return Adoption(database.name, database.shown_url, database.marker_table, change, added, rows)


def _shape(database: Database, doing: str) -> tuple[tuple[str, ...], frozenset[frozenset[str]]] | None:
    """Columns and unique keys of the marker table; None where there is none."""
    if database.is_absent:
        return None
    with database.reading(doing) as connection:
        columns = database.dialect.table_columns(connection, database.marker_name)
        if columns is None:
            return None
        keys = database.dialect.unique_keys(connection, database.marker_name)
    return tuple(column.name.lower() for column in columns), frozenset(keys)
