"""What PostgreSQL tells about tables and queries, where names lead, and Luigi's marker tables."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2.errors
import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl.core import context
from etlctl.db import markers, tables
from etlctl.db.columns import parse_type
from etlctl.db.dialects.base import TableName
from etlctl.db.dialects.postgresql.dialect import PostgreSQLDialect
from etlctl.db.table_target import TableTarget
from etlctl.errors import AlreadyLoaded, BadDataError, LoadError, QueryError, SettingsError, UnavailableError
from etlctl.loads.modes import merge_on, replace, replace_where
from etlctl.loads.query import QueryTable
from etlctl.loads.sequence import transaction
from etlctl.loads.table import LoadTable

DIALECT = PostgreSQLDialect()


@pytest.fixture
def house(postgres_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(postgres_url, tmp_path) as found:
        yield found


class Load(LoadTable):
    table = "t"
    columns = {"k": "integer", "v": "text"}

    def rows(self) -> Any:
        return [(1, "new"), (2, "new")]


# -- names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.b.c", "more than one dot"),
        (".t", "one side"),
        ("s.", "one side"),
        ("ü" * 32, "64 bytes"),
        ("s" * 64 + ".t", "64 bytes"),
    ],
)
def test_a_name_that_would_be_cut_or_misread_is_refused(name: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        DIALECT.table_name(name)


def test_a_column_that_would_be_cut_is_refused() -> None:
    """Two long names that begin alike would be one column."""
    with pytest.raises(LoadError, match="64 bytes, and PostgreSQL keeps 63"):
        DIALECT.checked_column("c" * 64, "t")


def test_a_schema_stands_before_a_dot(house: AnyWarehouse) -> None:
    """The marker keeps the task's own words."""
    house.write('CREATE SCHEMA "my schema"', "CREATE TABLE t (k integer)")

    type("Load", (Load,), {"table": "my schema.t"})().run()

    assert house.ask('SELECT k, v FROM "my schema".t') == [(1, "new"), (2, "new")]
    assert house.count("t") == 0 and house.markers()[0][1] == "my schema.t"


def test_a_missing_schema_is_named(house: AnyWarehouse) -> None:
    """F24."""
    with pytest.raises(LoadError, match=r'schema "nowhere" does not exist\. Create the schema'):
        type("Load", (Load,), {"table": "nowhere.t"})().run()


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("postgresql://you@wh:5432/dw", True),
        ("postgresql+psycopg2://me:pw@WH/dw?sslmode=require", True),
        ("postgresql://me@wh/other", False),
        ("postgresql://me@wh:5433/dw", False),
        ("postgresql://me@elsewhere/dw", False),
    ],
)
def test_one_database_is_known_by_its_place(other: str, is_same: bool) -> None:
    assert DIALECT.is_same("postgresql://me:pw@wh/dw", other) is is_same


def test_another_driver_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^here: asyncpg is not the driver"):
        PostgreSQLDialect("postgresql+asyncpg", "here")


# -- tables


def test_types_are_told_as_our_words(house: AnyWarehouse) -> None:
    """What has none is None; a domain is what it is made of; a column that was dropped is gone."""
    house.write(
        "CREATE DOMAIN cents AS numeric(12,2) NOT NULL",
        "CREATE TABLE t (a smallint, gone text, b cents, c char(3), d timestamp(3), e uuid, f text[], g jsonb, "
        "h interval, i real, j numeric, k varchar, l bytea NOT NULL)",
        "ALTER TABLE t DROP COLUMN gone",
    )

    with house.database.reading() as connection:
        found = tables.existing(connection, house.database, "t")

    assert found is not None
    told = {column.name: str(column.type) if column.type else None for column in found}
    assert told == {
        "a": "smallint", "b": "numeric(12,2)", "c": "varchar(3)", "d": "timestamp", "e": None, "f": None, "g": "json",
        "h": None, "i": "double precision", "j": "numeric", "k": "text", "l": "bytes",
    }  # fmt: skip
    assert [column.name for column in found if not column.nullable] == ["b", "l"]
    assert {column.name: column.declared for column in found}["e"] == "uuid"


def test_views_and_partitioned_tables_are_tables(house: AnyWarehouse) -> None:
    house.write(
        "CREATE TABLE parted (k integer, v text) PARTITION BY LIST (v)",
        "CREATE TABLE parted_new PARTITION OF parted FOR VALUES IN ('new')",
        "CREATE VIEW seen AS SELECT * FROM parted",
        "CREATE SEQUENCE counted",
        "CREATE INDEX listed ON parted (k)",
    )

    type("Load", (Load,), {"table": "parted"})().run()
    type("Load", (Load,), {"table": "seen"})().run()

    assert house.count("parted") == 4
    with house.database.reading() as connection:
        for name in ("counted", "listed"):
            assert tables.existing(connection, house.database, name) is None


def test_only_a_whole_unique_index_is_a_key(house: AnyWarehouse) -> None:
    """Neither part of the rows, nor an expression, nor one that failed to be built; INCLUDE adds nothing."""
    house.write(
        'CREATE TABLE t (a int PRIMARY KEY, "B" int, c int, d int, e text)',
        'CREATE UNIQUE INDEX ON t ("B", c) INCLUDE (d)',
        "ALTER TABLE t ADD UNIQUE (c) DEFERRABLE",
        "CREATE UNIQUE INDEX ON t (d) WHERE d > 0",
        "CREATE UNIQUE INDEX ON t (lower(e))",
        "CREATE INDEX ON t (e)",
    )

    with house.database.reading() as connection:
        keys = DIALECT.unique_keys(connection, DIALECT.table_name("t"))

    assert sorted(map(sorted, keys)) == [["a"], ["b", "c"], ["c"]]


@pytest.mark.parametrize("mode", [replace, merge_on("k")])
def test_a_temporary_table_is_no_target(house: AnyWarehouse, mode: Any) -> None:
    """It stands behind the target of its name, though PostgreSQL takes a bare name for the temporary one first."""
    house.write("CREATE TABLE t (k integer PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'old')")

    with transaction("warehouse") as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE t AS SELECT 1 AS k, 'temporary' AS v")
        connection.exec_driver_sql("CREATE TEMP TABLE table_updates AS SELECT * FROM public.table_updates")
        type("Load", (Load,), {"mode": mode})().run()
        temporary = connection.exec_driver_sql("SELECT k, v FROM pg_temp.t").all()

    assert temporary == [(1, "temporary")]
    assert house.ask("SELECT k, v FROM t ORDER BY k") == [(1, "new"), (2, "new")] and len(house.markers()) == 1


def test_a_target_is_made_where_only_a_temporary_table_has_its_name(house: AnyWarehouse) -> None:
    with transaction("warehouse") as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE t AS SELECT 1 AS k, 'temporary' AS v")
        Load().run()

    assert house.count("t") == 2


# -- where COPY would do otherwise than INSERT


def test_an_identity_that_is_always_made_is_not_written(house: AnyWarehouse) -> None:
    """COPY would take the file's value, and leave the sequence where it was."""
    house.write("CREATE TABLE t (k integer GENERATED ALWAYS AS IDENTITY, v text)")

    with pytest.raises(QueryError, match='cannot insert a non-DEFAULT value into column "k"'):
        Load().run()
    type("Load", (Load,), {"columns": {"v": "text"}, "rows": lambda _: [("a",), ("b",)]})().run()

    assert house.ask("SELECT k, v FROM t ORDER BY k") == [(1, "a"), (2, "b")]


def test_a_rule_that_keeps_rows_back_is_noticed(house: AnyWarehouse) -> None:
    """COPY would pass it over."""
    house.write("CREATE TABLE t (k integer, v text)", "CREATE RULE none AS ON INSERT TO t DO INSTEAD NOTHING")

    with pytest.raises(LoadError, match="2 rows were sent to t, and the database wrote 0"):
        Load().run()

    assert house.count("t") == 0 and house.markers() == []


@pytest.mark.parametrize("table", ["whole", "part"])
def test_a_partitioned_table_is_not_made_anew(house: AnyWarehouse, table: str) -> None:
    """Its parts would go with it, or the whole lose one."""
    house.write(
        "CREATE TABLE whole (k integer, v text) PARTITION BY LIST (v)",
        "CREATE TABLE part PARTITION OF whole FOR VALUES IN ('new')",
        "INSERT INTO whole VALUES (9, 'new')",
    )

    with pytest.raises(LoadError, match=r"is partitioned.*Use replace"):
        type("Load", (Load,), {"table": table, "mode": replace(recreate=True)})().run()
    type("Load", (Load,), {"table": table, "mode": replace})().run()

    assert house.ask("SELECT k FROM whole ORDER BY k") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("ddl", "words"),
    [
        ("CREATE TABLE t (k integer, v text CHECK (v <> 'private'))", "row 2: the row is refused .* violates check"),
        ("CREATE TABLE t (k integer, v text, w text NOT NULL)", "row 1: the row is refused|null value in column"),
    ],
)
def test_a_row_that_a_constraint_refuses_is_placed_and_not_shown(house: AnyWarehouse, ddl: str, words: str) -> None:
    """It holds all values of the row, of which one may be private."""
    house.write(ddl)

    with pytest.raises(BadDataError, match=words) as caught:
        type("Load", (Load,), {"rows": lambda _: [(2000, "a"), (2000, "private")]})().run()

    assert "2000" not in str(caught.value)


# -- rights


@pytest.fixture
def poor(house: AnyWarehouse, postgres_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    """As a user who may log in and nothing else, on a database with a load in it."""
    Load().run()
    name = f"etlctl_{secrets.token_hex(4)}"
    house.write(f"CREATE ROLE {name} LOGIN")
    url = sa.make_url(postgres_url).set(username=name).render_as_string(hide_password=False)
    found = AnyWarehouse(url, tmp_path)
    yield found
    found.databases.close()
    house.write(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_schema_that_may_not_be_looked_into_is_no_empty_one(house: AnyWarehouse, poor: AnyWarehouse) -> None:
    """To say that nothing was loaded would be a lie."""
    house.write("REVOKE USAGE ON SCHEMA public FROM public")

    with context.use(poor.context), pytest.raises(UnavailableError, match=r"denied for schema public.*GRANT USAGE"):
        TableTarget("t", "a").exists()
    with pytest.raises(UnavailableError, match="denied for schema public"), poor.database.reading() as connection:
        tables.existing(connection, poor.database, "t")
    with poor.database.reading() as connection:
        assert tables.existing(connection, poor.database, "nowhere") is None


@pytest.mark.parametrize(
    ("statement", "right"),
    [("SELECT * FROM t", "SELECT"), ("INSERT INTO t VALUES (1)", "INSERT"), ("DELETE FROM t", "DELETE")],
)
def test_a_missing_right_is_named_with_its_user(poor: AnyWarehouse, statement: str, right: str) -> None:
    user = sa.make_url(poor.url).username

    with pytest.raises(LoadError) as caught, poor.database.writing("test") as connection:
        connection.exec_driver_sql(statement)

    assert f"permission denied for table t. GRANT {right} to the user of postgresql://{user}@" in str(caught.value)


UUIDS = ["6f9619ff-8b86-d011-b42d-00c04fc964ff", "00000000-0000-0000-0000-000000000001"]


class Tagged(LoadTable):
    """Into columns whose types are none of our words."""

    table = "t"
    columns = {"id": "text", "tags": "text", "mood": "text", "took": "text"}

    def rows(self) -> Any:
        return [(one, "{a,b}", "sad", "1 day") for one in UUIDS]


@pytest.mark.parametrize("mode", [merge_on("id"), replace, replace_where("id"), replace_where("mood")])
def test_types_without_a_word_of_ours_take_text(house: AnyWarehouse, mode: Any) -> None:
    """A uuid, an array, an enum, an interval: converted where staged rows meet the table."""
    house.write(
        "CREATE TYPE mood AS ENUM ('sad', '100%% happy')",
        "CREATE TABLE t (id uuid PRIMARY KEY, tags text[], mood mood, took interval)",
        f"INSERT INTO t VALUES ('{UUIDS[0]}', '{{x}}', 'sad')",
    )

    type("Tagged", (Tagged,), {"mode": mode})().run()

    assert sorted(house.ask("SELECT id::text, tags, mood::text, took::text FROM t")) == sorted(
        (one, ["a", "b"], "sad", "1 day") for one in UUIDS
    )


def test_a_text_that_such_a_type_refuses_is_bad_data(house: AnyWarehouse) -> None:
    house.write("CREATE TABLE t (id uuid PRIMARY KEY, tags text[], mood text, took interval)")

    with pytest.raises(BadDataError, match="invalid input syntax for type uuid"):
        type("Tagged", (Tagged,), {"mode": merge_on("id"), "rows": lambda _: [("x", None, None, None)]})().run()


def test_a_query_fills_such_columns(house: AnyWarehouse) -> None:
    house.write("CREATE TABLE t (id uuid PRIMARY KEY, tags text[])")
    query = f"SELECT '{UUIDS[0]}'::uuid AS id, ARRAY['a', 'b'] AS tags"

    type("Days", (Days,), {"table": "t", "query": query, "mode": merge_on("id")})().run()

    assert house.ask("SELECT id::text, tags FROM t") == [(UUIDS[0], ["a", "b"])]


# -- queries


def test_a_query_knows_the_types_of_its_parameters(house: AnyWarehouse) -> None:
    """As they are bound, without being run."""
    query = (
        "SELECT %(day)s AS day, %(name)s AS name, 1.5 AS n, count(*) AS c, NULL AS no, pg_sleep(60)::text AS never, "
        "'x'::varchar(7) AS v, 1::numeric(5,2) AS p, gen_random_uuid() AS u FROM pg_class WHERE 1 = 0"
    )
    values = {"day": DIALECT.bound(date(2013, 1, 2)), "name": "x"}

    with house.database.reading() as connection:
        found = DIALECT.query_columns(connection, query, values, without_parameters=query)
        types = DIALECT.result_types(connection, query, values, without_parameters=query)

    words = ("date", "text", "numeric", "bigint", "text", "text", "varchar(7)", "numeric(5,2)", "text")
    assert [column.type for column in found] == [parse_type(word) for word in words]
    assert types == [*(parse_type(word) for word in words[:-1]), None]


class Days(QueryTable):
    query = "SELECT date '2013-01-02' AS day, 7::bigint AS n, 'a'::text AS \"per%cent\", now() AS at"


def test_a_table_is_made_from_the_querys_own_types(house: AnyWarehouse) -> None:
    Days().run()

    told = house.ask(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'days' ORDER BY 1"
    )
    assert told == [("at", "timestamp with time zone"), ("day", "date"), ("n", "bigint"), ("per%cent", "text")]


# -- the marker table


def test_the_marker_table_is_made_in_a_schema_of_its_own(postgres_url: str, tmp_path: Path) -> None:
    house = AnyWarehouse(postgres_url, tmp_path, marker_schema='etl "meta"', marker_table="done; DROP TABLE x")
    with context.use(house.context):
        Load().run()
        Load().run()

    found = house.ask('SELECT target_table, state, row_count, loading FROM "etl ""meta"""."done; DROP TABLE x"')
    house.databases.close()
    assert found == [("t", "done", 2, None)]


POSTGRES_LUIGI = (
    "CREATE TABLE table_updates (update_id TEXT PRIMARY KEY, target_table TEXT, inserted TIMESTAMP DEFAULT NOW())"
)
LUIGI_TOUCH = "INSERT INTO table_updates (update_id, target_table) VALUES ('{}', 't')"


def test_the_table_of_luigis_contrib_postgres_is_adopted(house: AnyWarehouse) -> None:
    """Its rows count, it goes on writing, and its second touch fails as it always did."""
    house.write(POSTGRES_LUIGI, LUIGI_TOUCH.format("old"))
    assert TableTarget("t", "old").exists()
    assert house.ask("SELECT count(*) FROM information_schema.columns WHERE table_name = 'table_updates'") == [(3,)]

    TableTarget("t", "ours").touch()
    house.write(LUIGI_TOUCH.format("new"))

    assert TableTarget("t", "new").exists() and TableTarget("t", "old").exists()
    assert house.ask("SELECT count(inserted) FROM table_updates") == [(3,)]
    with pytest.raises(psycopg2.errors.UniqueViolation):
        house.write(LUIGI_TOUCH.format("new"))
    with pytest.raises(AlreadyLoaded), TableTarget("t", "new").transaction():
        pass


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE table_updates (update_id varchar(9) UNIQUE, target_table varchar(9))"],
        ["CREATE TABLE table_updates (update_id text, x int)", "CREATE UNIQUE INDEX mine ON table_updates (update_id)"],
        ["CREATE TABLE table_updates (target_table text PRIMARY KEY, update_id text)"],
        ["CREATE TABLE table_updates (update_id text, target_table text, PRIMARY KEY (target_table, update_id))"],
        ["CREATE TABLE table_updates (id serial PRIMARY KEY, update_id text, target_table text)"],
    ],
)
def test_other_shapes_are_adopted_too(house: AnyWarehouse, statements: list[str]) -> None:
    """Whatever kept update_id alone unique goes; the pair becomes the key; a long id fits."""
    house.write(*statements)
    if "target_table" in statements[0]:
        house.write("INSERT INTO table_updates (update_id, target_table) VALUES ('a', 't')")

    TableTarget("u", "a").touch()
    TableTarget("t", "long" * 100).touch()
    TableTarget("u", "b").touch()

    assert {("a", "u"), ("b", "u"), ("long" * 100, "t")} <= {row[:2] for row in house.markers()}
    with house.database.reading() as connection:
        name = house.database.marker_name
        assert DIALECT.unique_keys(connection, name) == [frozenset({"update_id", "target_table"})]


def test_adopting_twice_changes_nothing(house: AnyWarehouse) -> None:
    house.write(POSTGRES_LUIGI)
    TableTarget("t", "a").touch()
    shape = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'table_updates'::regclass "
        "UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'table_updates' ORDER BY 1, 2"
    )
    before = house.ask(shape)

    with house.database.writing("test") as connection, DIALECT.lock_for_ddl(connection):
        DIALECT.adopt_markers(connection, markers.marker_table(house.database))

    assert house.ask(shape) == before
    assert any("DEFERRABLE INITIALLY DEFERRED" in definition for _, definition in before)


def test_forgetting_a_marker_reads_no_other(house: AnyWarehouse) -> None:
    """The deferred key looks for rows that refer to a deleted one; an index that is empty answers."""
    TableTarget("t", "a").touch()
    house.write(
        "INSERT INTO table_updates (update_id, target_table) SELECT 'id' || i, 't' FROM generate_series(1, 20000) i",
        "ANALYZE table_updates",
    )

    plan = house.ask(
        "EXPLAIN SELECT 1 FROM ONLY table_updates x WHERE 'a' = loading AND 't' = target_table FOR KEY SHARE"
    )

    assert "table_updates_loading_target_table_idx" in " ".join(line for (line,) in plan)


def test_markers_are_asked_for_by_their_index(house: AnyWarehouse) -> None:
    TableTarget("t", "a").touch()
    house.write(
        "INSERT INTO table_updates (update_id, target_table) SELECT 'id' || i, 't' FROM generate_series(1, 20000) i",
        "ANALYZE table_updates",
    )
    table = sa.table("table_updates", sa.column("update_id"))
    question = sa.select(table).where(DIALECT.ids_among(table.c.update_id, [f"id{number}" for number in range(300)]))

    with house.database.reading() as connection:
        text = str(question.compile(connection, compile_kwargs={"literal_binds": False}))
        plan = connection.exec_driver_sql(
            f"EXPLAIN {text}", {"param_1": [f"id{number}" for number in range(300)]}
        ).all()

    assert "table_updates_pkey" in " ".join(line for (line,) in plan)


def test_a_view_of_the_marker_table_name_is_asked_like_one(house: AnyWarehouse) -> None:
    """Reading writes nothing, and a table without our columns answers as Luigi's does."""
    house.write(
        "CREATE TABLE kept (update_id text, target_table text)",
        "INSERT INTO kept VALUES ('a', 't')",
        "CREATE VIEW table_updates AS SELECT * FROM kept",
    )

    assert TableTarget("t", "a").exists() and not TableTarget("t", "b").exists()
    assert isinstance(house.database.marker_name, TableName)
