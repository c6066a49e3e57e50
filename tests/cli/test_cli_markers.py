"""`etlctl markers`: lists, adopts and resolves, on a screen and as documents."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from cli.documents import check
from cli.project import Project, Ran
from etlctl.cli.schemas import SCHEMAS
from warehouse import LUIGI_DDL

SALES = """
    from etlctl import DateParameter, LoadTable, LocalTarget, Task

    class LoadSales(LoadTable):
        date = DateParameter()
        table = "sales"
        columns = {"date": "date", "n": "integer"}
        values = {"date": "date"}

        def rows(self):
            yield from ({"n": n} for n in range(self.date.day))

    class Page(Task):
        def output(self):
            return LocalTarget("page.html")
"""
DAYS = ("--date", "2013-01-01..2013-01-03")


@pytest.fixture
def sales(empty_project: Project) -> Project:
    """Three days of sales, of one, two and three rows, none of them loaded."""
    empty_project.pipeline(SALES)
    return empty_project


def _write(project: Project, *statements: str, file: str = "warehouse") -> None:
    (project.folder / ".etlctl").mkdir(exist_ok=True)
    with closing(sqlite3.connect(project.folder / ".etlctl" / f"{file}.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _asked(project: Project, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(project.folder / ".etlctl" / "warehouse.db")) as connection:
        return connection.execute(query).fetchall()


def _tear(project: Project, day: str = "02") -> None:
    """What a COMMIT in the middle of a load leaves behind."""
    torn = f"UPDATE table_updates SET state = 'loading', row_count = NULL WHERE update_id LIKE '%2013_01_{day}%'"
    _write(project, torn)


def _found(ran: Ran) -> list[str]:
    (table,) = ran.json["connections"]
    return [marker["update_id"].removeprefix("LoadSales_2013_01_")[:2] for marker in table["markers"]]


# -- list


@pytest.mark.parametrize("words", [("markers",), ("markers", "list"), ("markers", "--limit", "9")])
def test_markers_are_listed_the_newest_first(sales: Project, words: tuple[str, ...]) -> None:
    """State, id, table, rows, when and by whom; `list` is what is meant where nothing is said."""
    sales.run("build", "LoadSales", *DAYS)

    ran = sales.run(*words)

    by = r"  \d\d:\d\d:\d\d  \S+:\d+"
    patterns = [
        r"MARKERS  table_updates      warehouse sqlite:///\.etlctl/warehouse\.db",
        r" done  LoadSales_2013_01_03_\w{10}  sales     3 rows" + by,
        r" done  LoadSales_2013_01_02_\w{10}  sales     2 rows" + by,
        r" done  LoadSales_2013_01_01_\w{10}  sales     1 row " + by,
        r"3 markers",
    ]
    assert ran.code == 0, ran.err
    for line, pattern in zip(ran.out.splitlines(), patterns, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (("--id", "01_02"), ["02"]),
        (("--id", "LOADSALES_2013"), ["03", "02", "01"]),
        (("--id", "1_0_"), []),
        (("--id", "%"), []),
        (("--table", "sales"), ["03", "02", "01"]),
        (("--table", "sale"), []),
        (("--state", "torn"), ["02"]),
        (("--state", "done"), ["03", "01"]),
        (("--since", "2013-01-01"), ["03", "02", "01"]),
        (("--since", "-3h"), ["03", "02", "01"]),
        (("--since", "tomorrow"), []),
        (("--since", "2013-01-01T10:00:00Z"), ["03", "02", "01"]),
        (("--limit", "2"), ["03", "02"]),
        (("--limit", "0"), ["03", "02", "01"]),
        (("--connection", "warehouse", "--table", "sales", "--state", "done", "--limit", "1"), ["03"]),
        (("--connection", "sqlite:///.etlctl/warehouse.db", "--id", "01_01"), ["01"]),
    ],
)
def test_markers_are_filtered(sales: Project, words: tuple[str, ...], days: list[str]) -> None:
    """Every filter alone and together; the text of --id means nothing but itself."""
    sales.run("build", "LoadSales", *DAYS)
    _tear(sales)

    assert _found(sales.run("markers", *words, "--json")) == days


def test_markers_left_out_by_the_limit_are_counted(sales: Project) -> None:
    """Nobody takes the newest two for all there are."""
    sales.run("build", "LoadSales", *DAYS)

    ran = sales.run("markers", "--limit", "2", "--id", "2013")

    assert ran.out.splitlines()[-1] == "3 markers, the newest 2 shown (--limit 0 shows all)"
    assert sales.run("markers", "--limit", "2", "--json").json["connections"][0]["total"] == 3


def test_markers_of_luigi_are_read_as_they_are(sales: Project) -> None:
    """No columns of ours, nothing written: rows are done, by Luigi; none of them is torn."""
    _write(sales, LUIGI_DDL, "INSERT INTO table_updates VALUES ('a', 't', '2025-11-22 04:31:47.123456')")
    before = (sales.folder / ".etlctl" / "warehouse.db").read_bytes()

    ran = sales.run("markers", "--since", "2025-11-22T04:31:47")

    assert " done  a  t          -  2025-11-22 04:31  Luigi" in ran.out
    assert sales.run("markers", "--state", "torn").out.splitlines()[-1] == "0 markers"
    assert sales.run("markers", "--since", "2025-11-22T04:31:48").out.splitlines()[-1] == "0 markers"
    assert (sales.folder / ".etlctl" / "warehouse.db").read_bytes() == before


def test_markers_without_a_table_say_so_and_make_none(sales: Project) -> None:
    """A project that has loaded nothing has no file, and gets none by being asked."""
    ran = sales.run("markers")

    assert ran.code == 0
    assert ran.out.splitlines()[1] == " no marker table yet: nothing has been loaded by etlctl or Luigi"
    assert not (sales.folder / ".etlctl").exists()


def test_markers_of_every_connection_are_listed_though_one_cannot_be_asked(sales: Project) -> None:
    """The others are shown; the one that is down is told on stderr, in its document, and by the exit code."""
    sales.write(
        "config/etlctl.toml",
        f"""
        pipelines.path = "{sales.package}"
        default_connection = "warehouse"
        connections.down.url = "postgresql://u:S3cr3t@127.0.0.1:1/d"
        connections.down.connect_timeout = 1
        connections.warehouse.url = "sqlite:///.etlctl/warehouse.db"
        """,
    )
    sales.run("build", "LoadSales", *DAYS)

    ran = sales.run("markers")
    document = sales.run("markers", "--json").json

    assert ran.code == 4 and document["exit_code"] == 4
    assert "3 markers" in ran.out and "127.0.0.1" in ran.err
    assert [(one["connection"], one["total"]) for one in document["connections"]] == [("down", 0), ("warehouse", 3)]
    assert document["connections"][0]["error"]["type"] == "UnavailableError"
    assert "S3cr3t" not in ran.out + ran.err + str(document)


def test_a_connection_that_can_never_be_asked_hides_no_other(sales: Project) -> None:
    """A dialect that is not installed is told at the end, exit 2; the others are listed."""
    more = '[connections.warehouse]\nurl = "sqlite:///.etlctl/warehouse.db"\n[connections.far]\nurl = "nosuchdb://u:S3cr3t@h/d"'
    sales.write(
        "config/etlctl.toml", f'default_connection = "warehouse"\n[pipelines]\npath = "{sales.package}"\n{more}'
    )

    ran = sales.run("markers")

    assert ran.code == 2
    assert "no marker table yet" in ran.out
    assert "config/etlctl.toml:7: 'connections.far.url' (nosuchdb://u:***@h/d)" in ran.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--since", "soon"), "etlctl: --since cannot take 'soon': "),
        (("--since", "2013-01-01..2013-01-02"), "etlctl: --since cannot take '2013-01-01..2013-01-02': "),
        (("--since", "2013-02-29"), "etlctl: --since cannot take '2013-02-29': "),
        (("--id", "\udcff"), "etlctl: --id \\udcff: this is no valid Unicode text."),
        (
            ("--connection", "warehuose"),
            "There is no connection 'warehuose' in the settings. Did you mean 'warehouse'?",
        ),
        (("lsit",), "etlctl: no command 'lsit'. Did you mean 'list'? Commands: list, adopt, resolve."),
        (("list", "flights"), "etlctl: got unexpected extra argument"),
        (("--tabel", "x"), "etlctl: no such option '--tabel'. Did you mean '--table'?"),
    ],
)
def test_markers_told_wrongly_exit_2(sales: Project, words: tuple[str, ...], sentence: str) -> None:
    """The sentence names the word that cannot be taken."""
    ran = sales.run("markers", *words)

    assert ran.code == 2
    assert sentence in ran.err


# -- adopt


def test_adopt_gives_luigis_table_our_columns_at_once(sales: Project) -> None:
    """Rows stay, done; the second time there is nothing to do; Luigi's INSERT works on."""
    _write(sales, LUIGI_DDL, "INSERT INTO table_updates VALUES ('a', 't', '2026-11-22 04:31:47')")

    first, second = sales.run("markers", "adopt"), sales.run("markers", "adopt", "--connection", "warehouse")
    _write(sales, "INSERT INTO table_updates (update_id, target_table) VALUES ('b', 't')")

    assert first.code == 0 and first.out.splitlines() == [
        "ADOPT  table_updates      warehouse sqlite:///.etlctl/warehouse.db",
        (
            " adopted: new columns update_key, state, row_count, run_id, fence, owner, fingerprint, inputs; "
            "its key is (update_id, target_table); 1 row kept, and Luigi can go on writing it"
        ),
    ]
    assert second.out.splitlines()[1] == " nothing to do: it has our columns and key already; 1 row"
    assert _asked(sales, "SELECT update_id, target_table, state FROM table_updates ORDER BY 1") == [
        ("a", "t", None),
        ("b", "t", None),
    ]


def test_adopt_makes_a_missing_table(sales: Project) -> None:
    """Before the first load, for whoever grants rights on it."""
    ran = sales.run("markers", "adopt")

    assert ran.out.splitlines()[1] == " made: there was no such table; it is empty"
    assert _asked(sales, "SELECT count(*) FROM table_updates") == [(0,)]


def test_adopt_refuses_a_table_that_has_no_markers(sales: Project) -> None:
    """A table of that name which is something else is left alone; so does the list."""
    _write(sales, "CREATE TABLE table_updates (a INTEGER)")

    adopted, listed = sales.run("markers", "adopt"), sales.run("markers")

    assert adopted.code == listed.code == 1
    assert "is no marker table" in adopted.err and "is no marker table" in listed.err


# -- resolve


def test_resolve_without_a_choice_looks_and_changes_nothing(sales: Project) -> None:
    """Who was loading and since when, and the two commands that end it; exit 6, as of a build that meets it."""
    sales.run("build", "LoadSales", *DAYS)
    _tear(sales)

    met = sales.run("build", "LoadSales", "--date", "2013-01-02")
    ran = sales.run("markers", "resolve", "LoadSales", "--date", "2013-01-02")

    assert ran.code == met.code == 6
    assert "  next  etlctl markers resolve LoadSales --date 2013-01-02\n" in met.out
    assert re.search(
        r"^ torn  LoadSales\(2013-01-02\)  sales on warehouse  loading since \S+ by \S+:\d+, run \S+$",
        ran.out,
        re.MULTILINE,
    )
    assert "etlctl markers resolve LoadSales --date 2013-01-02 --loaded\n" in ran.out
    assert "etlctl markers resolve LoadSales --date 2013-01-02 --absent\n" in ran.out
    assert _asked(sales, "SELECT count(*) FROM table_updates WHERE state = 'loading'") == [(1,)]


def test_resolve_loaded_marks_it_done_and_leaves_the_rows(sales: Project) -> None:
    """Its rows are not counted, and nothing runs again."""
    sales.run("build", "LoadSales", *DAYS)
    _tear(sales)

    ran = sales.run("markers", "resolve", "LoadSales", "--date", "2013-01-02", "--loaded")

    assert ran.code == 0 and "\n done  LoadSales(2013-01-02)" in ran.out
    assert _asked(sales, "SELECT state, row_count FROM table_updates ORDER BY update_id") == [
        ("done", 1),
        ("done", None),
        ("done", 3),
    ]
    assert "nothing to do" in sales.run("build", "LoadSales", *DAYS).out
    assert _asked(sales, "SELECT count(*) FROM sales") == [(6,)]


def test_resolve_absent_deletes_the_marker_so_that_it_loads_again(sales: Project) -> None:
    """The table is not touched; the next build loads that day and no other."""
    sales.run("build", "LoadSales", *DAYS)
    _tear(sales)
    _write(sales, "DELETE FROM sales WHERE date = '2013-01-02'")

    ran = sales.run("markers", "resolve", "LoadSales", "--date", "2013-01-02", "--absent")
    left = _asked(sales, "SELECT count(*) FROM table_updates")
    again = sales.run("build", "LoadSales", *DAYS)

    assert ran.code == 0 and "load it again: etlctl build LoadSales --date 2013-01-02\n" in ran.out
    assert left == [(2,)]
    assert "OK=1 " in again.out and _asked(sales, "SELECT count(*) FROM sales") == [(6,)]


@pytest.mark.parametrize("choice", ["--loaded", "--absent"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("LoadSales", "--date", "2013-01-01"), "LoadSales(2013-01-01): its marker is done, so there is nothing to"),
        (("LoadSales", *DAYS), "LoadSales(2013-01-01): its marker is done, so there is nothing to resolve; `etlctl"),
        (("LoadSales", "--date", "2013-01-09"), "LoadSales(2013-01-09) has no marker, so there is nothing to resolve"),
        (("Page",), "Page() has no marker: its output is no table."),
        (("LoadSale",), "LoadSales"),
    ],
)
def test_resolve_refuses_what_is_not_torn(sales: Project, words: tuple[str, ...], sentence: str, choice: str) -> None:
    """Exit 2 and nothing is changed, the torn one of the same call included."""
    sales.run("build", "LoadSales", *DAYS)
    _tear(sales)
    before = _asked(sales, "SELECT * FROM table_updates ORDER BY 1")

    ran = sales.run("markers", "resolve", *words, choice)

    assert ran.code == 2
    assert sentence in ran.err
    assert _asked(sales, "SELECT * FROM table_updates ORDER BY 1") == before


def test_resolve_takes_one_answer(sales: Project) -> None:
    """Both at once mean nothing."""
    ran = sales.run("markers", "resolve", "LoadSales", *DAYS, "--loaded", "--absent")

    assert ran.code == 2 and "give one of them" in ran.err


# -- documents, help, completion


@pytest.mark.parametrize(
    ("words", "schema", "code"),
    [
        (("markers",), "etlctl/markers", 0),
        (("markers", "list", "--connection", "nowhere"), "etlctl/error", 2),
        (("--json", "markers"), "etlctl/markers", 0),
        (("markers", "--json", "adopt"), "etlctl/adoption", 0),
        (("markers", "--config=config/etlctl.toml", "--debug", "adopt", "--json"), "etlctl/adoption", 0),
        (("markers", "--config", "config/etlctl.toml", "--json", "--limit", "1"), "etlctl/markers", 0),
        (("markers", "resolve", "LoadSales", "--date", "2013-01-02"), "etlctl/resolved", 6),
        (("markers", "resolve", "LoadSales", "--date", "2013-01-02", "--loaded"), "etlctl/resolved", 0),
        (("markers", "resolve", "LoadSales", "--date", "2013-01-02", "--absent"), "etlctl/resolved", 0),
        (("markers", "resolve", "LoadSales", "--date", "2013-01-03"), "etlctl/error", 2),
    ],
)
def test_document_has_the_fields_of_its_schema(sales: Project, words: tuple[str, ...], schema: str, code: int) -> None:
    """One document, whatever comes of the call."""
    sales.run("build", "LoadSales", *DAYS)
    _tear(sales)

    ran = sales.run(*words, *(() if "--json" in words else ("--json",)))

    assert ran.code == code, ran.err
    assert ran.json["schema"] == schema and ran.json["exit_code"] == code
    check(ran.json, SCHEMAS[schema])


def test_help_of_the_group_names_its_commands(sales: Project) -> None:
    """`etlctl markers --help` and `etlctl --help`; neither imports a pipeline or SQLAlchemy."""
    code = (
        "import sys; from etlctl.cli.main import main; main(['markers', '--help']); "
        "main(['markers', 'list', '--help']); main(['markers', 'resolve', '--help']); "
        "print([m for m in ('sqlalchemy', 'rich') if m in sys.modules])"
    )

    ran = subprocess.run([sys.executable, "-c", code], cwd=sales.folder, capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines()[-1] == "[]"
    for name in ("list", "adopt", "resolve"):
        assert re.search(rf"^  {name} +\w", ran.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("etlctl mark", {"markers"}),
        ("etlctl markers ", {"list", "adopt", "resolve"}),
        ("etlctl markers --st", {"--state"}),
        ("etlctl markers --json --ta", {"--table"}),
        ("etlctl markers --state ", {"done", "torn"}),
        ("etlctl markers adopt --connection ", {"warehouse"}),
        ("etlctl markers resolve Load", {"LoadSales"}),
        ("etlctl markers resolve LoadSales --d", {"--date", "--debug"}),
    ],
)
def test_completion_offers_commands_options_and_values(sales: Project, words: str, offered: set[str]) -> None:
    """As bash asks for it."""
    typed = words.split(" ")
    env = {"_ETLCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1)}

    ran = sales.spawn(env=env)

    assert {line.partition(",")[2] for line in ran.out.splitlines()} == offered


# -- a load that really is torn


def test_a_load_torn_by_a_procedure_on_mysql_is_resolved(empty_project: Project, mysql_url: str) -> None:
    """MySQL's procedures may commit, unseen from outside: exit 6 until a person has said what is there."""
    empty_project.pipeline("""
        from etlctl import Parameter, TableTarget, Task

        class ByHand(Task):
            end = Parameter(significant=False, default="SELECT 1")

            def output(self):
                return TableTarget("sales", self.task_id)

            def run(self):
                with self.output().transaction() as connection:
                    connection.exec_driver_sql("INSERT INTO sales VALUES (1)")
                    connection.exec_driver_sql(self.end)
    """)
    text = f"[pipelines]\npath = '{empty_project.package}'\n[connections.warehouse]\nurl = '{mysql_url}'\n"
    empty_project.write("config/etlctl.toml", text)
    with sa.create_engine(mysql_url, poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql("CREATE TABLE sales (n INTEGER)")
        connection.exec_driver_sql("CREATE PROCEDURE commits() BEGIN COMMIT; END")

    torn = empty_project.run("build", "ByHand", "--end", "CALL commits()")
    again = empty_project.run("build", "ByHand")
    resolved = empty_project.run("markers", "resolve", "ByHand", "--loaded")
    last = empty_project.run("build", "ByHand")

    assert torn.code == again.code == 6
    assert "etlctl markers resolve TASK --loaded" in torn.out and "etlctl markers resolve TASK --loaded" in again.out
    assert resolved.code == 0 and last.code == 0 and "nothing to do" in last.out
    with sa.create_engine(mysql_url, poolclass=sa.NullPool).connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sales").scalar() == 1
