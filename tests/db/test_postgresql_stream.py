"""The bytes of a file on their way to PostgreSQL, without a server: where they are cut, changed and doubted."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.columns import parse_type
from etlctl.db.dialects.postgresql import stream as postgresql_stream
from etlctl.db.dialects.postgresql.stream import DelimitedStream, InDoubtError, header_of, start_of


def streamed(data: bytes, *types: str | None, **options: Any) -> bytes:
    """All that is sent of a file without a header."""
    return b"".join(stream_of(data, *types, **options).blocks())


def stream_of(data: bytes, *types: str | None, **options: Any) -> DelimitedStream:
    source = io.BytesIO(data)
    settings: dict[str, Any] = {"delimiter": ",", "nulls": ("",), "constants": (), "obeys_backslash_dot": False}
    parsed = [None if words is None else parse_type(words) for words in types]
    return DelimitedStream(source, start_of(source), parsed, **(settings | options))


def test_header_is_taken_off() -> None:
    """Its names, quoted or not, and the bytes behind its line end; a byte order mark is none of them."""
    for end in ("\n", "\r\n", "\r"):
        source = io.BytesIO(f'\ufeffa,"b ""x""\n,",c{end}1,2,3\n'.encode())
        assert header_of(source, ",") == (["a", 'b "x"\n,', "c"], b"1,2,3\n")


@pytest.mark.parametrize(("data", "names"), [(b"", None), (b"a;b", ["a", "b"]), (b"a;b\r\n", ["a", "b"]), (b"\n", [])])
def test_header_alone_leaves_nothing(data: bytes, names: list[str] | None) -> None:
    """A file may end behind its header, or before it."""
    assert header_of(io.BytesIO(data), ";") == (names, b"")


def test_header_without_an_end_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that is left open does not take the whole file into memory."""
    monkeypatch.setattr(postgresql_stream, "_LONGEST", 1 << 19)

    with pytest.raises(InDoubtError, match="header"):
        header_of(io.BytesIO(b'"a,b\n' + b"1,2\n" * 300_000), ",")


def test_record_without_an_end_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does one further on."""
    monkeypatch.setattr(postgresql_stream, "_LONGEST", 1 << 19)

    with pytest.raises(InDoubtError, match="record"):
        streamed(b'1,"a\n' + b"1,2\n" * 300_000, "integer", "text")


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (b"1,a\n2,b\n", b"1,a,k\n2,b,k\n"),
        (b"1,a\r\n2,b", b"1,a,k\r\n2,b,k\r\n"),
        (b'1,"a\n"\n2,"""\n"""\n', b'1,"a\n",k\n2,"""\n""",k\n'),
        (b'1,"a\r\n"\r\n2,""\r\n', b'1,"a\r\n",k\r\n2,"",k\r\n'),
        (b"1,", b"1,,k\n"),
    ],
)
def test_constants_stand_at_the_end_of_each_record(data: bytes, sent: bytes) -> None:
    """Before its line end, never before one inside quotes."""
    assert streamed(data, "integer", "text", constants=["k"]) == sent


@pytest.mark.parametrize(
    ("constant", "sent"),
    [
        ("2013-01-01", b"2013-01-01"),
        ("2013-01-01 06:00:00+00:00", b"2013-01-01 06:00:00+00:00"),
        ("Zürich", "Zürich".encode()),
        (None, b"NA"),
        ("NA", b'"NA"'),
        ("NULL", b'"NULL"'),
        ("", b'""'),
        ("a,b", b'"a,b"'),
        ('a"b', b'"a""b"'),
        ("\\.", b'"\\."'),
    ],
)
def test_a_constant_is_in_quotes_where_it_would_mean_something_else(constant: str | None, sent: bytes) -> None:
    """Only there, since the server reads it once for each row."""
    assert streamed(b"1\n", "integer", nulls=("NA", "NULL"), constants=[constant]) == b"1," + sent + b"\n"


def test_null_words_become_one() -> None:
    """Whole fields only, quoted or not; never a part of a text."""
    data = b'NA,NA,NA\n"NA",xNA,"a,NA,""NA"",b"\nNULL,NA x,"NULL"\n'

    assert streamed(data, "text", "text", "text", nulls=("", "NA", "NULL")) == (b',,\n,xNA,"a,NA,""NA"",b"\n,NA x,\n')


def test_empty_fields_stay_where_they_are_no_null() -> None:
    """The empty word comes first, or is not among them."""
    assert streamed(b"-,\n,NA\n", "text", "text", nulls=("NA", "-")) == b"NA,\n,NA\n"


@pytest.mark.parametrize(
    "data",
    [
        b'a"b,1\n',
        b'"a"b,1\n',
        b'"a,1\n',
        b"a\n",
        b"a,1,2\n",
        b"\n",
        b"a\r,1\n",
        b"a,1\nb,2\r\n",
        b"a\0,1\n",
        b'a,"1\n"\n',
    ],
)
def test_what_is_no_plain_record_is_in_doubt(data: bytes) -> None:
    """Quotes out of place, other numbers of fields, mixed line ends, NUL."""
    with pytest.raises(InDoubtError):
        streamed(b"x,1\n" + data, "text", "integer")


@pytest.mark.parametrize("data", [b'"a\n\\.\n",1\n', b'"a\r\n\\.",1\n'])
def test_line_that_ends_copy_is_in_doubt_before_version_18(data: bytes) -> None:
    """Also inside quotes; later servers take it as it is."""
    assert streamed(data, "text", "integer") == data
    with pytest.raises(InDoubtError):
        streamed(data, "text", "integer", obeys_backslash_dot=True)


def test_constant_with_a_line_end_is_in_doubt() -> None:
    """It might make such a line."""
    with pytest.raises(InDoubtError):
        streamed(b"1\n", "integer", constants=["a\n\\."])


@given(
    st.lists(st.tuples(st.text('a",\n\r\\.é ', max_size=4), st.text('b",\n', max_size=4)), max_size=12),
    st.sampled_from(("\n", "\r\n")),
    st.integers(1, 9),
    st.booleans(),
)
def test_any_records_are_cut_between_records(rows: list[tuple[str, str]], end: str, block: int, last: bool) -> None:
    """However small the blocks: what is sent is read back as the same records with the constant, and counted."""
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(rows)
    data = written.getvalue().encode()
    data = data if last else data.removesuffix(end.encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgresql_stream, "_BLOCK", block)
        stream = stream_of(data, "text", "text", constants=['k"'])
        blocks = list(stream.blocks())

    sent = list(csv.reader(io.StringIO(b"".join(blocks).decode(), newline=""), strict=True))
    assert sent == [[first, second, 'k"'] for first, second in rows]
    assert stream.records == len(rows)
    for part in blocks:
        assert len(list(csv.reader(io.StringIO(part.decode(), newline=""), strict=True))) >= 1
