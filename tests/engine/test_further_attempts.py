"""What is tried again, how often and when; and what stops a run at its first failure."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl import Event, Parameter, Task
from etlctl.core import context
from etlctl.core.results import Status
from etlctl.engine.retry import delay_before
from etlctl.errors import CheckFailedError, ExitCode, TornLoadError, UnavailableError, WorkerDiedError
from running import Shelf, Watcher, result_of, run, statuses

shelf = Shelf()
calls: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _emptied() -> None:
    shelf.names.clear()
    calls.clear()


class Shaky(Task):
    """Raises its errors, one an attempt, then ends well."""

    name = Parameter()
    errors: ClassVar[list[BaseException]] = []
    retries = 2
    retry_delay = 0.01

    def output(self) -> Any:
        return shelf.target(self.name)

    def run(self) -> Any:
        number = context.attempt().number
        calls.append((self.name, number))
        if number <= len(self.errors):
            raise self.errors[number - 1]
        shelf.names.add(self.name)


def test_an_error_of_retry_on_is_tried_again_inside_the_build() -> None:
    """Twice here, each attempt told with its failure; the summary line says which attempt it was."""

    class Twice(Shaky):
        errors: ClassVar[list[BaseException]] = [UnavailableError("no answer"), WorkerDiedError("killed")]

    watcher = Watcher()

    summary = run(Twice("a"), observers=[watcher])

    result = result_of(summary, Twice("a"))
    assert (result.status, result.notes) == (Status.OK, ("attempt 3",))
    assert [call for call in watcher.calls if call[0] == "task_retried"] == [
        ("task_retried", "Twice(a)", "no answer", 1),
        ("task_retried", "Twice(a)", "killed", 2),
    ]
    assert calls == [("a", 1), ("a", 2), ("a", 3)]


def test_after_the_last_attempt_the_last_failure_stands() -> None:
    """`retries = 2` is three attempts."""

    class Never(Shaky):
        errors: ClassVar[list[BaseException]] = [UnavailableError(str(number)) for number in range(1, 9)]

    summary = run(Never("a"))

    assert result_of(summary, Never("a")).reason == "3"
    assert summary.exit_code is ExitCode.UNAVAILABLE
    assert len(calls) == 3


@pytest.mark.parametrize(
    "error",
    [CheckFailedError("not unique"), TypeError("int + str"), ValueError("bad"), SystemExit(0), TornLoadError("torn")],
)
def test_what_a_further_attempt_cannot_mend_is_not_tried_again(error: BaseException) -> None:
    """A failed check, a mistake in the code, a torn load: one attempt."""

    class Wrong(Shaky):
        errors: ClassVar[list[BaseException]] = [error]

    summary = run(Wrong("a"))

    assert result_of(summary, Wrong("a")).status is Status.FAIL
    assert len(calls) == 1


def test_a_torn_load_is_never_tried_again_and_other_kinds_as_the_class_says() -> None:
    """`retry_on = (Exception,)` reaches every error but a torn load."""

    class All(Shaky):
        retry_on = (Exception,)
        errors: ClassVar[list[BaseException]] = [ValueError("bad"), TornLoadError("torn")]

    summary = run(All("a"))

    assert [number for _, number in calls] == [1, 2]
    assert summary.exit_code is ExitCode.TORN


def test_while_one_waits_for_its_further_attempt_others_run() -> None:
    """A delay holds up nobody, and what depends on the task runs after it."""

    class Slow(Shaky):
        retry_delay = 0.2
        errors: ClassVar[list[BaseException]] = [UnavailableError("no answer")]

    class After(Shaky):
        def requires(self) -> Any:
            return Slow("slow")

    summary = run(After("after"), Shaky("beside"))

    assert [name for name, _ in calls] == ["slow", "beside", "slow", "after"]
    assert summary


def test_an_interrupt_during_a_delay_ends_with_the_failure_that_was_there() -> None:
    """Not as "not started": the task has failed once, and that is told."""

    class Slow(Shaky):
        retry_delay = 60
        errors: ClassVar[list[BaseException]] = [UnavailableError("no answer")]

    class Interrupting(Shaky):
        def run(self) -> Any:
            raise KeyboardInterrupt

    summary = run(Slow("slow"), Interrupting("stop"))

    assert result_of(summary, Slow("slow")).reason == "no answer"
    assert summary.exit_code is ExitCode.INTERRUPTED


def test_a_property_for_retries_that_raises_fails_its_task_before_it_runs() -> None:
    """Not when it is needed, which may be next month."""

    class Odd(Shaky):
        errors: ClassVar[list[BaseException]] = [UnavailableError("no answer")]

        @property
        def retries(self) -> int:  # type: ignore[override]  # as a user may write it
            raise ValueError("cannot count")

    summary = run(Odd("a"))

    assert result_of(summary, Odd("a")).reason == "ValueError: cannot count"
    assert calls == []


def test_callbacks_are_told_of_every_failed_attempt() -> None:
    """FAILURE fires for each, SUCCESS once: as in Luigi."""
    told: list[str] = []

    class Told(Shaky):
        errors: ClassVar[list[BaseException]] = [UnavailableError("no answer")]

        def on_failure(self, exception: BaseException) -> Any:
            told.append(f"on_failure {exception}")

    Told.event_handler(Event.SUCCESS)(lambda task: told.append("success"))

    run(Told("a"))

    assert told == ["on_failure no answer", "success"]


def test_the_duration_is_that_of_the_last_attempt() -> None:
    """A task that failed slowly and then ended quickly is told as quick."""

    class Slow(Shaky):
        def run(self) -> Any:
            if context.attempt().number == 1:
                time.sleep(0.6)
                raise UnavailableError("no answer")
            shelf.names.add(self.name)

    summary = run(Slow("a"))

    assert summary and (result_of(summary, Slow("a")).duration_s or 9) < 0.6


def test_progress_that_is_no_number_fails_its_task_with_what_it_takes() -> None:
    """Else the display would meet it."""

    class Odd(Shaky):
        def run(self) -> Any:
            self.progress("a", None)  # type: ignore[arg-type]  # what is tried

    assert "takes two numbers" in result_of(run(Odd("a")), Odd("a")).reason


def test_fail_fast_begins_nothing_after_the_first_failure() -> None:
    """What was not begun is named with the failure; the exit code is that of the failure."""

    class Broken(Shaky):
        errors: ClassVar[list[BaseException]] = [ValueError("bad")]

    summary = run(Broken("a"), Shaky("b"), Shaky("c"), fail_fast=True)

    assert statuses(summary) == {"Broken(a)": "FAIL", "Shaky(b)": "SKIP", "Shaky(c)": "SKIP"}
    assert result_of(summary, Shaky("b")).reason == "not started: Broken(a) failed"
    assert summary.exit_code is ExitCode.FAILED


@given(number=st.integers(1, 200), delay_s=st.floats(0.01, 3600), part=st.floats(0, 1))
def test_delays_double_vary_by_a_half_and_end_at_ten_minutes(number: int, delay_s: float, part: float) -> None:
    """Between half and one and a half of delay * 2 ** (attempts - 1), which is at most 600 s."""
    base = min(delay_s * 2 ** (number - 1), 600)

    assert base * 0.5 <= delay_before(number, delay_s, vary=lambda: part) <= base * 1.5
