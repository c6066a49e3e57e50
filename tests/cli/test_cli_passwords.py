"""Any password connects, by whatever road it comes, and none is ever shown: on servers that do ask for it (F79)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from urllib.parse import quote

import psycopg2.sql
import pytest
from sqlalchemy import make_url

from cli.project import Project, Ran
from servers.mariadb import Mysql
from servers.postgres import postgres

PASSWORDS = (
    "S3cr3t-@:/#%?[]",
    "S3cr3t blank ' \" ` \\ ;--",
    "S3cr3t-%40 ${HOME} {x} &=+",
    "S3cr3t-éß漢字\U0001f600",
)
ROADS = ("variable", "whole url", "override", "reference", "file")
SALES = """
    from etlctl import LoadTable

    class Sales(LoadTable):
        columns = {"n": "integer"}

        def rows(self):
            yield {"n": 1}
"""

Account = Callable[[str], str]
"""Makes a user with the password and gives a URL with `PASSWORD` in its place."""
Setup = Callable[[str, str, str], Project]
"""A project whose settings, and variables, lead by a road to a URL and its password."""


@pytest.fixture(scope="module")
def postgres_account() -> Iterator[Account]:
    """Users of a PostgreSQL that asks them for their passwords, each with a database of its own."""
    with postgres() as server:
        rules = server.data / "pg_hba.conf"
        rules.write_text(f"host all +locked all scram-sha-256\n{rules.read_text()}", encoding="utf-8")
        server.ask("CREATE ROLE locked")
        server.ask("SELECT pg_reload_conf()")

        def made(password: str) -> str:
            name = f"user_{secrets.token_hex(4)}"
            create = psycopg2.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE locked")
            with psycopg2.connect(server.url()) as connection, connection.cursor() as cursor:
                connection.set_client_encoding("UTF8")
                cursor.execute(create.format(psycopg2.sql.Identifier(name), psycopg2.sql.Literal(password)))
            connection.close()
            url = make_url(server.new_database())
            server.ask(f"ALTER DATABASE {url.database} OWNER TO {name}")
            return f"postgresql://{name}:PASSWORD@{url.host}:{url.port}/{url.database}"

        yield made


@pytest.fixture
def mysql_account(mariadb_server: Mysql) -> Iterator[Account]:
    """Users of the MariaDB, each with a database of its own."""
    users = []

    def made(password: str) -> str:
        url = make_url(mariadb_server.new_database())
        users.append((f"user_{secrets.token_hex(4)}", url))
        mariadb_server.ask("CREATE USER %s@'%%' IDENTIFIED BY %s", users[-1][0], password)
        mariadb_server.ask(f"GRANT ALL ON {url.database}.* TO %s@'%%'", users[-1][0])
        return f"mysql://{users[-1][0]}:PASSWORD@{url.host}:{url.port}/{url.database}"

    yield made
    for name, url in users:
        mariadb_server.ask("DROP USER %s@'%%'", name)
        mariadb_server.drop_database(url.render_as_string(hide_password=False))


@pytest.fixture(params=["postgres_account", "mysql_account"])
def account(request: pytest.FixtureRequest) -> Account:
    """Of each server in turn."""
    made: Account = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def setup(empty_project: Project, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """See `Setup`."""

    def made(road: str, url: str, password: str) -> Project:
        for name, text in _written(empty_project, road, url, password).items():
            monkeypatch.setenv(name, text)
        return empty_project

    return made


def _written(empty_project: Project, road: str, url: str, password: str) -> dict[str, str]:
    empty_project.pipeline(SALES)
    whole = url.replace("PASSWORD", quote(password, safe=""))
    given, environ = {
        "variable": (url.replace("PASSWORD", "${PW}"), {"PW": password}),
        "whole url": ("${DATABASE_URL}", {"DATABASE_URL": whole}),
        "override": ("sqlite:///other.db", {"ETLCTL_CONNECTIONS_WAREHOUSE_URL": whole}),
        "reference": ("env:DATABASE_URL", {"DATABASE_URL": whole}),
        "file": ("file:run/secret", {}),
    }[road]
    empty_project.write("run/secret", whole + "\n")
    empty_project.write(
        "config/etlctl.toml",
        f"[pipelines]\npath = '{empty_project.package}'\n[connections.warehouse]\nurl = '{given}'\n",
    )
    return environ


def _shows_none(ran: Ran, password: str) -> bool:
    shown = ran.out + ran.err
    return all(part not in shown for part in ("S3cr3t", password, quote(password, safe="")))


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_connects_and_is_not_shown(setup: Setup, account: Account, password: str) -> None:
    """A build with all that it has to tell, as a variable gives the password."""
    project = setup("variable", account(password), password)

    ran = project.run("build", "Sales", "--debug")

    assert ran.code == 0, ran.err
    assert "OK=1" in ran.out and _shows_none(ran, password)


@pytest.mark.parametrize("road", ROADS)
def test_every_road_of_a_password_connects(setup: Setup, account: Account, road: str) -> None:
    """Within the URL or in a URL as a whole, from the environment or a file."""
    project = setup(road, account(PASSWORDS[0]), PASSWORDS[0])

    ran = project.run("markers", "adopt")

    assert ran.code == 0, ran.err
    assert " made: " in ran.out and _shows_none(ran, PASSWORDS[0])
    assert ":***@" in ran.out


@pytest.mark.parametrize(
    "words",
    [("build", "Sales", "--debug"), ("build", "Sales", "--json"), ("plan", "Sales", "--debug"), ("markers", "--debug")],
)
def test_a_wrong_password_is_told_and_not_shown(setup: Setup, account: Account, words: tuple[str, ...]) -> None:
    """Who was refused by which server, exit 4 of what needs it; nothing of the password, in a traceback neither."""
    project = setup("variable", account("right"), PASSWORDS[0])

    ran = project.run(*words)

    assert ran.code == (0 if words[0] == "plan" else 4), ran.out + ran.err
    assert "127.0.0.1" in ran.out + ran.err and "user_" in ran.out + ran.err
    assert _shows_none(ran, PASSWORDS[0])


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nosuchdb://u:S3cr3t@h/d", "'connections.warehouse.url' (nosuchdb://u:***@h/d)"),
        ("postgresql+nosuch://u:S3cr3t@h/d", "'connections.warehouse.url' (postgresql+nosuch://u:***@h/d) begins with"),
        ("postgresql://u:S3cr3t@h:port/d", "'connections.warehouse.url' (postgresql://***) has a port that is not"),
    ],
)
@pytest.mark.parametrize("words", [("build", "Sales"), ("plan", "Sales"), ("markers",)])
def test_a_url_that_means_no_database_is_told_with_its_setting(
    empty_project: Project, words: tuple[str, ...], url: str, sentence: str
) -> None:
    """Exit 2 before anything runs: file, line and key, the URL masked (F78)."""
    empty_project.pipeline(SALES)
    text = f"[pipelines]\npath = '{empty_project.package}'\n[connections.warehouse]\nurl = '{url}'\n"
    empty_project.write("config/etlctl.toml", text)

    ran = empty_project.run(*words)

    assert ran.code == 2, ran.out + ran.err
    assert f"config/etlctl.toml:4: {sentence}" in ran.err
    assert "S3cr3t" not in ran.out + ran.err and "Traceback" not in ran.err


def test_the_password_is_in_no_command_line(empty_project: Project) -> None:
    """No option takes one (S6): settings and environment are the roads there are."""
    for command in ("build", "plan", "status", "list", "show", "markers", "graph"):
        shown = empty_project.run(command, "--help").out.casefold()

        assert "password" not in shown and "--url" not in shown
