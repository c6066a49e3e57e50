"""S9, S18, S19, S22: what runs nothing of others, who may read what is left, and a hostile database."""

from __future__ import annotations

import ast
import json
import os
import secrets
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

import etlctl
from cli.project import Project, Ran
from servers.postgres import Postgres

SOURCE = Path(etlctl.__file__).parent
BANNED_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "yaml", "cloudpickle"}
OWN_FILE = "copysource.py"
"""Rows that do not fit into memory go to a file without a name, which this very process alone can read."""
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
FLOWS = """
    from etlctl import DateParameter, LoadTable, LocalTarget, QueryTable, Task, merge_on, replace_where, requires

    class Prints(Task):
        def output(self):
            return LocalTarget("out/printed.txt")

        def run(self):
            print("for the user alone")
            with self.output().open("w") as file:
                file.write("x")

    class Sales(LoadTable):
        date = DateParameter()
        columns = {"date": "date", "n": "integer"}
        values = {"date": "date"}
        mode = replace_where("date")

        def rows(self):
            yield from ({"n": n} for n in range(3))

    @requires(Sales)
    class Sums(QueryTable):
        mode = replace_where("date")
        query = "SELECT date, sum(n) AS n FROM sales WHERE date = :date GROUP BY date"

    @requires(Sums)
    class Newest(QueryTable):
        columns = {"n": "integer", "date": "date"}
        mode = merge_on("n")
        query = "SELECT n, date FROM sums WHERE date = :date"
"""
DAY = ("--date", "2013-01-02")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    made = Project(tmp_path / "project", f"flows_{uuid.uuid4().hex[:12]}")
    made.pipeline(FLOWS)
    return made


# -- S9: no code is made of data


def _python_files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "templates" not in path.parts)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", _python_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_makes_code_of_data(path: Path) -> None:
    """S9: JSON and TOML are read, and nothing that can run; no shell reads a command; certificates count (S21)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    called = {call.func.id for call in _calls(tree) if isinstance(call.func, ast.Name)}
    shells = [
        word
        for call in _calls(tree)
        for word in call.keywords
        if word.arg in ("shell", "verify")
        and isinstance(word.value, ast.Constant)
        and word.value.value is (word.arg == "shell")
    ]

    assert (BANNED_MODULES & set(_imports(tree))) == ({"pickle"} if path.name == OWN_FILE else set())
    assert not BANNED_CALLS & called
    assert not shells


# -- S18: who may read what is left


@pytest.mark.parametrize("mask", ["000", "022", "077"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_state_and_logs_are_their_users_alone(project: Project, mask: str, jobs: str) -> None:
    """S18: whatever the umask; outputs are as any file that the user makes."""
    project.write("config/etlctl.toml", f"pipelines.path = '{project.package}'\nlogs.store = 'kept'\n")
    before = os.umask(int(mask, 8))
    try:
        built = project.spawn("build", "Prints", "Sales", *DAY, "-j", jobs)
    finally:
        os.umask(before)

    assert built.code == 0, built.err
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in _left(project)}
    assert {path.suffix for path in modes} >= {".db", ".log"}
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    output = stat.S_IMODE((project.folder / "out" / "printed.txt").stat().st_mode)
    assert output == 0o666 & ~int(mask, 8)


def _left(project: Project) -> list[Path]:
    """The state, and logs with their folders."""
    kept = project.folder / "kept"
    state = project.folder / ".etlctl"
    return [*state.glob("state.db*"), kept, *kept.rglob("*")]


# -- S19: nothing reaches a terminal, or makes a second line in a log, but what etlctl wrote


def test_json_logs_take_any_name_as_text(project: Project) -> None:
    """S19: one object a line, whatever an exception says."""
    project.pipeline(
        r"""
        from etlctl import Task, LocalTarget

        class Odd(Task):
            def output(self):
                return LocalTarget("out/odd")

            def run(self):
                raise ValueError('\x1b]0;x\x07[/red]\r\n{"level": "FAKE"}\u202e')
        """,
        "odd",
    )
    project.write("config/etlctl.toml", f"pipelines.path = '{project.package}'\nlogs.format = 'json'\n")

    for words in (("build", "Odd"), ("build", "Odd", "--debug"), ("doctor",)):
        ran = project.spawn(*words)
        assert "\x1b" not in ran.out + ran.err and "\x07" not in ran.out + ran.err and "\u202e" not in ran.out + ran.err
        told = [json.loads(line) for line in ran.err.splitlines()]
        assert not [one for one in told if one.get("level") == "FAKE"]


# -- S22: the least rights, and a schema where others may make things


@pytest.fixture
def stranger(postgres_server: Postgres, postgres_url: str, project: Project) -> Iterator[Project]:
    """The documented loader: a schema of its own, and `public`, where everybody may make what they like, is hostile."""
    name = f"loader_{secrets.token_hex(4)}"
    ask = postgres_server.ask
    ask(f"CREATE ROLE {name} LOGIN", url=postgres_url)
    ask(f"CREATE SCHEMA etl AUTHORIZATION {name}", url=postgres_url)
    ask(f"ALTER ROLE {name} SET search_path = etl", url=postgres_url)
    for statement in HOSTILE:
        ask(statement, url=postgres_url)
    url = make_url(postgres_url).set(username=name).render_as_string(hide_password=False)
    project.write(
        "config/etlctl.toml",
        f"pipelines.path = '{project.package}'\nconnections.warehouse = {{url = '{url}', audit = true}}\n"
        f"state.url = '{url}'\n",
    )
    yield project
    ask(f"DROP OWNED BY {name} CASCADE", url=postgres_url)
    ask(f"DROP ROLE {name}", url=postgres_url)


def _trap(signature: str, returns: str) -> str:
    body = "BEGIN RAISE EXCEPTION 'the hostile one was used'; END"
    return f"CREATE FUNCTION public.{signature} RETURNS {returns} LANGUAGE plpgsql AS $$ {body} $$"


HOSTILE = (
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "CREATE TABLE public.table_updates (update_id text, target_table text, inserted timestamp, hostile integer)",
    "INSERT INTO public.table_updates SELECT 'x', 'sales', now(), 1",
    "CREATE TABLE public.etlctl_audit (hostile integer)",
    "CREATE TABLE public.etlctl_schema (id integer, version integer, hostile integer)",
    "CREATE TABLE public.sales (date date, n integer)",
    "INSERT INTO public.sales VALUES ('2013-01-02', 1000000)",
    _trap("now()", "timestamptz"),
    _trap("lower(varchar)", "text"),
    _trap("count(integer)", "bigint"),
    _trap("to_regclass(varchar)", "regclass"),
    _trap("hashtextextended(varchar, integer)", "bigint"),
    _trap("set_config(varchar, varchar, boolean)", "text"),
    _trap("current_setting(varchar)", "text"),
    _trap("pg_advisory_xact_lock(integer)", "void"),
    _trap("has_schema_privilege(varchar, varchar)", "boolean"),
)
"""Tables that would answer for ours, and functions whose arguments fit ours better than the server's own do."""


def test_a_hostile_public_schema_is_not_used(stranger: Project, postgres_server: Postgres, postgres_url: str) -> None:
    """S22: load, force, merge, status, markers and history all stay in the loader's own schema."""
    ran: list[Ran] = [
        stranger.run("build", "Newest", *DAY),
        stranger.run("build", "Newest", *DAY, "--force"),
        stranger.run("status", "Newest", *DAY),
        stranger.run("markers", "list"),
        stranger.run("history"),
        stranger.run("doctor"),
    ]

    assert [one.code for one in ran] == [0] * len(ran), [one.out + one.err for one in ran if one.code]
    assert not [one for one in ran if "hostile one" in one.out + one.err]

    def ask(sql: str) -> object:
        return postgres_server.ask(sql, url=postgres_url)[0][0]

    assert ask("SELECT count(*) FROM etl.table_updates") == 3
    assert ask("SELECT n FROM etl.sums") == 3  # and not the million of public.sales
    assert ask("SELECT pg_catalog.count(*) FROM public.table_updates") == 1
    assert ask("SELECT pg_catalog.count(*) FROM public.etlctl_audit") == 0
    assert ask("SELECT pg_catalog.count(*) FROM public.etlctl_schema") == 0


def test_functions_of_a_schema_that_is_searched_do_not_go_before_the_servers(
    stranger: Project, postgres_server: Postgres, postgres_url: str
) -> None:
    """S22: with `public` behind the own schema, where a better fit could be found: ours are called with exact types."""
    name = make_url(stranger.folder.joinpath("config/etlctl.toml").read_text().split("'")[3]).username
    postgres_server.ask(f"ALTER ROLE {name} SET search_path = etl, public", url=postgres_url)
    for table in ("table_updates", "etlctl_audit", "etlctl_schema", "sales"):
        postgres_server.ask(f"DROP TABLE public.{table}", url=postgres_url)

    ran = [stranger.run("build", "Newest", *DAY), stranger.run("doctor"), stranger.run("history")]

    assert [one.code for one in ran] == [0, 0, 0], [one.out + one.err for one in ran if one.code]
