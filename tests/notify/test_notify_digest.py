"""Which results are told, how often, and in which words; with the memory of this process and a recording notifier."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.errors import ExitCode, UnavailableError
from etlctl.notify import LocalMemory, Message, Trouble
from etlctl.notify.digest import MOST_ITEMS, MOST_LINES, About, Wanted, digest, given_up
from etlctl.notify.memory import MOST
from etlctl.notify.recalling import Recalling
from etlctl.notify.selection import Selection
from etlctl.notify.troubles import begun, over
from notify.house import EVERYTHING, Feed, Load, Needs, Report, blocked, done, failed, settings, summary

ABOUT = About("acme", "production", " --profile production", "host-1")
HOUR_S = 3_600.0


class Told:
    """One notifier with a clock of its own."""

    def __init__(self, *on: str, tasks: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> None:
        self.now = 0.0
        self.memory = LocalMemory(lambda: self.now)
        selection = Selection.of(settings(on=on or EVERYTHING, tasks=tasks, tags=tags))
        self.wanted = Wanted("acme/production/ops", selection, HOUR_S)

    def of(self, *results: TaskResult, **more: Any) -> Message | None:
        """What is told of a run."""
        return self.of_run(summary(*results, **more))

    def of_run(self, run: RunSummary) -> Message | None:
        """The same, of a summary."""
        told = digest(run, self.wanted, ABOUT, self.memory)
        return told.message if told is not None else None


def results(message: Message | None) -> list[tuple[str, str]]:
    """What a message tells of: task and word."""
    assert message is not None
    return [(item.task, item.result) for item in message.items]


def test_digest_is_one_message_of_a_run() -> None:
    """Counts of all, the failed with reason and command, the blocked, who and where."""
    message = Told("fail", "blocked").of(
        failed(Load(1), "ValueError: twice", where="pipelines/flows.py:7", log="/logs/1"),
        failed(Load(2), "ValueError: twice", where="pipelines/flows.py:7", log="/logs/2"),
        blocked(Feed(3)),
        done(Report()),
    )

    assert message is not None
    assert message.title == "etlctl acme (production): 2 failed, 1 blocked: Load(1) and 2 more"
    assert "FAIL  Load(1), Load(2)   pipelines/flows.py:7\n  ValueError: twice" in message.text
    assert "BLOCKED  Feed(3)   feed/1.csv is missing" in message.text
    assert "OK=1 FAIL=2 SKIP=0 BLOCKED=1" in message.text
    assert message.items[0].command == "etlctl logs 20261123T050000-ab12 Load --day 1 --profile production"
    assert message.items[0].error == "ValueError"
    assert message.document()["counts"] == {"OK": 1, "FAIL": 2, "SKIP": 0, "BLOCKED": 1, "HELD": 0, "UPTODATE": 0}
    assert message.document()["exit_code"] == 1


def test_same_failure_is_told_again_after_repeat_alone() -> None:
    """A loop of every minute does not tell every minute; numbers in a reason make no other failure of it."""
    told = Told("fail")

    first = told.of(failed(Load(), "2 duplicate keys, 0x7f3a"))
    told.now = HOUR_S - 1
    second = told.of(failed(Load(), "3 duplicate keys, 0x7f4b"))
    told.now = HOUR_S
    third = told.of(failed(Load(), "4 duplicate keys, 0x7f5c"))

    assert first is not None
    assert second is None
    assert third is not None


def test_another_failure_of_the_task_is_told_at_once() -> None:
    """A new reason is news; what goes on as before is counted beside it."""
    told = Told("fail")
    told.of(failed(Load(1), "no such table"), failed(Load(2), "no such table"))

    message = told.of(failed(Load(1), "permission denied"), failed(Load(2), "no such table"))

    assert results(message) == [("Load(1)", "fail")]
    assert message is not None and message.told_before == 1 and "1 more as told before" in message.text


def test_recovered_is_told_once_and_makes_the_next_failure_news() -> None:
    """By a run that did it, or found it done."""
    told = Told("fail", "recovered")
    told.of(failed(Load(1)), failed(Load(2)))

    message = told.of(done(Load(1)), TaskResult(Load(2), Status.UPTODATE), done(Report()))
    again = told.of(done(Load(1)))
    anew = told.of(failed(Load(1)))

    assert results(message) == [("Load(1)", "recovered"), ("Load(2)", "recovered")]
    assert message is not None and not message.is_bad
    assert again is None
    assert results(anew) == [("Load(1)", "fail")]


def test_what_is_not_asked_for_is_neither_told_nor_remembered() -> None:
    """A notifier of failures hears of no recovery, and yet the next failure is told at once."""
    told = Told("fail")
    told.of(failed(Load()))

    assert told.of(done(Load())) is None
    assert told.of(failed(Load())) is not None


def test_selection_is_by_family_label_and_tag() -> None:
    """Patterns and tags must both hold where both are given."""
    run = (failed(Load(1)), failed(Load(2)), failed(Report()))

    assert results(Told(tasks=("Lo*",)).of(*run)) == [("Load(1)", "fail"), ("Load(2)", "fail")]
    assert results(Told(tasks=("Load(2)", "Nothing")).of(*run)) == [("Load(2)", "fail")]
    assert results(Told(tags=("nightly",)).of(*run)) == [("Load(1)", "fail"), ("Load(2)", "fail")]
    assert Told(tasks=("Report",), tags=("nightly",)).of(*run) is None


def test_blocked_is_told_by_what_is_missing() -> None:
    """Twenty tasks behind one feed are one line; who chose a task hears that it is blocked."""
    run = (blocked(Feed(1)), blocked(Needs(), "Feed(1) is blocked"), blocked(Report(), "Feed(1) is blocked"))

    assert results(Told("blocked").of(*run)) == [("Feed(1)", "blocked")]
    assert results(Told("blocked", tasks=("Needs",)).of(*run)) == [("Needs()", "blocked")]


def test_interrupted_run_is_told_to_who_asks() -> None:
    """It failed at nothing, and is not done."""
    skipped = TaskResult(Load(), Status.SKIP, "stopped")

    message = Told("interrupted").of(skipped, interrupted=ExitCode.TERMINATED, stopped="stopped by ann: too slow")

    assert message is not None and message.title.endswith(": interrupted") and message.exit_code == 143
    assert "stopped by ann: too slow" in message.text
    assert Told("fail").of(skipped, interrupted=ExitCode.TERMINATED) is None


def test_run_that_was_given_up_is_told_once_until_one_ends() -> None:
    """A state database that is gone is no storm; when a run came to its end the next outage is news."""
    told = Told("fail")

    def outage() -> object:
        return given_up(
            "r1", UnavailableError("the state database cannot be reached."), told.wanted, ABOUT, told.memory
        )

    first, second = outage(), outage()
    told.of(done(Load()))
    third = outage()

    assert first is not None and third is not None
    assert second is None


def test_message_of_ten_thousand_failures_is_bounded() -> None:
    """A warehouse that is gone fails everything in its own words; the mail stays readable."""
    many = [failed(Load(day), f"{'abcdefghij'[day % 10] * 8}: {'x' * 2_000}") for day in range(10_000)]

    message = Told("fail").of(*many)

    assert message is not None
    assert len(message.items) == MOST_ITEMS and message.left_out == 10_000 - MOST_ITEMS
    assert message.text.count("\n") <= MOST_LINES + 10
    assert all(len(item.reason) <= 500 for item in message.items)


def test_memory_of_a_process_is_bounded() -> None:
    """The oldest are forgotten first."""
    memory = LocalMemory()

    for number in range(MOST + 5):
        memory.first([f"notify:{number}"], again_after_s=HOUR_S)

    assert len(memory.open("notify:")) == MOST
    assert "notify:0" not in memory.open("notify:")


def test_four_loops_with_one_memory_tell_once() -> None:
    """Whoever is first tells; the recovery, too, is told by one of them."""
    memory = LocalMemory()
    loops = [Told("fail", "recovered") for _ in range(4)]
    for loop in loops:
        loop.memory = memory

    def told(make: Callable[[], TaskResult]) -> list[Message]:
        return [message for loop in loops if (message := loop.of(make())) is not None]

    rounds = [told(lambda: failed(Load())), told(lambda: failed(Load())), told(lambda: done(Load()))]

    assert [len(messages) for messages in rounds] == [1, 0, 1]
    assert len({message.id for message in itertools.chain(*rounds)}) == 2


def could_not_use(number: int) -> TaskResult:
    """A task whose database was gone."""
    return TaskResult(Load(number), Status.FAIL, "wh-1 cannot be reached", exit_code=ExitCode.UNAVAILABLE)


def test_a_loop_tells_no_task_that_could_not_use_something() -> None:
    """It tries it again by itself: neither its failure nor its success is news. Others of the same run are."""
    told = Told("fail", "recovered")
    told.wanted = told.wanted._replace(leaves_outages=True)

    first = told.of(could_not_use(1), done(Load(2)))
    second = told.of(done(Load(1)), done(Load(2)))
    third = told.of(could_not_use(1), failed(Load(2)))

    assert (first, second) == (None, None)
    assert results(third) == [("Load(2)", "fail")]
    assert third is not None and "1 more could not use what they need, and will be tried again" in third.text


def test_a_build_tells_a_task_that_could_not_use_something() -> None:
    """Nobody tries it again by itself."""
    assert results(Told("fail").of(could_not_use(1))) == [("Load(1)", "fail")]


BROKEN = Trouble("turn nightly", "nightly cannot be built", "Load cannot be made: line 7")


def test_trouble_is_told_once_and_its_end_once() -> None:
    """Another reason is told at once, the same one after `repeat`; an end is told where its trouble was."""
    told = Told("alert", "recovered")

    def hears(what: Any, trouble: Trouble) -> str | None:
        found = what(trouble, told.wanted, ABOUT, told.memory)
        return None if found is None else f"{found.message.kind} {found.message.is_bad} {found.message.text}"

    first = [hears(over, BROKEN), hears(begun, BROKEN), hears(begun, BROKEN._replace(text=f"{BROKEN.text}0"))]
    other = hears(begun, BROKEN._replace(text="no module"))
    told.now = HOUR_S
    again = hears(begun, BROKEN)
    ends = [hears(over, BROKEN._replace(text="done")), hears(over, BROKEN._replace(text="done"))]

    assert first == [None, f"alert True {BROKEN.text}\non host-1", None]
    assert other == "alert True no module\non host-1"
    assert again == first[1]
    assert ends == ["recovered False done\non host-1", None]


def test_end_of_a_trouble_is_not_told_to_whoever_does_not_ask_for_it() -> None:
    """But the same trouble is a new one after it."""
    told = Told("alert")

    found = [what(BROKEN, told.wanted, ABOUT, told.memory) is not None for what in (begun, begun, over, begun)]

    assert found == [True, False, False, True]


def test_what_was_told_while_the_shared_memory_was_gone_is_not_told_again_when_it_is_back() -> None:
    """And its end is known."""
    shared = LocalMemory()
    is_gone = [True]

    def opened() -> LocalMemory:
        if is_gone[0]:
            raise UnavailableError("the state database cannot be reached")
        return shared

    memory = Recalling(opened)
    first = memory.first(["a"], again_after_s=HOUR_S)
    is_gone[0] = False

    assert first == {"a"}
    assert memory.first(["a", "b"], again_after_s=HOUR_S) == {"b"}
    assert memory.open("") == {"a", "b"}
    assert memory.settle(["a", "b"]) == {"a", "b"}
    assert memory.first(["a"], again_after_s=HOUR_S) == {"a"}
