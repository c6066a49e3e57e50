"""The lines of a CSV text cut into records, some at a time; reads a text that it is given, opens and converts nothing.

The csv module looks at every character. A block of lines that are a record each is cut at all of its delimiters at
once, which are counted off into columns; what quotes hold has its delimiters masked meanwhile. Where a quote is
doubled, or holds a line end, or a record has another number of fields, csv reads the lines with quotes alone, if each
of them is a record by itself, and else the block and as many lines behind it as its last record takes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from etlctl.loads.faults import QuoteRules

LARGEST_FIELD = 64 * 1024 * 1024
"""Characters; a quote that is left open would otherwise read the rest of the file into memory."""

_BLOCK = 1 << 15
"""Characters read at a time, about: their fields stay in the processor's cache."""
_BLANK = frozenset(("\n", "\r\n", "\r"))
_MASK = "\0"


class _Text(Protocol):
    """Keeps line ends as they are (`newline=""`) and has no NUL."""

    def read(self, size: int, /) -> str: ...
    def readline(self) -> str: ...
    def readlines(self, hint: int = -1, /) -> list[str]: ...


class Block(NamedTuple):
    """Some records in order, in one form or the other."""

    columns: Sequence[list[str]] | None
    """The fields of each wanted column, of records that take a line each and have as many fields as they should."""
    records: list[list[str]]
    """Where there are no columns: all fields of each record; none for an empty line."""


class Cutter:
    """The records of a text, as csv.reader with `strict` would give them; csv.Error for what breaks RFC 4180's rules
    about quotes. About `block` characters are read at a time.
    """

    def __init__(self, text: _Text, delimiter: str, block: int = _BLOCK) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), LARGEST_FIELD))  # one for the process: only ever raised
        self._text = text
        self._delimiter = delimiter
        self._block = block
        self._rules = QuoteRules(delimiter)
        self._left: Iterator[str] = iter(())
        self.line = 0
        """Lines that the blocks so far have taken, or that were read when an error came up."""

    def first(self) -> list[str] | None:
        """The first record, called before any block; None where there is none. Its quotes are those that csv takes."""
        line = self._text.readline()
        return self._as_csv_does([line])[0][0] if line else None

    def blocks(self, width: int, wanted: Sequence[int]) -> Iterator[Block]:
        """The records, which should have `width` fields; columns are given of those `wanted`, counted from 0."""
        while text := "".join(self._left) or self._next_text():
            self._left = iter(())
            columns = _columns(text, self._delimiter, width, wanted) if wanted else None
            if columns is not None:
                self.line += len(columns[0])
                yield Block(columns, [])
            else:
                yield Block(None, self._records(io.StringIO(text, newline="").readlines()))

    def _next_text(self) -> str:
        text = self._text.read(self._block)
        return text + self._text.readline() if text else ""

    def _records(self, block: list[str]) -> list[list[str]]:
        records = self._line_by_line(block)
        if records is not None:
            self.line += len(block)
            return records
        records, lines = self._as_csv_does(block)
        self._check_quotes(records, lines)
        return records

    def _line_by_line(self, block: list[str]) -> list[list[str]] | None:
        """The records of the block where each of its lines is one; else None."""
        if not _BLANK.isdisjoint(block) or len(block[-1]) > LARGEST_FIELD:  # only the last can be longer than a block
            return None
        delimiter = self._delimiter
        quoted = [line for line in block if '"' in line]
        if not quoted:
            return [line.rstrip("\r\n").split(delimiter) for line in block]
        try:
            whole = list(csv.reader(quoted, delimiter=delimiter, strict=True))
        except csv.Error:
            return None
        if len(whole) != len(quoted):
            return None
        self._check_quotes(whole, quoted)
        left = iter(whole)
        return [next(left) if '"' in line else line.rstrip("\r\n").split(delimiter) for line in block]

    def _as_csv_does(self, block: list[str]) -> tuple[list[list[str]], list[str]]:
        """The records that begin in the block, and their lines; those that are read and not needed stay in `_left`."""
        taken: list[str] = []
        reader = csv.reader(self._taking(block, taken), delimiter=self._delimiter, strict=True)
        records: list[list[str]] = []
        before = self.line
        try:
            while reader.line_num < len(block):
                records.append(next(reader))
        finally:
            self.line = before + reader.line_num
        return records, taken

    def _taking(self, block: list[str], taken: list[str]) -> Iterator[str]:
        for line in chain(block, self._behind()):
            taken.append(line)
            yield line

    def _behind(self) -> Iterator[str]:
        while block := self._text.readlines(self._block):
            self._left = iter(block)
            yield from self._left

    def _check_quotes(self, records: list[list[str]], lines: list[str]) -> None:
        """csv takes a quote inside a field without quotes as it stands."""
        if '"' in "".join(chain.from_iterable(records)) and not self._rules.hold("".join(lines)):
            raise csv.Error("a quote in a field without quotes")


def _columns(text: str, delimiter: str, width: int, wanted: Sequence[int]) -> list[list[str]] | None:
    """The fields of the wanted columns of whole lines; None where a line is not one record of `width` fields."""
    if len(text) > LARGEST_FIELD:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    if not text.endswith("\n"):
        text += "\n"
    masked = 0
    if '"' in text:
        bare = _without_quotes(text, delimiter)
        if bare is None:
            return None
        text, masked = bare
    fields = text.replace("\n", "\n" + delimiter).split(delimiter)
    del fields[-1]  # behind the last line
    last = "".join(fields[width - 1 :: width]).split("\n")
    del last[-1]
    if len(fields) != len(last) * width or text.count("\n") != len(last):
        return None  # else every line end is in the last of `width` fields, so it has one each
    columns = [last if index == width - 1 else fields[index::width] for index in wanted]
    return _unmasked(columns, delimiter, masked) if masked else columns


def _without_quotes(text: str, delimiter: str) -> tuple[str, int] | None:
    """The text with the delimiters in quotes masked, and how many; None unless quotes stand around whole fields alone.

    A doubled quote leaves nothing between two quoted parts, where a delimiter or a line end has to be.
    """
    parts = text.split('"')
    outside, ends = parts[::2], {"\n", delimiter}
    if len(parts) % 2 == 0 or outside[0][-1:] not in {"", *ends}:
        return None
    if not ends.issuperset([part[:1] for part in outside[1:]]) or not ends.issuperset(
        [part[-1:] for part in outside[1:-1]]
    ):
        return None
    inside = '"'.join(parts[1::2])
    if "\n" in inside:
        return None
    masked = inside.count(delimiter)
    if masked:
        parts[1::2] = inside.replace(delimiter, _MASK).split('"')
    return "".join(parts), masked


def _unmasked(columns: list[list[str]], delimiter: str, masked: int) -> list[list[str]]:
    for index in reversed(range(len(columns))):  # free text is the last column more often than not
        joined = '"'.join(columns[index])
        found = joined.count(_MASK)
        if found:
            columns[index] = joined.replace(_MASK, delimiter).split('"')
            masked -= found
        if not masked:
            break
    return columns
