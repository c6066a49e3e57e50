"""CopyTable: what arrives from another database, how it is told, and that nothing stays open."""

from __future__ import annotations

import datetime as dt
import json
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from copying import Pair
from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import DateParameter, IntParameter
from etlctl.errors import BadDataError, CheckFailedError, LoadError, QueryError, SettingsError, UnavailableError
from etlctl.loads.checks import not_null, unique
from etlctl.loads.copytable import CopyTable
from etlctl.loads.modes import merge_on, replace, replace_where
from etlctl.loads.sequence import Sequence, transaction

MakePair = Callable[..., Pair]
KINDS = ["sqlite", "postgresql", "mysql"]
ORDERS = {
    "sqlite": "CREATE TABLE orders (id bigint, what varchar(20), amount numeric(10,2), paid boolean, day date, "
    "at timestamp, raw blob)",
    "postgresql": "CREATE TABLE orders (id bigint, what varchar(20), amount numeric(10,2), paid boolean, day date, "
    "at timestamp, raw bytea)",
    "mysql": "CREATE TABLE orders (id bigint, what varchar(20), amount numeric(10,2), paid boolean, day date, "
    "at datetime(6), raw blob)",
}
ROWS = [
    (1, "a 'quoted' \\ %s é", 12.5, True, "2013-01-01", "2013-01-01 05:00:00.250000", b"\x00\xff"),
    (2, "", 0, False, "2013-01-02", "2013-01-02 00:00:00", b""),
    (3, None, None, None, None, None, None),
]


class Orders(CopyTable):
    source = "shop"
    source_table: Any = "orders"


class Daily(CopyTable):
    """Orders of a day, by a query."""

    date = DateParameter()
    source = "shop"
    table = "orders"
    query = "SELECT id, what, day AS date FROM orders WHERE day = :date -- at the end"
    values = {"date": "date"}


def orders_in(pair: Pair, kind: str, rows: Any = ROWS) -> None:
    pair.shop.write(ORDERS[kind])
    pair.shop.insert("orders", *rows)


def seen(pair: Pair, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the warehouse, in one form whatever the database."""
    return [tuple(map(_plain, row)) for row in pair.warehouse.ask(sql)]


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.mark.parametrize("warehouse", KINDS)
@pytest.mark.parametrize("shop", KINDS)
def test_a_table_arrives_as_it_was(pair_of: MakePair, shop: str, warehouse: str) -> None:
    """Between any two databases: a missing target is made of the source's names and types; NULL and "" stay apart."""
    pair = pair_of(shop, warehouse)
    orders_in(pair, shop)

    Orders().run()

    assert seen(pair, "SELECT id, what, amount, paid, day, at, raw FROM orders ORDER BY id") == ROWS
    ((state, rows, inputs),) = pair.warehouse.ask("SELECT state, row_count, inputs FROM table_updates")
    assert (state, rows, json.loads(inputs)) == ("done", 3, [{"connection": "shop", "table": "orders"}])
    with pair.database.reading() as connection:
        types = pair.database.dialect.table_columns(connection, pair.database.dialect.table_name("orders"))
    assert [str(column.type) for column in types or ()][:6] == [
        "bigint", "varchar(20)", "numeric(10,2)", "boolean", "date", "timestamp"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_json_comes_as_the_document_that_it_is(pair_of: MakePair, kind: str) -> None:
    """A text, a number, null and what is nested; also under a name that drivers would format."""
    documents = ['"5"', "5", '"a"', "null", '{"a": [1.50]}', None]
    pair = pair_of(kind, "sqlite")
    name = "`j %s`" if kind == "mysql" else '"j %s"'
    pair.shop.write(f"CREATE TABLE orders (id bigint, {name} json)")
    pair.shop.insert("orders", *enumerate(documents))

    Orders().run()

    assert [text for (text,) in pair.warehouse.ask('SELECT "j %s" FROM orders ORDER BY id')] == documents


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_takes_parameters(pair_of: MakePair, kind: str) -> None:
    """Bound by the source's driver; `values` win over the query's column of that name."""
    pair = pair_of(kind, "sqlite")
    orders_in(pair, kind)

    Daily(dt.date(2013, 1, 1)).run()
    Daily(dt.date(2013, 1, 2)).run()

    assert seen(pair, "SELECT id, what, date FROM orders ORDER BY id") == [
        (1, ROWS[0][1], "2013-01-01"),
        (2, "", "2013-01-02"),
    ]
    inputs = json.loads(pair.warehouse.ask("SELECT inputs FROM table_updates")[0][0])
    assert inputs[0]["connection"] == "shop" and inputs[0]["query"].endswith("test_copy_table.py, Daily.query")


@pytest.mark.parametrize("kind", KINDS)
def test_columns_restrict_and_convert(pair_of: MakePair, kind: str) -> None:
    """The value is converted by the declared type, and found by its name without case."""
    pair = pair_of("sqlite", kind)
    pair.shop.write(
        "CREATE TABLE orders (Id TEXT, AMOUNT TEXT, more INTEGER)", "INSERT INTO orders VALUES ('7', '1.50', 1)"
    )

    class Converted(Orders):
        table = "orders"
        columns = {"amount": "numeric(10,2)", "id": "integer"}

    Converted().run()

    assert seen(pair, "SELECT * FROM orders") == [(1.5, 7)]


def test_the_types_of_a_target_that_is_there_count(pair_of: MakePair) -> None:
    """Without `columns`, also where the source calls a column by another case; further columns keep their defaults."""
    pair = pair_of()
    pair.shop.write("CREATE TABLE orders (ID text, at text)", "INSERT INTO orders VALUES ('7', '2013-01-01T05:00:00Z')")
    pair.warehouse.write("CREATE TABLE orders (more text DEFAULT 'x', at timestamp, id integer)")

    Orders().run()

    assert seen(pair, "SELECT * FROM orders") == [("x", "2013-01-01 05:00:00", 7)]


def test_null_values_are_taken_where_they_are_given(pair_of: MakePair) -> None:
    """None by default: the source has NULL itself."""
    pair = pair_of()
    orders_in(pair, "sqlite", [(1, "", None, None, None, None, None), (2, "NA", None, None, None, None, None)])

    class Marked(Orders):
        table = "marked"
        null_values = ("NA",)

    Marked().run()

    assert seen(pair, "SELECT what FROM marked ORDER BY id") == [("",), (None,)]


def test_a_second_run_does_nothing(pair_of: MakePair) -> None:
    """The marker is there; --force is a second append, and is refused as for every load."""
    pair = pair_of()
    orders_in(pair, "sqlite")
    Orders().run()

    Orders().run()
    with attempting(Attempt(forced=True)), pytest.raises(LoadError, match="--force would append its rows"):
        Orders().run()

    assert pair.warehouse.ask("SELECT count(*) FROM orders") == [(3,)]


@pytest.mark.parametrize("kind", KINDS)
def test_modes_checks_evolve_and_lineage_are_those_of_every_load(pair_of: MakePair, kind: str) -> None:
    """Replace, merge and a partition; a check that fails leaves the target as it was."""
    pair = pair_of("sqlite", kind)
    orders_in(pair, "sqlite")

    class Copied(CopyTable):
        number = IntParameter()
        source = "shop"
        query = "SELECT id, what FROM orders"
        table = "orders"

    class Replaced(Copied):
        mode = replace

    class Wider(Replaced):
        query = "SELECT id, what, amount FROM orders"
        evolve = True
        lineage = True

    class Bad(Replaced):
        checks = [unique("id"), not_null("what")]

    class Merged(Copied):
        table = "merged"
        mode = merge_on("id")

    Replaced(1).run()
    Replaced(2).run()
    assert seen(pair, "SELECT count(*) FROM orders") == [(3,)]

    Wider(1).run()
    assert seen(pair, "SELECT id, amount, etlctl_update_id FROM orders WHERE id = 1") == [(1, 12.5, Wider(1).task_id)]

    with pytest.raises(CheckFailedError, match="1 row without what"):
        Bad(1).run()
    assert seen(pair, "SELECT count(*), sum(amount) FROM orders") == [(3, 12.5)]

    Merged(1).run()
    pair.shop.write("UPDATE orders SET what = 'new' WHERE id = 2", "DELETE FROM orders WHERE id = 1")
    Merged(2).run()
    assert seen(pair, "SELECT id, what FROM merged ORDER BY id") == [(1, ROWS[0][1]), (2, "new"), (3, None)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lineage_of_the_source_is_a_column_like_any(pair_of: MakePair, kind: str) -> None:
    """It is copied; where the copy has a lineage itself, that is its own."""
    pair = pair_of(kind, kind)
    pair.shop.write("CREATE TABLE orders (id bigint, etlctl_update_id varchar(99))")
    pair.shop.insert("orders", (1, "of the shop"))

    Orders().run()
    type("Own", (Orders,), {"table": "own", "lineage": True})().run()

    assert seen(pair, "SELECT id, etlctl_update_id FROM orders") == [(1, "of the shop")]
    ((number, update_id),) = seen(pair, "SELECT id, etlctl_update_id FROM own")
    assert number == 1 and update_id.startswith("Own_")


def test_a_partition_is_replaced(pair_of: MakePair) -> None:
    """By `values`, as for every load."""
    pair = pair_of()
    orders_in(pair, "sqlite")
    task = Daily(dt.date(2013, 1, 1))
    task.run()
    pair.shop.write("UPDATE orders SET what = 'later' WHERE id = 1")

    with attempting(Attempt(forced=True)):
        task.run()

    assert seen(pair, "SELECT id, what FROM orders") == [(1, "later")]


# -- one database


@pytest.mark.parametrize("kind", KINDS)
def test_within_one_database(pair_of: MakePair, kind: str) -> None:
    """Source and target are one connection; a Sequence copies what it has just loaded, in its one transaction."""
    pair = pair_of(kind, kind)
    pair.warehouse.write(ORDERS[kind])
    pair.warehouse.insert("orders", *ROWS)

    class First(CopyTable):
        source_table = "orders"
        table = "first"

    class Second(CopyTable):
        source_table = "first"
        table = "second"

    class Both(Sequence):
        def steps(self) -> Any:
            return [First(), Second()]

    First().run()
    assert seen(pair, "SELECT id, what, amount, paid, day, at, raw FROM first ORDER BY id") == ROWS
    pair.warehouse.write("DROP TABLE first", "DELETE FROM table_updates")
    if kind == "mysql":  # DDL would commit
        First().run()
        pair.warehouse.write(
            "DELETE FROM first", "DELETE FROM table_updates", "CREATE TABLE second AS SELECT * FROM first WHERE 1 = 0"
        )

    Both().run()

    assert seen(pair, "SELECT id, what, amount, paid, day, at, raw FROM second ORDER BY id") == ROWS
    assert seen(pair, "SELECT count(*) FROM table_updates") == [(3,)]


def test_onto_itself_is_refused(pair_of: MakePair) -> None:
    """Whatever the two connections are called."""
    pair = pair_of()

    class Itself(CopyTable):
        source = pair.warehouse.url
        source_table = "orders"
        table = "orders"

    with pytest.raises(LoadError, match="it would copy the table onto itself"):
        Itself().run()


def test_an_open_transaction_on_the_source_is_refused(pair_of: MakePair) -> None:
    """What it holds may yet be rolled back."""
    pair = pair_of()
    orders_in(pair, "sqlite")

    with transaction("shop"), pytest.raises(LoadError, match="so its rows may yet be rolled back"):
        Orders().run()


# -- errors, and nothing is left open


@pytest.mark.parametrize("warehouse", KINDS)
@pytest.mark.parametrize("shop", KINDS)
def test_a_value_that_does_not_fit_names_row_and_column(pair_of: MakePair, shop: str, warehouse: str) -> None:
    """Half-way through; the target is not there, and the source's statement is closed."""
    pair = pair_of(shop, warehouse)
    rows = [(number, "a", None, None, None, None, None) for number in range(1200)]
    orders_in(pair, shop, [*rows, (7, "none", None, None, None, None, None), *rows[:100]])

    class Typed(Orders):
        table = "orders"
        query = "SELECT id, CASE WHEN what = 'none' THEN what ELSE '1' END AS what FROM orders"
        source_table = None
        columns = {"id": "bigint", "what": "integer"}

    with pytest.raises(BadDataError, match=r"Typed\.query on shop: row 1201, column what: 'none' is no integer"):
        Typed().run()

    assert pair.warehouse.ask("SELECT count(*) FROM orders") == [(0,)]
    assert nothing_open(pair)
    pair.shop.write("DROP TABLE orders")


def nothing_open(pair: Pair) -> bool:
    """Whether all connections are back in their pools, none of them in a transaction or a statement."""
    engines = [pair.databases.get(name).engine for name in ("shop", "warehouse")]
    return all(not isinstance(engine.pool, sa.QueuePool) or engine.pool.checkedout() == 0 for engine in engines)


class Unread(Orders):
    """A target that refuses before all rows are read."""

    table = "orders"
    columns = {"id": "bigint"}
    values = {"id": "number"}
    number = IntParameter()
    mode = replace_where("id")


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_fails_closes_the_source(pair_of: MakePair, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, though most rows were never read."""
    pair = pair_of(kind, "sqlite")
    orders_in(pair, kind, [(1, "a", None, None, None, None, None)])
    pair.shop.write(*["INSERT INTO orders SELECT * FROM orders"] * 15)

    def full(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("etlctl.loads.copytable.tell_rows", full)
    with pytest.raises(OSError, match="the disk is full"):
        Orders().run()

    assert nothing_open(pair)
    pair.shop.write("DROP TABLE orders")


def test_one_state_of_the_source_is_copied(pair_of: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another session writes while the rows are read is not seen."""
    pair = pair_of("postgresql", "sqlite")
    pair.shop.write("CREATE TABLE orders (id integer)", "INSERT INTO orders SELECT generate_series(0, 4999)")
    once: Iterator[int] = iter([1])

    def meanwhile(_: int) -> None:
        if next(once, None):
            pair.shop.write(
                "INSERT INTO orders (id) VALUES (9999)", "DELETE FROM orders WHERE id BETWEEN 4000 AND 4999"
            )

    monkeypatch.setattr("etlctl.loads.rowsload.tell_rows", meanwhile)
    monkeypatch.setattr("etlctl.loads.copytable.tell_rows", meanwhile)
    Orders().run()

    assert next(once, None) is None
    assert pair.warehouse.ask("SELECT count(*), max(id) FROM orders") == [(5000, 4999)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_source_does_not_know_is_told(pair_of: MakePair, kind: str) -> None:
    """A table, a column, a query, each with the source's name."""
    pair = pair_of(kind, "sqlite")
    orders_in(pair, kind)

    class NoTable(Orders):
        source_table = "order"

    class NoColumn(Orders):
        columns = {"idd": "integer"}

    class NoQuery(Orders):
        source_table = None
        query = "SELECT nothing_such FROM orders"

    with pytest.raises(QueryError, match=r"order on shop: there is no such table\. Did you mean 'orders'"):
        NoTable().run()
    with pytest.raises(QueryError, match=r"orders on shop has no column idd, .* Did you mean 'id'"):
        NoColumn().run()
    with pytest.raises(QueryError, match=r"NoQuery\.query:1: .*on shop.*nothing_such"):
        NoQuery().run()


@pytest.mark.parametrize(
    ("attributes", "error", "said"),
    [
        ({"query": "SELECT 1 AS a"}, LoadError, "both a source_table and a query"),
        (
            {"source_table": None},
            QueryError,
            r'there is no .*wrong\.sql.* Or name the table to copy: source_table = "…"\.',
        ),
        ({"source_table": None, "query": "SELECT 1 AS a, 2 AS a"}, QueryError, "two columns are called a"),
        ({"source": "sqlite:////nowhere/at/all.db"}, UnavailableError, "/nowhere/at/all.db does not exist yet"),
    ],
)
def test_what_cannot_be_copied_is_told(
    pair_of: MakePair, attributes: dict[str, Any], error: type[Exception], said: str
) -> None:
    """Before anything is written."""
    pair = pair_of()
    orders_in(pair, "sqlite")

    with pytest.raises(error, match=said):
        type("Wrong", (Orders,), {"__module__": __name__, **attributes})().run()

    assert not seen(pair, "SELECT name FROM sqlite_schema WHERE name = 'wrong'")


def test_an_unknown_source_is_found_before_anything_runs(pair_of: MakePair) -> None:
    """As an unknown connection is."""
    pair_of()

    with pytest.raises(SettingsError, match="shopp"):
        type("Wrong", (Orders,), {"source": "shopp"})().check_settings()


def test_names_of_any_kind_are_quoted(pair_of: MakePair) -> None:
    """Also where the driver formats its parameters."""
    pair = pair_of("postgresql", "sqlite")
    pair.shop.write('CREATE TABLE "my %s ""table""; --" ("a ""b"" %c :d" integer, "select" text)')
    pair.shop.write('INSERT INTO "my %s ""table""; --" VALUES (1, \'x\')')

    class Odd(CopyTable):
        source = "shop"
        source_table = 'my %s "table"; --'

    Odd().run()

    assert pair.warehouse.ask('SELECT "a ""b"" %c :d", "select" FROM odd') == [(1, "x")]


def test_memory_does_not_grow_with_the_rows(pair_of: MakePair) -> None:
    """Eight thousand rows of a kilobyte."""
    pair = pair_of()
    pair.shop.write(
        "CREATE TABLE orders (id integer, what text)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) "
        "INSERT INTO orders SELECT i, hex(zeroblob(500)) FROM n",
    )
    tracemalloc.start()
    try:
        Orders().run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert pair.warehouse.ask("SELECT count(*) FROM orders") == [(8000,)]
    assert peak < 4_000_000


def test_the_file_of_a_query_is_named_after_the_class(pair_of: MakePair, tmp_path: Path) -> None:
    """As that of QueryTable is."""
    pair = pair_of()
    orders_in(pair, "sqlite")
    module = tmp_path / "copies.py"
    module.write_text('from etlctl import CopyTable\n\nclass FewOrders(CopyTable):\n    source = "shop"\n')
    (tmp_path / "few_orders.sql").write_text("SELECT id FROM orders WHERE id < 3 ORDER BY id;\n")

    import importlib.util
    import sys

    spec = importlib.util.spec_from_file_location("copies_of_a_test", module)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    try:
        spec.loader.exec_module(loaded)
        loaded.FewOrders().run()
    finally:
        del sys.modules[spec.name]

    assert pair.warehouse.ask("SELECT id FROM few_orders") == [(1,), (2,)]
