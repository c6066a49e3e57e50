"""Executor: carries out attempts and tells what came of each step. Decides nothing of order, leases or retries."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.failures import Failure


class Outcome(NamedTuple):
    """What one step of an attempt came to: an end, well or with `failure`, or `needs` to be met before it goes on."""

    task: Task
    needs: tuple[Task, ...] | None = None
    """Tasks it waits for; None when the attempt has ended."""
    failure: Failure | None = None
    active_s: float = 0.0
    """Seconds this step took, by the clock of where it ran."""
    interrupted: bool = False
    """The user asked for the end while the task ran (a KeyboardInterrupt came out of it)."""
    restarts: bool = False
    """With `needs`: nothing of the attempt is kept meanwhile; resume() calls run() again from the top (Dask)."""
    is_unbegun: bool = False
    """With `failure`: nothing of it has run anywhere, and nothing more can be begun."""


class Executor(Protocol):
    """Takes attempts and gives outcomes; the runner keeps at most `capacity` under way."""

    @property
    def capacity(self) -> int:
        """How many attempts can be under way at once; those that wait for their needs do not count.

        Raises UnavailableError where nothing can be begun any more.
        """

    @property
    def parking_places(self) -> int | None:
        """Attempts that may wait for needs before further generators that nobody waits for are held back.

        None where a waiting attempt costs nothing to speak of: no process of its own.
        """

    def submit(self, task: Task, attempt: Attempt) -> None:
        """Begins an attempt. `attempt` is live: rows, progress, status, waiting, notes change as the task tells."""

    def resume(self, task: Task) -> None:
        """Goes on with an attempt whose needs have been met."""

    def abandon(self, task: Task) -> None:
        """Ends an attempt that waits for needs that cannot be met: its generator is closed, what that raises logged."""

    def cancel(self, task: Task, why: Failure) -> None:
        """Ends an attempt that runs: its transaction is rolled back. Its Outcome follows, with `why` as its failure.

        What runs in this very process cannot be ended from outside; there it has no effect.
        """

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """Blocks until one step of one attempt has come to something, `timeout_s` at most; None when nothing has."""

    def close(self) -> None:
        """Ends every attempt there still is, at once, and whatever was started for them; nothing is told any more."""
