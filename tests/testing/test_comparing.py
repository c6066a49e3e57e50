"""Rows are the same whatever the database; what differs is told."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from etlctl.testing.comparing import contents, difference, same

ZONE = dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (dt.date(2026, 11, 21), "2026-11-21"),
        (dt.datetime(2026, 11, 21, 5), "2026-11-21T05:00:00"),
        (dt.datetime(2026, 11, 21, 5, 0, 0, 500000), "2026-11-21 05:00:00.500000"),
        (dt.datetime(2026, 11, 21, 6, tzinfo=ZONE), dt.datetime(2026, 11, 21, 5)),
        (Decimal("4.50"), 4.5),
        (Decimal("9"), 9),
        (0.1 + 0.2, 0.3),
        (True, 1),
        (b"\x00a", memoryview(b"\x00a")),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        (float("nan"), Decimal("nan")),
    ],
)
def test_same_is_the_same_on_every_database(one: Any, other: Any) -> None:
    """What drivers give for one value."""
    assert same(one) == same(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, ""),
        (None, 0),
        ("1", 1),
        (10**15, 10**15 + 1),
        (4.5, 4.50001),
        ("2026-11-21", "2026-11-22"),
        (dt.datetime(2026, 11, 21), dt.date(2026, 11, 21)),
    ],
)
def test_same_tells_apart_what_differs(one: Any, other: Any) -> None:
    """NULL is no empty text, a text no number, and large whole numbers are exact."""
    assert same(one) != same(other)


def test_difference_counts_equal_rows() -> None:
    """A row that is there twice is not the same as once."""
    row = {"a": 1, "b": None}

    assert difference([row, row], [row, row], ["a", "b"]) == []
    assert difference([row, row], [row], ["a", "b"]) == [
        "0 missing (-), 1 too many (+), 1 as expected",
        "  a  b",
        "+ 1  NULL",
    ]


def test_difference_shows_the_first_rows_of_many() -> None:
    """Twenty of each kind, cut to a width one can read."""
    lines = difference([{"a": f"{number:03} " + "x" * 100} for number in range(30)], [{"a": "y"}], ["a"])

    assert lines[0] == "1 missing (-), 30 too many (+), 0 as expected"
    assert lines[2:4] == ["- y", "+ 000 " + "x" * 35 + "…"]
    assert lines[-1] == "+ … and 10 more"


def test_contents_are_equal_whatever_the_order() -> None:
    """Of rows, not of columns' values."""
    assert contents([{"a": 1}, {"a": 2}]) == contents([{"a": 2}, {"a": Decimal(1)}])
    assert contents([{"a": 1}]) != contents([{"a": 1}, {"a": 1}])
