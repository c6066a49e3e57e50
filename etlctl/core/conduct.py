"""What a task's class says about how it is run, and what a running task tells of itself; the engine reads both."""

from __future__ import annotations

from typing import Any

from etlctl.core import context
from etlctl.core.events import Event, EventSource
from etlctl.errors import UnavailableError, WorkerDiedError


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

    def progress(self, done: float, total: float) -> None:
        """Called from run(): shown while the task runs, and told to the handlers of Event.PROGRESS."""
        context.attempt().progress = (done, total)
        self.trigger_event(Event.PROGRESS, self, {"done": done, "total": total})

    def status(self, text: str) -> None:
        """Called from run(): one sentence, shown while the task runs."""
        context.attempt().status = str(text)
        self.trigger_event(Event.PROGRESS, self, {"status": str(text)})
