"""TableLoad: the way of rows into a table, by its mode and under its checks; whose rows they are, a subclass says.

Imports SQLAlchemy inside functions only, as loads/base.py does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from etlctl.core.parameters import ParameterVisibility
from etlctl.db.columns import BadValueError, Column, ColumnType, Kind
from etlctl.errors import LoadError
from etlctl.loads import columns as columns_module
from etlctl.loads import modes, redshift
from etlctl.loads.base import MarkedLoad
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

if TYPE_CHECKING:
    from sqlalchemy import FromClause

    from etlctl.db.dialects.base import Records, Staged, TableColumn
    from etlctl.db.sessions import OpenLoad, Session

LINEAGE_COLUMN = "etlctl_update_id"
"""The column that `lineage = True` adds: the update_id of the load that wrote the row."""


class TableLoad(MarkedLoad):
    """A MarkedLoad that puts rows into `table` by a mode; base of RowsLoad and QueryTable.

    `load()` stages the rows and hands them to `store()`, which takes the old ones out, puts them in, and checks them.
    """

    columns: Any = None
    """`{"name": "type words"}`, or SQLAlchemy columns; None takes what the table, or the query, has."""
    values: Mapping[str, Any] = {}
    """Column <- parameter: what the rows do not carry themselves. A text names a parameter or attribute of the task,
    anything else is the value; it wins over a column of the same name in the rows."""
    mode: Any = None
    """append, replace, replace_where(…) or merge_on(…); None is replace_where the columns of `values` when there are
    any, else append."""
    checks: Sequence[Any] = ()
    """What must hold for the rows of this load, inside its transaction."""
    null_values: Any = ("",)
    """The texts of a file that mean NULL."""
    evolve: bool = False
    """Adds columns that the table lacks."""
    lineage: bool = False
    """Adds a column `etlctl_update_id` that tells which load wrote a row."""
    redshift: Any = None
    """`Redshift(distkey=…, sortkey=…, …)`: how Redshift keeps the table; other databases pass over it."""

    @property
    def load_mode(self) -> modes.Mode:
        """The mode in force."""
        if self.mode is None:
            return modes.default_mode(self.values)
        return modes.as_mode(self.mode, where=type(self).__name__)

    def run(self) -> Any:
        """See MarkedLoad; the marker table is refused as a target before anything is written."""
        from etlctl.db.words import is_same_name

        database = self.database
        if is_same_name(database.dialect.table_name(str(self.table)), database.marker_name):
            raise LoadError(
                f"{self.doing}: {shortened(database.marker_table)} is the marker table of {database.name}, which tells "
                "what has been loaded. Give the load another table, or "
                f'[connections.{database.name}] another marker_table = "…".'
            )
        return super().run()

    def mode_columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """Those of `columns` that the mode names, in its order and whatever its case; LoadError for one there is not.

        Empty for a mode that names none.
        """
        mode = self.load_mode
        if not isinstance(mode, modes.ReplaceWhere | modes.MergeOn):
            return ()
        by_name = {column.name.lower(): column for column in columns}
        unknown = next((name for name in mode.columns if name.lower() not in by_name), None)
        if unknown is not None and self.mode is None:
            raise self._undeclared(unknown)
        if unknown is not None:
            names = [column.name for column in columns]
            raise LoadError(
                f"{self.doing}: {shortened(repr(mode))}: the rows have no column {shortened(unknown)}; they have: "
                f"{shortened(', '.join(names), 300)}.{did_you_mean(unknown, names)}"
            )
        return tuple(by_name[name.lower()] for name in mode.columns)

    def declared_columns(self) -> tuple[Column, ...] | None:
        """`columns` read, or None where the class declares none."""
        if self.columns is None:
            return None
        return columns_module.declared(self.columns, where=type(self).__name__)

    def extra_values(self, columns: Sequence[Column]) -> dict[Column, Any]:
        """What every row gets besides: `values` and the lineage, in the form the database stores, by column."""
        by_name = {column.name.lower(): column for column in columns}
        found: dict[Column, Any] = {}
        for name, source in self.values.items():
            column = by_name.get(name.lower())
            if column is None:
                raise self._undeclared(name)
            found[column] = self._stored(column, self._value_of(name, source), is_private=self._is_private(source))
        if self.lineage:
            found[by_name[LINEAGE_COLUMN]] = self.output().update_id
        return found

    def _undeclared(self, name: str) -> LoadError:
        return LoadError(
            f"{type(self).__name__}.values gives the column {shortened(name)}, which columns does not declare; "
            "declare it with its type."
        )

    def force_refusal(self) -> str | None:
        """Appended rows that carry nothing of their load cannot be told from others."""
        if not isinstance(self.load_mode, modes.Append) or self.values or self.lineage:
            return None
        return (
            f"{self.doing}: --force would append its rows a second time, since nothing in them tells which load wrote "
            "them. Give the class values = {…}, lineage = True or another mode; or delete the rows and their marker."
        )

    def after_commit(self) -> None:
        """VACUUM and ANALYZE where `redshift` asks for them."""
        if self.redshift is not None and self.database.dialect.name == "redshift":
            from etlctl.loads.upkeep import tend

            tend(self.database, str(self.table), self.redshift, self.doing)

    # -- the target

    def ensure_table(self, session: Session, columns: Sequence[Column] | None) -> tuple[Column, ...]:
        """The target is there with these columns; all columns of a row of this load, the lineage among them.

        Missing, it is made in a short transaction; lacking columns, it gets them when `evolve` says so. `columns` None
        takes those of the table, which must then exist. Inside an open transaction it is a part of that.
        """
        from etlctl.db import tables

        found = self.existing_columns(session)
        if columns is None:
            if found is None:
                raise LoadError(
                    f"{self.doing}: there is no table {shortened(self.table)}, and {type(self).__name__} declares no "
                    'columns = {"name": "type", …} to make it from.'
                )
            text = ColumnType(Kind.TEXT)
            columns = [
                Column(column.name, column.type or text, column.nullable) for column in found if not column.is_generated
            ]
        wanted = self._with_lineage(columns)
        self.mode_columns(wanted)
        redshift.check(self.redshift, wanted, where=type(self).__name__)
        if found is None:
            self._create(wanted)
            # another process may have made it, a moment before, in another shape
            found = self.existing_columns(session) or []
        if isinstance(self.load_mode, modes.Replace) and self.load_mode.recreate:
            return wanted
        tables.refuse_losing(found, wanted, self.table, self.doing)
        missing = tables.missing_columns(found, wanted)
        if not self.evolve:
            declared = [column for column in missing if column.name != LINEAGE_COLUMN]
            tables.refuse_missing(declared, self.table, self.doing)
        else:
            units = self.database.dialect.units_per_character
            tables.refuse_narrowing(found, wanted, self.table, self.doing, units=units)
        if missing:
            tables.refuse_change_inside(session, self.table, self.doing)
            with self.database.writing(f"{self.doing}: adding columns") as connection:
                tables.add_columns(connection, self.database, self.table, missing)
        return _in_order_of(found, wanted)

    def existing_columns(self, session: Session) -> list[TableColumn] | None:
        """The columns of `table` as the database tells them; None where there is none."""
        from etlctl.db import tables

        with session.asking() as connection:
            return tables.existing(connection, self.database, self.table)

    def _create(self, columns: tuple[Column, ...]) -> None:
        from etlctl.db import tables

        merges = isinstance(self.load_mode, modes.MergeOn) and self.database.dialect.enforces_keys
        keys = self.mode_columns(columns) if merges else ()
        unique = [column.name for column in keys]
        with self.database.writing(f"{self.doing}: creating the table") as connection:
            options = redshift.table_options(self.redshift, columns, self.database.dialect.name)
            tables.create(connection, self.database, self.table, columns, unique=unique, options=options)

    def _with_lineage(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        if not self.lineage or any(column.name.lower() == LINEAGE_COLUMN for column in columns):
            return tuple(columns)
        return (*columns, Column(LINEAGE_COLUMN, ColumnType(Kind.TEXT)))

    # -- the rows

    def store(self, load: OpenLoad, staged: Staged, columns: Sequence[Column]) -> None:
        """Inside the transaction: the rows that this load replaces go, the staged rows come, the checks are run.

        `columns` are those of the staged rows, with the types they have in the target. Sets `load.rows`.
        """
        from etlctl.db import rows

        connection, database, mode = load.connection, load.database, self.load_mode
        with database.translating(self.doing):
            database.dialect.fit_staged(connection, self.table, staged)
            if isinstance(mode, modes.MergeOn):
                keys = [column.name for column in self.mode_columns(columns)]
                database.dialect.lock_target(connection, self.table, None)
                load.rows = rows.merge(connection, database, self.table, staged, keys, self.doing)
            else:
                self.take_out(load, staged, columns)
                load.rows = rows.insert(connection, database, self.table, staged, self.doing)
        self._run_checks(load, staged.table)

    def store_records(self, load: OpenLoad, records: Records, columns: Sequence[Column]) -> None:
        """As `store()`, without staging: `goes_straight()` must hold. BadRecordError of the records passes."""
        from etlctl.db import rows

        with load.database.translating(self.doing):
            self.take_out(load, None, columns)
            load.rows = rows.insert_records(load.connection, load.database, self.table, records)
        self._run_checks(load, self._own_rows(load, columns))

    def goes_straight(self, load: OpenLoad, constants: Collection[Column], columns: Sequence[Column]) -> bool:
        """Whether records may go into the target itself: its rows of this load can then be told from others.

        `constants` are the columns that are alike in all records.
        """
        mode = self.load_mode
        if load.database.dialect.stages_outside or isinstance(mode, modes.MergeOn):
            return False
        if isinstance(mode, modes.ReplaceWhere):
            return set(self.mode_columns(columns)) <= set(constants)
        return isinstance(mode, modes.Replace) or not self.checks

    def _own_rows(self, load: OpenLoad, columns: Sequence[Column]) -> FromClause:
        """The part of the target that this load has just replaced."""
        from etlctl.db import rows

        known = {column.name: self._known(column) for column in self.mode_columns(columns)}
        return rows.part_of(load.database, self.table, [column.name for column in columns], known)

    def take_out(self, load: OpenLoad, staged: Staged | None, columns: Sequence[Column]) -> None:
        """The rows that this load replaces go, by its mode; no other load replaces them meanwhile."""
        from etlctl.db import rows, tables

        connection, database, mode = load.connection, load.database, self.load_mode
        if isinstance(mode, modes.ReplaceWhere):
            self._delete_partition(load, staged, self.mode_columns(columns))
        elif isinstance(mode, modes.Replace):
            database.dialect.lock_target(connection, self.table, None)
            if mode.recreate:
                options = redshift.table_options(self.redshift, columns, database.dialect.name)
                tables.recreate(connection, database, self.table, columns, self.doing, options=options)
            else:
                rows.delete_all(connection, database, self.table)
        elif load.is_forced:
            self._delete_own(load, columns)

    def _delete_partition(self, load: OpenLoad, staged: Staged | None, partition: Sequence[Column]) -> None:
        """By the values that are known before the rows are; by the rows' own where one is not."""
        from etlctl.db import rows

        connection, database = load.connection, load.database
        known = {column.name: self._known(column) for column in partition}
        if staged is not None and _UNKNOWN in known.values():
            database.dialect.lock_target(connection, self.table, None)
            rows.delete_partitions_of(connection, database, self.table, staged, list(known))
            return
        database.dialect.lock_target(connection, self.table, repr(sorted(known.items())))
        constant = {name.lower() for name in self.values}  # the same in every staged row: nothing to look for
        brought = {name: value for name, value in known.items() if name.lower() not in constant}
        if staged is not None and brought:
            hidden = {name for name in brought if self._is_private(name)}
            rows.check_partition(connection, staged, brought, self.doing, hidden=hidden)
        rows.delete_where(connection, database, self.table, known)

    def _known(self, column: Column) -> Any:
        """The value of `values`, or of the parameter of that name, for a partition's column."""
        for name, source in self.values.items():
            if name.lower() == column.name.lower():
                return self._stored(column, self._value_of(name, source), is_private=self._is_private(source))
        parameter = next((name for name in self.param_kwargs if name.lower() == column.name.lower()), None)
        if parameter is None:
            return _UNKNOWN
        return self._stored(column, self.param_kwargs[parameter], is_private=self._is_private(parameter))

    def _delete_own(self, load: OpenLoad, columns: Sequence[Column]) -> None:
        """The rows that a forced append wrote when it ran before."""
        from etlctl.db import rows

        if self.lineage:
            mine = {LINEAGE_COLUMN: self.output().update_id}
        else:
            mine = {column.name: value for column, value in self.extra_values(columns).items()}
            if load.old_rows is None and not self._values_tell_all():
                raise LoadError(
                    f"{self.doing}: --force cannot tell which rows are this load's: its marker has no count of them, "
                    f"and values does not name every parameter. {_LINEAGE_TELLS}"
                )
        gone = rows.delete_where(load.connection, load.database, self.table, mine)
        if not self.lineage and load.old_rows is not None and gone > load.old_rows:
            raise LoadError(
                f"{self.doing}: --force found {gone} rows with this load's values, and its marker speaks of "
                f"{load.old_rows}: values does not tell its rows from those of others. Nothing was deleted. "
                f"{_LINEAGE_TELLS}"
            )
        if gone == 0 and load.old_rows:
            raise LoadError(
                f"{self.doing}: --force finds none of the {load.old_rows} rows that its marker speaks of, so it cannot "
                "tell whether they are there still. Delete them and the marker by hand."
            )

    def _values_tell_all(self) -> bool:
        """Whether two loads of this class that differ have different `values`."""
        named = {source for source in self.values.values() if isinstance(source, str)}
        return all(name in named for name, parameter in self.get_params() if parameter.significant)

    def _run_checks(self, load: OpenLoad, own_rows: FromClause) -> None:
        if not self.checks:
            return
        from etlctl.loads.checks import run_checks
        from etlctl.loads.parameters import query_values

        run_checks(
            load.connection,
            self.checks,
            table=self.table,
            load_rows=own_rows,
            params=query_values(self),
            label=self.doing,
            adapt=load.database.dialect.bound,
            place=load.database.dialect.table_name,
        )

    def _value_of(self, column: str, source: Any) -> Any:
        """A text names a parameter or another public attribute; anything else is the value itself."""
        if not isinstance(source, str):
            return source
        if source in self.param_kwargs:
            return self.param_kwargs[source]
        if source.startswith("_") or not hasattr(self, source):
            there_are = ", ".join(self.param_kwargs) or "none"
            raise LoadError(
                f"{type(self).__name__}.values: {shortened(column)} is to come from {shortened(source)!r}, which is "
                f"neither a parameter nor an attribute of the task. Its parameters: {there_are}."
            )
        found = getattr(self, source)
        return found() if callable(found) else found

    def _stored(self, column: Column, value: Any, *, is_private: bool) -> Any:
        where = f"{self.doing}: the value for column {shortened(column.name)}"
        try:
            return self.database.dialect.stored(column.type, value)
        except BadValueError as error:
            if is_private:  # whose text stands in the error's own words, and in a traceback of them
                raise LoadError(f"{where} is private and refused: it is no {column.type}.") from None
            raise LoadError(f"{where}: {error}.") from error

    def _is_private(self, source: Any) -> bool:
        parameter = dict(self.get_params()).get(source) if isinstance(source, str) else None
        return parameter is not None and parameter.visibility is ParameterVisibility.PRIVATE


_UNKNOWN = object()
_LINEAGE_TELLS = (
    "lineage = True tells them apart from the next load on; or use another mode, or delete rows and marker by hand."
)


def _in_order_of(found: Sequence[TableColumn], columns: Sequence[Column]) -> tuple[Column, ...]:
    """`columns` under the table's own names, NOT NULL where the table says so; in its order too: rows are then copied
    page by page."""
    places = {column.name.lower(): place for place, column in enumerate(found)}
    places |= {column.name: place for place, column in enumerate(found)}
    placed = [(places.get(one.name, places.get(one.name.lower(), len(found))), one) for one in columns]
    ordered = []
    for place, column in sorted(placed, key=itemgetter(0)):
        there = found[place] if place < len(found) else None
        if there is None:
            ordered.append(column)
        else:
            ordered.append(Column(there.name, column.type, column.nullable and there.nullable))
    return tuple(ordered)
