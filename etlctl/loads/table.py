"""LoadTable: rows, or a requirement's file as it is, into a table. Reads rows; how they are kept is db/'s matter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.core.task import flatten
from etlctl.db.columns import BadValueError, Column
from etlctl.errors import BadDataError, LoadError
from etlctl.loads import modes
from etlctl.loads.base import LINEAGE_COLUMN, TableLoad
from etlctl.loads.columns import RowReader
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Records, Staged
    from etlctl.db.sessions import OpenLoad, Session

_TELLING_EVERY_S = 0.5


@dataclass(frozen=True)
class _Input:
    """Rows on their way, and what there is to say about where they come from."""

    records: Records
    place: Callable[[int, str | None], str]
    """Where the record of this number (from 0) is, and its column."""
    check_unchanged: Callable[[], object] | None = None
    described: Mapping[str, Any] | None = None
    note: Callable[[int], str | None] = lambda _: None
    """Something worth saying about so many rows."""


class LoadTable(TableLoad):
    """Loads rows into `table`, once: rows and marker are committed together.

    Give `rows()`; or a requirement that makes one file (CSV, TSV, `.gz`, `.bz2`), which is then loaded as it is. A
    file's columns are found by the names in its header. Raises BadDataError for a row, a value or a file that cannot
    be loaded, with file, line and column; the table is then as it was.
    """

    header: bool = True
    """Whether the first record of the file names its columns; without, they are those of `columns`, in order."""
    delimiter: Any = None
    """One character; None is a comma, and a tab for .tsv and .tab."""

    def rows(self) -> Iterable[Mapping[str, Any] | Sequence[Any]] | None:
        """The rows, as mappings or as sequences in the order of `columns` (those of `values` left out); None takes the
        requirement's file."""
        return None

    def prepare(self, session: Session) -> Any:
        """Makes the table if need be, and stages the rows; the database is not locked meanwhile."""
        declared = self.declared_columns()
        columns = self.ensure_table(session, declared)
        constants = self.extra_values(columns)
        given = set(constants)
        order = columns if declared is None else (*declared, *(one for one in columns if one.name == LINEAGE_COLUMN))
        by_name = {column.name: column for column in columns}
        carried = tuple(by_name[column.name] for column in order if by_name[column.name] not in given)
        source = self._input(carried, constants)
        if not self.database.dialect.stages_outside:
            return None, columns, source
        staged = self._stage(session, columns, source)
        if isinstance(self.load_mode, modes.MergeOn):
            from etlctl.db.rows import check_merge_input

            with session.asking() as connection:  # before the lock: a long look at all rows
                check_merge_input(connection, staged, [key.name for key in self.mode_columns(columns)], self.doing)
        return staged, columns, source

    def load(self, load: OpenLoad) -> None:
        """The rows into the table, which are staged, or go there straight."""
        staged, columns, source = load.prepared
        if source.check_unchanged is not None:
            load.before_commit.append(source.check_unchanged)
        if source.described is not None:
            load.inputs.append(source.described)
        if staged is None and self.goes_straight(load, source.records.constants or (), columns):
            with _placing(source):
                self.store_records(load, source.records, columns)
        else:
            self.store(load, staged or self._stage(load.session, columns, source), columns)
        note = source.note(load.rows or 0)
        if note is not None:
            context.attempt().notes.append(note)

    def _stage(self, session: Session, columns: Sequence[Column], source: _Input) -> Staged:
        with _placing(source):
            return session.stage_records("rows", columns, source.records)

    # -- where the rows come from

    def _input(self, carried: Sequence[Column], constants: Mapping[Column, Any]) -> _Input:
        rows = self.rows()
        if rows is None and type(self).rows is not LoadTable.rows:
            raise LoadError(f"{type(self).__name__}.rows() returned None. Yield rows, or return a list of them.")
        return self._from_file(carried, constants) if rows is None else self._from_rows(rows, carried, constants)

    def _from_rows(self, rows: Iterable[Any], carried: Sequence[Column], constants: Mapping[Column, Any]) -> _Input:
        from etlctl.db.dialects.base import Records

        reader = RowReader(rows, carried, stored=self.database.dialect.stored, null_values=self.null_values)
        return _Input(Records(carried, _Placed(reader), None, constants, _progress), _row_place)

    def _from_file(self, carried: Sequence[Column], constants: Mapping[Column, Any]) -> _Input:
        from etlctl.db.dialects.base import DelimitedFile, Records
        from etlctl.loads.source import SourceFile

        path, shown = self._file()
        names = [column.name for column in carried]

        def opened() -> SourceFile:
            return SourceFile(path, wanted=names, header=self.header, delimiter=self.delimiter, shown=shown)

        def place(number: int, column: str | None) -> str:
            again = opened()  # only a record that is refused is worth knowing the line of
            for _ in islice(again, number + 1):
                pass
            return again.place(column)

        source = opened()
        file = DelimitedFile(source.opened_bytes, source.delimiter, self.header, source.header_names())
        records = Records(carried, source, self._null_words(), constants, _progress, file)
        return _Input(records, place, source.check_unchanged, _described(path, shown), source.note)

    def _null_words(self) -> tuple[str, ...]:
        words = self.null_values
        return (words,) if isinstance(words, str) else tuple(word for word in words if word is not None)

    def _file(self) -> tuple[Path, str]:
        """The one local file that the requirements make, and its name for messages."""
        targets = flatten(self.input())
        paths = [getattr(target, "path", None) for target in targets]
        if len(targets) == 1 and isinstance(paths[0], str | os.PathLike):
            return Path(paths[0]), shortened(str(targets[0]), 200)
        found = ", ".join(shortened(str(target)) for target in targets) or "nothing"
        raise LoadError(
            f"{type(self).__name__} has no rows(), so it loads the file of its requirement; that must be one local "
            f"file, and it is: {found}. Give it rows() to read anything else."
        )


@contextmanager
def _placing(source: _Input) -> Iterator[None]:
    """BadDataError, with its place, for a record that cannot be loaded."""
    from etlctl.db.dialects.base import BadRecordError

    try:
        yield
    except BadRecordError as bad:
        column = bad.error.column.name if bad.error.column is not None else None
        raise BadDataError(f"{source.place(bad.number, column)}: {bad.error}") from bad


class _Placed:
    """The rows of a RowReader, whose bad values know their row. A slow source is counted as it goes on: its thousands,
    after which the database tells how far it is, may be minutes apart."""

    def __init__(self, reader: RowReader, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock

    def __iter__(self) -> Iterator[Sequence[Any]]:
        try:
            due = self._clock() + _TELLING_EVERY_S
            for row in self._reader:
                if self._clock() >= due:
                    _progress(self._reader.rows)
                    due = self._clock() + _TELLING_EVERY_S
                yield row
        except BadValueError as error:
            where = self._reader.place(error.column.name if error.column is not None else None)
            raise BadDataError(f"{where}: {error}") from error


def _row_place(number: int, column: str | None) -> str:
    return f"rows(): row {number + 1}" + (f", column {shortened(column)}" if column is not None else "")


def _progress(rows: int) -> None:
    context.attempt().rows = rows


def _described(path: Path, shown: str) -> dict[str, Any]:
    try:
        status = path.stat()
    except OSError as error:
        raise BadDataError(f"{shown}: cannot be read: {error.strerror}") from error
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return {"path": str(path), "size": status.st_size, "mtime": modified.isoformat()}
