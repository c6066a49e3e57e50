"""S5: a password and a private value go through many failing commands, and turn up in nothing that is left behind."""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from cli.project import Project, Ran
from servers.mariadb import Mysql
from servers.postgres import Postgres
from torture.places import Place, place_for

FLOWS = '''
    """Loads that fail, each in its way."""

    import sqlalchemy

    from etlctl import IntParameter, LoadTable, Parameter, ParameterVisibility, QueryTable, TableTarget, Task
    from etlctl import append, not_null, replace_where, unique

    PRIVATE = ParameterVisibility.PRIVATE


    class Private(LoadTable):
        pin = Parameter(default="PIN", visibility=PRIVATE)
        columns = {"n": "integer", "pin": "varchar(60)"}
        values = {"pin": "pin"}
        mode = append

        def rows(self):
            return [(1,)]


    class TooLong(Private):
        columns = {"n": "integer", "pin": "varchar(5)"}


    class NotANumber(Private):
        columns = {"n": "integer", "pin": "integer"}


    class Doubled(Private):
        checks = [unique("pin")]

        def rows(self):
            return [(1,), (2,)]


    class Missing(Private):
        checks = [not_null("n")]

        def rows(self):
            return [(None,)]


    class Partitioned(Private):
        mode = replace_where("pin")
        checks = [unique("pin")]

        def rows(self):
            return [(1,), (2,)]


    class BadRow(Private):
        def rows(self):
            return [("no number",)]


    class Raises(Private):
        def rows(self):
            raise RuntimeError(f"looked at {self.database!r} and {self!r}")


    class ShowsEngine(Private):
        def rows(self):
            raise RuntimeError(f"{self.output().engine!r} {self.output().engine.url}")


    class BadQuery(QueryTable):
        pin = Parameter(default="PIN", visibility=PRIVATE)
        columns = {"n": "integer"}
        query = "SELECT nothing FROM nowhere WHERE pin = :pin"


    class BadSyntax(BadQuery):
        query = "SELECT (1 AS n WHERE '' = :pin"


    class BadCast(BadQuery):
        query = "SELECT CAST(1 AS nothing) AS n WHERE '' = :pin"


    class Unknown(BadQuery):
        query = "SELECT 1 AS n WHERE '' = :pim"


    class ByHand(Task):
        pin = Parameter(default="PIN", visibility=PRIVATE)

        def output(self):
            return TableTarget("by_hand", self.task_id)

        def run(self):
            with self.output().transaction() as connection:
                connection.execute(sqlalchemy.text("SELECT nothing FROM nowhere WHERE x = :x"), {"x": self.pin})


    class Commits(ByHand):
        def run(self):
            with self.output().transaction() as connection:
                connection.commit()


    class Number(Private):
        pin = IntParameter(visibility=PRIVATE)


    class Elsewhere(Private):
        connection = "elsewhere"


    class NoDatabase(Private):
        connection = "no_database"


    class NoUser(Private):
        connection = "no_user"


    class NoServer(Private):
        connection = "no_server"
'''
FAILING = (
    "TooLong",
    "NotANumber",
    "Doubled",
    "Missing",
    "Partitioned",
    "BadRow",
    "Raises",
    "ShowsEngine",
    "BadQuery",
    "BadSyntax",
    "BadCast",
    "Unknown",
    "ByHand",
    "Commits",
    "Elsewhere",
    "NoDatabase",
    "NoUser",
    "NoServer",
)
"""Tasks whose build fails."""
OTHERS: tuple[tuple[str, ...], ...] = (
    ("build", "Number", "--pin", "PIN"),
    ("build", "Private", "--pim", "PIN"),
    ("build", "Private", "--pin"),
    ("build", "Nothing", "--pin", "PIN"),
    ("plan", *FAILING),  # which ends with 0, whatever it tells
    ("plan", *FAILING, "--json"),
    ("status", *FAILING),
    ("markers", "list"),
    ("markers", "resolve", "Private", "--absent"),
    ("--profile", "nothing", "build", "Private"),
    ("--profile", "broken", "build", "Private"),
    ("--profile", "port", "build", "Private"),
    ("--profile", "dialect", "build", "Private"),
)
"""Other commands that fail, or tell of what does."""


@dataclass(frozen=True)
class Case:
    """A project on a server, and its two secrets."""

    project: Project
    place: Place
    password: str
    pin: str
    log: Path | None

    def run(self, *words: str) -> Ran:
        """A command, in which PIN stands for the private value."""
        return self.project.run(*(word.replace("PIN", self.pin) for word in words))

    def hits(self, text: str) -> list[str]:
        return [name for name, value in (("password", self.password), ("pin", self.pin)) if value in text]


@pytest.fixture(params=["postgres_server", "mariadb_server"])
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A user of each server in turn, with a canary for a password."""
    server: Postgres | Mysql = request.getfixturevalue(request.param)
    password, pin, user = f"S3cr3t-{uuid.uuid4()}", f"Pr1vate-{uuid.uuid4()}", f"canary_{secrets.token_hex(4)}"
    url = make_url(server.new_database())
    _create(server, user, password, str(url.database))
    url = url.set(username=user, password=None)
    monkeypatch.setenv("CANARY", password)
    project = Project(tmp_path, f"flows_{secrets.token_hex(4)}")
    project.write("config/etlctl.toml", _settings(project.package, url.drivername, f"{url.host}:{url.port}", url))
    project.pipeline(FLOWS.replace("PIN", pin))
    place = place_for(url.set(password=password).render_as_string(hide_password=False), tmp_path / "place")
    log = getattr(server, "log", None)
    yield Case(project, place, password, pin, log)
    server.drop_database(url.render_as_string(hide_password=False))
    server.ask(f"DROP ROLE {user}" if isinstance(server, Postgres) else f"DROP USER {user}@'%'")


def _create(server: Postgres | Mysql, user: str, password: str, database: str) -> None:
    if isinstance(server, Postgres):
        server.ask(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        server.ask(f"ALTER DATABASE {database} OWNER TO {user}")
    else:
        server.ask(f"CREATE USER {user}@'%' IDENTIFIED BY '{password}'")
        server.ask(f"GRANT ALL ON {database}.* TO {user}@'%'")


def _settings(package: str, driver: str, place: str, url: object) -> str:
    user, database = getattr(url, "username", ""), getattr(url, "database", "")
    host = place.split(":")[0]
    return f"""
[pipelines]
path = "{package}"
[connections.warehouse]
url = "{driver}://{user}:${{CANARY}}@{place}/{database}"
connect_timeout = 2
[connections.no_database]
url = "{driver}://{user}:${{CANARY}}@{place}/nothing_here"
[connections.no_user]
url = "{driver}://nobody_here:${{CANARY}}@{place}/{database}"
[connections.no_server]
url = "{driver}://{user}:${{CANARY}}@{host}:1/{database}"
connect_timeout = 2
[profiles.broken.connections.warehouse]
url = "{driver}//{user}:${{CANARY}}@{place}/{database}"
[profiles.port.connections.warehouse]
url = "{driver}://{user}:${{CANARY}}@{host}:port/{database}"
[profiles.dialect.connections.warehouse]
url = "oracel://{user}:${{CANARY}}@{place}/{database}"
"""


def test_no_secret_stands_in_what_failing_commands_leave(case: Case) -> None:
    """S5: stdout, stderr, with --debug and --json, files of the project, all tables, the server's log."""
    assert case.run("build", "Private").code == 0  # the password is the right one, and the value is loaded
    debugged = [("--debug", "build", name) for name in FAILING]
    words = [("build", *FAILING), ("build", *FAILING, "--json"), *debugged, *OTHERS]
    leaks: list[str] = []
    succeeded = []
    for command in words:
        ran = case.run(*command)
        if ran.code == 0:
            succeeded.append(command)
        leaks.extend(f"{' '.join(command)}: {name}" for name in case.hits(ran.out + ran.err))

    assert len(words) > 30 and {command[0] for command in succeeded} <= {"plan", "status"}
    assert leaks == []
    assert _in_files(case) == []
    assert _in_tables(case) == []
    if case.log is not None:
        assert case.password not in case.log.read_text(errors="replace")


def _in_files(case: Case) -> list[str]:
    """Files of the project, its pipelines' source left out, that hold a secret."""
    found = []
    for folder, _, names in os.walk(case.project.folder):
        for path in (Path(folder, name) for name in names):
            if (
                path.suffix not in (".py", ".pyc")
                and "place" not in path.parts
                and case.hits(path.read_text("latin-1"))
            ):
                found.append(str(path))
    return found


def _in_tables(case: Case) -> list[str]:
    """Tables that hold the password, and tables but for the loads' own that hold the private value."""
    connection = case.place.connect()
    found = []
    for table in sorted(case.place.tables(connection)):
        text = str(case.place.ask(connection, f"SELECT * FROM {table}"))
        hits = case.hits(text)
        if "password" in hits or (hits and table != "private"):
            found.append(table)
    connection.close()
    return found
