"""DaskExecutor: attempts on the workers of a Dask cluster, each ordered by a text of JSON and answered by one.

    submit() -> order -> Cluster -> a worker: etlctl.worker.carry_out      (remote.py)
    wait()   <- Told   begun on a worker, numbers of the live attempt
             <- Left   a worker is gone: whose doing was it? (dask_losses.py)
             <- Ended  an answer; or it was lost with a worker, or with the scheduler
             <- time   timeouts, workers that do not end what they were told to end

A run() that waits for tasks is given up and ordered again from the top when these are there. What only the building
process can run, runs in it, inside wait().
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from secrets import token_hex
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.events import Event
from etlctl.core.task import Task
from etlctl.engine.attempt import told_failure
from etlctl.engine.executors import dask_events, remote
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.dask_cluster import NO_WORKER_S, Cluster
from etlctl.engine.executors.dask_connection import CONNECT_TIMEOUT_S
from etlctl.engine.executors.dask_events import Down, Ended, Left, Told
from etlctl.engine.executors.dask_losses import MOST_DEATHS, MOST_DEATHS_HERE, Fate, LastTries, Losses
from etlctl.engine.executors.dask_orders import Ordered, Registrar, order_text, settings_told, why_refused
from etlctl.engine.executors.in_process import InProcessExecutor
from etlctl.engine.executors.jobs import Output, Shown, Stop
from etlctl.engine.executors.spec import Bindings, task_of
from etlctl.engine.executors.workers import timeout_of
from etlctl.engine.failures import Failure
from etlctl.engine.logs import MAX_BYTES
from etlctl.errors import TaskError, TaskTimeoutError, UnavailableError, WorkerDiedError
from etlctl.settings import Settings

GRACE_S = 5.0
"""How long an attempt that was told to end may take to do so."""


class DaskExecutor:
    """As many attempts at once as the cluster has threads; `jobs` at most, where it is given.

    `address` None starts a cluster of this machine for it: `jobs` workers, or one a core, of one thread each. Raises
    UnavailableError where no scheduler answers, or none of its workers is there; UsageError without Dask.
    """

    parking_places = None

    def __init__(
        self,
        settings: Settings,
        *,
        address: str | None = None,
        jobs: int | None = None,
        shown: Shown | None = None,
        max_log_bytes: int = MAX_BYTES,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        no_worker_s: float = NO_WORKER_S,
    ) -> None:
        self._settings = settings_told(settings)
        self._project: Path = settings.project
        self._jobs = jobs
        self._shown = shown
        self._max_log_bytes = max_log_bytes
        self._build = token_hex(4)
        self._numbers = 0
        self._came: SimpleQueue[dask_events.Event] = SimpleQueue()
        self._ready: deque[Outcome] = deque()
        self._by_task: dict[Task, Ordered] = {}
        self._by_order: dict[str, Ordered] = {}
        self._workers: set[str] = set()
        """Those that have something open for this build."""
        self._last_tries = LastTries(self._order)
        self._bindings = Bindings()
        self._is_closed = False
        self._here = InProcessExecutor(self._project, max_log_bytes=max_log_bytes)
        self._cluster = Cluster(
            address, self._come, workers=jobs, connect_timeout_s=connect_timeout_s, no_worker_s=no_worker_s
        )
        self._losses = Losses(self._by_order, MOST_DEATHS_HERE if self._cluster.is_own else MOST_DEATHS)
        self._registrar = Registrar(self._by_order, self._cluster)

    @property
    def capacity(self) -> int:
        """Threads of the cluster at the moment; one where it has none, which then waits for a worker to come.

        Raises UnavailableError where the scheduler is gone, or has had no worker for too long.
        """
        if self._cluster.why_down:
            raise UnavailableError(f"{self._cluster.why_down}.")
        return max(1, min(self._cluster.threads, self._jobs or self._cluster.threads))

    def submit(self, task: Task, attempt: Attempt) -> None:
        """Orders the attempt; nothing of it has run when this returns."""
        try:
            timeout_s = timeout_of(task)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's property
            self._ready.append(Outcome(task, None, told_failure(task, error, self._project)))
            return
        why = self._why_here(task, attempt)
        if why is not None:
            if why and timeout_s is not None:
                attempt.notes.append(
                    f"its timeout of {timeout_s:g} s does not hold: it runs in this process, since {why}"
                )
            self._here.submit(task, attempt)
            return
        job = self._by_task[task] = Ordered(
            task, attempt, Output(task, attempt.log, self._max_log_bytes, self._shown), timeout_s
        )
        job.met.update(one.task_id for one in attempt.met)
        self._order(job)

    def resume(self, task: Task) -> None:
        """Orders the attempt again, from the top; what it has waited for is answered where it runs."""
        job = self._by_task.get(task)
        if job is None:
            self._here.resume(task)
        else:
            self._order(job)

    def abandon(self, task: Task) -> None:
        """Forgets an attempt that waits: nothing of it is left anywhere."""
        job = self._by_task.get(task)
        if job is None:
            self._here.abandon(task)
        else:
            self._forget(job)

    def cancel(self, task: Task, why: Failure) -> None:
        """Ends the attempt where it runs, at its next line of Python; its Outcome comes within GRACE_S all the same."""
        job = self._by_task.get(task)
        if job is not None and job.stop is None:
            self._stop(job, Stop("cancel", why.reason, why))

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """The next outcome. None without `timeout_s` means that `capacity` is another."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._look_at_time()
            if self._ready:
                return self._ready.popleft()
            try:
                event = self._came.get(True, self._patience_s(until))
            except Empty:
                if self._here.is_due:
                    return self._here.wait()
                if until is not None and time.monotonic() >= until:
                    return None
                continue
            if not isinstance(event, dask_events.Changed):
                self._handle(event)
            elif timeout_s is None:
                return None  # whoever waits without end looks at `capacity` again

    def close(self) -> None:
        """Tells what runs to end, and leaves the cluster; one of our own ends with all its processes."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._here.close()
        finally:
            for job in list(self._by_task.values()):
                if job.on and not self._cluster.is_own:
                    self._cluster.call(job.on, remote.ended, job.order, "cancel", "the build was ended")
                self._forget(job)
            for worker in self._workers if not self._cluster.is_own else ():
                self._cluster.call(worker, eval, _LEAVE, {"build": self._build})
            self._registrar.close()
            self._cluster.close()

    # -- orders

    def _why_here(self, task: Task, attempt: Attempt) -> str | None:
        """Why the task runs in this process; empty where that is just cheaper, None for one that is ordered."""
        if type(task).run is Task.run and task.timeout is None:
            return ""
        return self._bindings.why(task, attempt)

    def _order(self, job: Ordered) -> None:
        self._numbers += 1
        job.is_sent(f"{self._build}-{self._numbers}")
        self._by_order[job.order] = job
        self._cluster.submit(job.order, job.task.task_family, order_text(job, self._build, self._settings))

    def _withdraw(self, job: Ordered) -> None:
        """Nothing that still comes of its order is looked at."""
        self._cluster.drop(job.order)
        self._by_order.pop(job.order, None)

    def _forget(self, job: Ordered) -> None:
        self._withdraw(job)
        self._by_task.pop(job.task, None)
        job.output.close()
        self._last_tries.discard(job)

    def _stop(self, job: Ordered, stop: Stop) -> None:
        job.stop = stop
        if job.on:
            job.kill_at = time.monotonic() + GRACE_S
            if job.has_begun:  # else when it is
                self._cluster.call(job.on, remote.ended, job.order, stop.kind, stop.sentence)
        else:
            self._end(job, self._stopped(job, ""))

    # -- time

    def _patience_s(self, until: float | None) -> float | None:
        if self._here.is_due:
            return 0.0
        moments = [one.moment for one in self._by_order.values() if one.moment is not None]
        if until is not None:
            moments.append(until)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _look_at_time(self) -> None:
        now = time.monotonic()
        for job in [one for one in self._by_order.values() if one.moment is not None and one.moment <= now]:
            if job.stop is None:
                sentence = f"took longer than its timeout of {job.timeout_s:g} s, and was ended"
                self._stop(job, Stop("timeout", sentence))
                continue
            goes_on = f"; it had not ended {GRACE_S:g} s later, so its worker was started anew"
            if self._cluster.is_own:
                self._losses.explain(job.on)
                self._cluster.restart(job.on)
            else:
                goes_on = (
                    f"; {GRACE_S:g} s later its worker {job.on} was still at it, and goes on unless it is restarted"
                )
            self._end(job, self._stopped(job, goes_on))

    def _stopped(self, job: Ordered, goes_on: str) -> Failure:
        stop = job.stop
        assert stop is not None  # noqa: S101  for mypy: asked for what was stopped alone
        if stop.failure is not None:
            return stop.failure
        job.task.trigger_event(Event.TIMEOUT, job.task, stop.sentence)
        return told_failure(job.task, TaskTimeoutError(stop.sentence + goes_on), self._project)

    # -- what came

    def _come(self, event: dask_events.Event) -> None:
        """In the thread of the connection."""
        if not isinstance(event, Told):
            self._came.put(event)
        elif event.order.startswith(f"{self._build}-"):
            if "register" in event.message:
                self._registrar.put(event)
            else:
                self._came.put(event)

    def _handle(self, event: dask_events.Event) -> None:
        if isinstance(event, Down):
            for job in {*self._by_order.values(), *self._last_tries.jobs}:
                self._gone(job, event.reason)
        elif isinstance(event, Left):
            self._left(event.worker)
        elif isinstance(event, (Told, Ended)):
            found = self._by_order.get(event.order)
            if found is None:
                self._end_stray(event)
            elif isinstance(event, Told):
                self._told(found, event)
            else:
                self._ended(found, event)

    def _end_stray(self, event: Told | Ended) -> None:
        """An order that was given up, and that Dask had sent to another worker before it heard of that."""
        if isinstance(event, Told) and "begin" in event.message:
            self._cluster.call(event.worker, remote.ended, event.order, "cancel", "the attempt was given up")

    def _told(self, job: Ordered, event: Told) -> None:
        message = event.message
        if "takes" in message:
            self._workers.add(event.worker)
            job.arrives(event.worker, message["takes"])
        elif event.worker != job.on:
            return  # one that is about to leave, while another is at it
        elif "tell" in message:
            job.takes(message["tell"])
        elif "ends" in message:
            job.is_at_end = True
        else:
            job.begins()
            if job.stop is not None:
                self._stop(job, job.stop)

    def _ended(self, job: Ordered, event: Ended) -> None:
        if event.answer is not None:
            self._answered(job, json.loads(event.answer))
        elif event.is_gone:
            self._gone(job, f"the Dask scheduler {self._cluster.address} was lost")
        elif event.lost_on is not None:
            self._lost(job, event.lost_on or job.on)
        else:
            self._fail(job, TaskError(why_refused(event.error)))

    # -- what is lost

    def _left(self, worker: str) -> None:
        for job, fate in self._losses.left(worker):
            if job.stop is not None:
                self._end(job, self._stopped(job, ""))
            else:
                self._meets(job, fate, worker)

    def _lost(self, job: Ordered, worker: str) -> None:
        """Dask sends it no more."""
        order = job.order
        self._left(worker)  # it may be told of this later
        if self._by_order.get(order) is job:
            self._meets(job, self._losses.given_up(job, worker), worker)

    def _meets(self, job: Ordered, fate: Fate, worker: str) -> None:
        if fate is Fate.DIES:
            sentence = self._losses.sentence(job, worker)
            job.unnote()
            job.notes_in_log(f"{sentence}; what the task wrote is in their own output")
            self._fail(job, WorkerDiedError(sentence))
        elif fate is Fate.AGAIN:
            self._withdraw(job)
            self._order(job)
        elif fate is Fate.ALONE:
            self._withdraw(job)
            self._last_tries.add(job)

    def _gone(self, job: Ordered, why: str) -> None:
        """Nothing more will come of it; what nobody has begun has not failed."""
        if job.has_run:
            self._fail(job, UnavailableError(f"{why}; the task may go on where it runs"))
        else:
            self._end(job, told_failure(job.task, UnavailableError(f"{why}."), self._project), is_unbegun=True)

    def _answered(self, job: Ordered, answer: dict[str, Any]) -> None:
        job.takes(answer["told"])
        job.keeps(base64.b64decode(answer["output"]), answer["written"])
        if "needs" in answer:
            self._needs(job, answer)
        elif "bound" in answer:
            self._forget(job)
            job.attempt.notes.append(f"it was begun again in this process, since {answer['bound']}")
            self._here.submit(job.task, job.attempt)
        elif "unfit" in answer:
            self._fail(job, TaskError(answer["unfit"]))
        else:
            document = answer["end"]
            failure = None if document is None else Failure.from_document(document)
            self._end(job, failure and self._after_stop(job, failure, answer), answer["active_s"])

    def _after_stop(self, job: Ordered, failure: Failure, answer: dict[str, Any]) -> Failure:
        stop = job.stop
        job.output.note(failure.traceback)
        if stop is None:
            return failure
        if stop.kind == "timeout":
            job.task.trigger_event(Event.TIMEOUT, job.task, stop.sentence)
        if stop.failure is not None:
            return stop.failure
        if not answer["is_stopped"]:  # its code made an error of its own of our telling it to end
            return replace(failure, reason=stop.sentence, details=(failure.reason, *failure.details))
        return failure

    def _needs(self, job: Ordered, answer: dict[str, Any]) -> None:
        self._by_order.pop(job.order, None)
        job.rests()
        job.leaves()
        self._last_tries.discard(job)
        try:
            needs = tuple(task_of(spec) for spec in answer["needs"])
        except Exception as error:  # noqa: BLE001  a user's class; the worker could make it
            self._fail(job, error)
            return
        job.met.update(one.task_id for one in needs)
        self._ready.append(Outcome(job.task, needs, None, answer["active_s"], restarts=True))

    def _fail(self, job: Ordered, error: Exception) -> None:
        self._end(job, told_failure(job.task, error, self._project))

    def _end(
        self, job: Ordered, failure: Failure | None, active_s: float | None = None, *, is_unbegun: bool = False
    ) -> None:
        if active_s is None:
            active_s = time.monotonic() - job.began if job.on or job.is_lost else 0.0
        self._forget(job)
        self._ready.append(Outcome(job.task, None, failure, active_s, is_unbegun=is_unbegun))


_LEAVE = "__import__('etlctl.worker', fromlist=['leave']).leave(build)"
