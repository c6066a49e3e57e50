"""Files in S3 that Redshift's own COPY reads: JSON, Parquet, Avro, and CSV with options of COPY. Converts no value.

check()              while planning: what of a LoadTable's attributes no COPY takes, or only another database
copying_of()         what a COPY of its files is to be; None where they are read here, by loads/source.py
  Copying.input_of() for RowsLoad.prepare_rows(): looks at every object; the COPY comes when the rows are staged

COPY takes the fields of CSV and Parquet by their place. So the names in all files are read first (loads/fieldnames.py):
they say which column is where, and must be alike in all files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from etlctl.core import context
from etlctl.core.task import flatten
from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.errors import LoadError
from etlctl.loads.filenames import FORMS, PACKINGS, PACKINGS_OF_COPY
from etlctl.loads.manifest import SUFFIX
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Records, Staged
    from etlctl.db.dialects.objects import CopiesObjects
    from etlctl.db.sessions import Session
    from etlctl.loads.places import Origin
    from etlctl.loads.rowsload import Input
    from etlctl.loads.table import LoadTable

FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "avro")
_DELIMITED = ("csv", "tsv")
_BY_NAME = ("json", "avro")
_READ_HERE = (None, *PACKINGS.values())


class Told(NamedTuple):
    """What a file is."""

    form: str
    """csv, tsv, json, parquet or avro."""
    packing: str | None
    """As COPY calls it; None of one that is not packed."""

    @property
    def is_read_here(self) -> bool:
        """Whether loads/source.py reads it, on every database."""
        return self.form in _DELIMITED and self.packing in _READ_HERE


def told_by(name: str) -> Told:
    """By the suffixes of a file's name: `.json.gz`. CSV unless they say otherwise."""
    form, packing = _suffixes_of(name)
    return Told(form or "csv", packing)


def _suffixes_of(name: str) -> tuple[str | None, str | None]:
    suffixes = [one.lower() for one in PurePosixPath(name).suffixes]
    packing = PACKINGS_OF_COPY.get(suffixes[-1]) if suffixes else None
    own = suffixes[:-1] if packing is not None else suffixes
    return (FORMS.get(own[-1]) if own else None), packing


def field_end(task: LoadTable) -> str | None:
    """What ends a field, as far as the task says."""
    found: str | None = {"csv": ",", "tsv": "\t"}.get(task.format) if task.delimiter is None else task.delimiter
    return found


def null_words(task: LoadTable) -> tuple[str, ...]:
    """The texts of a file that mean NULL."""
    words = task.null_values
    return (words,) if isinstance(words, str) else tuple(word for word in words if word is not None)


# -- while planning


def check(task: LoadTable, has_rows: bool) -> None:
    """LoadError for attributes that are wrong, or fit nothing but a database that this is not. Opens nothing.

    `has_rows`: the task gives its rows itself.
    """
    where = type(task).__name__
    asked = [name for name in ("format", "jsonpaths", "copy_options") if getattr(task, name)]
    if has_rows and asked:
        raise LoadError(f"{where}.{asked[0]} is of a file, and {where} has rows(). Take one of them out.")
    _check_words(task, where)
    if has_rows:
        return
    path = _path(task)
    form, packing = _suffixes_of(path.removesuffix(SUFFIX))
    told = _as_asked(task, Told(form or "csv", packing))
    is_sure = form is not None or task.format is not None
    if is_sure:
        _check_paths(task, told)
    if task.copy_options or not told.is_read_here:
        dialect = _copier(task, told, shortened(path, 200) or where)
        if is_sure:
            _check_form(task, dialect, told)


def _check_words(task: LoadTable, where: str) -> None:
    if task.format is not None and task.format not in FORMATS:
        raise LoadError(
            f"{where}.format is {shortened(repr(task.format))}; there are {', '.join(FORMATS)}."
            f"{did_you_mean(str(task.format), FORMATS)}"
        )
    if task.jsonpaths is not None and not isinstance(task.jsonpaths, str):
        raise LoadError(f'{where}.jsonpaths is {shortened(repr(task.jsonpaths))}; write "auto" or "s3://BUCKET/KEY".')
    if not isinstance(task.copy_options, Mapping):
        raise LoadError(
            f"{where}.copy_options is {shortened(repr(task.copy_options))}; write {{'truncatecolumns': True}}."
        )


def _path(task: LoadTable) -> str:
    targets = flatten(task.input())
    path = getattr(targets[0], "path", None) if len(targets) == 1 else None
    return "" if path is None else str(path)


def _as_asked(task: LoadTable, told: Told) -> Told:
    form = {None: told.form, "jsonl": "json"}.get(task.format, task.format)
    return Told(form, task.copy_options.get("compression", told.packing))


def _copier(task: LoadTable, told: Told, shown: str) -> CopiesObjects:
    """The dialect, where it copies objects; LoadError with the mend where not."""
    from etlctl.db.dialects.objects import CopiesObjects

    dialect = task.database.dialect
    if isinstance(dialect, CopiesObjects):
        return dialect
    where = type(task).__name__
    own = f"{task.database.name} is {dialect.name}"
    if told.is_read_here:
        raise LoadError(
            f"{where}.copy_options are of Redshift's COPY, and {own}. Take them out: header, delimiter and null_values "
            "say what a file looks like."
        )
    if told.form in _DELIMITED:
        raise LoadError(
            f"{shown} is packed by {told.packing}, which only Redshift unpacks, and {own}. Pack it with gzip or bzip2 "
            "(.gz, .bz2)."
        )
    raise LoadError(
        f"{shown} is {told.form}, which only Redshift's COPY reads, and {own}. Make it CSV, or give {where} rows() "
        "that yields what is in it."
    )


def _check_paths(task: LoadTable, told: Told) -> None:
    if task.jsonpaths is not None and told.form not in _BY_NAME:
        raise LoadError(f"{type(task).__name__}.jsonpaths is of json and avro; the file is {told.form}.")


def _check_form(task: LoadTable, dialect: CopiesObjects, told: Told) -> None:
    """LoadError for what no COPY of such a file takes."""
    where = type(task).__name__
    if told.form not in _DELIMITED and task.delimiter is not None:
        raise LoadError(f"{where}.delimiter is of csv; the file is {told.form}.")
    if told.form not in _DELIMITED and null_words(task) not in ((), ("",)):
        raise LoadError(f"{where}.null_values is of csv; the file is {told.form}, which has NULL itself.")
    if told.form in _DELIMITED and task.header and "ignoreheader" in task.copy_options:
        raise LoadError(
            f"{where}.copy_options: header = True passes over the first line already; with header = False, "
            "ignoreheader lines are passed over, and the fields are those of columns in order."
        )
    try:
        dialect.check_copy(**_form_words(task, told))
    except LoadError as error:
        raise LoadError(f"{where}.copy_options: {error}") from error


def _form_words(task: LoadTable, told: Told) -> dict[str, Any]:
    """What `CopiesObjects` takes."""
    given: dict[str, Any] = {}
    if told.packing is not None and told.form != "parquet":
        given["compression"] = told.packing
    if told.form in _DELIMITED:
        given |= _null_options(task) | {"ignoreheader": 1 if task.header else None}
        given["delimiter"] = field_end(task) or ("\t" if told.form == "tsv" else None)
    options = {name: value for name, value in (given | dict(task.copy_options)).items() if value is not None}
    form = "csv" if told.form == "tsv" else told.form
    return {"format": form, "paths": task.jsonpaths or "auto", "options": options}


def _null_options(task: LoadTable) -> dict[str, Any]:
    words = null_words(task)
    others = [word for word in words if word]
    if len(others) > 1:
        raise LoadError(
            f"{type(task).__name__}.null_values: COPY knows one word for NULL besides the empty text, and there are "
            f"{shortened(', '.join(map(repr, others)), 200)}. Keep one of them."
        )
    return {"emptyasnull": True if "" in words else None, "null_as": others[0] if others else None}


# -- while running


def copying_of(task: LoadTable, origin: Origin) -> Copying | None:
    """What the COPY of these files is to be; None for files that are read here.

    LoadError for files that are not alike, are not in S3, or cannot be copied into this database; BadDataError for
    names in them that are not alike.
    """
    told = _as_one(
        [_as_asked(task, told_by(place.name)) for place in origin.places], origin, is_copied=bool(task.copy_options)
    )
    _check_paths(task, told)
    if told.is_read_here and not task.copy_options:
        return None
    dialect = _copier(task, told, origin.shown)
    _check_form(task, dialect, told)
    local = next((place for place in origin.places if not hasattr(place, "address")), None)
    if local is not None:
        raise LoadError(
            f"{local.shown} is on this machine, and Redshift's COPY reads {told.form} from S3. Let its task write an "
            "S3Target."
        )
    return Copying(origin, dialect, _form_words(task, told), _names(task, origin, told))


def _as_one(each: Sequence[Told], origin: Origin, *, is_copied: bool) -> Told:
    """What all files are; files that are read here may differ, since each of them is read by itself."""
    first = each[0]
    if not is_copied and all(one.is_read_here for one in each):
        return first
    number = next((number for number, one in enumerate(each) if one != first), None)
    if number is None:
        return first
    raise LoadError(
        f"{origin.shown}: by their names, {origin.places[0].shown} is {_said(first)} and {origin.places[number].shown} "
        f"is {_said(each[number])}, and COPY reads one form. Set format, and the compression in copy_options."
    )


def _said(told: Told) -> str:
    return told.form if told.packing is None else f"{told.form} packed by {told.packing}"


def _names(task: LoadTable, origin: Origin, told: Told) -> Sequence[str] | None:
    """What stands in the files, in order; None where COPY finds columns by name, or takes those of the task."""
    from etlctl.loads import fieldnames

    if told.form == "parquet":
        return fieldnames.of_parquet(origin.places)
    if told.form in _BY_NAME or not task.header:
        return None
    options = _form_words(task, told)["options"]
    unreadable = next((name for name in ("quote", "encoding") if name in options), None)
    if told.packing == "lzop" or unreadable is not None:
        why = f"the option {unreadable}" if unreadable is not None else "lzop"
        raise LoadError(
            f"{origin.shown}: with {why} only Redshift reads the header. Set header = False and "
            'copy_options = {"ignoreheader": 1, …}: the fields are then those of columns, in order.'
        )
    return fieldnames.of_delimited(origin.places, told.packing, options.get("delimiter", ","))


@dataclass(frozen=True)
class Copying:
    """One COPY of a load's files."""

    origin: Origin
    dialect: CopiesObjects
    form: Mapping[str, Any]
    """Format, paths and options."""
    names: Sequence[str] | None
    """The columns of the files in order, where that is how COPY finds them."""

    def input_of(self, carried: Sequence[Column], constants: Mapping[Column, Any]) -> Input:
        """For RowsLoad.prepare_rows(). BadDataError for columns that are not in the files."""
        from etlctl.db.dialects.base import Records
        from etlctl.loads.rowsload import Input

        places = self._placed([column.name for column in carried])
        self.origin.remember()
        return Input(
            Records(carried, (), None, constants),
            lambda *_: self.origin.shown,  # what COPY refuses, it names itself
            self.origin.check_unchanged,
            self.origin.described,
            self._note,
            stage=partial(self._stage, places),
        )

    def _placed(self, wanted: Sequence[str]) -> Sequence[int | None]:
        """Which of the wanted columns each field is; None of a field that is passed over."""
        if self.names is None:
            return range(len(wanted))
        from etlctl.loads import fieldnames

        is_parquet = self.form["format"] == "parquet"
        return fieldnames.placed(self.names, wanted, self.origin.places[0].shown, takes_all=is_parquet)

    def _stage(
        self, places: Sequence[int | None], session: Session, columns: Sequence[Column], records: Records
    ) -> Staged:
        own = records.columns
        copied = [
            own[place] if place is not None else Column(f"etlctl_field_{number}", ColumnType(Kind.TEXT))
            for number, place in enumerate(places)
        ]
        objects = [(found["path"], found["size"]) for found in (place.described() for place in self.origin.places)]
        staged = session.stage(
            "rows",
            lambda connection, name: self.dialect.stage_objects(
                connection, name, copied, objects, **self.form, constants=records.constants
            ),
        )
        context.attempt().rows = staged.rows
        return replace(staged, columns=tuple(column.name for column in columns))

    def _note(self, rows: int) -> str | None:
        said: Iterable[str | None] = (
            None if rows else f"Redshift found no record in {self.origin.shown}: 0 rows",
            self.origin.note(),
        )
        return "; ".join(filter(None, said)) or None
