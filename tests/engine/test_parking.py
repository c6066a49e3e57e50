"""Who of the generators begins while others wait: few at a time, all in the end, each once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from etlctl import IntParameter, Task
from etlctl.core import context
from etlctl.core.graph import Graph
from etlctl.core.leases import Answer, Wanted
from etlctl.core.results import RunSummary
from etlctl.engine.executors.in_process import InProcessExecutor
from etlctl.engine.leases import ProcessLeases
from etlctl.engine.runner import Runner
from running import Shelf

shelf = Shelf()
begun: list[str] = []


@pytest.fixture(autouse=True)
def _emptied() -> None:
    shelf.names.clear()
    begun.clear()


class Needed(Task):
    number = IntParameter()

    def output(self) -> Any:
        return shelf.target(self.task_id)

    def run(self) -> Any:
        begun.append(self.task_label)
        self.output().put()


class Yields(Needed):
    """Every third yields nothing; the last but one is what the first yields."""

    count = IntParameter(significant=False)

    def run(self) -> Any:
        begun.append(self.task_label)
        if self.number == 0:
            yield Yields(self.count - 2, self.count)
        elif self.number % 3:
            yield Needed(self.number)
        self.output().put()


class Wide(InProcessExecutor):
    """Four attempts at once, two of which may wait before further generators do."""

    capacity = 4
    parking_places = 2  # type: ignore[assignment]  # there a class for one job, which has no limit


class Counting(ProcessLeases):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed = 0

    def claim(self, wanted: Sequence[Wanted]) -> list[Answer]:
        self.claimed += len(wanted)
        return super().claim(wanted)


def _run(count: int) -> tuple[RunSummary, int]:
    project, leases = Path("/project"), Counting()
    with context.use(context.Context(project=project)):
        graph = Graph()
        roots = graph.add([Yields(number, count) for number in range(count)])
        summary = Runner(graph, Wide(project), run_id="r1", project=project, leases=leases).run(roots)
    return summary, leases.claimed


def test_generators_that_are_kept_back_all_run_once() -> None:
    """Also one that somebody waits for by then, and where those that begin meanwhile wait for nothing."""
    summary, _ = _run(50)

    assert summary, summary.text
    assert len(begun) == len(set(begun)) == len(summary.results)


def test_generators_that_are_kept_back_are_claimed_a_few_times_each() -> None:
    """What is asked of the leases grows with the tasks, and not with their square."""
    _, few = _run(60)
    _, many = _run(240)

    assert many < 6 * few
