"""What a COPY may pass over without a word is missed by its bytes; and a text that is cast is of a form that it has."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from etlctl.db.columns import parse_type
from etlctl.db.dialects.redshift.accounting import Counts, Files
from etlctl.db.dialects.redshift.straight import _pattern_of


def files_of(*texts: str, line_end: str = "\n", columns: int = 2, is_packed: bool = False) -> Files:
    """Files whose bodies are these texts."""
    bodies = [text.encode() for text in texts]
    lacking = sum(bool(body) and not body.endswith(b"\n") for body in bodies)
    return Files(
        columns, line_end.encode(), sum(map(len, bodies)), bodies[0].startswith(b'"'), is_packed,
        0 if is_packed else lacking, len(bodies) if is_packed else 0,
    )  # fmt: skip


def counts_of(*rows: tuple[str, ...]) -> Counts:
    """Of rows that Redshift has."""
    fields = [field for row in rows for field in row]
    quoted = [field for field in fields if re.search('["\n,]', field)]
    written = sum(len(field.encode()) for field in fields) + sum(2 + field.count('"') for field in quoted)
    return Counts(len(rows), written, len(quoted), fields.count(""), sum("\r" in field for field in fields))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,a\n2,b\n", [("1", "a"), ("2", "b")]),
        ("1,a\n2,b", [("1", "a"), ("2", "b")]),
        ('1,"a,""ä"""\n2,"b\nc"\n', [("1", 'a,"ä"'), ("2", "b\nc")]),
        ('"1","a"\n"2","b"\n', [("1", "a"), ("2", "b")]),
        ('1,""\n2,""\n', [("1", ""), ("2", "")]),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_rows_that_are_all_there_are_accounted_for(text: str, rows: list[tuple[str, ...]], is_packed: bool) -> None:
    assert files_of(text, is_packed=is_packed).hold_just(counts_of(*rows))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("1,a\n2,b\n", [("1", "a")], id="a row that is left out"),
        pytest.param("1,a\n2,b\n", [("1", "a"), ("2", "b"), ("3", "c")], id="a row of another file"),
        pytest.param("1,a,\n2,b,\n", [("1", "a"), ("2", "b")], id="a delimiter at the end of the line"),
        pytest.param('1, "a"\n2,b\n', [("1", "a"), ("2", "b")], id="blanks beside quotes"),
        pytest.param("1,a\n\n2,b\n", [("1", "a"), ("2", "b")], id="an empty line"),
        pytest.param("1, a\n2,b \n", [("1", "a"), ("2", "b")], id="blanks taken away"),
        pytest.param("1,a\\,b\n", [("1", "a,b")], id="a backslash as an escape"),
        pytest.param("1,a\r\n2,b\r\n", [("1", "a"), ("2", "b")], id="other line ends than that of the header"),
    ],
)
def test_what_is_passed_over_is_missed(text: str, rows: list[tuple[str, ...]]) -> None:
    assert not files_of(text).hold_just(counts_of(*rows))


def test_line_ends_of_two_characters_are_counted_as_two() -> None:
    files = files_of("1,a\r\n2,b", "3,c\r\n", line_end="\r\n")

    assert files.hold_just(counts_of(("1", "a"), ("2", "b"), ("3", "c")))
    assert not files.hold_just(counts_of(("1", "a"), ("3", "c")))


def test_a_packed_length_counts_modulo_what_four_bytes_hold() -> None:
    huge = Counts(1 << 27, 30 << 27, 0, 0, 0)
    files = Files(2, b"\n", (32 << 27) % (1 << 32), False, True, 0, 1)

    assert files.hold_just(huge)


def test_only_days_that_there_are_are_cast() -> None:
    """A cast might take the 30th of February for the 2nd of March."""
    pattern = re.compile(_pattern_of(parse_type("date")) or "")
    day, found = date(1895, 1, 1), set()
    while day.year < 2105:
        found.add(day.isoformat())
        day += timedelta(days=1)
    texts = [f"{y}-{m:02}-{d:02}" for y in range(1895, 2105) for m in range(14) for d in range(33)]

    assert {text for text in texts if pattern.fullmatch(text)} == found
    assert not any(map(pattern.fullmatch, ("0000-01-01", "0999-12-31", "2013-1-1", "12013-01-01")))
