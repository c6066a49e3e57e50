"""A user with no more rights than the documented ones loads, and cannot rewrite what the audit table says (S22)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence

import pytest
from sqlalchemy import make_url

from cli.project import Project
from servers.mariadb import Mysql
from servers.postgres import Postgres

FLOWS = """
    from etlctl import DateParameter, LoadTable, QueryTable, merge_on, replace_where, requires, unique

    class Sales(LoadTable):
        date = DateParameter()
        columns = {"date": "date", "n": "integer"}
        values = {"date": "date"}
        checks = [unique("n")]

        def rows(self):
            yield from ({"n": n} for n in range(3))

    @requires(Sales)
    class Newest(QueryTable):
        columns = {"n": "integer", "date": "date"}
        mode = merge_on("n")
        query = "SELECT n, date FROM sales WHERE date = :date"

    @requires(Newest)
    class Sums(QueryTable):
        mode = replace_where("date")
        query = "SELECT date, sum(n) AS n FROM sales WHERE date = :date GROUP BY date"
"""
TABLES = {
    "table_updates": "SELECT, INSERT, UPDATE, DELETE",
    "etlctl_audit": "SELECT, INSERT",
    "sales": "SELECT, INSERT, DELETE",
    "sums": "SELECT, INSERT, DELETE",
    "newest": "SELECT, INSERT, UPDATE",
}
"""What docs/reference/loads.md says a user needs."""
DAY = ("--date", "2013-01-02")
Ask = Callable[[str], Sequence[Sequence[object]]]


class Server:
    """One database, its owner's URL, and a user of its own that has been granted `TABLES`."""

    def __init__(self, owner: str, user: str, ask: Ask, grant: Callable[[str, str], None]) -> None:
        self.owner, self.user, self.ask, self.grant = owner, user, ask, grant


@pytest.fixture
def postgres_rights(postgres_server: Postgres, postgres_url: str) -> Iterator[Server]:
    name = f"loader_{secrets.token_hex(4)}"

    def ask(sql: str) -> Sequence[Sequence[object]]:
        return postgres_server.ask(sql, url=postgres_url)

    ask(f"CREATE ROLE {name} LOGIN")
    url = make_url(postgres_url).set(username=name).render_as_string(hide_password=False)

    def grant(table: str, rights: str) -> None:
        ask(f"GRANT {rights} ON {table} TO {name}")

    yield Server(postgres_url, url, ask, grant)
    ask(f"DROP OWNED BY {name}")
    ask(f"DROP ROLE {name}")


@pytest.fixture
def mysql_rights(mariadb_server: Mysql, mysql_url: str) -> Iterator[Server]:
    name = f"loader_{secrets.token_hex(4)}"
    database = make_url(mysql_url).database

    def ask(sql: str) -> Sequence[Sequence[object]]:
        return mariadb_server.ask(sql, url=mysql_url)

    mariadb_server.ask("CREATE USER %s@'%%' IDENTIFIED BY 'secret'", name)
    mariadb_server.ask(f"GRANT CREATE TEMPORARY TABLES ON {database}.* TO %s@'%%'", name)
    url = make_url(mysql_url).set(username=name, password="secret").render_as_string(hide_password=False)

    def grant(table: str, rights: str) -> None:
        mariadb_server.ask(f"GRANT {rights} ON {database}.{table} TO %s@'%%'", name)

    yield Server(mysql_url, url, ask, grant)
    mariadb_server.ask("DROP USER %s@'%%'", name)


@pytest.fixture(params=["postgres_rights", "mysql_rights"])
def server(request: pytest.FixtureRequest) -> Server:
    """On each server in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def project(empty_project: Project, server: Server) -> Project:
    """Tables made by the owner, rights granted, and the settings those of the user."""
    empty_project.pipeline(FLOWS)
    _settings(empty_project, server.owner)
    assert empty_project.run("build", "Sums", "--date", "2013-01-01").code == 0
    for table, rights in TABLES.items():
        server.grant(table, rights)
    _settings(empty_project, server.user)
    return empty_project


def _settings(project: Project, url: str) -> None:
    text = f"[pipelines]\npath = '{project.package}'\n[connections.warehouse]\nurl = '{url}'\naudit = true\n"
    project.write("config/etlctl.toml", text)


def test_a_user_with_the_documented_rights_loads(project: Project, server: Server) -> None:
    """Load, force, list and resolve; nothing is made, since all is there."""
    first = project.run("build", "Sums", *DAY)
    forced = project.run("build", "Sums", *DAY, "--force")
    listed = project.run("markers", "--json")
    server.ask("UPDATE table_updates SET state = 'loading' WHERE target_table = 'sums'")
    resolved = project.run("markers", "resolve", "Sums", *DAY, "--absent")

    assert [ran.code for ran in (first, forced, listed, resolved)] == [0, 0, 0, 0], (
        first.out + forced.out + resolved.err
    )
    assert listed.json["connections"][0]["total"] == 6
    assert server.ask("SELECT count(*) FROM sales")[0][0] == 6
    assert server.ask("SELECT count(*) FROM etlctl_audit")[0][0] == 8


@pytest.mark.parametrize("statement", ["UPDATE etlctl_audit SET user_name = 'x'", "DELETE FROM etlctl_audit"])
def test_that_user_cannot_rewrite_the_audit_table(project: Project, server: Server, statement: str) -> None:
    """Append-only by the database's word; the line of a load is refused with it, and the load is undone."""
    project.pipeline(
        f"""
        from etlctl import RunSQL

        class Rewrite(RunSQL):
            table = "etlctl_audit"
            query = "{statement}"
    """,
        "rewriting",
    )
    before = server.ask("SELECT count(*), max(user_name) FROM etlctl_audit")

    ran = project.run("build", "Rewrite")

    assert ran.code == 1, ran.out
    assert "etlctl_audit" in ran.out
    assert server.ask("SELECT count(*), max(user_name) FROM etlctl_audit") == before


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_right_is_told_with_its_table(project: Project, server: Server, table: str) -> None:
    """Which table, so that the right can be granted; nothing is loaded."""
    server.ask(f"REVOKE INSERT ON {table} FROM {make_url(server.user).username}")

    ran = project.run("build", "Sums", *DAY)

    assert ran.code in (1, 4)
    assert table in ran.out
    assert server.ask("SELECT count(*) FROM sums")[0][0] == 1
