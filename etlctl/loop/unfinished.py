"""Which tasks are not complete, and why, by the graph as it is now: for deadlines. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from etlctl.core.graph import Graph, Node
from etlctl.core.plan import error_line, missing_line
from etlctl.core.task import Task, requirements_of
from etlctl.loop.standing import task_deadline

_MOST_BEHIND = 100_000


def unfinished(tasks: Sequence[Task], deadline: str) -> list[tuple[Task, str]]:
    """Those of `tasks`, and of what they need, that have this deadline and are not complete, or not known to be.

    What cannot be asked hides from a build what is behind it; that is asked here all the same. Raises CycleError.
    """
    graph = Graph()
    graph.add(tasks)
    needed = list(graph.nodes.values())
    needed += _hidden(graph, [node for node in needed if node.error is not None])
    return [(node.task, _why(node)) for node in needed if not node.complete and task_deadline(node.task) == deadline]


def are_complete(tasks: Sequence[Task]) -> bool:
    """Whether nothing is left to do for any of them. Raises CycleError."""
    return all(node.complete for node in Graph().add(tasks))


def _hidden(graph: Graph, broken: Sequence[Node]) -> list[Node]:
    """What is needed behind these, and not in the graph: asked in one go, as each of them may have to wait for an
    answer in vain."""
    required: dict[Task, list[Task]] = {}
    level = [node.task for node in broken]
    while level and len(required) < _MOST_BEHIND:
        required |= {task: _required(task) for task in level}
        level = list(dict.fromkeys(one for task in level for one in required[task] if one not in required))
    known = set(graph.nodes)
    graph.add([task for task in required if task not in known])
    found: dict[Task, None] = {}
    level = [node.task for node in broken]
    while level:
        behind = [one for task in level for one in required.get(task, ()) if one in graph.nodes and one not in known]
        level = [one for one in dict.fromkeys(behind) if one not in found and not graph.nodes[one].complete]
        found.update(dict.fromkeys(level))
    return [graph.nodes[task] for task in found]


def _required(task: Task) -> list[Task]:
    try:
        return [] if task.is_external else requirements_of(task)
    except (Exception, SystemExit):  # noqa: BLE001  a user's: its turn fails with it, and says so
        return []


def _why(node: Node) -> str:
    """Why a task is not complete, as far as the graph knows: the error or the missing input at its end or behind it."""
    seen, level = {node}, [node]
    while level:
        for one in level:
            behind = "" if one is node else f"blocked by {one.task.task_label}: "
            if one.error is not None:
                return f"{behind}{error_line(one.error, one.task)}"
            if one.task.is_external:
                return f"{behind or 'blocked: '}{missing_line(one)}"
        level = [one for before in level for one in before.requires if not one.complete and one not in seen]
        seen.update(level)
    return "has not begun"
