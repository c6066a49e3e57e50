"""The plan: what a build would do with each task, and why, in plain words; nothing runs to find it out."""

from __future__ import annotations

from typing import Any

import pytest

from etlctl import ExternalTask, Parameter, Target, Task, WrapperTask
from etlctl.core.graph import Graph
from etlctl.core.plan import Decision, make_plan
from etlctl.text import printable
from running import Shelf, plan

shelf = Shelf()


@pytest.fixture(autouse=True)
def _emptied() -> None:
    shelf.names.clear()


class Step(Task):
    name = Parameter()
    after = Parameter(default="", significant=False)

    def requires(self) -> Any:
        return [made(word) for word in self.after.split()]

    def output(self) -> Any:
        return shelf.target(self.name)

    def run(self) -> Any:
        raise AssertionError("a plan runs nothing")


class Feed(ExternalTask):
    name = Parameter()

    def output(self) -> Any:
        return shelf.target(self.name)


class Broken(Step):
    def requires(self) -> Any:
        raise KeyError("no such day")


def made(word: str) -> Task:
    kinds: dict[str, Any] = {"feed": Feed, "broken": Broken}
    task: Task = kinds.get(word, Step)(word)
    return task


def said(*tasks: Task, **options: Any) -> dict[str, tuple[str, str]]:
    return {one.task.task_label: (one.decision.value, one.reason) for one in plan(*tasks, **options).tasks}


def test_plan_says_what_would_run_and_why() -> None:
    """The output that is missing; what stands behind something that will run."""
    shelf.names.add("done")
    assert said(Step("root", after="below done")) == {
        "Step(below)": ("run", "output is missing"),
        "Step(done)": ("done", ""),
        "Step(root)": ("run", "upstream will run"),
    }


def test_plan_reason_is_the_targets_own_word_for_absence() -> None:
    """A target says what its absence means: "not loaded" for a marker."""

    class Marker(Target):
        absent = "not loaded"

        def exists(self) -> bool:
            return False

    class Load(Step):
        def output(self) -> Any:
            return Marker()

    assert said(Load("a")) == {"Load(a)": ("run", "not loaded")}


def test_plan_blocked_names_the_input_and_its_root_further_down() -> None:
    """The external task tells what is missing; everything behind it names that task, however far."""
    assert said(Step("far", after="near")) == {
        "Step(near)": ("run", "output is missing"),
        "Step(far)": ("run", "upstream will run"),
    }

    class Near(Step):
        def requires(self) -> Any:
            return Feed("feed")

    class Far(Step):
        def requires(self) -> Any:
            return Near("near")

    assert said(Far("far")) == {
        "Feed(feed)": ("blocked", "feed is missing"),
        "Near(near)": ("blocked", "blocked by Feed(feed)"),
        "Far(far)": ("blocked", "blocked by Feed(feed)"),
    }


def test_plan_says_how_an_external_task_is_missing() -> None:
    """Several outputs, an own complete(), no output at all."""

    class Several(Feed):
        def output(self) -> Any:
            return [shelf.target("a"), shelf.target("b"), shelf.target("c")]

    class Own(Feed):
        def complete(self) -> bool:
            return False

    class Nothing(Feed):
        def output(self) -> Any:
            return None

    assert said(Several("x"), Own("x"), Nothing("x")) == {
        "Several(x)": ("blocked", "a is missing and 2 more"),
        "Own(x)": ("blocked", "its complete() says no"),
        "Nothing(x)": ("blocked", "it declares no output"),
    }


def test_plan_broken_shows_no_requirements_and_names_its_root() -> None:
    """requires is None (shown as ?), the reason is the error; what is behind it names the task."""

    class Behind(Step):
        def requires(self) -> Any:
            return [Feed("feed"), Broken("broken")]

    class Further(Step):
        def requires(self) -> Any:
            return Behind("behind")

    planned = plan(Further("further"))
    broken = planned.by_task[Broken("broken")]

    assert broken.requires is None
    assert (broken.decision, broken.reason) == (Decision.BROKEN, "KeyError: 'no such day'")
    assert isinstance(broken.error, KeyError)
    for task in (Behind("behind"), Further("further")):
        assert planned.by_task[task].reason == "Broken(broken) cannot be asked"
        assert planned.by_task[task].decision is Decision.BROKEN


def test_plan_walks_behind_complete_tasks_too() -> None:
    """What is incomplete behind a complete task is UNNEEDED; a complete one whose requires() fails is DONE, with ?."""
    shelf.names.update({"done", "broken"})

    planned = plan(Step("root", after="done"), Step("done", after="lost"), Broken("broken"))

    assert planned.by_task[Step("root")].decision is Decision.RUN
    assert planned.by_task[Broken("broken")].decision is Decision.DONE
    assert planned.by_task[Broken("broken")].requires is None


def test_plan_unneeded_is_what_only_complete_tasks_would_need() -> None:
    """It says so, whether it could run, is blocked or is broken."""
    shelf.names.add("done")
    assert said(Step("done", after="lost feed broken")) == {
        "Step(lost)": ("unneeded", "nothing that is to run needs it"),
        "Feed(feed)": ("unneeded", "nothing that is to run needs it"),
        "Broken(broken)": ("unneeded", "nothing that is to run needs it"),
        "Step(done)": ("done", ""),
    }


def test_plan_of_forced_outputless_own_and_wrapped_tasks_has_reasons() -> None:
    """Each kind of incompleteness has its words."""

    class Mail(Task):
        pass

    class Own(Task):
        def complete(self) -> bool:
            return False

    class All(WrapperTask):
        def requires(self) -> Any:
            return Step("done")

    class Some(WrapperTask):
        def requires(self) -> Any:
            return Step("new")

    shelf.names.add("done")
    assert said(Mail(), Own(), All(), Some(), Step("done"), force=[Step("done")]) == {
        "Mail()": ("run", "has no output, so it runs every time"),
        "Own()": ("run", "its complete() says no"),
        "Step(done)": ("run", "done, but asked for by --force"),
        "All()": ("run", "upstream will run"),
        "Step(new)": ("run", "output is missing"),
        "Some()": ("run", "upstream will run"),
    }


def test_plan_puts_requirements_first_and_counts() -> None:
    """Requirements before what requires them; roots as asked; count() per decision."""
    planned = plan(Step("b", after="a"), Step("a"))

    assert [one.task for one in planned.tasks] == [Step("a"), Step("b")]
    assert planned.roots == (Step("b"), Step("a"))
    assert planned.by_task[Step("b")].requires == (Step("a"),)
    assert planned.count(Decision.RUN) == 2
    assert planned.count(Decision.DONE) == 0


def test_plan_reasons_are_one_printable_line() -> None:
    """A target's or an error's newlines and escape sequences do not reach the screen."""

    class Rude(Step):
        def requires(self) -> Any:
            raise ValueError("\x1b]0;x\x07[/red]\r\nFAKE")

    reasons = [reason for _, reason in said(Rude("a"), Feed("\x1b[31m\nfeed")).values()]

    assert len(reasons) == 2
    assert all(reason == printable(reason) for reason in reasons)


def test_plan_is_made_of_roots_alone() -> None:
    """make_plan decides for what its roots reach, though the graph knows more."""
    graph = Graph(deep=True)
    graph.add([Step("other")])
    roots = graph.add([Step("root")])

    assert [one.task for one in make_plan(graph, roots).tasks] == [Step("root")]
