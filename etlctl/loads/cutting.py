"""The lines of a CSV text cut into records, some at a time; reads lines that it is given, opens and converts nothing.

The csv module looks at every character. A line without a quote is one record whose fields are what is between the
delimiters, so it is cut at once; where a block has quotes, csv reads the lines with quotes alone, if each of them is a
record by itself, and else the block and as many lines behind it as its last record takes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from etlctl.loads.faults import QuoteRules

LARGEST_FIELD = 64 * 1024 * 1024
"""Characters; a quote that is left open would otherwise read the rest of the file into memory."""

_BLOCK = 1 << 13
"""Characters read at a time, about: their records stay in the processor's cache."""
_BLANK = frozenset(("\n", "\r\n", "\r"))


class _Text(Protocol):
    def readlines(self, hint: int = -1, /) -> list[str]: ...


class Cutter:
    """The records of a text whose `readlines` keeps line ends as they are (`newline=""`) and has no NUL.

    `batches()` gives them as csv.reader with `strict` would; csv.Error for what breaks RFC 4180's rules about quotes.
    """

    def __init__(self, text: _Text, delimiter: str) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), LARGEST_FIELD))  # one for the process: only ever raised
        self._text = text
        self._delimiter = delimiter
        self._rules = QuoteRules(delimiter)
        self._left: Iterator[str] = iter(())
        self.line = 0
        """Lines that the batches so far have taken, or that were read when an error came up."""

    def first(self) -> list[str] | None:
        """The first record, called before any batch; None where there is none. Its quotes are those that csv takes."""
        block = self._text.readlines(1)
        return self._as_csv_does(block)[0][0] if block else None

    def batches(self) -> Iterator[list[list[str]]]:
        """The records in order, some in each batch; an empty line is a record without fields."""
        while block := list(self._left) or self._text.readlines(_BLOCK):
            self._left = iter(())
            records = self._line_by_line(block)
            if records is None:
                records, lines = self._as_csv_does(block)
                self._check_quotes(records, lines)
            else:
                self.line += len(block)
            yield records

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
        while block := self._text.readlines(_BLOCK):
            self._left = iter(block)
            yield from self._left

    def _check_quotes(self, records: list[list[str]], lines: list[str]) -> None:
        """csv takes a quote inside a field without quotes as it stands."""
        if '"' in "".join(chain.from_iterable(records)) and not self._rules.hold("".join(lines)):
            raise csv.Error("a quote in a field without quotes")
