"""The socket a database fits into: what the load protocol, the markers and the modes ask of it. Holds no SQL.

Everything that SQLAlchemy Core says alike for every database (DELETE of a partition, UPDATE and INSERT of a merge, the
marker rows) lives once in `db/rows.py` and `db/markers.py`. A dialect adds the rest: how an engine is made, how a
write begins, what keeps user code from committing, where rows are staged, how errors read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.sql.elements import quoted_name

    from etlctl.db.columns import BadValueError, Column, ColumnType
    from etlctl.errors import EtlctlError

WRITE = "etlctl_write"
"""Execution option of a Connection whose next transaction is going to write (SQLite: BEGIN IMMEDIATE)."""
AUTOCOMMIT = "etlctl_autocommit"
"""Execution option of a Connection on which every statement commits by itself."""
LEFT_CLEAN = "etlctl_left_clean"
"""In Connection.info: when (time.monotonic) it was given back after no SQL but ours; nothing need be undone then."""


@dataclass(frozen=True)
class Options:
    """How a connection behaves, besides its URL; what a database has no word for it leaves out."""

    connect_timeout_s: float = 10
    statement_timeout_s: float | None = None
    """None leaves it to the server."""
    lock_timeout_s: float = 60
    """How long a statement waits for a lock before it fails."""
    s3_staging: str | None = None
    """Redshift: where rows lie on their way, `s3://bucket/prefix/`."""
    iam_role: str | None = None
    """Redshift: the role by which it gets at S3."""
    static_keys: bool = False
    """Redshift: whether keys may stand in COPY and UNLOAD where there is no role."""
    connection: str = ""
    """The connection's name, for messages."""


class TableName(NamedTuple):
    """A table's place, for statements; both parts are always quoted."""

    schema: quoted_name | None
    """None leaves it to the connection."""
    name: quoted_name


@dataclass(frozen=True)
class TableColumn:
    """A column of a table that exists, as the database tells it."""

    name: str
    type: ColumnType | None
    """None where the declared type is not one of our words."""
    declared: str
    nullable: bool = True
    is_generated: bool = False
    """The database computes it from other columns, and lets nobody write it."""
    has_default: bool = False
    """It gets a value by itself where a row brings none: a default, an identity, a counter."""


@dataclass(frozen=True)
class Staged:
    """Rows of one load, converted and complete, waiting to be stored in the target."""

    table: sa.TableClause
    """Has exactly `columns`, in this order, under the target's names."""
    columns: tuple[str, ...]
    rows: int


class StoredObject(NamedTuple):
    """One object in S3."""

    location: str
    """`s3://bucket/key`."""
    packing: str
    """`.gz` or `.bz2`, by which it must be unpacked; empty where it is plain."""


@dataclass(frozen=True)
class DelimitedFile:
    """A CSV or TSV file as it is, for a database that reads such files itself."""

    open: Callable[[], AbstractContextManager[BinaryIO]]
    """Its bytes from the first on, unpacked, the header included; a fresh stream at every call."""
    delimiter: str
    has_header: bool
    names: Sequence[str]
    """Its columns in the order of the file; where it has no header, those of the Records."""
    objects: Sequence[StoredObject] = ()
    """Where its bytes lie, in their order, each object with a header of its own where there are headers, whose columns
    may stand in another order; for a database that reads S3 itself. Empty for a file that is not in S3."""


@runtime_checkable
class TextsByColumns(Protocol):
    """Rows of text that are cut by columns anyway: who converts them by columns need not take them apart again."""

    def text_columns(self) -> Iterator[Sequence[Sequence[str]]]:
        """Some rows at a time, as the fields of each column, of which there is one at least."""


@dataclass(frozen=True)
class Records:
    """Rows on their way into a table."""

    columns: Sequence[Column]
    """What each record holds, in order."""
    rows: Iterable[Sequence[Any]]
    """A few at a time; may be asked for again, from the beginning, only where `file` is given. Its exceptions pass
    through. RowsAsText (lines.py) may be asked for text in place of rows, and TextsByColumns for columns."""
    null_values: Sequence[str] | None = None
    """The words that mean NULL when the records are text as a file has it; None when every value is already in the
    form the database stores."""
    constants: Mapping[Column, Any] | None = None
    """Values that every row gets besides, in the form the database stores."""
    progress: Callable[[int], None] | None = None
    """Told now and then how many rows are on their way."""
    file: DelimitedFile | None = None
    """The file that the rows are made of, where they are its text and nothing else."""


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
    longest_id: int | None
    """Characters of an update_id or target_table in the marker table; None where no length need be said."""
    stages_outside: bool
    """Whether `stage_records` is called before the load's transaction, because that locks the whole database (SQLite);
    else inside it, and rows may go straight into the target by `insert_records`."""
    has_transactional_ddl: bool
    """Whether CREATE, ALTER and DROP of tables belong to the transaction; where they do not they commit it (MySQL)."""
    refuses_commit: bool
    """Whether the server itself refuses COMMIT while a marker says `loading`: the marker table then has the column
    `loading` (see `create_markers`), which `db/markers.py` fills when a load begins and empties when it is done."""
    enforces_keys: bool
    """Whether the database itself refuses a second row of the same key. Where it does not (Redshift) every write of
    ours begins with `lock_markers`, and a merge looks for doubles in the data."""
    has_savepoints: bool
    """Whether a part of a transaction can be rolled back alone; where not, what fails in a joined load fails all."""
    units_per_character: int
    """What one character of a `varchar(n)` of ours counts in the length that `table_columns` tells: 4 on Redshift,
    which counts bytes."""

    # -- opening

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        """An engine with `hide_parameters` that obeys `WRITE`, `AUTOCOMMIT` and `options`; opens no connection.

        Connections that are kept are few; none of them is older than the server's patience without being noticed.
        """

    def table_name(self, table: str) -> TableName:
        """The place of `table` as a task names it; `schema.table` is two names where the database has schemas.

        LoadError for a name that the database cannot hold: one that is too long is never cut.
        """

    def checked_column(self, name: str, table: str) -> str:
        """`name` itself; LoadError when it cannot be the name of a column."""

    def is_absent(self, url: str) -> bool:
        """True where there is no database yet (a SQLite file), so that reading finds nothing and must not make it."""

    def is_same(self, url: str, other: str) -> bool:
        """Whether two URLs are one database for certain, so that a lock on one is a lock on the other."""

    def prepare_to_write(self, url: str) -> None:
        """Makes what a first write needs (the folder of a SQLite file). Raises OSError."""

    # -- a load

    def lock_markers(self, connection: sa.Connection, markers: sa.Table) -> None:
        """The first statement of every write transaction of ours, before anything is read in it.

        Nothing where keys are enforced. Elsewhere it makes the marker table if there is none, and waits until no other
        transaction of ours holds it: so what is read afterwards, markers above all, is what was committed last.
        LockTimeoutError after lock_timeout.
        """

    def bounded_wait(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """A block for questions about the marker table, which wait for its lock no longer than lock_timeout.

        Nothing where sessions have such a limit. Elsewhere LockTimeoutError.
        """

    def open_staging(self, connection: sa.Connection) -> None:
        """Called once on a fresh connection, before any transaction on it: makes room for staged rows."""

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """Streams `records` into a new staging table `name` of `columns`, in memory that does not grow with them.

        Called outside a transaction where `stages_outside`: it then ends the one it needs itself and holds no lock that
        stops a writer. Inside, its table belongs to that transaction. `columns` are all of the staged table's: those
        of the records and of their constants. Raises BadRecordError for a value that is not of its column's type.
        """

    def insert_records(self, connection: sa.Connection, table: str, records: Records) -> int:
        """Inside the load's transaction: streams `records`, with their constants, straight into `table`; how many.

        As the database says it; where the rows are ours to count, LoadError when the two numbers differ. Columns of the
        table that the records lack are left to their defaults. Errors and memory as for `stage_records`. Not called
        where `stages_outside`.
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

    def fit_staged(self, connection: sa.Connection, table: str, staged: Staged) -> None:
        """Inside the load's transaction, before staged rows are compared with `table` or inserted into it.

        Where the database converts no text by itself, a staged column gets the target's type if that is none of our
        words (a uuid).
        """

    def insert_staged(self, connection: sa.Connection, table: str, staged: Staged) -> int:
        """INSERT INTO `table` all rows of `staged`; the number the database says it wrote."""

    def ids_among(self, column: sa.ColumnElement[str], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        """`column IN (ids)` in the form that this database answers fastest for up to `ids_per_query` of them."""

    def insert_marker(self, connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """INSERT of a marker row; False when its key is there already, in which case nothing is changed.

        Waits for another transaction that has inserted the key and not ended. The transaction goes on after False.
        """

    def guard(self, connection: sa.Connection) -> AbstractContextManager[Guard]:
        """Refuses COMMIT and ROLLBACK on `connection`, in whatever way they are said, while the block goes on."""

    # -- tables

    def lock_target(self, connection: sa.Connection, table: str, part: str | None) -> None:
        """Inside the load's transaction: waits until no other load of ours replaces the same part of the table.

        `part` None means all of it. Held until the transaction ends. Without it two loads that replace the same rows
        would each find none to delete, and both insert theirs.
        """

    def lock_for_ddl(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """A block, inside a write transaction, in which no other process of ours is making or changing tables.

        The lock is held until the block ends at least, and until the transaction does where the database can."""

    def table_columns(self, connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
        """The columns of a table in order, or None when there is no such table."""

    def unique_keys(self, connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
        """Sets of columns that the database itself keeps unique in a table, names in lower case."""

    def is_partitioned(self, connection: sa.Connection, name: TableName) -> bool:
        """Whether the table is made of parts that a DROP would take along, or is such a part. Asked only where
        `has_transactional_ddl`."""

    def table_options(self, connection: sa.Connection) -> Mapping[str, Any]:
        """Keyword arguments of `sa.Table` for tables of ours and targets (MySQL: engine, character set, collation)."""

    def type_ddl(self, column_type: ColumnType, *, is_key: bool = False) -> str:
        """The type's words in this database's CREATE TABLE; `is_key` for a column that gets an index."""

    def stored(self, column_type: ColumnType, value: object) -> Any:
        """A value of Python in the form this database stores for the type. Raises BadValueError."""

    def bound(self, value: object) -> Any:
        """A value of Python for a statement, in the form in which it compares with what `stored` gives."""

    def create_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """Makes the marker table, and its schema where it has one that is missing; under `lock_for_ddl`.

        Where `refuses_commit`, with a deferred foreign key (loading, target_table) to the table's own primary key.
        """

    def adopt_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """Gives an older marker table (Luigi's, or a former version of ours) our columns and the key of the pair.

        Runs inside the caller's write transaction, under `lock_for_ddl`; every row stays, with state NULL, which means
        done; Luigi can go on writing it. Where DDL commits, each step leaves a table that another call goes on with.
        """

    # -- errors

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """The error of ours that an error of the driver or of SQLAlchemy means; None when `error` is neither.

        `doing` begins the sentence ("LoadFlights(2013-01-02): table flights on warehouse"). TransientError for what
        may go well when the whole transaction is tried again: a lost connection, a deadlock, a serialization failure,
        a server that is starting or has no connection free; LockTimeoutError for a lock that was waited for too long.
        """


class EnforcesKeys:
    """Of a Dialect whose database keeps keys unique, and has savepoints: its marker table needs no lock."""

    enforces_keys = True
    has_savepoints = True
    units_per_character = 1

    def lock_markers(self, connection: sa.Connection, markers: sa.Table) -> None:
        """Nothing."""

    def bounded_wait(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


@runtime_checkable
class CopiesOut(Protocol):
    """A Dialect whose database writes the lines of a CSV file itself."""

    def can_copy(self, connection: sa.Connection, types: Sequence[ColumnType | None]) -> bool:
        """Whether it writes columns of these types in the form of `loads/writers.py`."""

    def copy_rows(
        self,
        connection: sa.Connection,
        query: str,
        parameters: Any,
        types: Sequence[ColumnType | None],
        write: Callable[[bytes], object],
        *,
        delimiter: str,
        null: str,
    ) -> int:
        """Hands the rows of `query` to `write` as lines in UTF-8, some at a time; how many rows.

        `query` and `parameters` are what `Connection.exec_driver_sql` takes, `types` those of its columns. What `write`
        raises passes through, and the connection can be used no more in this transaction.
        """
