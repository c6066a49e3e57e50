"""Incremental: from where to where it loads, what of that stays when it is repeated, and what it refuses."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from copying import Pair
from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import (
    DateHourParameter,
    DateParameter,
    MonthParameter,
    Parameter,
    ParameterVisibility,
    StrParameter,
)
from etlctl.errors import BadDataError, LoadError, QueryError, TransientError
from etlctl.loads.incremental import Incremental
from etlctl.loads.modes import append, merge_on, replace, replace_where
from etlctl.loads.sequence import transaction

MakePair = Callable[..., Pair]
KINDS = ["sqlite", "postgresql", "mysql"]
ORDERS = "CREATE TABLE orders (id bigint, what varchar(20), at {timestamp})"
TIMESTAMP = {"sqlite": "timestamp", "postgresql": "timestamp", "mysql": "datetime(6)"}


class Orders(Incremental):
    date = DateParameter()
    source = "shop"
    source_table = "orders"
    table = "orders"
    cursor = "at"
    look_back: Any = timedelta(days=2)


class Merged(Orders):
    mode = merge_on("id")


class Appended(Orders):
    mode = append
    look_back = None
    lineage = True


def day(number: int) -> dt.date:
    return dt.date(2013, 1, number)


def orders_in(pair: Pair, *rows: tuple[Any, ...], kind: str = "sqlite") -> None:
    pair.shop.write(ORDERS.format(timestamp=TIMESTAMP[kind]))
    pair.shop.insert("orders", *rows)


def there(pair: Pair, sql: str = "SELECT id, what FROM orders ORDER BY id, what") -> list[tuple[Any, ...]]:
    return pair.warehouse.ask(sql)


def inputs_of(pair: Pair, task: Incremental) -> dict[str, Any]:
    """What the marker has kept of the window."""
    ((text,),) = pair.warehouse.ask("SELECT inputs FROM table_updates WHERE update_id = ?", task.task_id)
    (found,) = json.loads(text)
    return {name: found.get(name) for name in ("from", "to", "last") if name in found}


def forced(task: Incremental) -> Attempt:
    with attempting(Attempt(forced=True)) as attempt:
        task.run()
    return attempt


@pytest.mark.parametrize(
    ("shop", "warehouse"), [*[(kind, kind) for kind in KINDS], ("postgresql", "sqlite"), ("sqlite", "mysql")]
)
def test_windows_follow_one_another(pair_of: MakePair, shop: str, warehouse: str) -> None:
    """From the beginning, then from the greatest value less the look-back; each up to the end of its day."""
    pair = pair_of(shop, warehouse)
    orders_in(
        pair,
        (1, "a", "2012-05-01 00:00:00"),
        (2, "b", "2013-01-03 23:59:59.999999"),
        (3, "c", "2013-01-04 00:00:00"),
        kind=shop,
    )

    Orders(day(3)).run()
    assert there(pair) == [(1, "a"), (2, "b")]
    assert inputs_of(pair, Orders(day(3))) == {"from": None, "to": "2013-01-04 00:00:00"}

    pair.shop.write("UPDATE orders SET what = 'old' WHERE id = 1", "UPDATE orders SET what = 'new' WHERE id = 2")
    pair.shop.insert("orders", (4, "late", "2013-01-01 23:59:59.999999"), (5, "too late", "2013-01-01 23:59:59.999998"))
    Orders(day(4)).run()
    assert there(pair) == [(1, "a"), (2, "new"), (3, "c"), (4, "late")]
    assert inputs_of(pair, Orders(day(4))) == {"from": "2013-01-01 23:59:59.999999", "to": "2013-01-05 00:00:00"}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_change_are_merged(pair_of: MakePair, kind: str) -> None:
    """A row that changes gets a new cursor, and is updated wherever it was."""
    pair = pair_of("sqlite", kind)
    orders_in(pair, (1, "a", "2012-05-01 00:00:00"), (2, "b", "2013-01-03 05:00:00"))
    Merged(day(3)).run()
    pair.shop.write("UPDATE orders SET what = 'new', at = '2013-01-04 05:00:00' WHERE id = 1")

    Merged(day(4)).run()

    assert there(pair) == [(1, "new"), (2, "b")]


@pytest.mark.parametrize("kind", KINDS)
def test_appended_rows_begin_behind_the_greatest(pair_of: MakePair, kind: str) -> None:
    """Nothing is taken away, and what lies at the bound comes once."""
    pair = pair_of("sqlite", kind)
    orders_in(pair, (1, "a", "2013-01-03 05:00:00"), (2, "b", "2013-01-03 06:00:00"))
    Appended(day(3)).run()
    pair.shop.insert("orders", (3, "c", "2013-01-03 06:00:00.000001"), (4, "late", "2013-01-03 06:00:00"))

    Appended(day(4)).run()

    assert there(pair) == [(1, "a"), (2, "b"), (3, "c")]
    assert inputs_of(pair, Appended(day(4)))["from"] == "2013-01-03 06:00:00.000001"


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_have_no_end(pair_of: MakePair, kind: str) -> None:
    """The look-back is a number, and the day only says which update it is."""
    pair = pair_of(kind, "sqlite")
    pair.shop.write("CREATE TABLE orders (id bigint, what varchar(20))")
    pair.shop.insert("orders", *[(number, "a") for number in range(1, 11)])

    class Numbered(Orders):
        cursor = "id"
        look_back = 3

    Numbered(day(1)).run()
    pair.shop.write("UPDATE orders SET what = 'b'")
    pair.shop.insert("orders", (11, "b"))
    Numbered(day(2)).run()

    assert there(pair) == [(n, "a") for n in range(1, 7)] + [(n, "b") for n in range(7, 12)]
    assert inputs_of(pair, Numbered(day(2))) == {"from": 7, "to": None}


@pytest.mark.parametrize("kind", KINDS)
def test_dates_count_by_whole_days(pair_of: MakePair, kind: str) -> None:
    """Also in the look-back: what is left of a day is looked at as well."""
    pair = pair_of(kind, "sqlite")
    pair.shop.write("CREATE TABLE orders (id bigint, what varchar(20), at date)")
    pair.shop.insert("orders", *[(number, "a", f"2013-01-{number:02}") for number in range(1, 6)])

    class Dated(Orders):
        look_back = timedelta(hours=25)

    Dated(day(4)).run()
    pair.shop.write("UPDATE orders SET what = 'b'")
    Dated(day(5)).run()

    assert there(pair) == [(1, "a"), (2, "b"), (3, "b"), (4, "b"), (5, "b")]
    assert inputs_of(pair, Dated(day(5))) == {"from": "2013-01-02", "to": "2013-01-06"}


def test_a_day_ends_where_the_time_zone_says(pair_of: MakePair) -> None:
    """For instants, whose column has a time zone or is in UTC; the target keeps UTC."""
    pair = pair_of("postgresql", "sqlite")
    pair.shop.write(
        "CREATE TABLE orders (id bigint, what varchar(20), at timestamptz)",
        "INSERT INTO orders VALUES (1, 'a', '2013-07-01 23:59:59 Europe/Berlin'), (2, 'b', '2013-07-02 Europe/Berlin')",
    )

    class Berlin(Orders):
        time_zone = "Europe/Berlin"

    Berlin(dt.date(2013, 7, 1)).run()

    assert there(pair, "SELECT id, at FROM orders") == [(1, "2013-07-01 21:59:59")]
    assert inputs_of(pair, Berlin(dt.date(2013, 7, 1)))["to"] == "2013-07-01 22:00:00"
    Berlin(dt.date(2013, 7, 2)).run()
    assert there(pair) == [(1, "a"), (2, "b")]


def test_the_parameter_says_how_far_a_window_goes(pair_of: MakePair) -> None:
    """A month, an hour: up to the beginning of the next."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-31 12:59:59"), (2, "b", "2013-01-31 13:00:00"), (3, "c", "2013-02-01 00:00:00"))

    class Monthly(Orders):
        date = MonthParameter()
        table = "monthly"

    class Hourly(Orders):
        date = DateHourParameter()
        table = "hourly"

    Monthly(dt.date(2013, 1, 1)).run()
    Hourly(dt.datetime(2013, 1, 31, 12)).run()

    assert there(pair, "SELECT id FROM monthly ORDER BY id") == [(1,), (2,)]
    assert there(pair, "SELECT id FROM hourly") == [(1,)]


def test_a_window_that_is_behind_loads_nothing(pair_of: MakePair) -> None:
    """Days may come in any order: what an earlier one would load is there, and it says so."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-01 05:00:00"), (9, "b", "2013-01-09 05:00:00"))
    Orders(day(9)).run()

    with attempting(Attempt()) as attempt:
        Orders(day(2)).run()

    assert there(pair) == [(1, "a"), (9, "b")]
    assert attempt.notes == ["orders already reaches 2013-01-07 05:00:00, beyond 2013-01-03 00:00:00: 0 rows"]


def test_a_query_may_be_the_source(pair_of: MakePair) -> None:
    """With parameters of its own."""
    pair = pair_of("postgresql", "sqlite")
    orders_in(pair, (1, "a", "2013-01-01 05:00:00"), (2, "b", "2013-01-01 06:00:00"), kind="postgresql")

    class Queried(Orders):
        source_table: Any = None
        what = StrParameter()
        query = "SELECT id, what, at FROM orders WHERE what = :what -- only"

    Queried(date=day(1), what="b").run()
    Queried(date=day(2), what="b").run()

    assert there(pair) == [(2, "b")]


# -- again


@pytest.mark.parametrize("kind", KINDS)
def test_forced_it_loads_its_own_window_again(pair_of: MakePair, kind: str) -> None:
    """And nothing else, however far the table has come meanwhile."""
    pair = pair_of("sqlite", kind)
    orders_in(pair, *[(n, "a", f"2013-01-0{n} 05:00:00") for n in range(1, 8)])
    for number in (3, 5, 7):
        Orders(day(number)).run()
    window = inputs_of(pair, Orders(day(5)))
    pair.shop.write("UPDATE orders SET what = 'b'", "DELETE FROM orders WHERE id = 3")

    forced(Orders(day(5)))

    assert there(pair) == [(1, "b"), (2, "b"), (4, "b"), (5, "b"), (6, "a"), (7, "a")]
    assert inputs_of(pair, Orders(day(5))) == window == {"from": "2013-01-01 05:00:00", "to": "2013-01-06 00:00:00"}


def test_forced_appended_rows_end_where_the_next_began(pair_of: MakePair) -> None:
    """Those of the afternoon are the next load's, though they are of the same day."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-03 05:00:00"), (2, "a", "2013-01-03 12:00:00"))
    Appended(day(3)).run()
    pair.shop.insert("orders", (3, "a", "2013-01-03 18:00:00"), (4, "late", "2013-01-03 06:00:00"))
    Appended(day(4)).run()
    pair.shop.write("UPDATE orders SET what = 'b' WHERE what = 'a'")

    kept = inputs_of(pair, Appended(day(3)))
    for _ in range(2):
        forced(Appended(day(3)))

        assert there(pair) == [(1, "b"), (2, "b"), (3, "a"), (4, "late")]
        assert inputs_of(pair, Appended(day(3))) == kept
    assert kept == {"from": None, "to": "2013-01-04 00:00:00", "last": "2013-01-03 12:00:00"}


def test_forced_appended_rows_need_lineage(pair_of: MakePair) -> None:
    """Values do not tell the rows of one load from those of another."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-03 05:00:00"))

    class Bare(Appended):
        lineage = False
        columns = {"id": "bigint", "at": "timestamp", "shop": "text"}
        values = {"shop": 7}

    Bare(day(3)).run()
    with pytest.raises(LoadError, match="Give the class lineage = True"):
        forced(Bare(day(3)))


def test_forced_for_the_first_time_it_is_a_load_like_any(pair_of: MakePair) -> None:
    """There is no window to repeat."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-03 05:00:00"))

    forced(Orders(day(3)))

    assert there(pair) == [(1, "a")]


# -- rows of several loads in one table


def test_values_tell_apart_whose_rows_they_are(pair_of: MakePair) -> None:
    """From another parameter, or an attribute of the class; the date itself, and what is computed, do not count."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-03 05:00:00"))

    class PerShop(Orders):
        shop = StrParameter()
        table = "orders"
        country = "NL"
        columns = {"id": "bigint", "at": "timestamp", "shop": "text", "country": "text", "day": "date", "run": "text"}
        values = {"shop": "shop", "country": "country", "day": "date", "run": "stamp"}

        @property
        def stamp(self) -> str:
            return f"run of {self.date}"

    PerShop(date=day(9), shop="north").run()
    PerShop(date=day(3), shop="south").run()
    PerShop(date=day(4), shop="south").run()

    assert there(pair, "SELECT id, shop, country, day, run FROM orders ORDER BY shop") == [
        (1, "north", "NL", "2013-01-09", "run of 2013-01-09"),
        (1, "south", "NL", "2013-01-04", "run of 2013-01-04"),
    ]


# -- two at once


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_two_days_at_once_do_not_load_one_row_twice(pair_of: MakePair, kind: str) -> None:
    """The second waits for the first before it asks how far the table is."""
    pair = pair_of("sqlite", kind)
    orders_in(pair, *[(n, "a", f"2013-01-0{n} 05:00:00") for n in range(1, 8)])
    Appended(day(1)).run()
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            Appended(day(number)).run()
        except BaseException as error:  # noqa: BLE001  told by the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in (3, 5, 7, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert there(pair) == [(n, "a") for n in range(1, 8)]


def test_a_table_that_moved_while_rows_were_staged_is_looked_at_again(
    pair_of: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite stages before it locks: the engine tries such a load again, which then begins where the other ended."""
    pair = pair_of()
    orders_in(pair, *[(n, "a", f"2013-01-0{n} 05:00:00") for n in range(1, 8)])
    Appended(day(1)).run()
    told: list[int] = []

    def meanwhile(rows: int) -> None:
        if not told:
            told.append(rows)
            Appended(day(5)).run()

    monkeypatch.setattr("etlctl.loads.copytable.tell_rows", meanwhile)
    with pytest.raises(TransientError, match=r"another load moved the end of the table .* run it again"):
        Appended(day(7)).run()
    Appended(day(7)).run()

    assert there(pair) == [(n, "a") for n in range(1, 8)]


def test_inside_a_transaction(pair_of: MakePair) -> None:
    """Two days in one, the second sees the first."""
    pair = pair_of()
    orders_in(pair, *[(n, "a", f"2013-01-0{n} 05:00:00") for n in range(1, 8)])

    with transaction("warehouse"):
        Appended(day(3)).run()
        Appended(day(5)).run()

    assert there(pair) == [(n, "a") for n in range(1, 6)]


# -- refused


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_a_cursor_is_refused(pair_of: MakePair, kind: str) -> None:
    """It would be in no window; also where it is older than this one."""
    pair = pair_of(kind, "sqlite")
    orders_in(pair, (1, "a", "2013-01-03 05:00:00"), kind=kind)
    Orders(day(3)).run()
    pair.shop.insert("orders", (2, "b", None))

    with pytest.raises(BadDataError, match=r"orders on shop: row \d, column at is NULL, so the row belongs to no day"):
        Orders(day(4)).run()

    assert there(pair) == [(1, "a")]


@pytest.mark.parametrize(
    ("text", "number", "said"),
    [
        ("2013-01-03T01:00:00", 9, "which the source takes to lie from 2013-01-03 04:00:00 on, .* it compares texts"),
        ("2013-01-04 23:30:00-05:00", 4, "below 2013-01-05 00:00:00, and it does not: it compares texts"),
        ("2013-01-04 soon", 9, "'2013-01-04 soon' is no timestamp"),
    ],
)
def test_text_that_the_source_orders_otherwise_is_refused(pair_of: MakePair, text: str, number: int, said: str) -> None:
    """SQLite compares what it holds as text: in another form a row would be lost, or come twice."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-05 05:00:00"))
    Orders(day(5)).run()
    pair.shop.insert("orders", (2, "b", text))

    class Further(Orders):
        look_back = timedelta(days=2, hours=1)

    with pytest.raises(BadDataError, match=f"orders on shop: row 2, column at.*{said}|row 1, column at.*{said}"):
        Further(day(number)).run()


class NoDate(Incremental):
    source = "shop"
    source_table = "orders"
    cursor = "at"


@pytest.mark.parametrize(
    ("kind", "attributes", "said"),
    [
        (NoDate, {}, "has no date parameter, so it would run once and never again.*Give it date = DateParameter"),
        (NoDate, {"date": DateParameter(significant=False, default=day(1))}, "date must be significant and public"),
        (
            NoDate,
            {"date": DateParameter(visibility=ParameterVisibility.PRIVATE, default=day(1))},
            "date must be significant and public",
        ),
        (NoDate, {"date": Parameter(default="2013")}, "has no date parameter"),
        (
            NoDate,
            {"date": DateParameter(default=day(1)), "until": DateParameter(default=day(1))},
            'several parameters that are dates: .*date_parameter = "',
        ),
        (
            NoDate,
            {"date": DateParameter(default=day(1)), "date_parameter": "day"},
            "has no date parameter 'day', so it would run once",
        ),
        (Orders, {"cursor": None}, 'cursor is None; name the column that grows: cursor = "updated_at"'),
        (Orders, {"mode": replace}, "would take rows away that this load does not bring again"),
        (Orders, {"mode": replace_where("what")}, "would take rows away"),
        (Orders, {"mode": append}, "append would add what look_back looks at a second time"),
    ],
)
def test_a_class_that_cannot_be_right_is_told_before_anything_runs(
    pair_of: MakePair, kind: type[Incremental], attributes: dict[str, Any], said: str
) -> None:
    """With what to write instead."""
    pair_of()
    cls: Any = type("Wrong", (kind,), {"__module__": __name__, **attributes})

    with pytest.raises(LoadError, match=said):
        (cls(day(1)) if kind is Orders else cls()).check_settings()


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"cursor": "nothing"}, "the cursor nothing is not among the columns that are copied: id, what, at"),
        ({"cursor": "what"}, r"the cursor what is varchar\(20\); it must be a date, a timestamp or a whole number"),
        ({"look_back": 3}, r"look_back is 3; at is a timestamp, so write for example look_back = timedelta\(days=3\)"),
        ({"look_back": -timedelta(days=3)}, "look_back is datetime.timedelta"),
        ({"cursor": "id"}, "id is a whole number, so write for example look_back = 1000"),
        ({"cursor": "id", "look_back": True}, "look_back is True"),
        ({"time_zone": "Berlin"}, "time_zone is 'Berlin'; write a name such as"),
        (
            {"columns": {"id": "bigint", "at": "date"}, "look_back": None},
            'at is timestamp in the source and date in the table.*Declare it alike in columns: "at": "timestamp"',
        ),
    ],
)
def test_a_cursor_that_cannot_be_right_is_told(pair_of: MakePair, attributes: dict[str, Any], said: str) -> None:
    """Once its type is known."""
    pair = pair_of()
    orders_in(pair, (1, "a", "2013-01-03 05:00:00"))

    with pytest.raises((LoadError, QueryError), match=said):
        type("Wrong", (Orders,), {"__module__": __name__, **attributes})(day(3)).run()
