"""Where a CSV file breaks the rules, by line and field; reads lines that it is given, opens nothing.

The csv module tells neither the field nor the line of an open quote, and it takes a quote inside a field without quotes
(`5" pipe`) as it stands, where PostgreSQL's COPY would open a quoted part: such a field is refused on every database.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol


class Fault(NamedTuple):
    """What is wrong, at which line (from 1) and in which field of its record (from 0)."""

    line: int
    field: int
    what: str


class Reader(Protocol):
    """What csv.reader gives."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Reader: ...
    def __next__(self) -> list[str]: ...


_LINE_END = re.compile("\r\n|\r|\n")


def line_ends(record: Sequence[str]) -> int:
    """How many line ends the fields hold, so how many lines more than one the record takes."""
    joined = "\0".join(record)
    return len(_LINE_END.findall(joined)) if "\n" in joined or "\r" in joined else 0


def field_place(reader: Reader, find: Callable[[str], re.Match[str] | None]) -> Fault | None:
    """The first field in which `find` finds something, with the line of that; None where the file breaks off before."""
    try:
        for record in reader:
            for number, field in enumerate(record):
                if match := find(field):
                    begins = reader.line_num - line_ends(record)
                    before = line_ends([*record[:number], field[: match.start()]])
                    return Fault(begins + before, number, "")
    except (csv.Error, EOFError, OSError):
        return None
    return None


class QuoteRules:
    """RFC 4180's rules about quotes, for one delimiter."""

    def __init__(self, delimiter: str) -> None:
        cut = re.escape(delimiter)
        quoted = r'[^"]*+(?:""[^"]*+)*+'
        plain = rf'[^"{cut}\r\n]*+'
        self._quoted = re.compile(quoted)
        self._plain = re.compile(plain)
        field = rf'(?:"{quoted}"|{plain})'
        record = rf"{field}(?:{cut}{field})*+"
        self._records = re.compile(rf"{record}(?:[\r\n]++{record})*+")
        self._delimiter = delimiter

    def hold(self, records: str) -> bool:
        """Whether the text of whole records, with all their lines, keeps the rules."""
        return self._records.fullmatch(records) is not None

    def first_fault(self, lines: Iterable[str]) -> Fault | None:
        """The first place of a file that breaks the rules, or None."""
        opened: Fault | None = None
        field = 0
        for number, line in enumerate(lines, start=1):
            if opened is None:
                if '"' not in line:
                    continue
                field = 0
            opened, field, fault = self._walk(line, number, field, opened)
            if fault:
                return Fault(number, field, fault)
        return opened

    def _walk(self, line: str, number: int, field: int, opened: Fault | None) -> tuple[Fault | None, int, str]:
        """Through one line, from field to field: the quote still open at its end, the field reached, what is wrong."""
        position = 0
        while True:
            if opened is None and line.startswith('"', position):
                opened = Fault(number, field, "the quote opened here never ends")
                position += 1
            if opened is not None:
                position = _end(self._quoted, line, position)
                if position == len(line):
                    return opened, field, ""
                opened, position = None, position + 1
                if line[position : position + 1] not in ("", "\r", "\n", self._delimiter):
                    return None, field, "text after the closing quote; a quote inside a field is written twice"
            else:
                position = _end(self._plain, line, position)
                if line.startswith('"', position):
                    return None, field, 'a quote inside a field without quotes; write "5"" pipe" and not 5" pipe'
            if not line.startswith(self._delimiter, position):
                return None, field, ""
            field, position = field + 1, position + 1


def _end(pattern: re.Pattern[str], line: str, position: int) -> int:
    match = pattern.match(line, position)
    return match.end() if match else position
