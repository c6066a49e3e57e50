"""How SQLite keeps values, and its own conversion of text while it is inserted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etlctl.db.columns import BadValueError, Column, parse_type
from etlctl.db.dialects.sqlite.values import TextConverter, bound, ddl, stored

WORDS = [
    "smallint", "integer", "bigint", "numeric", "numeric(7,2)", "double precision", "text", "varchar(3)", "boolean",
    "date", "timestamp", "timestamp with time zone", "time", "json", "bytes",
]  # fmt: skip


def inserted(words: str, text: str, null_values: tuple[str, ...] = ()) -> Any:
    """What is in a column of the type after `text` went through its expression, or the BadValueError."""
    column = Column("c", parse_type(words))
    converter = TextConverter([column], null_values)
    with closing(sqlite3.connect(":memory:")) as connection:
        converter.register(connection)
        connection.execute(f"CREATE TABLE t (c {ddl(column.type)})")
        try:
            connection.executemany(f"INSERT INTO t VALUES ({converter.expressions[0]})", iter([(text,)]))
        except sqlite3.OperationalError:
            assert converter.error is not None and converter.error.column == column
            return converter.error
        return connection.execute("SELECT c FROM t").fetchone()[0]


likely = st.one_of(
    st.text(alphabet="0123456789+-.eE ", max_size=8),
    st.text(alphabet="01239-: TZ+.", max_size=22),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats().map(repr),
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds") + "Z"),
    st.datetimes(timezones=st.just(UTC)).map(str),
    st.times().map(str),
    st.sampled_from(
        ["true", "f", "T", "yes", "0", "now", "0000-01-01", "2013-02-29", "2013-02-30T00:00:00", "24:00", "{}"]
    ),
    st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
)


@given(st.sampled_from(WORDS), likely)
@example("numeric", "1.0e+20")
@example("numeric", "-0")
@example("double precision", "-0.0")
@example("numeric", "12345678901234567890")
@example("double precision", "9007199254740993")
@example("date", "2013-02-29")
@example("timestamp", "2013-02-30 10:00:00")
@example("timestamp", "2013-02-30T10:00:00Z")
@example("date", "2456293.5")
@example("timestamp", "2013-01-01T10:00:00ZZ")
@example("timestamp", "2013-01-01 10:00:00+01:00")
@example("integer", "2147483648")
def test_text_converter_means_what_stored_means(words: str, text: str) -> None:
    """SQLite's own conversion and ours give the same value, of the same type, for any text, or both refuse it."""
    try:
        expected: Any = stored(parse_type(words), text)
    except BadValueError as refused:
        expected = refused

    found = inserted(words, text)

    assert type(found) is type(expected)
    assert str(found) == str(expected)


@given(st.sampled_from(WORDS), likely)
def test_ddl_affinity_changes_nothing(words: str, text: str) -> None:
    """What we bind is what the column holds: the declared type's affinity does not turn it into something else."""
    type_ = parse_type(words)
    try:
        value = stored(type_, text)
    except BadValueError:
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t (c {ddl(type_)})")
        connection.execute("INSERT INTO t VALUES (?)", (value,))

        found = connection.execute("SELECT c FROM t").fetchone()[0]

    assert found == value
    assert isinstance(found, str) == isinstance(value, str)


@pytest.mark.parametrize(
    ("words", "value", "expected"),
    [
        ("numeric", "12.50", 12.5),
        ("numeric", "12.0", 12),
        ("numeric(7,2)", "1.005", 1.01),
        ("boolean", "yes", 1),
        ("date", date(2013, 1, 2), "2013-01-02"),
        ("timestamp", "2013-01-02T03:04:05Z", "2013-01-02 03:04:05"),
        ("timestamp", datetime(2013, 1, 2, 3, 4, 5, 6), "2013-01-02 03:04:05.000006"),
        ("timestamptz", "2013-01-02T03:04:05+01:00", "2013-01-02 02:04:05"),
        ("time", time(3, 4), "03:04:00"),
        ("bytes", "\\x00", b"\0"),
        ("text", None, None),
    ],
)
def test_stored_gives_what_sqlite_functions_read(words: str, value: Any, expected: Any) -> None:
    """Dates are ISO text, instants in UTC, booleans 1 and 0, numerics numbers."""
    found = stored(parse_type(words), value)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ["3.14159265358979323846", "12345678901234567891", "0.1234567890123456789"])
def test_stored_refuses_a_numeric_that_would_be_rounded(text: str) -> None:
    """A number with more digits than an eight-byte float keeps is refused, never changed."""
    with pytest.raises(BadValueError, match="would be rounded"):
        stored(parse_type("numeric"), text)


def test_text_converter_makes_null_words_null_in_every_column() -> None:
    """Each null word is NULL whatever the column's type, quotes in it included."""
    found = [inserted(words, word, ("", "NA", "it's")) for words in WORDS for word in ("", "NA", "it's")]

    assert found == [None] * (3 * len(WORDS))


def test_text_converter_without_null_words_keeps_the_empty_text() -> None:
    """With no null words an empty field is an empty text, and no number."""
    assert inserted("text", "") == ""
    assert "is no integer" in str(inserted("integer", ""))


def test_text_converter_stops_at_the_first_bad_record() -> None:
    """The record with the bad value is the last one taken from the iterator, and its column is named."""
    columns = [Column("a", parse_type("integer")), Column("b", parse_type("varchar(2)"))]
    converter = TextConverter(columns, ("",))
    taken: list[tuple[str, str]] = []

    def records() -> Any:
        for record in [("1", "UA"), ("", ""), ("3", "UAL"), ("x", "y")]:
            taken.append(record)
            yield record

    with closing(sqlite3.connect(":memory:")) as connection:
        converter.register(connection)
        connection.execute("CREATE TABLE t (a, b, c)")
        with pytest.raises(sqlite3.OperationalError):
            connection.executemany(f"INSERT INTO t VALUES ({', '.join(converter.expressions)}, 5)", records())

    assert taken[-1] == ("3", "UAL")
    assert converter.error is not None
    assert converter.error.column == columns[1]
    assert str(converter.error) == "'UAL' is longer than varchar(2) (3 characters)"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2013, 1, 2), "2013-01-02"),
        (datetime(2013, 1, 2, 3, tzinfo=UTC), "2013-01-02 03:00:00"),
        (Decimal("1.5"), 1.5),
        (True, 1),
        ("x", "x"),
        (None, None),
    ],
)
def test_bound_compares_with_what_is_stored(value: Any, expected: Any) -> None:
    """A parameter in a query is bound in the form in which the columns hold such values."""
    found = bound(value)

    assert found == expected
    assert type(found) is type(expected)
