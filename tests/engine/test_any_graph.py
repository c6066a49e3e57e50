"""Any graph of tasks: what is incomplete runs in a valid order, once; what is behind a bad end is skipped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from etlctl import IntParameter, Task, WrapperTask
from etlctl.core import context
from etlctl.core.plan import Decision
from etlctl.core.results import RunSummary, Status
from running import Shelf, plan, run

KINDS = ("plain", "plain", "plain", "complete", "external", "failing", "broken", "own", "lying", "wrapper")
"""What a task of a random graph is; `lying` runs and leaves its output unmade."""


@dataclass
class World:
    """One random graph: tasks are numbers, a task requires smaller numbers only."""

    kinds: list[str]
    requires: list[list[int]]
    yields: list[list[int]]
    priorities: list[int]
    roots: list[int]
    shelf: Shelf = field(default_factory=Shelf)
    ran: list[int] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)

    here: ClassVar[World]


class Numbered(Task):
    """The task of a number in the world at hand."""

    number = IntParameter()

    @property
    def kind(self) -> str:
        return World.here.kinds[self.number]

    @property
    def priority(self) -> int:
        return World.here.priorities[self.number]

    def requires(self) -> Any:
        if self.kind == "broken":
            raise ValueError(f"{self.number} cannot be asked")
        return [made(number) for number in World.here.requires[self.number]]

    def output(self) -> Any:
        return World.here.shelf.target(str(self.number))

    def run(self) -> Any:
        world = World.here
        needed = world.requires[self.number]
        assert all(is_done(number) for number in needed), "a requirement has not ended well"
        world.ran.append(self.number)
        for number in world.yields[self.number]:
            yield made(number)
            assert is_done(number), "resumed before what it waits for has ended well"
        if self.kind == "failing":
            raise ValueError(f"{self.number} fails")
        if self.kind != "lying":
            world.shelf.names.add(str(self.number))


class External(Numbered):
    run: Any = None


class Wrapping(WrapperTask):
    """The same as a WrapperTask: no output, no run() of its own."""

    number = IntParameter()

    def requires(self) -> Any:
        return [made(number) for number in World.here.requires[self.number]]


class Own(Numbered):
    def complete(self) -> bool:
        asked = World.here.asked
        asked[self.number] = asked.get(self.number, 0) + 1
        return str(self.number) in World.here.shelf.names


def made(number: int) -> Task:
    kinds: dict[str, type[Any]] = {"external": External, "own": Own, "wrapper": Wrapping}
    task: Task = kinds.get(World.here.kinds[number], Numbered)(number)
    return task


def is_done(number: int) -> bool:
    world = World.here
    if world.kinds[number] == "wrapper":
        return all(is_done(one) for one in world.requires[number])
    return str(number) in world.shelf.names


@st.composite
def worlds(draw: st.DrawFn, *, dynamic: bool = False) -> World:
    size = draw(st.integers(1, 14))
    below = [st.lists(st.integers(0, number - 1), max_size=4) if number else st.just([]) for number in range(size)]
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=size, max_size=size))
    world = World(
        kinds=kinds,
        requires=[list(dict.fromkeys(draw(one))) for one in below],
        yields=[
            list(dict.fromkeys(draw(one))) if dynamic and kind not in ("wrapper", "external", "broken") else []
            for one, kind in zip(below, kinds, strict=True)
        ],
        priorities=draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size)),
        roots=draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4)),
    )
    world.shelf.names.update(str(number) for number, kind in enumerate(kinds) if kind == "complete")
    World.here = world
    return world


def built(world: World, **options: Any) -> tuple[dict[int, Status], RunSummary]:
    summary = run(*(made(number) for number in world.roots), **options)
    found: dict[int, Status] = {}
    for result in summary.results:
        number = result.task.param_kwargs["number"]
        assert number not in found, "a task has two results"
        found[number] = result.status
    return found, summary


def expected(world: World) -> dict[int, Status]:
    """How each task must end, said once more and simply: by recursion over the numbers."""
    found: dict[int, Status] = {}

    def end(number: int) -> Status:
        if number not in found:
            found[number] = ending(number)
        return found[number]

    def ending(number: int) -> Status:
        kind = world.kinds[number]
        if kind in AT_ONCE:
            return AT_ONCE[kind]
        required = [end(one) for one in world.requires[number]]
        bad = worst(required) or next(filter(None, (worst([end(one)]) for one in world.yields[number])), None)
        if bad is not None:
            return bad
        if kind == "wrapper":
            return Status.OK if Status.OK in required else Status.UPTODATE
        return Status.FAIL if kind in ("failing", "lying") else Status.OK

    for root in world.roots:
        end(root)
    return found


EITHER = ({Status.SKIP, Status.BLOCKED}, {Status.OK, Status.UPTODATE})
"""What is right both ways: a requirement blocked and another failing; a wrapper seen only after its requirements."""

AT_ONCE = {"complete": Status.UPTODATE, "broken": Status.FAIL, "external": Status.BLOCKED}
"""Ends that are known before anything runs."""


def worst(ends: list[Status]) -> Status | None:
    if Status.FAIL in ends or Status.SKIP in ends:
        return Status.SKIP
    return Status.BLOCKED if Status.BLOCKED in ends else None


IN_PLACE = context.Context(project=Path(__file__).parent)


@given(worlds())
@settings(max_examples=100)
def test_any_graph_runs_in_a_valid_order_only_what_is_incomplete_and_once(world: World) -> None:
    """Requirements have ended well before each run (asserted in run()); nothing complete runs; nothing runs twice."""
    with context.use(IN_PLACE):
        found, summary = built(world)

    assert len(world.ran) == len(set(world.ran))
    assert all(world.kinds[number] in ("plain", "own", "failing", "lying") for number in world.ran)
    assert {number for number in found if found[number] is Status.OK and world.kinds[number] != "wrapper"} <= set(
        world.ran
    )
    assert "interrupted" not in summary.text


@given(worlds())
@settings(max_examples=100)
def test_any_graph_skips_exactly_what_is_behind_a_bad_end(world: World) -> None:
    """What is behind a failure or a missing input does not run, and all else does, exactly.

    A task with a blocked requirement and another that fails only while it runs may be told either way.
    """
    with context.use(IN_PLACE):
        found, summary = built(world)

    wanted = expected(world)
    assert found.keys() == wanted.keys()
    for number, status in found.items():
        assert status is wanted[number] or {status, wanted[number]} == EITHER[0]
    assert bool(summary) is all(status in (Status.OK, Status.UPTODATE) for status in found.values())


@given(worlds())
@settings(max_examples=100)
def test_any_graph_is_built_as_it_was_planned(world: World) -> None:
    """RUN is run (or fails, or is skipped for what failed on the way), DONE is not, BLOCKED and BROKEN end so."""
    with context.use(IN_PLACE):
        planned = plan(*(made(number) for number in world.roots))
        assert world.ran == []
        found, _ = built(world)

    ends: dict[Decision, set[Status | None]] = {
        Decision.RUN: {Status.OK, Status.FAIL, Status.SKIP},
        Decision.DONE: {Status.UPTODATE, None},
        Decision.BLOCKED: {Status.BLOCKED},
        Decision.BROKEN: {Status.FAIL, Status.SKIP},
        Decision.UNNEEDED: {None},
    }
    decided = {one.task.param_kwargs["number"]: one for one in planned.tasks}
    assert found.keys() <= decided.keys()
    for number, one in decided.items():
        assert found.get(number) in ends[one.decision], (number, one)
    runs = {
        number for number, one in decided.items() if one.decision is Decision.RUN and world.kinds[number] != "wrapper"
    }
    assert set(world.ran) <= runs
    if not {world.kinds[number] for number in runs} & {"failing", "lying"}:
        assert set(world.ran) == runs


@given(worlds(dynamic=True))
@settings(max_examples=150)
def test_any_graph_with_yields_runs_in_a_valid_order_and_once(world: World) -> None:
    """The same when run() yields: every wait ends, each task has one result, and what is done stays done."""
    with context.use(IN_PLACE):
        found, summary = built(world)
        wanted = expected(world)
        assert "interrupted" not in summary.text
        assert len(world.ran) == len(set(world.ran))
        for number, status in wanted.items():
            assert number in found, number
            assert found[number] is status or {found[number], status} in EITHER

        world.ran.clear()
        again, _ = built(world)
        done = {number for number, status in found.items() if status is Status.OK}
        assert not done & set(world.ran)
        assert all(
            again[number] is Status.UPTODATE or world.kinds[number] == "wrapper" for number in done & again.keys()
        )


@given(worlds())
@settings(max_examples=60)
def test_any_graph_asks_an_own_complete_at_most_once_and_once_per_dependent(world: World) -> None:
    """F57: 1 + the tasks that require it."""
    with context.use(IN_PLACE):
        built(world)

    for number, times in world.asked.items():
        dependents = sum(number in required for required in world.requires)
        assert times <= 1 + dependents


@given(worlds())
@settings(max_examples=100)
def test_any_graph_built_deep_makes_all_that_can_be_made(world: World) -> None:
    """--deep asks behind complete tasks too; complete ones still do not run."""
    with context.use(IN_PLACE):
        found, _ = built(world, deep=True)

    assert not {number for number in world.ran if world.kinds[number] == "complete"}
    reached: set[int] = set()
    stack = list(world.roots)
    while stack:
        number = stack.pop()
        if number not in reached:
            reached.add(number)
            if world.kinds[number] not in ("external", "broken"):
                stack.extend(world.requires[number])
    assert found.keys() == reached
