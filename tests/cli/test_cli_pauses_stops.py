"""`etlctl pause`, `resume` and `stop`, and what `status`, `build`, `history` and `gc` make of them."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

import pytest

from cli.documents import check
from cli.project import Project, Ran, environment
from etlctl.cli.schemas import SCHEMAS

SLOW = '''
"""A task that waits until it may end, and one behind it."""

import time
from pathlib import Path

from etlctl import LocalTarget, Task


class Slow(Task):
    """Says that it has begun."""

    def output(self):
        return LocalTarget("out/slow.txt")

    def run(self):
        Path("begun").touch()
        until = time.monotonic() + 60
        while not Path("go").exists() and time.monotonic() < until:
            time.sleep(0.02)
        with self.output().open("w") as file:
            file.write("x")


class Behind(Task):
    """Never begins in a run that was stopped."""

    def requires(self):
        return Slow()

    def output(self):
        return LocalTarget("out/behind.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")
'''


def documented(ran: Ran, schema: str) -> Any:
    """The document of a call, which is of `schema`."""
    assert ran.code == 0, ran.err
    assert ran.json["schema"] == schema
    check(ran.json, SCHEMAS[schema])
    return ran.json


# -- pause, resume


def test_pause_and_resume_of_everything_tell_who_and_why(project: Project) -> None:
    paused = project.run("pause", "--reason", "an upgrade")
    again = project.run("status", "Seats")
    resumed = project.run("resume")

    assert paused.code == 0 and paused.err == ""
    assert re.search(r"^ everything +since \d\d:\d\d:\d\d +by \S+@\S+ +an upgrade$", paused.out, re.MULTILINE)
    assert "again: etlctl resume\n" in paused.out
    assert "paused, so that loops begin none of it:\n everything" in again.out
    assert resumed.code == 0 and "RESUMED" in resumed.out and "an upgrade" in resumed.out
    assert "paused" not in project.run("status", "Seats").out


def test_pause_without_tasks_imports_no_pipeline(project: Project) -> None:
    """A warehouse is to be let alone also where the pipelines are broken."""
    project.pipeline("raise RuntimeError('boom')", "broken")

    assert project.run("pause").err == ""
    assert project.run("resume", "--all").err == ""


def test_pause_of_a_family_and_of_single_tasks(project: Project) -> None:
    """The words that pause are the words that resume."""
    project.run("pause", "Delays", "Report", "--reason", "a")
    days = ["Flights", "--date", "2013-01-02..03"]
    single = documented(project.run("pause", *days, "--json"), "etlctl/pause")
    status = documented(project.run("status", "Seats", "--json"), "etlctl/status")
    ended = documented(project.run("resume", *days, "--json"), "etlctl/resume")

    assert [one["label"] for one in single["paused"]] == ["Flights(2013-01-02)", "Flights(2013-01-03)"]
    assert all(re.fullmatch(r"Flights_.*_[0-9a-f]{10}", one["task"]) for one in single["paused"])
    assert [one["label"] for one in status["paused"]] == [
        "Delays",
        "Report",
        "Flights(2013-01-02)",
        "Flights(2013-01-03)",
    ]
    assert ended["resumed"] == single["paused"]
    assert [(one["task"], one["reason"]) for one in ended["paused"]] == [("Delays", "a"), ("Report", "a")]


def test_resume_of_everything_leaves_what_was_paused_by_itself(project: Project) -> None:
    project.run("pause", "Seats", "--reason", "the feed is broken")
    project.run("pause")

    everything = project.run("resume")
    nothing = project.run("resume", "Report")
    all_ = project.run("resume", "--all")
    none = project.run("resume")

    assert "paused all the same:\n Seats" in everything.out
    assert "end them too: etlctl resume --all" in everything.out
    assert " Report was not paused\n" in nothing.out
    assert "the feed is broken" in all_.out and "all the same" not in all_.out
    assert none.code == 0 and " nothing was paused" in none.out


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_pause_of_a_task_that_is_none_names_the_nearest(project: Project, command: str) -> None:
    ran = project.run(command, "Reprot")

    assert ran.code == 2 and "Report" in ran.err
    assert project.run("status", "Seats", "--json").json["paused"] == []


def test_resume_takes_tasks_or_all(project: Project) -> None:
    ran = project.run("resume", "Seats", "--all")

    assert ran.code == 2 and "give TASKs or --all" in ran.err


def test_pause_of_a_profile_holds_there_alone(project: Project) -> None:
    project.write("config/etlctl.toml", f'[pipelines]\npath = "{project.package}"\n[profiles.staging]\n')

    paused = project.run("pause", "--profile", "staging", "--reason", "x")

    assert "again: etlctl resume --profile staging" in paused.out
    assert project.run("status", "Seats", "--json").json["paused"] == []
    assert len(project.run("status", "Seats", "--json", "--profile", "staging").json["paused"]) == 1


def test_build_by_hand_tells_what_is_paused_and_goes_on(project: Project) -> None:
    project.run("pause", "Seats", "--reason", "the plane is painted")

    ran = project.run("build", "Seats")

    assert ran.code == 0
    assert re.search(r"Seats is paused by \S+ since .*: the plane is painted\. Loops heed that", ran.err)
    assert project.run("build", "Seats").err == ""


# -- stop


def begun(project: Project, *words: str) -> subprocess.Popen[str]:
    """A build of a process of its own, at its first task."""
    process = subprocess.Popen(
        [sys.executable, "-m", "etlctl", "build", *words],
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not (project.folder / "begun").exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    return process


def running_id(project: Project) -> str:
    """The id of the run, as soon as the history has it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for run in project.run("history", "--json").json["runs"]:
            if run["status"] == "running":
                return str(run["run_id"])
        time.sleep(0.05)
    raise AssertionError("no run is under way")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_stop_ends_a_run_of_another_process_gently(empty_project: Project, jobs: str) -> None:
    """It hears of it, ends what it is at, exits with 143, and says who asked; history keeps all of it."""
    empty_project.pipeline(SLOW, "slow")
    build = begun(empty_project, "Behind", "-j", jobs)
    run_id = running_id(empty_project)

    asked = documented(empty_project.run("stop", run_id[-4:], "--reason", "an upgrade", "--json"), "etlctl/stop")
    assert build.stderr is not None
    err = ""
    while "stopping when what runs has ended" not in err:
        said = build.stderr.readline()
        assert said, f"it has ended, and heard nothing: {err}"
        err += said
    empty_project.write("go")
    out, _ = build.communicate(timeout=60)

    assert (asked["run_id"], asked["pid"]) == (run_id, build.pid)
    who = f"stopped by {asked['asked']['by']}: an upgrade"
    assert build.returncode == 143, err
    assert f"{who}: stopping when what runs has ended." in err
    assert f"  {who}\n" in out and "next  go on where it stopped" in out
    assert (empty_project.folder / "out/slow.txt").exists()
    assert not (empty_project.folder / "out/behind.txt").exists()
    (run,) = empty_project.run("history", "--json").json["runs"]
    assert (run["status"], run["exit_code"]) == ("interrupted", 143)
    assert who in empty_project.run("history", run_id).out
    ended = empty_project.run("stop", run_id)
    assert ended.code == 2
    assert f"run {run_id} has ended: interrupted, exit 143" in ended.err and "No run is under way." in ended.err


def test_stop_of_a_run_that_was_killed_says_that_it_is_gone(empty_project: Project) -> None:
    empty_project.pipeline(SLOW, "slow")
    build = begun(empty_project, "Slow")
    run_id = running_id(empty_project)
    os.kill(build.pid, signal.SIGKILL)
    build.communicate(timeout=30)

    ran = empty_project.run("stop", run_id)

    assert ran.code == 2
    assert f"run {run_id} ended without a word" in ran.err and "its process is gone" in ran.err


def foreign_run(project: Project, run_id: str, *, silent_s: float = 0) -> None:
    """Puts a run of another host on record."""
    project.run("pause")
    project.run("resume")
    now = time.time() - silent_s
    with sqlite3.connect(project.folder / ".etlctl/state.db") as raw:
        raw.execute(
            "INSERT INTO etlctl_runs (run_id, command, host, user_name, pid, owner, status, started_at, heartbeat_at) "
            "VALUES (?, 'etlctl loop', 'etl-9', 'ann', 77, 'etl-9:0123.1:77:1:ab', 'running', ?, ?)",
            (run_id, now, now),
        )
    raw.close()


def test_stop_of_a_run_elsewhere_asks_it_and_warns_of_a_silent_one(project: Project) -> None:
    foreign_run(project, "20261123T051300-00000000aaaa")

    lively = project.run("stop", "last")
    foreign_run(project, "20261123T051400-00000000bbbb", silent_s=3_600)
    silent = project.run("stop", "20261123T051400-00000000bbbb")
    again = project.run("stop", "20261123T051400-00000000bbbb", "--reason", "once more")

    assert lively.code == silent.code == again.code == 0
    assert "within 2 s ann@etl-9:77 begins nothing more" in lively.out and "last heard of" not in lively.out
    assert "it was last heard of" in silent.out and "may be gone" in silent.out
    assert "once more" not in again.out


def test_stop_of_what_is_no_run_tells_what_is_under_way(project: Project) -> None:
    empty = project.run("stop", "last")
    foreign_run(project, "20261123T051300-00000000aaaa")

    unknown = project.run("stop", "20261123T051300-00000000aaab")
    nothing = project.run("stop")
    failed = project.run("stop", "nonsense", "--json")

    assert empty.code == unknown.code == nothing.code == failed.code == 2
    assert "no run has been written down yet" in empty.err
    assert "Did you mean 20261123T051300-00000000aaaa?" in unknown.err
    assert "needs a RUN. Under way: 20261123T051300-00000000aaaa." in nothing.err
    assert failed.json["schema"] == "etlctl/error"


# -- gc


def test_gc_removes_what_operations_have_left_behind_and_keeps_what_holds(project: Project) -> None:
    project.run("pause", "Seats")
    project.run("pause", "Report")
    project.run("resume", "Report")
    with sqlite3.connect(project.folder / ".etlctl/state.db") as raw:
        raw.execute("UPDATE etlctl_pauses SET paused_at = 1, resumed_at = min(resumed_at, 2)")
        raw.execute("INSERT INTO etlctl_stops VALUES ('r1', 'ann', 1.0, '')")
        raw.execute("INSERT INTO etlctl_alerts VALUES ('old', 1.0), ('new', 9e12)")
        turns = (
            "INSERT INTO etlctl_turns (profile, schedule, number, due, owner, began_at) VALUES ('', 's', ?, 1, 'o', 1)"
        )
        raw.executemany(turns, [(1,), (2,), (3,)])
    raw.close()

    dry = project.run("gc", "--history", "--dry-run", "--json")
    told = project.run("gc", "--history")
    after = project.run("gc", "--history", "--json")

    pruned = documented(dry, "etlctl/gc")["history"]
    assert (pruned["turns"], pruned["stops"], pruned["alerts"], pruned["pauses"]) == (2, 1, 1, 1)
    assert re.search(r"5 × .*turns, stops, alerts and ended pauses older than .*, removed", told.out)
    left = json.loads(after.out)["history"]
    assert (left["turns"], left["stops"], left["alerts"], left["pauses"]) == (0, 0, 0, 0)
    with sqlite3.connect(project.folder / ".etlctl/state.db") as raw:
        assert raw.execute("SELECT task FROM etlctl_pauses").fetchall() == [("Seats",)]
        assert raw.execute("SELECT number FROM etlctl_turns").fetchall() == [(3,)]
        assert raw.execute("SELECT alert_key FROM etlctl_alerts").fetchall() == [("new",)]
    raw.close()
