"""Executor: carries out attempts and tells what came of each step. It decides nothing about order or retries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from etlctl.core.context import Attempt
from etlctl.core.task import Task


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step of an attempt came to: an end, well or with `error`, or `needs` to be met before it goes on."""

    task: Task
    needs: tuple[Task, ...] | None = None
    """Tasks it waits for; None when the attempt has ended."""
    error: BaseException | None = None
    active_s: float = 0.0
    """Seconds this step took."""
    interrupted: bool = False
    """The user asked for the end while the task ran (a KeyboardInterrupt came out of it)."""


class Executor(Protocol):
    """Takes attempts and gives outcomes; the runner keeps at most `capacity` under way."""

    @property
    def capacity(self) -> int:
        """How many attempts can be under way at once; those that wait for their needs do not count."""

    def submit(self, task: Task, attempt: Attempt) -> None:
        """Begins an attempt."""

    def resume(self, task: Task) -> None:
        """Goes on with an attempt whose needs have been met."""

    def abandon(self, task: Task) -> None:
        """Ends an attempt whose needs cannot be met; its generator is closed, what that raises is logged."""

    def wait(self) -> Outcome:
        """Blocks until one step of one attempt has come to something. Only after a submit or resume."""
