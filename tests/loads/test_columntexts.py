"""Fields of many values at a time: each is what its value becomes by itself."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.columns import BadValueError, Column, Kind, parse_type
from etlctl.db.dialects.lines import FieldForm
from etlctl.db.dialects.postgresql.values import stored
from etlctl.loads.columntexts import ColumnTexts
from etlctl.loads.columnvalues import RefusedError

FORM = FieldForm(
    null="<null>",
    text_of=lambda value: json.dumps(str(value)) if "\t" in str(value) else str(value),
    separator="\t",
    marks="\t\n",
)
TYPES = (
    "integer",
    "smallint",
    "bigint",
    "text",
    "varchar(3)",
    "numeric",
    "numeric(6,2)",
    "double precision",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "time",
    "json",
    "bytea",
)
TEXTS = [
    "",
    "NA",
    "0",
    "-0",
    "1",
    "-17",
    "+1",
    "01",
    " 2",
    "1\t2",
    "99999",
    "12345678901",
    "1.50",
    "true",
    "t",
    "2013-01-01",
]
TEXTS += ["2013-01-01 05:00:00", "2013-01-01T05:00:00Z", "05:30", "{}", "\\x00ff", "x", "EWR", "Zürich", "\0", "\udc80"]
OBJECTS: list[Any] = [
    None,
    0,
    1,
    -5,
    2**40,
    True,
    False,
    1.0,
    2.5,
    float("nan"),
    Decimal("1.5"),
    date(2013, 1, 1),
    b"\0",
]
OBJECTS += [datetime(2013, 1, 1, 5), datetime(2013, 1, 1, 5, tzinfo=UTC), {"a": 1}]
OBJECTS += [datetime(2013, 1, 1, 6, tzinfo=timezone(timedelta(hours=1)))]
BATCHES = st.one_of(
    st.lists(st.sampled_from(TEXTS), max_size=12),
    st.lists(st.sampled_from([None, *TEXTS]), max_size=12),
    st.lists(st.sampled_from([None, 0, 1, -5, 300, 2**40]), max_size=12),
    st.lists(st.sampled_from(OBJECTS + TEXTS), max_size=6),
    st.lists(st.integers(-(2**33), 2**33).map(str), max_size=12),
    st.lists(st.text(max_size=4), max_size=12),
)


def one(column: Column, value: Any, null_values: tuple[str, ...]) -> str:
    kept = None if value in null_values and isinstance(value, str) else stored(column.type, value)
    return "<null>" if kept is None else FORM.text_of(kept)


@given(
    type_=st.sampled_from(TYPES), batches=st.lists(BATCHES, max_size=4), nulls=st.sampled_from([(), ("",), ("", "NA")])
)
def test_texts_together_are_what_each_is_alone(type_: str, batches: list[list[Any]], nulls: tuple[str, ...]) -> None:
    """Whatever is remembered or taken as it is; the first value that is refused is the one that is named."""
    column = Column("c", parse_type(type_))
    texts = ColumnTexts(column, stored, nulls, 3, FORM)
    for batch in batches:
        try:
            expected = [one(column, value, nulls) for value in batch]
        except BadValueError as error:
            with pytest.raises(RefusedError) as refused:
                texts.texts(tuple(batch))
            alone = refused.value.index
            assert str(refused.value.error).endswith(str(error))  # noqa: PT017  most values are good, and raise nothing
            with pytest.raises(BadValueError):
                one(column, batch[alone], nulls)
            assert len([one(column, value, nulls) for value in batch[:alone]]) == alone  # raises nothing
        else:
            assert list(texts.texts(tuple(batch))) == expected


def test_texts_hold_no_more_than_some_thousand_values() -> None:
    """A column whose values never come again costs no memory."""
    texts = ColumnTexts(Column("c", parse_type("bigint")), stored, ("",), 1000, FORM)

    for begin in range(0, 10_000, 100):
        values = tuple(range(begin, begin + 100))
        assert list(texts.texts(values)) == [str(value) for value in values]

    assert sum(map(len, texts._fields.values())) < 1000


def test_texts_keep_no_document() -> None:
    """JSON may be as large as it likes."""
    texts = ColumnTexts(Column("c", parse_type("json")), stored, ("",), 1, FORM)

    assert list(texts.texts(('{"a": 1}',) * 3)) == ['{"a": 1}'] * 3

    assert texts._fields == {}
    assert texts._column.type.kind is Kind.JSON
