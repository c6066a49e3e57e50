"""Rows as whole lines: they are what their values are one by one, and come to be as soon as they can."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlctl.db.columns import Column, ColumnType, parse_type
from etlctl.db.dialects.base import BadRecordError
from etlctl.db.dialects.lines import FieldForm, Lines
from etlctl.db.dialects.postgresql import values as postgresql_values
from etlctl.db.dialects.postgresql.encode import LineEncoder, text_of
from etlctl.db.dialects.postgresql.values import stored
from etlctl.db.dialects.redshift import values as redshift_values
from etlctl.db.dialects.redshift.encode import CsvEncoder
from etlctl.loads.columns import RowReader
from etlctl.loads.columntexts import ColumnTexts
from etlctl.loads.columnvalues import canonical
from etlctl.loads.linetexts import LineTexts

TABS = FieldForm(null="<null>", text_of=str, separator="\t", marks="\\\t\n\r")
COMMAS = FieldForm(null="<null>", text_of=str, separator=",", marks='",\r\n')
TYPES = ["integer", "smallint", "bigint", "text", "varchar(2)", "numeric", "boolean", "date", "timestamp", "json"]
WORDS = ["", "NA", "0", "-0", "1", "-17", "+1", "01", "99999", "12345678901", "1.50", "true", "2013-01-01", "{}", "x"]
WORDS += ["2013-01-01 05:00:00", "2013-01-01T05:00:00Z", "a\tb", "a,b", "a\nb", "\r", "\\N", '"', "Zürich", "\0"]
WORDS += ["\t", ",", "\n", "1\t2", "1,2", "日本", "\udc80"]
NULLS = [(), ("",), ("", "NA"), ("-17", "01", "a,b", "12345678901"), ("x", "1")]


def line_texts(
    types: list[str], nulls: tuple[str, ...] = ("",), required: tuple[int, ...] = (), form: FieldForm = TABS
) -> LineTexts:
    columns = [
        ColumnTexts(Column(f"c{number}", parse_type(one)), stored, nulls, len(types), form)
        for number, one in enumerate(types)
    ]
    return LineTexts(columns, form, null_words=nulls, required=required)


def field(type_: str, value: str, nulls: tuple[str, ...]) -> str:
    """What one value is by itself; raises BadValueError."""
    if value in nulls:
        return "<null>"
    return str(stored(parse_type(type_), value))


@given(data=st.data(), form=st.sampled_from([TABS, COMMAS]), nulls=st.sampled_from(NULLS))
def test_line_texts_are_the_values_one_by_one(data: st.DataObject, form: FieldForm, nulls: tuple[str, ...]) -> None:
    """Whatever the values hold: separators, line ends, words for NULL; and what a column refuses is no line."""
    types = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
    values = st.one_of(st.sampled_from(WORDS), st.integers(-99999, 99999).map(str), st.text(max_size=3))
    plain = st.sampled_from(["", "1", "NA", "-17"])
    row = st.one_of(*(st.tuples(*[one] * len(types)) for one in (values, plain)))
    required = data.draw(st.sets(st.integers(0, len(types) - 1)).map(tuple))
    together = line_texts(types, nulls, required, form)

    for batch in data.draw(st.lists(st.lists(row, min_size=1, max_size=6), max_size=4)):
        together._left = 0  # so that each is looked at
        lines = together.lines(batch)
        if lines is not None:
            expected = [[field(*pair, nulls) for pair in zip(types, one, strict=True)] for one in batch]
            assert lines == [form.separator.join(fields) for fields in expected]
            assert not any(mark in line for line in lines for mark in form.marks if mark != form.separator)
            assert all(line.count(form.separator) == len(types) - 1 for line in lines)
            assert not any(fields[at] == "<null>" for fields in expected for at in required)


def test_line_texts_of_usual_rows_are_lines() -> None:
    """Rows as files have them are taken at once, NULL side by side and at both ends too."""
    together = line_texts(["integer", "varchar(6)", "text", "timestamp", "numeric(5,2)"])
    rows = [
        ("1", "EWR", "Zürich 日本", "2013-01-01 05:00:00", "1.50"),
        ("", "", "", "", ""),
        ["-7", "", "", "", "0.00"],
    ]

    found = [together.lines(rows), together.lines(rows)]

    null = "<null>"
    lines = [
        "1\tEWR\tZürich 日本\t2013-01-01 05:00:00\t1.50",
        "\t".join([null] * 5),
        f"-7\t{null}\t{null}\t{null}\t0.00",
    ]
    assert found == [lines, lines] and isinstance(found[0], Lines)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("integer", "x"),
        ("integer", "2147483648"),
        ("smallint", "32768"),
        ("integer", "+1"),
        ("integer", "1_0"),
        ("integer", "٣"),
        ("integer", "1\t2"),
        ("varchar(2)", "abc"),
        ("text", "a\0b"),
        ("text", "\udc80"),
        ("text", "a\\b"),
        ("text", "a\nb"),
        ("text", "a\rb"),
        ("date", "2013-02-30"),
        ("timestamp", "2013-01-01T05:00:00"),
        ("timestamp", "2013-01-01"),
        ("boolean", "yes"),
        ("json", "{}"),
        ("text", None),
        ("integer", 1),
    ],
)
def test_line_texts_leave_what_is_not_its_own_field(type_: str, value: Any) -> None:
    """Among rows that are right: columns tell what it becomes, or that it is refused."""
    together = line_texts(["integer", type_, "text"])
    good = [("1", "", "a")] * 20

    assert together.lines([*good, ("1", value, "a"), *good]) is None


def test_line_texts_are_no_other_rows_than_were_given() -> None:
    """Values whose separators and line ends would make other rows of the same form are not taken."""
    together = line_texts(["text", "text"])

    assert together.lines([("a\tb\nc", "d")]) is None
    together._left = 0
    assert together.lines([("a", "b\tc\td")]) is None


@pytest.mark.parametrize("encoder", [LineEncoder, CsvEncoder])
def test_line_texts_reach_the_server_as_columns_do(encoder: Any) -> None:
    """The same bytes, whichever rows are written by columns, with constants; and NULL is refused where it was."""
    columns = [Column("id", parse_type("integer"), nullable=False), Column("name", parse_type("text"))]
    texts = [("1", "a"), ("2", ""), ("3", "b,c"), ("4", "b\\c")] + [("5", "a")] * 500
    objects = [(int(number), name or None) for number, name in texts]

    def sent(rows: list[Any]) -> bytes:
        options = {"required": ["id"]} if encoder is LineEncoder else {}
        encoding = encoder(columns, nulls=None, constants={Column("day", parse_type("text")): "d"}, **options)
        found = b"".join(encoding.blocks(RowReader(rows, columns, stored=stored)))
        assert encoding.rows == len(rows)
        return found.replace(getattr(encoding, "null", "\\N").encode(), b"<null>")

    assert sent(texts) == sent(objects)
    assert sent(texts).count(b"d\n") == len(texts) and b"<null>" in sent(texts)
    with pytest.raises(BadRecordError, match="NOT NULL") as refused:
        sent([*texts, ("", "a")])
    assert refused.value.number == len(texts)


@pytest.mark.parametrize("server", [postgresql_values.stored, redshift_values.stored])
@pytest.mark.parametrize(
    "type_",
    ["numeric", "numeric(5,2)", "numeric(2,2)", "numeric(7)", "numeric(38,6)", "date", "timestamp", "timestamptz"],
)
@settings(max_examples=30)
@given(data=st.data())
def test_canonical_texts_are_what_they_become(type_: str, server: Any, data: st.DataObject) -> None:
    """So they need no conversion: it would take them, and write them as they are."""
    form = canonical(parse_type(type_))
    assert form is not None

    text = data.draw(st.from_regex(form, fullmatch=True, alphabet=st.characters(codec="ascii")))

    assert text_of(server(parse_type(type_), text)) == text


def test_canonical_texts_are_all_days_but_the_last_of_february() -> None:
    """And no day that there is not."""
    form = canonical(parse_type("date"))
    assert form is not None
    days = [
        f"{year:04}-{month:02}-{day:02}"
        for year in (0, 1, 2013, 2024, 9999)
        for month in range(14)
        for day in range(33)
    ]

    taken = {day for day in days if re.fullmatch(form, day)}

    first = [date(year, 1, 1) for year in (1, 2013, 2024, 9999)]
    assert taken == {str(one + timedelta(number)) for one in first for number in range(365)} - {"2024-02-29"} | {
        "2024-12-31"
    }


def test_line_texts_of_ever_new_values_are_lines() -> None:
    """Moments and amounts that never come again are seen to be right without conversion."""
    converted = []

    def counting(type_: ColumnType, value: Any) -> Any:
        converted.append(value)
        return stored(type_, value)

    types = [parse_type(words) for words in ("timestamp", "numeric(8,2)", "date")]
    columns = [ColumnTexts(Column("c", type_), counting, ("",), 3, TABS) for type_ in types]
    together = LineTexts(columns, TABS, null_words=("",), required=())
    moments = [datetime(2013, 1, 1) + timedelta(seconds=number * 100) for number in range(40_000)]
    rows = [(str(one), "" if number % 9 == 0 else f"{number}.25", f"{one:%F}") for number, one in enumerate(moments)]

    found = [together.lines(rows[at : at + 250]) for at in range(0, len(rows), 250)]

    assert None not in found and not converted
    assert sum(len(column._own) for column in columns) < 40_000


def test_line_texts_hold_no_null_where_it_is_refused() -> None:
    """A word for NULL is taken for a column, and not for one that is required."""
    rows = [("1", "a"), ("", "b")]

    assert line_texts(["integer", "text"]).lines(rows) == ["1\ta", "<null>\tb"]
    assert line_texts(["integer", "text"], required=(1,)).lines(rows) == ["1\ta", "<null>\tb"]
    assert line_texts(["integer", "text"], required=(0,)).lines(rows) is None


def test_line_texts_are_told_in_no_time_where_words_for_null_are_numbers() -> None:
    """A value that is an integer and a word for NULL is matched in one way only: two would be tried for each column."""
    words = ("-999", "-1", "0")
    together = line_texts(["integer"] * 60, words)

    assert together.lines([("-999",) * 59 + ("x",)] * 100) is None
    together._left = 0
    assert together.lines([("-999",) * 60] * 2) == ["\t".join(["<null>"] * 60)] * 2


def test_line_texts_are_seldom_tried_in_vain_and_come_back() -> None:
    """Rows of objects cost no more than a look now and then; rows of texts after them are lines again."""
    together = line_texts(["text"])
    looks = 0

    class Row(tuple[Any, ...]):
        def __iter__(self) -> Any:
            nonlocal looks
            looks += 1
            return super().__iter__()

    assert {together.lines([Row([1])]) for _ in range(1000)} == {None}
    found = [together.lines([("a",)]) for _ in range(70)]

    assert 0 < looks < 30
    assert found[-1] == ["a"]


def test_line_texts_remember_some_thousand_values_at_most() -> None:
    """A column of dates that never come again costs no memory."""
    column = ColumnTexts(Column("at", parse_type("timestamp")), stored, ("",), 1000, TABS)
    together = LineTexts([column], TABS, null_words=("",), required=())

    for second in range(5000):
        together._left = 0
        together.lines([(f"2013-01-01 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}",)])

    assert len(column._own) < 1000
