from __future__ import annotations

from collections.abc import Callable

import pytest

from etlctl.core.context import Attempt
from etlctl.engine.retry import DELAYS_S, patiently
from etlctl.errors import LoadError, LockTimeoutError, TransientError, UnavailableError


def failing(*errors: Exception) -> Callable[[], str]:
    """Raises the errors, one at each call, then answers."""
    left = list(errors)

    def run() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return run


class Slept:
    """A clock that only writes down how long it was slept."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []

    def __call__(self, delay_s: float) -> None:
        self.delays_s.append(delay_s)


def test_patiently_runs_again_what_a_database_broke_off() -> None:
    """Longer each time, and every repetition is told."""
    attempt, slept = Attempt(rows=7), Slept()

    answer = patiently(
        failing(TransientError("deadlock\nof two"), TransientError("lost")), attempt, sleep=slept, vary=lambda: 0.5
    )

    assert answer == "done"
    assert slept.delays_s == list(DELAYS_S[:2])
    assert attempt.notes == ["tried again after: deadlock", "tried again after: lost"] and attempt.rows is None


def test_patiently_gives_up_in_the_end() -> None:
    """With the last error, after as many tries as there are delays and one."""
    errors = [TransientError(str(number)) for number in range(10)]
    slept = Slept()

    with pytest.raises(TransientError, match=str(len(DELAYS_S))):
        patiently(failing(*errors), Attempt(), sleep=slept)

    assert len(slept.delays_s) == len(DELAYS_S)


@pytest.mark.parametrize("error", [LoadError("bad"), UnavailableError("refused"), KeyboardInterrupt()])
def test_patiently_repeats_nothing_else(error: BaseException) -> None:
    """A database that was never reached is down, not broken off."""
    slept = Slept()

    def run() -> None:
        raise error

    with pytest.raises(type(error)):
        patiently(run, Attempt(), sleep=slept)

    assert slept.delays_s == []


def test_patiently_waits_for_a_server_that_is_started_again() -> None:
    """After a lost connection a refused one counts as well."""
    run = failing(TransientError("lost"), UnavailableError("refused"), UnavailableError("refused"))

    assert patiently(run, Attempt(), sleep=Slept()) == "done"


def test_patiently_waits_for_a_lock_twice_at_most() -> None:
    """Each wait may have taken a minute."""
    slept = Slept()

    with pytest.raises(LockTimeoutError):
        patiently(failing(*(LockTimeoutError("locked") for _ in range(3))), Attempt(), sleep=slept)

    assert len(slept.delays_s) == 1


def test_patiently_repeats_nothing_inside_an_open_transaction() -> None:
    """One load of several cannot be had again alone."""
    with pytest.raises(TransientError):
        patiently(failing(TransientError("deadlock")), Attempt(transactions=1), sleep=Slept())
