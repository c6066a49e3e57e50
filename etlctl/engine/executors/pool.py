"""The pool: N workers, kept between attempts, and what came of each attempt as an Outcome.

    thread that builds                         supervisor's thread (supervisor.py)
    submit() resume() abandon() -> crew.py      reads all that workers send and write
    wait() <- Outcome <- queue                 <- ends, needs, deaths

What calls a user's code (making tasks of specs, on_failure, handlers) happens in wait(), in the thread that builds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.events import Event
from etlctl.core.task import Task
from etlctl.engine.attempt import told_failure
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.crew import GRACE_S, LARGEST_BATCH
from etlctl.engine.executors.jobs import Bound, Came, Job, Output, Shown, State, Stop
from etlctl.engine.executors.spec import spec_of, spec_of_attempt, task_of
from etlctl.engine.executors.supervisor import Supervisor
from etlctl.engine.executors.template import Template
from etlctl.engine.executors.wire import Message
from etlctl.engine.failures import Failure
from etlctl.engine.logs import MAX_BYTES
from etlctl.errors import TaskTimeoutError, WorkerDiedError

_QUICK_S = 0.005
_QUICK_ENDS = 16
_AHEAD = 2 * LARGEST_BATCH


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
        self._paces: dict[Any, float] = {}  # mypy takes a class of tasks for one of its instances
        """By class, ends in a row that took hardly any time and printed nothing."""
        self._quick = 0
        """The same of all classes."""

    def prepare(self) -> None:
        """Forks the template: best called while this process has one thread."""
        with self._supervisor.lock:
            self._ready_template()

    @property
    def room(self) -> int:
        """Attempts to be given on top of `capacity`, so that no worker waits for the thread that builds: some while
        all are over in a moment, else none."""
        return self._capacity * _AHEAD if self._quick >= _QUICK_ENDS else 0

    def __contains__(self, task: object) -> bool:
        return task in self._jobs

    def submit(self, task: Task, attempt: Attempt, met: Iterable[Task], timeout_s: float | None) -> None:
        """Gives the attempt to a worker, a new one where none is idle."""
        output = Output(task, attempt.log, self._max_log_bytes, self._shown)
        job = self._jobs[task] = Job(task, attempt, output, timeout_s)
        job.is_quick = timeout_s is None and self._paces.get(type(task), 0) >= _QUICK_ENDS
        job.message = {
            "run": spec_of(task),
            "attempt": spec_of_attempt(attempt),
            "met": [one.task_id for one in met],
        }
        with self._supervisor.lock:
            if self._crew.template is None:
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
            if job.is_over or job.is_batched:
                return  # over, or so in a moment: a signal would meet another attempt of the batch
            job.stop = Stop("cancel", why.reason, why)
            if job.worker is None or job.worker.state is State.PARKED:
                self._crew.abandon(job)
                self._crew.come(job, death="was not needed any more")
            elif job.worker.state is State.BUSY:
                self._crew.stop(job.worker, job.stop)

    def wait(self, timeout_s: float | None) -> Outcome | Bound | None:
        """What has come of a step; blocks for `timeout_s` at most."""
        try:
            came = (
                self._came.get_nowait() if timeout_s is not None and timeout_s <= 0 else self._came.get(True, timeout_s)
            )
        except Empty:
            return None
        if came is None:
            with self._supervisor.lock:
                self._ready_template()
                self._crew.place()
            return None
        job, message = came.job, came.message
        if "needs" in message:
            self._note_pace(job, None)
            return self._needs(job, message)
        self._jobs.pop(job.task, None)
        self._note_pace(job, message.get("active_s"))
        if "bound" in message:
            return Bound(job.task, job.attempt, message["bound"])
        return self._ended(job, message, came.death)

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

    def _note_pace(self, job: Job, active_s: float | None) -> None:
        kind = type(job.task)
        if active_s is not None and active_s < _QUICK_S and job.output.is_silent:
            self._quick += 1
            self._paces[kind] = self._paces.get(kind, 0) + 1
        else:
            self._quick = 0
            self._paces[kind] = 0 if active_s is not None else -math.inf  # what waits for others is in no batch

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
