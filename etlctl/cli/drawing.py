"""A graph of tasks drawn: as a tree of lines, as Mermaid and as DOT. Iterative: a chain may be 10,000 tasks deep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from etlctl.cli.layout import Line, Style, span
from etlctl.cli.states import Shown, State, state_of
from etlctl.core.plan import Plan, PlannedTask
from etlctl.core.task import Task
from etlctl.text import printable

DEEPEST = 30
"""Levels that a tree shows unless told: each costs three columns."""

_SPECIAL = re.compile(r"""[^\w .,:=()/+@-]|[\x80-\uffff]""")
_COLOURS: Mapping[State, str] = {"done": "#c8e6c9", "missing": "#ffffff", "blocked": "#ffe0b2", "unknown": "#ffcdd2"}


def tree(plan: Plan, signs: Mapping[Shown, tuple[str, Style]], deepest: int) -> Iterator[Line]:
    """A line a task, requirements below what requires them. A task that was shown is named again, not drawn again."""
    shown: set[Task] = set()
    stack: list[tuple[Task, str, str, int]] = [(root, "", "", 0) for root in reversed(plan.roots)]
    while stack:
        task, before, below, depth = stack.pop()
        planned = plan.by_task[task]
        sign, style = signs[state_of(planned.decision)]
        requires = planned.requires or ()
        is_again = task in shown and bool(requires)
        shown.add(task)
        told = _told(planned, is_again=is_again, hidden=len(requires) if depth >= deepest else 0)
        yield (span(before, Style.DIM), span(sign, style), span(f" {task.task_label}"), span(told, Style.DIM))
        if is_again or depth >= deepest:
            continue
        for index, requirement in enumerate(reversed(requires)):
            is_last = index == 0
            branch, further = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            stack.append((requirement, below + branch, below + further, depth + 1))


def _told(planned: PlannedTask, *, is_again: bool, hidden: int) -> str:
    if is_again:
        return "  (as above)"
    if planned.requires is None:
        return f"  ? {planned.reason or 'requires() failed'}"
    return f"  … requires {hidden:,} more: --depth shows them" if hidden else ""


def mermaid(plan: Plan) -> Iterator[str]:
    """The graph in Mermaid's flowchart language, arrows from what is required to what requires it."""
    yield "flowchart LR"
    numbers = {planned.task: f"t{number}" for number, planned in enumerate(plan.tasks)}
    for planned in plan.tasks:
        label = _SPECIAL.sub(lambda match: f"#{ord(match[0])};", printable(planned.task.task_label))
        yield f'    {numbers[planned.task]}["{label}"]:::{state_of(planned.decision)}'
    for planned in plan.tasks:
        for requirement in planned.requires or ():
            yield f"    {numbers[requirement]} --> {numbers[planned.task]}"
    for state, colour in _COLOURS.items():
        yield f"    classDef {state} fill:{colour},stroke:#555,color:#000"


def dot(plan: Plan) -> Iterator[str]:
    """The graph in Graphviz's language, arrows from what is required to what requires it."""
    yield "digraph etlctl {"
    yield '    rankdir=LR; node [shape=box, style="rounded,filled", fontname="sans-serif"];'
    numbers = {planned.task: f"t{number}" for number, planned in enumerate(plan.tasks)}
    for planned in plan.tasks:
        label = printable(planned.task.task_label).replace("\\", "\\\\").replace('"', '\\"')
        colour = _COLOURS[state_of(planned.decision)]
        yield f'    {numbers[planned.task]} [label="{label}", fillcolor="{colour}"];'
    for planned in plan.tasks:
        for requirement in planned.requires or ():
            yield f"    {numbers[requirement]} -> {numbers[planned.task]};"
    yield "}"
