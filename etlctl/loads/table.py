"""LoadTable: rows, or a requirement's file as it is, into a table. Reads rows; how they are kept is db/'s matter."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence, Sized
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etlctl.core.task import flatten
from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.errors import BadDataError, LoadError
from etlctl.loads.columns import RowReader
from etlctl.loads.rowsload import Input, PlacedRows, RowsLoad, tell_rows
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.sessions import Session


class LoadTable(RowsLoad):
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
        """See RowsLoad; the file is found, and opened once, before the transaction."""
        rows = self.rows()
        if rows is None and type(self).rows is not LoadTable.rows:
            raise LoadError(f"{type(self).__name__}.rows() returned None. Yield rows, or return a list of them.")
        declared = self.declared_columns()
        if declared is None:
            declared, rows = self._columns_of_table(session, rows)
        if rows is None:
            return self.prepare_rows(session, declared, self._from_file)
        return self.prepare_rows(session, declared, partial(self._from_rows, rows))

    def _columns_of_table(self, session: Session, rows: Any) -> tuple[tuple[Column, ...] | None, Any]:
        """Those of the table that the rows bring, which need not bring what gets a value by itself; and the rows.

        None where there is no table.
        """
        found = self.existing_columns(session)
        if found is None or not any(column.has_default for column in found):
            return None, rows
        writable = [column for column in found if not column.is_generated]
        given = {name.lower() for name in self.values}
        free = {one.name for one in writable if one.has_default and one.name.lower() not in given}
        brought, rows = self._brought(rows, len([one for one in writable if one.name.lower() not in given]), free)
        text = ColumnType(Kind.TEXT)
        return tuple(
            Column(one.name, one.type or text, one.nullable)
            for one in writable
            if one.name not in free or brought is None or one.name in brought
        ), rows

    def _brought(self, rows: Any, most: int, free: Collection[str]) -> tuple[Collection[str] | None, Any]:
        """The names of the columns that the rows bring, as the first of them tells; None where it tells none."""
        if rows is None:
            if not self.header:
                return None, rows
            from etlctl.loads.source import SourceFile

            path, shown = self._file()
            return SourceFile(path, wanted=(), delimiter=self.delimiter, shown=shown).header_names(), rows
        if isinstance(rows, (str, bytes, Mapping)) or hasattr(rows, "itertuples") or not isinstance(rows, Iterable):
            return None, rows  # what is wrong with them is told by who reads them
        left = iter(rows)
        first = next(left, None)
        again = chain(() if first is None else (first,), left)
        if isinstance(first, Mapping):
            return [name for name in first if isinstance(name, str)], again
        is_short = isinstance(first, Sized) and len(first) == most - len(free)
        return () if is_short else None, again

    def _from_rows(self, rows: Iterable[Any], carried: Sequence[Column], constants: Mapping[Column, Any]) -> Input:
        from etlctl.db.dialects.base import Records

        reader = RowReader(rows, carried, stored=self.database.dialect.stored, null_values=self.null_values)
        placed = PlacedRows(reader, "rows()")
        return Input(Records(carried, placed, None, constants, tell_rows), placed.place)

    def _from_file(self, carried: Sequence[Column], constants: Mapping[Column, Any]) -> Input:
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
        records = Records(carried, source, self._null_words(), constants, tell_rows, file)
        described = _described(path, shown)
        return Input(records, place, source.check_unchanged, lambda: described, source.note)

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


def _described(path: Path, shown: str) -> dict[str, Any]:
    try:
        status = path.stat()
    except OSError as error:
        raise BadDataError(f"{shown}: cannot be read: {error.strerror}") from error
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return {"path": str(path), "size": status.st_size, "mtime": modified.isoformat()}
