"""CopyTable: a table, or a query, of one connection into a table of another; how it is read is copysource.py's matter.

CopyTable.run()
  source asked                   which columns, of which types; the target is made of them if it is missing
  statement run there            one statement, so one state of the source
  rows streamed                  staged, or straight into the target
  marker 'done', COMMIT          the marker's inputs tell the source
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.db.columns import Column
from etlctl.errors import LoadError, QueryError
from etlctl.loads import modes
from etlctl.loads.columns import RowReader, type_of
from etlctl.loads.copysource import Source, SourceRows, refuse_open_transaction
from etlctl.loads.parameters import query_values
from etlctl.loads.queryfile import query_of
from etlctl.loads.rowsload import Input, PlacedRows, RowsLoad, tell_rows
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.sessions import Session


class CopyTable(RowsLoad):
    """Copies a table, or what a query gives, from the connection `source` into `table` of `connection`, once.

    Give `source_table`, or `query`: its text, the name of a `.sql` file beside the module, or nothing where such a file
    is named after the class; `:name` takes a parameter or another attribute of the task, always bound. One statement
    reads the source, so what changes there meanwhile is not seen; memory does not grow with the rows. A missing target
    is made with the source's names and types (not its keys); `columns` restricts and converts. NULL stays NULL, and an
    empty text stays one unless `null_values` says otherwise.

    Raises QueryError for a query, table or column that the source does not know; BadDataError, with row and column, for
    a value that is not of its column's type.
    """

    source: Any = None
    """The connection to read from: a name of the settings, or a URL; None is the default connection."""
    source_table: Any = None
    """The table or view to read, instead of a query."""
    query: Any = None
    """A SELECT, or the name of a .sql file beside the class's module."""
    null_values: Any = ()
    """The texts that become NULL: none, since a database has NULL itself."""

    def check_settings(self) -> None:
        """Both connections are of the settings, or URLs that this version can use. Opens nothing."""
        super().check_settings()
        context.current().database(self.source)

    @property
    def source_database(self) -> Database:
        """Where the rows come from."""
        found: Database = context.current().database(self.source)
        return found

    def run(self) -> Any:
        """See MarkedLoad; a source whose rows may yet be rolled back is refused, and a copy of a table onto itself."""
        refuse_open_transaction(self.source_database, self.database, self.doing)
        if self.source_table is not None and self.source_database.is_same_as(self.database):
            place = self.database.dialect.table_name
            if place(str(self.source_table)) == place(str(self.table)):
                raise LoadError(f"{self.doing}: it would copy the table onto itself. Give it another table.")
        return super().run()

    def prepare(self, session: Session) -> Any:
        """Asks the source for its columns, and makes the table if need be."""
        source = self._source()
        there = source.columns()
        columns = self._target_columns(session, there)
        return self.prepare_rows(session, columns, partial(self.input_of, session, source, there))

    def input_of(
        self,
        session: Session,
        source: Source,
        there: Sequence[Column],
        carried: Sequence[Column],
        constants: Mapping[Column, Any],
    ) -> Input:
        """The rows of `source`, which has the columns `there`, with what `carried` wants of them."""
        wanted = self._wanted(source, there, carried)
        rows = SourceRows(source, partial(source.selecting, wanted))
        return self.streamed(source, rows, carried, constants, lambda: source.described)

    def streamed(
        self,
        source: Source,
        rows: SourceRows,
        carried: Sequence[Column],
        constants: Mapping[Column, Any],
        described: Callable[[], Mapping[str, Any]],
    ) -> Input:
        """The Input of `rows`, which have the columns `carried`."""
        from etlctl.db.dialects.base import Records

        reader = RowReader(rows, carried, stored=self.database.dialect.stored, null_values=self.null_values)
        placed = PlacedRows(reader, source.name)
        records = Records(carried, placed, None, constants, tell_rows)
        return Input(records, placed.place, described=described, reading=rows.opened)

    # -- what is read

    def _source(self) -> Source:
        if self.source_table is not None and self.query is not None:
            raise LoadError(f"{type(self).__name__} has both a source_table and a query; give one of them.")
        if self.source_table is not None:
            return self._source_of(None)
        try:
            return self._source_of(query_of(self))
        except QueryError as error:
            if self.query is not None:
                raise
            raise QueryError(f'{error} Or name the table to copy: source_table = "…".') from error

    def _source_of(self, query: Any) -> Source:
        table = None if query is not None else str(self.source_table)
        return Source(self.source_database, table, query, query_values(self), self.task_family)

    def _target_columns(self, session: Session, there: Sequence[Column]) -> tuple[Column, ...]:
        """`columns`, or those of the source: with the types they have in the target, where it has them already."""
        from etlctl.db import tables

        declared = self.declared_columns()
        if declared is not None:
            return declared
        with session.asking() as connection:
            found = tables.existing(connection, self.database, self.table)
        recreates = isinstance(self.load_mode, modes.Replace) and self.load_mode.recreate
        known = {} if recreates else {column.name.lower(): column for column in found or () if column.type}
        types = {column.name.lower(): (column.name, column.type) for column in there}
        for name, value in self.values.items():
            if name.lower() not in types:
                types[name.lower()] = name, type_of(self._value_of(name, value))
        columns = []
        for lower, (name, type_) in types.items():
            is_known = known.get(lower)
            columns.append(Column(is_known.name, is_known.type or type_) if is_known else Column(name, type_))
        return tuple(columns)

    def _wanted(self, source: Source, there: Sequence[Column], carried: Sequence[Column]) -> list[Column]:
        """The columns that are to come from the source, as it has them."""
        by_name = {column.name.lower(): column for column in there}
        for column in carried:
            if column.name.lower() not in by_name:
                names = [one.name for one in there]
                raise QueryError(
                    f"{self.doing}: {source.name} has no column {shortened(column.name)}, which columns declares; it "
                    f"has: {shortened(', '.join(names), 300)}.{did_you_mean(column.name, names)}"
                )
        return [by_name[column.name.lower()] for column in carried]
