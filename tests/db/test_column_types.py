"""Column types in plain SQL words."""

from __future__ import annotations

import pytest

from etlctl.db.columns import ColumnType, Kind, parse_type


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("integer", ColumnType(Kind.INTEGER)),
        ("INT", ColumnType(Kind.INTEGER)),
        ("bigint", ColumnType(Kind.INTEGER, bits=64)),
        ("smallint", ColumnType(Kind.INTEGER, bits=16)),
        ("varchar(2)", ColumnType(Kind.TEXT, length=2)),
        ("character  varying ( 20 )", ColumnType(Kind.TEXT, length=20)),
        ("char(3)", ColumnType(Kind.TEXT, length=3)),
        ("text", ColumnType(Kind.TEXT)),
        ("numeric", ColumnType(Kind.NUMERIC)),
        ("numeric(10,2)", ColumnType(Kind.NUMERIC, precision=10, scale=2)),
        ("decimal( 10 , 2 )", ColumnType(Kind.NUMERIC, precision=10, scale=2)),
        ("numeric(5)", ColumnType(Kind.NUMERIC, precision=5, scale=0)),
        ("double precision", ColumnType(Kind.FLOAT)),
        ("real", ColumnType(Kind.FLOAT)),
        ("Boolean", ColumnType(Kind.BOOLEAN)),
        ("date", ColumnType(Kind.DATE)),
        ("timestamp", ColumnType(Kind.TIMESTAMP)),
        ("timestamp without time zone", ColumnType(Kind.TIMESTAMP)),
        ("timestamp with time zone", ColumnType(Kind.TIMESTAMPTZ)),
        ("timestamptz", ColumnType(Kind.TIMESTAMPTZ)),
        ("time", ColumnType(Kind.TIME)),
        ("jsonb", ColumnType(Kind.JSON)),
        ("bytea", ColumnType(Kind.BYTES)),
    ],
)
def test_parse_type_reads_plain_sql_words(words: str, expected: ColumnType) -> None:
    """The words of PostgreSQL, MySQL and SQLite mean one type, whatever their case and spaces."""
    assert parse_type(words) == expected


@pytest.mark.parametrize(
    "words", ["smallint", "integer", "bigint", "varchar(7)", "text", "numeric", "numeric(10,2)", "double precision",
              "boolean", "date", "timestamp", "timestamp with time zone", "time", "json", "bytes"]
)  # fmt: skip
def test_column_type_is_written_in_words_that_mean_it(words: str) -> None:
    """str() of a type is what parse_type takes back."""
    assert str(parse_type(words)) == words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("intger", "'intger' is no column type; there are integer, bigint.*Did you mean 'integer'"),
        ("varcar(2)", "Did you mean 'varchar'"),
        ("numeric(10;2)", "between the parentheses stand whole numbers"),
        ("varchar(0)", "a length is from 1 to 65535"),
        ("varchar(99999)", "write text"),
        ("numeric(2,3)", "has p from 1 to 38 digits"),
        ("integer(11)", "integer has no size here; write integer"),
        ("timestamp(3) with time zone", "write timestamp with time zone"),
        ("", "is no column type"),
        ("date; DROP TABLE x", "is no column type"),
    ],
)
def test_parse_type_says_what_is_wrong(words: str, sentence: str) -> None:
    """Words that are no type, or have sizes they cannot have, are refused with a way out."""
    with pytest.raises(ValueError, match=sentence):
        parse_type(words)
