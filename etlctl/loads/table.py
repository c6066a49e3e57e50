"""LoadTable: rows, or a requirement's file as it is, into a table. Reads rows; how they are kept is db/'s matter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Sized
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from etlctl.core.task import flatten
from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.errors import LoadError
from etlctl.loads import copyobjects
from etlctl.loads.columns import RowReader
from etlctl.loads.rowsload import Input, PlacedRows, RowsLoad, tell_rows
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.sessions import Session
    from etlctl.loads.places import Origin
    from etlctl.loads.source import SourceFile
    from etlctl.loads.sourcefiles import SourceFiles


class LoadTable(RowsLoad):
    """Loads rows into `table`, once: rows and marker are committed together.

    Give `rows()`; or a requirement that makes one file (CSV, TSV, `.gz`, `.bz2`), on this machine or in S3, which is
    then loaded as it is; or several that are one together: a `.manifest` that names them, or an S3FlagTarget's folder.
    A file's columns are found by the names in its header. Raises BadDataError for a row, a value or a file that cannot
    be loaded, with file, line and column, and UnavailableError for a store that cannot be asked; the table is then as
    it was.
    """

    header: bool = True
    """Whether the first record of the file names its columns; without, they are those of `columns`, in order."""
    delimiter: Any = None
    """One character; None is a comma, and a tab for .tsv and .tab."""
    format: Any = None
    """csv, tsv, json, jsonl, parquet or avro; None goes by the file's suffix. All but csv and tsv are read by Redshift
    alone."""
    jsonpaths: Any = None
    """How Redshift finds columns in JSON and Avro: "auto", "auto ignorecase", or the file of paths, "s3://…"."""
    copy_options: Mapping[str, Any] = {}
    """Options of Redshift's COPY, by their names there in small letters."""

    def rows(self) -> Iterable[Mapping[str, Any] | Sequence[Any]] | None:
        """The rows, as mappings or as sequences in the order of `columns` (those of `values` left out); None takes the
        requirement's file."""
        return None

    def check_settings(self) -> None:
        """See MarkedLoad; what the file is must be something that this database loads."""
        super().check_settings()
        copyobjects.check(self, has_rows=type(self).rows is not LoadTable.rows)

    def prepare(self, session: Session) -> Any:
        """See RowsLoad; the file is found, and opened once, before the transaction."""
        rows: Any = self.rows()
        if rows is None and type(self).rows is not LoadTable.rows:
            raise LoadError(f"{type(self).__name__}.rows() returned None. Yield rows, or return a list of them.")
        declared = self.declared_columns()
        copyobjects.check(self, has_rows=rows is not None)
        origin = self._origin() if rows is None else None
        copying = copyobjects.copying_of(self, origin) if origin is not None else None
        if declared is None:
            declared, rows = self._columns_of_table(session, rows, copying or origin)
        if copying is not None:
            return self.prepare_rows(session, declared, copying.input_of)
        if origin is not None:
            return self.prepare_rows(session, declared, partial(self._from_file, origin))
        return self.prepare_rows(session, declared, partial(self._from_rows, rows))

    def _columns_of_table(
        self, session: Session, rows: Any, origin: Origin | copyobjects.Copying | None
    ) -> tuple[tuple[Column, ...] | None, Any]:
        """Those of the table that the rows bring, which need not bring what gets a value by itself; and the rows.

        None where there is no table.
        """
        found = self.existing_columns(session)
        if found is None or not any(column.has_default for column in found):
            return None, rows
        writable = [column for column in found if not column.is_generated]
        given = {name.lower() for name in self.values}
        free = {one.name for one in writable if one.has_default and one.name.lower() not in given}
        most = len([one for one in writable if one.name.lower() not in given])
        brought, rows = self._brought(rows, origin, most, free)
        text = ColumnType(Kind.TEXT)
        return tuple(
            Column(one.name, one.type or text, one.nullable)
            for one in writable
            if one.name not in free or brought is None or one.name in brought
        ), rows

    def _brought(
        self, rows: Any, origin: Origin | copyobjects.Copying | None, most: int, free: Collection[str]
    ) -> tuple[Collection[str] | None, Any]:
        """The names of the columns that the rows bring, as the first of them tells; None where it tells none."""
        if origin is not None:
            return self._names_in(origin), rows
        if isinstance(rows, (str, bytes, Mapping)) or hasattr(rows, "itertuples") or not isinstance(rows, Iterable):
            return None, rows  # what is wrong with them is told by who reads them
        left = iter(rows)
        first = next(left, None)
        again = chain(() if first is None else (first,), left)
        if isinstance(first, Mapping):
            return [name for name in first if isinstance(name, str)], again
        is_short = isinstance(first, Sized) and len(first) == most - len(free)
        return () if is_short else None, again

    def _names_in(self, origin: Origin | copyobjects.Copying) -> Sequence[str] | None:
        if isinstance(origin, copyobjects.Copying):
            return origin.names
        return self._opened(origin, ()).header_names() if self.header else None

    def _from_rows(self, rows: Iterable[Any], carried: Sequence[Column], constants: Mapping[Column, Any]) -> Input:
        from etlctl.db.dialects.base import Records

        reader = RowReader(rows, carried, stored=self.database.dialect.stored, null_values=self.null_values)
        placed = PlacedRows(reader, "rows()")
        return Input(Records(carried, placed, None, constants, tell_rows), placed.place)

    def _from_file(self, origin: Origin, carried: Sequence[Column], constants: Mapping[Column, Any]) -> Input:
        from etlctl.db.dialects.base import DelimitedFile, Records
        from etlctl.loads.storedobjects import stored_objects

        names = [column.name for column in carried]

        def place(number: int, column: str | None) -> str:
            again = self._opened(origin, names)  # only a record that is refused is worth knowing the line of
            for _ in islice(again, number + 1):
                pass
            return again.place(column)

        def note(rows: int) -> str | None:
            return "; ".join(filter(None, (source.note(rows), origin.note()))) or None

        source = self._opened(origin, names)
        file = DelimitedFile(
            source.opened_bytes, source.delimiter, self.header, source.header_names(), objects=stored_objects(origin)
        )
        records = Records(carried, source, copyobjects.null_words(self), constants, tell_rows, file)
        origin.remember()  # what is not there is told before the transaction; and they may be read past us, or late
        return Input(records, place, origin.check_unchanged, origin.described, note)

    def _opened(self, origin: Origin, wanted: Sequence[str]) -> SourceFile | SourceFiles:
        """What reads the columns `wanted` of the file, or of all of them."""
        if origin.is_single:
            from etlctl.loads.source import SourceFile

            return SourceFile(
                origin.places[0], wanted=wanted, header=self.header, delimiter=copyobjects.field_end(self)
            )
        from etlctl.loads.sourcefiles import SourceFiles

        return SourceFiles(
            origin.places, origin.shown, wanted=wanted, header=self.header, delimiter=copyobjects.field_end(self)
        )

    def _origin(self) -> Origin:
        """The one file that the requirements make, or the files that are one together."""
        from etlctl.loads.places import found_at

        targets = flatten(self.input())
        origin = found_at(targets[0], shortened(str(targets[0]), 200)) if len(targets) == 1 else None
        if origin is not None:
            return origin
        found = ", ".join(shortened(str(target)) for target in targets) or "nothing"
        raise LoadError(
            f"{type(self).__name__} has no rows(), so it loads the file of its requirement; that must be one file, on "
            f"this machine or in S3, and it is: {found}. Give it rows() to read anything else."
        )
