"""A run's ear for those who want it to end: asks the state database now and then, from a thread of its own.

    run_started ─ thread: every second, has somebody asked? ─ said once, then asked no more ─ run_finished

As a function it is one of the `stop`s that a build asks.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Final

from etlctl.core.context import Attempt
from etlctl.core.results import RunSummary, TaskResult
from etlctl.core.task import Task
from etlctl.db.state.operations import Operations, Stop
from etlctl.db.state.store import Store
from etlctl.errors import EtlctlError, ExitCode

_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 2.0
_logger = logging.getLogger("etlctl")


class StopAsked:
    """An Observer of one run. A run that ends within `every_s` has asked nothing."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        *,
        every_s: float = _EVERY_S,
        say: Callable[[str], None] = _logger.warning,
    ) -> None:
        self._operations = Operations(store)
        self._run_id = run_id
        self._every_s = every_s
        self._say = say
        self._over = Event()
        self._thread: Thread | None = None
        self._stop: Stop | None = None

    def __call__(self) -> ExitCode | None:
        """As after a SIGTERM, once somebody has asked."""
        return ExitCode.TERMINATED if self._stop is not None else None

    @property
    def sentence(self) -> str:
        """`stopped by ann@etl-1: the warehouse is being upgraded`; empty while nobody has asked."""
        return "" if self._stop is None else self._stop.sentence

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """Begins to ask, where there is anything to run."""
        if to_run:
            here = contextvars.copy_context()
            self._thread = Thread(target=here.run, args=(self._listen,), name="etlctl-stop", daemon=True)
            self._thread.start()

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """Nothing to do."""

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """Nothing to do."""

    def run_finished(self, summary: RunSummary) -> None:
        """Asks no more."""
        self._over.set()

    def close(self) -> None:
        """Ends the thread; waits for a question under way."""
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_PATIENCE_S)

    def _listen(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                found = self._operations.stop_of(self._run_id)
            except EtlctlError as error:  # leases and history tell what is wrong with it
                _logger.debug("whether run %s is to stop could not be asked", self._run_id, exc_info=error)
                continue
            if found is not None:
                self._stop = found
                self._say(f"{found.sentence}: stopping when what runs has ended.")
                return
