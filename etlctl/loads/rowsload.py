"""RowsLoad: rows from anywhere outside the target's database, staged or straight into the table; knows no source."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from etlctl.core import context
from etlctl.db.columns import BadValueError, Column
from etlctl.errors import BadDataError
from etlctl.loads import modes
from etlctl.loads.columns import RowReader
from etlctl.loads.tableload import LINEAGE_COLUMN, TableLoad
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Records, Staged
    from etlctl.db.dialects.lines import FieldForm, Lines
    from etlctl.db.sessions import OpenLoad, Session

_Carried = Sequence[Column]
_Constants = Mapping[Column, Any]
_TELLING_EVERY_S = 0.5


@dataclass(frozen=True)
class Input:
    """Rows on their way, and what there is to say about where they come from."""

    records: Records
    place: Callable[[int, str | None], str]
    """Where the record of this number (from 0) is, and its column."""
    check_unchanged: Callable[[], object] | None = None
    described: Callable[[], Mapping[str, Any]] | None = None
    """For the marker's `inputs`; asked once the rows are in the table."""
    note: Callable[[int], str | None] = lambda _: None
    """Something worth saying about so many rows."""
    reading: Callable[[], AbstractContextManager[object]] = nullcontext
    """What must be open while the records are asked for, and is closed afterwards, however that went."""
    stage: Callable[[Session, Sequence[Column], Records], Staged] | None = None
    """Stages the rows where they are not read here; called with all columns of a row of this load, and the records'
    columns and constants under the table's own names."""
    matter: Any = None
    """The load's own."""


class Prepared(NamedTuple):
    """What stands ready when the transaction begins."""

    columns: tuple[Column, ...]
    """Of a row of this load, in the table's order."""
    source: Input
    staged: Staged | None
    """None where the rows are read inside the transaction."""


class RowsLoad(TableLoad):
    """A TableLoad of rows that stream through this process; base of LoadTable and CopyTable.

    A subclass implements `prepare()` by `prepare_rows()`.
    """

    def prepare_rows(
        self, session: Session, declared: tuple[Column, ...] | None, input_of: Callable[[_Carried, _Constants], Input]
    ) -> Prepared:
        """Makes the table if need be; stages the rows where that is done with the database not locked.

        `declared` are the columns of the rows, None for those of the table. `input_of` is called with the columns that
        the rows are to carry, in order and under the names that were declared, and with what every row gets besides,
        which goes into its Records; it reads nothing yet.
        """
        if declared is not None:
            self.extra_values(self._with_lineage(declared))  # what is wrong with them leaves no table behind
        columns = self.ensure_table(session, declared)
        constants = self.extra_values(columns)
        given = set(constants)
        order = columns
        if declared is not None:
            there = {one.name.lower() for one in declared}  # a copy's source may have a lineage of its own
            lineage = [one for one in columns if one.name.lower() == LINEAGE_COLUMN and LINEAGE_COLUMN not in there]
            order = (*declared, *lineage)
        by_name = {column.name.lower(): column for column in columns}
        pairs = [(one.name, by_name[one.name.lower()]) for one in order]
        carried = [(name, column) for name, column in pairs if column not in given]
        asked = tuple(Column(name, column.type, column.nullable) for name, column in carried)
        source = _under_names(input_of(asked, constants), [column for _, column in carried])
        if not self.database.dialect.stages_outside:
            return Prepared(columns, source, None)
        with source.reading():
            staged = self._stage(session, columns, source)
        if source.check_unchanged is not None and not self._checks_at_commit:
            source.check_unchanged()
        if isinstance(self.load_mode, modes.MergeOn):
            from etlctl.db.rows import check_merge_input

            with session.asking() as connection:  # before the lock: a long look at all rows
                check_merge_input(connection, staged, [key.name for key in self.mode_columns(columns)], self.doing)
        return Prepared(columns, source, staged)

    @property
    def _checks_at_commit(self) -> bool:
        """Not where all loads into the database wait for each other's commit: thousands of files may be asked for."""
        return self.database.dialect.enforces_keys

    def load(self, load: OpenLoad) -> None:
        """The rows into the table, which are staged, or go there straight."""
        columns, source, staged = load.prepared
        if source.check_unchanged is not None and self._checks_at_commit:
            load.before_commit.append(source.check_unchanged)
        if staged is not None:
            self.store(load, staged, columns)
        else:
            with source.reading():
                self._read_and_store(load, columns, source)
        if source.described is not None:
            load.inputs.append(source.described())
        note = source.note(load.rows or 0)
        if note is not None:
            context.attempt().notes.append(note)

    def _read_and_store(self, load: OpenLoad, columns: Sequence[Column], source: Input) -> None:
        if self.goes_straight(load, source.records.constants or (), columns):
            with _placing(source):
                self.store_records(load, source.records, columns)
        else:
            self.store(load, self._stage(load.session, columns, source), columns)

    def _stage(self, session: Session, columns: Sequence[Column], source: Input) -> Staged:
        if source.stage is not None:
            return source.stage(session, columns, source.records)
        with _placing(source):
            return session.stage_records("rows", columns, source.records)


def _under_names(source: Input, columns: Sequence[Column]) -> Input:
    """The same rows for columns of the table that it calls by another case; such a file is not read by the database."""
    records = source.records
    if [column.name for column in columns] == [column.name for column in records.columns]:
        return source
    return replace(source, records=replace(records, columns=columns, file=None))


@contextmanager
def _placing(source: Input) -> Iterator[None]:
    """BadDataError, with its place, for a record that cannot be loaded."""
    from etlctl.db.dialects.base import BadRecordError

    try:
        yield
    except BadRecordError as bad:
        column = bad.error.column.name if bad.error.column is not None else None
        raise BadDataError(f"{source.place(bad.number, column)}: {bad.error}") from bad


class PlacedRows:
    """The rows of a RowReader, whose bad values know their row. A slow source is counted as it goes on: its thousands,
    after which the database tells how far it is, may be minutes apart.

    `what` is what the rows come from, for messages: `rows()`.
    """

    def __init__(self, reader: RowReader, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._what = what
        self._clock = clock

    def __iter__(self) -> Iterator[Sequence[Any]]:
        with self._placing():
            due = self._clock() + _TELLING_EVERY_S
            for row in self._reader:
                if self._clock() >= due:
                    tell_rows(self._reader.rows)
                    due = self._clock() + _TELLING_EVERY_S
                yield row

    def as_text(self, form: FieldForm, required: Collection[str]) -> Iterator[Lines | Sequence[Sequence[str]]]:
        """See `RowsAsText`."""
        with self._placing():
            due = self._clock() + _TELLING_EVERY_S
            for found in self._reader.as_text(form, required):
                if self._clock() >= due:
                    tell_rows(self._reader.rows)
                    due = self._clock() + _TELLING_EVERY_S
                yield found

    @contextmanager
    def _placing(self) -> Iterator[None]:
        try:
            yield
        except BadValueError as error:
            column = error.column.name if error.column is not None else None
            raise BadDataError(f"{self.place(self._reader.rows - 1, column)}: {error}") from error

    def place(self, number: int, column: str | None) -> str:
        """`rows(): row 17, column dep_delay`; `number` counts from 0."""
        return f"{self._what}: row {number + 1}" + (f", column {shortened(column)}" if column is not None else "")


def tell_rows(rows: int) -> None:
    """So many are on their way, for the display."""
    context.attempt().rows = rows
