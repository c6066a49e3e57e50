"""What is kept of an order to a Dask cluster, what its text says, and who answers for its lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

import etlctl
from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.executors import remote
from etlctl.engine.executors.dask_cluster import Cluster
from etlctl.engine.executors.dask_events import Told
from etlctl.engine.executors.jobs import Job, Output
from etlctl.engine.executors.spec import spec_of, spec_of_attempt
from etlctl.engine.executors.wire import encoded
from etlctl.settings import Settings


class Ordered(Job):
    """One attempt on the cluster."""

    def __init__(self, task: Task, attempt: Attempt, output: Output, timeout_s: float | None) -> None:
        super().__init__(task, attempt, output, timeout_s)
        self.order = ""
        """Of the step that is under way: a new name each time."""
        self.met: set[str] = set()
        self.on = ""
        """The worker that has it in hand; empty before, and when that is lost."""
        self.is_at_end = False
        """There it has ended; its answer is on the way."""
        self.kill_at: float | None = None
        self.lost_on: list[str] = []
        """Workers that died while they were at it."""
        self.is_lost = False
        """The last of them, and nobody has it yet."""
        self.taken_down = 0
        """How often it was lost with a worker that was at nothing of this build."""
        self._given = len(self._notes)

    def is_sent(self, order: str) -> None:
        """It is in Dask's hands, under this name; nobody has it yet."""
        self.order = order
        self.leaves()

    def leaves(self) -> None:
        """No worker has it any more."""
        self.on, self.kill_at = "", None
        self.has_begun = self.is_at_end = False

    def is_lost_with(self, worker: str) -> None:
        """It was at it when it died."""
        self.lost_on.append(worker)
        self.is_lost = True

    def arrives(self, worker: str, process: str) -> None:
        """A worker has it in hand."""
        if self.is_lost:
            self.is_lost = False
            self.unnote()
            lost = f"worker {self.lost_on[-1]} was lost"
            if len(self.lost_on) > 1:
                lost = f"{len(self.lost_on)} workers were lost, the last {self.lost_on[-1]}"
            self.note(f"{lost}; begun again on {worker}")
        self.leaves()
        self.on, self.began = worker, time.monotonic()
        self.attempt.worker = process

    @property
    def has_run(self) -> bool:
        """Whether anything of it may have been done."""
        return bool(self.on or self.lost_on or self.used_s)

    def keeps(self, tail: bytes, written: int) -> None:
        """Takes the end of its output, of `written` bytes."""
        missing = written - len(tail)
        if missing > 0:
            self.notes_in_log(f"{missing:,} bytes are left out here; a worker of a cluster sends the end alone")
        if tail:  # the file begins with the first byte
            self.output.write(tail)

    def notes_in_log(self, text: str) -> None:
        """A sentence of ours between the task's own lines."""
        self.output.note(f"\n[etlctl: {text}]\n")

    def note(self, text: str) -> None:
        """A sentence of ours for the summary line, before those of the task."""
        self._notes = (*self._notes, text)
        self.attempt.notes.insert(len(self._notes) - 1, text)

    def unnote(self) -> None:
        """Takes all such sentences back: how it failed says as much."""
        self.attempt.notes[: len(self._notes)] = self._notes = self._notes[: self._given]

    @property
    def moment(self) -> float | None:
        """When something is to be done about it, should nothing come before."""
        return self.deadline if self.stop is None else self.kill_at


def order_text(job: Ordered, build: str, settings: Mapping[str, Any]) -> str:
    """The order as a worker reads it; it holds the values of private parameters, so it must not be logged."""
    order = {
        "order": job.order,
        "build": build,
        "version": etlctl.__version__,
        "settings": settings,
        "task": spec_of(job.task),
        "attempt": spec_of_attempt(job.attempt),
        "met": sorted(job.met),
    }
    return encoded(order).decode("ascii")


def why_refused(error: BaseException | None) -> str:
    """Why a worker could not even read an order."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "etlctl":
        return (
            "a worker of the cluster has no etlctl, or an older one: its Python needs "
            f'pip install "etlctl[dask]=={etlctl.__version__}"'
        )
    return f"a worker of the cluster could not take it: {type(error).__name__}: {error}"


def settings_told(settings: Settings) -> dict[str, Any]:
    """What a worker opens the same project by; no passwords."""
    return {
        "file": None if settings.file is None else str(settings.file),
        "project": str(settings.project),
        "profile": settings.profile,
        "connections": connections_of(settings),
    }


def connections_of(settings: Settings) -> dict[str, str]:
    """Where each connection leads, without passwords; a SQLite file by its place in the project's folder."""
    folder = str(settings.project)
    return {name: one.shown_url.replace(folder, "PROJECT") for name, one in settings.connections.items()}


class Registrar:
    """Notes the sessions of loads with their leases, in a thread: the state database may take its time, and the load
    waits for the answer."""

    def __init__(self, orders: Mapping[str, Ordered], cluster: Cluster) -> None:
        self._orders = orders
        self._cluster = cluster
        self._asked: SimpleQueue[Told | None] = SimpleQueue()
        threading.Thread(target=self._answer_all, name="etlctl-dask-leases", daemon=True).start()

    def put(self, asked: Told) -> None:
        """From any thread."""
        self._asked.put(asked)

    def close(self) -> None:
        """Nothing is answered any more."""
        self._asked.put(None)

    def _answer_all(self) -> None:
        while (event := self._asked.get()) is not None:
            number, connection, backend = event.message["register"]
            self._cluster.call(event.worker, remote.registered, number, self._registered(event, connection, backend))

    def _registered(self, event: Told, connection: str, backend: str) -> str | None:
        job = self._orders.get(event.order)
        if job is None or job.stop is not None or job.attempt.lease is None:
            return "the attempt was given up by its build, so its load was not begun"
        try:
            job.attempt.lease.register(connection, backend)
        except Exception as error:  # noqa: BLE001  the load is told, which does not begin
            return str(error) or type(error).__name__
        return None
