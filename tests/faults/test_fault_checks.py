"""A check that fails leaves the target as it was, byte for byte, and names what is wrong."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from pathlib import Path

import pytest

from cli.project import Project
from torture.places import Place

FLOWS = """
    from etlctl import DateParameter, LoadTable, append, merge_on, replace, replace_where, unique

    COLUMNS = {"date": "date", "carrier": "varchar(2)", "flight": "integer", "delay": "numeric(6,1)"}

    class Base(LoadTable):
        date = DateParameter()
        table = "flights"
        columns = COLUMNS
        values = {"date": "date"}
        checks = [unique("carrier", "flight")]

        def rows(self):
            day = self.date.day
            yield "UA", day, 1.5
            yield "AA", day, None
            if day > 2:
                yield "UA", day, 7.0
                yield "UA", day, -3.0
                yield "AA", day, 0

    class Appended(Base):
        mode = append

    class Partition(Base):
        mode = replace_where("date")

    class Replaced(Base):
        mode = replace

    class WholeTable(Base):
        mode = append
        checks = [unique("carrier", scope="table")]
"""
DAYS = ("2013-01-01", "2013-01-02")


@pytest.fixture
def project(place: Place, tmp_path: Path) -> Project:
    """Two days are loaded well."""
    found = Project(tmp_path / "project", f"flows_{secrets.token_hex(4)}")
    settings = f'[pipelines]\npath = "{found.package}"\n[connections.warehouse]\nurl = "{place.url}"\n'
    found.write("config/etlctl.toml", settings)
    found.pipeline(FLOWS)
    for day in DAYS:
        assert found.run("build", "Appended", "--date", day).code == 0
    return found


def checksum(place: Place) -> str:
    """Of every row of the target and of the marker table."""
    with contextlib.closing(place.connect()) as connection:
        rows = [place.ask(connection, f"SELECT * FROM {table}") for table in ("flights", "table_updates")]
    return hashlib.sha256(repr([sorted(map(repr, found)) for found in rows]).encode()).hexdigest()


@pytest.mark.parametrize("task", ["Appended", "Partition", "Replaced", "WholeTable"])
def test_failing_unique_check_leaves_the_target_as_it_was(place: Place, project: Project, task: str) -> None:
    """Exit 1, the keys that are there twice, and the same checksum of table and markers as before."""
    before = checksum(place)

    ran = project.run("build", task, "--date", "2013-01-03")

    assert ran.code == 1
    assert checksum(place) == before
    shown = ran.out + ran.err
    assert "unique" in shown and "UA" in shown and "AA" in shown
    assert "Traceback" not in shown


def test_failing_check_of_a_process_leaves_the_target_as_it_was(place: Place, project: Project) -> None:
    """The same of a process of its own."""
    before = checksum(place)

    ran = project.spawn("build", "Partition", "--date", "2013-01-03")

    assert ran.code == 1 and checksum(place) == before
    assert "UA" in ran.out + ran.err
