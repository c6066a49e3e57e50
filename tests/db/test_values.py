"""The one meaning of a value in a column, for text from files and for Python values."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.columns import BadValueError, parse_type
from etlctl.db.values import to_value

BERLIN = timezone(timedelta(hours=1))


class Colour(str, Enum):  # noqa: UP042  a StrEnum's str() is its value anyway
    RED = "red"


@pytest.mark.parametrize(
    ("words", "value", "expected"),
    [
        ("integer", "42", 42),
        ("integer", " -007 ", -7),
        ("integer", "+5", 5),
        ("integer", 5.0, 5),
        ("integer", Decimal("5"), 5),
        ("integer", True, 1),
        ("integer", numpy.int64(7), 7),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("numeric", "1.10", Decimal("1.10")),
        ("numeric", ".5e3", Decimal("500")),
        ("numeric", 0.1, Decimal("0.1")),
        ("numeric(5,2)", "1.005", Decimal("1.01")),
        ("numeric(5,2)", "-999.994", Decimal("-999.99")),
        ("double precision", "1.5e3", 1500.0),
        ("double precision", 3, 3.0),
        ("text", "  kept as it is ", "  kept as it is "),
        ("text", 12, "12"),
        ("text", True, "true"),
        ("text", date(2013, 1, 2), "2013-01-02"),
        ("text", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("varchar(3)", Colour.RED, "red"),
        ("varchar(2)", "ÄÖ", "ÄÖ"),
        ("boolean", "Yes", True),
        ("boolean", "f", False),
        ("boolean", "off", False),
        ("boolean", 1, True),
        ("boolean", numpy.bool_(False), False),
        ("date", "2013-01-02", date(2013, 1, 2)),
        ("date", "2013-01-02T00:00:00", date(2013, 1, 2)),
        ("date", datetime(2013, 1, 2), date(2013, 1, 2)),
        ("date", pandas.Timestamp("2013-01-02"), date(2013, 1, 2)),
        ("timestamp", "2013-01-02", datetime(2013, 1, 2)),
        ("timestamp", "2013-01-02 03:04", datetime(2013, 1, 2, 3, 4)),
        ("timestamp", "2013-01-02T03:04:05Z", datetime(2013, 1, 2, 3, 4, 5)),
        ("timestamp", "2013-01-02T03:04:05+01:00", datetime(2013, 1, 2, 2, 4, 5)),
        ("timestamp", "2013-01-02T03:04:05.250-05:30", datetime(2013, 1, 2, 8, 34, 5, 250000)),
        ("timestamp", "2013-01-02 03:04:05.25", datetime(2013, 1, 2, 3, 4, 5, 250000)),
        ("timestamp", "2013-01-02 03:04:05 -0530", datetime(2013, 1, 2, 8, 34, 5)),
        ("timestamp", "2013-01-02 03:04:05+01", datetime(2013, 1, 2, 2, 4, 5)),
        ("timestamp", "2013-01-02T23:59:59.9999996", datetime(2013, 1, 3)),
        ("timestamp", datetime(2013, 1, 2, 3, tzinfo=BERLIN), datetime(2013, 1, 2, 2)),
        ("timestamp", pandas.Timestamp("2013-01-02T03:00:00.000001234"), datetime(2013, 1, 2, 3, 0, 0, 1)),
        ("timestamptz", "2013-01-02 03:04:05", datetime(2013, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("timestamptz", datetime(2013, 1, 2, 3, tzinfo=BERLIN), datetime(2013, 1, 2, 2, tzinfo=UTC)),
        ("time", "03:04:05.5", time(3, 4, 5, 500000)),
        ("time", "23:04:05.000001", time(23, 4, 5, 1)),
        ("time", "03:04", time(3, 4)),
        ("json", '{"a": [1, null]}', '{"a": [1, null]}'),
        ("json", {"ä": 1}, '{"ä": 1}'),
        ("bytes", "\\x00ff", b"\x00\xff"),
        ("bytes", bytearray(b"a"), b"a"),
    ],
)
def test_to_value_gives_the_columns_value(words: str, value: Any, expected: Any) -> None:
    """Text and Python values become the one value that a column of the type holds."""
    converted = to_value(parse_type(words), value)

    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize("missing", [None, math.nan, Decimal("NaN"), pandas.NaT, pandas.NA, numpy.float64("nan")])
@pytest.mark.parametrize("words", ["integer", "numeric", "text", "date", "timestamp", "json", "boolean"])
def test_to_value_takes_what_is_missing_for_null(words: str, missing: Any) -> None:
    """None, NaN and pandas' own words for nothing are NULL in every column."""
    assert to_value(parse_type(words), missing) is None


@pytest.mark.parametrize(
    ("words", "value", "sentence"),
    [
        ("integer", "abc", "'abc' is no integer"),
        ("integer", "12.0", "'12.0' is no integer; a column with fractions is numeric"),
        ("integer", "1e3", "is no integer"),
        ("integer", "1_000", "is no integer"),
        ("integer", "٣", "is no integer"),
        ("integer", "", "'' is no integer"),
        ("integer", 1.5, "1.5 is no integer"),
        ("integer", math.inf, "is no integer"),
        ("integer", "2147483648", "does not fit integer (-2147483648 to 2147483647); declare the column bigint"),
        ("smallint", "40000", "does not fit smallint"),
        ("bigint", "9223372036854775808", "does not fit bigint (-9223372036854775808 to 9223372036854775807)"),
        ("bigint", "9" * 5000, "does not fit bigint"),
        ("bigint", Decimal("1e999999"), "is no integer"),
        ("numeric", "1,5", "'1,5' is no number"),
        ("numeric", "NaN", "'NaN' is no number"),
        ("numeric", "Infinity", "is no number"),
        ("numeric", "0x10", "is no number"),
        ("numeric", "1e400", "does not fit numeric"),
        ("numeric(5,2)", "999.995", "does not fit numeric(5,2)"),
        ("double precision", "1e999", "does not fit double precision"),
        ("double precision", math.inf, "inf does not fit double precision"),
        ("varchar(2)", "UAL", "'UAL' is longer than varchar(2) (3 characters)"),
        ("text", "a\0b", "holds a NUL character"),
        ("text", "\ud800", "half a surrogate pair"),
        ("text", ["a"], "is a list and no text"),
        ("text", b"a", "is a bytes and no text"),
        ("boolean", "maybe", "'maybe' is no boolean"),
        ("boolean", 2, "2 is no boolean"),
        ("date", "2013-02-29", "there is no such day"),
        ("date", "20130101", "is no date (YYYY-MM-DD)"),
        ("date", "01/02/2013", "is no date (YYYY-MM-DD)"),
        ("date", "2013-01-01 05:00", "the time of day would be lost"),
        ("date", 20130101, "is no date"),
        ("timestamp", "2013-01-01 24:00:00", "there is no such day or time"),
        ("timestamp", "2013-01-01 10:00:60", "there is no such day or time"),
        ("timestamp", "2013-13-01", "there is no such day"),
        ("timestamp", "2013-01-01 10:00:00+99:00", "there is no such day or time"),
        ("timestamp", "0001-01-01 00:00:00+01:00", "is out of range in UTC"),
        ("timestamp", "now", "is no timestamp"),
        ("timestamp", 1356998400, "is no timestamp"),
        ("time", "25:00:00", "is no time of day"),
        ("time", "23:59:59.9999999", "rounded to microseconds it is midnight"),
        ("json", "{'a': 1}", "is no JSON"),
        ("json", "NaN", "is no JSON"),
        ("json", "[" * 100_000, "is no JSON"),
        ("json", {1, 2}, "cannot be written as JSON"),
        ("bytes", "abc", "are no bytes"),
        ("bytes", "\\xabc", "is no hexadecimal text"),
    ],
)
def test_to_value_says_why_it_refuses(words: str, value: Any, sentence: str) -> None:
    """A value that the column cannot hold on every database is refused, showing the value and the reason."""
    with pytest.raises(BadValueError) as caught:
        to_value(parse_type(words), value)

    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 300


@given(
    st.sampled_from(["integer", "bigint", "numeric", "numeric(9,3)", "double precision", "boolean", "date", "timestamp",
                     "timestamptz", "time", "json", "bytes", "text", "varchar(3)"]),
    st.one_of(st.text(), st.integers(), st.floats(), st.decimals(), st.datetimes(timezones=st.none() | st.timezones()),
              st.dates(), st.times(), st.booleans(), st.binary(), st.none(), st.lists(st.integers())),
)  # fmt: skip
def test_to_value_converts_or_refuses_anything(words: str, value: Any) -> None:
    """Whatever comes is converted or refused with a BadValueError, and converting the result again changes nothing."""
    type_ = parse_type(words)
    try:
        converted = to_value(type_, value)
    except BadValueError:
        return

    assert to_value(type_, converted) == converted


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
    st.none() | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
    st.sampled_from(["T", " ", "t"]),
)
def test_to_value_reads_every_iso_timestamp(moment: datetime, zone: timezone | None, unit: str, between: str) -> None:
    """Text of any instant, to the second or finer and with any offset, is that instant in UTC."""
    text = moment.replace(tzinfo=zone).isoformat(between, timespec=unit)

    found = to_value(parse_type("timestamp"), text)

    kept = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}[unit]
    written = moment.replace(microsecond=moment.microsecond // kept * kept)
    assert found == written - (zone.utcoffset(None) if zone is not None else timedelta())
