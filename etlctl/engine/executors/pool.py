"""The pool: N workers, kept between attempts, and what came of each attempt as an Outcome.

    thread that builds                         supervisor's thread (supervisor.py)
    submit() resume() abandon() -> crew.py      reads all that workers send and write
    wait() <- Outcome <- queue                 <- ends, needs, deaths

What calls a user's code (making tasks of specs, on_failure, handlers) happens in wait(), in the thread that builds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue

from etlctl.core.context import Attempt
from etlctl.core.events import Event
from etlctl.core.task import Task
from etlctl.engine.attempt import told_failure
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.crew import GRACE_S
from etlctl.engine.executors.jobs import Bound, Came, Job, Output, Shown, Stop
from etlctl.engine.executors.pace import Paces
from etlctl.engine.executors.spec import spec_of, spec_of_attempt, task_of
from etlctl.engine.executors.supervisor import Supervisor
from etlctl.engine.executors.template import Template
from etlctl.engine.executors.wire import Message
from etlctl.engine.failures import Failure
from etlctl.engine.logs import MAX_BYTES
from etlctl.errors import TaskTimeoutError, UnavailableError, WorkerDiedError


class Pool:
    """Attempts in worker processes. All calls come from one thread.

    `disconnect` closes the connections of the process it is called in: of this one before it is forked, since a
    connection has one owner, and of each worker at its end.
    """

    def __init__(
        self,
        project: Path,
        capacity: int,
        *,
        disconnect: Callable[[], None] = lambda: None,
        shown: Shown | None = None,
        max_log_bytes: int = MAX_BYTES,
    ) -> None:
        self._project = project
        self._capacity = capacity
        self._disconnect = disconnect
        self._shown = shown
        self._max_log_bytes = max_log_bytes
        self._came: SimpleQueue[Came | None] = SimpleQueue()
        self._supervisor = Supervisor(self._came.put, capacity)
        self._crew = self._supervisor.crew
        self._jobs: dict[Task, Job] = {}
        self._paces = Paces()

    def prepare(self, workers: int = 0) -> None:
        """Forks the template: best called while this process has one thread. Workers, as many as are given, get ready
        while this process does other things."""
        with self._supervisor.lock:
            self._ready_template()
            self._crew.recruit(workers)

    @property
    def room(self) -> int:
        """Attempts to be given on top of `capacity`, so that no worker waits for the thread that builds: some while
        all are over soon, else none."""
        return self._capacity * self._paces.ahead

    def __contains__(self, task: object) -> bool:
        return task in self._jobs

    def submit(self, task: Task, attempt: Attempt, met: Iterable[Task], timeout_s: float | None) -> None:
        """Gives the attempt to a worker, a new one where none is idle."""
        output = Output(task, attempt.log, self._max_log_bytes, self._shown)
        job = self._jobs[task] = Job(task, attempt, output, timeout_s)
        job.is_short = self._paces.is_short(type(task))
        job.is_quick = timeout_s is None and self._paces.is_quick(type(task))
        job.message = {
            "run": spec_of(task),
            "attempt": spec_of_attempt(attempt),
            "met": [one.task_id for one in met],
        }
        with self._supervisor.lock:
            if self._crew.template is None:
                with suppress(UnavailableError):  # wait() tries again, and tells
                    self._ready_template()
            self._crew.submit(job)

    def resume(self, task: Task) -> None:
        """Lets the worker go on that waits."""
        job = self._jobs[task]
        with self._supervisor.lock:
            if job.worker is None:
                self._crew.come(job, death=job.death)
            else:
                job.message = {"resume": True}
                self._crew.submit(job)

    def abandon(self, task: Task) -> None:
        """Lets the worker close the generator that waits; in the background."""
        job = self._jobs.pop(task)
        with self._supervisor.lock:
            self._crew.abandon(job)

    def cancel(self, task: Task, why: Failure) -> None:
        """Ends the attempt; its Outcome follows."""
        job = self._jobs[task]
        with self._supervisor.lock:
            if not job.is_over:
                self._crew.stop(job, Stop("cancel", why.reason, why))

    def wait(self, timeout_s: float | None) -> Outcome | Bound | None:
        """What has come of a step; blocks for `timeout_s` at most. UnavailableError where no worker can be had."""
        try:
            came = self._next(timeout_s)
        except Empty:
            return None
        if came is None:
            with self._supervisor.lock:
                self._ready_template()
                self._crew.place()
            return None
        job, message = came.job, came.message
        if "needs" in message:
            self._paces.waits(type(job.task))
            return self._needs(job, message)
        self._jobs.pop(job.task, None)
        self._paces.took(type(job.task), message.get("active_s", math.inf), is_silent=job.output.is_silent)
        if "bound" in message:
            return Bound(job.task, job.attempt, message["bound"])
        return self._ended(job, message, came.death)

    def _next(self, timeout_s: float | None) -> Came | None:
        if timeout_s is None or timeout_s > 0:
            with suppress(Empty):
                return self._came.get_nowait()
            with self._supervisor.lock:
                self._crew.place()
            return self._came.get(True, timeout_s)
        return self._came.get_nowait()

    def close(self) -> None:
        """Ends every attempt and every process; nothing of them is left when it returns."""
        self._supervisor.close()
        self._jobs.clear()

    # -- workers

    def _ready_template(self) -> Template:
        template = self._crew.template
        if template is None:
            self._disconnect()
            template = Template.forked(self._work, _warm_up)
            self._crew.listen(template)
        return template

    def _work(self, channel: int, log: int, ledger: int) -> None:
        from etlctl.engine.executors.worker import work

        work(channel, log, ledger, self._project, self._disconnect)

    # -- what came

    def _needs(self, job: Job, message: Message) -> Outcome:
        try:
            return Outcome(job.task, tuple(task_of(spec) for spec in message["needs"]), None, message["active_s"])
        except Exception as error:  # noqa: BLE001  a user's class; the worker could make it
            failure = told_failure(job.task, error, self._project)
        self.abandon(job.task)
        return Outcome(job.task, None, failure, message["active_s"])

    def _ended(self, job: Job, message: Message, death: str) -> Outcome:
        task, stop = job.task, job.stop
        if stop is not None and stop.kind == "timeout" and (death or message["end"] is not None):
            task.trigger_event(Event.TIMEOUT, task, stop.sentence)
        if death:
            return Outcome(task, None, self._failure_of_death(job, death), job.used_s)
        document = message["end"]
        failure = None if document is None else Failure.from_document(document)
        if failure is not None and stop is not None and not message["is_stopped"]:
            # its code made an error of its own of our telling it to end
            failure = replace(failure, reason=stop.sentence, details=(failure.reason, *failure.details))
        if failure is not None and stop is not None and stop.failure is not None:
            failure = stop.failure
        return Outcome(task, None, failure, message["active_s"])

    def _failure_of_death(self, job: Job, death: str) -> Failure:
        stop = job.stop
        if stop is None:
            return told_failure(job.task, WorkerDiedError(f"its process {death}"), self._project)
        if stop.failure is not None:
            return stop.failure
        sentence = f"{stop.sentence}; it had not ended {GRACE_S:g} s later, so its process was killed"
        return told_failure(job.task, TaskTimeoutError(sentence), self._project)


def _warm_up() -> None:
    """In the template: what every worker needs, and this process does not."""
    import_module("etlctl.engine.executors.worker")
