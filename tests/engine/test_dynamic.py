"""Dynamic requirements: run() yields tasks, waits for them, and goes on where it stopped with their outputs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from etlctl import DynamicRequirements, ExternalTask, IntParameter, Parameter, Task, WrapperTask
from etlctl.core import context
from etlctl.core.results import Status
from running import Shelf, Watcher, result_of, run, statuses

shelf = Shelf()
journal: list[str] = []


@pytest.fixture(autouse=True)
def _emptied() -> None:
    shelf.names.clear()
    journal.clear()


class Step(Task):
    name = Parameter()

    @property
    def task_label(self) -> str:
        return str(self.name)

    def output(self) -> Any:
        return shelf.target(self.name)

    def run(self) -> Any:
        journal.append(self.name)
        shelf.names.add(self.name)


class Failing(Step):
    def run(self) -> Any:
        raise ValueError("broken")


class Feed(ExternalTask):
    name = Parameter()

    def output(self) -> Any:
        return shelf.target(self.name)


Body = Callable[[Any], Iterator[Any]]


def generator(name: str, body: Body) -> Task:
    """A task whose run() is `body`, between two words in the journal; its output is made at the end."""

    class Generating(Step):
        def run(self) -> Any:
            journal.append(f"{self.name} begins")
            try:
                yield from body(self)
            finally:
                journal.append(f"{self.name} closes")
            shelf.names.add(self.name)

    return Generating(name)


# -- what may be yielded


@pytest.mark.parametrize(
    ("structure", "reply"),
    [
        (lambda: Step("x"), "x"),
        (lambda: [Step("x"), Step("y")], ["x", "y"]),
        (lambda: (Step("x"), [Step("y")]), ("x", ["y"])),
        (lambda: {"a": Step("x"), "b": {"c": Step("y")}}, {"a": "x", "b": {"c": "y"}}),
        (lambda: (Step(name) for name in "xy"), ["x", "y"]),
        (lambda: DynamicRequirements([Step("x"), Step("y")]), ["x", "y"]),
        (lambda: DynamicRequirements({"a": Step("x")}, lambda complete: False), {"a": "x"}),
        (list, []),
        (lambda: None, []),
    ],
    ids=["one", "list", "tuple", "dict", "generator", "DynamicRequirements", "custom complete", "empty", "none"],
)
def test_dynamic_a_yield_waits_for_its_tasks_and_gives_their_outputs(structure: Any, reply: Any) -> None:
    """One, a list, a dict, nested, DynamicRequirements: built, then resumed with targets in the same structure."""
    got: list[Any] = []

    def body(task: Any) -> Generator[Any, Any, None]:
        got.append((yield structure()))

    assert run(generator("root", body))
    assert [names(one) for one in got] == [reply]
    assert journal[0] == "root begins"
    assert journal[-1] == "root closes"
    assert sorted(journal[1:-1]) == sorted(flat(reply))


def names(structure: Any) -> Any:
    if isinstance(structure, dict):
        return {key: names(part) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(names(part) for part in structure)
    return structure.name


def flat(structure: Any) -> list[str]:
    if isinstance(structure, str):
        return [structure]
    return [leaf for part in (structure.values() if isinstance(structure, dict) else structure) for leaf in flat(part)]


def test_dynamic_run_is_resumed_and_not_restarted() -> None:
    """What stands before a yield happens once, local variables live on."""

    def body(task: Any) -> Generator[Any, Any, None]:
        so_far = ""
        for name in "abc":
            target = yield Step(name)
            so_far += name
            journal.append(f"got {target.name} {so_far}")

    assert run(generator("root", body))
    assert journal == ["root begins", "a", "got a a", "b", "got b ab", "c", "got c abc", "root closes"]


def test_dynamic_a_complete_task_is_not_run() -> None:
    """Yielding what is there already gives its output at once."""
    shelf.names.add("a")
    seen: list[str] = []

    def body(task: Any) -> Generator[Any, Any, None]:
        seen.append((yield Step("a")).name)

    summary = run(generator("root", body))

    assert statuses(summary) == {"a": "UPTODATE", "root": "OK"}
    assert seen == ["a"]


def test_dynamic_custom_complete_spares_the_question() -> None:
    """A DynamicRequirements whose custom_complete says yes waits for nothing and asks no task."""
    given: list[Any] = []

    class Unasked(Step):
        def complete(self) -> bool:
            raise AssertionError("not to be asked")

    def all_there(complete: Any) -> bool:
        given.append(complete(Step("there")))
        return True

    def body(task: Any) -> Generator[Any, Any, None]:
        given.append((yield DynamicRequirements([Unasked("a")], all_there))[0].name)

    shelf.names.add("there")
    assert statuses(run(generator("root", body))) == {"root": "OK"}
    assert given == [True, "a"]


def test_dynamic_what_a_yielded_task_requires_is_built_first() -> None:
    """A yielded task brings its own requirements, wrappers included."""

    class Below(Step):
        def requires(self) -> Any:
            return [Step("bottom")]

    class All(WrapperTask):
        def requires(self) -> Any:
            return [Below("below"), Step("beside")]

    def body(task: Any) -> Iterator[Any]:
        yield All()

    assert run(generator("root", body))
    assert journal == ["root begins", "bottom", "below", "beside", "root closes"]


def test_dynamic_yields_nest() -> None:
    """A yielded task may itself yield, to any depth."""

    def body(task: Any) -> Iterator[Any]:
        depth = int(task.name)
        if depth:
            yield nested(depth - 1)

    class Nested(Step):
        def run(self) -> Any:
            yield from body(self)
            journal.append(self.name)
            shelf.names.add(self.name)

    def nested(depth: int) -> Task:
        return Nested(str(depth))

    summary = run(nested(2000))

    assert summary
    assert journal == [str(depth) for depth in range(2001)]


def test_dynamic_two_generators_share_what_they_yield() -> None:
    """The same task yielded twice is built once; both get its output."""

    def body(task: Any) -> Generator[Any, Any, None]:
        journal.append(f"{task.name} got {(yield Step('shared')).name}")

    class Sharing(Step):
        def run(self) -> Any:
            yield from body(self)
            shelf.names.add(self.name)

    assert run(Sharing("one"), Sharing("two"))
    assert sorted(journal) == ["one got shared", "shared", "two got shared"]


def test_dynamic_yielded_tasks_run_before_new_ones() -> None:
    """Also what was planned anyway is put forward once a run() waits for it, with all that it needs."""

    class Late(Step):
        priority = -5

        def requires(self) -> Any:
            return LateStill("late still")

    class LateStill(Step):
        priority = -9

    class Wanting(Step):
        def run(self) -> Any:
            journal.append(f"{self.name} begins")
            yield Late("late")
            journal.append(f"{self.name} ends")
            shelf.names.add(self.name)

    class Fresh(Step):
        def requires(self) -> Any:
            return Late("late")

    wanting = [Wanting(f"w{number}") for number in range(3)]
    assert run(*wanting, Step("other"), Late("late"), Fresh("fresh"))

    assert journal[:4] == ["w0 begins", "late still", "late", "w0 ends"]
    assert journal.index("other") > journal.index("w0 ends")


def test_dynamic_a_new_task_puts_forward_what_was_planned() -> None:
    """A yielded task that is new brings forward what it requires of the tasks planned before."""

    class New(Step):
        def requires(self) -> Any:
            return Planned("planned")

    class Planned(Step):
        priority = -5

    class Wanting(Step):
        def run(self) -> Any:
            yield New("new")
            journal.append("wanting ends")
            shelf.names.add(self.name)

    assert run(Wanting("wanting"), Step("other"), Planned("planned"))
    assert journal == ["planned", "new", "wanting ends", "other"]


# -- what ends badly


@pytest.mark.parametrize(
    ("wanted", "status", "reason"),
    [
        (lambda: Failing("x"), Status.SKIP, "x failed"),
        (lambda: Feed("x"), Status.BLOCKED, "blocked by Feed(x)"),
        (lambda: [Step("good"), Failing("x")], Status.SKIP, "x failed"),
    ],
    ids=["fails", "blocked", "one of two"],
)
def test_dynamic_a_yielded_task_that_ends_badly_closes_the_generator(wanted: Any, status: Status, reason: str) -> None:
    """The generator is closed, so its finally blocks run; the task is skipped or blocked; siblings are not touched."""

    def body(task: Any) -> Iterator[Any]:
        yield wanted()
        raise AssertionError("not to be resumed")

    root = generator("root", body)
    summary = run(root, Step("sibling"))

    result = result_of(summary, root)
    assert (result.status, result.reason) == (status, reason)
    assert journal.count("root closes") == 1
    assert result_of(summary, Step("sibling")).status is Status.OK


def test_dynamic_what_failed_before_is_known_when_it_is_yielded() -> None:
    """A task that failed, or is required by something new after it failed, ends the yielder at once."""

    class Behind(Step):
        def requires(self) -> Any:
            return Failing("bad")

    class New(Step):
        def requires(self) -> Any:
            return [Step("good"), Behind("behind")]

    def direct(task: Any) -> Iterator[Any]:
        yield Failing("bad")

    def through(task: Any) -> Iterator[Any]:
        yield New("new")

    summary = run(Behind("behind"), generator("direct", direct), generator("through", through))

    assert statuses(summary) == {
        "bad": "FAIL",
        "behind": "SKIP",
        "direct": "SKIP",
        "good": "OK",
        "new": "SKIP",
        "through": "SKIP",
    }
    assert summary.exit_code == 1
    assert "interrupted" not in summary.text


def test_dynamic_blocked_before_is_known_when_it_is_required_later() -> None:
    """The same for an external input that was found missing when the run began."""

    class New(Step):
        def requires(self) -> Any:
            return Feed("feed")

    def through(task: Any) -> Iterator[Any]:
        yield New("new")

    summary = run(Feed("feed"), generator("through", through))

    assert statuses(summary) == {"Feed(feed)": "BLOCKED", "new": "BLOCKED", "through": "BLOCKED"}
    assert summary.exit_code == 3


def test_dynamic_an_own_complete_that_still_says_no_fails_the_yielder() -> None:
    """What depends on it fails, a run() that yielded it too; there is no endless loop."""

    class Never(Step):
        def complete(self) -> bool:
            return False

    def body(task: Any) -> Iterator[Any]:
        yield Never("never")

    root = generator("root", body)
    summary = run(root)

    assert statuses(summary) == {"never": "OK", "root": "FAIL"}
    assert "never, whose complete() says no" in result_of(summary, root).reason
    assert journal == ["root begins", "never", "root closes"]


@pytest.mark.parametrize("wanted", ["text", 7, Step, [Step("a"), "text"]], ids=str)
def test_dynamic_yielding_what_is_no_task_fails(wanted: Any) -> None:
    """The sentence names the task and what it yielded; the generator is closed."""

    def body(task: Any) -> Iterator[Any]:
        yield wanted

    root = generator("root", body)
    result = result_of(run(root), root)

    assert result.status is Status.FAIL
    assert result.reason.startswith("root.run() yielded ")
    assert journal == ["root begins", "root closes"]


def test_dynamic_an_error_after_a_yield_is_the_tasks_own() -> None:
    """What run() raises when it was resumed fails it like any other error."""

    def body(task: Any) -> Iterator[Any]:
        yield Step("a")
        raise ValueError("after")

    root = generator("root", body)
    assert result_of(run(root), root).reason == "ValueError: after"


def test_dynamic_a_generator_that_does_not_close_well_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """An error, sys.exit() or another yield in a finally block is logged; the run goes on."""

    class Clinging(Step):
        def run(self) -> Any:
            try:
                yield Failing("bad")
            finally:
                if self.name == "yields":
                    yield Step("more")
                elif self.name == "exits":
                    raise SystemExit(0)
                else:
                    raise ValueError("worse")

    summary = run(Clinging("yields"), Clinging("exits"), Clinging("raises"), Step("sibling"))

    assert statuses(summary) == {
        "yields": "SKIP",
        "exits": "SKIP",
        "raises": "SKIP",
        "bad": "FAIL",
        "sibling": "OK",
    }
    assert caplog.text.count("raised while it was ended early") == 3


# -- cycles


def test_dynamic_yielding_oneself_is_a_cycle() -> None:
    """F55: The task itself, also when only an insignificant parameter differs: it fails with the path."""

    class Self(Step):
        try_number = IntParameter(default=1, significant=False)

        def run(self) -> Any:
            yield Self(self.name, try_number=self.try_number + 1)

    summary = run(Self("self"), Step("sibling"))

    assert "circle: self -> self." in result_of(summary, Self("self")).reason
    assert statuses(summary) == {"self": "FAIL", "sibling": "OK"}
    assert summary.exit_code == 1


def test_dynamic_a_cycle_through_yields_and_requires_prints_its_path() -> None:
    """F55: a yields b, b requires c, c yields a: found when it closes; all three end, siblings run."""

    class A(Step):
        def run(self) -> Any:
            yield B("b")

    class B(Step):
        def requires(self) -> Any:
            return C("c")

    class C(Step):
        def run(self) -> Any:
            yield A("a")

    summary = run(A("a"), Step("sibling"))

    assert statuses(summary) == {"c": "FAIL", "b": "SKIP", "a": "SKIP", "sibling": "OK"}
    assert "circle: c -> a -> b -> c." in result_of(summary, C("c")).reason
    assert summary.exit_code == 1


def test_dynamic_a_static_cycle_behind_a_yield_fails_the_yielder_alone() -> None:
    """F55: Tasks that require each other, found only through a yield: exit 1, not 2; each who yields them is told."""

    class Ring(Step):
        def requires(self) -> Any:
            return Ring("left" if self.name == "right" else "right")

    def body(task: Any) -> Iterator[Any]:
        yield Ring("left")

    first, second = generator("first", body), generator("second", body)
    summary = run(first, second, Step("sibling"))

    assert statuses(summary) == {"first": "FAIL", "second": "FAIL", "sibling": "OK"}
    assert "circle: left -> right -> left." in result_of(summary, first).reason
    assert summary.exit_code == 1


# -- transactions


def test_dynamic_a_yield_inside_an_open_transaction_is_refused() -> None:
    """The tasks would run while it holds its locks; the with-block is left with the error, the tasks do not run."""

    @contextmanager
    def transaction() -> Iterator[None]:
        context.attempt().transactions += 1
        try:
            yield
        finally:
            context.attempt().transactions -= 1
            journal.append("rolled back")

    def body(task: Any) -> Iterator[Any]:
        with transaction():
            pass
        yield Step("before")
        with transaction():
            yield Step("inside")

    root = generator("root", body)
    summary = run(root)

    assert statuses(summary) == {"before": "OK", "root": "FAIL"}
    assert "inside an open transaction()" in result_of(summary, root).reason
    assert journal == ["root begins", "rolled back", "before", "rolled back", "root closes"]


# -- one attempt throughout


def test_dynamic_the_attempt_is_the_same_before_and_after_a_yield() -> None:
    """Rows counted before the yield are there after it, and what other tasks count stays theirs."""

    class Counting(Step):
        def run(self) -> Any:
            context.attempt().rows = 7
            super().run()

    def body(task: Any) -> Iterator[Any]:
        context.attempt().rows = 3
        yield Counting("a")
        assert context.attempt().rows == 3
        context.attempt().rows = 5

    root = generator("root", body)
    summary = run(root)

    assert result_of(summary, root).rows == 5
    assert result_of(summary, Counting("a")).rows == 7


def test_dynamic_requires_answers_the_same_before_and_after_a_yield() -> None:
    """requires() is one answer for the whole attempt, however often run() is set aside."""
    asked: list[int] = []

    class Asking(Step):
        def requires(self) -> Any:
            asked.append(1)
            return [Step(f"required {len(asked)}")]

        def run(self) -> Any:
            before = self.input()[0].name
            yield Step("between")
            assert self.input()[0].name == before
            shelf.names.add(self.name)

    assert run(Asking("root"))
    assert len(asked) == 2


def test_dynamic_the_total_grows_with_what_is_yielded() -> None:
    """Observers are told of yielded tasks, counted in the total from then on."""
    watcher = Watcher()

    def body(task: Any) -> Iterator[Any]:
        yield [Step("a"), Step("b")]

    root = generator("root", body)
    run(root, observers=[watcher])

    assert watcher.calls[0][3] == [root]
    assert [call[3:] for call in watcher.calls if call[0] == "task_finished"] == [(1, 3), (2, 3), (3, 3)]


def test_dynamic_an_interrupt_closes_what_is_parked() -> None:
    """Ctrl-C while a yielded task runs: the parked generator is closed and told as stopped; 130."""

    class Interrupted(Step):
        def run(self) -> Any:
            raise KeyboardInterrupt

    def body(task: Any) -> Iterator[Any]:
        yield [Step("unreached"), Interrupted("stopped")][::-1]

    root = generator("root", body)
    summary = run(root)

    assert summary.exit_code == 130
    assert journal == ["root begins", "root closes"]
    assert result_of(summary, root).status is Status.SKIP
