"""The demo's pipelines on a Dask cluster: the same rows and markers as in one process, whatever becomes of workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dask_servers import DaskServers

_REPOSITORY = Path(__file__).resolve().parents[3]
_DAYS = ("build", "Day", "--date", "2013-01-01..2013-01-04")
_TABLES = ("flights", "weather", "carrier_delays", "weather_delays", "airlines", "airports", "planes")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What one process makes of it."""
    folder = _demo(tmp_path_factory.mktemp("one-process"))
    done = subprocess.run(_command(*_DAYS), cwd=folder, env=_variables(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return _held(folder)


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A copy of the repository's pipelines, settings and data."""
    return _demo(tmp_path / "demo")


def _demo(folder: Path) -> Path:
    for name in ("pipelines", "config"):
        shutil.copytree(_REPOSITORY / name, folder / name)
    (folder / "data").symlink_to(_REPOSITORY / "data")
    return folder


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "etlctl", *words]


def _variables(address: str | None = None) -> dict[str, str]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("ETLCTL_", "DASK_"))}
    return variables if address is None else variables | {"ETLCTL_EXECUTORS_DASK_ADDRESS": address}


def _built(folder: Path, address: str | None, *words: str) -> subprocess.CompletedProcess[str]:
    command = _command("build", *words, "--executor", "dask")
    return subprocess.run(command, cwd=folder, env=_variables(address), capture_output=True, text=True, timeout=300)


def _held(folder: Path) -> dict[str, list[Any]]:
    """All rows of all tables, and the markers without what differs from run to run."""
    with closing(sqlite3.connect(folder / ".etlctl" / "warehouse.db")) as connection:
        found = {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in _TABLES}
        markers = "SELECT update_id, target_table, row_count, state FROM table_updates ORDER BY 1, 2"
        return found | {"markers": connection.execute(markers).fetchall()}


@pytest.mark.long
def test_demo_on_dask_makes_what_one_process_makes(
    demo: Path, dask_servers: DaskServers, expected: dict[str, list[Any]]
) -> None:
    """Every row and every marker; nothing on the screen that is not ours; a second build has nothing to do."""
    done = _built(demo, dask_servers.address, *_DAYS[1:])

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert _held(demo) == expected
    again = _built(demo, "tcp://127.0.0.1:1", *_DAYS[1:])  # which nobody asks
    assert again.returncode == 0 and "nothing to do" in again.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc who has the database open")
def test_demo_on_dask_is_the_same_when_workers_are_killed_in_the_middle(
    demo: Path, dask_servers: DaskServers, expected: dict[str, list[Any]]
) -> None:
    """kill -9 of the worker that a load runs on, twice; each marker is there once, and no row is twice or missing."""
    command = _command(*_DAYS, "--executor", "dask")
    killed: set[int] = set()
    with subprocess.Popen(
        command,
        cwd=demo,
        env=_variables(dask_servers.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as build:
        until = time.monotonic() + 60
        while build.poll() is None and len(killed) < 2 and time.monotonic() < until:
            for pid in _writers(demo / ".etlctl" / "warehouse.db") - {build.pid} - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                break
            time.sleep(0.02)
        said, _ = build.communicate(timeout=280)

    assert len(killed) == 2
    assert build.returncode == 0, said
    assert _held(demo) == expected


_NOTES = """
import os
import subprocess
from etlctl import IntParameter, LocalTarget, Task, WrapperTask

class Note(Task):
    number = IntParameter()

    def output(self):
        return LocalTarget(f"notes/{self.number}")

    def run(self):
        print("a worker's own words")
        subprocess.run(["echo", "a program's words"])
        if DIES and self.number == 3 and not os.path.exists("died"):
            open("died", "w").close()
            os._exit(1)
        with self.output().open("w") as file:
            file.write(f"VERSION {os.getpid()}")

class Notes(WrapperTask):
    first = IntParameter()

    def requires(self):
        return [Note(number) for number in range(self.first, self.first + 6)]
"""


def _note(folder: Path, number: int) -> tuple[str, int]:
    version, pid = (folder / "notes" / str(number)).read_text().split()
    return version, int(pid)


@pytest.mark.long
def test_project_on_dask_follows_its_files(demo: Path, dask_servers: DaskServers) -> None:
    """Workers that have run an older version of a pipeline run the new one in the next build."""
    source = _NOTES.replace("DIES", "False")
    for first, version in ((0, "old"), (10, "new-and-longer")):
        (demo / "pipelines" / "notes.py").write_text(source.replace("VERSION", version))

        done = _built(demo, dask_servers.address, "Notes", "--first", str(first))

        assert done.returncode == 0, done.stdout + done.stderr
        assert {_note(demo, number)[0] for number in range(first, first + 6)} == {version}


@pytest.mark.long
def test_cluster_of_the_builds_own_leaves_nothing_behind(tmp_path: Path) -> None:
    """No address: workers of this machine for the build; one that a task kills is replaced; all end with it."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "notes.py").write_text(_NOTES.replace("DIES", "True"))

    done = _built(tmp_path, None, "Notes", "--first", "0", "-j", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "words" not in done.stdout
    assert (tmp_path / "died").exists()
    pids = {_note(tmp_path, number)[1] for number in range(6)}
    assert 1 <= len(pids) <= 3
    until = time.monotonic() + 30
    while any(_is_there(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(_is_there(pid) for pid in pids)


_DEATHS = """
import ctypes
import os
import signal
from etlctl import IntParameter, LocalTarget, StrParameter, Task, WrapperTask

class Good(Task):
    number = IntParameter()

    def output(self):
        return LocalTarget(f"good/{self.number}")

    def run(self):
        with self.output().open("w") as file:
            file.write("done")

class Bad(Task):
    how = StrParameter()

    def run(self):
        with open(f"{FOLDER!r}/tries-{self.how}", "a") as file:
            file.write("x")
        if self.how == "exits":
            os._exit(0)
        if self.how == "crashes":
            ctypes.string_at(0)
        os.kill(os.getpid(), signal.SIGKILL)

class All(WrapperTask):
    def requires(self):
        good = [Good(number) for number in range(12)]
        return [*good[:2], Bad("exits"), *good[2:4], Bad("is killed"), Bad("crashes"), *good[4:]]
"""


@pytest.mark.long
@pytest.mark.parametrize(("kind", "deaths"), [("own", 2), ("scheduler and two workers", 3)])
def test_tasks_that_kill_their_workers_fail_alone_on_dask(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, deaths: int
) -> None:
    """Three of fifteen, each in its own way, after a bounded number of tries; the others are done, exit code 1."""
    address = None if kind == "own" else request.getfixturevalue("dask_servers").address
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "deaths.py").write_text(_DEATHS.replace("{FOLDER!r}", str(tmp_path)))

    done = _built(tmp_path, address, "All", "-j", "2", "--json")

    assert done.returncode == 1, done.stdout + done.stderr
    results = {one["label"]: one for one in json.loads(done.stdout)["tasks"]}
    bad = {label: one for label, one in results.items() if label.startswith("Bad")}
    assert {one["status"] for one in bad.values()} == {"FAIL"}
    assert all(one["reason"].startswith(f"{deaths} workers died at it") for one in bad.values()), bad
    assert {one["status"] for label, one in results.items() if label.startswith("Good")} == {"OK"}
    assert len(results) == 16
    tries = [len((tmp_path / f"tries-{how}").read_text()) for how in ("exits", "is killed", "crashes")]
    assert all(deaths <= count <= deaths + (kind != "own") for count in tries), tries  # Dask may have been quicker


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _writers(database: Path) -> set[int]:
    """Processes that have the journal of a SQLite file open: a transaction of theirs is in the middle."""
    names = {f"{database}{ending}" for ending in ("-journal", "-wal", "")}
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                opened = {os.readlink(one) for one in (process / "fd").iterdir()}
            except OSError:  # it has ended, or is another user's
                continue
            if names & opened:
                found.add(int(process.name))
    return found
