"""Ten thousand complete marker tasks on PostgreSQL: sessions, questions and time of `etlctl plan`.

    python tools/bench_markers.py [--tasks 10000] [--rounds 7]

Two graphs of loads that are all done: `flat`, one task that requires them all; `layered`, ten layers, where each load
requires three of the next layer. The server is the tests' own; its log tells sessions and statements, in a run apart
from the timed ones. The measure is a process that imports SQLAlchemy and asks for the same ids with one bare query. The
commands take turns (A B C, A B C, …); quoted are medians. Exit code 1 when a goal is missed: one session, at most as
many questions to the marker table as the graph has levels, at most twice the bare process's time.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import psycopg2  # noqa: E402  the path above comes first
from psycopg2.extras import execute_values  # noqa: E402  as above

import etlctl  # noqa: E402  as above
from etlctl.core import registry  # noqa: E402  as above
from servers.postgres import PostgresServer, postgres  # noqa: E402  as above

LAYERS = 10
GOAL = 2.0
PIPELINE = '''
"""Loads by the number, and two graphs of them."""

from etlctl import IntParameter, LoadTable, WrapperTask

TASKS, WIDTH = {tasks}, {width}


class Load(LoadTable):
    """One number."""

    number = IntParameter()
    table = "numbers"
    columns = {{"number": "integer"}}

    def rows(self):
        yield [self.number]


class Layer(Load):
    """One number, after three of the next layer."""

    def requires(self):
        first = (self.number // WIDTH + 1) * WIDTH
        return [Layer(first + (self.number + step) % WIDTH) for step in range(3)] if first < TASKS else []


class Flat(WrapperTask):
    """All at once."""

    def requires(self):
        return [Load(number) for number in range(TASKS)]


class Layered(WrapperTask):
    """The first layer."""

    def requires(self):
        return [Layer(number) for number in range(WIDTH)]
'''
BARE = """
import json, sys
import sqlalchemy as sa
ids = json.load(open(sys.argv[2]))
engine = sa.create_engine(sys.argv[1].replace("postgresql:", "postgresql+psycopg2:"))
with engine.connect() as connection:
    rows = connection.execute(sa.text("SELECT * FROM table_updates WHERE update_id = ANY(:ids)"), {"ids": ids}).all()
engine.dispose()
assert len(rows) == len(ids), len(rows)
"""


@dataclass(frozen=True)
class Graph:
    """One of the two, and what planning it may take."""

    root: str
    levels: int


GRAPHS = (Graph("Flat", 2), Graph("Layered", LAYERS + 1))


def main() -> int:
    """Prints the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000, help=f"a multiple of {LAYERS}")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.tasks < LAYERS * 3 or options.tasks % LAYERS:
        parser.error(f"--tasks is to be a multiple of {LAYERS}, at least {LAYERS * 3}")
    with tempfile.TemporaryDirectory() as name, postgres(settings=["log_connections=all"]) as server:
        bench = Bench(server, Path(name), options.tasks)
        bench.mark_all()
        counts = {graph: bench.count(graph) for graph in GRAPHS}
        times = bench.measure(options.rounds)
    return report(counts, times, options.tasks)


class Bench:
    """A project whose tasks are done, and the commands that are measured in it."""

    def __init__(self, server: PostgresServer, folder: Path, tasks: int) -> None:
        self.server = server
        self.folder = folder
        self.url = server.new_database()
        (folder / "pipelines").mkdir()
        (folder / "pipelines" / "numbers.py").write_text(PIPELINE.format(tasks=tasks, width=tasks // LAYERS))
        (folder / "config").mkdir()
        (folder / "config" / "etlctl.toml").write_text(
            f'default_connection = "warehouse"\n\n[connections.warehouse]\nurl = "{self.url}"\n'
        )
        (folder / "bare.py").write_text(BARE)
        compileall.compile_dir(folder, quiet=1)
        compileall.compile_dir(Path(etlctl.__file__).parent, quiet=1)
        self.own = str(Path(sys.executable).parent / "etlctl")
        self.tasks = tasks
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def commands(self) -> dict[str, list[str]]:
        return {
            "bare query": [sys.executable, "bare.py", self.url, "ids.json"],
            **{f"etlctl plan {graph.root}": [self.own, "plan", graph.root] for graph in GRAPHS},
        }

    def mark_all(self) -> None:
        """The first load is a real one, which makes the tables; the others' markers are written as it wrote its own."""
        self.run([self.own, "build", "Load", "--number", "0"])
        numbers = registry.install_package(self.folder / "pipelines").__name__
        module = __import__(f"{numbers}.numbers", fromlist=["Load", "Layer"])
        loads = [module.Load(number) for number in range(self.tasks)]
        layers = [module.Layer(number) for number in range(self.tasks)]
        (self.folder / "ids.json").write_text(json.dumps([load.task_id for load in loads]))
        rows = [(task.task_id, "numbers", task.update_key, "done", 1) for task in (*loads[1:], *layers)]
        insert = "INSERT INTO table_updates (update_id, target_table, update_key, state, row_count, inserted) VALUES %s"
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            execute_values(cursor, insert, rows, "(%s, %s, %s, %s, %s, now())", page_size=1000)
        connection.close()
        self.server.ask("VACUUM ANALYZE table_updates", url=self.url)

    def count(self, graph: Graph) -> tuple[int, int]:
        """Sessions of one `etlctl plan`, and statements that ask the marker table."""
        name = self.url.rpartition("/")[2]
        self.server.ask(f"ALTER DATABASE {name} SET log_statement = 'all'")
        start = self.server.log.stat().st_size
        self.run([self.own, "plan", graph.root])
        said = self.server.log.read_bytes()[start:].decode(errors="replace")
        self.server.ask(f"ALTER DATABASE {name} RESET log_statement")
        sessions = re.findall(rf"connection authorized: user=\S+ database={name}\b", said)
        entries = re.split(r"\n(?!\t)", said)  # what goes on in the next line begins with a tab
        questions = [
            entry for entry in entries if re.search(r"statement: SELECT.*\bFROM\s+\W?table_updates", entry, re.DOTALL)
        ]
        return len(sessions), len(questions)

    def measure(self, rounds: int) -> dict[str, list[tuple[float, float]]]:
        """Wall and CPU milliseconds of every turn."""
        times: dict[str, list[tuple[float, float]]] = {command: [] for command in self.commands()}
        for turn in range(rounds + 1):
            for command, words in self.commands().items():
                took = self.run(words)
                if turn:  # the first turn warms the caches up
                    times[command].append(took)
        return times

    def run(self, words: list[str]) -> tuple[float, float]:
        """Wall and CPU milliseconds of a command that must succeed."""
        began = time.perf_counter()
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or (words[1] == "plan" and "TORUN=0" not in said and "0 to run" not in said):
            raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}\n{said[-2000:]}")
        return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def report(counts: dict[Graph, tuple[int, int]], times: dict[str, list[tuple[float, float]]], tasks: int) -> int:
    """Prints counts and medians; 1 when a goal is missed."""
    bare = _median(times["bare query"], 0)
    print(f"{tasks:,} complete marker tasks{'':<8}{'wall ms':>10}{'CPU ms':>10}{'ratio':>8}")
    for command, pairs in times.items():
        wall, cpu = _median(pairs, 0), _median(pairs, 1)
        print(f"{command:<34}{wall:>10.0f}{cpu:>10.0f}{wall / bare:>8.2f}")
    missed = 0
    for graph, (sessions, questions) in counts.items():
        ratio = _median(times[f"etlctl plan {graph.root}"], 0) / bare
        reached = sessions == 1 and questions <= graph.levels and ratio <= GOAL
        missed += not reached
        print(
            f"{graph.root}: {sessions} session(s), {questions} marker queries on {graph.levels} levels, "
            f"{ratio:.2f} × the bare query (goal {GOAL:.0f})" + ("" if reached else "  missed")
        )
    return 1 if missed else 0


def _median(pairs: list[tuple[float, float]], which: int) -> float:
    return statistics.median(pair[which] for pair in pairs)


if __name__ == "__main__":
    sys.exit(main())
