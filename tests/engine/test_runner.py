"""What a build runs, in which order, and what becomes of the rest when something ends badly."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from etlctl import DateParameter, ExternalTask, IntParameter, Parameter, Task, WrapperTask, externalize
from etlctl.core import context
from etlctl.core.events import Event
from etlctl.core.interruption import Interruption
from etlctl.core.plan import Decision
from etlctl.core.results import RunSummary, Status
from etlctl.errors import (
    AlreadyLoaded,
    BlockedError,
    CycleError,
    ExitCode,
    MissingOutputError,
    TornLoadError,
    UnavailableError,
)
from running import Shelf, Watcher, plan, ran, result_of, run, statuses

shelf = Shelf()
journal: list[str] = []


@pytest.fixture(autouse=True)
def _emptied() -> None:
    shelf.names.clear()
    journal.clear()


class Step(Task):
    """Requires the steps named in `after`, and puts its own name on the shelf."""

    name = Parameter()
    after = Parameter(default="", significant=False)

    @property
    def task_label(self) -> str:
        return str(self.name)

    def requires(self) -> Any:
        return [self.made(name) for name in self.after.split()]

    def made(self, name: str) -> Task:
        return Step(name)

    def output(self) -> Any:
        return shelf.target(self.name)

    def run(self) -> Any:
        journal.append(self.name)
        shelf.names.add(self.name)


class Feed(ExternalTask):
    name = Parameter()

    def output(self) -> Any:
        return shelf.target(self.name)


class Failing(Step):
    def run(self) -> Any:
        raise ValueError(f"{self.name} is broken")


# -- backwards


def test_build_runs_requirements_first_and_each_once() -> None:
    """A diamond: the shared requirement runs once, before both that need it."""

    class Diamond(Step):
        def requires(self) -> Any:
            return {"bottom": [], "left": [Step("top")], "right": ["top"], "both": ["left", "right"]}[self.name]

    class Left(Step):
        def requires(self) -> Any:
            return Step("top")

    class Bottom(Step):
        def requires(self) -> Any:
            return [Left("left"), Left("right"), Step("top")]

    summary = run(Bottom("bottom"))

    assert summary
    assert summary.exit_code == 0
    assert journal == ["top", "left", "right", "bottom"]


def test_build_does_not_descend_into_what_is_complete() -> None:
    """The target is asked first: behind a complete task nothing is asked, not even its requires()."""

    class Done(Step):
        def requires(self) -> Any:
            raise AssertionError("a complete task is not asked for its requirements")

    shelf.names.add("done")
    summary = run(Step("root"), Done("done"))

    assert statuses(summary) == {"root": "OK", "done": "UPTODATE"}


def test_build_deep_asks_behind_complete_tasks() -> None:
    """--deep: a missing requirement of a complete task is made; the complete task itself does not run again."""
    shelf.names.add("root")
    root = Step("root", after="lost")

    assert statuses(run(root)) == {"root": "UPTODATE"}
    assert statuses(run(root, deep=True)) == {"root": "UPTODATE", "lost": "OK"}


def test_build_force_covers_only_what_it_names() -> None:
    """A forced task runs although it is complete; its complete requirements do not, and the attempt knows it."""
    forced: list[bool] = []

    class Knowing(Step):
        def run(self) -> Any:
            forced.append(context.attempt().forced)

    shelf.names.update({"root", "below"})
    root = Knowing("root", after="below")

    assert statuses(run(root, force=[root])) == {"root": "OK", "below": "UPTODATE"}
    assert forced == [True]


def test_build_force_cannot_run_what_comes_from_elsewhere() -> None:
    """An external task that is complete stays so: there is nothing to run."""
    shelf.names.add("feed")
    assert statuses(run(Feed("feed"), force=[Feed("feed")])) == {"Feed(feed)": "UPTODATE"}
    assert plan(Feed("feed"), force=[Feed("feed")]).by_task[Feed("feed")].decision is Decision.DONE


def test_build_of_equal_tasks_made_twice_runs_once() -> None:
    """F57: Equal parameters are one task, however often it is made and asked for."""
    assert run(Step("a"), Step("a"), Step("b", after="a"))
    assert journal == ["a", "b"]


def test_build_of_nothing_is_true() -> None:
    """No tasks asked for, or all complete: true, exit 0, nothing to do."""
    shelf.names.add("a")
    assert run()
    assert run(Step("a"))
    assert "nothing to do" in run(Step("a")).text


def test_build_runs_a_task_without_outputs_every_time() -> None:
    """No outputs and no own complete(): never complete, so it runs each time, and that is success."""

    class Mail(Task):
        def run(self) -> Any:
            journal.append("mail")

    assert run(Mail())
    assert run(Mail())
    assert journal == ["mail", "mail"]


def test_build_runs_higher_priority_first_among_the_ready() -> None:
    """`priority`, a number or a property; equal ones keep the order in which they were asked for."""

    class Ranked(Step):
        rank = IntParameter()

        @property
        def priority(self) -> int:
            return self.rank

    run(Ranked("low", rank=-1), Step("a"), Ranked("high", rank=5), Step("b"), Ranked("higher", rank=6))

    assert journal == ["higher", "high", "a", "b", "low"]


def test_build_a_priority_that_raises_fails_its_own_task() -> None:
    """A property of the user's that raises, or is no number."""

    class Odd(Step):
        @property
        def priority(self) -> Any:
            if self.name == "exit":
                raise SystemExit(0)
            return {"raise": 1}[self.name] / 0 if self.name == "raise" else "much"

    summary = run(Odd("raise"), Odd("word"), Odd("exit"), Step("sibling"))

    assert statuses(summary) == {"raise": "FAIL", "word": "FAIL", "exit": "FAIL", "sibling": "OK"}


# -- wrappers


class All(WrapperTask):
    def requires(self) -> Any:
        return [Step("a"), Step("b")]


def test_build_of_a_wrapper_is_complete_when_all_it_requires_is() -> None:
    """It has no output and is OK once its requirements are; the second time it is up to date."""
    assert statuses(run(All())) == {"a": "OK", "b": "OK", "All()": "OK"}
    assert statuses(run(All())) == {"All()": "UPTODATE", "a": "UPTODATE", "b": "UPTODATE"}


def test_build_of_wrappers_keeps_siblings_apart() -> None:
    """Tasks that meet only in a WrapperTask do not harm each other."""

    class Both(WrapperTask):
        def requires(self) -> Any:
            return [Failing("bad"), Step("good", after="under")]

    summary = run(Both())

    assert statuses(summary) == {"bad": "FAIL", "under": "OK", "good": "OK", "Both()": "SKIP"}
    assert result_of(summary, Both()).reason == "bad failed"


def test_build_of_a_wrapper_around_an_always_incomplete_task_is_ok() -> None:
    """All its requirements succeeded in this run: that an own complete() says no does not fail the wrapper."""

    class Daily(WrapperTask):
        def requires(self) -> Any:
            return Never("never")

    assert statuses(run(Daily())) == {"Never(never)": "OK", "Daily()": "OK"}


# -- own complete()


class Never(Task):
    name = Parameter()

    def complete(self) -> bool:
        return False


class Counted(Task):
    """Asks are counted; complete once it has run."""

    name = Parameter()
    asks: list[str] = []

    def complete(self) -> bool:
        Counted.asks.append(self.name)
        return self.name in shelf.names

    def run(self) -> Any:
        shelf.names.add(self.name)


def test_build_believes_an_own_complete() -> None:
    """Whatever its outputs say, an own complete() decides."""

    class Believed(Step):
        def complete(self) -> bool:
            return True

    assert statuses(run(Believed("nowhere"))) == {"nowhere": "UPTODATE"}


def test_build_own_complete_still_false_fails_the_dependents_and_not_the_task() -> None:
    """F60: The task itself is OK; what requires it fails and names it; there is no endless loop."""

    class Needy(Step):
        def requires(self) -> Any:
            return Never("never")

    summary = run(Needy("needy"))

    assert statuses(summary) == {"Never(never)": "OK", "needy": "FAIL"}
    assert "Never(never), whose complete() says no" in result_of(summary, Needy("needy")).reason
    assert summary.exit_code == 1


@pytest.mark.parametrize("dependents", [1, 7, 1000])
def test_build_asks_an_own_complete_at_most_once_and_once_per_dependent(dependents: int) -> None:
    """F57: 1 + dependents, in a diamond of any width."""
    Counted.asks.clear()

    class Dependent(Step):
        def requires(self) -> Any:
            return Counted("shared")

    assert run(*(Dependent(str(number)) for number in range(dependents)))

    assert 2 <= len(Counted.asks) <= 1 + dependents


# -- after run()


def test_build_output_missing_after_run_fails() -> None:
    """F60: Every declared output must be there after run(); the first that is not is named."""

    class Lazy(Step):
        def output(self) -> Any:
            return {"a": shelf.target("made"), "b": [shelf.target("not made")]}

        def run(self) -> Any:
            shelf.names.add("made")

    summary = run(Lazy("lazy"), Step("after", after=""))

    result = result_of(summary, Lazy("lazy"))
    assert result.status is Status.FAIL
    assert result.reason == "ran, but its output not made is missing"
    assert isinstance(result.error, MissingOutputError)
    assert summary.exit_code == 1


@pytest.mark.parametrize("yields", [False, True])
def test_build_an_async_run_is_refused_and_not_taken_for_done(yields: bool) -> None:
    """`async def run` would return at once without having run: it fails and says what to write."""

    class Plain(Task):
        async def run(self) -> Any:
            journal.append("ran")

    class Yielding(Task):
        async def run(self) -> Any:
            yield Step("a")

    task = Yielding() if yields else Plain()
    result = result_of(run(task), task)

    assert result.status is Status.FAIL
    assert "run() is `async def`, so nothing of it ran" in result.reason
    assert journal == []


def test_build_already_loaded_counts_as_done() -> None:
    """AlreadyLoaded out of run() is no failure: the outputs were there, and the note says so."""

    class Late(Step):
        def run(self) -> Any:
            shelf.names.add(self.name)
            raise AlreadyLoaded("already loaded by run r17")

    summary = run(Late("late"))

    assert summary
    assert result_of(summary, Late("late")).notes == ("already loaded by run r17",)


# -- failures


BAD_ENDS = [
    (ValueError("bad row"), "ValueError: bad row", 1),
    (ValueError(), "ValueError", 1),
    (SystemExit(0), "its code called sys.exit(0)", 1),
    (SystemExit("bye"), "its code called sys.exit('bye')", 1),
    (GeneratorExit(), "GeneratorExit", 1),
    (StopIteration(), "StopIteration", 1),
    (BaseException("base"), "BaseException: base", 1),
    (MemoryError(), "MemoryError", 1),
    (UnavailableError("wh-1:5432 refused"), "wh-1:5432 refused", 4),
    (BlockedError("s3://x is missing"), "s3://x is missing", 3),
    (CycleError("a usage error inside a task"), "a usage error inside a task", 1),
]


@pytest.mark.parametrize(("raised", "reason", "code"), BAD_ENDS, ids=[repr(row[0]) for row in BAD_ENDS])
def test_build_whatever_run_raises_fails_that_task_alone(raised: BaseException, reason: str, code: int) -> None:
    """F58: Any exception, sys.exit(0) included, is a failure of the one task; what depends on it is skipped."""

    class Raising(Step):
        def run(self) -> Any:
            raise raised

    class Behind(Step):
        def requires(self) -> Any:
            return Raising("raising")

    summary = run(Behind("behind"), Step("sibling"))

    assert statuses(summary) == {"raising": "FAIL", "behind": "SKIP", "sibling": "OK"}
    result = result_of(summary, Raising("raising"))
    assert result.reason == reason
    assert result.where.startswith(f"{__file__}:")
    assert summary.exit_code == code
    assert not summary


def test_build_keyboard_interrupt_ends_the_run_with_130() -> None:
    """The task it came in fails, what was not started is accounted for, and nothing more runs."""

    class Interrupted(Step):
        def run(self) -> Any:
            raise KeyboardInterrupt

    summary = run(Interrupted("stopped"), Step("next"), Step("last", after="next"))

    assert statuses(summary) == {"stopped": "FAIL", "next": "SKIP", "last": "SKIP"}
    assert summary.exit_code == ExitCode.INTERRUPTED
    assert journal == []
    assert result_of(summary, Step("next")).reason == "not started: the run was interrupted"


def wished_away(kind: type[Signalled], *others: Step) -> tuple[RunSummary, list[str]]:
    """What a run came to whose task meets the second SIGTERM, and of which failures callbacks were told."""
    told: list[str] = []

    class Ended(kind):  # type: ignore[valid-type, misc]
        def on_failure(self, exception: BaseException) -> Any:
            told.append(f"on_failure {type(exception).__name__}")

    @Ended.event_handler(Event.FAILURE)
    def _failed(task: Task, error: BaseException) -> None:
        told.append(f"FAILURE {type(error).__name__}")

    signalled: list[ExitCode] = []
    Ended.signalled = signalled
    summary = run(Ended("ended"), *others, stop=lambda: signalled[0] if signalled else None)
    return summary, told


class Signalled(Step):
    """Raises what a signal's handler raises, in the middle of its run()."""

    signalled: ClassVar[list[ExitCode]]

    def run(self) -> Any:
        self.signalled.append(ExitCode.TERMINATED)
        raise Interruption


class TidyingUp(Signalled):
    """What a task raises while it is ended is no failure of its own either."""

    def run(self) -> Any:
        try:
            super().run()
        finally:
            raise OSError("the file to remove is not there")


class OfSqlite(Signalled):
    """SQLite clears the error that came in its callback, and another comes up instead."""

    def run(self) -> Any:
        with contextlib.suppress(Interruption):
            super().run()
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [Signalled, TidyingUp, OfSqlite])
def test_build_task_that_a_signal_ends_is_stopped_and_has_not_failed(kind: type[Signalled]) -> None:
    """As where workers run it: no callback is told of a failure; the run's code is the signal's."""
    summary, told = wished_away(kind, Step("next"))

    assert statuses(summary) == {"ended": "SKIP", "next": "SKIP"}
    reasons = {one.task.task_label: one.reason for one in summary.results}
    assert reasons["ended"] == "stopped: the run was interrupted"
    assert told == []
    assert (summary.interrupted, summary.exit_code) == (ExitCode.TERMINATED, ExitCode.TERMINATED)
    assert Interruption.is_heard and not Interruption.is_under_way


def test_build_torn_load_that_a_signal_ends_is_told_all_the_same() -> None:
    """Somebody has to look at its rows."""

    class Torn(Signalled):
        def run(self) -> Any:
            try:
                super().run()
            except Interruption as error:
                raise TornLoadError("half committed") from error

    summary, told = wished_away(Torn)

    assert [(one.status, one.reason) for one in summary.results] == [(Status.FAIL, "half committed")]
    assert told == ["FAILURE TornLoadError", "on_failure TornLoadError"]
    assert summary.interrupted is ExitCode.TERMINATED and Interruption.is_heard


def test_build_stop_ends_the_run_gently_with_its_code() -> None:
    """`stop` is asked before each task; what runs has ended by then, the rest is accounted for once."""
    answers = iter([None, ExitCode.TERMINATED])

    summary = run(Step("a"), Step("b"), Step("c"), stop=lambda: next(answers))

    assert statuses(summary) == {"a": "OK", "b": "SKIP", "c": "SKIP"}
    assert summary.exit_code == ExitCode.TERMINATED
    assert len(summary.results) == 3


@pytest.mark.parametrize("raised", [ValueError("cannot say"), SystemExit(0)])
@pytest.mark.parametrize("method", ["requires", "output", "complete"])
def test_build_what_cannot_be_asked_fails_alone(method: str, raised: BaseException) -> None:
    """F58: requires(), output() or complete() that raises, sys.exit() too: only that subtree fails, exit 1."""

    def raising(self: Any) -> Any:
        raise raised

    broken = type("Broken", (Step,), {method: raising, "__module__": __name__})

    class Behind(Step):
        def requires(self) -> Any:
            return [broken("broken"), Step("beside")]

    summary = run(Behind("behind"), Step("sibling"))

    assert statuses(summary) == {"broken": "FAIL", "behind": "SKIP", "beside": "OK", "sibling": "OK"}
    assert summary.exit_code == 1


def test_build_wrong_return_types_fail_their_task_alone() -> None:
    """F58: requires() giving a class or text, output() giving text, a parameter refused inside requires()."""

    class Needs(Step):
        def requires(self) -> Any:
            return {"class": Step, "text": "Step", "parameter": Dated}[self.name] if self.name != "dated" else Dated(7)

    class Dated(Step):
        date = DateParameter()

    class Gives(Step):
        def output(self) -> Any:
            return "data/x.csv"

    summary = run(Needs("class"), Needs("text"), Needs("dated"), Gives("text"), Step("sibling"))

    assert [result.status for result in summary.results].count(Status.FAIL) == 4
    assert result_of(summary, Step("sibling")).status is Status.OK
    assert "the class Step; return a task" in result_of(summary, Needs("class")).reason
    assert "'Step' (str), which is no task" in result_of(summary, Needs("text")).reason
    assert "Dated" in result_of(summary, Needs("dated")).reason
    assert "which is no target" in result_of(summary, Gives("text")).reason
    assert summary.exit_code == 1


def test_build_an_exception_that_cannot_be_shown_is_named_by_its_kind() -> None:
    """A user's exception whose __str__ raises does not end the program."""

    class UnshowableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class Raising(Step):
        def run(self) -> Any:
            raise UnshowableError

    summary = run(Raising("a"), Step("b"))

    assert result_of(summary, Raising("a")).reason == "UnshowableError"
    assert result_of(summary, Step("b")).status is Status.OK


def test_build_names_the_line_of_the_users_code() -> None:
    """`where` is the deepest line in the user's own file, not one of the library it called."""

    class Parsing(Step):
        def run(self) -> Any:
            return json.loads("{")

    def line_of(where: str) -> str:
        file, _, number = where.rpartition(":")
        return Path(file).read_text(encoding="utf-8").splitlines()[int(number) - 1].strip()

    assert line_of(result_of(run(Parsing("a")), Parsing("a")).where) == 'return json.loads("{")'


def test_build_names_the_class_where_no_line_of_the_user_was_on_the_way(project: Path) -> None:
    """An error that etlctl itself raises (a missing output) is placed at the task's class."""

    class Silent(Step):
        def run(self) -> Any:
            return None

    where = result_of(run(Silent("a")), Silent("a")).where

    assert where.startswith(f"{__file__}:")
    assert "class Silent" in Path(__file__).read_text(encoding="utf-8").splitlines()[int(where.rpartition(":")[2]) - 1]


def test_build_the_cause_of_a_skip_is_the_root_of_it() -> None:
    """However far down the chain, the reason names the task that failed."""

    class Chain(Step):
        def made(self, name: str) -> Task:
            return Failing("broken") if name == "broken" else Chain(name, after=chain[name])

    chain = {"c": "b", "b": "a", "a": "broken"}
    summary = run(Chain("d", after="c"))

    assert statuses(summary) == {"broken": "FAIL", "a": "SKIP", "b": "SKIP", "c": "SKIP", "d": "SKIP"}
    assert {r.reason for r in summary.results if r.status is Status.SKIP} == {"broken failed"}


# -- on_success, on_failure


def test_build_calls_on_success_after_the_outputs_were_found() -> None:
    """Called once, with the outputs there."""

    class Told(Step):
        def on_success(self) -> Any:
            journal.append(f"success {self.name in shelf.names}")

    assert run(Told("a"))
    assert journal == ["a", "success True"]


@pytest.mark.parametrize("raised", [ValueError("mail refused"), SystemExit(0)])
def test_build_on_success_that_raises_changes_nothing(raised: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Its outputs are there, so it is done and what depends on it runs; the callback's error is logged and noted."""

    class Told(Step):
        def on_success(self) -> Any:
            raise raised

    class Behind(Step):
        def requires(self) -> Any:
            return Told("told")

    summary = run(Behind("behind"), Step("sibling"))

    assert statuses(summary) == {"told": "OK", "behind": "OK", "sibling": "OK"}
    assert result_of(summary, Told("told")).notes[0].startswith("on_success() raised ")
    assert "on_success() raised" in caplog.text


def test_build_on_failure_gets_the_error_and_its_text_is_shown() -> None:
    """What on_failure returns stands beneath the error, printable."""

    class Told(Failing):
        def on_failure(self, exception: BaseException) -> Any:
            return f"call the feed's owner\n\x1b[31m{exception}"

    result = result_of(run(Told("told")), Told("told"))

    assert result.details == ("call the feed's owner", r"\x1b[31mtold is broken")


@pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(0)])
def test_build_on_failure_that_raises_changes_nothing(raised: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """The first error stands; that of on_failure is logged; siblings run."""

    class Told(Failing):
        def on_failure(self, exception: BaseException) -> Any:
            raise raised

    with caplog.at_level(logging.ERROR, logger="etlctl"):
        summary = run(Told("told"), Step("sibling"))

    assert result_of(summary, Told("told")).reason == "ValueError: told is broken"
    assert result_of(summary, Step("sibling")).status is Status.OK
    assert "on_failure() raised" in caplog.text


# -- blocked


def test_build_a_missing_external_input_blocks_what_is_behind_it() -> None:
    """Exit 3, false, the input named; everything not behind it runs."""

    class Behind(Step):
        def requires(self) -> Any:
            return [Feed("feed.csv"), Step("beside")]

    class Further(Step):
        def requires(self) -> Any:
            return Behind("behind")

    summary = run(Further("further"), Step("sibling"))

    assert statuses(summary) == {
        "Feed(feed.csv)": "BLOCKED",
        "behind": "BLOCKED",
        "further": "BLOCKED",
        "beside": "OK",
        "sibling": "OK",
    }
    assert result_of(summary, Feed("feed.csv")).reason == "feed.csv is missing"
    assert result_of(summary, Further("further")).reason == "blocked by Feed(feed.csv)"
    assert summary.exit_code == ExitCode.BLOCKED
    assert not summary


def test_build_an_external_task_is_waited_for_and_nothing_made_behind_it() -> None:
    """externalize(): etlctl waits for the outputs; what the task itself would require is not made for it."""

    class Reader(Step):
        def requires(self) -> Any:
            return externalize(Step("made elsewhere", after="its input"))

    summary = run(Reader("reader"))

    assert statuses(summary) == {"made elsewhere": "BLOCKED", "reader": "BLOCKED"}
    shelf.names.add("made elsewhere")
    assert statuses(run(Reader("reader"))) == {"made elsewhere": "UPTODATE", "reader": "OK"}
    assert journal == ["reader"]


def test_build_blocked_and_failed_is_skipped_as_the_plan_says() -> None:
    """Of a broken and a blocked requirement the broken one decides, in whatever order they stand."""

    class Broken(Step):
        def requires(self) -> Any:
            raise ValueError("x")

    class Behind(Step):
        def requires(self) -> Any:
            found = [Feed("feed"), Broken("broken")]
            return found if self.name == "one" else found[::-1]

    for name in ("one", "two"):
        assert statuses(run(Behind(name)))[name] == "SKIP"
        assert plan(Behind(name)).by_task[Behind(name)].decision is Decision.BROKEN


# -- one answer within an attempt


def test_build_requires_is_asked_anew_before_run() -> None:
    """What requires() names first just before the run is built like a yielded task, then the task runs."""
    asked: list[int] = []

    class Growing(Step):
        def requires(self) -> Any:
            asked.append(1)
            return [Step("known")] if len(asked) == 1 else [Step("known"), Step("late", after="later")]

    summary = run(Growing("root"))

    assert journal == ["known", "later", "late", "root"]
    assert ran(summary) == ["known", "later", "late", "root"]


@pytest.mark.parametrize(("late", "status"), [("fail", "SKIP"), ("blocked", "BLOCKED"), ("cycle", "FAIL")])
def test_build_a_late_requirement_that_ends_badly_ends_the_task(late: str, status: str) -> None:
    """Failed, blocked, or the task itself: it does not run."""
    asked: list[int] = []

    class Growing(Step):
        def requires(self) -> Any:
            asked.append(1)
            kinds = {"fail": lambda: Failing("x"), "blocked": lambda: Feed("x"), "cycle": lambda: Growing("root")}
            return [] if len(asked) == 1 else [kinds[late]()]

    summary = run(Growing("root"), Step("sibling"))

    assert statuses(summary)["root"] == status
    assert statuses(summary)["sibling"] == "OK"
    assert "root" not in journal


def test_build_requires_that_raises_before_the_run_fails_the_task() -> None:
    """Also when it went well the first time."""
    asked: list[int] = []

    class Moody(Step):
        def requires(self) -> Any:
            asked.append(1)
            if len(asked) > 1:
                raise ValueError("not again")
            return []

    assert result_of(run(Moody("a")), Moody("a")).reason == "ValueError: not again"


def test_build_one_answer_holds_for_the_attempt_across_midnight() -> None:
    """requires(), what is checked, and input() in run() share one answer, though the default day has turned."""
    days: Iterator[dt.date] = iter([dt.date(2013, 1, 1), dt.date(2013, 1, 2), dt.date(2013, 1, 3), dt.date(2013, 1, 4)])
    seen: list[Any] = []

    class Words(Task):
        date = DateParameter(default=lambda: next(days))

        def output(self) -> Any:
            return shelf.target(f"words {self.date}")

        def run(self) -> Any:
            shelf.names.add(f"words {self.date}")

    class Count(Step):
        def requires(self) -> Any:
            return Words()

        def run(self) -> Any:
            words: Any = self.deps()[0]
            seen.extend([self.requires().date, self.input().name, words.date, self.input().exists()])
            super().run()

    assert run(Count("count"))
    assert seen == [dt.date(2013, 1, 2), "words 2013-01-02", dt.date(2013, 1, 2), True]
    assert Count("count").requires().date == dt.date(2013, 1, 3), "outside an attempt requires() is asked anew"


def test_build_a_generator_in_requires_may_be_walked_again_in_the_attempt() -> None:
    """requires() as a generator, at any depth: input() sees what was required."""
    seen: list[Any] = []

    class Reader(Step):
        def requires(self) -> Any:
            if self.name == "bare":
                return self.several()
            return {"days": (Step(name) for name in "ab")}

        def several(self) -> Iterator[Task]:
            yield Step("a")
            yield Step("b")

        def run(self) -> Any:
            found = self.input()
            seen.append([target.name for target in (found if self.name == "bare" else found["days"])])
            super().run()

    assert run(Reader("bare"), Reader("nested"))
    assert seen == [["a", "b"], ["a", "b"]]


# -- cycles


class Ring(Task):
    number = IntParameter()
    size = IntParameter()

    def requires(self) -> Any:
        return Ring((self.number + 1) % self.size, self.size)


@pytest.mark.parametrize("size", [1, 2, 3, 10_000])
def test_build_a_cycle_is_an_error_that_prints_it(size: int) -> None:
    """F55: `A -> B -> A`, found before anything runs, whatever its length, with little computing."""
    began = time.process_time()

    with pytest.raises(CycleError) as caught:
        run(Ring(0, size))

    assert time.process_time() - began < 10
    said = str(caught.value)
    assert f"Ring(0, size={size}) -> Ring({1 % size}, size={size})" in said
    assert said.endswith(f"-> Ring(0, size={size}). One of them must not.")
    assert len(said) < 1000


def test_build_a_cycle_behind_the_root_names_only_the_circle() -> None:
    """The way to the circle is left out."""

    class Way(Step):
        def requires(self) -> Any:
            return Ring(1, 2)

    with pytest.raises(CycleError, match=r"circle: Ring\(1, size=2\) -> Ring\(0, size=2\) -> Ring\(1, size=2\)\."):
        run(Way("way"))


# -- observers


def test_build_tells_observers_each_step() -> None:
    """run_started with what is to run, each start and end with its number, run_finished with the summary, in order."""
    watcher = Watcher()
    shelf.names.add("done")

    summary = run(Step("b", after="a"), Step("done"), observers=[watcher])

    assert watcher.calls == [
        ("run_started", "r1", [Step("b"), Step("done")], [Step("a"), Step("b", after="a")]),
        ("task_started", "a"),
        ("task_finished", "a", "OK", 1, 2),
        ("task_started", "b"),
        ("task_finished", "b", "OK", 2, 2),
        ("run_finished", summary),
    ]


def test_build_an_observer_that_raises_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """The work does not depend on who watches; the others are still told."""

    class Bad(Watcher):
        def task_started(self, task: Task, attempt: context.Attempt) -> None:
            raise ValueError("screen gone")

    bad, good = Bad(), Watcher()
    with caplog.at_level(logging.ERROR, logger="etlctl"):
        summary = run(Step("a"), observers=[bad, good])

    assert summary
    assert [call[0] for call in bad.calls] == ["run_started"]
    assert [call[0] for call in good.calls] == ["run_started", "task_started", "task_finished", "run_finished"]


def test_build_an_interrupt_while_observers_are_told_counts_each_task_once() -> None:
    """Ctrl-C may come anywhere: each task has one result all the same."""

    class Interrupting(Watcher):
        def task_finished(self, result: Any, number: int, total: int) -> None:
            super().task_finished(result, number, total)
            if result.task.task_label == "a":
                raise KeyboardInterrupt

    summary = run(Step("a"), Step("b", after="a"), observers=[Interrupting()])

    assert statuses(summary) == {"a": "OK", "b": "SKIP"}
    assert len(summary.results) == 2
    assert summary.exit_code == ExitCode.INTERRUPTED


def test_build_rows_and_notes_of_the_attempt_reach_the_result() -> None:
    """What a load sets on context.attempt() is in its result; notes are made printable."""

    class Loading(Step):
        def run(self) -> Any:
            context.attempt().rows = 943
            context.attempt().notes.append("header \x1b[31malone")
            super().run()

    result = result_of(run(Loading("a")), Loading("a"))

    assert result.rows == 943
    assert result.notes == (r"header \x1b[31malone",)
    assert result.started_at is not None
    assert result.started_at.tzinfo is not None
    assert result.duration_s is not None
    assert result.duration_s >= 0


def test_build_rows_of_a_failed_task_are_none() -> None:
    """What it had counted was rolled back or left half-way: `rows` are those loaded."""

    class Failing(Step):
        def run(self) -> Any:
            context.attempt().rows = 943
            context.attempt().notes.append("943 rows were refused")
            raise ValueError("no")

    result = result_of(run(Failing("a")), Failing("a"))

    assert (result.status, result.rows, result.notes) == (Status.FAIL, None, ("943 rows were refused",))
