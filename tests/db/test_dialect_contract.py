"""What every dialect promises (`Dialect` in db/dialects/base.py), held against a real database of each kind."""

from __future__ import annotations

import string
import threading
import traceback
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from any_warehouse import AnyWarehouse, in_place
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.db import markers, rows, tables
from etlctl.db.columns import Column, ColumnType, Kind, parse_type
from etlctl.db.dialects.base import BadRecordError, Records, Staged
from etlctl.db.markers import MarkerKey
from etlctl.db.sessions import open_session
from etlctl.db.table_target import TableTarget
from etlctl.errors import AlreadyLoaded, BadDataError, CommitInsideError, EtlctlError, LoadError, QueryError
from warehouse import all_ended, forked


@pytest.fixture(params=["sqlite", "postgresql", "mysql", "redshift"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyWarehouse]:
    ask, settings = request.getfixturevalue, {}
    if request.param == "redshift":
        settings = {"s3_staging": ask("redshift_staging"), "iam_role": ask("redshift_role")}
    names = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "mysql": "mysql_url", "redshift": "redshift_url"}
    with in_place(ask(names[request.param]), tmp_path, **settings) as found:
        yield found


def columns(**words: str) -> list[Column]:
    return [Column(name, parse_type(word)) for name, word in words.items()]


def as_told(house: AnyWarehouse, type_: ColumnType) -> ColumnType:
    """A declared type as the table tells it: some databases count bytes."""
    return type_ if type_.length is None else replace(type_, length=type_.length * house.dialect.units_per_character)


TWO = columns(k="integer", v="text")


def make(house: AnyWarehouse, table: str, its: list[Column], *unique: str) -> None:
    with house.database.writing("test") as connection:
        tables.create(connection, house.database, table, its, unique=unique)


@contextmanager
def staging(house: AnyWarehouse, its: list[Column], records: Records) -> Iterator[tuple[sa.Connection, Staged]]:
    """The records in a staging table, in a write transaction that commits at the end."""
    with open_session(house.database, "t") as session:
        early = session.stage_records("rows", its, records) if house.dialect.stages_outside else None
        with session.transaction() as connection:
            yield connection, early or session.stage_records("rows", its, records)


def load(house: AnyWarehouse, table: str, its: list[Column], values: Iterable[Any], **options: Any) -> int:
    """Stages and inserts rows in a transaction of their own."""
    with staging(house, its, Records(its, values, **options)) as (connection, staged):
        return rows.insert(connection, house.database, table, staged, table)


# -- tables


def test_a_table_is_made_and_told_as_it_was_declared(house: AnyWarehouse) -> None:
    """Columns in order, with types that are those of the declaration, or as near as the database has them."""
    its = columns(
        i="bigint", n="numeric(10,2)", d="double precision", t="text", c="varchar(20)", b="boolean", day="date",
        at="timestamp", z="timestamp with time zone", clock="time", j="json", raw="bytes",
    )  # fmt: skip
    if house.kind == "redshift":
        with pytest.raises(LoadError, match="bytes cannot be loaded"):
            make(house, "everything", its)
        its = its[:-1]
    make(house, "everything", its)

    with house.database.reading() as connection:
        found = tables.existing(connection, house.database, "everything")
        missing = tables.existing(connection, house.database, "nothing")

    assert found is not None and [column.name for column in found] == [column.name for column in its]
    told = {column.name: column.type for column in found}
    for name in ("i", "n", "d", "c", "day", "at"):
        assert told[name] == as_told(house, next(column.type for column in its if column.name == name)), name
    assert missing is None


def test_a_table_that_is_there_is_not_made_again(house: AnyWarehouse) -> None:
    make(house, "t", TWO)
    make(house, "t", columns(other="integer"))

    with house.database.reading() as connection:
        found = tables.existing(connection, house.database, "t")
    assert found is not None and [column.name for column in found] == ["k", "v"]


def test_evolve_adds_columns_and_keeps_rows(house: AnyWarehouse) -> None:
    make(house, "t", TWO)
    load(house, "t", TWO, [(1, "a")])

    with house.database.writing("test") as connection:
        tables.add_columns(connection, house.database, "t", [*TWO, *columns(w="date")])

    assert house.ask("SELECT k, v, w FROM t") == [(1, "a", None)]


def test_unique_keys_are_told(house: AnyWarehouse) -> None:
    make(house, "t", columns(K="integer", day="date", v="text"), "K", "day")
    make(house, "plain", TWO)

    with house.database.reading() as connection:
        name = house.dialect.table_name
        kept = [frozenset({"k", "day"})] if house.dialect.enforces_keys else []
        assert house.dialect.unique_keys(connection, name("t")) == kept
        assert house.dialect.unique_keys(connection, name("plain")) == []
        assert house.dialect.unique_keys(connection, name("nothing")) == []


HARD_NAMES = [
    't"; DROP TABLE table_updates;--',
    "x' OR '1'='1",
    "back`tick",
    "Größe 表 🚀",
    "\u202eright to left",
    "select",
    "per%cent %s %(x)s",
    "a:b :c",
    "back\\slash",
    "MixedCase",
    " blank",
    "q" * 63,
]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_name_is_a_name_and_nothing_else(house: AnyWarehouse, name: str) -> None:
    """S1: a table and a column of exactly this name, and the marker table is still there; or a refusal."""
    TableTarget("other", "before").touch()
    table, column = name, f"{name[:62]}c"
    its = [Column(column, ColumnType(Kind.INTEGER)), Column("v", ColumnType(Kind.TEXT))]

    try:
        make(house, table, its, column)
    except LoadError:
        assert house.kind == "mysql"  # which has no names of more than its Basic Multilingual Plane, for one
        return
    with staging(house, its, Records(its, [(1, "a"), (2, "b")])) as (connection, staged):
        key = MarkerKey("u", table)
        assert markers.insert_loading(connection, house.database, key, run_id="r", owner="me")
        rows.merge(connection, house.database, table, staged, [column], table)
        rows.delete_where(connection, house.database, table, {column: 1})
        assert markers.set_done(connection, house.database, key, rows=1, inputs=[])

    there = str(house.dialect.table_name(table).name)  # Redshift has small letters alone
    assert house.ask(f"SELECT {house.quoted(column)}, v FROM {house.quoted(there)}") == [(2, "b")]
    assert {row[:2] for row in house.markers()} == {("before", "other"), ("u", table)}


@pytest.mark.parametrize("name", ["", "nul\0l", "half\ud800", "a.b.c" * 20])
def test_a_name_that_no_database_holds_is_refused(house: AnyWarehouse, name: str) -> None:
    if house.kind == "sqlite" and name.startswith("a.b"):
        pytest.skip("SQLite has no limit, and dots mean nothing there")

    with pytest.raises(LoadError, match="cannot be the name of a table"):
        house.dialect.table_name(name)


# -- values


VALUES: list[tuple[str, Any, Any]] = [
    ("bigint", -(2**63), -(2**63)),
    ("numeric(38,9)", Decimal("12345678901234567890123456789.123456789"), None),
    ("numeric(10,2)", "1.005", Decimal("1.01")),
    ("double precision", 0.1, 0.1),
    ("double precision", float("nan"), None),
    ("text", "", ""),
    ("text", "tab\t, quote \" ' and \\N \\. back\\slash\nline\r\n", None),
    ("text", "Größe 表 🚀 \u202e", None),
    ("text", "%s %(x)s %% :a", None),
    ("varchar(3)", "äöü", "äöü"),
    ("boolean", "yes", True),
    ("boolean", False, False),
    ("date", "2013-01-02", date(2013, 1, 2)),
    ("date", date(1, 1, 1), None),
    ("date", date(9999, 12, 31), None),
    ("timestamp", "2013-01-02T03:04:05.123456+02:00", datetime(2013, 1, 2, 1, 4, 5, 123456)),
    ("timestamp", datetime(2013, 1, 2, 3, 4, 5), None),
    ("json", {"a": [1, None, "ü\\"]}, None),
    ("bytes", b"\0\xff'\\\"\n", None),
    ("integer", None, None),
    ("text", None, None),
]


@pytest.mark.parametrize(("words", "value", "kept"), VALUES)
def test_values_round_trip_alike(house: AnyWarehouse, words: str, value: Any, kept: Any) -> None:
    """What Python gave is what the database holds, to the database's own precision."""
    if house.kind == "sqlite" and words == "numeric(38,9)":
        pytest.skip("SQLite keeps 15 digits and refuses more")
    if house.kind == "redshift" and words == "bytes":
        pytest.skip("bytes are refused there")
    its = [Column("x", parse_type(words))]
    type_ = its[0].type
    make(house, "t", its)

    load(house, "t", its, [(house.dialect.stored(type_, value),)])

    expected = house.dialect.stored(type_, value if kept is None else kept)
    with house.database.reading() as connection:
        target = sa.table("t", sa.column("x"))
        found = connection.execute(sa.select(target.c.x)).scalar_one()
        if expected is None or type_.kind is Kind.JSON:
            same = None
        else:
            same = connection.execute(
                sa.select(sa.func.count()).where(target.c.x == sa.literal(house.dialect.bound(expected)))
            ).scalar_one()
    if expected is None:
        assert found is None
    elif type_.kind is Kind.JSON:
        assert found in (expected, value)
    else:
        assert same == 1, found


def test_text_of_a_file_is_converted_by_the_column(house: AnyWarehouse) -> None:
    """Null words are NULL, a quoted empty field too; text with a zone is UTC; blanks around numbers do not matter."""
    its = columns(i="integer", n="numeric", d="date", at="timestamp", b="boolean", t="text")
    make(house, "t", its)

    wrote = load(
        house,
        "t",
        its,
        [("1", " 2.50", "2013-01-02", "2013-01-02T03:04:05+01:00", "t", "NA "), ("", "NA", "", "NA", "", "")],
        null_values=("", "NA"),
    )

    assert wrote == 2
    found = house.ask("SELECT i, n, d, at, b, t FROM t ORDER BY i IS NULL")
    assert [str(value) for value in found[0][2:4]] == ["2013-01-02", "2013-01-02 02:04:05"]
    assert found[0][0] == 1 and float(found[0][1]) == 2.5 and bool(found[0][4]) is True and found[0][5] == "NA "
    assert found[1] == (None,) * 6


@pytest.mark.parametrize("bad", ["x", "1.5", "99999999999999999999"])
def test_a_bad_value_names_its_record_and_column(house: AnyWarehouse, bad: str) -> None:
    make(house, "t", TWO)

    with pytest.raises(BadRecordError) as caught:
        load(house, "t", TWO, [("1", "a"), ("2", "b"), (bad, "c"), ("4", "d")], null_values=("",))

    assert caught.value.number == 2
    assert caught.value.error.column is not None and caught.value.error.column.name == "k"
    assert house.count("t") == 0


def test_constants_are_put_into_every_row(house: AnyWarehouse) -> None:
    its = columns(day="date", k="integer", v="text")
    make(house, "t", its)
    constants = {its[0]: house.dialect.stored(its[0].type, "2013-01-02")}

    with staging(house, its, Records(its[1:], [(1, "a"), (2, None)], constants=constants)) as (connection, staged):
        rows.insert(connection, house.database, "t", staged, "t")

    assert [(str(day), k, v) for day, k, v in house.ask("SELECT day, k, v FROM t ORDER BY k")] == [
        ("2013-01-02", 1, "a"),
        ("2013-01-02", 2, None),
    ]


def test_rows_go_straight_into_the_target_where_they_can(house: AnyWarehouse) -> None:
    """`insert_records`: the number that the database says, columns left out get their defaults."""
    if house.dialect.stages_outside:
        pytest.skip("rows are staged before the transaction there")
    make(house, "t", columns(k="integer", v="text", w="date"))

    with house.database.writing("test") as connection:
        wrote = house.dialect.insert_records(connection, "t", Records(TWO, [(number, "x") for number in range(5000)]))

    assert wrote == 5000 and house.ask("SELECT count(*), count(w), min(v) FROM t") == [(5000, 0, "x")]


def test_an_error_of_the_rows_passes_through(house: AnyWarehouse) -> None:
    """What a generator raises is what comes out, and nothing is kept."""
    make(house, "t", TWO)

    def broken() -> Iterator[Any]:
        yield from ((number, "x") for number in range(3000))
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        load(house, "t", TWO, broken())

    assert house.count("t") == 0


# -- modes


def test_a_partition_is_replaced(house: AnyWarehouse) -> None:
    make(house, "t", TWO)
    load(house, "t", TWO, [(1, "a"), (2, "a"), (3, "b")])

    with staging(house, TWO, Records(TWO, [(9, "a")])) as (connection, staged):
        assert rows.delete_partitions_of(connection, house.database, "t", staged, ["v"]) == 2
        rows.insert(connection, house.database, "t", staged, "t")

    assert house.ask("SELECT k, v FROM t ORDER BY k") == [(3, "b"), (9, "a")]


def test_merge_updates_and_inserts(house: AnyWarehouse) -> None:
    make(house, "t", TWO, "k")
    load(house, "t", TWO, [(1, "a"), (2, "b")])

    with staging(house, TWO, Records(TWO, [(2, "new"), (3, "c")])) as (connection, staged):
        wrote = rows.merge(connection, house.database, "t", staged, ["k"], "t")

    assert wrote == 2 and house.ask("SELECT k, v FROM t ORDER BY k") == [(1, "a"), (2, "new"), (3, "c")]


def test_a_row_that_the_table_refuses_is_bad_data(house: AnyWarehouse) -> None:
    if not house.dialect.enforces_keys:
        pytest.skip("no key is enforced there")
    make(house, "t", TWO, "k")
    load(house, "t", TWO, [(1, "a")])

    with pytest.raises(BadDataError, match="refused a row"):
        load(house, "t", TWO, [(2, "b"), (1, "c")])

    assert house.ask("SELECT k FROM t") == [(1,)]


# -- queries


def test_a_query_is_staged_and_stored(house: AnyWarehouse) -> None:
    make(house, "t", TWO)
    load(house, "t", TWO, [(1, "a"), (2, "b")])

    with open_session(house.database, "t") as session, session.transaction() as connection:
        placeholder = ":k" if house.kind == "sqlite" else "%(k)s"
        query = f"SELECT k + 10 AS k, v FROM t WHERE k > {placeholder}"
        staged = session.stage_query("query", TWO, query, {"k": 1})
        assert staged.rows == 1 and staged.columns == ("k", "v")
        assert rows.insert(connection, house.database, "t", staged, "t") == 1
        house.dialect.drop_staged(connection, staged)

    assert house.ask("SELECT k, v FROM t ORDER BY k") == [(1, "a"), (2, "b"), (12, "b")]


def test_a_query_tells_its_columns(house: AnyWarehouse) -> None:
    its = columns(k="integer", v="varchar(7)", n="numeric(10,2)", day="date", at="timestamp")
    make(house, "t", its)

    with house.database.reading() as connection:
        query = "SELECT v, day, at, n, k FROM t"
        found = house.dialect.query_columns(connection, query, {}, without_parameters=query)
        types = house.dialect.result_types(connection, query, {}, without_parameters=query)

    by_name = {column.name: as_told(house, column.type) for column in its}
    assert [(column.name, column.type) for column in found] == [
        (name, by_name[name]) for name in ("v", "day", "at", "n", "k")
    ]
    assert types == [column.type for column in found]


def test_a_query_that_cannot_run_is_a_query_error(house: AnyWarehouse) -> None:
    make(house, "t", TWO)

    for query in ("SELECT nothing FROM t", "SELECT k FROM nowhere", "SELECT FROM WHERE", "SELECT nofunction(k) FROM t"):
        with pytest.raises(QueryError, match=r"^test: "), house.database.reading("test") as connection:
            connection.exec_driver_sql(query)


# -- markers


def test_the_marker_is_inserted_once(house: AnyWarehouse) -> None:
    """The second time says False and changes nothing; another table's is another marker."""
    markers.ensure(house.database, "test")
    key, other = MarkerKey("u", "t"), MarkerKey("u", "other")

    with house.database.writing("test") as connection:
        assert markers.insert_loading(connection, house.database, key, run_id="r", owner="me")
        assert not markers.insert_loading(connection, house.database, key, run_id="r2", owner="you")
        assert markers.insert_loading(connection, house.database, other, run_id="r", owner="me")
        for one in (key, other):
            assert markers.set_done(connection, house.database, one, rows=7, inputs=[])
        assert not markers.set_done(connection, house.database, key, rows=8, inputs=[])

    assert house.markers() == [("u", "other", "done", 7), ("u", "t", "done", 7)]
    with house.database.reading() as connection:
        assert markers.read(connection, house.database, ["u"])["u", "t"].owner == "me"


@pytest.mark.parametrize("commits", [True, False])
def test_a_second_connection_waits_for_the_marker(house: AnyWarehouse, commits: bool) -> None:
    """It finds it there when the first has committed, and writes it when the first has rolled back."""
    markers.ensure(house.database, "test")
    inserted, began = threading.Event(), threading.Event()
    second: list[bool] = []

    def wait_for_it() -> None:
        inserted.wait(20)
        began.set()
        with house.database.writing("second") as connection:
            key = MarkerKey("u", "t")
            second.append(markers.insert_loading(connection, house.database, key, run_id="", owner="second"))
            if second[0]:
                markers.set_done(connection, house.database, key, rows=2, inputs=[])

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    with suppress(ZeroDivisionError), house.database.writing("first") as connection:
        key = MarkerKey("u", "t")
        markers.insert_loading(connection, house.database, key, run_id="", owner="first")
        inserted.set()
        began.wait(20)
        thread.join(0.2)
        assert second == []
        markers.set_done(connection, house.database, key, rows=1, inputs=[])
        if not commits:
            raise ZeroDivisionError
    thread.join(30)

    assert second == [not commits]
    assert house.markers() == [("u", "t", "done", 1 if commits else 2)]


def test_markers_are_read_in_bulk(house: AnyWarehouse) -> None:
    """More ids than one question holds; those that are there come back."""
    markers.ensure(house.database, "test")
    with house.database.writing("test") as connection:
        for number in range(3):
            key = MarkerKey(f"id {number} '%s", "t")
            markers.insert_loading(connection, house.database, key, run_id="", owner="me")
            markers.set_done(connection, house.database, key, rows=number, inputs=[])

    asked = [f"id {number} '%s" for number in range(12_000)]
    with house.database.reading() as connection:
        found = markers.read(connection, house.database, asked)

    assert {pair[0]: marker.row_count for pair, marker in found.items()} == {
        f"id {number} '%s": number for number in range(3)
    }


def test_any_text_is_an_update_id(house: AnyWarehouse) -> None:
    """S2: 200 texts come back byte for byte, each for itself."""
    markers.ensure(house.database, "test")
    alphabet = st.characters(exclude_characters="\0", codec="utf-8")
    seen: set[str] = set()

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(st.text(alphabet, min_size=1, max_size=60) | st.text(string.printable, min_size=1, max_size=250))
    def check(text: str) -> None:
        with house.database.writing("test") as connection:
            key = MarkerKey(text, "t")
            is_new = markers.insert_loading(connection, house.database, key, run_id=text[:40], owner=text[:60])
            assert is_new is (text not in seen), repr(text)
            seen.add(text)
            markers.set_done(connection, house.database, key, rows=None, inputs=[{"id": text}])
            found = markers.read(connection, house.database, [text])
            assert {pair[0] for pair in found} == {text}
            assert found[text, "t"].owner == text[:60]

    check()


LUIGI_SQLA = (
    "CREATE TABLE table_updates (update_id VARCHAR(128) NOT NULL, target_table VARCHAR(128), "
    "inserted {moment}, PRIMARY KEY (update_id))"
)


def test_luigis_table_is_adopted_and_luigi_goes_on_writing(house: AnyWarehouse) -> None:
    """contrib.sqla: rows stay valid, the key becomes the pair, its INSERT still works."""
    moment = "TIMESTAMP" if house.kind in ("postgresql", "redshift") else "DATETIME"
    insert = "INSERT INTO table_updates (update_id, target_table, inserted) VALUES ('{}', {}, '2013-01-02 03:04:05')"
    house.write(LUIGI_SQLA.format(moment=moment), insert.format("old", "'t'"), insert.format("nameless", "NULL"))

    with house.database.reading() as connection:
        before = markers.read(connection, house.database, ["old"])
    assert before["old", "t"].state is None and TableTarget("t", "old").exists()

    TableTarget("u", "old").touch()
    house.write(insert.format("new", "'t'"))

    assert [row[:3] for row in house.markers()] == [
        ("nameless", "", None), ("new", "t", None), ("old", "t", None), ("old", "u", "done"),
    ]  # fmt: skip
    assert TableTarget("t", "new").exists()
    with pytest.raises(AlreadyLoaded), TableTarget("t", "new").transaction():
        pass


def test_a_marker_table_of_an_older_version_of_ours_gets_what_it_lacks(house: AnyWarehouse) -> None:
    """A second adoption changes nothing."""
    TableTarget("t", "a").touch()
    house.write("ALTER TABLE table_updates DROP COLUMN fingerprint")
    house.database.forget_ready()

    TableTarget("t", "b").touch()
    TableTarget("t", "c").touch()

    assert [row[0] for row in house.markers()] == ["a", "b", "c"]
    assert house.ask("SELECT fingerprint FROM table_updates WHERE update_id = 'a'") == [(None,)]


def test_a_marker_table_that_is_taken_away_between_two_loads_fails_one_at_the_most(house: AnyWarehouse) -> None:
    """It was seen a moment ago, so the load that meets it does not look again; the next one does.

    Where no key is enforced, each transaction begins with the table, and makes it.
    """
    TableTarget("t", "a").touch()
    house.write("DROP TABLE table_updates")

    with pytest.raises(EtlctlError) if house.database.dialect.enforces_keys else nullcontext():
        TableTarget("t", "b").touch()
    TableTarget("t", "b").touch()

    assert [row[0] for row in house.markers()] == ["b"]


def test_what_an_attempt_has_committed_it_need_not_ask_for(house: AnyWarehouse) -> None:
    """Its own look at the outputs is spared; what it has not committed, and what others ask, is asked for."""
    make(house, "t", TWO)
    with context.attempting(Attempt()):
        TableTarget("t", "a").touch()
        with pytest.raises(ZeroDivisionError), TableTarget("t", "b").transaction():
            raise ZeroDivisionError
        house.write("DELETE FROM table_updates")
        told = [target.exists() for target in (TableTarget("t", "a"), TableTarget("t", "b"))]

    assert told == [True, False]
    assert not TableTarget("t", "a").exists()


def test_sixteen_processes_that_start_with_nothing_meet_no_error(house: AnyWarehouse) -> None:
    """F29, F30: marker table and target are made by one of them; each loads its row."""
    house.databases.close()

    def work(number: int) -> int:
        make(house, "t", TWO)
        with TableTarget("t", f"load {number}").transaction() as connection:
            connection.execute(sa.insert(sa.table("t", sa.column("k"))).values(k=number))
        return 0

    pids = [forked(partial(work, number)) for number in range(16)]

    assert all_ended(pids) == [0] * 16
    assert house.ask("SELECT count(*), count(DISTINCT k) FROM t") == [(16, 16)]
    assert [row[2] for row in house.markers()] == ["done"] * 16


def test_eight_processes_load_one_update_once(house: AnyWarehouse) -> None:
    """F27: one writes the rows, the others find them."""
    make(house, "t", TWO)
    house.databases.close()

    def work() -> int:
        with suppress(AlreadyLoaded), TableTarget("t", "one").transaction() as connection:
            connection.execute(sa.insert(sa.table("t", sa.column("k"))).values(k=1))
        return 0

    assert all_ended([forked(work) for _ in range(8)]) == [0] * 8
    assert house.count("t") == 1 and len(house.markers()) == 1


# -- locks


def test_a_part_of_a_target_is_locked_for_one_load(house: AnyWarehouse) -> None:
    """Two parts at once; the same part, or the whole, waits until the transaction is over."""
    if house.kind in ("sqlite", "redshift"):
        pytest.skip("a writer has the whole database there, or its marker table")
    make(house, "t", TWO)
    order: list[str] = []

    def second(part: str | None) -> None:
        with house.database.writing("second") as connection:
            house.dialect.lock_target(connection, "t", part)
            order.append(f"second {part}")

    with house.database.writing("first") as connection:
        house.dialect.lock_target(connection, "t", "a")
        threads = [threading.Thread(target=second, args=(part,)) for part in ("b", "a", None)]
        threads[0].start()
        threads[0].join(20)
        for thread in threads[1:]:
            thread.start()
        threads[1].join(0.3)
        order.append("first")
    for thread in threads[1:]:
        thread.join(20)

    assert order[:2] == ["second b", "first"] and set(order[2:]) == {"second a", "second None"}


# -- the guard


def test_commit_inside_keeps_no_row(house: AnyWarehouse) -> None:
    make(house, "t", TWO)

    ways = (sa.Connection.commit, sa.Connection.rollback)
    for number, way in enumerate(ways):
        with pytest.raises(CommitInsideError), TableTarget("t", f"u{number}").transaction() as connection:
            connection.execute(sa.insert(sa.table("t", sa.column("k"))).values(k=number))
            way(connection)

    assert house.count("t") == 0 and house.markers() == []


def test_a_savepoint_inside_passes(house: AnyWarehouse) -> None:
    if not house.dialect.has_savepoints:
        pytest.skip("there are none")
    make(house, "t", TWO, "k")

    with TableTarget("t", "u").transaction() as connection:
        insert = sa.insert(sa.table("t", sa.column("k")))
        connection.execute(insert.values(k=1))
        with suppress(sa.exc.IntegrityError), connection.begin_nested():
            connection.execute(insert.values(k=2))
            connection.execute(insert.values(k=1))

    assert house.ask("SELECT k FROM t") == [(1,)] and [row[2] for row in house.markers()] == ["done"]


# -- errors


def test_a_foreign_error_is_left_alone(house: AnyWarehouse) -> None:
    """What is neither the driver's nor SQLAlchemy's is the task's own."""
    for error in (ZeroDivisionError(), KeyError("x"), KeyboardInterrupt(), OSError()):
        assert house.dialect.translated(error, doing="test", shown_url="x") is None
    ours = LoadError("mine")
    assert house.dialect.translated(ours, doing="test", shown_url="x") in (ours, None)


def test_no_message_holds_a_bound_value(house: AnyWarehouse) -> None:
    """S5: neither in a syntax error nor in one of a name; nor does its traceback, all causes included."""
    secret = f"S3cr3t-{uuid.uuid4().hex}"
    make(house, "t", TWO)

    for query in ("SELECT nothing FROM t WHERE v = :v", "SELECT k FROM t WHERE (v = :v"):
        with pytest.raises(EtlctlError) as caught, house.database.reading("test") as connection:
            connection.execute(sa.text(query), {"v": secret})
        told = "".join(traceback.format_exception(caught.value))
        assert secret not in str(caught.value) and secret not in told
