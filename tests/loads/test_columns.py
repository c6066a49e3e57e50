"""What a task's `columns` declare, and its rows() in their order."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Collection
from typing import Any

import pandas
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from etlctl.db.columns import BadValueError, Column, ColumnType, Kind, parse_type
from etlctl.db.dialects.lines import FieldForm, Lines
from etlctl.db.dialects.sqlite.values import stored
from etlctl.errors import BadDataError, LoadError
from etlctl.loads.columns import RowReader, declared


def test_declared_reads_a_mapping_of_words() -> None:
    """Names and plain SQL words, in order."""
    columns = declared({"date": "date", "carrier": "varchar(2)", "delay": "NUMERIC(6, 2)"}, where="T")

    assert columns == (
        Column("date", ColumnType(Kind.DATE)),
        Column("carrier", ColumnType(Kind.TEXT, length=2)),
        Column("delay", ColumnType(Kind.NUMERIC, precision=6, scale=2)),
    )


def test_declared_reads_constraints_in_words() -> None:
    """The words may end in NOT NULL and PRIMARY KEY."""
    columns = declared({"id": "bigint PRIMARY KEY", "a": "text  not null", "b": "date not null primary key"}, where="T")

    assert [(column.nullable, column.primary_key) for column in columns] == [
        (False, True),
        (False, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (sa.Integer(), "integer"),
        (sa.BigInteger, "bigint"),
        (sa.SmallInteger(), "smallint"),
        (sa.String(2), "varchar(2)"),
        (sa.String, "text"),
        (sa.Text(), "text"),
        (sa.Unicode(5), "varchar(5)"),
        (sa.Numeric(10, 2), "numeric(10,2)"),
        (sa.Numeric(5), "numeric(5,0)"),
        (sa.Numeric(), "numeric"),
        (sa.Float(), "double precision"),
        (sa.Double(), "double precision"),
        (sa.Boolean(), "boolean"),
        (sa.Date(), "date"),
        (sa.DateTime(), "timestamp"),
        (sa.DateTime(timezone=True), "timestamp with time zone"),
        (sa.TIMESTAMP(timezone=True), "timestamp with time zone"),
        (sa.Time(), "time"),
        (sa.JSON(), "json"),
        (sa.LargeBinary(), "bytes"),
        (sa.VARCHAR(7), "varchar(7)"),
        (sa.Uuid(), "varchar(36)"),
        (sa.Enum("a", "b"), "text"),
        (postgresql.BYTEA(), "bytes"),
        (postgresql.JSONB(), "json"),
        (postgresql.TIMESTAMP(timezone=True), "timestamp with time zone"),
        (ColumnType(Kind.DATE), "date"),
    ],
)
def test_declared_reads_sqlalchemy_types(given: Any, words: str) -> None:
    """SQLAlchemy types mean the words one would write."""
    assert declared({"c": given}, where="T") == (Column("c", parse_type(words)),)


@pytest.mark.parametrize(
    "columns",
    [
        [sa.Column("id", sa.Integer, primary_key=True), sa.Column("item", sa.String(64), nullable=False)],
        sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
                 sa.Column("item", sa.String(64), nullable=False)).columns,
        [(["id", sa.Integer], {"primary_key": True}), (["item", sa.String(64)], {"nullable": False})],
    ],
)  # fmt: skip
def test_declared_reads_sqlalchemy_columns_and_luigis_lists(columns: Any) -> None:
    """SQLAlchemy columns, and the lists of Luigi's sqla module, keep their keys and their NOT NULL."""
    assert declared(columns, where="T") == (
        Column("id", ColumnType(Kind.INTEGER), nullable=False, primary_key=True),
        Column("item", ColumnType(Kind.TEXT, length=64), nullable=False),
    )


def test_declared_reads_luigis_pairs() -> None:
    """Pairs of name and words are what Luigi's rdbms module has."""
    assert declared([("id", "INT"), ("item", "TEXT")], where="T") == declared(
        {"id": "integer", "item": "text"}, where="T"
    )


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": "intger"}, "Load.columns: a: 'intger' is no column type"),
        ({"a": None}, "Load.columns: a: None is no column type"),
        ({"a": object}, "is no column type"),
        ({"a": sa.Interval()}, "is no column type"),
        ({"": "text"}, "Load.columns: '' is no name of a column"),
        ({1: "text"}, "Load.columns: 1 is no name of a column"),
        ({"Date": "date", "date": "date"}, "Load.columns has Date and date, which are one column to a database"),
        ({}, "Load.columns declares no column"),
        ("a text", "Load.columns is 'a text'; write columns = {"),
        (None, "Load.columns is None"),
        (["a", "b"], "Load.columns has 'a'; write columns = {"),
        ([("a",)], "Load.columns has ('a',)"),
    ],
)
def test_declared_says_what_is_wrong(columns: Any, sentence: str) -> None:
    """A wrong declaration names the class, the column and what to write."""
    with pytest.raises(LoadError) as caught:
        declared(columns, where="Load")

    assert sentence in str(caught.value)


COLUMNS = declared({"id": "integer", "name": "varchar(3)", "at": "timestamp"}, where="T")
Row = namedtuple("Row", "id name at")


FORM = FieldForm(null="-", text_of=lambda value: str(value).replace("|", "/"), separator="\t", marks="|\t\n")


def reader(rows: Any, **options: Any) -> RowReader:
    return RowReader(rows, COLUMNS, stored=stored, **options)


def fields(rows: RowReader, required: Collection[str] = ()) -> list[tuple[str, ...]]:
    """The rows as text, each taken apart."""
    found: list[tuple[str, ...]] = []
    for some in rows.as_text(FORM, required):
        found.extend([tuple(line.split("\t")) for line in some] if isinstance(some, Lines) else zip(*some, strict=True))
    return found


@pytest.mark.parametrize(
    "row",
    [
        {"name": "a", "id": 1, "at": "2013-01-01T10:00:00Z", "further": object()},
        (1, "a", "2013-01-01 10:00:00"),
        ["1", "a", "2013-01-01 10:00:00"],
        Row(1.0, "a", pandas.Timestamp("2013-01-01 10:00")),
    ],
)
def test_row_reader_takes_mappings_and_sequences(row: Any) -> None:
    """Either way the row comes in the columns' order and in the form the database stores."""
    assert list(reader([row])) == [(1, "a", "2013-01-01 10:00:00")]


def test_row_reader_streams() -> None:
    """Some hundred rows are read ahead and no more, however many there are."""
    asked = 0

    def rows() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield (asked, "a", None)

    first = next(iter(reader(rows())))

    assert first == (1, "a", None) and asked <= 256


def test_row_reader_holds_rows_that_come_slowly_no_longer_than_a_moment() -> None:
    """A source that takes its time is handed on row by row: what reads it can tell how far it is."""
    asked = []

    def rows() -> Any:
        for number in range(3):
            asked.append(number)
            yield (number, "a", None)

    next(iter(reader(rows(), clock=iter(range(100)).__next__)))

    assert asked == [0]


@pytest.mark.parametrize("make", [dict, lambda pairs: [value for _, value in pairs]])
def test_row_reader_takes_a_row_that_is_filled_again_and_again(make: Any) -> None:
    """A generator may yield one and the same mapping or list each time."""

    def rows() -> Any:
        row = make([("id", 0), ("name", "a"), ("at", None)])
        for number in range(3):
            row["id" if isinstance(row, dict) else 0] = number
            yield row

    assert [row[0] for row in reader(rows())] == [0, 1, 2]


def test_row_reader_hands_out_what_came_before_an_error() -> None:
    """A source that fails has given the rows before; a bad value among them is what went wrong first."""

    def rows(name: str) -> Any:
        yield (1, "a", None)
        yield (2, name, None)
        raise OSError("the source is gone")

    good, bad = reader(rows("b")), reader(rows("abcd"))
    taken: list[int] = []
    with pytest.raises(OSError, match="the source is gone"):
        taken.extend(row[0] for row in good)
    with pytest.raises(BadValueError, match="abcd"):
        list(bad)

    assert good.rows == 2 and bad.rows == 2


@pytest.mark.parametrize(
    "values",
    [
        [1, None, -3],
        ["1", "22", "-3"],
        ["1", "", None, "4"],
        [1, 1.0, True],
        [2**31 - 1, -(2**31)],
        ["+1", " 2 "],
    ],
)
def test_row_reader_converts_many_as_it_does_one(values: list[Any]) -> None:
    """Rows that are converted together become what each becomes by itself."""
    rows = [(value, None, None) for value in values]

    together = [row[0] for row in reader(rows)]

    assert together == [next(iter(reader([row])))[0] for row in rows]
    assert {type(value) for value in together} <= {int, type(None)}


def test_row_reader_as_text_gives_fields() -> None:
    """Who sends text in any case gets it at once: what is stored, written in the form that was asked for."""
    rows = [("1", "a", None), ("-20", "", "2013-01-01"), ("", "c|d", None)]

    found = fields(reader(rows, clock=lambda: 0.0))

    assert found == [("1", "a", "-"), ("-20", "-", "2013-01-01 00:00:00"), ("-", "c/d", "-")]
    assert [row[0] for row in reader(rows)] == [1, -20, None]


@pytest.mark.parametrize("text", ["+1", "01", " 1", "1\t2", "99999999999", "x", "-0", "1_0"])
def test_row_reader_as_text_converts_other_texts(text: str) -> None:
    """Text that is an integer in another form becomes it, and what is none is refused."""
    rows = [(text, None, None)] * 3

    def values(as_text: bool) -> list[Any]:
        found = reader(rows)
        return [int(row[0]) for row in fields(found)] if as_text else [row[0] for row in found]

    try:
        one_by_one = values(as_text=False)
    except BadValueError as error:
        with pytest.raises(BadValueError, match=re.escape(str(error))):
            values(as_text=True)
    else:
        assert values(as_text=True) == one_by_one


@pytest.mark.parametrize("value", [2**31, "2147483648", -(2**31) - 1, "1_000", "1\t2", "٣"])
def test_row_reader_finds_the_one_bad_value_among_many(value: Any) -> None:
    """What one value alone would be refused for, it is refused for among thousands."""
    rows = [(number, "a", None) if type(value) is int else (str(number), "a", None) for number in range(1000)]
    rows[700] = (value, "a", None)
    found = reader(rows)

    with pytest.raises(BadValueError):
        list(found)

    assert found.rows == 701


def test_row_reader_makes_null_values_null() -> None:
    """Null words, other null values, None and NaN are NULL."""
    rows = [("", "NA", None), (-999, "a", float("nan"))]

    found = list(reader(rows, null_values=("", "NA", -999)))

    assert found == [(None, None, None), (None, "a", None)]


def test_row_reader_takes_a_single_null_word() -> None:
    """null_values = "NA" means that word, not its letters."""
    assert list(reader([("NA", "N", None)], null_values="NA")) == [(None, "N", None)]


def test_row_reader_names_column_and_row_of_a_bad_value() -> None:
    """The error knows its column, and place() the row."""
    rows = reader([(1, "a", None), (2, "abcd", None)])

    with pytest.raises(BadValueError, match=r"'abcd' is longer than varchar\(3\)") as caught:
        list(rows)

    assert caught.value.column == COLUMNS[1]
    assert rows.place(COLUMNS[1].name) == "rows(): row 2, column name"


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"id": 1, "nme": "a", "at": None}], "row 1, column name: the row has no such key; it has: id, nme, at."),
        ([(1, "a")], "row 1: 2 values for the 3 columns id, name, at."),
        (["abc"], "row 1: 'abc' is no row; yield a mapping or a sequence."),
        ([5], "row 1: 5 is no row"),
        ([None], "row 1: None is no row"),
        ("abc", "rows() gave 'abc'; it must yield rows"),
        ({"id": 1}, "rows() gave {'id': 1}; it must yield rows"),
        (5, "rows() gave 5"),
        (pandas.DataFrame({"id": [1]}), "rows() gave a DataFrame; yield its rows: yield from frame.to_dict('records')"),
    ],
)  # fmt: skip
def test_row_reader_refuses_what_is_no_row(rows: Any, sentence: str) -> None:
    """What rows() yields must be rows; the sentence says which one is not."""
    with pytest.raises(BadDataError) as caught:
        list(reader(rows))

    assert sentence in str(caught.value)
