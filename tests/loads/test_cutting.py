"""Lines cut into records: whatever the blocks are, they are those of the csv module."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etlctl.loads.cutting import Cutter

fields = st.text(alphabet='ab,;"\r\n é', max_size=6)
records = st.lists(st.lists(fields, max_size=3), max_size=8)


class Blocks:
    """A text that is read so many lines at a time."""

    def __init__(self, text: str, lines: int) -> None:
        self._lines = io.StringIO(text, newline="").readlines()
        self._at_once = lines

    def readlines(self, hint: int = -1, /) -> list[str]:
        count = 1 if hint == 1 else self._at_once
        block, self._lines = self._lines[:count], self._lines[count:]
        return block


def cut(text: str, lines: int, delimiter: str = ",", *, header: bool = False) -> list[list[str]] | str:
    """The records, or what is wrong."""
    cutter = Cutter(Blocks(text, lines), delimiter)
    try:
        first = cutter.first() if header else None
        found = [record for batch in cutter.batches() for record in batch]
    except csv.Error as error:
        return str(error)
    assert cutter.line == len(io.StringIO(text, newline="").readlines())
    return found if first is None else [first, *found]


def by_csv(text: str, delimiter: str = ",") -> list[list[str]] | str:
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return str(error)


@given(records, st.integers(1, 5), st.sampled_from(",;"), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_cutter_gives_what_was_written(
    written: list[list[str]], lines: int, delimiter: str, end: str, header: bool
) -> None:
    """Delimiters, quotes and line ends inside of fields among them."""
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(written)

    assert cut(file.getvalue(), lines, delimiter, header=header) == by_csv(file.getvalue(), delimiter)


@given(st.text(alphabet='a,"\r\n', max_size=30), st.integers(1, 5))
@example('1,"a\nx,y\nb",2\n', 3)
@example('1,"a\nx\nb","c\nd",2\n', 4)
@example('"a"b\nc\n', 2)
@example('\n"\n', 1)
def test_cutter_reads_any_text_as_csv_does(text: str, lines: int) -> None:
    """Or refuses it; a quote inside a field without quotes, which csv takes, is refused as well."""
    found, expected = cut(text, lines), by_csv(text)

    if found != expected:
        assert found == "a quote in a field without quotes"
        assert isinstance(expected, str) or any('"' in field for record in expected for field in record)


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_cutter_refuses_a_quote_inside_a_field_without_quotes(lines: int) -> None:
    """PostgreSQL's COPY would open a quoted part there."""
    assert cut('a,b\n1,5" pipe\n2,"x"\n', lines) == "a quote in a field without quotes"


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_cutter_takes_a_doubled_quote(lines: int) -> None:
    """As RFC 4180 writes one."""
    assert cut('a,b\n1,"5"" pipe"\n2,x', lines) == [["a", "b"], ["1", '5" pipe'], ["2", "x"]]


def test_cutter_counts_the_lines_that_its_batches_took() -> None:
    """The place of a record is found by it."""
    cutter = Cutter(Blocks('h,i\n1,"a\nb"\n2,c\n3,"d\n\ne"\n', 2), ",")

    assert cutter.first() == ["h", "i"] and cutter.line == 1
    assert [(batch, cutter.line) for batch in cutter.batches()] == [
        ([["1", "a\nb"]], 3),
        ([["2", "c"], ["3", "d\n\ne"]], 7),
    ]
