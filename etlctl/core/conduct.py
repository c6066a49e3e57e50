"""What a task's class says about how it is run, and what a running task tells of itself; the engine reads both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import is_
from typing import Any, NamedTuple

from etlctl.core import context
from etlctl.core.events import Event, EventSource
from etlctl.errors import TaskError, UnavailableError, WorkerDiedError
from etlctl.text import shortened


class Conduct(EventSource):
    """Attributes that a class, or a property of it, may set; Luigi's names where Luigi has them."""

    priority: Any = 0
    """Among tasks that are ready, the higher runs first."""
    resources: Any = {}
    """What it takes of pools while it runs: `{"redshift": 1}`. Limits stand in `[pools]` of the settings; a pool that
    is not there has one place, as in Luigi."""
    retries: Any = 0
    """Further attempts after one that failed with an error of `retry_on`."""
    retry_delay: Any = 10
    """Seconds before the first further attempt; doubled for each after that, varied by a half, 10 minutes at most."""
    retry_on: Any = (UnavailableError, WorkerDiedError, ConnectionError, TimeoutError)
    """Exception classes that a further attempt may help against: by default databases and stores that cannot be
    reached, and a process that was killed; never a failed check or a mistake in the code."""
    timeout: Any = None
    """Seconds one attempt may take, waits for yielded tasks left out; then it is ended, with what it has started."""

    deadline: Any = None
    """By when it must be done, as a time of day on the clocks of the schedule that asks for it: `"07:00"`. A loop
    alerts once where it is not."""

    def progress(self, done: float, total: float) -> None:
        """Called from run(): shown while the task runs, and told to the handlers of Event.PROGRESS.

        Raises TaskError for what is no number.
        """
        try:
            context.attempt().progress = (float(done), float(total))
        except (TypeError, ValueError):
            said = f"progress({shortened(repr(done))}, {shortened(repr(total))})"
            raise TaskError(f"{said} was called; it takes two numbers: what is done, and of how much.") from None
        self.trigger_event(Event.PROGRESS, self, {"done": done, "total": total})

    def status(self, text: str) -> None:
        """Called from run(): one sentence, shown while the task runs."""
        context.attempt().status = str(text)
        self.trigger_event(Event.PROGRESS, self, {"status": str(text)})


class Told(NamedTuple):
    """What a task's attributes say, checked."""

    priority: float
    resources: dict[str, int]
    retries: int
    retry_delay_s: float
    retry_on: tuple[type[BaseException], ...]


def told(task: Conduct) -> Told:
    """What `task` says about how it is run. Raises TaskError for what cannot be meant, and what a property raises."""
    said = (task.priority, task.resources, task.retries, task.retry_delay, task.retry_on)
    if all(map(is_, said, _SAID_BY_DEFAULT)):
        return _TOLD_BY_DEFAULT  # by most tasks; to check it takes longer than all else that makes a task ready
    priority, resources, retries, retry_delay, retry_on = said
    return Told(
        _number("priority", priority, least=None),
        _resources(resources),
        int(_number("retries", retries)),
        _number("retry_delay", retry_delay),
        _kinds(retry_on),
    )


def kinds_of(task: Conduct) -> tuple[type[BaseException], ...]:
    """Its `retry_on`, which may be one class alone. Raises TaskError."""
    return _kinds(task.retry_on)


def _kinds(value: Any) -> tuple[type[BaseException], ...]:
    kinds = (value,) if isinstance(value, type) else value
    if isinstance(kinds, (list, tuple)) and all(
        isinstance(one, type) and issubclass(one, BaseException) for one in kinds
    ):
        return tuple(kinds)
    raise TaskError(
        f"its retry_on is {shortened(repr(value))}: it must be exception classes, as in (ConnectionError,)."
    )


def _number(name: str, value: Any, least: float | None = 0) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if math.isnan(found) or (least is not None and not least <= found < math.inf):
        at_least = "" if least is None else f", {least} at least"
        raise TaskError(f"its {name} is {shortened(repr(value))}: it must be a number{at_least}.")
    return found


def _resources(value: Any) -> dict[str, int]:
    if not value:
        return {}
    if isinstance(value, Mapping) and all(isinstance(one, int) and one >= 0 for one in value.values()):
        return {str(pool): amount for pool, amount in value.items() if amount}
    raise TaskError(
        f"its resources are {shortened(repr(value))}: they must be whole numbers by pool, as in {{'redshift': 1}}."
    )


_SAID_BY_DEFAULT = (Conduct.priority, Conduct.resources, Conduct.retries, Conduct.retry_delay, Conduct.retry_on)
_TOLD_BY_DEFAULT = Told(0.0, {}, 0, 10.0, Conduct.retry_on)
