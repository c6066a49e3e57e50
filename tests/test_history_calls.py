"""`etlctl.history`: Luigi's calls by their names, over databases that Luigi and etlctl have filled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import etlctl
from etlctl import history
from etlctl.core import context
from etlctl.core.context import Context
from etlctl.core.parameters import DateParameter, IntParameter
from etlctl.core.task import Task
from etlctl.db.state import schema
from etlctl.db.state.store import Store
from etlctl.history import History
from etlctl.settings import ConnectionSettings, Secret, load
from etlctl.targets.local import LocalTarget

SERIAL = {
    "sqlite": "INTEGER NOT NULL PRIMARY KEY",
    "postgresql": "SERIAL PRIMARY KEY",
    "mysql": "INTEGER NOT NULL PRIMARY KEY AUTO_INCREMENT",
}
OLD_LUIGI = (
    # what SQLAlchemy makes of the models in luigi/db_task_history.py 2.0 (github.com/spotify/luigi): no tasks.task_id
    "CREATE TABLE tasks (id {serial}, name VARCHAR(128), host VARCHAR(128))",
    (
        "CREATE TABLE task_parameters (task_id INTEGER NOT NULL, name VARCHAR(128) NOT NULL, value VARCHAR(256), "
        "PRIMARY KEY (task_id, name), FOREIGN KEY(task_id) REFERENCES tasks (id))"
    ),
    (
        "CREATE TABLE task_events (id {serial}, task_id INTEGER, event_name VARCHAR(20), ts TIMESTAMP NOT NULL, "
        "FOREIGN KEY(task_id) REFERENCES tasks (id))"
    ),
    "INSERT INTO tasks (name, host) VALUES ('LoadFlights', 'etl-1')",
    "INSERT INTO tasks (name, host) VALUES ('LoadFlights', 'etl-2')",
    "INSERT INTO tasks (name, host) VALUES ('Other', NULL)",
    (
        "INSERT INTO task_parameters (task_id, name, value) VALUES (1, 'date', '2013-01-02'), (1, 'batch', '500'), "
        "(2, 'date', '2013-01-03'), (2, 'batch', '500')"
    ),
    "INSERT INTO task_events (task_id, event_name, ts) VALUES (1, 'PENDING', '2013-01-03 01:00:00')",
    "INSERT INTO task_events (task_id, event_name, ts) VALUES (1, 'RUNNING', '2013-01-03 01:00:01')",
    "INSERT INTO task_events (task_id, event_name, ts) VALUES (2, 'PENDING', '2013-01-03 01:00:01')",
    "INSERT INTO task_events (task_id, event_name, ts) VALUES (1, 'DONE', '2013-01-03 01:00:09')",
    "INSERT INTO task_events (task_id, event_name, ts) VALUES (2, 'FAILED', '2013-01-04 01:00:00')",
)
NEW_LUIGI = (
    "ALTER TABLE tasks ADD COLUMN task_id VARCHAR(200)",
    "CREATE INDEX ix_task_id ON tasks (task_id)",  # the names of luigi's own upgrade
    "UPDATE tasks SET task_id = 'LoadFlights_500_2013_01_02_8f0e'",
)


class LoadFlights(Task):
    """As Luigi ran it, now with etlctl."""

    date = DateParameter()
    batch = IntParameter(default=500)

    def output(self) -> LocalTarget:
        return LocalTarget(f"{self.date}.txt")

    def run(self) -> None:
        with self.output().open("w") as file:
            file.write("x")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[Path]:
    """A project whose state is each kind of database in turn; its context is in place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ETLCTL_STATE_URL", database_url)
    with context.use(Context(tmp_path, settings=load(None, environ={"ETLCTL_STATE_URL": database_url}, cwd=tmp_path))):
        yield tmp_path


def _luigi(url: str, *statements: str) -> None:
    store = Store(ConnectionSettings("state", Secret(url)))
    with store.transaction() as session:
        for statement in statements:
            session.run(statement.format(serial=SERIAL[store.kind]))
    store.close()


def _zone(url: str) -> dt.timedelta:
    """What the server takes a moment without zone for; Luigi lets it."""
    if not url.startswith("mysql"):
        return dt.timedelta(0)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        seconds = connection.scalar(sa.text("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())"))
    engine.dispose()
    return dt.timedelta(seconds=int(seconds or 0))


@pytest.mark.parametrize("statements", [OLD_LUIGI, OLD_LUIGI + NEW_LUIGI], ids=["old", "new"])
def test_history_calls_read_what_luigi_has_written(
    project: Path, database_url: str, statements: tuple[str, ...]
) -> None:
    """Without changing it: records with events, the newest first, and parameters by name."""
    _luigi(database_url, *statements)

    records = history.find_all_runs()

    first = records[0]
    assert [(record.id, record.name, record.host) for record in records] == [
        (1, "LoadFlights", "etl-1"),
        (2, "LoadFlights", "etl-2"),
        (3, "Other", None),
    ]
    assert [event.event_name for event in first.events] == ["DONE", "RUNNING", "PENDING"]
    assert first.events[0].ts == dt.datetime(2013, 1, 3, 1, 0, 9, tzinfo=dt.UTC) - _zone(database_url)
    assert first.parameters["date"].value == "2013-01-02"
    assert [record.id for record in history.find_all_by_name("LoadFlights")] == [1, 2]
    wanted = {"date": dt.date(2013, 1, 3), "batch": 500}
    assert [record.id for record in history.find_all_by_parameters("LoadFlights", **wanted)] == [2]
    assert list(history.find_all_by_parameters("LoadFlights", date="2013-01-04")) == []
    assert [event.id for event in history.find_all_events()] == [1, 2, 3, 4, 5]
    assert history.find_latest_runs() == []
    found = history.find_task_by_id(2)
    assert found is not None and found.host == "etl-2"
    assert history.find_task_by_id(99) is None
    newest = history.find_task_by_task_id("LoadFlights_500_2013_01_02_8f0e")
    assert (newest.id if newest is not None else None) == (3 if statements != OLD_LUIGI else None)


def test_history_calls_know_nothing_of_a_state_that_is_not_there(project: Path) -> None:
    """Empty answers; no file, no table."""
    assert history.find_all_runs() == []
    assert history.find_latest_runs() == []
    assert list(history.find_all_by_name("LoadFlights")) == []
    assert history.find_task_by_id(1) is None
    assert history.find_task_by_task_id("LoadFlights") is None
    assert history.find_all_events() == []
    assert history.find_runs() == []
    assert history.find_attempts("20261122T100000-aaaa") == []
    assert list(project.iterdir()) == []


def test_history_calls_read_a_build_in_the_database_of_an_old_luigi(project: Path, database_url: str) -> None:
    """Its tables are upgraded, its rows stay, ours stand beside them; runs and attempts besides."""
    _luigi(database_url, *OLD_LUIGI)
    task = LoadFlights(dt.date(2013, 1, 2))

    summary = etlctl.build([task])

    assert summary
    ours = history.find_task_by_task_id(task.task_id)
    assert ours is not None
    assert [event.event_name for event in ours.events] == ["DONE", "RUNNING", "PENDING"]
    assert {name: one.value for name, one in ours.parameters.items()} == {"date": "2013-01-02", "batch": "500"}
    both = list(history.find_all_by_parameters("LoadFlights", date=dt.date(2013, 1, 2)))
    assert [record.id for record in both] == [1, ours.id]
    assert [record.id for record in history.find_latest_runs()] == [ours.id]
    (run,) = history.find_runs()
    (attempt,) = history.find_attempts(run.run_id)
    assert (run.run_id, run.status, attempt.status, attempt.number) == (summary.run_id, "done", "done", 1)
    assert history.find_attempts(task) == [attempt]
    assert history.find_attempts(task, since=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)) == []


def test_history_that_we_write_is_read_by_luigi_s_models(project: Path, database_url: str) -> None:
    """The columns and types that Luigi's SQLAlchemy models declare give back moments, ids and texts."""
    task = LoadFlights(dt.date(2013, 1, 2))
    before = dt.datetime.now(dt.UTC)
    assert etlctl.build([task])

    metadata = sa.MetaData()
    events = sa.Table("task_events", metadata, *(sa.Column(name) for name in ("id", "task_id", "event_name")))
    events.append_column(sa.Column("ts", sa.TIMESTAMP))
    engine = sa.create_engine(database_url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.connect() as connection:
        rows = connection.execute(sa.select(events.c.event_name, events.c.ts).order_by(events.c.id)).all()
    engine.dispose()

    assert [row[0] for row in rows] == ["PENDING", "RUNNING", "DONE"]
    for _, moment in rows:
        assert abs(moment - _zone(database_url) - before.replace(tzinfo=None)) < dt.timedelta(minutes=1)


def test_history_of_any_url_is_asked_by_it(project: Path, tmp_path: Path) -> None:
    """Luigi's own `db_connection`, relative to the project, beside the state of the settings."""
    _luigi(f"sqlite:///{tmp_path}/luigi-task-hist.db", *OLD_LUIGI)

    found = History("sqlite:///luigi-task-hist.db").find_all_by_name("LoadFlights")

    assert [record.host for record in found] == ["etl-1", "etl-2"]
    assert history.find_all_runs() == []


def test_history_refuses_a_state_of_a_newer_release(project: Path, database_url: str) -> None:
    """UsageError, exit 2, with both releases; nothing is read that may mean something else by now."""
    store = Store(ConnectionSettings("state", Secret(database_url)))
    schema.ensure(store)
    with store.transaction() as session:
        session.run("UPDATE etlctl_schema SET version = 99, usable_from = 98, usable_by = '9.8'")
    store.close()

    with pytest.raises(etlctl.EtlctlError) as caught:
        history.find_runs()

    assert caught.value.exit_code == 2
    assert "it takes 9.8 or newer" in str(caught.value)
