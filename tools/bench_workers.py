"""Builds of many small tasks, side by side in one run: one job, `-j 2`, Luigi's two workers, doit, with state or none.

    python tools/bench_workers.py [--rounds 5] [--only jobs,state] [--luigi PYTHON] [--fewer 10]

    jobs      1,000 tasks that write a file each: with one job, with -j 2, by Luigi's --workers 2
    scale     1,000 tasks of 10 ms of CPU time: with one job, with -j 2
    graph     10,000 tasks that write a file each: etlctl, doit; and how etlctl's time grows from 1,000 to 10,000
    state     the same 10,000 with the state (leases and history in the default SQLite file) and without any
    files     1,000 files by LocalTarget.open(), against one fsync of each file and one of its folder
    markers   1,000 markers, a task each, against as many tasks that each commit a row over a connection they keep, and
              against the rows and COMMITs alone: PostgreSQL (fsync on), SQLite

luigi and doit are installed into a temporary environment, or are those of the Python named. All tasks write with plain
open() but for the rows of `files`. Each turn has a new project with nothing built, on the disk of temporary files; what
tasks write goes into memory where there is room (but for `files`), since what a file system takes to make a file is
the same for all and would hide what each takes besides. State databases are on the disk.

The ways of a group take turns (A B C, A B C, …), and quoted are medians, CPU time (of all processes) beside the wall's.
The commands of `jobs`, `scale` and `graph` are measured whole, start and end included; the others by the work alone.
What a turn has written is counted. `--fewer 10` takes a tenth of the tasks, for a quick look.

Exit code 1 when a goal is missed: -j 2 not slower than one job, at most 1/15 of Luigi's time; 10 ms tasks at least
1.8 times as fast on two cores; time grows with an exponent of at most 1.1 and is at most doit's; the state costs at
most 60 us of CPU time a task and a tenth of the time; a task with a marker at most 1.5 times one with a COMMIT.
"""

from __future__ import annotations

import argparse
import compileall
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import etlctl  # noqa: E402  the path above comes first
from measured.tables import print_medians, roomy  # noqa: E402  as above
from servers.postgres import PostgresServer, postgres  # noqa: E402  as above

OTHERS = ("luigi==3.8.1", "doit==0.37.0")
PIPELINE = '''
"""Tasks that do next to nothing."""

import sqlite3
import time
from functools import lru_cache

from etlctl import IntParameter, LocalTarget, StrParameter, TableTarget, Task, WrapperTask


class Tiny(Task):
    """Writes a file as anybody does."""

    number = IntParameter()

    def output(self):
        return LocalTarget(f"out/{self.number}.txt")

    def run(self):
        with open(self.output().path, "w") as file:
            file.write("x")


class Busy(Tiny):
    """Works for 10 ms besides."""

    def run(self):
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass
        super().run()


class Published(Tiny):
    """Writes by the target, which syncs the file and its folder."""

    def run(self):
        with self.output().open("w") as file:
            file.write("x")


class Mark(Task):
    """Is a marker, and nothing else."""

    number = IntParameter()
    url = StrParameter()

    def output(self):
        return TableTarget("marked", self.task_id, self.url)

    def run(self):
        self.output().touch()


@lru_cache
def connected(url):
    if url.startswith("sqlite"):
        found = sqlite3.connect(url.removeprefix("sqlite:///"))
    else:
        import psycopg2

        found = psycopg2.connect(url)
    found.cursor().execute("CREATE TABLE bare (update_id varchar(250) PRIMARY KEY, inserted timestamp)")
    found.commit()
    return found


class Row(Task):
    """Commits a row, and knows itself that it has."""

    number = IntParameter()
    url = StrParameter()
    is_done = False

    def complete(self):
        return self.is_done

    def run(self):
        connection = connected(self.url)
        mark = "?" if self.url.startswith("sqlite") else "%s"
        connection.cursor().execute(f"INSERT INTO bare VALUES ({mark}, CURRENT_TIMESTAMP)", (self.task_id,))
        connection.commit()
        self.is_done = True


class Tinies(WrapperTask):
    count = IntParameter()
    kind = Tiny

    def requires(self):
        return [self.kind(number) for number in range(self.count)]


class Busies(Tinies):
    kind = Busy


class Opened(Tinies):
    kind = Published


class Marked(WrapperTask):
    count = IntParameter()
    url = StrParameter()
    kind = Mark

    def requires(self):
        return [self.kind(number, self.url) for number in range(self.count)]


class Rows(Marked):
    kind = Row
'''
LUIGI = """
import luigi


class Tiny(luigi.Task):
    number = luigi.IntParameter()

    def output(self):
        return luigi.LocalTarget(f"out/{self.number}.txt")

    def run(self):
        with open(self.output().path, "w") as file:
            file.write("x")


class Tinies(luigi.WrapperTask):
    count = luigi.IntParameter()

    def requires(self):
        return [Tiny(number) for number in range(self.count)]
"""
DODO = """
from doit import get_var
from doit.tools import run_once


def write(path):
    with open(path, "w") as file:
        file.write("x")


def task_tiny():
    for number in range(int(get_var("count"))):
        path = f"out/{number}.txt"
        yield {"name": str(number), "actions": [(write, [path])], "targets": [path], "uptodate": [run_once]}
"""


class Cost(NamedTuple):
    """Of one turn of one way."""

    wall_s: float
    cpu_s: float
    cpu_us_a_task: float


class Way(NamedTuple):
    """What is measured: a command, and how many tasks it has done when it has ended well."""

    command: Callable[[], list[str]]
    tasks: int
    done: Callable[[Path], int]
    is_on_disk: bool = False
    """What its tasks write."""


class Goal(NamedTuple):
    """A number that may not be greater than the most."""

    text: str
    found: float
    most: float


Group = dict[str, Way]
Walls = Mapping[str, float]


def main() -> int:
    """Prints a table for each group and its goals; 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="groups, separated by commas")
    parser.add_argument("--luigi", metavar="PYTHON", help="a Python that has luigi and doit")
    parser.add_argument("--fewer", type=int, default=1, metavar="N", help="one task in N")
    options = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        memory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=roomy())))
        bench = Bench(Path(name), memory, options.luigi, options.fewer, stack)
        known = bench.groups()
        wanted = [word for word in options.only.split(",") if word] or list(known)
        if unknown := set(wanted) - set(known):
            parser.error(f"--only: no group is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        for group in wanted:
            ways, judge = known[group]
            costs = bench.measure(ways(), options.rounds)
            print(f"\n{group}: medians of {options.rounds} turns")
            print_medians(costs, ("wall s", "CPU s", "CPU us/task"))
            missed += report(judge(costs))
    return 1 if missed else 0


def report(goals: Sequence[Goal]) -> int:
    """Prints what was reached; how many were missed."""
    for goal in goals:
        verdict = (
            "" if math.isinf(goal.most) else f", goal {goal.most:.3g}{'  missed' if goal.found > goal.most else ''}"
        )
        print(f"  {goal.text}: {goal.found:.3g}{verdict}")
    return sum(goal.found > goal.most for goal in goals)


Costs = dict[str, list[Cost]]


def _median(costs: Costs, way: str, which: str = "wall_s") -> float:
    return float(statistics.median(getattr(cost, which) for cost in costs[way]))


def _ratio(costs: Costs, one: str, other: str) -> float:
    return _median(costs, one) / _median(costs, other)


class Bench:
    """The projects, and the commands that are measured in them."""

    def __init__(self, folder: Path, memory: Path, others: str | None, fewer: int, stack: ExitStack) -> None:
        self.folder = folder
        self.memory = memory
        self.stack = stack
        self.small, self.large = max(20, 1_000 // fewer), max(200, 10_000 // fewer)
        self.own = str(Path(sys.executable).parent / "etlctl")
        self._others = others
        self._server: PostgresServer | None = None
        self._turns = 0
        self.model = folder / "model"
        for name, text in {"pipelines/tiny.py": PIPELINE, "tiny_luigi.py": LUIGI, "dodo.py": DODO}.items():
            (self.model / name).parent.mkdir(parents=True, exist_ok=True)
            (self.model / name).write_text(text)
        (self.model / "config").mkdir()
        (self.model / "config" / "etlctl.toml").touch()
        compileall.compile_dir(self.model, quiet=1)
        compileall.compile_dir(Path(etlctl.__file__).parent, quiet=1)

    def groups(self) -> dict[str, tuple[Callable[[], Group], Callable[[Costs], list[Goal]]]]:
        """By name: its ways, and its goals."""
        return {
            "jobs": (self.jobs, judged_jobs),
            "scale": (self.scale, judged_scale),
            "graph": (self.graph, self.judged_graph),
            "state": (self.state, judged_state),
            "files": (self.files, judged_files),
            "markers": (self.markers, judged_markers),
        }

    # -- the groups

    def jobs(self) -> Group:
        """Whole commands."""
        python, count = self.others, self.small
        luigi = [python, "-m", "luigi", "--module", "tiny_luigi", "Tinies", "--count", str(count)]
        return {
            "etlctl, one job": self._command("Tinies", count),
            "etlctl -j 2": self._command("Tinies", count, "-j", "2"),
            "luigi --workers 2": Way(
                lambda: [*luigi, "--local-scheduler", "--workers", "2", "--log-level", "WARNING"], count, files_in_out
            ),
        }

    def scale(self) -> Group:
        """Whole commands."""
        return {
            "10 ms tasks, one job": self._command("Busies", self.small),
            "10 ms tasks, -j 2": self._command("Busies", self.small, "-j", "2"),
        }

    def graph(self) -> Group:
        """Whole commands; and the work alone of a smaller and a larger graph."""
        doit, count = [self.others, "-m", "doit", "run", f"count={self.large}"], self.large
        return {
            "etlctl": self._command("Tinies", count),
            "doit": Way(lambda: doit, count, files_in_out),
            "etlctl, the work of a tenth": self._work("state", count // 10),
            "etlctl, the work": self._work("state", count),
        }

    def state(self) -> Group:
        """The work alone."""
        return {
            "without state": self._work("stateless", self.large),
            "leases and history": self._work("state", self.large),
        }

    def files(self) -> Group:
        """The work alone."""
        return {
            "one fsync pair a file": self._work("synced", self.small),
            "LocalTarget.open()": self._work("opened", self.small),
        }

    def markers(self) -> Group:
        """The work alone."""
        if self._server is None:
            self._server = self.stack.enter_context(postgres(durable=True))
        found = {}
        for kind, url in {"PostgreSQL": self._server.new_database, "SQLite": lambda: "sqlite:///marks.db"}.items():
            found[f"COMMIT a row, {kind}"] = self._work("committed", self.small, url)
            found[f"COMMIT a task, {kind}"] = self._work("rows", self.small, url)
            found[f"marker a task, {kind}"] = self._work("marked", self.small, url)
        return found

    def judged_graph(self, costs: Costs) -> list[Goal]:
        exponent = math.log10(_ratio(costs, "etlctl, the work", "etlctl, the work of a tenth"))
        return [
            Goal("etlctl / doit", _ratio(costs, "etlctl", "doit"), 1),
            Goal(f"exponent from {self.large // 10:,} to {self.large:,} tasks", exponent, 1.1),
        ]

    # -- one turn

    @property
    def others(self) -> str:
        """The Python of luigi and doit."""
        if self._others is None:
            folder = self.folder / "venv"
            venv.create(folder, with_pip=True)
            self._others = str(folder / "bin" / "python")
            subprocess.run([self._others, "-m", "pip", "install", "-q", *OTHERS], check=True)
        return self._others

    def _command(self, root: str, count: int, *words: str) -> Way:
        return Way(lambda: [self.own, "build", root, "--count", str(count), *words], count, files_in_out)

    def _work(self, way: str, count: int, url: Callable[[], str] = str) -> Way:
        script = str(Path(__file__).parent / "measured" / "tiny_builds.py")
        done = said_count if way in {"marked", "rows", "committed"} else files_in_out
        is_on_disk = way in {"synced", "opened"}
        return Way(lambda: [sys.executable, script, way, str(count), url()], count, done, is_on_disk)

    def measure(self, ways: Group, rounds: int) -> Costs:
        """The cost of every turn."""
        costs: Costs = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                cost = self._turn(name, way)
                if turn:  # the first turn warms the caches up
                    costs[name].append(cost)
        return costs

    def _turn(self, name: str, way: Way) -> Cost:
        self._turns += 1
        project = self.folder / f"turn{self._turns}"
        shutil.copytree(self.model, project)
        out = (project if way.is_on_disk else self.memory) / "out"
        out.mkdir()
        if not way.is_on_disk:
            (project / "out").symlink_to(out)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(project)}
        command = way.command()
        with (project / "said.txt").open("w+b") as said:
            began = time.perf_counter()
            process = subprocess.Popen(command, cwd=project, env=environment, stdout=said, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        text = (project / "said.txt").read_text(errors="replace")
        done = way.done(project)
        if process.returncode or done != way.tasks:
            raise SystemExit(f"{name}: exit code {process.returncode}, {done:,} of {way.tasks:,} done\n{text[-2000:]}")
        shutil.rmtree(out)
        shutil.rmtree(project)
        cpu_s = usage.ru_utime + usage.ru_stime
        if told := re.search(r"^LOAD (\S+) CPU (\S+)", text, re.MULTILINE):
            wall_s, cpu_s = float(told[1]), float(told[2])
        return Cost(wall_s, cpu_s, cpu_s / way.tasks * 1e6)


def files_in_out(project: Path) -> int:
    """How many tasks have written their file, whole."""
    return sum(1 for file in os.scandir(project / "out") if file.stat().st_size == 1)


def said_count(project: Path) -> int:
    """How many rows the script has found in the database in the end."""
    told = re.search(r"^ROWS (\d+)$", (project / "said.txt").read_text(errors="replace"), re.MULTILINE)
    return int(told[1]) if told else 0


def judged_jobs(costs: Costs) -> list[Goal]:
    """See the module."""
    return [
        Goal("-j 2 / one job", _ratio(costs, "etlctl -j 2", "etlctl, one job"), 1),
        Goal("-j 2 / luigi --workers 2", _ratio(costs, "etlctl -j 2", "luigi --workers 2"), 1 / 15),
    ]


def judged_scale(costs: Costs) -> list[Goal]:
    """See the module."""
    ratio = _ratio(costs, "10 ms tasks, -j 2", "10 ms tasks, one job")
    return [Goal(f"-j 2 / one job ({1 / ratio:.2f} times as fast)", ratio, 1 / 1.8)]


def judged_state(costs: Costs) -> list[Goal]:
    """See the module."""
    with_state, without = "leases and history", "without state"
    more_us = _median(costs, with_state, "cpu_us_a_task") - _median(costs, without, "cpu_us_a_task")
    return [
        Goal("CPU us a task for the state", more_us, 60),
        Goal("with / without", _ratio(costs, with_state, without), 1.1),
    ]


def judged_files(costs: Costs) -> list[Goal]:
    """Without a goal of its own."""
    return [
        Goal("LocalTarget.open() / fsync pair", _ratio(costs, "LocalTarget.open()", "one fsync pair a file"), math.inf)
    ]


def judged_markers(costs: Costs) -> list[Goal]:
    """See the module."""
    return [
        goal
        for kind in ("PostgreSQL", "SQLite")
        for goal in (
            Goal(f"marker / COMMIT a task, {kind}", _marker_over(costs, f"COMMIT a task, {kind}", kind), 1.5),
            Goal(f"marker / COMMIT alone, {kind}", _marker_over(costs, f"COMMIT a row, {kind}", kind), math.inf),
        )
    ]


def _marker_over(costs: Costs, other: str, kind: str) -> float:
    return _ratio(costs, f"marker a task, {kind}", other)


if __name__ == "__main__":
    sys.exit(main())
