"""The socket a database fits into: what the load protocol, the markers and the modes ask of it. Holds no SQL.

Everything that SQLAlchemy Core says alike for every database (DELETE of a partition, UPDATE and INSERT of a merge, the
marker rows) lives once in `db/rows.py` and `db/markers.py`. A dialect adds the rest: how an engine is made, how a
write begins, what keeps user code from committing, where rows are staged, how errors read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.columns import BadValueError, Column, ColumnType
    from etlctl.errors import EtlctlError

WRITE = "etlctl_write"
"""Execution option of a Connection whose next transaction is going to write (SQLite: BEGIN IMMEDIATE)."""
AUTOCOMMIT = "etlctl_autocommit"
"""Execution option of a Connection on which every statement commits by itself."""


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
    """Has exactly `columns`, in this order, under the target's names."""
    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Records:
    """Rows on their way into a staging table."""

    columns: Sequence[Column]
    """What each record holds, in order."""
    rows: Iterable[Sequence[Any]]
    """Asked for once, a few at a time. Its exceptions pass through."""
    null_values: Sequence[str] | None = None
    """The words that mean NULL when the records are text as a file has it; None when every value is already in the
    form the database stores."""
    constants: Mapping[Column, Any] | None = None
    """Values that every row gets besides, in the form the database stores."""
    progress: Callable[[int], None] | None = None
    """Told now and then how many rows are staged."""


class BadRecordError(ValueError):
    """One of the Records cannot be staged; whoever knows where they come from turns it into a BadDataError."""

    def __init__(self, number: int, error: BadValueError) -> None:
        self.number = number
        """Counted from 0, in the order in which the records were handed out."""
        self.error = error
        super().__init__(f"record {number}: {error}")


class Guard(Protocol):
    """Watches a Connection while user code has it."""

    @property
    def violation(self) -> str | None:
        """What user code tried or brought about (`COMMIT`), or None."""

    @property
    def is_intact(self) -> bool:
        """Whether the transaction that was open when the guard was put up is open still."""


class Dialect(Protocol):
    """One kind of database. Stateless: a Database holds one and hands it its own URL, engine and connections."""

    name: str
    """`sqlite`, `postgresql`, `mysql`, `redshift`."""
    ids_per_query: int
    """How many update_ids one question may hold."""
    target_schema: str | None
    """Where targets and markers are, said before their names in every statement; None leaves it to the connection."""

    # -- opening

    def make_engine(self, url: str) -> sa.Engine:
        """An engine with `hide_parameters` that obeys `WRITE` and `AUTOCOMMIT`; no connection is opened."""

    def is_absent(self, url: str) -> bool:
        """True where there is no database yet (a SQLite file), so that reading finds nothing and must not make it."""

    def is_same(self, url: str, other: str) -> bool:
        """Whether two URLs are one database for certain, so that a lock on one is a lock on the other."""

    def prepare_to_write(self, url: str) -> None:
        """Makes what a first write needs (the folder of a SQLite file). Raises OSError."""

    # -- a load

    def open_staging(self, connection: sa.Connection) -> None:
        """Called once on a fresh connection, before any transaction on it: makes room for staged rows."""

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """Streams `records` into a new staging table `name` of `columns`, in memory that does not grow with them.

        Outside a transaction it ends the one it needs itself and holds no lock that stops a writer; inside, its table
        belongs to that transaction. Raises BadRecordError for a value that is not of its column's type.
        """

    def stage_query(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any
    ) -> Staged:
        """Inside the load's transaction: the rows of a query, in `columns`, in a new staging table `name`.

        `query` and `parameters` are what `Connection.exec_driver_sql` takes.
        """

    def query_columns(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[Column]:
        """Names and types of what `query` returns, for a table that is to be made from it; writes nothing.

        `without_parameters` is the same query with NULL for each parameter: some databases tell types only of such.
        """

    def result_types(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[ColumnType | None]:
        """The types of what `query` returns, asked without running it; None for each the database does not tell.

        `without_parameters` as for `query_columns`. Raises what the database says of a query that it refuses, or that
        is none: a statement that writes.
        """

    def drop_staged(self, connection: sa.Connection, staged: Staged) -> None:
        """Inside the transaction that goes on: a staging table that is needed no more."""

    def insert_staged(self, connection: sa.Connection, table: str, staged: Staged) -> int:
        """INSERT INTO `table` all rows of `staged`; the number the database says it wrote."""

    def insert_marker(self, connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """INSERT of a marker row; False when its key is there already, in which case nothing is changed."""

    def guard(self, connection: sa.Connection) -> AbstractContextManager[Guard]:
        """Refuses COMMIT and ROLLBACK on `connection`, in whatever way they are said, while the block goes on."""

    # -- tables

    def lock_for_ddl(self, connection: sa.Connection) -> None:
        """Inside a write transaction: waits until no other process of ours is making or changing tables."""

    def table_columns(self, connection: sa.Connection, table: str) -> list[TableColumn] | None:
        """The columns of `table` in order, or None when there is no such table."""

    def unique_keys(self, connection: sa.Connection, table: str) -> list[frozenset[str]]:
        """Sets of columns that the database itself keeps unique in `table`, names in lower case."""

    def type_ddl(self, column_type: ColumnType) -> str:
        """The type's words in this database's CREATE TABLE."""

    def stored(self, column_type: ColumnType, value: object) -> Any:
        """A value of Python in the form this database stores for the type. Raises BadValueError."""

    def bound(self, value: object) -> Any:
        """A value of Python for a statement, in the form in which it compares with what `stored` gives."""

    def adopt_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """Gives an older marker table (Luigi's, or a former version of ours) our columns and the key of the pair.

        Runs inside the caller's write transaction; every row stays, with state NULL, which means done.
        """

    # -- errors

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """The error of ours that an error of the driver or of SQLAlchemy means; None when `error` is neither.

        `doing` begins the sentence ("LoadFlights(2013-01-02): table flights on warehouse").
        """
