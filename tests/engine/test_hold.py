"""What a run makes of a `hold`: tasks that somebody does not want to begin; and of a wish to end while it waits."""

from __future__ import annotations

import datetime as dt
import time as wall
from typing import Any

import pytest

from etlctl.core.leases import Answer, EndState, Granted, Held
from etlctl.core.results import Status
from etlctl.errors import ExitCode, TransientError
from running import result_of, run, statuses
from scripted_leases import Scripted
from steps import Step, cleared, ran, shelf

PAUSED = "paused by ann@etl-1 since 2026-11-23 05:13 UTC"


@pytest.fixture(autouse=True)
def _emptied() -> None:
    cleared()


def holding(*names: str) -> Any:
    return lambda task: PAUSED if task.name in names else ""


def test_hold_keeps_a_task_from_beginning_and_what_requires_it_waits() -> None:
    """HELD with the sentence, exit 5; siblings run, and what is complete is not asked about."""
    shelf.names.add("done")

    summary = run(Step("behind", after="held"), Step("beside"), Step("done"), hold=holding("held", "done"))

    assert statuses(summary) == {
        "Step(held)": "HELD",
        "Step(behind)": "HELD",
        "Step(beside)": "OK",
        "Step(done)": "UPTODATE",
    }
    assert result_of(summary, Step("held")).reason == PAUSED
    assert result_of(summary, Step("behind")).reason == f"waits for Step(held): {PAUSED}"
    assert ran == ["beside"]
    assert summary.exit_code is ExitCode.HELD


def test_hold_is_not_waited_for_also_where_another_process_has_the_task() -> None:
    leases = Scripted(lambda name, time: Held("there:7", None))
    began = wall.monotonic()

    summary = run(Step("held"), hold=holding("held"), leases=leases, wait_held_s=60)

    assert result_of(summary, Step("held")).reason == PAUSED
    assert wall.monotonic() - began < 30
    assert leases.claims == []


def test_hold_that_begins_during_a_run_keeps_back_what_has_not_begun() -> None:
    """What was claimed ahead is given back."""
    leases = Scripted(lambda name, time: Granted(1))

    summary = run(
        *(Step(name) for name in "abc"),
        hold=lambda task: PAUSED if ran and task == Step("c") else "",
        leases=leases,
    )

    assert statuses(summary) == {"Step(a)": "OK", "Step(b)": "OK", "Step(c)": "HELD"}
    assert ("c", EndState.RELEASED) in leases.ends


def test_hold_lets_what_has_begun_go_on() -> None:
    """A parked generator is resumed, and a task that failed is tried again."""

    class Yielding(Step):
        def run(self) -> Any:
            held.append("Yielding")
            yield Step("needed")
            super().run()

    class Once(Step):
        retries = 1
        retry_delay = 0.0

        def run(self) -> Any:
            held.append("Once")
            if held.count("Once") == 1:
                raise TransientError("again, please")
            super().run()

    held: list[str] = []

    summary = run(Yielding("y"), Once("o"), hold=lambda task: PAUSED if task.task_family in held else "")

    assert statuses(summary) == {"Yielding(y)": "OK", "Once(o)": "OK", "Step(needed)": "OK"}


def test_hold_of_what_a_task_yields_ends_that_task_held() -> None:
    class Yielding(Step):
        def run(self) -> Any:
            yield Step("needed")

    summary = run(Yielding("y"), hold=holding("needed"))

    assert statuses(summary) == {"Yielding(y)": "HELD", "Step(needed)": "HELD"}
    assert result_of(summary, Yielding("y")).reason == f"waits for Step(needed): {PAUSED}"


def test_stop_is_heard_while_everything_is_held_elsewhere() -> None:
    """Nothing begins that would ask; the wait would have gone on for ten minutes."""
    asked = [0]

    def answer(name: str, time: int) -> Answer:
        return Held("there:7", dt.datetime(2026, 11, 23, tzinfo=dt.UTC))

    def stop() -> ExitCode | None:
        asked[0] += 1
        return ExitCode.TERMINATED if asked[0] > 2 else None

    began = wall.monotonic()
    summary = run(Step("held"), Step("behind", after="held"), leases=Scripted(answer), wait_held_s=600, stop=stop)

    assert wall.monotonic() - began < 60
    assert summary.exit_code is ExitCode.TERMINATED
    assert {result.status for result in summary.results} == {Status.SKIP}
