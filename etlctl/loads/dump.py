"""DumpTable: a table, or the rows of a query, into a file; how a row is written is loads/writers.py's matter.

DumpTable.run()
  output()                       one target that can be opened for writing
  database.reading()             one read transaction: the file holds one state of the database
    statement run                an error of the query comes before anything is written
    file.opened()                a temporary file, an upload, or the first of several parts (loads/dumpfiles.py)
    rows, some at a time         attempt().rows counts them; or UNLOAD, where that can do it (loads/dumpunload.py)
  transaction ended
file, or manifest, published     or, after an error, discarded
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.core.task import Task, flatten
from etlctl.db import ambient
from etlctl.db.sqltext import bind, flavour_of
from etlctl.errors import BadDataError, LoadError, QueryError
from etlctl.loads.connected import OnDatabase
from etlctl.loads.dumpfiles import DumpFile, Write, dump_file
from etlctl.loads.dumpunload import Unload, can_be_unloaded, unloaded
from etlctl.loads.parameters import query_values
from etlctl.loads.parquet import ParquetWriter, check_pyarrow
from etlctl.loads.queryfile import place_of, query_of
from etlctl.loads.writers import DelimitedWriter, JsonLinesWriter, RowWriter
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.columns import ColumnType

_BATCH = 500
"""Rows turned into text at a time: enough to do it by columns, few enough to stay in the processor's cache."""

_ORDERED = re.compile(r"\border\b", re.IGNORECASE)

CopyRows = Callable[..., int]
"""`CopiesOut.copy_rows` of one query."""


@dataclass(frozen=True)
class _Result:
    """What there is to write."""

    names: list[str]
    types: Sequence[ColumnType | None]
    batches: Iterable[Sequence[Sequence[Any]]] = ()
    copy_rows: CopyRows | None = None
    """In place of the batches: the database makes the lines."""
    unload: Unload | None = None
    """In place of the batches: the database makes the files."""
    is_ordered: bool = False
    """Whether the query speaks of an order."""


class DumpTable(OnDatabase, Task):
    """Writes a table, or what a query gives, into the file that `output()` names; the file appears when it is whole.

    Give `table` or `query`; with neither, the query is the `.sql` file beside the class's module named after the class.
    `:name` in it takes a parameter, or another public attribute or property. Rows come in the order of the
    database: a query with ORDER BY makes the same file of the same rows, to the byte, packed or not. The form of each
    value: loads/writers.py, docs/reference/loads.md.
    There is no marker: the task is complete when its file is there. Nothing is published after an error.

    Raises QueryError for a query, table or column that the database does not know; UnavailableError where there is no
    database; BadDataError for a value that the file cannot hold.
    """

    table: Any = None
    """The table or view to write, instead of a query."""
    query: Any = None
    """A SELECT, or the name of a .sql file beside the class's module."""
    columns: Any = None
    """Which columns of `table`, in this order; None takes all."""
    format: Any = None
    """csv, tsv, jsonl (one JSON object a line) or parquet; None goes by the file's suffix, before .gz or .bz2."""
    header: bool = True
    """Whether the first line of CSV and TSV names the columns."""
    null: str = ""
    """What stands for NULL in CSV and TSV; a text like it is quoted. LoadTable does not look at quotes: where empty
    texts must stay apart from NULL, use a word that is no text of the data, here and in its `null_values`."""
    escape_formulas: bool = False
    """Puts `'` before a text in CSV and TSV that a spreadsheet would run (it begins with = + - @, tab or CR). For files
    that people open, with texts that others wrote; it changes what a program reads, a text such as -5 or +49 too."""
    part_bytes: Any = None
    """Writes CSV, TSV or JSON lines as files of this size, in bytes before packing, and output() is the manifest that
    names them, `flights.csv.gz.manifest`: see loads/dumpparts.py. A part ends with the record that reaches the size."""

    def run(self) -> Any:
        """Writes the file anew."""
        file = dump_file(
            flatten(self.output()), owner=type(self).__name__, form=self.format, part_bytes=self.part_bytes
        )
        make_writer = self._writer_of(file.form)
        attempt, doing, database = context.attempt(), self._doing, self.database
        if ambient.session_of(database) is not None:
            raise LoadError(
                f"{doing}: inside an open transaction() or Sequence its file would hold rows that may yet be rolled "
                "back. Run it afterwards."
            )
        attempt.rows = 0
        with ExitStack() as until_published, self._result(file) as result:
            writer = make_writer(result.names, result.types)
            if result.unload is not None:
                head, is_ordered = str(writer.head()), result.is_ordered
                written = unloaded(file, result.unload, head, is_ordered=is_ordered)
                writer.rows = attempt.rows = until_published.enter_context(written)
            else:
                self._write(until_published.enter_context(file.opened(writer.head(), doing)), writer, result)
        if not writer.rows:
            attempt.notes.append(f"{shortened(str(file.target), 200)} {_said_of_no_rows(writer)}: 0 rows")

    @property
    def _doing(self) -> str:
        return f"{self.task_label} on {self.database.name}"

    # -- what is written

    def _write(self, write: Write, writer: RowWriter, result: _Result) -> None:
        if isinstance(writer, DelimitedWriter) and result.copy_rows is not None:
            writer.rows = self._copied(result.copy_rows, writer, write)
        for part in _parts(writer, result.batches, self._doing):
            if part:
                write(part)
            context.attempt().rows = writer.rows

    def _copied(self, copy_rows: CopyRows, writer: DelimitedWriter, write: Write) -> int:
        """Lets the database write the lines itself; how many rows."""
        attempt = context.attempt()
        taken, width = 0, 0.0

        def told(block: bytes) -> None:
            nonlocal taken, width
            write(block)
            taken += len(block)
            width = width or len(block) / max(block.count(b"\n"), 1)
            attempt.rows = round(taken / width)  # about: to count the lines of all is 3 % of a dump's work

        return copy_rows(told, delimiter=writer.delimiter, null=self.null)

    @contextmanager
    def _result(self, file: DumpFile) -> Iterator[_Result]:
        """Inside the read transaction."""
        if self.table is not None and self.query is not None:
            raise LoadError(f"{type(self).__name__} has both a table and a query; give one of them.")
        with self._of_table(file) if self.table is not None else self._of_query(file) as found:
            yield found

    @contextmanager
    def _of_table(self, file: DumpFile) -> Iterator[_Result]:
        import sqlalchemy as sa

        from etlctl.db import tables
        from etlctl.db.words import named_table

        with self.database.reading(self._doing) as connection:
            there = tables.existing(connection, self.database, self.table)
            if there is None:
                inspector = sa.inspect(connection)
                near = did_you_mean(self.table, [*inspector.get_table_names(), *inspector.get_view_names()])
                raise QueryError(f"{place_of(self)}: {self._doing}: there is no table {shortened(self.table)}.{near}")
            by_name = {column.name: column.type for column in there}
            names = self._columns_among(list(by_name))
            types = [by_name[name] for name in names]
            table = named_table(self.database.dialect.table_name(self.table), names)
            statement = str(sa.select(table).compile(dialect=connection.dialect))
            by_database = self._by_database(file, connection, statement, {}, types)
            if by_database is not None:
                yield by_database(names)
                return
            with closing(_streamed(connection, statement, {})) as result:
                yield _Result(names, types, result.partitions(_BATCH))

    @contextmanager
    def _of_query(self, file: DumpFile) -> Iterator[_Result]:
        if self.columns is not None:
            raise LoadError(f"{type(self).__name__}: columns are of a table; a query names its own.")
        query, dialect = query_of(self), self.database.dialect
        flavour, values = flavour_of(dialect.name), query_values(self)
        owner = self.task_family
        bound = bind(query.text, values, flavour=flavour, place=query.place, owner=owner, adapt=dialect.bound)
        bare, parameters = query.without_values(values, flavour), dict(bound.values)
        with query.locating(flavour), self.database.reading(self._doing) as connection:
            types = dialect.result_types(connection, bound.statement, bound.values, without_parameters=bare)
            by_database = self._by_database(file, connection, bound.statement, parameters, types)
            if by_database is not None:
                named = dialect.query_columns(connection, bound.statement, bound.values, without_parameters=bare)
                yield by_database([column.name for column in named])
                return
            with closing(_streamed(connection, bound.statement, parameters)) as result:
                yield _Result(_names(result), types, result.partitions(_BATCH))

    def _by_database(
        self,
        file: DumpFile,
        connection: sa.Connection,
        statement: str,
        parameters: Any,
        types: Sequence[ColumnType | None],
    ) -> Callable[[list[str]], _Result] | None:
        """The result by the columns' names, where the database writes the form of loads/writers.py itself."""
        from etlctl.db.dialects.base import CopiesOut
        from etlctl.db.dialects.objects import Unloads

        dialect = self.database.dialect
        if file.form not in ("csv", "tsv") or self.escape_formulas:
            return None
        if isinstance(dialect, CopiesOut) and dialect.can_copy(connection, types):
            copy_rows = partial(dialect.copy_rows, connection, statement, parameters, types)
            return lambda names: _Result(names, types, copy_rows=copy_rows)
        if isinstance(dialect, Unloads) and can_be_unloaded(file, self.null) and dialect.can_unload(statement, types):
            unload = partial(dialect.unload, connection, statement, parameters)
            is_ordered = _ORDERED.search(statement) is not None
            return lambda names: _Result(
                names,
                types,
                unload=partial(unload, columns=list(zip(names, types, strict=True))),
                is_ordered=is_ordered,
            )
        return None

    def _columns_among(self, there: Sequence[str]) -> list[str]:
        """The wanted columns under the names the table has for them."""
        if self.columns is None:
            return list(there)
        if isinstance(self.columns, str) or not all(isinstance(name, str) for name in self.columns):
            raise LoadError(f'{type(self).__name__}: write columns = ("name", …), the columns to dump in order.')
        by_name = {name.lower(): name for name in there} | {name: name for name in there}
        found = []
        for name in self.columns:
            if name not in by_name and name.lower() not in by_name:
                raise QueryError(
                    f"{place_of(self)}: {self._doing}: {shortened(self.table)} has no column {shortened(name)}; "
                    f"it has: {shortened(', '.join(there), 300)}.{did_you_mean(name, there)}"
                )
            found.append(by_name.get(name) or by_name[name.lower()])
        return found

    # -- how it is written

    def _writer_of(self, wanted: str) -> Callable[[list[str], Sequence[ColumnType | None]], RowWriter]:
        if wanted == "parquet":
            check_pyarrow()

        def make(names: list[str], types: Sequence[ColumnType | None]) -> RowWriter:
            if wanted in ("jsonl", "parquet") or self.header:
                self._refuse_twice(names)
            if wanted == "parquet":
                return ParquetWriter(names, types)
            if wanted == "jsonl":
                return JsonLinesWriter(names, types)
            return DelimitedWriter(
                names,
                types,
                delimiter="," if wanted == "csv" else "\t",
                null=self.null,
                header=self.header,
                escape_formulas=self.escape_formulas,
            )

        if not isinstance(self.null, str) or any(mark in self.null for mark in ',\t"\r\n'):
            raise LoadError(
                f"{type(self).__name__}: null is {shortened(repr(self.null))}; it must be a word without comma, tab, "
                "quote and line end."
            )
        return make

    def _refuse_twice(self, names: Sequence[str]) -> None:
        for name in names:
            if names.count(name) > 1:
                raise QueryError(
                    f"{self._doing}: the query gives two columns called {shortened(name)}; name them apart with AS."
                )


def _streamed(connection: sa.Connection, statement: str, parameters: Any) -> sa.CursorResult[Any]:
    """Rows are left with the server until they are asked for; a driver that holds none (SQLite's) passes over it."""
    return connection.exec_driver_sql(statement, parameters, execution_options={"stream_results": True})


def _names(result: sa.CursorResult[Any]) -> list[str]:
    """As the statement gives them: SQLAlchemy cuts SQLite's at a dot."""
    description = result.cursor.description if result.cursor is not None else ()
    return [column[0] for column in description]


def _parts(writer: RowWriter, batches: Iterable[Sequence[Sequence[Any]]], doing: str) -> Iterator[str | bytes]:
    """What the rows become, and what ends the file."""
    try:
        for batch in batches:
            yield writer.lines(batch)
        yield writer.end()
    except BadDataError as error:
        raise BadDataError(f"{doing}: {error}.") from error


def _said_of_no_rows(writer: RowWriter) -> str:
    return "holds a header alone" if writer.head() or isinstance(writer, ParquetWriter) else "is empty"
