"""The socket a database fits into: what the load protocol, the markers and the modes ask of it. Holds no SQL.

Everything that SQLAlchemy Core says alike for every database (INSERT … SELECT, DELETE of a partition, UPDATE and
INSERT of a merge, the marker rows) lives in `db/rows.py` and `db/markers.py`, once. A dialect adds the rest: how an
engine is made, how a write begins, what keeps user code from committing, where rows are staged, how errors read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.columns import Column, ColumnType
    from etlctl.errors import EtlctlError

WRITE = "etlctl_write"
"""Execution option of a Connection whose next transaction is going to write (SQLite: BEGIN IMMEDIATE)."""


@dataclass(frozen=True)
class TableColumn:
    """A column of a table that exists, as the database tells it."""

    name: str
    type: ColumnType | None
    """None where the declared type is not one of our words."""
    declared: str
    nullable: bool = True


@dataclass(frozen=True)
class Staged:
    """Rows of one load, converted and complete, waiting to be stored in the target."""

    table: sa.TableClause
    """Has one column per entry of `columns`, under the target's names."""
    columns: tuple[str, ...]
    rows: int


class Records(Protocol):
    """Rows on their way into the staging table: tuples in column order, asked for once, as they are needed."""

    def __iter__(self) -> Any: ...


class Guard(Protocol):
    """Watches a Connection while user code has it."""

    @property
    def violation(self) -> str | None:
        """What user code tried (`COMMIT`), or None."""

    @property
    def is_intact(self) -> bool:
        """Whether the transaction that was open when the guard was put up is open still."""


class Dialect(Protocol):
    """One kind of database. Stateless: a Database holds one and hands it its own engine and connections."""

    name: str
    """`sqlite`, `postgresql`, `mysql`, `redshift`."""
    ddl_in_transaction: bool
    """Whether CREATE and ALTER TABLE roll back with the transaction they stand in."""
    ids_per_query: int
    """How many update_ids one question may hold."""

    # -- opening

    def resolved(self, url: str, project: Path) -> str:
        """`url` with a relative file made absolute, beginning at the project folder."""

    def shown(self, url: str) -> str:
        """`url` as a person may read it: no password."""

    def make_engine(self, url: str) -> sa.Engine:
        """An engine with `hide_parameters`, whose "begin" event obeys `WRITE`; no connection is opened."""

    def is_absent(self, url: str) -> bool:
        """True where reading would find nothing because there is no database yet (a SQLite file), and must not make it."""

    def prepare_to_write(self, url: str) -> None:
        """Makes what a first write needs (the folder of a SQLite file)."""

    # -- a load

    def open_staging(self, connection: sa.Connection) -> None:
        """Called once on a fresh connection, before any transaction on it: makes room for staged rows."""

    def stage_records(
        self, connection: sa.Connection, like: str | None, columns: Sequence[Column], records: Iterable[Sequence[Any]],
        null_values: Sequence[str] | None, constants: Sequence[Any]
    ) -> Staged:
        """Streams `records` into a staging table; see `Session.stage_records`."""

    def guard(self, connection: sa.Connection) -> AbstractContextManager[Guard]:
        """Refuses COMMIT and ROLLBACK on `connection`, in whatever way they are said, while the block goes on."""

    # -- tables

    def lock_for_ddl(self, connection: sa.Connection) -> None:
        """Inside a write transaction: waits until no other process of ours is making or changing tables."""

    def table_columns(self, connection: sa.Connection, table: str) -> list[TableColumn] | None:
        """The columns of `table` in order, or None when there is no such table."""

    def has_unique_index(self, connection: sa.Connection, table: str, columns: Sequence[str]) -> bool:
        """Whether the database itself keeps `columns` of `table` unique."""

    def type_ddl(self, column_type: ColumnType) -> str:
        """The type's words in this database's CREATE TABLE."""

    def adopt_markers(self, connection: sa.Connection, table: str) -> None:
        """Gives an older marker table (Luigi's, or a former version of ours) our columns and the key of the pair."""

    # -- errors

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """The error of ours that `error` of the driver or of SQLAlchemy means; None when it is no database error.

        `doing` begins the sentence ("LoadFlights(2013-01-02): table flights on warehouse").
        """
