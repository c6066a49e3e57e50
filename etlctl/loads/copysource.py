"""The reading side of CopyTable: which columns a table or query of another connection has, and its rows, streamed.

    source_of(task)               the text to run, from source_table or query
    Source.columns()              names and types, as that database tells them
    SourceRows.opened()           one statement, so one state of the database; rows are left with it
      iterated                    some at a time, in the order of the wanted columns
    closed                        whatever happened: the statement, its read transaction, the spool

Writes nothing to any database.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from etlctl.db import ambient
from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.db.sqltext import BoundSQL, Flavour, bind, flavour_of
from etlctl.errors import LoadError, QueryError
from etlctl.loads.queryfile import Query
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.connections import Database

_BATCH = 1000
"""Rows fetched at a time."""


@dataclass(frozen=True)
class Source:
    """A table, or a query, of a connection."""

    database: Database
    table: str | None
    query: Query | None
    """One of the two is given."""
    values: Mapping[str, Any]
    """What the query may name as `:name`."""
    owner: str
    """The task, for messages."""

    @property
    def name(self) -> str:
        """`orders on shop`; a query by its place."""
        what = shortened(self.table) if self.table is not None else self.query.place if self.query else ""
        return f"{what} on {self.database.name}"

    @property
    def doing(self) -> str:
        """The beginning of the database's sentences, which get the place of a query besides."""
        return self.name if self.query is None else f"{self.owner} on {self.database.name}"

    @property
    def described(self) -> dict[str, Any]:
        """For the marker's inputs."""
        what = {"table": self.table} if self.query is None else {"query": self.query.place}
        return {"connection": self.database.name, **what}

    def columns(self) -> list[Column]:
        """Names and types in order; a type that is none of our words is text. QueryError where there is no such table.

        Asks in a short read transaction, or in the one that is open.
        """
        with self._locating(), self.database.reading(self.doing) as connection:
            return self._of_table(connection) if self.query is None else self._of_query(connection, self.query)

    def selecting(
        self, wanted: Sequence[Column], condition: str = "", values: Mapping[str, Any] | None = None
    ) -> BoundSQL:
        """The statement that gives `wanted`, which are of `columns()`, of the rows for which `condition` holds.

        The condition is in the form of this database's driver: columns by `quoted()`, further values by
        `placeholder()`.
        """
        columns = ", ".join(map(self._selected, wanted))
        where = f" WHERE {condition}" if condition else ""
        if self.query is None:
            return self._statement(f"SELECT {columns} FROM {self._table_in_quotes()}{where}", values or {})  # noqa: S608  names are quoted
        bound = self._bound(self.query)
        text = f"SELECT {columns} FROM (\n{bound.statement}\n) AS etlctl_source{where}"  # noqa: S608  names are quoted
        return self._statement(text, {**bound.values, **(values or {})})

    def _selected(self, column: Column) -> str:
        """A JSON document as its text: a driver that reads it makes the same of the number 5 and of the text "5"."""
        import sqlalchemy as sa

        from etlctl.db.words import quoted

        if column.type.kind is not Kind.JSON:
            return self.quoted(column.name)
        text = sa.cast(sa.column(quoted(column.name)), sa.Text()).compile(dialect=self.database.engine.dialect)
        return f"{text} AS {self.quoted(column.name)}"

    def placeholder(self, name: str) -> str:
        """A further value's place in a statement of this database."""
        return self._form.placeholder(name)

    def quoted(self, name: str) -> str:
        """A column's name as it stands in a statement of this database, `%` twice where its driver wants that."""
        return self.database.engine.dialect.identifier_preparer.quote_identifier(name)

    @contextmanager
    def reading(self, bound: BoundSQL) -> Iterator[Iterator[Sequence[Sequence[Any]]]]:
        """The rows of `bound` in batches, left with the server until they are asked for; closed with the block."""
        with self._locating(), self.database.reading(self.doing) as connection:
            # of this statement alone: options of the connection would stay with a load that it belongs to
            options = {"stream_results": True}
            statement = connection.exec_driver_sql(bound.statement, dict(bound.values), execution_options=options)
            with closing(statement) as result:
                yield self._translated(result)

    def _translated(self, result: sa.CursorResult[Any]) -> Iterator[Sequence[Sequence[Any]]]:
        with self.database.translating(self.doing):  # else the target would take the error for one of its own
            yield from result.partitions(_BATCH)

    @contextmanager
    def _locating(self) -> Iterator[None]:
        if self.query is None:
            yield
            return
        with self.query.locating(self._flavour):
            yield

    @property
    def _flavour(self) -> Flavour:
        return flavour_of(self.database.dialect.name)

    @property
    def _form(self) -> BoundSQL:
        return BoundSQL("", {}, self._flavour.paramstyle)

    def _statement(self, text: str, values: Mapping[str, Any]) -> BoundSQL:
        return BoundSQL(text, values, self._flavour.paramstyle)

    def _bound(self, query: Query) -> BoundSQL:
        dialect = self.database.dialect
        return bind(
            query.text, self.values, flavour=self._flavour, place=query.place, owner=self.owner, adapt=dialect.bound
        )

    def _of_query(self, connection: sa.Connection, query: Query) -> list[Column]:
        bound = self._bound(query)
        bare = query.without_values(self.values, self._flavour)
        found = self.database.dialect.query_columns(
            connection, bound.statement, dict(bound.values), without_parameters=bare
        )
        query.check_names([column.name for column in found], self._flavour)
        return found

    def _of_table(self, connection: sa.Connection) -> list[Column]:
        import sqlalchemy as sa

        from etlctl.db import tables

        table = self.table or ""
        found = tables.existing(connection, self.database, table)
        if found is None:
            inspector = sa.inspect(connection)
            near = did_you_mean(table, [*inspector.get_table_names(), *inspector.get_view_names()])
            raise QueryError(f"{self.name}: there is no such table.{near}")
        text = ColumnType(Kind.TEXT)
        return [Column(column.name, column.type or text, column.nullable) for column in found]

    def _table_in_quotes(self) -> str:
        place = self.database.dialect.table_name(self.table or "")
        return ".".join(self.quoted(part) for part in place if part is not None)


class SourceRows:
    """The rows of a Source while `opened()` is; iterated once.

    `statement` is asked when it is opened; the rows go through the generator `seen`, where there is one.
    """

    def __init__(
        self,
        source: Source,
        statement: Callable[[], BoundSQL],
        seen: Callable[[Iterator[Sequence[Any]]], Iterator[Sequence[Any]]] = iter,
    ) -> None:
        self._source = source
        self._statement = statement
        self._seen = seen
        self._batches: Iterable[Sequence[Sequence[Any]]] | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Runs the statement; at the end of the block it is closed, whether all rows were taken or not.

        Where a transaction is open on the source's database, its connection is used, and since that must be free for
        the target, the rows are first put into a temporary file.
        """
        with ExitStack() as stack:
            batches = stack.enter_context(self._source.reading(self._statement()))
            if ambient.session_of(self._source.database) is None:
                self._batches = batches
            else:
                self._batches = _spooled(batches, stack.enter_context(tempfile.TemporaryFile(prefix="etlctl-")))
            try:
                yield
            finally:
                self._batches = None

    def __iter__(self) -> Iterator[Sequence[Any]]:
        if self._batches is None:
            raise AssertionError("the rows of a source are asked for while it is not open")
        return self._seen(row for batch in self._batches for row in batch)


def refuse_open_transaction(source: Database, target: Database, doing: str) -> None:
    """LoadError where a transaction is open on a source that is not the target: its rows may yet be rolled back."""
    if source is not target and ambient.session_of(source) is not None:
        raise LoadError(
            f"{doing}: a transaction() or Sequence is open on {source.name}, so its rows may yet be rolled back, "
            f"and those copied to {target.name} would stay. Copy before or after it."
        )


def _spooled(batches: Iterable[Sequence[Sequence[Any]]], file: IO[bytes]) -> Iterator[Sequence[Sequence[Any]]]:
    count = 0
    for batch in batches:
        pickle.dump([tuple(map(_picklable, row)) for row in batch], file, pickle.HIGHEST_PROTOCOL)
        count += 1
    file.seek(0)
    return (pickle.load(file) for _ in range(count))  # noqa: S301  what this very process wrote, in a file without a name


def _picklable(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
