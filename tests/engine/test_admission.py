"""What a run makes of the answers of its leases: held, done or failed elsewhere, lost; and of pools."""

from __future__ import annotations

import datetime as dt
import time as wall
from collections.abc import Sequence
from typing import Any

import pytest

from etlctl import Task
from etlctl.core.leases import Answer, Ended, EndState, FailedElsewhere, Full, Granted, Held, Wanted
from etlctl.core.results import Status
from etlctl.engine.leases import DispensableLeases, ProcessLeases
from etlctl.errors import ExitCode, HeldError, UnavailableError
from running import result_of, run, statuses
from scripted_leases import Scripted
from steps import Step, cleared, ran, shelf

MORNING = dt.datetime(2026, 11, 21, 7, 30, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _emptied() -> None:
    cleared()


def test_what_another_process_holds_is_waited_for_and_then_found_done() -> None:
    """Its dependents run, it does not; others go first meanwhile."""

    def answer(name: str, time: int) -> Answer:
        if name == "held" and time < 3:
            return Held("there:7", MORNING)
        if name == "held":
            shelf.names.add("held")
            return Granted(2, done_by="there:7")
        return Granted(1)

    leases = Scripted(answer)

    summary = run(Step("behind", after="held"), Step("beside"), leases=leases, wait_held_s=60)

    assert ran == ["beside", "behind"]
    held = result_of(summary, Step("held"))
    assert (held.status, held.notes) == (Status.UPTODATE, ("done by there:7",))
    assert summary.exit_code is ExitCode.DONE
    assert leases.ends == [("beside", EndState.DONE), ("held", EndState.DONE), ("behind", EndState.DONE)]


def test_what_stays_held_is_told_with_its_holder() -> None:
    """Exit 5 for it and what requires it; siblings run."""
    leases = Scripted(lambda name, time: Held("there:7", MORNING) if name == "held" else Granted(1))

    summary = run(Step("behind", after="held"), Step("beside"), leases=leases, wait_held_s=0)

    assert statuses(summary) == {"Step(held)": "HELD", "Step(behind)": "HELD", "Step(beside)": "OK"}
    assert result_of(summary, Step("held")).reason == "held by there:7"
    assert result_of(summary, Step("behind")).reason == "waits for Step(held), which another process has"
    assert summary.exit_code is ExitCode.HELD


def test_what_was_done_elsewhere_and_is_gone_again_runs() -> None:
    """`done_by` is a reason to look once more, not to believe."""
    leases = Scripted(lambda name, time: Granted(2, done_by="there:7"))

    summary = run(Step("a"), leases=leases)

    assert ran == ["a"] and result_of(summary, Step("a")).status is Status.OK


def test_a_task_without_outputs_that_was_done_elsewhere_meanwhile_is_done() -> None:
    """It is never complete, so the other's end is all there is to go by."""

    class Notice(Task):
        def run(self) -> Any:
            ran.append("notice")

    leases = Scripted(lambda name, time: Granted(2, done_by="there:7"))

    summary = run(Notice(), leases=leases)

    assert ran == [] and result_of(summary, Notice()).status is Status.UPTODATE


def test_forced_tasks_run_although_another_process_has_just_done_them() -> None:
    """--force says that what is there does not count."""
    shelf.names.add("a")
    leases = Scripted(lambda name, time: Granted(2, done_by="there:7"))

    run(Step("a"), force=[Step("a")], leases=leases)

    assert ran == ["a"]


def test_what_failed_elsewhere_meanwhile_is_not_repeated() -> None:
    """Its failure is ours too, with its place; ten builders would run it ten times."""
    leases = Scripted(lambda name, time: FailedElsewhere("there:7", "no such column") if name == "a" else Granted(1))

    summary = run(Step("behind", after="a"), leases=leases)

    assert statuses(summary) == {"Step(a)": "FAIL", "Step(behind)": "SKIP"}
    assert result_of(summary, Step("a")).reason == "failed in there:7: no such column"


def test_a_lease_lost_before_its_task_began_is_asked_for_again() -> None:
    """Claimed ahead, and taken over: the task is not forgotten."""
    leases = Scripted(lambda name, time: Granted(time))

    class Losing(Step):
        def run(self) -> Any:
            super().run()
            leases.to_lose = {Step("last").update_key: "taken over by there:7"}

    tasks = [Step(f"n{number}") for number in range(40)]

    summary = run(*tasks, Losing("losing"), Step("last"), leases=leases)

    assert summary and ran[-2:] == ["losing", "last"]
    assert leases.asked["last"] == 2


def test_a_load_that_finds_its_lease_taken_over_is_held_not_failed() -> None:
    """Exit 5: the other process has the work."""

    class Fenced(Step):
        def run(self) -> Any:
            raise HeldError("its lease was taken over by there:7")

    summary = run(Fenced("a"), leases=Scripted(lambda name, time: Granted(1)))

    assert result_of(summary, Fenced("a")).status is Status.HELD
    assert summary.exit_code is ExitCode.HELD


def test_short_tasks_are_claimed_many_at_once_and_each_lease_is_given_back() -> None:
    """A thousand tasks of next to no time in far fewer claims."""
    leases = Scripted(lambda name, time: Granted(1))

    summary = run(*[Step(f"n{number}") for number in range(1000)], leases=leases)

    assert summary and len(leases.claims) < 60
    assert sorted(name for name, _ in leases.ends) == sorted(ran)


def test_an_interrupt_gives_back_what_was_claimed_ahead() -> None:
    """As released: the next build may begin at once."""
    leases = Scripted(lambda name, time: Granted(1))

    class Interrupting(Step):
        def run(self) -> Any:
            raise KeyboardInterrupt

    run(*[Step(f"n{number}") for number in range(100)], Interrupting("z"), *map(Step, "abc"), leases=leases)

    states = dict(leases.ends)
    claimed = {name for batch in leases.claims for name in batch}
    assert set(states) == claimed
    assert {states[name] for name in claimed - set(ran) - {"z"}} <= {EndState.RELEASED}


def test_a_pool_that_is_too_small_for_a_task_fails_it_with_the_mend() -> None:
    """It would wait for ever."""

    class Greedy(Step):
        resources = {"redshift": 3}

    summary = run(Greedy("a"), Step("b"), leases=ProcessLeases({"redshift": 2}))

    assert statuses(summary) == {"Greedy(a)": "FAIL", "Step(b)": "OK"}
    assert "takes 3 of the pool redshift, which has 2" in result_of(summary, Greedy("a")).reason


def test_a_parked_generator_gives_its_pool_to_what_it_waits_for() -> None:
    """Else a pool of one would be a deadlock."""

    class Child(Step):
        resources = {"one": 1}

    class Parent(Step):
        resources = {"one": 1}

        def run(self) -> Any:
            yield Child("child")
            super().run()

    summary = run(Parent("parent"), leases=ProcessLeases())

    assert summary and ran == ["child", "parent"]


def test_process_leases_hold_pools_and_give_back_once() -> None:
    """Parked, taken again, ended: the count is that of what runs."""
    leases = ProcessLeases({"p": 2})
    one, two, three = (Wanted(key, key, {"p": 1}) for key in "abc")

    assert leases.claim([one, two, three]) == [Granted(1), Granted(1), Full("p", 2)]
    leases.park("a")
    assert leases.claim([three]) == [Granted(1)]
    assert leases.unpark("a") == Full("p", 2)
    leases.end(Ended("a", EndState.RELEASED))
    leases.end(Ended("b", EndState.DONE))
    assert leases.claim([one]) == [Granted(1)]
    assert leases.claim([two]) == [Full("p", 2)]


def test_a_state_database_that_goes_away_ends_the_run_when_somebody_has_chosen_it() -> None:
    """Nothing more is begun, exit 4, and what was not begun says why."""

    def answer(name: str, time: int) -> Answer:
        if name == "b":
            raise UnavailableError("state postgresql://h/state: no answer")
        return Granted(1)

    summary = run(Step("c", after="b"), Step("b", after="a"), leases=Scripted(answer))

    assert statuses(summary) == {"Step(a)": "OK", "Step(b)": "SKIP", "Step(c)": "SKIP"}
    assert result_of(summary, Step("b")).reason == "not started: state postgresql://h/state: no answer"
    assert summary.exit_code is ExitCode.UNAVAILABLE


def test_a_default_state_database_that_goes_away_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on without heeding others, pools included."""

    def answer(name: str, time: int) -> Answer:
        raise UnavailableError("state.db: disk full")

    leases = DispensableLeases(Scripted(answer), {"p": 1})

    summary = run(Step("behind", after="a"), Step("b"), leases=leases)

    assert summary and sorted(ran) == ["a", "b", "behind"]
    assert caplog.text.count("other builds are not heeded any more: state.db: disk full") == 1


def test_a_task_that_a_pool_keeps_out_and_somebody_yields_runs_once() -> None:
    """It is put forward, not doubled: it stands in one place only."""

    class Pooled(Step):
        resources = {"one": 1}

    class Parent(Step):
        def run(self) -> Any:
            yield Pooled("x2")
            super().run()

    tasks = [Pooled("x1"), Pooled("x2"), Pooled("x3"), Parent("parent")]

    summary = run(*tasks, leases=_Crowded())

    assert summary and sorted(ran) == ["parent", "x1", "x2", "x3"]


class _Crowded(ProcessLeases):
    """The pool is full at the first question for each task."""

    def __init__(self) -> None:
        super().__init__({"one": 1})
        self._asked: set[str] = set()

    def claim(self, wanted: Sequence[Wanted]) -> list[Answer]:
        answers: list[Answer] = []
        for one in wanted:
            is_new = bool(one.resources) and one.key not in self._asked
            self._asked.add(one.key)
            answers.append(Full("one", 1) if is_new else super().claim([one])[0])
        return answers


def test_what_was_claimed_ahead_and_given_back_is_claimed_again() -> None:
    """Long tasks after short ones: others may take what did not begin in time, and it is not forgotten here."""
    leases = Scripted(lambda name, time: Granted(time))

    class Slow(Step):
        def run(self) -> Any:
            leases.given_back = {"y", "z"}
            super().run()

    class Late(Step):
        def run(self) -> Any:
            super().run()

    summary = run(
        *[Step(f"n{number}") for number in range(60)], Slow("slow"), Late("y"), Late("z"), leases=_Once(leases)
    )

    assert summary and ran[-3:] == ["slow", "y", "z"]


class _Once:
    """`leases` that say once of each task it has given back."""

    def __init__(self, leases: Scripted) -> None:
        self._leases = leases

    def __getattr__(self, name: str) -> Any:
        return getattr(self._leases, name)

    def begin(self, key: str) -> bool:
        begins = self._leases.begin(key)
        self._leases.given_back.discard(self._leases._names[key])
        return begins


def test_only_as_many_tasks_of_a_pool_are_claimed_as_can_begin() -> None:
    """A claim ahead would take a place that it does not use."""

    class Pooled(Step):
        resources = {"p": 1}

    leases = Scripted(lambda name, time: Granted(1))

    run(*[Step(f"n{number}") for number in range(50)], *[Pooled(f"p{number}") for number in range(9)], leases=leases)

    assert all(sum(name.startswith("p") for name in batch) <= 1 for batch in leases.claims)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("retries", "x", "its retries is 'x': it must be a number, 0 at least."),
        ("retries", -1, "its retries is -1"),
        ("retry_delay", -1, "its retry_delay is -1"),
        ("retry_on", 5, "its retry_on is 5: it must be exception classes, as in (ConnectionError,)."),
        ("retry_on", (KeyError, "x"), "its retry_on is"),
        ("resources", ["a"], "its resources are ['a']: they must be whole numbers by pool"),
        ("resources", {"p": -1}, "its resources are {'p': -1}"),
        ("priority", "high", "its priority is 'high': it must be a number."),
    ],
)
def test_attributes_that_cannot_be_meant_fail_their_own_task(name: str, value: Any, sentence: str) -> None:
    """Before it runs, with what is right; siblings run."""
    odd = type("Odd", (Step,), {name: value, "__module__": __name__})

    summary = run(odd("odd"), Step("b"))

    assert result_of(summary, odd("odd")).reason.startswith(sentence)
    assert ran == ["b"]


def test_what_a_builder_left_behind_is_looked_at_before_it_runs_again() -> None:
    """It was killed between its output and its word of it; a task without outputs runs again."""

    class Notice(Task):
        def run(self) -> Any:
            ran.append("notice")

    def answer(name: str, time: int) -> Answer:
        shelf.names.add("a")
        return Granted(2, left_by="there:7")

    summary = run(Step("a"), Notice(), leases=Scripted(answer))

    assert ran == ["notice"]
    assert result_of(summary, Step("a")).notes == ("done by there:7",)


def test_a_task_that_others_have_in_turns_is_not_held_too_long() -> None:
    """The wait begins anew with each holder: the work goes on, only not here."""
    holders = iter([Held("bc"[turn % 2] + ":1", MORNING + dt.timedelta(seconds=turn)) for turn in range(8)])

    def answer(name: str, time: int) -> Answer:
        wall.sleep(0.3)
        return next(holders, Granted(1))

    summary = run(Step("a"), leases=Scripted(answer), wait_held_s=2)

    assert summary and ran == ["a"]
