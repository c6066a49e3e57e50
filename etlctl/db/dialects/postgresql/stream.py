r"""A CSV or TSV file on its way to PostgreSQL as the bytes it is, looked at as it goes; knows no connection.

    DelimitedStream.blocks()     whole records, some thousand at a time
      _Cutter                    ends a block where a record ends, never inside quotes
      pattern                    every record has a form that the server reads as we do, else InDoubtError
      _one_null_word()           COPY knows one word for NULL: the others become that one
      _with_constants()          the columns that the file does not have, at the end of each record

No step works line by line in Python: what is done for a field is done by `re` and `bytes`, so that the server, which
reads the block before meanwhile, is what takes the time.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from etlctl.db.columns import ColumnType
from etlctl.db.dialects.postgresql.forms import pattern_of

_BLOCK = 1 << 18
_LONGEST = 1 << 24
"""Bytes in which a record must end; beyond it is more likely a quote that was left open."""
_MARK = b"\xef\xbb\xbf"
_FIRST_RECORD = re.compile(rb'([^"\r\n]*+(?:"[^"]*+"[^"\r\n]*+)*+)(\r\n|\n|\r)')
_PLAIN = re.compile(r"[\w.:+ -]+")
_BACKSLASH_LINE = re.compile(rb"[\r\n]\\\.")


class ByteSource(Protocol):
    """What a file opened for bytes is, as far as it is needed."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class InDoubtError(Exception):
    """The server might read the file otherwise than we do, or not at all; says nothing about whether it is right."""


def header_of(source: ByteSource, delimiter: str) -> tuple[list[str] | None, bytes]:
    """The fields of the first record, None in an empty file, and what was read beyond it.

    InDoubtError for one that is not plainly a header.
    """
    held = start_of(source)
    while True:
        first = _FIRST_RECORD.match(held)
        if first is not None and first.end() < len(held):  # else the other half of CRLF may follow
            return _fields(first[1], delimiter), held[first.end() :]
        more = source.read(max(_BLOCK, len(held)))
        if not more:
            head = held if first is None else first[1]
            return (_fields(head, delimiter) if held else None), b""
        held += more
        if len(held) > _LONGEST:
            raise InDoubtError("the header does not end")


def start_of(source: ByteSource) -> bytes:
    """The first bytes, without the byte order mark."""
    return source.read(_BLOCK).removeprefix(_MARK)


def _fields(record: bytes, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([record.decode()], delimiter=delimiter, strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise InDoubtError("the header") from error


class DelimitedStream:
    """The records of a file behind its header, as COPY's CSV format takes them. Goes once.

    `types` are those of the file's columns in its order, None for one that nobody looks at. `nulls` are the words for
    NULL, of which the first is COPY's; `constants` further fields for each record, as text. Any exception of the source
    passes through.
    """

    def __init__(
        self,
        source: ByteSource,
        start: bytes,
        types: Sequence[ColumnType | None],
        *,
        delimiter: str,
        nulls: Sequence[str],
        constants: Sequence[str | None],
        obeys_backslash_dot: bool,
    ) -> None:
        self.records = 0
        """How many have been handed out."""
        self._source, self._start = source, start
        self._types, self.nulls, self.delimiter = types, nulls, delimiter
        self._obeys_backslash_dot = obeys_backslash_dot
        self._suffix = "".join(delimiter + _field_of(text, nulls, delimiter) for text in constants).encode()
        if b"\n" in self._suffix or b"\r" in self._suffix:
            raise InDoubtError("a line end in a constant")
        self._patterns: dict[tuple[bool, bytes], re.Pattern[bytes]] = {}
        self._line_end: bytes | None = None
        """That of the records, which COPY wants to be one and the same."""
        self._further = _fields_of(nulls[1:], delimiter)
        self._further_quoted = _fields_of([f'"{word}"' for word in nulls[1:]], delimiter)
        self._needles = [word.encode() for word in nulls[1:]]
        self._null = nulls[0].encode() if nulls else b""

    def blocks(self) -> Iterator[bytes]:
        """The bytes to send. InDoubtError as soon as a record is met that the server may read otherwise."""
        for block in self._whole_records():
            has_quotes = b'"' in block
            self._check(block, has_quotes)
            if has_quotes:
                yield self._rewritten_around_quotes(block)
            else:
                self.records += block.count(b"\n")
                yield self._rewritten(block)

    def _whole_records(self) -> Iterator[bytes]:
        held = self._start
        while True:
            end = _end_of_records(held)
            if end:
                yield held[:end]
                held = held[end:]
            more = self._source.read(max(_BLOCK, len(held)))
            if not more:
                break
            held += more
            if len(held) > _LONGEST:
                raise InDoubtError("a record does not end")
        if held:
            yield held + (b"" if held.endswith(b"\n") else self._line_end or b"\n")

    # -- is it read alike?

    def _check(self, block: bytes, has_quotes: bool) -> None:
        if self._line_end is None:
            self._line_end = b"\r\n" if self._matches(block, has_quotes, b"\r\n") else b"\n"
        if not self._matches(block, has_quotes, self._line_end):
            raise InDoubtError("a field that the server may read otherwise")
        if self._obeys_backslash_dot and has_quotes and b"\\." in block and _BACKSLASH_LINE.search(block):
            raise InDoubtError("the line that ends COPY before PostgreSQL 18, also inside quotes")

    def _matches(self, block: bytes, has_quotes: bool, line_end: bytes) -> bool:
        key = has_quotes, line_end
        if key not in self._patterns:
            record = pattern_of(self._types, self.nulls, self.delimiter, quotes=has_quotes)
            # no (?:…)*+ around what backtracks: Python before 3.11.5 matches that wrongly (cpython#106052)
            self._patterns[key] = re.compile(b"(?>(?:" + record + line_end + b")*)")
        return self._patterns[key].fullmatch(block) is not None

    # -- what is changed in it

    def _rewritten(self, outside: bytes) -> bytes:
        """Text outside of quotes, where a delimiter and a line end are what they look like."""
        if any(word in outside for word in self._needles):
            outside = self._further.sub(self._null_in, outside)
        if self._suffix:
            line_end = self._line_end or b"\n"
            outside = outside.replace(line_end, self._suffix + line_end)
        return outside

    def _rewritten_around_quotes(self, block: bytes) -> bytes:
        r"""Every second part between quotes stands outside of them. NUL, which no block has, keeps these apart."""
        if any(b'"%b"' % word in block for word in self._needles):
            block = self._further_quoted.sub(self._null_in, block)
        parts = block.split(b'"')
        outside = b"\0".join(parts[::2])
        self.records += outside.count(b"\n")
        rewritten = self._rewritten(outside)
        if rewritten is outside:
            return block
        parts[::2] = rewritten.split(b"\0")
        return b'"'.join(parts)

    def _null_in(self, _: re.Match[bytes]) -> bytes:
        return self._null


def _fields_of(texts: Sequence[str], delimiter: str) -> re.Pattern[bytes]:
    """Finds whole fields that are one of `texts`; each begins with what is searched for, since that is ten times as
    fast as to begin with what must stand before it."""
    cut = re.escape(delimiter)
    words = (f"{re.escape(text)}(?<![^{cut}\\r\\n]{re.escape(text)})" for text in texts)
    return re.compile(rf"(?:{'|'.join(words)})(?=[{cut}\r\n])".encode())


def _end_of_records(block: bytes) -> int:
    """Behind the last line end that stands outside of quotes; 0 where there is none."""
    end = block.rfind(b"\n")
    if block.find(b'"') < 0:
        return end + 1
    while end >= 0 and block.count(b'"', 0, end) % 2:
        end = block.rfind(b"\n", 0, block.rfind(b'"', 0, end))
    return end + 1


def _field_of(text: str | None, nulls: Sequence[str], delimiter: str) -> str:
    """A field that COPY takes for no null word, or that word; in quotes only where it must be: each row has it."""
    if text is None:
        return nulls[0] if nulls else ""
    if text not in nulls and delimiter not in text and _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace('"', '""') + '"'
