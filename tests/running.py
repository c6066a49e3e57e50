"""What the tests of tasks, graph and engine share: running tasks without settings, recording what is called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from etlctl.core import context
from etlctl.core.graph import Graph
from etlctl.core.leases import Leases
from etlctl.core.plan import Plan, make_plan
from etlctl.core.results import Observer, RunSummary, Status, TaskResult
from etlctl.core.target import Target
from etlctl.core.task import Task
from etlctl.engine.executors.in_process import InProcessExecutor
from etlctl.engine.failures import Failure
from etlctl.engine.runner import Runner
from etlctl.errors import ExitCode


class Shelf:
    """Results in memory, one shelf a test: what `put` was called with exists."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.asked: list[str] = []

    def target(self, name: str) -> ShelfTarget:
        return ShelfTarget(self, name)


class ShelfTarget(Target):
    """One name on a shelf."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self.shelf = shelf
        self.name = name

    def __str__(self) -> str:
        return self.name

    def exists(self) -> bool:
        self.shelf.asked.append(self.name)
        return self.name in self.shelf.names

    def put(self) -> None:
        self.shelf.names.add(self.name)


def run(
    *tasks: Task,
    deep: bool = False,
    force: Collection[Task] = (),
    observers: Sequence[Observer] = (),
    stop: Callable[[], ExitCode | None] = lambda: None,
    hold: Callable[[Task], str] | None = None,
    project: Path | None = None,
    leases: Leases | None = None,
    wait_held_s: float = 0,
    fail_fast: bool = False,
) -> RunSummary:
    """Builds `tasks` in this process, as an app does, without settings or history."""
    folder = project or context.current().project
    with context.use(context.Context(project=folder)):
        graph = Graph(deep=deep, forced=force)
        roots = graph.add(tasks)
        runner = Runner(
            graph,
            InProcessExecutor(folder),
            run_id="r1",
            project=folder,
            observers=observers,
            stop=stop,
            hold=hold,
            leases=leases,
            wait_held_s=wait_held_s,
            fail_fast=fail_fast,
        )
        return runner.run(roots)


def plan(*tasks: Task, force: Collection[Task] = ()) -> Plan:
    """The plan of `tasks`, as an app makes it."""
    with context.use(context.Context(project=context.current().project)):
        graph = Graph(deep=True, forced=force)
        return make_plan(graph, graph.add(tasks))


def statuses(summary: RunSummary) -> dict[str, str]:
    """Status by label."""
    return {result.task.task_label: str(result.status) for result in summary.results}


def result_of(summary: RunSummary, task: Task) -> TaskResult:
    """The one result of a task."""
    (found,) = [result for result in summary.results if result.task == task]
    return found


def ran(summary: RunSummary) -> list[str]:
    """Labels of what ran well, in order."""
    return [result.task.task_label for result in summary.results if result.status is Status.OK]


class Watcher:
    """An observer that keeps what it was told, as tuples of the call's name and its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        self.calls.append(("run_started", run_id, list(tasks), list(to_run)))

    def task_started(self, task: Task, attempt: context.Attempt) -> None:
        self.calls.append(("task_started", task.task_label))

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        self.calls.append(("task_finished", result.task.task_label, str(result.status), number, total))

    def run_finished(self, summary: RunSummary) -> None:
        self.calls.append(("run_finished", summary))

    def task_retried(self, task: Task, failure: Failure, attempt: context.Attempt, delay_s: float) -> None:
        self.calls.append(("task_retried", task.task_label, failure.reason, attempt.number))
