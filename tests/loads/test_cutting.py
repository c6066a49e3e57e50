"""Lines cut into records: whatever the blocks are, they are those of the csv module."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from etlctl.loads.cutting import Block, Cutter

sizes = st.integers(1, 30)
fields = st.text(alphabet='ab,;"\r\n é', max_size=6)
records = st.lists(st.lists(fields, max_size=3), max_size=8)


def opened(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


def cut(text: str, size: int, delimiter: str = ",", *, header: bool = False) -> list[list[str]] | str:
    """The records, or what is wrong; `size` characters are read at a time."""
    cutter = Cutter(opened(text), delimiter, size)
    try:
        first = cutter.first() if header else None
        found = [record for block in cutter.blocks(1, ()) for record in block.records]
    except csv.Error as error:
        return str(error)
    assert cutter.line == len(opened(text).readlines())
    return found if first is None else [first, *found]


def columns_of(text: str, size: int, width: int, wanted: Sequence[int], delimiter: str = ",") -> list[Block] | str:
    """The blocks, or what is wrong."""
    cutter = Cutter(opened(text), delimiter, size)
    try:
        found = list(cutter.blocks(width, wanted))
    except csv.Error as error:
        return str(error)
    assert cutter.line == len(opened(text).readlines())
    return found


def as_csv(records: Iterable[Sequence[str]], delimiter: str = ",", end: str = "\n") -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(records)
    return file.getvalue()


def by_csv(text: str, delimiter: str = ",") -> list[list[str]] | str:
    try:
        return list(csv.reader(opened(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return str(error)


@given(records, sizes, st.sampled_from(",;"), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_cutter_gives_what_was_written(
    written: list[list[str]], size: int, delimiter: str, end: str, header: bool
) -> None:
    """Delimiters, quotes and line ends inside of fields among them."""
    text = as_csv(written, delimiter, end)

    assert cut(text, size, delimiter, header=header) == by_csv(text, delimiter)


@given(st.text(alphabet='a,"\r\n', max_size=30), sizes)
@example('1,"a\nx,y\nb",2\n', 30)
@example('1,"a\nx\nb","c\nd",2\n', 30)
@example('"a"b\nc\n', 5)
@example('\n"\n', 1)
def test_cutter_reads_any_text_as_csv_does(text: str, size: int) -> None:
    """Or refuses it; a quote inside a field without quotes, which csv takes, is refused as well."""
    found, expected = cut(text, size), by_csv(text)

    if found != expected:
        assert found == "a quote in a field without quotes"
        assert isinstance(expected, str) or any('"' in field for record in expected for field in record)


@pytest.mark.parametrize("size", [1, 6, 30])
def test_cutter_refuses_a_quote_inside_a_field_without_quotes(size: int) -> None:
    """PostgreSQL's COPY would open a quoted part there."""
    assert cut('a,b\n1,5" pipe\n2,"x"\n', size) == "a quote in a field without quotes"


@pytest.mark.parametrize("size", [1, 6, 30])
def test_cutter_takes_a_doubled_quote(size: int) -> None:
    """As RFC 4180 writes one."""
    assert cut('a,b\n1,"5"" pipe"\n2,x', size) == [["a", "b"], ["1", '5" pipe'], ["2", "x"]]


def test_cutter_counts_the_lines_that_its_blocks_took() -> None:
    """The place of a record is found by it."""
    cutter = Cutter(opened('h,i\n1,"a\nb"\n2,c\n3,"d\n\ne"\n'), ",", 4)

    assert cutter.first() == ["h", "i"] and cutter.line == 1
    assert [(block.records, cutter.line) for block in cutter.blocks(2, ())] == [
        ([["1", "a\nb"]], 3),
        ([["2", "c"]], 4),
        ([["3", "d\n\ne"]], 7),
    ]


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(fields, min_size=width, max_size=width), min_size=1)),
    st.data(),
    st.sampled_from(",;"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    sizes,
)
def test_columns_and_records_are_what_csv_reads(
    written: list[list[str]], data: st.DataObject, delimiter: str, end: str, size: int
) -> None:
    """In their order, whichever blocks are cut by columns; those that are have the wanted columns alone."""
    width = len(written[0])
    wanted = data.draw(st.lists(st.integers(0, width - 1), min_size=1, unique=True))
    text = as_csv(written, delimiter, end)
    expected = by_csv(text, delimiter)  # the writer does not quote a line end that is not its own
    assume(all(len(record) == width for record in expected))

    blocks = columns_of(text, size, width, wanted, delimiter)

    assert not isinstance(blocks, str)
    assert records_of(blocks, wanted) == [[record[index] for index in wanted] for record in expected]


@given(st.text(alphabet='a,"\r\n', max_size=30), st.integers(1, 3), sizes)
@example('a,"b,c"\n', 2, 9)
@example('"a","b,c",",,"\n,,\n', 3, 9)
@example('a,""\n"",b\n', 2, 30)
@example('a,"""b"\n', 2, 30)
@example('a,"b""c"\n', 2, 30)
@example('a"b"\n', 1, 30)
@example('"a"b\n', 1, 30)
@example('"a\nb",c\n', 2, 30)
@example("a,b\nc\n,,\n", 2, 30)
@example("a,b\nc,d,e,f\n", 2, 30)
@example("\n\n", 1, 30)
@example('"a,b"', 1, 30)
def test_what_is_cut_by_columns_is_what_csv_reads(text: str, width: int, size: int) -> None:
    """Whatever the text is; records of another width are never cut by columns."""
    blocks, expected = columns_of(text, size, width, range(width)), by_csv(text)

    if isinstance(blocks, str):
        assert blocks == expected or '"' in text
        return
    assert not isinstance(expected, str)
    found = records_of(blocks, range(width), pick=False)
    empty = [""] if width == 1 else []  # what an empty line is
    assert [record or empty for record in found] == [record or empty for record in expected]


@pytest.mark.parametrize(
    "text",
    ["a,b\nc,d\n", "a,b\r\nc,d", 'a,"b"\n"c",d\n', '"a,b",",,"\nc,""\n', ",\n,\n", '"",""'],
)
def test_lines_that_are_records_are_cut_by_columns(text: str) -> None:
    """Else a load would be right, and slow."""
    blocks = columns_of(text, 100, 2, [1, 0])

    assert not isinstance(blocks, str) and [block.columns is None for block in blocks] == [False]


def records_of(blocks: Iterable[Block], wanted: Sequence[int], *, pick: bool = True) -> list[list[str]]:
    found: list[list[str]] = []
    for block in blocks:
        if block.columns is not None:
            found += map(list, zip(*block.columns, strict=True))
        else:
            found += [[record[index] for index in wanted] for record in block.records] if pick else block.records
    return found
