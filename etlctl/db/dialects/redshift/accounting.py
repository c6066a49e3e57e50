"""Whether the rows that a COPY brought are all that its files hold, to the byte; copies nothing, and stores nothing.

    look_at()            the first line of each object, and how long it is behind that
    counts_of()          what the rows would take, written as CSV with no quote too many
    Files.hold_just()    whether that is what the files have

A COPY says nothing of what it passed over: an empty line, blanks beside a quote, one delimiter too many at the end of a
line, all behind the first member of a .gz, or a whole file whose lines end in a way of their own.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from etlctl.db.dialects.base import DelimitedFile, StoredObject
from etlctl.db.dialects.redshift.statements import literal

if TYPE_CHECKING:
    from etlctl.s3.reader import ObjectStream

_AT_ONCE = 16
_LONGEST_HEADER = 1 << 20
_BLOCK = 1 << 16
_MARK = b"\xef\xbb\xbf"
_MODULUS = 1 << 32
"""A .gz says how long it is unpacked, in its last four bytes (RFC 1952): of its last member, and modulo this."""


class InDoubtError(Exception):
    """Redshift may make something else of the files than our reader."""


class _Ends(NamedTuple):
    """What the two ends of an object tell."""

    header: bytes
    line_end: bytes
    body: int
    """Bytes behind the header line, unpacked; modulo 2³² of a .gz."""
    is_open: bool | None
    """Whether its last line has no end; None where that is not known."""


class Counts(NamedTuple):
    """Of rows as CSV, where only fields that hold a quote, a delimiter or a line end are quoted."""

    rows: int
    fields: int
    """Their bytes and those of their quotes, without delimiters and line ends."""
    quoted: int
    empty: int
    returns: int
    """Fields with a carriage return, which may be half of a line end."""


class Files(NamedTuple):
    """What the files of one load hold behind their headers, together."""

    columns: int
    line_end: bytes
    body: int
    is_quoted: bool
    """Whether the header is in quotes, as where all fields are."""
    is_packed: bool
    open: int
    """How many have a last line without end, surely."""
    perhaps_open: int

    def hold_just(self, counts: Counts) -> bool:
        """Whether rows of such counts take as many bytes as there are: with quotes where they must be, there and around
        empty fields, or around all fields."""
        end = len(self.line_end)
        spare = self.body - counts.fields - counts.rows * (self.columns - 1 + end)
        plain = counts.rows * self.columns - counts.quoted
        quotes = (2 * plain,) if self.is_quoted else (0, 2 * counts.empty)
        modulus = _MODULUS if self.is_packed else 0
        for lacking in range(self.open, self.open + self.perhaps_open + 1):
            found = spare + lacking * end
            if (found % modulus if modulus else found) in quotes:
                return True
        return False


def look_at(file: DelimitedFile) -> Files:
    """Reads the ends of all objects, which must have one header, that of `file`, and be packed in one way.

    InDoubtError otherwise; UnavailableError and TransientError for a store that cannot be asked.
    """
    if len({one.packing for one in file.objects}) != 1 or file.objects[0].packing not in ("", ".gz"):
        raise InDoubtError("packed in several ways, or in one that tells no length")
    with ThreadPoolExecutor(min(_AT_ONCE, len(file.objects)), thread_name_prefix="etlctl-ends") as pool:
        asked = [pool.submit(copy_context().run, _ends_of, one) for one in file.objects]
        found = [one.result() for one in asked]
    header, line_end = found[0].header, found[0].line_end
    if any((one.header, one.line_end) != (header, line_end) for one in found):
        raise InDoubtError("headers that differ")
    if line_end not in (b"\n", b"\r\n") or b"\r" in header or _fields_of(header, file.delimiter) != list(file.names):
        raise InDoubtError("a header of several lines, or of other names")
    return Files(
        columns=len(file.names),
        line_end=line_end,
        body=sum(one.body for one in found),
        is_quoted=header.startswith(b'"'),
        is_packed=file.objects[0].packing != "",
        open=sum(one.is_open is True for one in found),
        perhaps_open=sum(one.is_open is None for one in found),
    )


def counts_of(columns: Sequence[str], delimiter: str) -> list[sa.ColumnElement[Any]]:
    """The fields of Counts for the rows of a table, whose columns are texts with names that need no quotes."""
    separator = literal(delimiter)
    written: list[str] = []
    quoted: list[str] = []
    empty: list[str] = []
    returns: list[str] = []
    for name in columns:
        marks = ("'\"'", separator, "chr(10)", "chr(13)")
        needs_quotes = "(" + " OR ".join(f"strpos({name}, {mark}) > 0" for mark in marks) + ")"
        inner = f"2 + octet_length({name}) - octet_length(replace({name}, '\"', ''))"
        written.append(f"octet_length({name}) + CASE WHEN {needs_quotes} THEN {inner} ELSE 0 END")
        quoted.append(f"CASE WHEN {needs_quotes} THEN 1 ELSE 0 END")
        empty.append(f"CASE WHEN octet_length({name}) = 0 THEN 1 ELSE 0 END")
        returns.append(f"CASE WHEN strpos({name}, chr(13)) > 0 THEN 1 ELSE 0 END")
    sums: list[sa.ColumnElement[Any]] = [
        sa.literal_column(f"sum({' + '.join(terms)})") for terms in (written, quoted, empty, returns)
    ]
    return [sa.func.count(), *sums]


def _ends_of(one: StoredObject) -> _Ends:
    from etlctl.s3.address import parse
    from etlctl.s3.reader import open_object

    try:
        with open_object(parse(one.location)) as stream:
            line = _first_line(stream) if one.packing == "" else _first_unpacked(stream)
            tail = _tail(stream, 1 if one.packing == "" else 4)
            size = stream.size
    except (FileNotFoundError, zlib.error) as error:
        raise InDoubtError(one.location) from error
    header = line.removeprefix(_MARK).rstrip(b"\r\n")
    line_end = line.removeprefix(_MARK)[len(header) :]
    if one.packing == "":
        body = size - len(line)
        return _Ends(header, line_end, body, body > 0 and tail != b"\n")
    body = (int.from_bytes(tail, "little") - len(line)) % _MODULUS
    return _Ends(header, line_end, body, None if body else False)


def _first_line(stream: ObjectStream) -> bytes:
    return stream.readline(_LONGEST_HEADER)


def _first_unpacked(stream: ObjectStream) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    found = b""
    while b"\n" not in found and len(found) < _LONGEST_HEADER and not unpacker.eof:
        packed = unpacker.unconsumed_tail or stream.read(_BLOCK)
        if not packed:
            break
        found += unpacker.decompress(packed, _LONGEST_HEADER)
    line, end, _ = found.partition(b"\n")
    return line + end


def _tail(stream: ObjectStream, size: int) -> bytes:
    if stream.size < size:
        raise InDoubtError("nothing in it")
    stream.seek(-size, io.SEEK_END)
    return stream.read(size)


def _fields_of(header: bytes, delimiter: str) -> list[str] | None:
    """The names in a header line; None where csv does not take it for a whole record in UTF-8."""
    try:
        return next(csv.reader([header.decode()], delimiter=delimiter, strict=True), None)
    except (UnicodeDecodeError, csv.Error):
        return None
