"""Users' tests that use `etlctl.testing` pass mypy --strict, and their mistakes are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
import datetime as dt

import pytest

from etlctl import DateParameter, ExternalTask, LoadTable, LocalTarget
from etlctl.testing import Content, Given, Project, Setup, TaskFailed


class SalesFile(ExternalTask):
    date = DateParameter()


class LoadSales(LoadTable):
    date = DateParameter()


DAY = dt.date(2026, 11, 21)
GIVEN = {SalesFile: "order_id\\n1\\n"}
ROWS = [{"order_id": 1, "product": "tea"}]
BOTH: Given = {SalesFile(DAY): ROWS, LoadSales: None}


@pytest.fixture
def etl_setup() -> Setup:
    return Setup(connections={"warehouse": "postgresql://localhost/test"})


def test_it(etl: Project) -> None:
    day: dt.date = etl.freeze("2026-11-22")
    rows: int | None = etl.run(LoadSales(day), given=GIVEN).rows
    etl.run(LoadSales(DAY), given=BOTH)
    etl.run(etl.task(LoadSales, date="yesterday"), given={SalesFile: ROWS})
    etl.assert_rows("sales", ROWS)
    etl.assert_repeatable(LoadSales(DAY))
    with pytest.raises(TaskFailed):
        reason: str = etl.failure_of(LoadSales(DAY)).reason
"""
BAD = """
from etlctl.testing import Project


def test_it(etl: Project) -> None:
    etl.run("LoadSales")
    etl.assert_row("sales", [])
    etl.assert_rows("sales", 5)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)  # mypy reads all of etlctl and pytest, without a cache
def test_a_users_tests_are_typed(tmp_path: Path) -> None:
    """No error in the one, one in each line that is wrong in the other."""
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "good.py", "bad.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    lines = [line.split(": error:")[0] for line in done.stdout.splitlines() if ": error:" in line]
    assert lines == ["bad.py:6", "bad.py:7", "bad.py:8"], done.stdout + done.stderr
