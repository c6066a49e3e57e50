"""A CSV or TSV file as a stream of records, read strictly; converts no value, knows no database and no place.

What is not certain is refused, naming file, line and column: a file is loaded whole and as it was meant, or not at all.
The format is RFC 4180 with any line end, in UTF-8. The place of a fault is found by loads/faults.py.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter, length_hint
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from etlctl.errors import BadDataError, LoadError
from etlctl.loads.cutting import Block, Cutter
from etlctl.loads.faults import Fault, QuoteRules, field_place, line_ends
from etlctl.loads.filenames import PACKED
from etlctl.loads.places import LocalPlace, Place
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

PROGRESS_EVERY = 8192
"""Records between two calls of `progress`, about."""

_DELIMITERS = ";\t|,:"
"""What fields end with in the wild."""


class SourceFile:
    """One file to load: iterating gives the fields of the wanted columns as text, a tuple for each record.

    One pass, memory of a few records. By their suffixes, `.gz` and `.bz2` are unpacked, `.tsv`
    and `.tab` are cut at tabs.
    With `header`, the first record names the file's columns: those not wanted are passed over. Without, the wanted ones
    are the file's columns in order. `shown` is the name for messages of a path (default: the path itself).
    BadDataError for whatever is wrong with the file, with its line and column; a place raises errors of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Place,
        *,
        wanted: Sequence[str],
        header: bool = True,
        delimiter: str | None = None,
        shown: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._at = LocalPlace(path, shown) if isinstance(path, str | os.PathLike) else path
        self.shown = self._at.shown
        self.rows = 0
        """Records handed out: exact when the file has been read, in steps of some records until then."""
        self._wanted = tuple(wanted)
        self._has_header = header
        self.delimiter = _delimiter_of(self._at.name) if delimiter is None else delimiter
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0':
            raise LoadError(f"{self.shown}: the delimiter {delimiter!r} must be one character, no quote, no line end")
        self._progress = progress
        self._names: tuple[str, ...] = ()
        self._pick: Callable[[Sequence[str]], tuple[str, ...]] = tuple
        self._batch: Sequence[Sequence[str]] = []
        self._left: Iterator[Any] = iter(())
        self._batch_line = 0

    @property
    def line(self) -> int:
        """The line, counted from 1, at which the record handed out last begins; fields may hold line ends."""
        done = len(self._batch) - length_hint(self._left)
        return self._batch_line + sum(1 + line_ends(record) for record in self._batch[: max(done - 1, 0)])

    def place(self, column: str | None = None) -> str:
        """Where the record handed out last is, for a message: `flights.csv.gz: line 17, column dep_delay`."""
        return _place(self.shown, self.line, column)

    def note(self, rows: int) -> str | None:
        """A sentence about a file that was read and held no records, else None."""
        if rows:
            return None
        if self._has_header and self._names:
            return f"{self.shown} holds a header alone: 0 rows"
        return f"{self.shown} is empty: 0 rows"

    def header_names(self) -> Sequence[str]:
        """The file's columns in its order; those wanted where it has no header. BadDataError as for iterating."""
        if not self._has_header:
            return self._wanted
        for _ in self._batches():
            break
        return self._names

    @contextmanager
    def opened_bytes(self) -> Iterator[BinaryIO]:
        """The file's bytes, unpacked, from the first on, for who reads its records in another way.

        BadDataError for a file that cannot be opened; what is wrong inside comes as the unpacker's own error.
        """
        with self._opened() as raw:
            yield _unpacked(raw, self._at.name)

    def check_unchanged(self) -> None:
        """BadDataError when the file is no longer the one that was read: replaced, or of another size or time."""
        self._at.check_unchanged()

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return chain.from_iterable(self._batches())

    def text_columns(self) -> Iterator[Sequence[Sequence[str]]]:
        """See `TextsByColumns`; columns must be wanted. `line` and `place()` do not follow it."""
        for block in self._blocks():
            columns = block.columns
            yield list(zip(*map(self._pick, block.records), strict=True)) if columns is None else columns

    def _batches(self) -> Iterator[Iterator[tuple[str, ...]]]:
        """Some records at a time, so that what is done for each of a million is done outside of Python."""
        for block in self._blocks():
            if block.columns is None:
                self._batch = block.records
                self._left = iter(self._batch)
                yield map(self._pick, self._left)
            else:
                self._batch = list(zip(*block.columns, strict=True))
                self._left = iter(self._batch)
                yield self._left
            self._batch = []

    def _blocks(self) -> Iterator[Block]:
        with self._opened() as raw:
            cutter: Cutter | None = None
            try:
                cutter = Cutter(_as_text(_CheckedBytes(_unpacked(raw, self._at.name))), self.delimiter)
                yield from self._cut(cutter)
            except (UnicodeDecodeError, _NulFoundError, csv.Error, EOFError, zlib.error, OSError) as error:
                raise self._explained(error, cutter.line if cutter is not None else 0) from error

    def _cut(self, cutter: Cutter) -> Iterator[Block]:
        first = cutter.first() if self._has_header else list(self._wanted)
        if first is None:
            return
        self._names = tuple(first)
        if self._has_header:
            self._check_header()
        self._batch_line = cutter.line + 1
        width = len(self._names)
        indexes = [self._names.index(name) for name in self._wanted]
        self._pick = _picker(indexes, width)
        reported = 0
        for block in cutter.blocks(width, indexes):
            next_line = cutter.line + 1
            records, wrong = block.records, None
            if set(map(len, records)) - {width}:
                records, wrong = _up_to_width(records, width)
            count = len(records) if block.columns is None else len(block.columns[0])
            if count:
                yield Block(block.columns, records)
            if wrong is not None:
                self._batch_line += sum(1 + line_ends(record) for record in records)
                raise self._miscounted(wrong, width)
            self._batch_line = next_line
            self.rows += count
            if self._progress is not None and self.rows - reported >= PROGRESS_EVERY:
                reported = self.rows
                self._progress(reported)

    def _check_header(self) -> None:
        if not self._names:
            raise BadDataError(
                f"{_place(self.shown, 1)}: is empty, where the header with the names of the columns is expected"
            )
        for number, name in enumerate(self._names, start=1):
            if not name.strip():
                raise BadDataError(f"{self.shown}: line 1: field {number} of the header has no name")
            first = self._names.index(name) + 1
            if first != number:
                place = _place(self.shown, 1, name)
                raise BadDataError(f"{place}: twice in the header, as field {first} and as field {number}")
        for name in self._wanted:
            if name not in self._names:
                raise BadDataError(f"{_place(self.shown, 1)}: the header {self._lacking(name)}")

    def _lacking(self, name: str) -> str:
        """What the header is, which has no column `name`; a header that another delimiter would cut well says so."""
        if len(self._names) == 1:
            only = self._names[0]
            cuts = (mark for mark in _DELIMITERS if not set(self._wanted).isdisjoint(only.split(mark)))
            if mark := next(cuts, None):
                written = "\\t" if mark == "\t" else mark
                return (
                    f"is one field, {shortened(only)}, and has no column {shortened(name)}. "
                    f'Set delimiter = "{written}" in the task if that is where its fields end.'
                )
        there_are = ", ".join(shortened(found) for found in self._names)
        free = [found for found in self._names if found not in self._wanted]
        return (
            f"has no column {shortened(name)}; it has: {shortened(there_are, 300)}."
            f"{did_you_mean(name, free)} For a file without a header say header = False."
        )

    def _miscounted(self, record: list[str], width: int) -> BadDataError:
        place = _place(self.shown, self._batch_line)
        if not record:
            return BadDataError(f"{place}: is empty, where {width} fields are expected")
        expected = f"{len(record)} field{'s' if len(record) != 1 else ''} instead of {width}"
        if len(record) < width:
            return BadDataError(f"{place}, column {shortened(self._names[len(record)])}: missing ({expected})")
        return BadDataError(f"{place}: {expected}; the first too many is {shortened(repr(record[width]))}")

    def _explained(self, error: Exception, last_line: int) -> BadDataError:
        """The error as a sentence with its place, for which the file is read again."""
        if isinstance(error, UnicodeDecodeError):
            place = self._place_of(lambda field: _SURROGATE.search(field))
            byte = error.object[error.start]
            return BadDataError(f"{place}: byte 0x{byte:02x} is not UTF-8; convert the file, for example with iconv")
        if isinstance(error, _NulFoundError):
            return BadDataError(f"{self._place_of(lambda field: _NUL.search(field))}: holds a NUL character")
        if isinstance(error, csv.Error):
            with self._opened() as raw:
                lines = iter(_as_text(_unpacked(raw, self._at.name), errors="surrogateescape"))
                fault = QuoteRules(self.delimiter).first_fault(lines)
            if fault is not None:
                return BadDataError(f"{self._fault_place(fault)}: {fault.what}")
            return BadDataError(f"{_place(self.shown, last_line)}: {error}")
        said = getattr(error, "strerror", None) or error
        return BadDataError(f"{self.shown}: cannot be read on after line {last_line}: {said}")

    def _place_of(self, find: Callable[[str], re.Match[str] | None]) -> str:
        with self._opened() as raw:
            text = _as_text(_unpacked(raw, self._at.name), errors="surrogateescape")
            reader = csv.reader(text, delimiter=self.delimiter)
            found = field_place(reader, find)
        return self.shown if found is None else self._fault_place(found)

    def _fault_place(self, fault: Fault) -> str:
        """The header is read again: the fault may have been met before it was, since bytes are looked at in blocks."""
        names: Sequence[str] = self._wanted
        if self._has_header:
            with self._opened() as raw:
                reader = csv.reader(
                    _as_text(_unpacked(raw, self._at.name), errors="surrogateescape"), delimiter=self.delimiter
                )
                names = next(reader, [])
                names = names if reader.line_num < fault.line else []
        column = names[fault.field] if fault.field < len(names) else f"number {fault.field + 1}"
        return _place(self.shown, fault.line, column)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with self._at.open() as raw:
            yield raw


_SURROGATE = re.compile("[\udc80-\udcff]")
_NUL = re.compile("\0")


class _NulFoundError(Exception):
    """A NUL byte is in the file: csv would take it for text, and no text column of a database can hold it."""


class _CheckedBytes(io.RawIOBase):
    """Bytes on their way to the decoder; refuses NUL."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._source.read(len(buffer))
        if b"\0" in chunk:
            raise _NulFoundError
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in PACKED:
        return raw
    if not cast(io.BufferedReader, raw).peek(1):
        raise EOFError(f"0 bytes are no {suffix[1:]} file")  # GzipFile takes it for an empty one, bz2 as well
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb") if suffix == ".gz" else bz2.BZ2File(raw))


def _as_text(source: BinaryIO | io.RawIOBase, errors: str = "strict") -> io.TextIOWrapper:
    """Lines with their own ends, without the byte order mark; a megabyte is read at a time."""
    buffered = io.BufferedReader(cast(io.RawIOBase, source), buffer_size=1 << 20)
    if buffered.peek(3).startswith(b"\xef\xbb\xbf"):
        buffered.read(3)
    return io.TextIOWrapper(buffered, encoding="utf-8", errors=errors, newline="")


def _picker(indexes: list[int], width: int) -> Callable[[Sequence[str]], tuple[str, ...]]:
    if indexes == list(range(width)):
        return tuple
    if not indexes:
        return lambda _: ()
    if len(indexes) == 1:
        only = indexes[0]
        return lambda record: (record[only],)
    return itemgetter(*indexes)


def _up_to_width(batch: list[list[str]], width: int) -> tuple[list[list[str]], list[str] | None]:
    """The records before the first without `width` fields, and that one; an empty line is one empty field."""
    good: list[list[str]] = []
    for record in batch:
        if len(record) != width and (record or width != 1):
            return good, record
        good.append(record or [""])
    return good, None


def _place(shown: str, line: int, column: str | None = None) -> str:
    return f"{shown}: line {line}" + (f", column {shortened(column)}" if column is not None else "")


def _delimiter_of(name: str) -> str:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes if suffix.lower() not in PACKED]
    return "\t" if suffixes[-1:] in ([".tsv"], [".tab"]) else ","
