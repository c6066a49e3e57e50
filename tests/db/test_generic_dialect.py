"""The dialect for any other SQLAlchemy database, held against SQLite, PostgreSQL and MariaDB by forcing its class."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from any_warehouse import AnyWarehouse, in_place
from ending_inside import BY_SQLALCHEMY, Way
from etlctl import LoadTable, QueryTable, merge_on, replace_where, transaction, unique
from etlctl.core import context
from etlctl.db import markers, tables
from etlctl.db.columns import Column, ColumnType, Kind, parse_type
from etlctl.db.dialects import dialect_for
from etlctl.db.dialects.base import BadRecordError, Options, Records
from etlctl.db.dialects.generic.dialect import GenericDialect, in_paramstyle
from etlctl.db.dialects.generic.errors import translated
from etlctl.db.table_target import TableTarget
from etlctl.errors import (
    AlreadyLoaded,
    BadDataError,
    CheckFailedError,
    CommitInsideError,
    LoadError,
    LockTimeoutError,
    QueryError,
    SettingsError,
    TornLoadError,
    TransientError,
    UnavailableError,
)


class Plain(GenericDialect):
    """Generic, with the drivers that are installed."""

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        return super().make_engine(url.replace("postgresql:", "postgresql+psycopg2:"), options)


class PlainSQLite(GenericDialect):
    """Generic, but that Python's driver is told to leave transactions alone: by itself it begins none before a
    SAVEPOINT."""

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        engine = super().make_engine(url, options)

        @event.listens_for(engine, "connect")
        def _connected(raw: sqlite3.Connection, _: Any) -> None:
            raw.isolation_level = None

        @event.listens_for(engine, "begin")
        def _begun(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(database_url, tmp_path) as found:
        scheme = database_url.partition(":")[0]
        generic = PlainSQLite if scheme == "sqlite" else Plain
        found.database.dialect = generic(scheme, "test")
        yield found


def columns(**words: str) -> list[Column]:
    return [Column(name, parse_type(word)) for name, word in words.items()]


def make(house: AnyWarehouse, table: str, its: list[Column], *unique_columns: str) -> None:
    with house.database.writing("test") as connection:
        tables.create(connection, house.database, table, its, unique=unique_columns)


TWO = columns(k="integer", v="text")


def insert(house: AnyWarehouse, its: list[Column], rows: Any, **options: Any) -> int:
    with house.database.writing("test") as connection:
        return house.dialect.insert_records(connection, "t", Records(its, rows, **options))


# -- tables and values

EVERYTHING = {
    "i": ("integer", 7), "big": ("bigint", 2**40), "small": ("smallint", -3), "n": ("numeric(10,2)", Decimal("1.50")),
    "d": ("double precision", 0.1), "t": ("text", "it's %s \\ ü"), "c": ("varchar(5)", "abc"), "b": ("boolean", True),
    "day": ("date", date(2013, 1, 2)), "at": ("timestamp", datetime(2013, 1, 2, 3, 4, 5)),
    "clock": ("time", time(3, 4)), "j": ("json", '{"a": 1}'), "raw": ("bytes", b"\0\xff'"),
}  # fmt: skip


def test_values_of_every_type_round_trip(house: AnyWarehouse) -> None:
    """Through SQLAlchemy's types, NULL as well."""
    its = columns(**{name: words for name, (words, _) in EVERYTHING.items()})
    make(house, "t", its)
    values = {column.name: house.dialect.stored(column.type, EVERYTHING[column.name][1]) for column in its}

    assert insert(house, its, [list(values.values()), [None] * len(its)]) == 2

    typed = sa.Table("t", sa.MetaData(), autoload_with=house.database.engine)
    with house.database.reading() as connection:
        found = connection.execute(sa.select(typed).where(typed.c.i == 7)).mappings().one()
        told = tables.existing(connection, house.database, "t") or []
    plain = {"raw": bytes, "d": float}  # a driver may give a memoryview, or a Decimal
    assert {name: plain.get(name, lambda it: it)(value) for name, value in found.items()} == values
    assert [column.name for column in told] == list(EVERYTHING)
    known = {column.name: column.type for column in told}
    assert known["n"] == ColumnType(Kind.NUMERIC, precision=10, scale=2) and known["c"] == ColumnType(Kind.TEXT, 5)


def test_text_of_a_file_is_converted_and_counted(house: AnyWarehouse) -> None:
    its = columns(day="date", k="integer", v="text")
    make(house, "t", its)
    told: list[int] = []
    rows = [(str(number), "NA" if number % 2 else "x") for number in range(2500)]

    wrote = insert(
        house, its[1:], rows, null_values=("NA",), constants={its[0]: date(2013, 1, 2)}, progress=told.append
    )

    assert wrote == 2500 and told == [1000, 2000, 2500]
    assert [int(number) for number in house.ask("SELECT count(*), count(v), max(k), count(day) FROM t")[0]] == [
        2500, 1250, 2499, 2500,
    ]  # fmt: skip


def test_a_bad_record_is_named(house: AnyWarehouse) -> None:
    """Also a NULL where the declaration has none."""
    its = [Column("k", parse_type("integer"), nullable=False), Column("v", parse_type("text"))]
    make(house, "t", its)

    for bad in ("x", ""):
        with pytest.raises(BadRecordError) as caught:
            insert(house, its, [("1", "a"), (bad, "b")], null_values=("",))
        assert caught.value.number == 1
        assert caught.value.error.column is not None and caught.value.error.column.name == "k"
    assert house.count("t") == 0


def test_unique_keys_are_told(house: AnyWarehouse) -> None:
    make(house, "t", columns(K="integer", day="date", v="text"), "K", "day")

    with house.database.reading() as connection:
        found = house.dialect.unique_keys(connection, house.dialect.table_name("t"))
    assert frozenset({"k", "day"}) in found


def test_a_query_tells_its_columns_by_its_values(house: AnyWarehouse) -> None:
    make(house, "t", columns(k="integer", v="text", n="numeric(10,2)", e="text"))
    insert(house, columns(k="integer", v="text", n="numeric(10,2)"), [(1, "a", Decimal("1.5"))])

    with house.database.reading() as connection:
        query = "SELECT k, v, k * 0.5 AS half, e FROM t"
        found = house.dialect.query_columns(connection, query, {}, without_parameters=query)
        assert house.dialect.result_types(connection, query, {}, without_parameters=query) == [None] * 4
        with pytest.raises(QueryError), house.database.translating("q"):
            house.dialect.result_types(connection, "DELETE FROM t", {}, without_parameters="")

    kinds = {column.name: column.type.kind for column in found}
    assert kinds["k"] is Kind.INTEGER and kinds["v"] is Kind.TEXT and kinds["e"] is Kind.TEXT
    assert kinds["half"] in (Kind.NUMERIC, Kind.FLOAT)


# -- loads


class Days(LoadTable):
    """Two rows of one day, whose loads are told apart by it."""

    table = "t"
    columns = {"day": "date", "k": "integer", "v": "text"}
    values = {"day": "day"}
    checks = [unique("k")]
    day = date(2013, 1, 2)

    def rows(self) -> Any:
        return [(1, "a"), (2, "b")]


class Sums(QueryTable):
    """From the first one's table into a table that is made from the query."""

    query = "SELECT day, count(*) AS n FROM t GROUP BY day"
    mode = replace_where("day")


class Merged(LoadTable):
    """Updates one row and adds another."""

    table = "m"
    columns = {"k": "integer", "v": "text"}
    mode = merge_on("k")
    second = False

    def rows(self) -> Any:
        return [(1, "new"), (2, "b")] if self.second else [(1, "a")]


class MergedAgain(Merged):
    """The second time."""

    second = True


class Doubled(Days):
    """Does not pass its check."""

    def rows(self) -> Any:
        return [(1, "a"), (1, "b")]


def test_loads_run_once_with_rows_and_marker(house: AnyWarehouse) -> None:
    for _ in range(2):
        for task in (Days(), Sums(), Merged(), MergedAgain()):
            task.run()

    assert [(str(day), int(n)) for day, n in house.ask("SELECT day, n FROM sums")] == [("2013-01-02", 2)]
    assert house.ask("SELECT k, v FROM m ORDER BY k") == [(1, "new"), (2, "b")]
    assert house.count("t") == 2
    assert {(table, state) for _, table, state, _ in house.markers()} == {
        ("t", "done"), ("sums", "done"), ("m", "done"),
    }  # fmt: skip


def test_a_check_that_fails_keeps_nothing(house: AnyWarehouse) -> None:
    with pytest.raises(CheckFailedError):
        Doubled().run()

    assert house.count("t") == 0 and house.markers() == []


def test_loads_join_an_open_transaction(house: AnyWarehouse) -> None:
    """Rolled back together; what was made for them stays, empty."""
    if house.kind == "sqlite":
        pytest.skip("a table is made on a connection of its own, which waits there for the open transaction")
    with pytest.raises(ZeroDivisionError), transaction("warehouse"):
        Days().run()
        Merged().run()
        raise ZeroDivisionError
    assert (house.count("t"), house.count("m"), house.markers()) == (0, 0, [])

    with transaction("warehouse"):
        Days().run()
        Merged().run()
    assert (house.count("t"), house.count("m"), len(house.markers())) == (2, 1, 2)


# -- markers


def test_the_marker_is_inserted_once_and_the_transaction_goes_on(house: AnyWarehouse) -> None:
    TableTarget("t", "a").touch()

    with house.database.writing("test") as connection:
        assert not markers.insert_loading(connection, house.database, TableTarget("t", "a").key, run_id="", owner="me")
        assert markers.insert_loading(connection, house.database, TableTarget("u", "a").key, run_id="", owner="me")
        markers.set_done(connection, house.database, TableTarget("u", "a").key, rows=None, inputs=[])

    assert [row[:3] for row in house.markers()] == [("a", "t", "done"), ("a", "u", "done")]
    with pytest.raises(AlreadyLoaded), TableTarget("t", "a").transaction():
        pass


def test_a_second_load_waits_for_the_first(house: AnyWarehouse) -> None:
    if house.kind == "sqlite":
        pytest.skip("there BEGIN waits already, for five seconds at most")
    TableTarget("t", "before").touch()
    inserted = threading.Event()
    order: list[str] = []

    def second() -> None:
        inserted.wait(20)
        with suppress(AlreadyLoaded), TableTarget("t", "a", "warehouse").transaction():
            order.append("loaded twice")
        order.append("second")

    thread = threading.Thread(target=lambda: in_context(house, second))
    thread.start()
    with TableTarget("t", "a").transaction():
        inserted.set()
        thread.join(0.3)
        order.append("first")
    thread.join(30)

    assert order == ["first", "second"]


def in_context(house: AnyWarehouse, work: Callable[[], None]) -> None:
    with context.use(house.context):
        work()


def test_an_older_marker_table_of_ours_gets_its_columns(house: AnyWarehouse) -> None:
    TableTarget("t", "a").touch()
    house.write("ALTER TABLE table_updates DROP COLUMN fingerprint")

    TableTarget("t", "b").touch()

    assert [row[0] for row in house.markers()] == ["a", "b"]


def test_luigis_marker_table_is_refused_with_the_way_out(house: AnyWarehouse) -> None:
    """Its rows are read, but no statement gives it the key of the pair on every database."""
    house.write(
        "CREATE TABLE table_updates (update_id VARCHAR(128) NOT NULL, target_table VARCHAR(128), PRIMARY KEY "
        "(update_id))",
        "INSERT INTO table_updates VALUES ('old', 't')",
    )

    assert TableTarget("t", "old").exists()
    with pytest.raises(LoadError, match="another primary key"):
        TableTarget("t", "new").touch()


# -- the guard

WAYS: dict[str, Way] = {
    **BY_SQLALCHEMY,
    "invalidate": lambda connection: connection.invalidate(),
}


@pytest.mark.parametrize("way", WAYS)
def test_ending_the_transaction_through_sqlalchemy_keeps_nothing(house: AnyWarehouse, way: str) -> None:
    make(house, "t", TWO)

    with pytest.raises(CommitInsideError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t (k) VALUES (1)")
        WAYS[way](connection)

    assert house.count("t") == 0 and house.markers() == []


def test_a_commit_past_sqlalchemy_is_found(house: AnyWarehouse) -> None:
    """It is not prevented: the committed `loading` marker stops the next run."""
    make(house, "t", TWO)
    TableTarget("t", "before").touch()

    with suppress(TornLoadError, LoadError, CommitInsideError), TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t (k) VALUES (1)")
        connection.exec_driver_sql("COMMIT")
        raise LoadError("killed here")

    with pytest.raises(TornLoadError):
        TableTarget("t", "a").exists()


# -- settings, names, errors


@pytest.mark.parametrize("url", ["nosuchdb://host/x", "oracle+nosuchdriver://host/x"])
def test_a_database_that_sqlalchemy_does_not_know_is_a_mistake_in_the_settings(url: str) -> None:
    with pytest.raises(SettingsError, match="no database that is known here"):
        dialect_for(url, "connection x")


def test_a_missing_driver_is_a_mistake_in_the_settings() -> None:
    dialect = dialect_for("mssql+pymssql://me:S3cr3t@host/x", "connection x")

    with pytest.raises(SettingsError, match="driver of mssql is not installed") as caught:
        dialect.make_engine("mssql+pymssql://me:S3cr3t@host/x", Options())
    assert "S3cr3t" not in str(caught.value)


def test_the_name_of_a_table_is_checked() -> None:
    dialect = GenericDialect("oracle", "test")

    assert tuple(map(str, dialect.table_name("a.b"))) == ("a", "b")
    for name in ("", "x" * 200, "nul\0"):
        with pytest.raises(LoadError):
            dialect.table_name(name)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("pyformat", ("a %% %(x)s %(y)s %(x)s", {"x": 1, "y": 2})),
        ("named", ("a % :x :y :x", {"x": 1, "y": 2})),
        ("format", ("a %% %s %s %s", (1, 2, 1))),
        ("qmark", ("a % ? ? ?", (1, 2, 1))),
        ("numeric", ("a % :1 :2 :3", (1, 2, 1))),
    ],
)
def test_in_paramstyle_writes_parameters_as_the_driver_takes_them(style: str, expected: tuple[str, Any]) -> None:
    assert in_paramstyle("a %% %(x)s %(y)s %(x)s", {"x": 1, "y": 2}, style) == expected


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sa.exc.OperationalError("SELECT", None, Exception("Deadlock found")), TransientError),
        (sa.exc.OperationalError("SELECT", None, Exception("Lock wait timeout exceeded")), LockTimeoutError),
        (sa.exc.OperationalError("SELECT", None, Exception("gone"), connection_invalidated=True), TransientError),
        (sa.exc.OperationalError(None, None, Exception("refused")), UnavailableError),
        (sa.exc.IntegrityError("INSERT", None, Exception("duplicate")), BadDataError),
        (sa.exc.DataError("INSERT", None, Exception("too long")), BadDataError),
        (sa.exc.ProgrammingError("SELECT", None, Exception("no such table")), QueryError),
        (sa.exc.InvalidRequestError("wrong"), QueryError),
    ],
)
def test_translated_goes_by_sqlalchemys_classes(error: Exception, kind: type[Exception]) -> None:
    found = translated(error, doing="t on x", shown_url="oracle://host/x")

    assert type(found) is kind and str(found).startswith("t on x: ")
