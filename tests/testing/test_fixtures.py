"""The fixture `etl`, in a project of its own: each test here runs pytest on a small project's tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from servers.s3 import S3Service

PIPELINE = '''
import datetime as dt
from datetime import date, datetime

from etlctl import DateParameter, DumpTable, ExternalTask, IntParameter, LoadTable, LocalTarget, QueryTable, RunSQL
from etlctl import S3Target, Task, WrapperTask, append, replace, replace_where, requires, unique


def yesterday():
    return dt.date.today() - dt.timedelta(days=1)


class SalesFile(ExternalTask):
    date = DateParameter(default=yesterday)

    def output(self):
        return LocalTarget(f"data/{self.date}.csv")


@requires(SalesFile)
class LoadSales(LoadTable):
    table = "sales"
    columns = {"date": "date", "order_id": "integer", "product": "text", "amount": "numeric(10,2)", "paid": "boolean"}
    values = {"date": "date"}
    checks = [unique("order_id")]


class Products(LoadTable):
    """Has no file: its rows come from elsewhere."""
    columns = {"product": "varchar(20)", "kind": "text"}
    mode = replace

    def rows(self):
        raise RuntimeError("asks a service that no test has")


@requires(LoadSales, Products)
class KindSales(QueryTable):
    mode = replace_where("date")
    query = """
        SELECT sales.date, products.kind, sum(sales.amount) AS amount
        FROM sales JOIN products ON products.product = sales.product
        WHERE sales.date = :date GROUP BY sales.date, products.kind
    """


@requires(KindSales)
class Report(DumpTable):
    query = "SELECT kind, amount FROM kind_sales WHERE date = :date ORDER BY kind"

    def output(self):
        return LocalTarget(f"reports/{self.date}.csv.gz")


class Growing(RunSQL):
    """Is not the same when it runs twice."""
    query = "INSERT INTO grown SELECT count(*) FROM grown"

    def requires(self):
        return Made()


class Made(Task):
    done = False

    def complete(self):
        return type(self).done

    def run(self):
        raise RuntimeError("must not run in a test")


class Stamped(Task):
    """Its default and its content say when it is."""
    day = DateParameter(default=date.today)

    def output(self):
        return LocalTarget(f"stamps/{self.day}.txt")

    def run(self):
        assert isinstance(dt.date(2020, 1, 1), date) and isinstance(datetime(2020, 1, 1), dt.datetime)
        with self.output().open("w") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M} {dt.datetime.now(dt.UTC).tzinfo} {date.today()}")


class FromS3(Task):
    def requires(self):
        return OnS3()

    def complete(self):
        return False


class OnS3(ExternalTask):
    def output(self):
        return S3Target("s3://somebodys-bucket/file.csv")


class Yielding(Task):
    number = IntParameter(default=1)

    def output(self):
        return LocalTarget("out/yielded.txt")

    def run(self):
        made = yield SalesFile(dt.date(2026, 11, 21))
        with made.open() as file, self.output().open("w") as out:
            out.write(file.read().upper())
'''

HEAD = """
import datetime as dt
from decimal import Decimal

import pytest
from etlctl import build
from etlctl.testing import Project, Setup, TaskFailed
from pipelines.sales import *

DAY = dt.date(2026, 11, 21)
SALES = [{"order_id": 1, "product": "tea", "amount": 4.5}, {"order_id": 2, "product": "cup", "amount": Decimal("9")}]
PRODUCTS = [{"product": "tea", "kind": "leaves"}, {"product": "cup", "kind": "things"}]
"""

Tested = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose settings name servers that a test must never ask."""
    folder = tmp_path / "shop"
    for name in ("pipelines", "tests", "config", "data"):
        (folder / name).mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "pipelines" / "sales.py").write_text(PIPELINE)
    (folder / "data" / "real.csv").write_text("of the real project\n")
    (folder / "config" / "etlctl.toml").write_text(
        '[connections.warehouse]\nurl = "env:NOT_SET_IN_TESTS"\n'
        '[connections.far]\nurl = "file:/run/secrets/not-there"\n[state]\nurl = "${NOT_SET_EITHER}"\n'
    )
    return folder


@pytest.fixture
def tested(project: Path) -> Tested:
    """Runs pytest, as the user would, on a test module with this text."""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        (project / "tests" / "test_shop.py").write_text(HEAD + dedent(text))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ETLCTL_CONN")}
        plugins = [word for name in ("cacheprovider", "xdist", "hypothesispytest") for word in ("-p", f"no:{name}")]
        command = [sys.executable, "-P", "-W", "error", "-m", "pytest", "-q", *plugins]
        return subprocess.run(command, cwd=project, env=kept, capture_output=True, text=True, check=False, timeout=280)

    return run


def passes(done: subprocess.CompletedProcess[str], number: int) -> None:
    """So many tests passed, and none did anything else."""
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    assert done.returncode == 0 and last.startswith(f"{number} passed in"), done.stdout + done.stderr


def test_etl_runs_one_task_with_its_requirements_given(tested: Tested) -> None:
    """Texts become files, rows become tables with the columns that the class declares; nothing required runs."""
    passes(
        tested(
            """
            def test_a_file(etl: Project) -> None:
                done = etl.run(LoadSales(DAY), given={SalesFile: "order_id,product,amount,paid\\n1,tea,4.50,true\\n"})
                assert done.rows == 1
                etl.assert_rows(
                    "sales", [{"date": DAY, "order_id": 1, "product": "tea", "amount": Decimal("4.5"), "paid": True}]
                )
                etl.assert_rows("sales", [{"amount": 4.50, "date": "2026-11-21"}])

            def test_rows_of_tables(etl: Project) -> None:
                etl.run(KindSales(DAY), given={LoadSales(DAY): SALES, Products: PRODUCTS})
                etl.assert_rows("kind_sales", [
                    {"date": DAY, "kind": "things", "amount": 9},
                    {"date": DAY, "kind": "leaves", "amount": 4.5},
                ])
                assert LoadSales(DAY).complete() and Products().complete()
                assert not (etl.folder / "data").exists()

            def test_the_same_again_is_up_to_date(etl: Project) -> None:
                given = {LoadSales: SALES, Products: PRODUCTS}
                assert etl.run(KindSales(DAY), given=given).status == "OK"
                assert etl.run(KindSales(DAY), given=given).status == "UPTODATE"
                assert etl.run(KindSales(dt.date(2026, 11, 22)), given=given).rows == 2
                with pytest.raises(Exception, match="was given other rows before"):
                    etl.run(KindSales(DAY), given={LoadSales: SALES[:1]})

            def test_rows_of_a_query_and_of_a_file(etl: Project) -> None:
                etl.run(Report(DAY), given={KindSales: [{"date": DAY, "kind": "tea, black", "amount": 4.5}]})
                assert etl.read(f"reports/{DAY}.csv.gz") == 'kind,amount\\n"tea, black",4.5\\n'
                row = {"order_id": 7, "product": "a,b", "amount": 1, "paid": False}
                etl.run(LoadSales(DAY), given={SalesFile: [row]})
                etl.assert_rows("sales", [{"order_id": 7, "product": "a,b", "paid": False}])

            def test_marked_done(etl: Project) -> None:
                with pytest.raises(TaskFailed, match="no such table: grown"):
                    etl.run(Growing(), given={Made: None})
                assert Made().complete()

            def test_marks_do_not_outlive_the_test(etl: Project) -> None:
                assert not Made().complete()

            def test_what_run_yields(etl: Project) -> None:
                etl.run(Yielding(), given={SalesFile(DAY): "abc"})
                assert etl.read("out/yielded.txt") == "ABC"

            def test_nothing_given(etl: Project) -> None:
                with pytest.raises(Exception, match="KindSales.2026-11-21. requires LoadSales.*nothing was given"):
                    etl.run(KindSales(DAY), given={Products: PRODUCTS})

            def test_given_and_not_required(etl: Project) -> None:
                with pytest.raises(Exception, match="does not require SalesFile.*It requires: LoadSales, Products"):
                    etl.run(KindSales(DAY), given={SalesFile: "x"})

            def test_a_column_there_is_none_of(etl: Project) -> None:
                with pytest.raises(Exception, match="no column ammount. Did you mean 'amount'"):
                    etl.run(KindSales(DAY), given={LoadSales: [{"ammount": 1}], Products: []})

            def test_rows_for_a_requirement_without_rows(etl: Project) -> None:
                etl.run(KindSales(DAY), given={LoadSales: [], Products: []})
                etl.assert_rows("kind_sales", [])
            """
        ),
        11,
    )


def test_etl_has_nothing_of_the_project_but_its_code(tested: Tested, project: Path) -> None:
    """Another folder and other databases for each test, no secret of the settings is asked for, no S3 is reached."""
    before = sorted(project.rglob("*"))

    passes(
        tested(
            """
            def test_first(etl: Project, tmp_path) -> None:
                etl.write("data/2026-11-21.csv", "order_id,product,amount,paid\\n1,tea,4.50,true\\n")
                assert etl.build(LoadSales(DAY)) and build([LoadSales(DAY)])
                assert len(etl.rows("sales")) == 1
                open("left.txt", "w").close()
                assert (etl.folder / "left.txt").exists()

            def test_second(etl: Project) -> None:
                assert not LoadSales(DAY).complete()
                assert not (etl.folder / "left.txt").exists()
                etl.copy("data")
                assert etl.read("data/real.csv") == "of the real project\\n"
                with pytest.raises(Exception, match="has no data/rael.csv. Did you mean 'real.csv'"):
                    etl.copy("data/rael.csv")
                with pytest.raises(Exception, match="is no file of the test's project"):
                    etl.write("../out.txt", "x")

            def test_other_connections_and_s3(etl: Project) -> None:
                assert "env:" not in etl.settings.connections["far"].shown_url
                assert etl.build(FromS3()).exit_code == 4
                with pytest.raises(Exception, match="there is no S3 in this test: give None, or name a server"):
                    etl.run(FromS3(), given={OnS3: "x"})
                etl.run(FromS3(), given={OnS3: None})
            """
        ),
        3,
    )
    left = [path for path in sorted(project.rglob("*")) if path not in before and "__pycache__" not in str(path)]
    assert [path.name for path in left] == ["test_shop.py"]


def test_etl_freezes_the_day_of_the_projects_modules(tested: Tested) -> None:
    """However they imported it; defaults and date words follow; the test's own modules keep the real day."""
    passes(
        tested(
            """
            def test_defaults(etl: Project) -> None:
                assert etl.freeze("2026-03-01") == dt.date(2026, 3, 1) == etl.today
                assert SalesFile().date == dt.date(2026, 2, 28)
                assert Stamped().day == dt.date(2026, 3, 1)
                etl.run(Stamped())
                assert etl.read("stamps/2026-03-01.txt") == "2026-03-01 12:00 UTC 2026-03-01"

            def test_again_and_to_the_minute(etl: Project) -> None:
                etl.freeze(dt.date(2025, 1, 1))
                etl.freeze(dt.datetime(2026, 11, 22, 23, 59))
                assert SalesFile().date == DAY
                etl.run(Stamped())
                assert etl.read("stamps/2026-11-22.txt").startswith("2026-11-22 23:59 ")

            def test_words(etl: Project) -> None:
                etl.freeze("2026-11-22")
                assert etl.task(LoadSales, date="yesterday") == LoadSales(DAY)
                assert etl.task("LoadSales", date="-1d") == LoadSales(DAY)
                assert [one.date.day for one in etl.tasks(LoadSales, date="-6d..yesterday")] == [16, 17, 18, 19, 20, 21]
                assert etl.task(Yielding, number="3").number == 3
                with pytest.raises(Exception, match="LoadSales.date: 'yesterdy'.*did you mean 'yesterday'"):
                    etl.task(LoadSales, date="yesterdy")
                with pytest.raises(Exception, match="2 tasks are meant"):
                    etl.task(LoadSales, date="-1d..today")

            def test_the_real_day_is_back(etl: Project) -> None:
                assert SalesFile().date != DAY
                assert Stamped().day == dt.date.today() == etl.today
            """
        ),
        4,
    )


def test_etl_says_what_is_wrong(tested: Tested) -> None:
    """A failing task with its reason and its own error; rows that differ, as a table; what a second run changed."""
    done = tested(
        """
        TWICE = "order_id,product,amount,paid\\n4,tea,4.50,true\\n4,tea,4.50,true\\n"

        def test_failure(etl: Project) -> None:
            result = etl.failure_of(LoadSales(DAY), given={SalesFile: TWICE})
            assert "check unique(order_id): 1 duplicate key" in result.reason
            with pytest.raises(TaskFailed, match="was to fail, and it ended well: OK"):
                etl.failure_of(LoadSales(DAY), given={SalesFile: "order_id,product,amount,paid\\n4,tea,4.50,true\\n"})

        def test_repeatable(etl: Project) -> None:
            etl.assert_repeatable(KindSales(DAY), given={LoadSales: SALES, Products: PRODUCTS})
            etl.assert_repeatable(Report(DAY))

        def test_shown_failure(etl: Project) -> None:
            etl.run(LoadSales(DAY), given={SalesFile: TWICE})

        def test_shown_rows(etl: Project) -> None:
            etl.run(KindSales(DAY), given={LoadSales: SALES, Products: PRODUCTS})
            etl.assert_rows("kind_sales", [{"kind": "things", "amount": 9}, {"kind": "leaves", "amount": 4.75}])

        def test_shown_column(etl: Project) -> None:
            etl.run(KindSales(DAY), given={LoadSales: SALES, Products: PRODUCTS})
            etl.assert_rows("kind_sales", [{"kid": "things"}])

        def test_shown_change(etl: Project) -> None:
            etl.run(KindSales(DAY), given={LoadSales: SALES, Products: PRODUCTS})
            Stamped.complete = lambda self: False
            Stamped.output = lambda self: LocalTarget("stamps/one.txt")
            etl.freeze("2026-01-01")
            run = Stamped.run
            def ticking(self):
                etl.freeze(etl.today + dt.timedelta(days=1))
                return run(self)
            Stamped.run = ticking
            etl.assert_repeatable(Stamped())
        """
    )
    said = done.stdout

    assert said.strip().splitlines()[-1].startswith("4 failed, 2 passed"), said + done.stderr
    assert "FAIL  LoadSales(2026-11-21)" in said
    assert "check unique(order_id): 1 duplicate key: 4 ×2" in said
    assert "kind_sales has not the rows that were expected: 1 missing (-), 1 too many (+), 1 as expected" in said
    assert "E         kind    amount" in said
    assert "E       - leaves  4.75" in said
    assert "E       + leaves  4.5" in said
    assert "kind_sales has no column kid. Did you mean 'kind'? It has: date, kind, amount." in said
    assert "running it again changed" in said and "file stamps/one.txt" in said


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_etl_takes_a_real_server_where_told(
    kind: str, request: pytest.FixtureRequest, tested: Tested, project: Path
) -> None:
    """A schema (MySQL: a database) of each test's own, which is gone afterwards; the same rows compare equal."""
    url: str = request.getfixturevalue("postgres_url" if kind == "postgresql" else "mysql_url")
    (project / "tests" / "conftest.py").write_text(
        "import pytest\nfrom etlctl.testing import Setup\n\n\n@pytest.fixture\ndef etl_setup():\n"
        f"    return Setup(connections={{'warehouse': {url!r}}})\n"
    )
    names = "schema_name FROM information_schema.schemata WHERE schema_name LIKE 'etl\\\\_test\\\\_%'"

    passes(
        tested(
            f"""
            def test_there(etl: Project) -> None:
                etl.run(KindSales(DAY), given={{LoadSales: SALES, Products: PRODUCTS}})
                etl.assert_rows("kind_sales", [
                    {{"date": DAY, "kind": "things", "amount": 9}}, {{"date": DAY, "kind": "leaves", "amount": 4.5}}
                ])
                etl.assert_repeatable(KindSales(DAY))
                assert len(etl.rows("SELECT {names}")) == 1

            def test_alone(etl: Project) -> None:
                assert not KindSales(DAY).complete()
                assert len(etl.rows("SELECT {names}")) == 1
            """
        ),
        2,
    )

    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.connect() as connection:
        assert connection.execute(sa.text(f"SELECT {names}".replace("\\\\", "\\"))).all() == []
    engine.dispose()


def test_etl_takes_an_s3_where_told(tested: Tested, project: Path, s3_server: S3Service, bucket: str) -> None:
    """A text becomes the object that is required."""
    (project / "tests" / "conftest.py").write_text(
        "import pytest\nfrom etlctl.testing import Setup\n\n\n@pytest.fixture\ndef etl_setup():\n"
        f"    return Setup(s3_endpoint={s3_server.url!r})\n"
    )

    passes(
        tested(
            f"""
            def test_it(etl: Project) -> None:
                OnS3.output = lambda self: S3Target("s3://{bucket}/file.csv")
                etl.run(FromS3(), given={{OnS3: "abc"}})
                with OnS3().output().open() as file:
                    assert file.read() == "abc"
            """
        ),
        1,
    )


def test_etl_refuses_a_connection_there_is_none_of(tested: Tested, project: Path) -> None:
    """A sentence, before any test runs on the wrong database; and one for what has no place for tests."""
    (project / "tests" / "conftest.py").write_text(
        "import pytest\nfrom etlctl.testing import Setup\n\n\n@pytest.fixture(params=['warehuose', 'warehouse'])\n"
        "def etl_setup(request):\n    return Setup(connections={request.param: 'oracle://h/d'})\n"
    )

    done = tested("def test_it(etl: Project) -> None:\n    pass\n")

    assert "names the connection 'warehuose'. Did you mean 'warehouse'" in done.stdout
    assert "not on oracle" in done.stdout
    assert "2 errors" in done.stdout
