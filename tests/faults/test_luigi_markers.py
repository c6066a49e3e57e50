"""Marker tables as real Luigi left them: etlctl finds its loads done, and leaves Luigi able to read and write.

The SQL files are what tools/check_luigi.py recorded; that tool asks real Luigi the same questions, which needs its
packages and so the network.
"""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import pytest

from cli.project import Project
from torture.places import Place, place_for

RECORDS = Path(__file__).parent / "luigi_markers"
ASKS = "SELECT 1 FROM table_updates WHERE update_id = %s"
"""What contrib.postgres and contrib.mysqldb ask; contrib.sqla adds the table."""
WRITES = {
    "postgres": "INSERT INTO table_updates (update_id, target_table) VALUES (%s, %s)",
    "mysqldb": (
        "INSERT INTO table_updates (update_id, target_table) VALUES (%s, %s) "
        "ON DUPLICATE KEY UPDATE update_id = VALUES(update_id)"
    ),
    "sqla": "INSERT INTO table_updates (update_id, target_table, inserted) VALUES (%s, %s, CURRENT_TIMESTAMP)",
}
IDS = {
    "2013-01-01": "LoadFlights_2013_01_01_2ebbba1c41",
    "2013-01-02": "LoadFlights_2013_01_02_17bd775219",
    "2013-01-03": "LoadFlights_2013_01_03_11fdea07d3",
    "2013-01-04": "LoadFlights_2013_01_04_986b45e151",
}
"""The task_ids that Luigi made of these days."""
FLOWS = (RECORDS / "load_flights.py").read_text()


@pytest.fixture(params=sorted(path.stem for path in RECORDS.glob("*.sql")))
def luigis(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Place, Project]:
    """The contrib module, a database as it left it, and a project of etlctl on that."""
    contrib, _, kind = request.param.partition("-")
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "mysql": "mysql_url"}[kind]
    place = place_for(request.getfixturevalue(fixture), tmp_path / "place")
    with contextlib.closing(place.connect()) as connection:
        for statement in (RECORDS / f"{request.param}.sql").read_text().split(";\n"):
            lines = [line for line in statement.splitlines() if not line.startswith("--")]
            if lines:
                place.ask(connection, "\n".join(lines))
        connection.commit()
    project = Project(tmp_path / "project", f"flows_{secrets.token_hex(4)}")
    settings = f'[pipelines]\npath = "{project.package}"\n[connections.warehouse]\nurl = "{place.url}"\n'
    project.write("config/etlctl.toml", settings)
    project.pipeline(FLOWS)
    return contrib, place, project


def test_what_luigi_loaded_is_done_and_luigi_goes_on(luigis: tuple[str, Place, Project]) -> None:
    """Nothing to run after Luigi's loads; after ours Luigi's questions find all of them, and its inserts are taken."""
    contrib, place, project = luigis

    assert to_run(project, "2013-01-01..2013-01-02") == 0
    assert columns_of(place) == luigis_columns(contrib)  # a look changes nothing

    assert project.run("build", "LoadFlights", "--date", "2013-01-01..2013-01-03").code == 0
    assert rows_by_day(place) == {"2013-01-01": 2, "2013-01-02": 2, "2013-01-03": 2}
    assert luigi_finds(place, contrib) == ["2013-01-01", "2013-01-02", "2013-01-03"]

    luigi_writes(place, contrib, "2013-01-04")
    assert luigi_finds(place, contrib) == list(IDS)
    assert to_run(project, "2013-01-01..2013-01-04") == 0


def to_run(project: Project, days: str) -> int:
    return int(project.run("plan", "LoadFlights", "--date", days, "--json").json["counts"]["run"])


def luigi_finds(place: Place, contrib: str) -> list[str]:
    """The days whose marker Luigi's own question finds."""
    query = ASKS + (" AND target_table = %s" if contrib == "sqla" else "")
    more = ("flights",) if contrib == "sqla" else ()
    with contextlib.closing(place.connect()) as connection:
        return [day for day, update_id in IDS.items() if place.ask(connection, query, update_id, *more)]


def luigi_writes(place: Place, contrib: str, day: str) -> None:
    with contextlib.closing(place.connect()) as connection:
        place.ask(connection, WRITES[contrib], IDS[day], "flights")
        connection.commit()


def columns_of(place: Place) -> list[str]:
    with contextlib.closing(place.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT * FROM table_updates")
        return [column[0] for column in cursor.description]


def luigis_columns(contrib: str) -> list[str]:
    own = ["update_id", "target_table", "inserted"]
    return ["id", *own] if contrib == "mysqldb" else own


def rows_by_day(place: Place) -> dict[str, int]:
    with contextlib.closing(place.connect()) as connection:
        found = place.ask(connection, "SELECT date, count(*) FROM flights GROUP BY date ORDER BY date")
    return {str(day): int(rows) for day, rows in found}
