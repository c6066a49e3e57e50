"""`etlctl history`, `etlctl logs`, and what `etlctl status` and `etlctl gc` make of the same database."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.documents import check
from cli.project import Project, environment
from etlctl.cli.schemas import SCHEMAS

LOADS = '''
"""Tasks that print, fail, and wait."""

import time
from pathlib import Path

from etlctl import DateParameter, LocalTarget, Parameter, ParameterVisibility, Task


class Flights(Task):
    """One day of flights; those of the 13th are refused."""

    date = DateParameter()
    password = Parameter(default="hunter2", visibility=ParameterVisibility.PRIVATE)

    def output(self):
        return LocalTarget(f"out/flights/{self.date}.txt")

    def run(self):
        print(f"counting {self.date}")
        if self.date.day == 13:
            raise ValueError("the 13th is unlucky\\nand always was")
        with self.output().open("w") as file:
            file.write("x")


class Report(Task):
    """What is behind them."""

    date = DateParameter()

    def requires(self):
        return Flights(self.date)

    def output(self):
        return LocalTarget(f"out/report/{self.date}.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")


class Slow(Task):
    """Writes, says that it has begun, and waits until it may end."""

    def output(self):
        return LocalTarget("out/slow.txt")

    def run(self):
        print("a first line")
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.02)
        print("a last line")
        with self.output().open("w") as file:
            file.write("x")
'''


@pytest.fixture
def loads(empty_project: Project) -> Project:
    """A project with the tasks above."""
    empty_project.pipeline(LOADS, "loads")
    return empty_project


def _run_ids(project: Project) -> list[str]:
    return [run["run_id"] for run in project.run("history", "--json").json["runs"]]


def _start(project: Project, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "etlctl", *words],
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)


def _wait_until_told(project: Project) -> None:
    """Until the history has that Slow() runs."""
    end = time.monotonic() + 60
    while "running since" not in (told := project.run("status", "Slow").out):
        assert time.monotonic() < end, told
        time.sleep(0.05)


# -- nothing yet


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["history"], 0, "nothing has run yet: etlctl build TASK, and etlctl list the tasks"),
        (["history", "last"], 2, "no run has been written down yet: etlctl build TASK"),
        (["history", "Flights"], 0, "no run has tried it; whether it is done all the same: etlctl status Flights"),
        (["logs", "last"], 2, "no run has been written down yet: etlctl build TASK"),
        (["status"], 0, "0 done"),
        (["gc"], 0, "nothing is older than what is kept: 90d of history and 30d of logs"),
    ],
)
def test_reading_says_what_to_type_next_and_makes_no_state(
    loads: Project, words: list[str], code: int, said: str
) -> None:
    """An empty project: no file is made by asking."""
    ran = loads.run(*words)

    assert (ran.code, said in ran.out + ran.err) == (code, True), ran
    assert not (loads.folder / ".etlctl").exists()


def test_history_without_sqlalchemy(loads: Project) -> None:
    """With the state in SQLite neither history, logs nor a build of files imports SQLAlchemy."""
    program = (
        "import sys; from etlctl.cli.main import main\n"
        "codes = [main(words.split()) for words in ('build Report --date 2013-01-02', 'history', 'history last',"
        " 'history Flights --date 2013-01-02', 'logs last')]\n"
        "assert codes == [0] * 5, codes\n"
        "found = {'sqlalchemy', 'boto3', 'psycopg2', 'pymysql'} & set(sys.modules)\n"
        "assert not found, found"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=loads.folder, env=environment(), capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr


# -- runs


def test_history_lists_the_runs_newest_first(loads: Project) -> None:
    """Status, id, when, how long, what came of it, what was typed without what is private."""
    loads.run("build", "Flights", "--date", "2013-01-12..13", "-p", "password=S3cr3t")
    loads.run("build", "Flights", "--date", "2013-01-12")

    ran = loads.run("history")

    lines = ran.out.splitlines()
    clock = r"\d\d:\d\d:\d\d"
    assert re.fullmatch(r"HISTORY  runs {6}state sqlite:///\.etlctl/state\.db", lines[0])
    assert re.fullmatch(
        rf" done +[0-9T]+-[0-9a-f]{{4}}  {clock} +[\d.]+ s  UPTODATE=1 +etlctl build Flights --date 2013-01-12",
        lines[1],
    )
    assert re.fullmatch(rf" failed +[0-9T]+-[0-9a-f]{{4}}  {clock} +[\d.]+ s  OK=1 FAIL=1 +etlctl .*", lines[2])
    assert re.fullmatch(r"2 runs {6}what one did: etlctl history [0-9T]+-[0-9a-f]{4}", lines[3])
    assert "S3cr3t" not in ran.out
    assert b"S3cr3t" not in (loads.folder / ".etlctl/state.db").read_bytes()


def test_history_narrows_the_runs(loads: Project) -> None:
    """--failed, --since, --limit."""
    loads.run("build", "Flights", "--date", "2013-01-13")
    loads.run("build", "Flights", "--date", "2013-01-12")
    loads.run("build", "Flights", "--date", "2013-01-11")

    assert [run["status"] for run in loads.run("history", "--failed", "--json").json["runs"]] == ["failed"]
    assert len(loads.run("history", "--since", "1h", "--json").json["runs"]) == 3
    assert "no run like that; all there are: etlctl history" in loads.run("history", "--since", "2099-01-01").out
    assert "1 run, the newest shown (--limit 0 shows all)" in loads.run("history", "--limit", "1").out
    assert "3 runs " in loads.run("history", "--limit", "0").out
    assert "--since cannot take 'soon'" in loads.run("history", "--since", "soon").err


def test_history_of_a_run_tells_what_it_did(loads: Project) -> None:
    """By id, by its last letters, by `last`: each task, how it ended, why; the failure whole, and its log's command."""
    loads.run("build", "Report", "--date", "2013-01-12..13")
    (run_id,) = _run_ids(loads)

    screens = {loads.run("history", word).out for word in (run_id, run_id[-4:], "last", run_id[:13])}

    (screen,) = screens
    assert re.search(rf"^RUN  {run_id}  failed, exit 1 {{6}}etlctl build Report --date 2013-01-12\.\.13$", screen, re.M)
    assert re.search(r"^ done +Flights\(2013-01-12\) +\d\d:\d\d:\d\d +[\d.]+ s", screen, re.M)
    assert re.search(r"^ failed +Flights\(2013-01-13\) .*  ValueError: the 13th is unlucky$", screen, re.M)
    assert re.search(r"^ skipped +Report\(2013-01-13\) +- +-  Flights\(2013-01-13\) failed$", screen, re.M)
    assert "OK=2 FAIL=1 SKIP=1" in screen
    assert "  ValueError: the 13th is unlucky\n  and always was\n" in screen
    assert f"  log   etlctl logs {run_id} 'Flights(2013-01-13)'" in screen


def test_history_of_a_run_that_is_none_says_so(loads: Project) -> None:
    """Exit 2, and where to look."""
    loads.run("build", "Flights", "--date", "2013-01-12")

    ran = loads.run("history", "20010101T000000-aaaa")

    assert ran.code == 2
    assert "no run 20010101T000000-aaaa is in the history; `etlctl history` lists them" in ran.err


# -- one task


def test_history_of_a_task_tells_its_attempts(loads: Project) -> None:
    """Over runs, the newest first; a range of dates; without a date all days; a private parameter is refused."""
    for day in ("2013-01-13", "2013-01-12", "2013-01-13"):
        loads.run("build", "Flights", "--date", day)

    one = loads.run("history", "Flights", "--date", "2013-01-13")
    every = loads.run("history", "Flights", "--json").json
    ranged = loads.run("history", "Flights", "--date", "2013-01-11..12", "--json").json
    failed = loads.run("history", "Flights", "--failed", "--json").json
    refused = loads.run("history", "Flights", "-p", "password=x")

    assert len(re.findall(r"^ failed  Flights\(2013-01-13\) .*ValueError: the 13th is unlucky$", one.out, re.M)) == 2
    assert [attempt["status"] for attempt in every["attempts"]] == ["failed", "done", "failed"]
    assert [attempt["params"] for attempt in ranged["attempts"]] == [{"date": "2013-01-12"}]
    assert [attempt["status"] for attempt in failed["attempts"]] == ["failed", "failed"]
    assert (refused.code, "is private, so the history does not know it" in refused.err) == (2, True)


def test_history_takes_a_run_or_tasks(loads: Project) -> None:
    """Not both."""
    ran = loads.run("history", "last", "Flights")

    assert (ran.code, "give a RUN or TASKs" in ran.err) == (2, True)


def test_history_folds_to_a_narrow_terminal(loads: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line fits into 60 columns."""
    loads.run("build", "Report", "--date", "2013-01-13")
    monkeypatch.setattr("etlctl.cli.screen.width_of", lambda streams: 60)

    for words in (["history"], ["history", "last"], ["history", "Flights"], ["logs", "last"]):
        lines = loads.run(*words).out.splitlines()
        assert lines
        assert max(len(line) for line in lines) <= 60, words


# -- documents


@pytest.mark.parametrize(
    "words",
    [
        ["history"],
        ["history", "last"],
        ["history", "Report", "--date", "2013-01-13"],
        ["logs", "last"],
        ["status", "Report", "--date", "2013-01-12..13"],
        ["gc", "--dry-run"],
    ],
)
def test_history_documents_have_exactly_the_fields_of_their_schema(loads: Project, words: list[str]) -> None:
    """With runs, attempts and logs in them."""
    loads.run("build", "Report", "--date", "2013-01-12..13")

    ran = loads.run(*words, "--json")

    assert ran.code == 0, ran.err
    assert ran.json["exit_code"] == 0
    check(ran.json, SCHEMAS[ran.json["schema"]])
    assert "hunter2" not in ran.out


def test_history_document_is_ascii_and_whole(loads: Project) -> None:
    """What a program reads of a failed attempt."""
    loads.run("build", "Flights", "--date", "2013-01-13")

    document = loads.run("history", "last", "--json").json

    (run,) = document["runs"]
    (attempt,) = document["attempts"]
    assert (run["status"], run["exit_code"], run["planned"], run["counts"]["FAIL"]) == ("failed", 1, 1, 1)
    assert run["command"] == "etlctl build Flights --date 2013-01-13"
    assert attempt["error"] == "ValueError: the 13th is unlucky\nand always was"
    assert attempt["where"].startswith(f"{loads.package}/loads.py:")
    assert attempt["family"] == "Flights"
    assert attempt["pid"] == os.getpid()


# -- logs


def test_logs_show_what_tasks_printed(loads: Project) -> None:
    """Of a run, or of the tasks that words narrow it down to."""
    loads.run("build", "Flights", "--date", "2013-01-12..14")

    every = loads.run("logs", "last")
    one = loads.run("logs", "last", "Flights", "2013-01-13")
    others = {
        loads.run("logs", "last", *words).out
        for words in (
            ["Flights(2013-01-13)"],
            ["Flights", "--date", "2013-01-13"],
            ["Flights", "--date=2013-01-13"],
            ["Flights", "-p", "date=2013-01-13..14", "2013-01-13"],
        )
    }

    assert [line for line in every.out.splitlines() if line.startswith("counting")] == [
        "counting 2013-01-12",
        "counting 2013-01-13",
        "counting 2013-01-14",
    ]
    assert re.match(
        r"==> Flights\(2013-01-13\)  failed, begun \d\d:\d\d:\d\d on \S+:\d+\ncounting 2013-01-13\n", one.out
    )
    assert "ValueError: the 13th is unlucky" in one.out
    assert others == {one.out}


def test_logs_without_a_run_show_what_failed_in_the_newest(loads: Project) -> None:
    """Of a TASK, the newest run that tried it; stderr says which run it is, and how to see the rest."""
    loads.run("build", "Flights", "--date", "2013-01-12")
    loads.run("build", "Flights", "--date", "2013-01-13..14")
    newest, oldest = _run_ids(loads)

    failed = loads.run("logs")
    done = loads.run("logs", "Flights", "--date", "2013-01-12")

    assert re.match(r"==> Flights\(2013-01-13\)  failed", failed.out)
    assert "2013-01-14" not in failed.out
    assert failed.err == f"etlctl: what failed in run {newest}; all that it printed: etlctl logs {newest}\n"
    assert "counting 2013-01-12" in done.out
    assert done.err == f"etlctl: run {oldest}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Fligths"], "has no task Fligths. Did you mean 'Flights'? `etlctl history"),
        (["Flights", "2099"], "has no Flights with 2099; it has Flights(2013-01-12)."),
        (["Flights", "--date", "2013-01-13"], "has no Flights with date 2013-01-13; it has Flights(2013-01-12)."),
        (["Flights", "x", "--date=soon"], "has no Flights with x, date soon; it has Flights(2013-01-12)."),
        (["Flights", "--dat", "2013-01-12"], "Flights has no public parameter dat. Did you mean 'date'?"),
        (["Flights", "--date"], "--date needs a value, as a parameter of a TASK has"),
        (["--date", "2013-01-12"], "parameters narrow down a TASK, and none is named"),
        (["-f", "--json"], "--json is one document, which -f never ends"),
    ],
)
def test_logs_refuse_what_is_not_there(loads: Project, words: list[str], said: str) -> None:
    """With the nearest name: exit 2."""
    loads.run("build", "Flights", "--date", "2013-01-12")

    ran = loads.run("logs", "last", *words)

    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_logs_come_from_the_database_where_the_file_is_not(loads: Project) -> None:
    """Another host: the folder of logs is empty there."""
    loads.run("build", "Flights", "--date", "2013-01-12")
    for file in (loads.folder / ".etlctl/logs").rglob("*.log"):
        file.unlink()

    ran = loads.run("logs", "last")
    document = loads.run("logs", "last", "--json").json

    assert "counting 2013-01-12" in ran.out
    assert [(log["text"], log["whole"]) for log in document["logs"]] == [("counting 2013-01-12\n", True)]


def test_logs_tell_a_terminal_no_escapes(loads: Project) -> None:
    """What a task prints is written out; lines stay lines."""
    loads.pipeline(
        "from etlctl import Task\n"
        "class Evil(Task):\n"
        "    def run(self):\n"
        "        print('\\x1b]0;owned\\x07\\tcolumn\\nnext')\n",
        "evil",
    )
    loads.run("build", "Evil")

    ran = loads.run("logs", "last")

    assert "\x1b" not in ran.out
    assert "\\x1b]0;owned\\x07" in ran.out
    assert ran.out.endswith("next\n")


def test_logs_of_what_wrote_nothing_say_why(loads: Project) -> None:
    """Never begun, with the reason; or nothing printed."""
    loads.run("build", "Report", "--date", "2013-01-12..13")

    skipped = loads.run("logs", "last", "Report", "--date", "2013-01-13").out
    silent = loads.run("logs", "last", "Report", "--date", "2013-01-12").out

    assert "Report(2013-01-13) did not begin: skipped, Flights(2013-01-13) failed" in skipped
    assert "Report(2013-01-12) printed nothing, or it was removed since" in silent


def test_logs_follow_a_run_to_its_end(loads: Project) -> None:
    """-f, while another process runs it: its lines as they come, and the end with the run's."""
    build = _start(loads, "build", "Slow")
    _wait_for(loads.folder / "begun")
    following = _start(loads, "logs", "last", "-f")
    with build, following:
        assert following.stdout is not None
        first = [following.stdout.readline(), following.stdout.readline()]
        (loads.folder / "go").touch()
        rest, err = following.communicate(timeout=280)
        build.communicate(timeout=280)

    assert re.match(r"==> Slow\(\)  running, begun ", first[0])
    assert first[1] == "a first line\n"
    assert rest == "a last line\n"
    assert (build.returncode, following.returncode, err) == (0, 0, "")


# -- what runs now, and what was killed


def test_status_tells_what_runs_now_and_by_whom(loads: Project) -> None:
    """Its sign, since when, the process; nobody is told once it is over."""
    build = _start(loads, "build", "Slow")
    _wait_for(loads.folder / "begun")
    _wait_until_told(loads)
    during = loads.run("status", "Slow")
    document = loads.run("status", "Slow", "--json").json
    (loads.folder / "go").touch()
    with build:
        build.communicate(timeout=280)
    after = loads.run("status", "Slow")

    host = re.escape(os.uname().nodename)
    assert re.search(rf"^ >  Slow\(\)  running since \d\d:\d\d:\d\d by {host}:{build.pid}$", during.out, re.M), (
        during.out
    )
    assert document["tasks"][0]["running"]["by"] == f"{os.uname().nodename}:{build.pid}"
    assert re.search(r"^ █  Slow\(\)  \d\d:\d\d:\d\d, took \S+ s$", after.out, re.M)


def test_status_tells_the_last_failure(loads: Project) -> None:
    """An x in the grid, its error in the list."""
    loads.run("build", "Report", "--date", "2013-01-12..13")

    grid = loads.run("status", "Report", "--date", "2013-01-11..14").out
    listed = loads.run("status", "Flights", "--date", "2013-01-13").out

    assert re.search(r"^ Flights  ·█x·", grid, re.M)
    assert "x 1 failed" in grid
    assert re.search(r"^ x  .*  failed \d\d:\d\d:\d\d in run \S+: ValueError: the 13th is unlucky$", listed, re.M)


def test_history_after_a_kill_tells_the_truth_at_the_next_build(loads: Project) -> None:
    """F08: the run killed, what it was at lost, on this host at once; `found` when a build finds it complete."""
    build = _start(loads, "build", "Slow")
    _wait_for(loads.folder / "begun")
    _wait_until_told(loads)
    build.send_signal(signal.SIGKILL)
    with build:
        build.communicate(timeout=280)
    before = loads.run("history", "last", "--json").json
    status = loads.run("status", "Slow").out
    loads.run("build", "Flights", "--date", "2013-01-12")
    killed = loads.run("history", "--failed").out
    (loads.folder / "out").mkdir(exist_ok=True)
    (loads.folder / "out/slow.txt").write_text("x")
    loads.run("build", "Slow")

    document = loads.run("history", "Slow", "--json").json
    assert [run["status"] for run in before["runs"]] == ["killed"]
    assert [attempt["status"] for attempt in before["attempts"]] == ["lost"]
    assert "running" not in status
    assert re.search(r"^ killed +\S+-[0-9a-f]{4} ", killed, re.M)
    assert [attempt["status"] for attempt in document["attempts"]] == ["found"]
    assert document["attempts"][0]["notes"][0].startswith("done (found by marker) in run ")


def test_history_is_repaired_after_a_kill_behind_the_commit(empty_project: Project) -> None:
    """F08: killed at once when COMMIT has returned; rows and marker are there, and the next build tells it as found."""
    empty_project.pipeline(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from etlctl import LoadTable\n"
        "class Numbers(LoadTable):\n"
        "    table = 'numbers'\n"
        "    columns = {'n': 'integer'}\n"
        "    def rows(self):\n"
        "        yield from ([n] for n in range(100))\n"
        "    def on_success(self):\n"
        "        if not Path('killed').exists():\n"
        "            Path('killed').touch()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    killed = empty_project.spawn("build", "Numbers")
    again = empty_project.run("build", "Numbers")

    document = empty_project.run("history", "Numbers", "--json").json
    runs = empty_project.run("history", "--json").json["runs"]
    assert killed.code == -signal.SIGKILL
    assert (again.code, "nothing to do" in again.out) == (0, True)
    assert [run["status"] for run in runs] == ["done", "killed"]
    assert [(attempt["status"], attempt["run_id"]) for attempt in document["attempts"]] == [
        ("found", runs[1]["run_id"])
    ]
    assert document["attempts"][0]["notes"] == [f"done (found by marker) in run {runs[0]['run_id']}"]


def test_a_further_attempt_is_named_once(empty_project: Project) -> None:
    """In the row of the attempt and at the head of its output; why each failed stands behind it."""
    empty_project.pipeline(
        """
        from pathlib import Path
        from etlctl import LocalTarget, Task

        class Twice(Task):
            retries, retry_delay, retry_on = 1, 0, (ValueError,)

            def output(self):
                return LocalTarget("out/twice.txt")

            def run(self):
                if not Path("once").exists():
                    Path("once").touch()
                    raise ValueError("not yet")
                with self.output().open("w") as file:
                    file.write("x")
        """
    )
    assert empty_project.run("build", "Twice").code == 0

    rows = empty_project.run("history", "Twice").out.splitlines()[1:3]

    assert [row.count("attempt 2") for row in rows] == [1, 0], rows
    assert rows[1].endswith("ValueError: not yet")


def test_history_that_is_switched_off_is_not_written(loads: Project) -> None:
    """enabled = false: the build does what it does, and the command says why it knows nothing."""
    loads.write("config/etlctl.toml", f'[pipelines]\npath = "{loads.package}"\n[history]\nenabled = false\n')

    built = loads.run("build", "Flights", "--date", "2013-01-12")
    told = [loads.run(*words) for words in (["history"], ["history", "Flights"], ["history", "last"], ["logs"])]

    assert built.code == 0
    said = "nothing is written down: history.enabled is false (config/etlctl.toml:4)"
    assert all(said in (ran.out or ran.err) for ran in told), told
    assert [ran.code for ran in told] == [0, 0, 2, 2]


# -- logs that cannot be where they are to be


def test_logs_go_to_the_project_where_their_folder_cannot_be_made(loads: Project) -> None:
    """One warning says where they are; a path through a file can be made by nobody, not by root either."""
    loads.write("taken")
    loads.write("config/etlctl.toml", f'[pipelines]\npath = "{loads.package}"\n[logs]\nstore = "taken/logs"\n')

    built = loads.run("build", "Flights", "--date", "2013-01-11..12")
    told = loads.run("logs", "last", "Flights", "2013-01-12")
    again = loads.run("build", "Flights", "--date", "2013-01-11..12")

    folder = loads.folder / ".etlctl" / "logs"
    assert (built.code, built.err.count("WARNING")) == (0, 1)
    assert f"logs cannot be written to {loads.folder}/taken/logs, the store in [logs]: Not a directory." in built.err
    assert f"Those of this run are in {folder}." in built.err
    assert len(list(folder.glob("*/*.log"))) == 2
    assert (again.code, again.err) == (0, ""), "where nothing is to run, nothing is to be kept"
    assert told.out.endswith("\ncounting 2013-01-12\n")


def test_logs_that_can_be_nowhere_are_told_as_not_kept(loads: Project) -> None:
    loads.write(".etlctl/logs")

    built = loads.run("build", "Flights", "--date", "2013-01-12")

    assert (built.code, built.err.count("WARNING")) == (0, 1)
    assert "the store in [logs]: File exists. What tasks of this run print is not kept." in built.err


# -- gc


def _age(project: Project, days: int) -> None:
    """Makes every run and log of the project so many days older."""
    import sqlite3

    seconds = days * 86_400
    database = sqlite3.connect(project.folder / ".etlctl/state.db")
    with database:
        database.execute("UPDATE etlctl_runs SET started_at = started_at - ?", (seconds,))
        database.execute("UPDATE etlctl_logs SET updated_at = updated_at - ?", (seconds,))
        database.execute(
            "UPDATE etlctl_leases SET ended_at = ended_at - :s, expires_at = expires_at - :s", {"s": seconds}
        )
    database.close()
    then = time.time() - seconds
    for file in (project.folder / ".etlctl/logs").rglob("*.log"):
        os.utime(file, (then, then))


def test_gc_removes_old_history_and_logs(loads: Project) -> None:
    """Runs with all their rows, ends of logs, their files, ended leases; what is younger stays."""
    loads.run("build", "Flights", "--date", "2013-01-12..13")
    _age(loads, 100)
    loads.run("build", "Flights", "--date", "2013-01-14")

    dry = loads.run("gc", "--history", "--dry-run", "--json").json["history"]
    still = len(_run_ids(loads))
    ran = loads.run("gc", "--history")
    gone = loads.run("gc", "--history", "--json").json["history"]

    assert (dry["runs"], dry["attempts"], dry["logs"], dry["log_runs"], still) == (1, 2, 2, 1, 2)
    assert dry["leases"] == 2
    assert "1 × run begun more than 90d ago, 2 attempts, removed" in ran.out
    assert set(gone.values()) == {0}
    assert len(_run_ids(loads)) == 1
    assert len(list((loads.folder / ".etlctl/logs").rglob("*.log"))) == 1
    attempts = loads.run("history", "Flights", "--json").json["attempts"]
    assert [attempt["params"]["date"] for attempt in attempts] == ["2013-01-14"]


def test_gc_removes_temporary_files_that_nobody_writes(loads: Project) -> None:
    """Of processes that are gone and older than the age; not those of a process that lives, nor any other file."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", os.uname().nodename)[:63]
    old = loads.write(f"data/.x.csv.etlctl-tmp.elsewhere.7.{'0' * 16}", "12345")
    folder = loads.write(f"data/.d.etlctl-tmp.elsewhere.7.{'1' * 16}/part", "123").parent
    living = loads.write(f"data/.x.csv.etlctl-tmp.{host}.{os.getpid()}.{'2' * 16}")
    young = loads.write(f"data/.x.csv.etlctl-tmp.elsewhere.7.{'3' * 16}")
    other = loads.write("data/.x.csv.tmp")
    then = time.time() - 2 * 86_400
    for path in (old, folder, living, other):
        os.utime(path, (then, then))

    dry = loads.run("gc", "--files", "--dry-run", "--json").json
    ran = loads.run("gc", "--files")

    assert sorted(one["size_bytes"] for one in dry["folders"][0]["files"]) == [3, 5]
    assert ran.code == 0
    assert "2 files older than 1d, 8 B, removed" in ran.out
    assert [path.exists() for path in (old, folder, living, young, other)] == [False, False, True, True, True]


def test_history_document_can_be_read_by_json_alone(loads: Project) -> None:
    """A process's stdout is the document, whatever tasks print."""
    loads.run("build", "Flights", "--date", "2013-01-12")

    ran = loads.spawn("logs", "last", "--json")

    found: Any = json.loads(ran.out)
    assert (ran.code, found["logs"][0]["text"]) == (0, "counting 2013-01-12\n")
