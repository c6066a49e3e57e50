"""The look at many fields of a column at once: what it lets pass means what `stored` says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etlctl.db.columns import BadValueError, Column, parse_type
from etlctl.db.dialects.base import Records
from etlctl.db.dialects.sqlite.quick import known_texts, look_for
from etlctl.db.dialects.sqlite.values import ddl, stored
from etlctl.db.sessions import open_session
from warehouse import Warehouse

WORDS = [
    "smallint", "integer", "bigint", "numeric", "numeric(7,2)", "numeric(18,4)", "numeric(4,4)", "numeric(5)",
    "double precision", "text", "varchar(3)", "date", "timestamp", "timestamp with time zone",
]  # fmt: skip
LEAP_DAYS = [date(1999, 12, 31) + timedelta(days=n) for n in range(1500)]

likely = st.one_of(
    st.from_regex(r"-?(0|[0-9]{1,19})(\.[0-9]{0,15})?", fullmatch=True),
    st.from_regex(r"-?0\.0{0,3}[0-9]?", fullmatch=True),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z?)?", fullmatch=True),
    st.dates().map(str),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds") + "Z"),
    st.datetimes(timezones=st.just(UTC)).map(str),
    st.text(alphabet="0123456789+-.eE TZ:\0", max_size=8),
)


def kept(words: str, found: Any) -> list[Any]:
    """What a column of the type holds when these are bound."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t (c {ddl(parse_type(words))})")
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in found])
        return [found for (found,) in connection.execute("SELECT c FROM t ORDER BY rowid")]


@given(
    st.sampled_from(WORDS), st.lists(likely, min_size=1, max_size=3), st.sampled_from([(), ("", "NA"), ("-1", "x.")])
)
@example("integer", ["-0"], ())
@example("double precision", ["-0.0"], ())
@example("numeric", ["9007199254740993"], ())
@example("numeric(18,4)", ["12345678901234.5678"], ())
@example("timestamp", ["2013-02-29T00:00:00Z"], ())
@example("timestamp", ["0000-01-01 00:00:00"], ())
@example("date", ["1900-02-29"], ())
@example("integer", ["1\0002"], ())
@example("varchar(3)", ["éßÿ"], ())
def test_look_lets_nothing_pass_that_would_be_kept_otherwise(
    words: str, fields: list[str], null_values: tuple[str, ...]
) -> None:
    """Each field becomes the same value, of the same type, as by `stored`; what that refuses does not pass."""
    type_ = parse_type(words)
    look = look_for(type_, null_values)
    found = look(fields) if look is not None else None
    if found is None or (type_.kind.name == "TEXT" and "\0" in "".join(fields)):  # a file's fields hold no NUL
        return

    expected = [None if field in null_values else stored(type_, field) for field in fields]

    values = kept(words, found)
    assert values == expected
    assert list(map(type, values)) == list(map(type, expected))


@given(
    st.sampled_from([*WORDS, "boolean", "time"]),
    st.lists(likely, max_size=5),
    st.sampled_from([(), ("", "NA"), ("0",)]),
)
def test_known_texts_are_what_stored_says(words: str, fields: list[str], null_values: tuple[str, ...]) -> None:
    """Each time they come; a text that is refused is nothing that is known."""
    type_ = parse_type(words)
    look = known_texts(type_, null_values, 11)
    assert look is not None
    try:
        expected = [None if field in null_values else stored(type_, field) for field in fields]
    except BadValueError:
        assert look(fields) is None
        return

    for _ in range(2):
        found = look(fields)
        assert found is not None
        values = kept(words, found)
        assert values == expected
        assert list(map(type, values)) == list(map(type, expected))


@pytest.mark.parametrize("fields", [[str(n) for n in range(1_001)], ["x" * 51]], ids=["many", "long"])
def test_known_texts_are_few_and_short(fields: list[str]) -> None:
    """Memory does not grow with the file."""
    look = known_texts(parse_type("text"), ("",), 1)

    assert look is not None and look(fields) is None


@pytest.mark.parametrize("words", ["json", "bytes"])
def test_documents_are_not_remembered(words: str) -> None:
    """They hardly come again."""
    assert known_texts(parse_type(words), ("",), 1) is None


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("integer", ["0", "-40", "4983", "NA", ""]),
        ("numeric", ["1.5", "-40", "0", "40.639751", "NA"]),
        ("numeric(7,2)", ["12345.67", "0.5", "-3", ""]),
        ("double precision", ["-74.177892", "0.25", "7"]),
        ("varchar(2)", ["UA", "NA", "", "éß"]),
        ("date", ["2012-02-29", "2000-02-29", "2013-01-31", "NA"]),
        ("timestamp", ["2013-01-01T05:00:00Z", "2013-12-31 23:59:59", "NA", ""]),
        ("timestamp", [f"{day}T10:00:00Z" for day in LEAP_DAYS]),
        ("date", [str(day) for day in LEAP_DAYS]),
    ],
)
def test_look_knows_the_forms_that_files_have(words: str, fields: list[str]) -> None:
    """Else a load would be right, and slow."""
    look = look_for(parse_type(words), ("", "NA"))

    assert look is not None and look(fields) is not None


def test_a_null_word_of_a_moments_letters_is_left_to_sql() -> None:
    """`NaT` would not be itself any more."""
    assert look_for(parse_type("timestamp"), ("NaT",)) is None


@pytest.mark.parametrize("odd_at", [0, 31, 32, 5000, 9999])
def test_rows_stay_in_order_when_a_column_leaves_the_common_form(warehouse: Warehouse, odd_at: int) -> None:
    """Whichever batch the odd field is in, each record is staged once, in order, with its own values."""
    columns = (
        Column("n", parse_type("integer")),
        Column("at", parse_type("timestamp")),
        Column("v", parse_type("text")),
    )
    rows = [(str(n), "2013-01-01T05:00:00Z", f"row {n}") for n in range(10_000)]
    rows[odd_at] = (f" +{odd_at}", "2013-01-01T06:00:00.5+01:00", "odd")
    told: list[int] = []

    with open_session(warehouse.database, "t") as session:
        records = Records(
            columns, iter(rows), ("", "NA"), {Column("day", parse_type("date")): "2013-01-01"}, told.append
        )
        staged = session.stage_records("rows", (*columns, Column("day", parse_type("date"))), records)
        with session.asking() as connection:
            found = connection.exec_driver_sql(
                f'SELECT n, "at", v, day FROM etlctl_staging."{staged.table.name}" ORDER BY rowid'
            ).all()

    expected: list[Any] = [(n, "2013-01-01 05:00:00", f"row {n}", "2013-01-01") for n in range(10_000)]
    expected[odd_at] = (odd_at, "2013-01-01 05:00:00.500000", "odd", "2013-01-01")
    assert found == expected
    assert staged.rows == 10_000 and told == [10_000]


def test_stored_refuses_what_no_look_lets_pass() -> None:
    """The other half: an impossible day is an error, not another day."""
    with pytest.raises(BadValueError):
        stored(parse_type("date"), "2013-02-29")
    look = look_for(parse_type("date"), ())
    assert look is not None and look(["2013-02-29"]) is None
