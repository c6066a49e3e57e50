"""A build that is killed before its load begins: the next one goes on at once, and the load happens once."""

from __future__ import annotations

import sqlite3
import time

import pytest

from cli.project import Project

PIPELINE = """
    import os
    import signal
    import time
    from pathlib import Path

    from etlctl import LoadTable

    def die_once(moment):
        if moment == "{moment}" and not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    class Load(LoadTable):
        table = "t"
        columns = {{"n": "integer"}}

        def requires(self):
            die_once("asked")
            return []

        def rows(self):
            yield from ([1], [2])

        def run(self):
            time.sleep(0.5)  # its begin is in the history by then
            die_once("claimed")
            super().run()
"""


@pytest.mark.parametrize("moment", ["asked", "claimed"])
def test_a_killed_build_keeps_nobody_waiting(empty_project: Project, moment: str) -> None:
    """F01 before it has claimed the task, F02 behind the claim: its lease is free at once, on the same host."""
    empty_project.pipeline(PIPELINE.format(moment=moment))

    killed = empty_project.spawn("build", "Load")
    began = time.monotonic()
    again = empty_project.spawn("build", "Load")
    took_s = time.monotonic() - began

    assert (killed.code, again.code) == (-9, 0)
    assert took_s < 50  # its lease would live for 60
    with sqlite3.connect(empty_project.folder / ".etlctl/warehouse.db") as warehouse:
        assert warehouse.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]
    with sqlite3.connect(empty_project.folder / ".etlctl/state.db") as state:
        assert state.execute("SELECT DISTINCT state FROM etlctl_leases").fetchall() == [("done",)]
        assert sorted(state.execute("SELECT status FROM etlctl_runs").fetchall())[0] == ("done",)
    assert empty_project.spawn("build", "Load").out.startswith("nothing to do")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_history_tells_what_a_killed_build_had_begun(empty_project: Project, jobs: str) -> None:
    """F02 once more, as `etlctl history` tells it after the next build: killed, and lost; not running for ever."""
    empty_project.pipeline(PIPELINE.format(moment="claimed"))
    died = empty_project.spawn("build", "Load", "-j", jobs)
    empty_project.spawn("build", "Load", "-j", jobs)

    runs = empty_project.spawn("history", "--json").json["runs"]

    expected = {"1": "killed", "2": "failed"}[jobs]  # a worker that dies takes its own task along, not the build
    assert [run["status"] for run in runs] == ["done", expected]
    assert died.code == (-9 if jobs == "1" else 1)
