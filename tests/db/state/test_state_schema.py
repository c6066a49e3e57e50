from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa

from etlctl.db.state import catalog, schema, tables
from etlctl.db.state.operations import Operations
from etlctl.db.state.schema import CURRENT, Schema
from etlctl.db.state.store import Store
from etlctl.db.state.tables import Table
from etlctl.errors import ExitCode, UnavailableError, UsageError
from etlctl.settings import ConnectionSettings, Secret
from torture import racers

NAMES = [table.name for table in tables.ALL]
LATER = Table("etlctl_later", {"id": tables.INTEGER}, key=("id",))
FIRST = CURRENT._replace(
    version=1,
    tables=tuple(
        table for table in tables.ALL if table not in (tables.PAUSES, tables.STOPS, tables.TURNS, tables.ALERTS)
    ),
)
"""What the first release with a state database makes."""
SECOND = CURRENT._replace(
    version=2,
    tables=tuple(
        table._replace(columns={name: kind for name, kind in table.columns.items() if name != "tasks"})
        if table is tables.TURNS
        else table
        for table in tables.ALL
    ),
)
"""What a release made whose turns did not say of which tasks they are."""
NEXT = Schema(
    version=CURRENT.version + 1,
    made_by="0.2.0",
    usable_from=1,
    usable_by="0.1.0",
    tables=(
        *(
            table
            if table is not tables.RUNS
            else table._replace(
                columns={**table.columns, "region": 30}, indexes={**table.indexes, "etlctl_runs_region": "region"}
            )
            for table in tables.ALL
        ),
        LATER,
    ),
)
GROWN = CURRENT._replace(
    version=CURRENT.version + 1,
    made_by="0.2.0",
    tables=(
        *CURRENT.tables[:-1],
        CURRENT.tables[-1]._replace(columns={**CURRENT.tables[-1].columns, "later": 20}),
    ),
)
AFTER_NEXT = NEXT._replace(
    version=CURRENT.version + 2, made_by="0.3.0", usable_from=CURRENT.version + 1, usable_by="0.2.0"
)


def version_of(store: Store) -> tuple[int, int]:
    with store.transaction(write=False) as session:
        ((version, usable_from),) = session.run("SELECT version, usable_from FROM etlctl_schema")
    return version, usable_from


def test_ensure_makes_every_table_and_index(store: Store) -> None:
    schema.ensure(store)

    assert store.tables(*NAMES) == set(NAMES)
    with store.transaction() as session:
        for table in tables.ALL:
            found = catalog.found(session, table.name)
            assert found is not None
            assert set(found.columns) == set(table.columns)
            assert set(table.indexes.values()) <= found.led_by
    assert version_of(store) == (CURRENT.version, 1)


def test_ensure_changes_nothing_the_second_time(store: Store) -> None:
    schema.ensure(store)
    with store.transaction() as session:
        session.run("INSERT INTO etlctl_pools VALUES ('a')")

    schema.ensure(store)

    with store.transaction() as session:
        assert session.run("SELECT name FROM etlctl_pools") == [("a",)]


def begin_together(url: str, releases: list[str]) -> list[int | None]:
    """One process for each of `releases` ("old", "new"), all at once; their exit statuses."""
    ready, everybody = os.pipe()

    def begin(number: int, release: str) -> int:
        os.close(everybody)
        store = Store(ConnectionSettings("state", Secret(url)))
        os.read(ready, 1)  # returns once nobody holds the other end any more
        schema.ensure(store, GROWN if release == "new" else CURRENT)
        with store.transaction() as session:
            session.run("INSERT INTO etlctl_pools VALUES (:name)", {"name": str(number)})
        return 0

    started = [racers.start(partial(begin, number, release)) for number, release in enumerate(releases)]
    os.close(everybody)
    racers.watch(started)
    os.close(ready)
    return [one.status for one in started]


def test_ensure_is_safe_when_sixteen_processes_begin_with_nothing_there(
    store: Store, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """F29."""
    statuses = begin_together(database_url, ["old"] * 16)

    assert (statuses, capfd.readouterr().err) == ([0] * 16, "")
    with store.transaction() as session:
        assert session.run("SELECT count(*) FROM etlctl_pools") == [(16,)]


def test_ensure_upgrades_once_while_eight_begin_and_an_old_one_works_on(
    store: Store, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """F31."""
    schema.ensure(store)
    store.close()  # no connection of it goes into the processes

    statuses = begin_together(database_url, ["new"] * 4 + ["old"] * 2 + ["new"] * 4)

    assert (statuses, capfd.readouterr().err) == ([0] * 10, "")
    assert version_of(store) == (NEXT.version, 1)
    with store.transaction() as session:
        assert session.run("SELECT count(*) FROM etlctl_pools") == [(10,)]
        assert session.run("SELECT later FROM etlctl_alerts") == []


def test_ensure_brings_the_first_schema_up_to_date_and_its_release_works_on(store: Store) -> None:
    schema.ensure(store, FIRST)
    assert version_of(store) == (1, 1)
    assert store.tables(*NAMES) == {table.name for table in FIRST.tables}
    with store.transaction() as session:
        session.run("INSERT INTO etlctl_pools VALUES ('kept')")

    schema.ensure(store)
    schema.ensure(store, FIRST)
    schema.check(store, FIRST)

    assert version_of(store) == (CURRENT.version, 1)
    assert store.tables(*NAMES) == set(NAMES)
    with store.transaction() as session:
        assert session.run("SELECT name FROM etlctl_pools") == [("kept",)]


def test_turns_of_the_second_schema_are_read_before_and_after_it_is_brought_up_to_date(store: Store) -> None:
    """They do not say of which tasks they are: their schedule keeps its name."""
    schema.ensure(store, SECOND)
    before = Operations(store).record_of("nightly", {"Report"})

    schema.ensure(store)

    after = Operations(store).record_of("nightly", {"Report"})
    assert (before, after) == ("nightly", "nightly") and version_of(store) == (CURRENT.version, 1)
    with store.transaction() as session:
        assert session.run("SELECT tasks FROM etlctl_turns") == []


def test_ensure_upgrades_what_an_older_release_has_made(store: Store) -> None:
    schema.ensure(store)
    with store.transaction() as session:
        session.run(
            "INSERT INTO etlctl_runs (run_id, status, started_at, heartbeat_at) VALUES ('r1', 'running', 1.5, 2.5)"
        )

    schema.ensure(store, NEXT)

    assert version_of(store) == (NEXT.version, 1)
    with store.transaction() as session:
        assert session.run("SELECT run_id, region FROM etlctl_runs") == [("r1", None)]
        assert session.run("SELECT count(*) FROM etlctl_later") == [(0,)]


def test_ensure_lets_the_previous_release_work_on_a_newer_schema(store: Store) -> None:
    schema.ensure(store, NEXT)

    schema.ensure(store, CURRENT)
    schema.check(store, CURRENT)

    assert version_of(store) == (NEXT.version, 1)
    with store.transaction() as session:
        session.run("INSERT INTO etlctl_runs (run_id, status, started_at, heartbeat_at) VALUES ('r', 'done', 1, 1)")


@pytest.mark.parametrize("ask", [schema.ensure, schema.check])
def test_schema_refuses_a_release_that_is_two_behind_and_names_both(
    store: Store, ask: Callable[[Store, Schema], None]
) -> None:
    schema.ensure(store, AFTER_NEXT)

    with pytest.raises(UsageError) as raised:
        ask(store, CURRENT)

    text = str(raised.value)
    assert raised.value.exit_code is ExitCode.USAGE
    assert "is of etlctl 0.3.0 (schema 5)" in text and "this etlctl 0.1.0 (schema 3)" in text
    assert "0.2.0 or newer" in text and store.shown_url in text


def test_ensure_goes_on_where_a_former_one_was_killed(store: Store) -> None:
    """MySQL commits each step."""
    with store.transaction() as session:
        session.run(tables.create(tables.TASKS, store.words))
        session.run(tables.create(tables.RUNS, store.words))

    schema.ensure(store)

    with store.transaction() as session:
        found = catalog.found(session, "tasks")
    assert found is not None and {"task_id", "name"} <= found.led_by
    assert version_of(store) == (CURRENT.version, 1)


def test_check_takes_what_is_not_there_and_makes_nothing(store: Store) -> None:
    schema.check(store)

    assert store.tables("etlctl_schema", *NAMES) == set()


OLD_LUIGI = (
    "CREATE TABLE tasks (id {serial}, name VARCHAR(128), host VARCHAR(128))",
    "CREATE INDEX ix_tasks_name ON tasks (name)",
    (
        "CREATE TABLE task_events (id {serial}, task_id INTEGER, event_name VARCHAR(20), ts TIMESTAMP NOT NULL, "
        "FOREIGN KEY (task_id) REFERENCES tasks (id))"
    ),
    (
        "CREATE TABLE task_parameters (task_id INTEGER NOT NULL, name VARCHAR(128) NOT NULL, value VARCHAR(256), "
        "PRIMARY KEY (task_id, name), FOREIGN KEY (task_id) REFERENCES tasks (id))"
    ),
    "INSERT INTO tasks (id, name, host) VALUES (1, 'LoadFlights', 'h1')",
    "INSERT INTO task_events (id, task_id, event_name, ts) VALUES (1, 1, 'DONE', '2013-01-02 03:04:05')",
    "INSERT INTO task_parameters VALUES (1, 'date', '2013-01-01')",
)


def test_ensure_adopts_and_upgrades_an_old_luigi_s_history(store: Store) -> None:
    with store.transaction() as session:
        for statement in OLD_LUIGI:
            session.run(statement.format(serial=store.words.serial))

    schema.ensure(store)

    with store.transaction() as session:
        assert session.run("SELECT id, task_id, name, host FROM tasks") == [(1, None, "LoadFlights", "h1")]
        assert session.run("SELECT task_id, name, value FROM task_parameters") == [(1, "date", "2013-01-01")]
        assert session.run("SELECT count(*) FROM task_events") == [(1,)]
        parameters, record = catalog.found(session, "task_parameters"), catalog.found(session, "tasks")
        events = catalog.found(session, "task_events")
        assert parameters is not None and parameters.columns["value"] == "text"
        assert record is not None and record.led_by == {"id", "task_id", "name"} - (
            {"id"} if store.kind == "sqlite" else set()
        )
        assert events is not None and {"task_id", "ts"} <= events.led_by
        session.run("INSERT INTO task_parameters VALUES (1, 'text', :text)", {"text": "x" * 5_000})


def test_tables_of_luigi_are_those_that_sqlalchemy_makes_of_its_models(database_url: str, store: Store) -> None:
    """Its declarations, from luigi/db_task_history.py 3.8.1."""
    schema.ensure(store)
    metadata = sa.MetaData()
    record = sa.Table(
        "tasks",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("task_id", sa.String(200), index=True),
        sa.Column("name", sa.String(128), index=True),
        sa.Column("host", sa.String(128)),
    )
    sa.Table(
        "task_events",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("task_id", sa.Integer, sa.ForeignKey("tasks.id"), index=True),
        sa.Column("event_name", sa.String(20)),
        sa.Column("ts", sa.TIMESTAMP, index=True, nullable=False),
    )
    sa.Table(
        "task_parameters",
        metadata,
        sa.Column("task_id", sa.Integer, sa.ForeignKey("tasks.id"), primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("value", sa.Text()),
    )
    engine = sa.create_engine(database_url.replace("postgresql:", "postgresql+psycopg2:"))

    with engine.begin() as connection:
        metadata.create_all(connection)  # what Luigi does at its start
        number = connection.execute(record.insert().values(task_id="T_1", name="T")).inserted_primary_key
    found = sa.inspect(engine)

    assert number is not None and number[0] == 1
    for table in metadata.sorted_tables:
        columns = {column["name"]: column for column in found.get_columns(table.name)}
        assert list(columns) == [column.name for column in table.columns]
        for column in table.columns:
            made = columns[column.name]
            assert made["type"].as_generic()._type_affinity is column.type._type_affinity
            assert getattr(made["type"], "length", None) == getattr(column.type, "length", None)
            assert made["nullable"] is column.nullable or (column.primary_key and store.kind == "sqlite")
        assert {index.name for index in table.indexes} <= {index["name"] for index in found.get_indexes(table.name)}
    engine.dispose()


def test_ensure_tells_a_table_of_somebody_else_s(store: Store) -> None:
    with store.transaction() as session:
        session.run("CREATE VIEW etlctl_schema AS SELECT 1 AS version")

    with pytest.raises(UnavailableError, match=r"tables of the state cannot be made or used"):
        schema.ensure(store)
