"""What is tried again, and when. Knows no database.

Inside one attempt it is a task whose transaction a database broke off (`patiently`); further attempts are what a
task's `retries` ask for (the runner's business; `delay_before` says how long it waits).

Only a TransientError begins it, which says that the whole transaction is gone and may go well another time. All of
run() is called again, since it is what opened the transaction: a load finds by its marker whether it was committed
after all; other effects of a run() written by hand happen at least once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from etlctl.core.context import Attempt
from etlctl.errors import EtlctlError, LockTimeoutError, TransientError, UnavailableError
from etlctl.text import shortened

DELAYS_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Waits before the further tries, long enough for a database server to be started again; each is varied by a half."""
_LOCK_TRIES = 2
"""A lock was waited for as long as the settings allow: once more, and that is enough."""

_LONGEST_DELAY_S = 600.0

_Result = TypeVar("_Result")


def patiently(
    run: Callable[[], _Result],
    attempt: Attempt,
    *,
    sleep: Callable[[float], object] = time.sleep,
    vary: Callable[[], float] = random.random,
) -> _Result:
    """`run()`, called again after each TransientError until DELAYS_S are used up; the last error is raised.

    Once one was met, a database that cannot be reached counts as well: a server that fell is started again. Inside an
    open transaction nothing is repeated: that is the business of who opened it. Each repetition is noted in `attempt`.
    """
    locked, has_begun = 0, False
    for delay_s in DELAYS_S:
        try:
            return run()
        except UnavailableError as error:
            has_begun = has_begun or isinstance(error, TransientError)
            locked += isinstance(error, LockTimeoutError)
            if not has_begun or locked >= _LOCK_TRIES or attempt.transactions:
                raise
            attempt.notes.append(f"tried again after: {shortened(_first_line(error), 100)}")
            attempt.rows = None
        sleep(delay_s * (0.5 + vary()))
    return run()


def _first_line(error: EtlctlError) -> str:
    return str(error).partition("\n")[0]


def delay_before(number: int, delay_s: float, *, vary: Callable[[], float] = random.random) -> float:
    """Seconds between the `number`-th attempt at a task and the next: doubled each time, varied by a half."""
    return min(delay_s * 2.0 ** min(number - 1, 20), _LONGEST_DELAY_S) * (0.5 + vary())
