"""Names, tables and marker tables on MySQL: what is refused, what is found, what is adopted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl import LoadTable, Parameter, QueryTable, replace, transaction
from etlctl.core import context
from etlctl.db import markers, tables
from etlctl.db.columns import Column, parse_type
from etlctl.db.table_target import TableTarget
from etlctl.errors import AlreadyLoaded, BadDataError, LoadError, LockTimeoutError
from servers.mariadb import Mysql


@pytest.fixture
def house(mysql_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(mysql_url, tmp_path) as found:
        yield found


@pytest.fixture
def second_database(mariadb_server: Mysql) -> Iterator[str]:
    """The name of another database on the same server."""
    url = mariadb_server.new_database()
    yield str(sa.make_url(url).database)
    mariadb_server.drop_database(url)


def columns(**words: str) -> list[Column]:
    return [Column(name, parse_type(word)) for name, word in words.items()]


TWO = columns(k="integer", v="text")


# -- names


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("q" * 65, "65 characters"),
        ("blank ", "ends with a blank"),
        ("rocket 🚀", "beyond U"),
        ("", "empty"),
        ("nul\0", "NUL"),
        ("a.b.c", "database.table"),
        ("a.", "empty"),
    ],
)
def test_a_name_that_mysql_does_not_take_is_refused(house: AnyWarehouse, name: str, reason: str) -> None:
    """Before anything is sent, for tables and columns alike; never cut."""
    with pytest.raises(LoadError, match=reason):
        house.dialect.table_name(name)
    if "." not in name:
        with pytest.raises(LoadError, match=reason):
            house.dialect.checked_column(name, "t")


def test_a_name_has_64_characters_at_most(house: AnyWarehouse) -> None:
    """Characters and not bytes."""
    name = "ä" * 64
    with house.database.writing("test") as connection:
        tables.create(connection, house.database, name, columns(**{name: "integer"}))

    with house.database.reading() as connection:
        found = tables.existing(connection, house.database, name)
    assert found is not None and [column.name for column in found] == [name]


def test_a_table_of_another_database_is_two_names(house: AnyWarehouse, second_database: str) -> None:
    """Loaded there, with its marker here, in one transaction."""
    table = f"{second_database}.t"
    with house.database.writing("test") as connection:
        tables.create(connection, house.database, table, TWO)

    with TableTarget(table, "a").transaction() as connection:
        place = house.dialect.table_name(table)
        connection.execute(sa.insert(sa.table(place.name, sa.column("k"), schema=place.schema)).values(k=1))

    assert house.ask(f"SELECT k FROM {second_database}.t") == [(1,)] and house.markers()[0][1] == table


def test_a_table_is_told_by_its_exact_name(house: AnyWarehouse) -> None:
    """As the server compares names; a temporary table is no table, a view is one."""
    house.write(
        "CREATE TABLE Mixed (k int)", "CREATE TABLE mixed (other int)", "CREATE VIEW seen AS SELECT k FROM Mixed"
    )

    def names(table: str) -> list[str] | None:
        found = tables.existing(connection, house.database, table)
        return None if found is None else [column.name for column in found]

    with house.database.reading() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE passing (k int)")
        assert (names("Mixed"), names("mixed"), names("MIXED")) == (["k"], ["other"], None)
        assert (names("passing"), names("seen")) == (None, ["k"])


def test_the_types_of_a_table_that_is_not_ours_are_told(house: AnyWarehouse) -> None:
    house.write(
        "CREATE TABLE t (a tinyint, b smallint unsigned, c mediumint, d int unsigned, e bigint unsigned, f float, "
        "g char(3), h tinytext, i enum('x'), j timestamp NULL, k varbinary(9), l bit(3), m point, n decimal(65,30), "
        "o tinyint(1), p year)"
    )

    with house.database.reading() as connection:
        found = tables.existing(connection, house.database, "t") or []

    assert {column.name: column.type and str(column.type) for column in found} == {
        "a": "smallint", "b": "integer", "c": "integer", "d": "bigint", "e": "numeric(20,0)", "f": "double precision",
        "g": "varchar(3)", "h": "text", "i": "text", "j": "timestamp", "k": "bytes", "l": None, "m": None,
        "n": "numeric(65,30)", "o": "boolean", "p": None,
    }  # fmt: skip


def test_a_unique_index_counts_where_it_keeps_whole_columns_unique(house: AnyWarehouse) -> None:
    house.write("CREATE TABLE t (a int PRIMARY KEY, b varchar(20), c int, UNIQUE (b, c), UNIQUE part (b(3)), KEY (c))")

    with house.database.reading() as connection:
        found = house.dialect.unique_keys(connection, house.dialect.table_name("t"))

    assert sorted(map(sorted, found)) == [["a"], ["b", "c"]]


# -- tables


def test_texts_are_equal_only_when_they_are_the_same(house: AnyWarehouse) -> None:
    """In a table of ours, as on the other databases: capitals, accents and blanks at the end count."""
    with house.database.writing("test") as connection:
        tables.create(connection, house.database, "t", TWO, unique=["v"])
    house.write("INSERT INTO t VALUES (1, 'a'), (2, 'A'), (3, 'a '), (4, 'ä')")

    assert house.ask("SELECT k FROM t WHERE v = 'a'") == [(1,)]


class Once(LoadTable):
    """One row, into a table that a test has made."""

    table = "t"
    columns = {"k": "integer"}

    def rows(self) -> Any:
        return [(1,)]


class Again(Once):
    """With another shape each time it is asked for."""

    columns = {"k": "integer", "v": "text"}
    mode = replace(recreate=True)

    def rows(self) -> Any:
        return [(2, "b")]


@pytest.mark.parametrize("engine", ["MyISAM", "Aria", "MEMORY"])
def test_a_target_without_transactions_is_refused(house: AnyWarehouse, engine: str) -> None:
    """F25's cousin: what is rolled back would stay."""
    house.write(f"CREATE TABLE t (k int) ENGINE={engine}", "INSERT INTO t VALUES (7)")

    with pytest.raises(LoadError, match=r"ALTER TABLE t ENGINE=InnoDB"):
        Once().run()

    assert house.ask("SELECT k FROM t") == [(7,)] and house.markers() == []


def test_recreate_empties_a_table_of_the_same_shape(house: AnyWarehouse) -> None:
    """With the marker in one transaction, so that no reader sees it empty."""
    house.write("CREATE TABLE t (k int, v longtext) ENGINE=InnoDB", "INSERT INTO t VALUES (7, 'x')")

    Again().run()

    assert house.ask("SELECT k, v FROM t") == [(2, "b")] and [row[2] for row in house.markers()] == ["done"]


def test_recreate_of_another_shape_is_refused(house: AnyWarehouse) -> None:
    """DROP would commit the marker without the rows; nothing is lost."""
    house.write("CREATE TABLE t (k int, w longtext) ENGINE=InnoDB", "INSERT INTO t VALUES (7, 'x')")

    with pytest.raises(LoadError, match="Drop the table before the load"):
        Again().run()

    assert house.ask("SELECT k, w FROM t") == [(7, "x")] and house.markers() == []


def test_a_table_is_made_beside_an_open_transaction(house: AnyWarehouse) -> None:
    """Its DDL has a session of its own, so the transaction stays one; rolled back, the table is there and empty."""
    with pytest.raises(ZeroDivisionError), transaction("warehouse"):
        Once().run()
        raise ZeroDivisionError
    assert house.count("t") == 0 and house.markers() == []

    with transaction("warehouse"):
        Once().run()
    assert house.count("t") == 1 and [row[2] for row in house.markers()] == ["done"]


@pytest.mark.parametrize("name", ["t", "table_updates"])
def test_a_temporary_table_does_not_take_the_rows(house: AnyWarehouse, name: str) -> None:
    """One of the target's name, or of the marker table's, made earlier in the same transaction."""
    house.write("CREATE TABLE t (k int) ENGINE=InnoDB")
    TableTarget("t", "before").touch()
    house.write(f"CREATE TABLE {name}_like LIKE {name}")

    with pytest.raises(LoadError, match=f"a temporary table called {name}"), transaction("warehouse") as connection:
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} SELECT * FROM {name}_like LIMIT 0")
        Once().run()

    assert house.count("t") == 0 and [row[0] for row in house.markers()] == ["before"]


class Wider(Once):
    """Needs a column more."""

    columns = {"k": "integer", "more": "integer"}
    evolve = True

    def rows(self) -> Any:
        return [(1, 2)]


def test_columns_are_not_added_inside_an_open_transaction(house: AnyWarehouse) -> None:
    """The table may be in use in it; before, and alone, they are."""
    house.write("CREATE TABLE t (k int) ENGINE=InnoDB")

    with pytest.raises(LoadError, match="cannot add them inside an open transaction"), transaction("warehouse"):
        Wider().run()
    Wider().run()

    assert house.ask("SELECT k, more FROM t") == [(1, 2)]


# -- markers

LUIGI_MYSQLDB = """ CREATE TABLE table_updates (
                        id            BIGINT(20)    NOT NULL AUTO_INCREMENT,
                        update_id     VARCHAR(128)  NOT NULL,
                        target_table  VARCHAR(128),
                        inserted      TIMESTAMP DEFAULT NOW(),
                        PRIMARY KEY (update_id),
                        KEY id (id)
                    ) """
LUIGI_TOUCHES = (
    "INSERT INTO table_updates (update_id, target_table) VALUES ('{}', '{}') "
    "ON DUPLICATE KEY UPDATE update_id = VALUES(update_id)"
)


@pytest.mark.parametrize("engine", ["InnoDB", "MyISAM"])
def test_luigis_mysqldb_table_is_adopted_and_luigi_goes_on_writing(house: AnyWarehouse, engine: str) -> None:
    """Its rows are done, its statements work, its id counts on; the engine becomes one with transactions."""
    house.write(LUIGI_MYSQLDB + f"ENGINE={engine}", LUIGI_TOUCHES.format("old", "t"))
    assert TableTarget("t", "old").exists() and not TableTarget("u", "old").exists()

    TableTarget("u", "old").touch()
    house.write(LUIGI_TOUCHES.format("new", "t"), LUIGI_TOUCHES.format("new", "t"))

    assert [row[:3] for row in house.markers()] == [
        ("new", "t", None), ("old", "t", None), ("old", "u", "done"),
    ]  # fmt: skip
    assert house.ask("SELECT count(DISTINCT id), count(inserted), max(id) >= 3 FROM table_updates") == [(3, 3, 1)]
    assert house.ask("SELECT engine FROM information_schema.tables WHERE table_name = 'table_updates'") == [("InnoDB",)]
    with pytest.raises(AlreadyLoaded), TableTarget("t", "new").transaction():
        pass


def test_adoption_can_be_run_again(house: AnyWarehouse) -> None:
    """A table that has our columns already but not the key of the pair gets that alone."""
    TableTarget("t", "a").touch()
    house.write("ALTER TABLE table_updates DROP PRIMARY KEY, ADD PRIMARY KEY (update_id), DROP COLUMN owner")
    house.database.forget_ready()

    TableTarget("u", "a").touch()

    assert [row[:3] for row in house.markers()] == [("a", "t", "done"), ("a", "u", "done")]


def test_a_marker_table_without_transactions_is_refused(house: AnyWarehouse) -> None:
    TableTarget("t", "a").touch()
    ascii_id = "VARCHAR(255) CHARACTER SET ascii NOT NULL"  # else the key would be too long for MyISAM
    house.write(f"ALTER TABLE table_updates MODIFY update_id {ascii_id}, MODIFY target_table {ascii_id}, ENGINE=MyISAM")
    house.databases.close()

    with pytest.raises(LoadError, match="ALTER TABLE table_updates ENGINE=InnoDB"):
        TableTarget("t", "b").touch()


@pytest.mark.parametrize("ids", [("a", "A"), ("a", "a "), ("e", "é"), ("ß", "ss"), ("🚀", "🚁")])
def test_ids_that_differ_at_all_are_two(house: AnyWarehouse, ids: tuple[str, str]) -> None:
    """A binary collation without padding."""
    for one in ids:
        assert not TableTarget("t", one).exists()
        TableTarget("t", one).touch()

    assert sorted(row[0] for row in house.markers()) == sorted(ids)


@pytest.mark.parametrize("update_id", ["x" * 256, "ä" * 300])
def test_an_id_that_does_not_fit_is_refused_and_not_cut(house: AnyWarehouse, update_id: str) -> None:
    with pytest.raises(LoadError, match="255"):
        TableTarget("t", update_id).touch()

    TableTarget("t", update_id[:255]).touch()
    assert [row[0] for row in house.markers()] == [update_id[:255]]


def test_another_unique_index_is_no_marker_that_is_there(house: AnyWarehouse) -> None:
    """Only the primary key says that the load was done: any other duplicate is an error."""
    TableTarget("t", "a").touch()
    house.write("ALTER TABLE table_updates ADD UNIQUE KEY `PRIMARY'` (state)")

    with pytest.raises(Exception, match="Duplicate entry"), house.database.writing("test") as connection:
        table = markers.marker_table(house.database)
        values = {"update_id": "for key 'PRIMARY'", "target_table": "t", "state": "done"}
        house.dialect.insert_marker(connection, table, values)


def test_a_marker_table_may_be_in_a_database_of_its_own(mysql_url: str, tmp_path: Path, second_database: str) -> None:
    house = AnyWarehouse(mysql_url, tmp_path, marker_schema=second_database)
    with context.use(house.context):
        TableTarget("t", "a").touch()
        assert TableTarget("t", "a").exists()
    house.databases.close()

    assert house.ask(f"SELECT update_id FROM {second_database}.table_updates") == [("a",)]


# -- locks


def test_the_lock_of_a_target_is_free_after_commit_and_rollback(house: AnyWarehouse, tmp_path: Path) -> None:
    """A named lock ends with no transaction by itself; ours does, while its session lives on."""
    other = AnyWarehouse(house.url, tmp_path, lock_timeout_s=1)

    for fails in (False, True):
        try:
            with house.database.writing("first") as connection:
                house.dialect.lock_target(connection, "t", None)
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert fails
        with other.database.writing("second") as connection:
            other.dialect.lock_target(connection, "t", "a")
    other.databases.close()


def test_a_lock_is_waited_for_as_long_as_the_settings_say(mysql_url: str, tmp_path: Path) -> None:
    house = AnyWarehouse(mysql_url, tmp_path, lock_timeout_s=1)
    held, done = threading.Event(), threading.Event()

    def holder() -> None:
        with house.database.writing("holder") as connection, house.dialect.lock_for_ddl(connection):
            held.set()
            done.wait(20)

    thread = threading.Thread(target=holder)
    thread.start()
    held.wait(20)
    try:
        waiter = house.database.writing("waiter")
        with pytest.raises(LockTimeoutError), waiter as connection, house.dialect.lock_for_ddl(connection):
            pass
    finally:
        done.set()
        thread.join(20)
        house.databases.close()


def test_one_table_has_one_lock_however_it_is_spelled(house: AnyWarehouse, tmp_path: Path) -> None:
    """`t` and `database.t`, also from a connection whose own database is another."""
    spelled = f"{sa.make_url(house.url).database}.t"
    elsewhere = sa.make_url(house.url).set(database="mysql").render_as_string(hide_password=False)
    other = AnyWarehouse(elsewhere, tmp_path, lock_timeout_s=1)

    with house.database.writing("first") as connection:
        house.dialect.lock_target(connection, "t", None)
        with pytest.raises(LockTimeoutError), other.database.writing("second") as second:
            other.dialect.lock_target(second, spelled, "a")
    other.databases.close()


class Region(LoadTable):
    """The rows of one region, which takes the place of what the region had."""

    table = "t"
    region = Parameter()
    columns = {"region": "varchar(20)", "k": "integer"}
    values = {"region": "region"}

    def rows(self) -> Any:
        return [(1,)]


def test_a_partition_is_the_rows_of_exactly_this_text(house: AnyWarehouse) -> None:
    """Also in a table whose collation takes capitals, accents and blanks at the end for the same."""
    house.write(
        "CREATE TABLE t (region varchar(20), k int, KEY (region)) ENGINE=InnoDB CHARACTER SET utf8mb4 "
        "COLLATE utf8mb4_general_ci"
    )

    for region in ("EU", "eu", "eu ", "éu"):
        Region(region).run()

    assert sorted(house.ask("SELECT region, k FROM t")) == [("EU", 1), ("eu", 1), ("eu ", 1), ("éu", 1)]


class Number(QueryTable):
    """A number of a query, into a numeric column without sizes."""

    table = "numbers"
    columns = {"c": "numeric"}
    query = "SELECT :number + 0 AS c"
    number: Any = 0


class Finer(Number):
    """With more digits than the column keeps, and than Python's decimals keep by themselves."""

    number = Decimal("12345678901234567890123.23456789012")


class Exact(Number):
    """With as many."""

    number = Decimal("1.234567890")


def test_a_number_of_a_query_is_not_rounded_in_silence(house: AnyWarehouse) -> None:
    """The same as for a number of a file."""
    with pytest.raises(BadDataError, match="would be rounded: the column keeps 9 digits"):
        Finer().run()
    Exact().run()

    assert house.ask("SELECT c FROM numbers") == [(Decimal("1.234567890"),)]
