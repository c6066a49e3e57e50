"""Whatever happens in a source, in whatever order its days are loaded: an Incremental loses no row and doubles none."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from copying import Pair
from etlctl.core import context
from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import DateParameter
from etlctl.db.columns import ColumnType, Kind
from etlctl.errors import LoadError
from etlctl.loads.incremental import Incremental
from etlctl.loads.modes import append, merge_on
from etlctl.loads.window import Cursor, Window, cursor_of, end_of, recorded

LOOK_BACK = timedelta(hours=30)
STEP = timedelta(hours=3)


class Replaced(Incremental):
    date = DateParameter()
    source = "shop"
    source_table = "orders"
    table = "orders"
    cursor = "at"
    look_back: Any = LOOK_BACK


class Merged(Replaced):
    mode = merge_on("id")


class Appended(Replaced):
    mode = append
    look_back = None
    lineage = True


class Shop:
    """A source whose clock goes on, and what must have arrived of it."""

    def __init__(self, pair: Pair, kind: type[Incremental]) -> None:
        self.pair = pair
        self.kind = kind
        self.now = dt.datetime(2013, 1, 5)
        self.rows: dict[int, tuple[str, dt.datetime]] = {}
        self.done: set[dt.date] = set()
        pair.shop.write("CREATE TABLE orders (id bigint, what text, at timestamp)")

    def insert(self, late: int) -> None:
        """A row of now, or one that comes late, by as much as the look-back at most."""
        is_on_time = self.kind is Appended or late == 0
        at = self.now if is_on_time else self.now - LOOK_BACK * late / 4
        self.rows[len(self.rows)] = ("new", at)
        self._write()

    def change(self, number: int) -> None:
        """A row becomes another, and says when."""
        if self.kind is Merged and self.rows:
            self.rows[number % len(self.rows)] = (f"changed at {self.now}", self.now)
            self._write()

    def go_on(self, steps: int) -> None:
        self.now += STEP * steps

    def load(self, days_ago: int, *, again: bool = False) -> None:
        """A day is loaded, which may be one of before; what lies before its end is then there, once."""
        day = self.now.date() - timedelta(days=days_ago)
        with attempting(Attempt(forced=again and day in self.done)):
            self.kind(day).run()
        is_new, self.done = day not in self.done, self.done | {day}
        self.now += timedelta(microseconds=1)  # what comes later is later
        there = self.pair.warehouse.ask("SELECT id, what, at FROM orders")
        found = Counter(number for number, *_ in there)
        assert set(found.values()) <= {1}
        if is_new:
            end = dt.datetime.combine(day + timedelta(days=1), dt.time())
            assert {(number, what, str(at)) for number, (what, at) in self.rows.items() if at < end} <= set(there)

    def _write(self) -> None:
        self.pair.shop.write("DELETE FROM orders")
        self.pair.shop.insert("orders", *[(number, what, str(at)) for number, (what, at) in self.rows.items()])


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 4)),
        st.tuples(st.just("change"), st.integers(0, 9)),
        st.tuples(st.just("go_on"), st.sampled_from([0, 1, 7, 8, 30])),
        st.tuples(st.just("load"), st.sampled_from([0, 0, 0, 1, 5])),
        st.tuples(st.just("again"), st.sampled_from([0, 1])),
    ),
    min_size=3,
    max_size=14,
)


NOTHING_AND_AGAIN = [("insert", 0), ("load", 1), ("load", 0), ("again", 1)]
"""A day that had nothing is forced when the next has taken what lies on their bound."""


@pytest.mark.parametrize("kind", [Replaced, Merged, Appended])
@example(steps=NOTHING_AND_AGAIN)
@settings(max_examples=25, deadline=None)
@given(steps=_STEPS)
def test_no_row_is_lost_and_none_comes_twice(kind: type[Incremental], steps: list[tuple[str, int]]) -> None:
    """By any history of rows that come late within the look-back, change, or lie exactly at a bound."""
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder), f"sqlite:///{folder}/shop.db", f"sqlite:///{folder}/warehouse.db")
        with context.use(pair.context):
            shop = Shop(pair, kind)
            for name, number in steps:
                if name == "again":
                    shop.load(number, again=True)
                else:
                    getattr(shop, name)(number)
            shop.go_on(8)
            shop.load(0)

            there = pair.warehouse.ask("SELECT id, what, at FROM orders ORDER BY id")
            assert there == [(number, what, str(at)) for number, (what, at) in sorted(shop.rows.items())]
        pair.databases.close()


# -- the window alone

_TIMESTAMP, _DATE, _INTEGER = (Cursor("c", kind) for kind in (Kind.TIMESTAMP, Kind.DATE, Kind.INTEGER))


@given(st.datetimes(), st.timedeltas(timedelta(0), timedelta(days=9)))
def test_looking_back_and_on_are_of_one_order(moment: dt.datetime, look_back: timedelta) -> None:
    """What is looked back to is not after, and what comes after is."""
    before, after = _TIMESTAMP.before(moment, look_back), _TIMESTAMP.after(moment)

    assert before is None or before <= moment
    assert after is None or after > moment
    assert Window(before, after).holds(moment)


@given(st.dates(), st.timedeltas(timedelta(0), timedelta(days=9)))
def test_looking_back_over_dates_takes_whole_days(day: dt.date, look_back: timedelta) -> None:
    """Never less than was asked for, and less than a day more."""
    before = _DATE.before(day, look_back)

    assert before is None or look_back <= day - before < look_back + timedelta(days=1)


@given(st.sampled_from([_TIMESTAMP, _DATE, _INTEGER]), st.data())
def test_a_window_comes_back_out_of_its_marker(cursor: Cursor, data: st.DataObject) -> None:
    """As it was, through JSON's words."""
    values = {Kind.TIMESTAMP: st.datetimes(), Kind.DATE: st.dates(), Kind.INTEGER: st.integers(-(2**63), 2**63 - 1)}
    low, high, last = (data.draw(st.none() | values[cursor.kind]) for _ in range(3))
    words = {"cursor": "c", "from": cursor.kept(low), "to": cursor.kept(high), "last": cursor.kept(last)}

    assert recorded([{"path": "x"}, {"table": "t", **words}], cursor) == (Window(low, high), last, words)
    assert recorded([{**words, "cursor": "d"}], cursor) is None


@pytest.mark.parametrize(
    ("kind", "following", "zone", "end"),
    [
        (Kind.TIMESTAMP, dt.date(2013, 7, 2), "UTC", dt.datetime(2013, 7, 2)),
        (Kind.TIMESTAMP, dt.date(2013, 7, 2), "America/New_York", dt.datetime(2013, 7, 2, 4)),
        (Kind.TIMESTAMP, dt.date(2013, 3, 31), "Europe/Berlin", dt.datetime(2013, 3, 30, 23)),
        (Kind.TIMESTAMP, dt.datetime(2013, 7, 2, 13), "Europe/Berlin", dt.datetime(2013, 7, 2, 11)),
        (Kind.TIMESTAMP, dt.date(1, 1, 1), "Europe/Berlin", None),
        (Kind.TIMESTAMP, None, "UTC", None),
        (Kind.DATE, dt.date(2013, 7, 2), "Europe/Berlin", dt.date(2013, 7, 2)),
        (Kind.DATE, dt.datetime(2013, 7, 2), "UTC", dt.date(2013, 7, 2)),
        (Kind.DATE, dt.datetime(2013, 7, 2, 1), "UTC", dt.date(2013, 7, 3)),
        (Kind.INTEGER, dt.date(2013, 7, 2), "UTC", None),
    ],
)
def test_a_window_ends_where_the_next_begins(kind: Kind, following: Any, zone: str, end: Any) -> None:
    """In the time zone for instants; a day of which an hour is asked for counts whole; a number has no end."""
    assert end_of(kind, following, zone, "Load") == end


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (Kind.TIMESTAMPTZ, Kind.TIMESTAMP, Kind.TIMESTAMP),
        (Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.TIMESTAMP),
        (Kind.TEXT, Kind.DATE, Kind.DATE),
        (Kind.DATE, Kind.TIMESTAMP, None),
        (Kind.TIMESTAMP, Kind.TEXT, None),
        (Kind.NUMERIC, Kind.INTEGER, None),
    ],
)
def test_a_cursor_is_of_one_kind_on_both_sides(source: Kind, target: Kind, expected: Kind | None) -> None:
    """With a time zone or without is one; a text of the source is what the target says."""
    if expected is None:
        with pytest.raises(LoadError, match="the cursor c is"):
            cursor_of("c", ColumnType(source), ColumnType(target), "Load")
    else:
        assert cursor_of("c", ColumnType(source), ColumnType(target), "Load").kind is expected
