"""The timeouts of a connection's settings reach the server: a build ends in time, with its exit code and a sentence."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from cli.project import Project, Ran

FLOWS = """
    from etlctl import LoadTable, RunSQL

    class Sales(LoadTable):
        columns = {"n": "integer"}

        def rows(self):
            yield {"n": 1}

    class Change(RunSQL):
        table = "sales"
        query = "UPDATE sales SET n = n + 1"

    class SlowPostgres(RunSQL):
        table = "slow"
        query = "SELECT pg_sleep(100)"

    class SlowMysql(RunSQL):
        table = "slow"
        query = "SELECT count(*) FROM " + ", ".join(f"information_schema.columns {name}" for name in "abc")
"""
Build = Callable[..., Ran]


@pytest.fixture
def build(empty_project: Project) -> Build:
    """`etlctl build` with these settings of the connection."""
    empty_project.pipeline(FLOWS)

    def built(task: str, url: str, **timeouts: float) -> Ran:
        lines = [f"url = '{url}'", *(f"{name} = {value}" for name, value in timeouts.items())]
        text = "\n".join([f"[pipelines]\npath = '{empty_project.package}'", "[connections.warehouse]", *lines])
        empty_project.write("config/etlctl.toml", text)
        return empty_project.run("build", task)

    return built


@pytest.fixture
def held(database_url: str) -> Iterator[Callable[[], None]]:
    """Locks the table `sales` by an UPDATE that does not end before the test does."""
    engine = sa.create_engine(database_url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sa.NullPool)
    connections = []

    def hold() -> None:
        connection = engine.connect()
        connections.append(connection)
        connection.exec_driver_sql("UPDATE sales SET n = 5")

    yield hold
    for connection in connections:
        connection.close()


def test_lock_timeout_ends_the_wait_for_a_row(build: Build, held: Callable[[], None], database_url: str) -> None:
    """Exit 4, and not before the lock was waited for; nothing is loaded."""
    assert build("Sales", database_url).code == 0
    held()
    begun = time.monotonic()

    ran = build("Change", database_url, lock_timeout=1)

    assert ran.code == 4, ran.out + ran.err
    assert 1 <= time.monotonic() - begun < 90
    assert "lock" in ran.out


@pytest.mark.parametrize(("url", "task"), [("postgres_url", "SlowPostgres"), ("mysql_url", "SlowMysql")])
def test_statement_timeout_ends_a_query(build: Build, request: pytest.FixtureRequest, url: str, task: str) -> None:
    """Exit 1 in a second and not in twenty: the statement is at fault, and is not tried again."""
    begun = time.monotonic()

    ran = build(task, request.getfixturevalue(url), statement_timeout=1)

    assert ran.code == 1, ran.out + ran.err
    assert 1 <= time.monotonic() - begun < 60
    assert "statement_timeout" in ran.out or "too long" in ran.out


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_connect_timeout_ends_the_wait_for_a_server_that_says_nothing(build: Build, scheme: str) -> None:
    """Exit 4 and host and port; a port that takes connections and is silent."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        begun = time.monotonic()

        ran = build("Sales", f"{scheme}://u:S3cr3t@127.0.0.1:{port}/d", connect_timeout=2)

    assert ran.code == 4, ran.out + ran.err
    assert 1.5 <= time.monotonic() - begun < 60
    assert f"127.0.0.1:{port}" in ran.out and "S3cr3t" not in ran.out + ran.err
