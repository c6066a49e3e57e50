"""The demo pipeline on the committed data: every row once, a second build with nothing to do, a day that is blocked."""

from __future__ import annotations

import csv
import gzip
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DAYS = [f"2013-01-{day:02}" for day in range(1, 32)]
JANUARY = ("build", "Day", "MonthlyReport", "--date", "2013-01-01..2013-01-31", "--month", "2013-01")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's pipelines, settings and data, January built."""
    folder = tmp_path_factory.mktemp("demo")
    for name in ("pipelines", "config", "data"):
        shutil.copytree(REPOSITORY / name, folder / name)
    done = etlctl(folder, *JANUARY)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def etlctl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "etlctl", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def asked(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / ".etlctl" / "warehouse.db")) as connection:
        return connection.execute(query).fetchall()


def file_rows(path: Path) -> int:
    """Rows counted without any code of etlctl."""
    opening = gzip.open if path.suffix == ".gz" else open
    with opening(path, "rt", newline="") as lines:
        return sum(1 for _ in csv.DictReader(lines))


def test_demo_loads_every_row_of_every_file_once(demo: Path) -> None:
    """Per day and per small table, the warehouse holds as many rows as the committed file."""
    flights = dict(asked(demo, "SELECT date, count(*) FROM flights GROUP BY date"))
    weather = dict(asked(demo, "SELECT date, count(*) FROM weather GROUP BY date"))

    assert flights == {day: file_rows(REPOSITORY / f"data/flights/{day}.csv.gz") for day in DAYS}
    assert weather == {day: file_rows(REPOSITORY / f"data/weather/{day}.csv.gz") for day in DAYS}
    assert asked(demo, "SELECT count(*) FROM airlines") == [(file_rows(REPOSITORY / "data/airlines.csv"),)]
    assert asked(demo, "SELECT count(*) FROM airports") == [(file_rows(REPOSITORY / "data/airports.csv"),)]
    assert asked(demo, "SELECT count(*) FROM planes") == [(file_rows(REPOSITORY / "data/planes.csv.gz"),)]


def test_demo_has_one_marker_for_each_load(demo: Path) -> None:
    """Four loads a day and three small tables, each marker done and with its number of rows."""
    markers = asked(
        demo, "SELECT target_table, count(*), sum(row_count) FROM table_updates WHERE state = 'done' GROUP BY 1"
    )

    daily = dict.fromkeys(("flights", "weather", "carrier_delays", "weather_delays"), 31)
    assert {table: number for table, number, _ in markers} == daily | dict.fromkeys(
        ("airlines", "airports", "planes"), 1
    )
    assert asked(demo, "SELECT count(*) FROM table_updates") == [(3 + 4 * 31,)]
    for table, _, rows in markers:
        query = {name: f"SELECT count(*) FROM {name}" for name, _, _ in markers}[table]
        assert asked(demo, query) == [(rows,)]


def test_demo_sums_and_report_follow_from_the_rows(demo: Path) -> None:
    """Flights of all carriers add up to the flights loaded; the report has one line a carrier, with the same sum."""
    total = sum(file_rows(REPOSITORY / f"data/flights/{day}.csv.gz") for day in DAYS)
    with (demo / "reports" / "2013-01.csv").open(newline="") as lines:
        report = list(csv.DictReader(lines))

    assert asked(demo, "SELECT sum(flights) FROM carrier_delays") == [(total,)]
    assert asked(demo, "SELECT sum(flights) FROM weather_delays") == [(total,)]
    assert sum(int(row["flights"]) for row in report) == total
    assert [(row["carrier"],) for row in sorted(report, key=lambda row: row["carrier"])] == asked(
        demo, "SELECT DISTINCT carrier FROM flights ORDER BY 1"
    )


def test_demo_built_again_has_nothing_to_do(demo: Path) -> None:
    """Exit 0, nothing run, not a byte of the warehouse changed."""
    before = (demo / ".etlctl" / "warehouse.db").read_bytes()

    again = etlctl(demo, *JANUARY)

    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert (demo / ".etlctl" / "warehouse.db").read_bytes() == before


def test_demo_day_without_weather_is_blocked_and_the_rest_of_it_runs(demo: Path) -> None:
    """2013-12-31: exit 3, the missing file is named, flights and carrier delays are loaded."""
    blocked = etlctl(demo, "build", "Day", "--date", "2013-12-31")

    assert blocked.returncode == 3
    assert "data/weather/2013-12-31.csv.gz is missing" in blocked.stdout
    flights = asked(demo, "SELECT count(*) FROM flights WHERE date = '2013-12-31'")
    assert flights == [(file_rows(REPOSITORY / "data/flights/2013-12-31.csv.gz"),)]
    assert asked(demo, "SELECT count(*) > 0 FROM carrier_delays WHERE date = '2013-12-31'") == [(1,)]
    assert asked(demo, "SELECT count(*) FROM weather_delays WHERE date = '2013-12-31'") == [(0,)]
