"""The graph of tasks: which there are, which are complete, what each requires. Resolved backwards, level by level.

    Graph.add(roots)
      for each level:  _ask      completeness of the whole level, targets in bulk
                       _expand   requires() of what is not complete (of everything when deep)
      _settle                    order, cycles, wrappers: one walk over what is new

Iterative throughout: a chain of 10,000 tasks is 10,000 levels and no recursion. Time and memory are linear in edges.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Iterable, Iterator
from operator import attrgetter
from typing import Any

from etlctl.core.daytime import deadline_of
from etlctl.core.events import Event, EventSource
from etlctl.core.target import exists_in_bulk
from etlctl.core.task import Completeness, Task, outputs_of, requirements_of
from etlctl.errors import BrokenTaskError, CycleError, EtlctlError, SettingsError
from etlctl.text import shortened

_logger = logging.getLogger("etlctl")

USER_ERRORS = (Exception, SystemExit)
"""What user code may raise while it is only asked; a KeyboardInterrupt is the user's, not the code's."""


class Node:
    """One task in the graph, with what is known of it."""

    __slots__ = ("complete", "dependents", "error", "expanded", "forced", "missing", "order", "requires", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.complete: bool | None = None
        """None until asked; a wrapper's answer comes from its requirements."""
        self.error: BaseException | None = None
        """What requires(), output() or complete() raised; such a task cannot run."""
        self.missing: tuple[Any, ...] = ()
        """The outputs that are not there."""
        self.requires: list[Node] = []
        self.dependents: list[Node] = []
        self.expanded = False
        self.forced = False
        """Complete, but asked for all the same."""
        self.order = -1
        """Requirements have a smaller number than what requires them."""

    def __repr__(self) -> str:
        return f"<Node {self.task!r} complete={self.complete} error={self.error!r}>"


class Graph:
    """Tasks reachable from those asked for, each once."""

    def __init__(self, *, deep: bool = False, forced: Collection[Task] = ()) -> None:
        """With `deep` complete tasks are descended into as well; `forced` ones count as not complete."""
        self.nodes: dict[Task, Node] = {}
        self._deep = deep
        self._forced = frozenset(forced)
        self._ordered = 0
        self._claims: dict[Hashable, Node] = {}

    def add(self, tasks: Iterable[Task]) -> list[Node]:
        """Resolves `tasks` and what they need, and returns their nodes, in order. Raises CycleError.

        A task that cannot be asked keeps its error in its node; the others are resolved all the same.
        """
        roots = [self._node(task) for task in tasks]
        level = [node for node in dict.fromkeys(roots) if not node.expanded and node.complete is None]
        while level:
            self._ask(level)
            level = self._expand(level)
        self._settle(roots)
        return roots

    def walk(self, roots: Iterable[Node], *, behind_complete: bool = True) -> Iterator[Node]:
        """Nodes reachable from `roots`, requirements before what requires them, each once."""
        reached: set[Node] = set()
        found = set(roots)
        while found:
            reached |= found
            left = found if behind_complete else {node for node in found if not node.complete}
            found = {requirement for node in left for requirement in node.requires} - reached
        return iter(sorted(reached, key=attrgetter("order")))

    def check_settings(self) -> None:
        """Raises SettingsError when a task that is not complete names what the settings do not have, or a deadline that
        is none.

        Settings are one for all tasks, so that this is found before anything runs, unlike a task's own troubles.
        """
        for node in self.nodes.values():
            if node.complete or node.task.is_external:
                continue
            try:
                if isinstance(node.error, SettingsError):  # an output that names a connection
                    raise node.error
                node.task.check_settings()
                deadline_of(node.task)
            except SettingsError as error:
                raise SettingsError(f"{node.task.task_label}: {error}") from error
            except USER_ERRORS as error:
                if node.error is None:
                    self._break(node, error)

    def _node(self, task: Task) -> Node:
        node = self.nodes.get(task)
        if node is None:
            node = self.nodes[task] = Node(task)
        return node

    # -- one level

    def _ask(self, level: list[Node]) -> None:
        targets: list[tuple[Node, list[Any]]] = []
        for node in level:
            try:
                self._check_claim(node)
                kind = type(node.task).completeness()
                if kind is Completeness.OUTPUTS:
                    targets.append((node, outputs_of(node.task)))
                elif kind is Completeness.OWN:
                    node.complete = bool(node.task.complete())
            except USER_ERRORS as error:
                self._break(node, error)

        found = exists_in_bulk(target for _, group in targets for target in group)
        for node, group in targets:
            self._answer(node, group, found)
        for node in level if self._forced else ():
            self._force(node)
        if any(map(EventSource.is_listened_to, (Event.DEPENDENCY_PRESENT, Event.DEPENDENCY_MISSING))):
            _tell_of(level)

    def _answer(self, node: Node, targets: list[Any], answers: dict[int, bool | Exception]) -> None:
        missing = []
        for target in targets:
            answer = answers[id(target)]
            if isinstance(answer, Exception):
                self._break(node, answer)
                return
            if not answer:
                missing.append(target)
        node.missing = tuple(missing)
        node.complete = bool(targets) and not missing

    def _check_claim(self, node: Node) -> None:
        claim = node.task.claim()
        if claim is None:
            return
        first = self._claims.setdefault(claim, node)
        if first is not node:
            raise BrokenTaskError(
                f"{node.task.task_label} has the same marker as {first.task.task_label}, {shortened(str(claim), 200)}, "
                "so only one would ever be loaded. Let update_id tell them apart; the default, the task id, does."
            )

    def _expand(self, level: list[Node]) -> list[Node]:
        found: list[Node] = []
        for node in level:
            node.expanded = True
            if node.error is not None or (node.complete and not self._deep) or node.task.is_external:
                continue  # an external task is waited for: nothing behind it is made for it
            try:
                requirements = requirements_of(node.task)
            except USER_ERRORS as error:
                self._break(node, error)
                continue
            for task in requirements:
                requirement = self.nodes.get(task)  # one look for each edge: a task's hash is not Python's own
                if requirement is None:
                    requirement = self.nodes[task] = Node(task)
                    found.append(requirement)
                node.requires.append(requirement)
                requirement.dependents.append(node)
            if EventSource.is_listened_to(Event.DEPENDENCY_DISCOVERED):
                for task in requirements:
                    node.task.trigger_event(Event.DEPENDENCY_DISCOVERED, node.task, task)
        return found

    def _break(self, node: Node, error: BaseException) -> None:
        if not isinstance(error, EtlctlError):
            _logger.debug("%s cannot be asked", node.task.task_label, exc_info=error)
        if isinstance(error, SystemExit):
            wrapped = BrokenTaskError(f"{node.task.task_label}: its code called sys.exit({error.code!r}) when asked")
            wrapped.__cause__ = error
            error = wrapped
        node.error = error
        node.task.trigger_event(Event.BROKEN_TASK, node.task, error)

    # -- order, cycles, wrappers

    def _settle(self, roots: list[Node]) -> None:
        """Depth first over what has no order yet; a node gets its number when all it requires have theirs."""
        path: dict[Node, Iterator[Node]] = {}
        for root in roots:
            if root.order >= 0:
                continue
            path[root] = iter(root.requires)
            while path:
                node, pending = next(reversed(path.items()))
                for requirement in pending:
                    if requirement.order < 0:
                        if requirement in path:
                            nodes = list(path)
                            raise CycleError(cycle_sentence([*nodes[nodes.index(requirement) :], requirement]))
                        path[requirement] = iter(requirement.requires)
                        break
                else:
                    del path[node]
                    self._finish(node)

    def _finish(self, node: Node) -> None:
        node.order = self._ordered
        self._ordered += 1
        if node.complete is None and node.error is None:
            node.complete = all(requirement.complete for requirement in node.requires)
            if self._forced:
                self._force(node)

    def _force(self, node: Node) -> None:
        if node.complete and node.task in self._forced and not node.task.is_external:
            node.complete, node.forced = False, True


def _tell_of(level: list[Node]) -> None:
    for node in level:
        if node.complete:
            node.task.trigger_event(Event.DEPENDENCY_PRESENT, node.task)
        elif node.complete is False and node.task.is_external:
            node.task.trigger_event(Event.DEPENDENCY_MISSING, node.task)


def path_to(start: Iterable[Node], goal: Node) -> list[Node] | None:
    """The way from one of `start` to `goal` along requirements that are not complete; None when there is none."""
    came_from: dict[Node, Node | None] = dict.fromkeys(start)
    stack = list(came_from)
    while stack:
        node = stack.pop()
        if node is goal:
            way = [node]
            while (before := came_from[way[-1]]) is not None:
                way.append(before)
            return way[::-1]
        for requirement in node.requires:
            if requirement not in came_from and not requirement.complete:
                came_from[requirement] = node
                stack.append(requirement)
    return None


def cycle_sentence(circle: list[Node]) -> str:
    """`A(x=1) -> B(x=1) -> A(x=1)` in a sentence; the middle of a long one is left out."""
    names = [node.task.task_label for node in circle]
    if len(names) > 12:
        names = [*names[:6], f"… {len(names) - 11} more …", *names[-5:]]
    return "These tasks require each other in a circle: " + " -> ".join(names) + ". One of them must not."
