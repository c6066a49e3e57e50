"""Lines of CSV, TSV and JSON: one form for each value, whatever driver it comes from."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.columns import parse_type
from etlctl.db.values import to_value
from etlctl.loads.writers import DelimitedWriter, JsonLinesWriter

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_HARD = st.sampled_from(["", ",", '"', '""', "\n", "\r\n", "\r", "\t", "\\", "\\.", "NULL", "'", " x ", "%s", "\u2028"])
_VALUE = st.one_of(st.none(), _TEXT, _HARD)
_ROWS = st.lists(st.tuples(_VALUE, _VALUE), min_size=1, max_size=8)


def field(value: Any, words: str | None = None) -> str:
    """The value as the one field of a CSV line."""
    writer = DelimitedWriter(["a"], [None if words is None else parse_type(words)])
    return writer.lines([(value,)]).removesuffix("\n")


@given(_ROWS, st.sampled_from([",", "\t"]))
def test_delimited_lines_are_read_alike_by_the_csv_module(rows: list[tuple[Any, Any]], delimiter: str) -> None:
    """Python's strict reader gives back every text, and nothing for NULL."""
    text = DelimitedWriter(["a", "b"], [None, None], delimiter=delimiter).lines(rows)

    found = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))

    assert found == [[a or "", b or ""] for a, b in rows]


@given(_ROWS)
def test_json_lines_are_read_back_as_they_were(rows: list[tuple[Any, Any]]) -> None:
    """One object a line, and a key may be any text."""
    text = JsonLinesWriter(["a", '100%s "b"'], [None, None]).lines(rows)

    assert text.count("\n") == len(rows)
    assert [tuple(json.loads(line).values()) for line in text.removesuffix("\n").split("\n")] == rows
    assert list(json.loads(text.split("\n")[0])) == ["a", '100%s "b"']


@pytest.mark.parametrize(
    ("words", "values", "expected"),
    [
        ("boolean", [1, True], "true"),
        ("boolean", [0, False], "false"),
        ("numeric(6,2)", [1.5, Decimal("1.50"), Decimal("1.5")], "1.50"),
        ("numeric(6,2)", [3, 3.0, Decimal("3"), Decimal("3E0")], "3.00"),
        ("numeric(6,2)", [-0.0, 0, Decimal("-0.00")], "0.00"),
        ("numeric(6,0)", [12, 12.0, Decimal("12")], "12"),
        ("numeric", [12, 12.0, Decimal("12.000000000")], "12"),
        ("numeric", [1e22, Decimal("1E+22"), 10**22], "1" + "0" * 22),
        ("double precision", [0.1, Decimal("0.1000")], "0.1"),
        ("double precision", [-2.5e-7, Decimal("-0.00000025")], "-0.00000025"),
        (None, [100, 100.0, Decimal("100"), Decimal("1E2")], "100"),
        ("date", ["2013-01-02", dt.date(2013, 1, 2)], "2013-01-02"),
        ("time", ["05:00:00", dt.time(5)], "05:00:00"),
        ("timestamp", ["2013-01-02 05:00:00", dt.datetime(2013, 1, 2, 5)], "2013-01-02 05:00:00"),
        (
            "timestamp with time zone",
            [
                "2013-01-02 05:00:00.250000",
                dt.datetime(2013, 1, 2, 5, 0, 0, 250000, tzinfo=dt.UTC),
                dt.datetime(2013, 1, 2, 0, 0, 0, 250000, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
            ],
            "2013-01-02 05:00:00.25",
        ),
        ("bytes", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")], "\\x00ff"),
        (None, [UUID(int=1), str(UUID(int=1))], str(UUID(int=1))),
    ],
)
def test_a_value_has_one_form_whatever_its_driver_gives(words: str | None, values: list[Any], expected: str) -> None:
    """What SQLite, PostgreSQL and MySQL hand out for one value is one text, and the same number or text in JSON."""
    json_writer = JsonLinesWriter(["a"], [None if words is None else parse_type(words)])
    in_json = {json_writer.lines([(value,)]) for value in values}

    assert {field(value, words) for value in values} == {expected}
    assert len(in_json) == 1
    assert in_json.pop() in (f'{{"a":{expected}}}\n', f'{{"a":{json.dumps(expected)}}}\n')


@given(st.decimals(allow_nan=False, allow_infinity=False, places=7) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_loses_nothing(value: Decimal | float) -> None:
    """A number read again is the same number, of a column with a scale too."""
    exact = Decimal(repr(value)) if isinstance(value, float) else value

    assert Decimal(field(value)) == Decimal(field(value, "numeric(30,4)")) == exact


def test_json_documents_become_a_part_of_the_line() -> None:
    """A column of JSON is a document in JSON lines, on one line, whether the driver gives text or objects."""
    writer = JsonLinesWriter(["a"], [parse_type("json")])

    lines = writer.lines([('{"b": [1,\n 2.50]}',), ({"b": [1, 2.5]},), ("no json",), (None,)])

    assert lines == '{"a":{"b": [1,  2.50]}}\n{"a":{"b":[1,2.5]}}\n{"a":"no json"}\n{"a":null}\n'


def test_what_the_writer_gives_is_what_a_column_takes() -> None:
    """The forms are those that the conversions of a load read."""
    for words, value in [
        ("boolean", True),
        ("numeric(6,2)", Decimal("1.50")),
        ("date", dt.date(2013, 1, 2)),
        ("timestamp", dt.datetime(2013, 1, 2, 5, 0, 0, 1)),
        ("timestamp with time zone", dt.datetime(2013, 1, 2, 5, tzinfo=dt.UTC)),
        ("time", dt.time(5, 0, 1)),
        ("bytes", b"\x00"),
        ("double precision", 1e-300),
    ]:
        assert to_value(parse_type(words), field(value, words)) == value
