"""The plan: what a build would do with each task and why, as a value. Nothing is written to find it out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from etlctl.core.graph import Graph, Node
from etlctl.core.private import hidden
from etlctl.core.task import Completeness, Task
from etlctl.errors import EtlctlError
from etlctl.text import shortened


class Decision(StrEnum):
    """What a build would do with a task."""

    RUN = "run"
    DONE = "done"
    BLOCKED = "blocked"
    """An external input is missing, its own or one it requires."""
    BROKEN = "broken"
    """It, or what it requires, cannot be asked what it needs."""
    UNNEEDED = "unneeded"
    """Not complete, but everything that would need it is."""


class PlannedTask(NamedTuple):
    """One task of the plan. Made for each of ten thousand."""

    task: Task
    decision: Decision
    reason: str
    """Plain words, one printable line; empty for DONE."""
    requires: tuple[Task, ...] | None
    """Direct requirements; None where they could not be asked for."""
    error: BaseException | None = None


@dataclass(frozen=True)
class Plan:
    """What `etlctl build` would do, requirements before what requires them."""

    roots: tuple[Task, ...]
    tasks: tuple[PlannedTask, ...]

    @cached_property
    def by_task(self) -> dict[Task, PlannedTask]:
        """The same, to be looked up by task."""
        return {planned.task: planned for planned in self.tasks}

    def count(self, decision: Decision) -> int:
        """How many tasks have this decision."""
        return sum(planned.decision is decision for planned in self.tasks)


def make_plan(graph: Graph, roots: Iterable[Node]) -> Plan:
    """Decides for each node reachable from `roots`; `graph` was resolved with them."""
    roots = list(roots)
    needed = set(graph.walk(roots, behind_complete=False))  # what a build descends to
    decided: dict[Node, tuple[Decision, Node]] = {}
    tasks: list[PlannedTask] = []
    for node in graph.walk(roots):
        decision, reason, cause = _decide(node, decided)
        decided[node] = decision, cause
        if decision is not Decision.DONE and node not in needed:
            decision, reason = Decision.UNNEEDED, "nothing that is to run needs it"
        requires = None if node.error is not None else tuple([one.task for one in node.requires])
        tasks.append(PlannedTask(node.task, decision, reason, requires, node.error))
    return Plan(tuple(node.task for node in roots), tuple(tasks))


def _decide(node: Node, decided: dict[Node, tuple[Decision, Node]]) -> tuple[Decision, str, Node]:
    """Decision, reason, and the node at the root of it: what is broken or missing further up, else `node` itself."""
    if node.complete:
        # also when its requires() fails: a build would not ask it
        return Decision.DONE, "", node
    if node.error is not None:
        return Decision.BROKEN, error_line(node.error, node.task), node
    if node.task.is_external:
        return Decision.BLOCKED, missing_line(node), node
    found: dict[Decision, Node] = {}
    for requirement in node.requires:
        decision, cause = decided[requirement]
        found.setdefault(decision, cause)
    if Decision.BROKEN in found:
        return Decision.BROKEN, f"{found[Decision.BROKEN].task.task_label} cannot be asked", found[Decision.BROKEN]
    if Decision.BLOCKED in found:
        return Decision.BLOCKED, f"blocked by {found[Decision.BLOCKED].task.task_label}", found[Decision.BLOCKED]
    return Decision.RUN, "upstream will run" if Decision.RUN in found else _absence(node), node


def missing_line(node: Node) -> str:
    """Why an external task blocks: `data/x.csv is missing`."""
    if node.missing:
        more = f" and {len(node.missing) - 1} more" if len(node.missing) > 1 else ""
        return f"{shortened(str(node.missing[0]), 200)} is missing{more}"
    return "its complete() says no" if type(node.task).completeness() is Completeness.OWN else "it declares no output"


def error_line(error: BaseException, *tasks: Task) -> str:
    """The error as one printable line, with the kind's name where the text alone would not tell; no secret is in it."""
    text = hidden(str(error).strip(), *tasks)
    if isinstance(error, EtlctlError):
        return shortened(text, 500)
    return shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__, 500)


def _absence(node: Node) -> str:
    if node.missing:
        return str(getattr(node.missing[0], "absent", "output is missing"))
    if node.forced:
        return "done, but asked for by --force"
    if type(node.task).completeness() is Completeness.OWN:
        return "its complete() says no"
    return "has no output, so it runs every time"
