"""LocalExecutor: attempts on this machine, in worker processes or, where that is cheaper or the only way, in this one.

    jobs = 1      this process; a task with a `timeout` in a worker, since only another process can be ended
    jobs > 1      workers; in this process what has no run() of its own, and what no other process could make or see

Which way a task goes is decided when it is submitted, and once more when its run() yields what only this process has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.attempt import told_failure
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.in_process import InProcessExecutor
from etlctl.engine.executors.jobs import Bound, Shown
from etlctl.engine.executors.spec import Bindings
from etlctl.engine.failures import Failure
from etlctl.engine.logs import MAX_BYTES
from etlctl.errors import TaskError

if TYPE_CHECKING:
    from etlctl.engine.executors.pool import Pool


class LocalExecutor:
    """`jobs` attempts at once. Made after planning and while this process has one thread: it forks, where `jobs` or
    one of `tasks`, those that are to run, will need a worker; later it would copy the locks of other threads.

    `shown` gets each line that a worker's attempt writes, from another thread. `disconnect` closes the database
    connections of the process that it is called in: before the fork, and at the end of each worker.
    """

    def __init__(
        self,
        project: Path,
        *,
        jobs: int = 1,
        tasks: Iterable[Task] = (),
        shown: Shown | None = None,
        disconnect: Callable[[], None] = lambda: None,
        max_log_bytes: int = MAX_BYTES,
    ) -> None:
        self._project = project
        self._jobs = jobs
        self._here = InProcessExecutor(project, max_log_bytes=max_log_bytes)
        self._disconnect = disconnect
        self._shown = shown
        self._max_log_bytes = max_log_bytes
        self._pool: Pool | None = None
        self._failed: list[Outcome] = []
        """Ends of attempts that could not begin."""
        self._bindings = Bindings()
        if jobs > 1 or any(_may_need_worker(task) for task in tasks):
            self._workers().prepare(_workers_for(tasks, jobs) if jobs > 1 else 0)

    @property
    def capacity(self) -> int:
        """Attempts that can be under way at once, wherever; more, which wait for a worker, while all are short."""
        return self._jobs if self._pool is None else self._jobs + self._pool.room

    @property
    def parking_places(self) -> int | None:
        """Each attempt that waits keeps a process."""
        return max(4, 2 * self._jobs)

    def submit(self, task: Task, attempt: Attempt) -> None:
        """Begins an attempt in a worker or, inside `wait()`, here."""
        try:
            timeout_s = timeout_of(task)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's property
            self._failed.append(Outcome(task, None, told_failure(task, error, self._project)))
            return
        why = self._why_here(task, attempt, timeout_s)
        if why is None:
            self._workers().submit(task, attempt, attempt.met, timeout_s)
            return
        if why and timeout_s is not None:
            attempt.notes.append(f"its timeout of {timeout_s:g} s does not hold: it runs in this process, since {why}")
        self._here.submit(task, attempt)

    def resume(self, task: Task) -> None:
        """Goes on where it waits."""
        if self._pool is not None and task in self._pool:
            self._pool.resume(task)
        else:
            self._here.resume(task)

    def abandon(self, task: Task) -> None:
        """Ends an attempt that waits."""
        if self._pool is not None and task in self._pool:
            self._pool.abandon(task)
        else:
            self._here.abandon(task)

    def cancel(self, task: Task, why: Failure) -> None:
        """Ends an attempt in a worker; one that runs here goes on."""
        if self._pool is not None and task in self._pool:
            self._pool.cancel(task, why)

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """The next outcome; a step of what runs here is carried out when no worker has one."""
        if self._failed:
            return self._failed.pop()
        if self._pool is None:
            return self._here.wait(timeout_s)
        while True:
            found = self._pool.wait(0 if self._here.is_due else timeout_s)
            if not isinstance(found, Bound):
                break
            found.attempt.notes.append(f"it was begun again in this process, since {found.why}")
            self._here.submit(found.task, found.attempt)
        if found is None and self._here.is_due:
            return self._here.wait()
        return found

    def close(self) -> None:
        """Ends everything."""
        try:
            self._here.close()
        finally:
            if self._pool is not None:
                self._pool.close()

    def _workers(self) -> Pool:
        """Made when the first is needed: a build in this process imports nothing of them."""
        if self._pool is None:
            from etlctl.engine.executors.pool import Pool

            self._pool = Pool(
                self._project,
                self._jobs,
                disconnect=self._disconnect,
                shown=self._shown,
                max_log_bytes=self._max_log_bytes,
            )
        return self._pool

    def _why_here(self, task: Task, attempt: Attempt, timeout_s: float | None) -> str | None:
        """Why the task runs in this process; empty where that is just cheaper, None for one that goes to a worker."""
        if timeout_s is None and (self._jobs == 1 or type(task).run is Task.run):
            return ""
        return self._bindings.why(task, attempt)


def timeout_of(task: Task) -> float | None:
    """Seconds of its `timeout`, None for none. Raises TaskError for what is no number of seconds."""
    timeout = task.timeout
    if timeout is None or timeout == 0:
        return None
    try:
        seconds = float(timeout)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise TaskError(f"its timeout is {timeout!r}; give seconds, or None for none")
    return seconds


def _workers_for(tasks: Iterable[Task], jobs: int) -> int:
    """How many workers these will keep busy at first."""
    return sum(1 for _ in islice((task for task in tasks if type(task).run is not Task.run), jobs))


def _may_need_worker(task: Task) -> bool:
    try:
        return timeout_of(task) is not None
    except (Exception, SystemExit):  # noqa: BLE001  told when it is submitted
        return False
