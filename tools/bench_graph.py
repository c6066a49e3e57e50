"""How planning and building grow with the graph: seconds and peak memory for layered graphs and chains.

    python tools/bench_graph.py            a table, each row measured in a fresh process, median of three
    python tools/bench_graph.py layered 100000    one row of it

The tasks do next to nothing and their results are in memory, so what is measured is etlctl itself.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from etlctl import IntParameter, Target, Task, build, settings
from etlctl.app import App

SIZES = {"layered": (1_000, 10_000, 100_000), "chain": (1_000, 10_000)}
LAYER = 100
DONE: set[Task] = set()


class InMemory(Target):
    """There once its task is in DONE."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def exists(self) -> bool:
        """Whether the task has run."""
        return self.task in DONE


class Trivial(Task):
    """Adds itself to DONE."""

    number = IntParameter()

    def output(self) -> Any:
        """The entry in DONE."""
        return InMemory(self)

    def run(self) -> None:
        """Makes the entry."""
        DONE.add(self)


class Layered(Trivial):
    """Layers of LAYER tasks, each of which requires three of the layer before."""

    def requires(self) -> Any:
        """Three neighbours one layer back."""
        first = self.number - LAYER
        return [Layered(max(0, first - step)) for step in range(3)] if first >= 0 else []


class Roots(Trivial):
    """The last layer of `number` tasks."""

    def requires(self) -> Any:
        """Every task of the last layer."""
        return [Layered(number) for number in range(self.number - LAYER, self.number)]


class Chain(Trivial):
    """Each requires the one before."""

    def requires(self) -> Any:
        """The one before, down to zero."""
        return Chain(self.number - 1) if self.number else None


def measure(shape: str, size: int) -> dict[str, float]:
    """One row, measured in this process."""
    root = Roots(size) if shape == "layered" else Chain(size - 1)
    began, cpu = time.perf_counter(), time.process_time()
    with App.open(settings.load(None, environ={}, cwd=Path.cwd())) as app:
        plan = app.plan([root])
    planned, planned_cpu = time.perf_counter() - began, time.process_time() - cpu
    assert len(plan.tasks) >= size, len(plan.tasks)
    del plan
    began, cpu = time.perf_counter(), time.process_time()
    summary = build([root])
    built, built_cpu = time.perf_counter() - began, time.process_time() - cpu
    assert summary, summary.one_line_summary
    began = time.perf_counter()
    assert build([root], deep=True)
    again = time.perf_counter() - began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "plan_s": planned,
        "plan_cpu_s": planned_cpu,
        "build_s": built,
        "build_cpu_s": built_cpu,
        "again_deep_s": again,
        "peak_mib": peak_mib,
    }


def main(arguments: list[str]) -> None:
    """Prints one row as JSON, or the whole table."""
    if arguments:
        print(json.dumps(measure(arguments[0], int(arguments[1]))))
        return
    print(f"{'graph':<18}{'plan s':>9}{'cpu':>8}{'build s':>9}{'cpu':>8}{'again s':>9}{'peak MiB':>10}{'us/task':>9}")
    for shape, sizes in SIZES.items():
        for size in sizes:
            command = [sys.executable, __file__, shape, str(size)]
            runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
            row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            name = f"{shape} {size:,}"
            print(
                f"{name:<18}{row['plan_s']:>9.2f}{row['plan_cpu_s']:>8.2f}{row['build_s']:>9.2f}{row['build_cpu_s']:>8.2f}"
                f"{row['again_deep_s']:>9.2f}{row['peak_mib']:>10.0f}{row['build_s'] / size * 1e6:>9.0f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
