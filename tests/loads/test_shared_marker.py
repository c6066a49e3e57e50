"""Two different tasks with one marker: the second would pass for loaded without a row of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import etlctl
from etlctl import DateParameter, IntParameter, LoadTable, Status, Task, WrapperTask, unique


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is an empty project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Fixed(LoadTable):
    day = IntParameter()
    table = "fixed"
    update_id = "always the same"
    columns = {"day": "integer"}

    def rows(self) -> Any:
        return [(self.day,)]


class Hourly(LoadTable):
    """An update_id of one's own that differs where the tasks do."""

    hour = IntParameter()
    table = "hourly"
    columns = {"hour": "integer"}

    @property
    def update_id(self) -> Any:
        return f"hour {self.hour}"

    def rows(self) -> Any:
        return [(self.hour,)]


def rows_of(table: str) -> list[Any]:
    connection = sqlite3.connect(".etlctl/warehouse.db")
    try:
        return sorted(
            row[0] for row in connection.execute({"fixed": "SELECT * FROM fixed"}.get(table, "SELECT * FROM hourly"))
        )
    finally:
        connection.close()


def test_build_refuses_the_second_task_of_a_marker_and_loads_the_first() -> None:
    """One of them fails and names the other; never two that say OK with one day's rows. Also when built again."""
    first = etlctl.build([Fixed(1), Fixed(2)])
    again = etlctl.build([Fixed(1), Fixed(2)])

    assert [one.status for one in first.results] == [Status.FAIL, Status.OK]
    assert "Fixed(2) has the same marker as Fixed(1), fixed/always the same" in first.results[0].reason
    assert first.exit_code == again.exit_code == 1
    assert rows_of("fixed") == [1]


def test_build_takes_an_own_update_id_that_differs() -> None:
    """A property that tells the tasks apart is as good as the default."""
    assert etlctl.build([Hourly(1), Hourly(2)])
    assert rows_of("hourly") == [1, 2]


def test_build_takes_one_load_required_twice() -> None:
    """Equal tasks are one task, however often they are made; a task that hands on another's target claims nothing."""

    class Named(Task):
        def requires(self) -> Any:
            return Hourly(1)

        def output(self) -> Any:
            return self.input()

    class Both(WrapperTask):
        def requires(self) -> Any:
            return [Named(), Hourly(1)]

    assert etlctl.build([Both()])


def test_failed_load_says_that_nothing_was_loaded() -> None:
    """Beneath the error: the table, the connection, and that it is as it was."""

    class Doubled(LoadTable):
        day = DateParameter()
        columns = {"n": "integer"}
        checks = [unique("n")]

        def rows(self) -> Any:
            return [(1,), (1,)]

    summary = etlctl.build([Doubled.from_str_params({"day": "2013-01-02"})])

    assert summary.results[0].details == ("doubled on warehouse: nothing was loaded, the table is as it was",)
