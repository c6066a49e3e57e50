"""Outages by themselves: who has met one, and what shows that it is over."""

from __future__ import annotations

from typing import Any

from etlctl import IntParameter, Task
from etlctl.core.context import Attempt
from etlctl.core.results import Status, TaskResult
from etlctl.errors import ExitCode
from etlctl.loop.outages import ALERT_AFTER_S, InTurn, Outages
from notify.house import summary

GONE = "postgresql://etl:***@wh-1:5432/dw cannot be reached: refused"


class Load(Task):
    """Of one kind."""

    number = IntParameter(default=0)


class Report(Task):
    """Of another."""


class Told:
    """Outages with a clock of their own, what they say and whom they call."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.called: list[str] = []
        self.asked = 0
        self.outages = Outages(self.said.append, lambda: self.now, self)  # type: ignore[arg-type]
        self.turn = InTurn(self.outages, "nightly", self._ask)

    def met(self, subject: str, title: str, text: str) -> None:
        """As Troubles."""
        self.called.append(f"met {subject}")

    def over(self, subject: str, title: str, text: str) -> None:
        """As Troubles."""
        self.called.append(f"over {subject}")

    def _ask(self) -> None:
        self.asked += 1

    def begins(self, *tasks: Task) -> None:
        """Attempts at tasks."""
        for task in tasks:
            self.turn.task_started(task, Attempt())

    def ends(self, task: Task, *, well: bool) -> None:
        """The end of one."""
        bad: dict[str, Any] = {"reason": GONE, "exit_code": ExitCode.UNAVAILABLE}
        result = TaskResult(task, Status.OK) if well else TaskResult(task, Status.FAIL, **bad)
        self.turn.task_finished(result, 1, 1)

    @property
    def lines(self) -> list[str]:
        """`gone` and `back`."""
        return ["gone" if "the loop goes on" in line else "back" for line in self.said]


def test_task_that_was_begun_before_an_outage_does_not_end_it() -> None:
    """Of two at once one had its rows in, and is told after the other has failed."""
    told = Told()
    told.begins(Load(1), Load(2))
    told.ends(Load(1), well=False)
    told.ends(Load(2), well=True)
    before = told.lines

    told.begins(Load(3))
    told.ends(Load(3), well=True)

    assert (before, told.lines) == (["gone"], ["gone", "back"])
    assert told.said[0].startswith(f"Load(1): {GONE}")


def test_task_of_another_kind_does_not_end_an_outage() -> None:
    """It may use another server; the end of the turn tells, or who is asked then."""
    told = Told()
    told.begins(Load(1))
    told.ends(Load(1), well=False)
    told.begins(Report())
    told.ends(Report(), well=True)
    before = told.lines

    told.outages.back("nightly")

    assert (before, told.lines, told.asked) == (["gone"], ["gone", "back"], 1)


def test_server_that_two_miss_is_one_outage_until_both_have_it_back() -> None:
    """A line each way; who is forgotten misses nothing any more, and that says nothing."""
    told = Told()
    told.outages.gone("the state", f"the state database: {GONE}")
    told.begins(Load(1))
    told.ends(Load(1), well=False)
    told.outages.back("the state")
    before = told.lines

    told.outages.forget("nightly")
    told.outages.gone("nightly", GONE)

    assert (before, told.lines) == (["gone"], ["gone", "gone"])


def test_outage_that_was_told_in_its_turn_is_not_told_at_its_end() -> None:
    """What was back by then is not gone again; what nobody has told of is."""
    told = Told()
    told.begins(Load(1))
    told.ends(Load(1), well=False)
    failed = TaskResult(Load(1), Status.FAIL, GONE, exit_code=ExitCode.UNAVAILABLE)
    unbegun = TaskResult(Load(2), Status.SKIP, f"not started: {GONE}", exit_code=ExitCode.UNAVAILABLE)

    assert told.turn.left(summary(failed)) == ""
    assert told.turn.left(summary(failed, unbegun)) == GONE
    assert Told().turn.left(summary(failed)) == GONE


def test_nobody_is_called_before_an_outage_has_lasted() -> None:
    """And then once a while; its end is told where its begin was."""
    told = Told()
    told.outages.gone("nightly", GONE)
    told.now = ALERT_AFTER_S - 0.1
    told.outages.look()
    before = list(told.called)

    told.now = ALERT_AFTER_S
    told.outages.look()
    told.outages.look()
    told.outages.back("nightly")

    server = "outage of postgresql://etl:***@wh-1:5432"
    assert (before, told.called) == ([], [f"met {server}", f"over {server}"])
