"""etlctl as a process: exit codes, signals, streams that go away, and what a start imports."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.project import Project, Ran, environment

ENDS = """
from etlctl import DateParameter, ExternalTask, LocalTarget, Task
from etlctl.errors import HeldError, TornLoadError, UnavailableError


class Fine(Task):
    pass


class Failing(Task):
    def run(self):
        raise ValueError("bad data")


class Leaving(Task):
    def run(self):
        raise SystemExit(0)


class Awaited(ExternalTask):
    def output(self):
        return LocalTarget("data/never.csv")


class Unreachable(Task):
    def run(self):
        raise UnavailableError("no database at 127.0.0.1:5432: connection refused")


class Held(Task):
    def run(self):
        raise HeldError("held by loop-7")


class Torn(Task):
    def run(self):
        raise TornLoadError("half committed")
"""

WAITS = """
import time
from pathlib import Path

from etlctl import LocalTarget, Task, requires


class First(Task):
    def output(self):
        return LocalTarget("first.txt")

    def run(self):
        Path("started").touch()
        for _ in range({ticks}):
            time.sleep(0.05)
        with self.output().open("w") as file:
            file.write("x")


@requires(First)
class Second(Task):
    def output(self):
        return LocalTarget("second.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["Fine"], 0),
        (["Failing"], 1),
        (["Leaving"], 1),
        (["Missing"], 2),
        (["Awaited"], 3),
        (["Unreachable"], 4),
        (["Held"], 5),
        (["Torn"], 6),
        (["Failing", "Awaited", "Held"], 1),
        (["Failing", "Unreachable"], 4),
        (["Unreachable", "Torn"], 6),
        (["Awaited", "Held"], 5),
    ],
)
def test_process_exits_with_the_code_of_what_happened(empty_project: Project, words: list[str], code: int) -> None:
    """One code a kind of end; of several the first of 6, 4, 1, 5, 3. Never a traceback."""
    empty_project.pipeline(ENDS)

    ran = empty_project.spawn("build", *words)

    assert ran.code == code, ran
    assert "Traceback" not in ran.out + ran.err


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def interrupted(
    project: Project, number: signal.Signals, times: int, ticks: int = 0, words: str = "Second", pipeline: str = WAITS
) -> Ran:
    """A build of Second (or of First alone), signalled while First runs, or whatever else makes the file `started`."""
    project.pipeline(pipeline.format(ticks=ticks))
    process = subprocess.Popen(
        [sys.executable, "-m", "etlctl", "build", *words.split()],
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    wait_for(project.folder / "started")
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.3)
    out, err = process.communicate(timeout=30)
    return Ran(process.returncode, out, err)


def wait_for(place: Path) -> None:
    """Until the file is there, for ten seconds at most."""
    for _ in range(500):
        if place.exists():
            return
        time.sleep(0.02)
    pytest.fail(f"{place} did not appear")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_first_signal_lets_the_running_task_end(empty_project: Project, number: signal.Signals, code: int) -> None:
    """The running task ends well, nothing else starts, the summary is there."""
    ran = interrupted(empty_project, number, times=1, ticks=20)

    assert ran.code == code, ran
    assert (empty_project.folder / "first.txt").exists()
    assert not (empty_project.folder / "second.txt").exists()
    assert "once more stops it now" in ran.err
    assert "stopped  1 not started" in ran.out
    assert "next  go on where it stopped  etlctl build Second" in ran.out
    assert ran.out.splitlines()[-1].endswith(f"exit {code}")


@pytest.mark.parametrize("jobs", [1, 2])
def test_second_signal_tells_what_was_ended_in_the_middle(empty_project: Project, jobs: int) -> None:
    """The task has not failed, in this process no more than in a worker; what had begun is told apart from what had
    not. The code is the signal's, on record too."""
    ran = interrupted(empty_project, signal.SIGTERM, times=2, ticks=1200, words=f"Second -j {jobs}")

    assert ran.code == 143, ran
    assert "stopped  1 while at work, 1 not started" in ran.out
    assert f"next  go on where it stopped  etlctl build Second -j {jobs}" in ran.out
    assert "FAIL=0" in ran.out and "by its code" not in ran.out
    history = json.loads(empty_project.spawn("history", "--json").out)
    assert [(run["status"], run["exit_code"]) for run in history["runs"]] == [("interrupted", 143)]


def test_signal_during_the_last_task_leaves_nothing_to_go_on_with(empty_project: Project) -> None:
    """All is done when the running task has ended: the code is the signal's, and no further command is offered."""
    ran = interrupted(empty_project, signal.SIGINT, times=1, ticks=20, words="First")

    assert ran.code == 130, ran
    assert ran.out.splitlines()[-1].startswith("OK=1 FAIL=0 SKIP=0")
    assert "go on where it stopped" not in ran.out


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_second_signal_stops_at_once(empty_project: Project, number: signal.Signals, code: int) -> None:
    """A task that would run for a minute is stopped, and leaves nothing behind."""
    began = time.monotonic()

    ran = interrupted(empty_project, number, times=2, ticks=1200)

    assert ran.code == code, ran
    assert time.monotonic() - began < 20
    assert not (empty_project.folder / "first.txt").exists()
    assert "Traceback" not in ran.err


LOSES = """
import time
import weakref
from pathlib import Path
from etlctl import LocalTarget, Task

class Cell:
    pass

def finalizer(_):
    time.sleep(60)  # what a signal's handler raises here, Python tells of and forgets

class Second(Task):
    def run(self):
        cell = Cell()
        keeps = weakref.ref(cell, finalizer)
        Path("started").touch()
        if {in_exec}:
            exec("time.sleep(60)")
        del cell
        time.sleep(60)

    def output(self):
        return LocalTarget("second.txt")
"""


@pytest.mark.parametrize("in_exec", [False, True], ids=["a finalizer", "a text that is executed"])
def test_second_signal_stops_where_what_it_raises_is_lost(empty_project: Project, in_exec: bool) -> None:
    """Finalizers and compiled code forget exceptions: it comes again. Python keeps it from `exec`: the code stands."""
    began = time.monotonic()

    ran = interrupted(empty_project, signal.SIGTERM, times=2, pipeline=LOSES.replace("{in_exec}", str(in_exec)))

    assert ran.code == 143, ran
    assert time.monotonic() - began < 30
    assert "stopped  1 while at work" in ran.out and "FAIL=0" in ran.out


PLANS = """
import time
from pathlib import Path
from etlctl import LocalTarget, Task

class Second(Task):
    def requires(self):
        Path("started").touch()
        time.sleep(60)
        return []

    def output(self):
        return LocalTarget("second.txt")
"""


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_second_signal_stops_at_once_while_nothing_runs_yet(
    empty_project: Project, number: signal.Signals, code: int
) -> None:
    """The code is that of the signal also where it ends the planning."""
    began = time.monotonic()

    ran = interrupted(empty_project, number, times=2, pipeline=PLANS)

    assert ran.code == code, ran
    assert time.monotonic() - began < 20
    assert ran.err.endswith("etlctl: interrupted.\n") and "Traceback" not in ran.err


def shell(project: Project, command: str) -> Ran:
    """A line of sh in the project; `etlctl` is this one."""
    found = subprocess.run(
        ["sh", "-c", command.replace("etlctl", f'"{sys.executable}" -m etlctl')],
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return Ran(found.returncode, found.stdout, found.stderr)


def test_reader_that_goes_away_is_no_error_and_stops_no_work(project: Project) -> None:
    """`| true`: quiet, and the build goes on to its end with its own exit code."""
    listed = shell(project, "{ etlctl list; echo code $? >&2; } | true")
    built = shell(project, "{ etlctl build Flights --date 2013-01-01..05 2>/dev/null; echo code $? >&2; } | true")
    helped = shell(project, "{ etlctl --help; echo code $? >&2; } | true")

    assert listed.err == built.err == helped.err == "code 0\n"
    assert len(list((project.folder / "out/flights").iterdir())) == 5


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nothing(project: Project, closed: str) -> None:
    """A descriptor that the caller closed is no file of ours: the build works and writes what it should."""
    ran = shell(project, f"etlctl build Flights --date 2013-01-02 {closed}")

    assert ran.code == 0, ran
    assert (project.folder / "out/flights/2013-01-02.txt").read_text() == "500 False all"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_full_disk_under_the_result_is_told(project: Project) -> None:
    """A result that cannot be written is a sentence and exit 1."""
    ran = shell(project, "etlctl list >/dev/full")

    assert ran.code == 1
    assert "cannot write the result: No space left on device" in ran.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_locale_without_block_characters_gets_ascii(project: Project, encoding: str) -> None:
    """An encoding that lacks them gets plain signs, and never an error."""
    project.run("build", "Seats")
    found = subprocess.run(
        [sys.executable, "-m", "etlctl", "status", "Seats"],
        cwd=project.folder,
        env=environment({"PYTHONIOENCODING": encoding}),
        capture_output=True,
        timeout=60,
    )

    sign = "█" if encoding == "utf-8" else "#"
    assert found.returncode == 0, found.stderr
    assert f" {sign}  Seats()" in found.stdout.decode(encoding)


def imported_by(project: Project, *words: str) -> set[str]:
    """Top-level names and ours that a call has imported when it ends."""
    code = (
        "import sys; from etlctl.cli.main import main; code = main(sys.argv[1:]); "
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return set(found.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["build", "--help"], ["list", "--help"]])
def test_help_imports_nothing_heavy_and_no_pipeline(project: Project, words: list[str]) -> None:
    """Help and version: click and little else."""
    imported = imported_by(project, *words)

    assert not imported & {"sqlalchemy", "boto3", "psycopg2", "rich", project.package, "etlctl.app", "sqlite3"}


def test_list_imports_no_database_and_no_rich(project: Project) -> None:
    """`list` imports the pipelines and their load tasks, and neither SQLAlchemy, boto3, psycopg2 nor rich."""
    project.pipeline(
        """
        from etlctl import DateParameter, LoadTable, QueryTable

        class Loaded(LoadTable):
            date = DateParameter()
            columns = {"date": "date", "carrier": "varchar(2)"}
            values = {"date": "date"}

        class Asked(QueryTable):
            query = "SELECT 1 AS one"
    """,
        "loads",
    )

    for words in (["list"], ["show", "Loaded"], ["build", "Loaded", "--help"]):
        imported = imported_by(project, *words)

        assert f"{project.package}.loads" in imported
        assert not imported & {"sqlalchemy", "boto3", "psycopg2", "rich", "sqlite3"}, words


def test_module_and_script_are_the_same(project: Project) -> None:
    """`etlctl` and `python -m etlctl` say the same."""
    script = Path(sys.executable).parent / "etlctl"
    if not script.exists():
        pytest.skip("etlctl is not installed as a script here")
    found = subprocess.run([str(script), "--version"], capture_output=True, text=True, env=environment(), timeout=60)

    assert found.stdout == project.spawn("--version").out
    assert found.stdout.startswith("etlctl ")


def test_secrets_stay_out_of_every_output(empty_project: Project) -> None:
    """A canary in a URL, in the environment and in a private parameter: no command shows it, also not with --debug."""
    canary = "S3cr3t-4be1f6"
    empty_project.pipeline("""
        from etlctl import DateParameter, Parameter, ParameterVisibility, Task

        class Quiet(Task):
            token = Parameter(default="S3cr3t-4be1f6", visibility=ParameterVisibility.PRIVATE)

            def run(self):
                raise ValueError("no")
    """)
    empty_project.write(
        "config/etlctl.toml",
        f'[pipelines]\npath = "{empty_project.package}"\n'
        '[connections.warehouse]\nurl = "postgresql://me:${CANARY}@127.0.0.1:1/dw"\n',
    )
    os.environ["CANARY"] = canary
    try:
        calls = [empty_project.run(*words, *more) for words in SECRET_CALLS for more in ([], ["--debug"], ["--json"])]
    finally:
        del os.environ["CANARY"]

    assert all(canary not in ran.out + ran.err for ran in calls)


SECRET_CALLS = [
    ["build", "Quiet"],
    ["build", "Quiet", "--tokn", "x"],
    ["plan", "Quiet", "--token", "S3cr3t-4be1f6"],
    ["status", "Quiet"],
    ["status"],
    ["list"],
    ["show", "Quiet"],
    ["graph", "Quiet"],
    ["build", "Quiet", "--help"],
    ["build", "Other"],
]


def test_plan_that_waits_for_a_lock_says_so(empty_project: Project) -> None:
    """Another process has the warehouse to itself for a second: a word on stderr, and then the plan."""
    empty_project.pipeline("""
        from etlctl import LoadTable

        class Loaded(LoadTable):
            columns = {"a": "integer"}

            def rows(self):
                yield {"a": 1}
    """)
    empty_project.run("build", "Loaded")
    other = sqlite3.connect(empty_project.folder / ".etlctl/warehouse.db", isolation_level=None)
    mode = other.execute("PRAGMA journal_mode = DELETE").fetchone()[0]  # a WAL is read past a writer
    other.execute("BEGIN EXCLUSIVE")
    process = subprocess.Popen(
        [sys.executable, "-m", "etlctl", "plan", "Loaded"],
        cwd=empty_project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr is not None

    said = process.stderr.readline()
    other.execute("ROLLBACK")
    out, err = process.communicate(timeout=30)

    assert mode == "delete"
    assert said == "etlctl: waiting for the lock of the database …\n"
    assert (process.returncode, err) == (0, "")
    assert "nothing to do" in out
    other.close()


INTERRUPTED_AT_IMPORT = """
import importlib.abc, os, signal, sys

class Hurry(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Hurry())
from etlctl.__main__ import run
sys.exit(run())
"""


def test_interrupt_while_python_still_imports_is_a_sentence() -> None:
    """Somebody changes his mind in the first tenth of a second: no traceback."""
    ran = subprocess.run([sys.executable, "-c", INTERRUPTED_AT_IMPORT], capture_output=True, text=True, timeout=60)

    assert ran.returncode == 130
    assert ran.stderr.strip() == "etlctl: interrupted."
