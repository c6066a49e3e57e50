"""Start-up side by side in one run: `etlctl --help` and `etlctl list` against `doit list` and `luigi --help`.

    python tools/bench_start.py [--rounds 20]

doit and luigi are installed into a virtual environment of their own, in a temporary folder; all byte code is compiled.
The etlctl project has twenty modules of load tasks with columns; doit's has as many tasks. The commands take turns
(A B C D, A B C D, …), so that a machine that slows down slows all; quoted are medians, wall and CPU.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import etlctl

MODULES = 20
OTHERS = ("doit==0.37.0", "luigi==3.8.1")
MODULE = '''
from etlctl import DateParameter, ExternalTask, LoadTable, LocalTarget, not_null, unique


class File{n}(ExternalTask):
    """The file of feed {n}."""

    date = DateParameter()

    def output(self):
        return LocalTarget(f"data/{n}/{{self.date}}.csv.gz")


class Load{n}(LoadTable):
    """Feed {n}, a day at a time."""

    date = DateParameter()
    columns = {{"date": "date", "id": "bigint", "name": "varchar(40)", "amount": "numeric(12,2)"}}
    values = {{"date": "date"}}
    checks = [not_null("id"), unique("id")]

    def requires(self):
        return File{n}(self.date)
'''
DODO = '''
def task_{kind}{n}():
    """Feed {n}."""
    return {{"actions": ["true"], "file_dep": [], "targets": ["{n}.txt"]}}
'''


def main() -> None:
    """Prints the table and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        others = _others(folder / "venv")
        _projects(folder)
        own = str(Path(sys.executable).parent / "etlctl")
        commands = {
            "etlctl --help": [own, "--help"],
            "etlctl list": [own, "list"],
            "doit list": [str(others / "doit"), "list", "--all"],
            "luigi --help": [str(others / "luigi"), "--help"],
        }
        times = _measure(commands, folder, rounds)
    print(f"{'':<16}{'wall ms':>10}{'CPU ms':>10}   medians of {rounds} turns")
    for command, pairs in times.items():
        print(f"{command:<16}{_median(pairs, 0):>10.0f}{_median(pairs, 1):>10.0f}")
    for one, other in (("--help", "doit list"), ("list", "doit list"), ("--help", "luigi --help")):
        ratio = _median(times[f"etlctl {one}"], 0) / _median(times[other], 0)
        print(f"etlctl {one} / {other}: {ratio:.2f}")


def _others(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", *OTHERS], check=True)
    return folder / "bin"


def _projects(folder: Path) -> None:
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    for n in range(MODULES):
        (pipelines / f"feed{n:02}.py").write_text(MODULE.format(n=n))
    # as many tasks as classes: a file and a load of each feed
    (folder / "dodo.py").write_text("".join(DODO.format(kind=kind, n=n) for n in range(MODULES) for kind in "fl"))
    compileall.compile_dir(pipelines, quiet=1)
    compileall.compile_dir(Path(etlctl.__file__).parent, quiet=1)


def _measure(commands: dict[str, list[str]], folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[tuple[float, float]]] = {command: [] for command in commands}
    for turn in range(rounds + 1):
        for command, words in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
            wall = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:  # the first turn warms the caches up
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                times[command].append((wall * 1000, cpu * 1000))
    return times


def _median(pairs: list[tuple[float, float]], which: int) -> float:
    return statistics.median(pair[which] for pair in pairs)


if __name__ == "__main__":
    main()
