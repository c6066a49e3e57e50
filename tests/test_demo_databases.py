"""The demo built by `--profile postgres` and `--profile mysql`: the same tables, row by row, as on SQLite."""

from __future__ import annotations

import csv
import datetime as dt
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

REPOSITORY = Path(__file__).resolve().parent.parent
TABLES = ("airlines", "airports", "planes", "flights", "weather", "carrier_delays", "weather_delays")
MARKER_COLUMNS = ("update_id", "target_table", "state", "row_count", "update_key")
DAYS = ("build", "Day", "--date", "2013-01-01..2013-01-04")
BLOCKED = ("build", "Day", "--date", "2013-12-31")
VARIABLES = {"postgres": "DEMO_POSTGRES_URL", "mysql": "DEMO_MYSQL_URL"}


def etlctl(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "etlctl", *words]
    environ = {name: text for name, text in os.environ.items() if name not in VARIABLES.values()} | variables
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environ)


def project(folder: Path) -> Path:
    """A copy of what the repository has, the small tables and a few days of the data with it."""
    for name in ("pipelines", "config"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copytree(REPOSITORY / "data", folder / "data")
    return folder


def built(folder: Path, *options: str, **variables: str) -> Path:
    """The demo's days built; the last one of the year waits for its weather."""
    done = etlctl(folder, *DAYS, *options, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    blocked = etlctl(folder, *BLOCKED, *options, **variables)
    assert blocked.returncode == 3, blocked.stdout + blocked.stderr
    return folder


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the others are compared with."""
    return built(project(tmp_path_factory.mktemp("sqlite")))


@pytest.fixture(params=["postgres", "mysql"])
def server(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A profile of config/etlctl.toml and the URL of a new database for it."""
    fixtures = {"postgres": "postgres_url", "mysql": "mysql_url"}
    return request.param, request.getfixturevalue(fixtures[request.param])


def test_demo_on_a_server_has_the_rows_of_sqlite(on_sqlite: Path, tmp_path: Path, server: tuple[str, str]) -> None:
    """Every table row by row, computed numbers to four decimals, and every marker; a second build has nothing to do."""
    profile, url = server
    folder = project(tmp_path)

    built(folder, "--profile", profile, **{VARIABLES[profile]: url})
    again = etlctl(folder, *DAYS, "--profile", profile, **{VARIABLES[profile]: url})

    with _connected(f"sqlite:///{on_sqlite}/.etlctl/warehouse.db") as ours, _connected(url) as theirs:
        for table in TABLES:
            assert _rows(theirs, table) == _rows(ours, table), table
        assert _markers(theirs) == _markers(ours)
    assert again.returncode == 0 and "nothing to do" in again.stdout
    assert not (folder / ".etlctl" / "warehouse.db").exists()


@pytest.mark.slow
def test_report_from_a_server_is_that_of_sqlite(tmp_path: Path, server: tuple[str, str]) -> None:
    """January's report: a query over all days, dumped to the same file."""
    profile, url = server
    words = ("build", "MonthlyReport", "--month", "2013-01")
    reports = []
    for name, options, variables in (("a", (), {}), ("b", ("--profile", profile), {VARIABLES[profile]: url})):
        (tmp_path / name).mkdir()
        folder = project(tmp_path / name)
        done = etlctl(folder, *words, *options, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        with (folder / "reports" / "2013-01.csv").open(newline="") as lines:
            reports.append([[_as_number(cell) for cell in row] for row in csv.reader(lines)])

    assert reports[1] == reports[0]
    assert len(reports[0]) == 17


@pytest.mark.parametrize("profile", VARIABLES)
@pytest.mark.parametrize("value", [None, ""])
def test_profile_whose_variable_is_not_set_names_it(tmp_path: Path, profile: str, value: str | None) -> None:
    """Exit 2, before anything is written: which setting needs which variable."""
    folder = project(tmp_path)
    variables = {} if value is None else {VARIABLES[profile]: value}

    done = etlctl(folder, *DAYS, "--profile", profile, **variables)

    assert done.returncode == 2
    assert f"'connections.warehouse.url' needs the environment variable {VARIABLES[profile]}, which is" in done.stderr
    assert f"config/etlctl.toml:{_line_of(VARIABLES[profile])} (profile {profile})" in done.stderr
    assert not (folder / ".etlctl").exists()


def _line_of(variable: str) -> int:
    lines = (REPOSITORY / "config" / "etlctl.toml").read_text(encoding="utf-8").splitlines()
    return 1 + next(number for number, line in enumerate(lines) if f'"env:{variable}"' in line)


def _connected(url: str) -> Any:
    """A connection by an engine that knows nothing of etlctl."""
    url = url.replace("postgresql:", "postgresql+psycopg2:")  # SQLAlchemy's own choice is another driver
    return sa.create_engine(url, poolclass=sa.NullPool).connect()


def _rows(connection: sa.Connection, table: str) -> list[tuple[Any, ...]]:
    """All rows, sorted, in a form that is the same for one value on every database."""
    found = connection.exec_driver_sql(f"SELECT * FROM {table}")
    names = [name.lower() for name in found.keys()]  # noqa: SIM118  a result is no mapping
    return [tuple(names), *sorted((tuple(map(_plain, row)) for row in found), key=repr)]


def _markers(connection: sa.Connection) -> list[tuple[Any, ...]]:
    found = connection.exec_driver_sql(f"SELECT {', '.join(MARKER_COLUMNS)} FROM table_updates")
    return sorted(tuple(row) for row in found)


def _plain(value: Any) -> Any:
    """Instants and dates as ISO text, numbers to four decimals."""
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, int | float | Decimal):
        return round(float(value), 4)
    return value


def _as_number(text: str) -> Any:
    try:
        return round(float(text), 4)
    except ValueError:
        return text
