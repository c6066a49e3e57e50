"""QueryTable: the rows of a query into a table. RunSQL: statements under a marker. Finds no text: queryfile.py does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from etlctl import faultpoints
from etlctl.core import context
from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.db.sqlscript import Statement, split_statements
from etlctl.db.sqltext import BoundSQL, Flavour, bind, check_parameters, flavour_of
from etlctl.errors import LoadError, QueryError
from etlctl.loads import modes
from etlctl.loads.base import MarkedLoad
from etlctl.loads.columns import type_of
from etlctl.loads.parameters import query_values
from etlctl.loads.queryfile import Query, query_of
from etlctl.loads.tableload import LINEAGE_COLUMN, TableLoad
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.sessions import OpenLoad, Session


class _Selection(NamedTuple):
    """What stands ready when the transaction begins."""

    query: Query
    bound: BoundSQL
    """Returns exactly `columns`, in their order."""
    columns: tuple[Column, ...]
    unsure: tuple[Column, ...]
    """The integer columns among them for which the query gives values of another kind, or of none that is known."""


class QueryTable(TableLoad):
    """Loads what a query returns into `table`, once: rows and marker are committed together.

    The query is `query = "SELECT …"` or the `.sql` file beside the module, named after the class (CarrierDelays:
    carrier_delays.sql). `:name` takes a parameter or another attribute of the task, always bound. Columns go by name.
    A missing table is made from `columns`, or from the query's own types; with `mode = replace(recreate=True)` it is
    made anew each time. Raises QueryError for a text that cannot be run, with file and line.
    """

    query: Any = None
    """The text; a name ending in .sql is a file beside the module; None is the file named after the class."""

    def run(self) -> Any:
        """See MarkedLoad; a query that cannot be right is refused before anything is written."""
        self._checked_query()
        return super().run()

    def prepare(self, session: Session) -> _Selection:
        """Makes the table if need be; the query itself runs in the transaction."""
        query = self._checked_query()
        bound = self._bound(query)
        with query.locating(self._flavour), session.asking() as connection:
            returned = self._returned_names(connection, query, bound)
        columns = self._target_columns(session, query, bound, returned)
        constants = self.extra_values(columns)
        self._check_names(query, returned, columns, constants)
        names = {name.lower(): name for name in returned}
        wanted = [column for column in columns if column in constants or column.name.lower() in names]
        selecting = self._selecting(bound, wanted, names, constants)
        own_types = dict(
            zip((name.lower() for name in returned), self._result_types(session, query, bound), strict=True)
        )
        unsure = [
            column
            for column in wanted
            if column.type.kind is Kind.INTEGER and column not in constants and own_types[column.name.lower()] is None
        ]
        return _Selection(query, selecting, tuple(wanted), tuple(unsure))

    def load(self, load: OpenLoad) -> None:
        """Runs the query into a staging table, and stores its rows."""
        from etlctl.db import rows

        selection: _Selection = load.prepared
        bound = selection.bound
        # a server would round on the way into an integer column; numbers are looked at before
        columns = [
            Column(column.name, ColumnType(Kind.NUMERIC)) if column in selection.unsure else column
            for column in selection.columns
        ]
        with selection.query.locating(self._flavour):
            staged = load.session.stage_query("query", columns, bound.statement, dict(bound.values))
        rows.check_whole(load.connection, staged, selection.unsure, selection.query.place)
        self.store(load, staged, selection.columns)

    def _result_types(self, session: Session, query: Query, bound: BoundSQL) -> list[ColumnType | None]:
        """INTEGER where the query's own column is one; None for anything else."""
        without = query.without_values(query_values(self), self._flavour)
        with query.locating(self._flavour), session.asking() as connection:
            types = self.database.dialect.result_types(
                connection, bound.statement, dict(bound.values), without_parameters=without
            )
        return [type_ if type_ is not None and type_.kind is Kind.INTEGER else None for type_ in types]

    # -- the query

    @property
    def _flavour(self) -> Flavour:
        return flavour_of(self.database.dialect.name)

    def _checked_query(self) -> Query:
        query, flavour = query_of(self), self._flavour
        check_parameters(query.text, query_values(self), flavour=flavour, place=query.place, owner=type(self).__name__)
        statements = split_statements(query.text, flavour=flavour, place=query.place)
        if not statements:
            raise QueryError(f"{query.place}: there is no query, only comments.")
        first, *more = statements
        if more:
            raise QueryError(
                f"{query.place}:{more[0].line}: a second statement begins here; {type(self).__name__} is a "
                "QueryTable and has one query. RunSQL takes several statements."
            )
        if first.word not in ("SELECT", "WITH", "VALUES", "TABLE", ""):
            raise QueryError(
                f"{query.place}:{first.line}: {first.word} returns no rows for the table; write a "
                "SELECT, or make the class a RunSQL."
            )
        return query

    def _bound(self, query: Query) -> BoundSQL:
        return bind(
            query.text,
            query_values(self),
            flavour=self._flavour,
            place=query.place,
            owner=type(self).__name__,
            adapt=self.database.dialect.bound,
        )

    def _returned_names(self, connection: sa.Connection, query: Query, bound: BoundSQL) -> list[str]:
        """The names of the query's columns; QueryError for one without a name, and for two of one name."""
        probe = bound.within("SELECT * FROM (", ") AS etlctl_query LIMIT 0")
        result = connection.exec_driver_sql(probe.statement, dict(probe.values))
        names = list(result.keys())
        result.close()
        query.check_names(names, self._flavour)
        return names

    # -- the columns

    def _target_columns(
        self, session: Session, query: Query, bound: BoundSQL, returned: Sequence[str]
    ) -> tuple[Column, ...]:
        """Columns of this load's rows with their types in the target, which is there afterwards."""
        from etlctl.db import tables

        with session.asking() as connection:
            found = tables.existing(connection, self.database, self.table)
        recreates = isinstance(self.load_mode, modes.Replace) and self.load_mode.recreate
        columns = self.declared_columns()
        if columns is None:
            known = {} if recreates else {column.name.lower(): column for column in found or () if column.type}
            names = [*returned, *(name for name in self.values if name.lower() not in map(str.lower, returned))]
            own = {} if all(name.lower() in known for name in names) else self._own_types(session, query, bound)
            columns = tuple(
                Column(known[name.lower()].name, known[name.lower()].type or own[name.lower()])
                if name.lower() in known
                else Column(name, own[name.lower()])
                for name in names
            )
        if found is not None and recreates:
            return self._with_lineage(columns)
        return self.ensure_table(session, columns)

    def _own_types(self, session: Session, query: Query, bound: BoundSQL) -> dict[str, ColumnType]:
        """Types of what the query returns, and of `values`, by name in lower case."""
        without = query.without_values(query_values(self), self._flavour)
        with query.locating(self._flavour), session.asking() as connection:
            returned = self.database.dialect.query_columns(
                connection, bound.statement, dict(bound.values), without_parameters=without
            )
        types = {name.lower(): type_of(self._value_of(name, source)) for name, source in self.values.items()}
        return types | {column.name.lower(): column.type for column in returned}

    def _check_names(
        self, query: Query, returned: Sequence[str], columns: Sequence[Column], constants: Mapping[Column, Any]
    ) -> None:
        """Every column comes from the query or from `values`, and everything the query returns has a column."""
        there = {name.lower() for name in returned}
        for column in columns:
            if column not in constants and column.name.lower() not in there:
                raise QueryError(
                    f"{query.place}: the query returns no column {shortened(column.name)}, which columns declares; it "
                    f"returns: {shortened(', '.join(returned), 300)}.{did_you_mean(column.name, returned)}"
                )
        names = [column.name for column in columns if column.name != LINEAGE_COLUMN]
        for name in returned:
            if name.lower() not in map(str.lower, names):
                raise QueryError(
                    f"{query.place}: the query returns a column {shortened(name)}, which columns does not declare."
                    f"{did_you_mean(name, names)}"
                )

    def _selecting(
        self, bound: BoundSQL, wanted: Sequence[Column], names: Mapping[str, str], constants: Mapping[Column, Any]
    ) -> BoundSQL:
        """The query with its columns in the order of the table's, and the constants among them."""
        if not constants and [column.name.lower() for column in wanted] == list(names):
            return bound
        quote = self.database.engine.dialect.identifier_preparer.quote_identifier  # doubles % where the driver wants it
        parts, values = [], dict(bound.values)
        for number, column in enumerate(wanted, start=1):
            if column in constants:
                name = f"etlctl_value_{number}"
                values[name] = constants[column]
                parts.append(f"{bound.placeholder(name)} AS {quote(column.name)}")
            else:
                parts.append(f"etlctl_query.{quote(names[column.name.lower()])}")
        inside = bound.within("FROM (", ") AS etlctl_query")
        return BoundSQL(f"SELECT {', '.join(parts)}\n{inside.statement}", values, bound.paramstyle)


class RunSQL(MarkedLoad):
    """Runs statements once: what they do and their marker are committed together.

    The text is found as QueryTable finds its query, and may hold several statements. With `transactional = False` each
    statement commits by itself and the marker is written after the last one: for VACUUM and the like. Such statements
    run at least once, so running them again must do no harm.
    """

    query: Any = None
    """The text; a name ending in .sql is a file beside the module; None is the file named after the class."""
    transactional: bool = True
    """All in one transaction with the marker, or each by itself."""
    repeatable: bool = False
    """Says that --force may run the statements again."""

    def run(self) -> Any:
        """See MarkedLoad; a text that cannot be right is refused before anything runs."""
        query, statements = self._script()
        if self.transactional:
            return super().run()
        target, attempt = self.output(), context.attempt()
        is_loaded = target.exists()
        refusal = self.force_refusal()
        if attempt.forced and is_loaded and refusal is not None:
            raise LoadError(refusal)
        if attempt.forced or not is_loaded:
            with self.database.unguarded(self.doing) as connection:
                attempt.rows = self._execute(connection, query, statements)
            target.touch()
        return None

    def load(self, load: OpenLoad) -> None:
        """Runs the statements in order."""
        load.rows = self._execute(load.connection, *self._script())
        faultpoints.point("load.copied")

    def force_refusal(self) -> str | None:
        """Only the author knows what running the statements a second time does."""
        if self.repeatable:
            return None
        return (
            f"{self.doing}: --force would run its statements a second time. Where that does no harm, say "
            f"repeatable = True in {type(self).__name__}."
        )

    def _script(self) -> tuple[Query, tuple[Statement, ...]]:
        query, flavour = query_of(self), flavour_of(self.database.dialect.name)
        values = query_values(self)
        check_parameters(query.text, values, flavour=flavour, place=query.place, owner=type(self).__name__)
        statements = split_statements(query.text, flavour=flavour, place=query.place)
        if not statements:
            raise QueryError(f"{query.place}: there is no statement, only comments.")
        if self.transactional:
            for statement in statements:
                _refuse_in_transaction(statement, query.place)
        return query, statements

    def _execute(self, connection: sa.Connection, query: Query, statements: Sequence[Statement]) -> int | None:
        """Rows that the statements changed, as the database counts them; None when none of them tells."""
        values, dialect = query_values(self), self.database.dialect
        rows: int | None = None
        for statement in statements:
            where = f"{query.place}:{statement.line}"
            bound = bind(
                statement.text,
                values,
                flavour=flavour_of(dialect.name),
                place=query.place,
                owner=type(self).__name__,
                line=statement.line,
                adapt=dialect.bound,
            )
            with self.database.translating(f"{self.doing}: {where}"):
                result = connection.exec_driver_sql(bound.statement, dict(bound.values))
                if statement.word in _CHANGES and result.rowcount >= 0:
                    rows = (rows or 0) + result.rowcount
                    context.attempt().rows = rows
                result.close()
        return rows


_CHANGES = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "WITH", "COPY"))
_ENDS_TRANSACTION = frozenset(("BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK"))


def _refuse_in_transaction(statement: Statement, place: str) -> None:
    is_to_savepoint = " TO " in f" {' '.join(statement.text.upper().split())} "
    if statement.word in _ENDS_TRANSACTION and not (statement.word == "ROLLBACK" and is_to_savepoint):
        raise QueryError(
            f"{place}:{statement.line}: {statement.word}: the statements are one transaction already, which commits "
            "together with the marker; take it out."
        )
    if statement.word == "VACUUM":
        raise QueryError(
            f"{place}:{statement.line}: VACUUM cannot run inside a transaction; say transactional = False in the class."
        )
