"""The graph: resolved backwards, level by level, without recursion, in time that grows with its edges."""

from __future__ import annotations

import gc
import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl import IntParameter, Parameter, Task
from etlctl.core.graph import Graph, cycle_sentence, path_to
from etlctl.core.results import Status
from etlctl.errors import BrokenTaskError, CycleError
from running import Shelf, run

shelf = Shelf()


@pytest.fixture(autouse=True)
def _emptied() -> None:
    shelf.names.clear()


class Link(Task):
    """One of a chain: requires the number below."""

    number = IntParameter()

    def requires(self) -> Any:
        return Link(self.number - 1) if self.number else []

    def output(self) -> Any:
        return shelf.target(f"link {self.number}")

    def run(self) -> Any:
        shelf.names.add(f"link {self.number}")


class Leaf(Task):
    number = IntParameter()

    def output(self) -> Any:
        return shelf.target(f"leaf {self.number}")

    def run(self) -> Any:
        shelf.names.add(f"leaf {self.number}")


class Fan(Task):
    size = IntParameter()

    def requires(self) -> Any:
        return [Leaf(number) for number in range(self.size)]

    def output(self) -> Any:
        return shelf.target(f"fan {self.size}")

    def run(self) -> Any:
        shelf.names.add(f"fan {self.size}")


# -- resolving


def test_graph_descends_only_behind_what_is_incomplete() -> None:
    """A complete task has no requirements in the graph; with `deep` it has."""
    shelf.names.add("link 2")
    shallow, deep = Graph(), Graph(deep=True)
    shallow.add([Link(4)])
    deep.add([Link(4)])

    assert list(shallow.nodes) == [Link(4), Link(3), Link(2)]
    assert list(deep.nodes) == [Link(number) for number in (4, 3, 2, 1, 0)]
    assert [node.complete for node in deep.nodes.values()] == [False, False, True, False, False]


def test_graph_numbers_requirements_before_what_requires_them() -> None:
    """`order` is a valid order, and walk() goes by it."""
    graph = Graph()
    (root,) = graph.add([Link(5)])

    assert [node.task for node in graph.walk([root])] == [Link(number) for number in range(6)]
    for node in graph.nodes.values():
        assert all(requirement.order < node.order for requirement in node.requires)


def test_graph_takes_equal_tasks_as_one_node() -> None:
    """F57: Asked for twice, required twice: one node, and its dependents are each named once."""

    class Twice(Task):
        def requires(self) -> Any:
            return [Leaf(1), {"again": Leaf(1)}]

    graph = Graph()
    roots = graph.add([Twice(), Twice()])

    assert roots[0] is roots[1]
    assert len(graph.nodes) == 2
    assert graph.nodes[Leaf(1)].dependents == [roots[0]]


def test_graph_may_be_added_to_and_asks_nothing_twice() -> None:
    """What came later is resolved, what was known is not asked again."""
    graph = Graph()
    graph.add([Link(2)])
    shelf.asked.clear()

    graph.add([Link(4), Link(1)])

    assert sorted(shelf.asked) == ["link 3", "link 4"]
    assert graph.nodes[Link(4)].order > graph.nodes[Link(2)].order


def test_graph_keeps_the_error_of_what_cannot_be_asked_in_its_node() -> None:
    """The others are resolved all the same; sys.exit() becomes a sentence."""

    class Broken(Task):
        how = Parameter()

        def requires(self) -> Any:
            raise ValueError("no list") if self.how == "raises" else SystemExit(2)

    graph = Graph()
    raises, exits, good = graph.add([Broken("raises"), Broken("exits"), Link(1)])

    assert isinstance(raises.error, ValueError)
    assert isinstance(exits.error, BrokenTaskError)
    assert str(exits.error) == "Broken(exits): its code called sys.exit(2) when asked"
    assert good.error is None
    assert good.requires


def test_graph_keyboard_interrupt_is_the_users() -> None:
    """Ctrl-C while tasks are asked ends the asking; it is not an error of the task."""

    class Slow(Task):
        def requires(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Graph().add([Slow()])


def test_graph_missing_outputs_are_kept() -> None:
    """A node knows which of its outputs are not there."""

    class Two(Task):
        def output(self) -> Any:
            return [shelf.target("a"), shelf.target("b"), shelf.target("c")]

    shelf.names.add("b")
    (node,) = Graph().add([Two()])

    assert [str(target) for target in node.missing] == ["a", "c"]


def test_graph_node_shows_its_task() -> None:
    """repr is for people who debug."""
    (node,) = Graph().add([Leaf(1)])
    assert repr(node) == "<Node Leaf(number=1) complete=False error=None>"


# -- cycles


class Edges(Task):
    """Requires what its text says: "b c"."""

    name = Parameter()
    edges: dict[str, str] = {}

    def requires(self) -> Any:
        return [Edges(name) for name in Edges.edges.get(self.name, "").split()]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3).map(" ".join)))
def test_graph_finds_a_cycle_exactly_when_there_is_one(edges: dict[str, str]) -> None:
    """F55: And what it prints is a circle: each requires the next, the last is the first."""
    Edges.edges = edges
    reached: set[str] = set()
    stack = ["a"]
    while stack:
        name = stack.pop()
        if name not in reached:
            reached.add(name)
            stack.extend(edges.get(name, "").split())

    def reaches_itself(start: str) -> bool:
        seen: set[str] = set()
        stack = edges.get(start, "").split()
        while stack:
            name = stack.pop()
            if name == start:
                return True
            if name not in seen:
                seen.add(name)
                stack.extend(edges.get(name, "").split())
        return False

    cyclic = any(reaches_itself(name) for name in reached)
    try:
        Graph().add([Edges("a")])
    except CycleError as error:
        assert cyclic
        circle = str(error).removeprefix("These tasks require each other in a circle: ").split(". One")[0].split(" -> ")
        names = [text[len("Edges(") : -1] for text in circle]
        assert names[0] == names[-1]
        assert len(set(names)) == len(names) - 1
        assert all(after in edges[before].split() for before, after in itertools.pairwise(names))
    else:
        assert not cyclic


def test_graph_a_long_circle_is_shortened_in_the_middle() -> None:
    """The sentence stays readable and says how many are left out."""
    graph = Graph()
    (root,) = graph.add([Link(99)])
    circle = [*reversed(list(graph.walk([root]))), root]

    said = cycle_sentence(circle)

    assert said.count("->") == 11
    assert "Link(94) -> … 90 more … -> Link(3)" in said


def test_path_to_goes_along_what_is_not_complete() -> None:
    """The way is found; through complete tasks there is none."""
    graph = Graph()
    (root,) = graph.add([Link(3)])
    goal = graph.nodes[Link(0)]

    assert [node.task for node in path_to([root], goal) or []] == [Link(3), Link(2), Link(1), Link(0)]
    assert path_to([goal], root) is None
    graph.nodes[Link(1)].complete = True
    assert path_to([root], goal) is None


# -- size


def test_graph_a_chain_of_10_000_builds_without_recursion() -> None:
    """F56: 10,000 levels resolve, run, and are found complete."""
    assert run(Link(10_000))
    assert len(shelf.names) == 10_001
    assert [result.status for result in run(Link(10_000)).results] == [Status.UPTODATE]


def test_graph_a_chain_of_10_000_that_fails_at_its_end_is_skipped_whole() -> None:
    """F56: The end of one carries on to 10,000 without recursion; each names the root of it."""

    class Failing(Link):
        def requires(self) -> Any:
            return Failing(self.number - 1) if self.number else []

        def run(self) -> Any:
            raise ValueError("the first")

    summary = run(Failing(10_000))

    assert len(summary.results) == 10_001
    assert summary.results[-1].reason == "Failing(0) failed"
    assert summary.exit_code == 1


def test_graph_a_fan_in_of_20_000_builds() -> None:
    """F56: 20,000 tasks under one."""
    summary = run(Fan(20_000))

    assert summary
    assert len(summary.results) == 20_001
    assert summary.results[-1].task == Fan(20_000)


class Diamond(Task):
    """Level by level two tasks that share both of the level below: 1,000 levels have 2^1,000 paths."""

    level = IntParameter()
    side = IntParameter()

    def requires(self) -> Any:
        return [Diamond(self.level - 1, side) for side in (0, 1)] if self.level else []

    def output(self) -> Any:
        return shelf.target(f"{self.level} {self.side}")

    def run(self) -> Any:
        shelf.names.add(f"{self.level} {self.side}")


def test_graph_of_1_000_diamonds_runs_each_task_once() -> None:
    """F57: however many paths lead to a task, it is made many times and run once."""
    summary = run(Diamond(1_000, 0))

    assert summary
    assert len(summary.results) == len(set(summary.tasks)) == 2_001


@pytest.mark.parametrize("kind", [Link, Fan])
def test_graph_time_grows_with_its_edges(kind: Any) -> None:
    """Eight times the tasks take less than three times the time of linear growth: no quadratic step is hidden."""

    def seconds(size: int) -> float:
        shelf.names.clear()
        gc.collect()
        began = time.process_time()
        assert run(kind(size))
        return time.process_time() - began

    seconds(100)
    small = min(seconds(300) for _ in range(3))
    large = min(seconds(2400) for _ in range(3))

    assert large < 8 * 3 * small
