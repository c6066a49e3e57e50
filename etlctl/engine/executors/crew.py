"""The crew: which worker carries out which attempt, and what follows from what workers tell, write and come to.

    submit() resume …  ->  place()  ->  a worker, idle or new
    what was read      ->  _take()  ->  the live attempt, Came: an end, needs; the worker is idle, parked, leaves
    its end            ->  _bury()  ->  Came, should an attempt have been under way

Waits for nothing and has no thread: supervisor.py calls it when there is something to read, or a moment has come.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from signal import SIGKILL, SIGTERM

from etlctl.engine.executors.jobs import Came, Job, State, Stop
from etlctl.engine.executors.peer import PIPE_BYTES, Worker
from etlctl.engine.executors.processes import end_group, end_in_words
from etlctl.engine.executors.template import Event, Template
from etlctl.engine.executors.watch import Moments, Watch
from etlctl.engine.executors.wire import Message

_logger = logging.getLogger("etlctl")
_HOST = socket.gethostname()
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL for one attempt."""
LARGEST_BATCH = 8
"""Of attempts that are given to a worker at once, where those of their class were over in a moment."""
LEAVE_S = 5.0
"""For a worker that ends itself, or closes a generator."""


class Crew:
    """The template and the workers. All calls with the supervisor's lock."""

    def __init__(self, put: Callable[[Came | None], object], capacity: int, changed: Callable[[], object]) -> None:
        self.template: Template | None = None
        self.workers: dict[int, Worker] = {}
        self.watch = Watch()
        self.moments = Moments()
        self.is_over = False
        """Nothing more is begun."""
        self._put = put
        """Takes what came; None where there is no template and one is needed, which only the other thread can fork."""
        self._capacity = capacity
        self._changed = changed
        """Called when there is a worker more, or one less."""
        self._idle: list[Worker] = []
        self._pending: deque[Job] = deque()
        """Attempts that no worker is free for yet."""
        self._busy = 0
        self._numbers = 0

    # -- attempts

    def submit(self, job: Job) -> None:
        """Gives the attempt to a worker as soon as one is free, or lets its own go on."""
        self._pending.append(job)
        self.place()

    def place(self) -> None:
        """Gives what is pending to workers that are free, new ones where there are fewer than there may be."""
        while self._pending and self._busy < self._capacity:
            if self.template is None:
                self._put(None)
                return
            job = self._pending.popleft()
            if job.worker is not None:
                self._begin(job.worker, job)
                continue
            try:
                worker = self._idle.pop() if self._idle else self._spawned(self.template)
            except OSError as error:
                self.come(job, death=f"could not be started: {os.strerror(error.errno or 0)}")
                continue
            if job.is_quick:
                worker.batch.extend(self._others_as_quick())
            self._begin(worker, job)

    def stop(self, worker: Worker, stop: Stop) -> None:
        """Tells a busy worker to end its attempt; killed if it has not in a while."""
        worker.send({"stop": stop.sentence, "kind": stop.kind})
        self.signal(worker, SIGTERM)
        self._limit(worker, GRACE_S)

    def abandon(self, job: Job) -> None:
        """Lets a parked worker close its generator; an attempt that no worker has yet is taken back."""
        worker = job.worker
        with suppress(ValueError):
            self._pending.remove(job)
        if worker is None or worker.state is not State.PARKED:
            job.output.close()
            return
        worker.state = State.CLOSING
        worker.send({"abandon": True})
        self._limit(worker, LEAVE_S)

    def come(self, job: Job, message: Message | None = None, death: str = "") -> None:
        """Hands the end of a step on."""
        job.is_over = message is None or "needs" not in message
        if death:
            job.output.note(f"\n[etlctl: its process {death}]\n")
            job.output.close()
        self._put(Came(job, message or {}, death))

    def _others_as_quick(self) -> Iterator[Job]:
        """A fair part of what is pending."""
        most = min(LARGEST_BATCH - 1, len(self._pending) // self._capacity)
        while most > 0 and self._pending and self._pending[0].is_quick:
            most -= 1
            yield self._pending.popleft()

    def _begin(self, worker: Worker, job: Job) -> None:
        worker.state, worker.job, job.worker = State.BUSY, job, worker
        self._busy += 1
        job.began = time.monotonic()
        job.attempt.worker = "" if worker.pid is None else f"{_HOST}:{worker.pid}"
        message = job.message
        if worker.batch:
            worker.ledger.begin()
            for one in (job, *worker.batch):
                one.is_batched, one.worker, one.attempt.worker = True, worker, job.attempt.worker
            message = {"batch": [job.message, *(one.message for one in worker.batch)]}
        worker.send(message)  # should it be gone, its death is told in a moment
        self._time(worker)

    def _take_back(self, worker: Worker) -> None:
        """What is left of its batch is for others."""
        for job in reversed(worker.batch):
            job.is_batched, job.is_quick, job.worker = False, False, None
            self._pending.appendleft(job)
        worker.batch.clear()

    # -- processes

    def listen(self, template: Template) -> None:
        """From now on workers are forked from it."""
        self.template = template
        self.watch.look_at(template.connection.fileno(), partial(self._hear, template))

    def lose_template(self, template: Template) -> None:
        """It is gone, and its workers with it: Linux has killed them, their groups are killed from here."""
        if self.template is not template:
            return
        self.template = None
        self.watch.forget(template.connection.fileno())
        status = template.close()
        how = "" if status is None else f", which {end_in_words(status)}"
        for worker in list(self.workers.values()):
            if worker.pid is not None:
                end_group(worker.pid, SIGKILL)
            self._bury(worker, f"ended with the process that all workers are forked from{how}")

    def signal(self, worker: Worker, number: int) -> None:
        """To its group."""
        if self.template is not None:
            self.template.signal(worker.number, number)

    def end_gently(self) -> None:
        """Nothing more is begun, what runs is told to end."""
        self.is_over = True
        self._pending.clear()
        for worker in self.workers.values():
            if worker.state is State.BUSY:
                worker.send({"stop": "the run was ended", "kind": "cancel"})
                self.signal(worker, SIGTERM)
            worker.send_no_more()

    def bury_all(self) -> None:
        """The template has killed what was left."""
        for worker in list(self.workers.values()):
            self._bury(worker, "was ended")

    def give_up(self, error: Exception) -> None:
        """A mistake of ours fails what is under way; it must not leave the thread that builds waiting for ever."""
        template, self.template = self.template, None
        if template is not None:
            template.close()
        for worker in self.workers.values():
            for job in (worker.job, *worker.batch):
                if job is not None and worker.state is State.BUSY:
                    self.come(job, death=f"could not be watched any longer ({type(error).__name__}: {error})")
        for job in self._pending:
            self.come(job, death="could not be started")
        self._pending.clear()
        self.workers.clear()
        self._changed()

    def _spawned(self, template: Template) -> Worker:
        self._numbers += 1
        try:
            worker = Worker.spawned(self._numbers, template)
        except ConnectionError:
            self.lose_template(template)
            raise
        self.workers[worker.number] = worker
        self.watch.look_at(worker.connection.fileno(), partial(self._receive, worker))
        self.watch.look_at(worker.log, partial(self._hear_output, worker))
        self._changed()
        self.watch.wake()
        return worker

    def _hear(self, template: Template) -> None:
        events = template.events()
        if events is None:
            self.lose_template(template)
            return
        for event in events:
            self._heard(event)

    def _heard(self, event: Event) -> None:
        worker = self.workers.get(event.number)
        if worker is None:
            return
        if event.kind == "B":
            worker.pid = event.value
            for job in (worker.job, *worker.batch):
                if job is not None:
                    job.attempt.worker = f"{_HOST}:{worker.pid}"
        elif event.kind == "F":
            self._bury(worker, f"could not be started: {os.strerror(event.value)}")
        else:
            self._bury(worker, end_in_words(event.value))

    def _bury(self, worker: Worker, how: str) -> None:
        """The worker has ended: what it had sent and written before still counts."""
        del self.workers[worker.number]
        worker.connection.setblocking(False)
        while self._receive(worker):
            pass
        if worker.job is not None and worker.job.is_batched:
            self._read_ledger(worker)
        worker.drain(PIPE_BYTES)
        self._take_back(worker)
        self.watch.forget(worker.connection.fileno())
        self.watch.forget(worker.log)
        worker.close()
        self.moments.forget(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if worker.job is not None:
            self._mourn(worker, worker.job, how)
        self._set_state(worker, State.LEAVING)
        self._changed()
        if not self.is_over:
            self.place()

    def _mourn(self, worker: Worker, job: Job, how: str) -> None:
        job.worker = None
        if job in self._pending:
            self._pending.remove(job)
            self.come(job, death=f"{how}, while it waited for what it needs")
        elif worker.state is State.BUSY:
            job.rests()
            self.come(job, death=how)
        elif worker.state is State.PARKED:
            job.death = f"{how}, while it waited for what it needs"
        else:
            job.output.close()

    # -- what a worker tells

    def _receive(self, worker: Worker) -> bool:
        """Takes what the worker has sent; False when there is no more."""
        try:
            messages = worker.received()
            for message in messages or ():
                self._take(worker, message)
        except (ValueError, LookupError, TypeError):  # its code has written into the channel
            _logger.debug("what a worker sent cannot be read", exc_info=True)
            self.signal(worker, SIGKILL)
            messages = None
        if messages is None:
            self.watch.forget(worker.connection.fileno())
        return messages is not None

    def _take(self, worker: Worker, message: Message) -> None:
        if worker.job is not None and worker.job.is_batched:
            self._read_ledger(worker)
        job = worker.job
        if job is None or "ended" in message:
            return
        if "tell" in message:
            job.takes(message["tell"])
        elif "register" in message:
            threading.Thread(target=worker.register, args=(job, *message["register"]), daemon=True).start()
        elif "needs" in message:
            self._park(worker, job, message)
        elif "bound" in message:
            self._set_state(worker, State.CLOSING)
            self._take_back(worker)
            self._limit(worker, LEAVE_S)
            self.come(job, message)
        elif "idle" in message:
            self._drain(worker)
            job.output.close()
            self._become_idle(worker)
        else:
            self._end(worker, job, message)

    def _read_ledger(self, worker: Worker) -> None:
        for message in worker.ledger.fresh():
            if worker.job is not None:
                self._end(worker, worker.job, message)

    def _hear_output(self, worker: Worker) -> None:
        if worker.job is not None and worker.job.is_batched:
            self._read_ledger(worker)  # it is of the one that has not ended: a crash is told there
        if not worker.drain(1):
            self.watch.forget(worker.log)

    def _drain(self, worker: Worker) -> None:
        """All that it had written before it told its end."""
        if not worker.drain(PIPE_BYTES):
            self.watch.forget(worker.log)

    def _park(self, worker: Worker, job: Job, message: Message) -> None:
        job.takes(message["told"])
        job.rests()
        if job.stop is not None:  # it gets the signal as soon as it goes on; so it is not to go on
            self.signal(worker, SIGKILL)
            return
        self._set_state(worker, State.PARKED)
        self._take_back(worker)
        job.is_batched = False
        self._time(worker)
        self.come(job, message)
        self.place()

    def _end(self, worker: Worker, job: Job, message: Message) -> None:
        job.takes(message["told"])
        job.rests()
        if job.is_batched:
            if message["output"]:
                job.output.write(message["output"].encode("latin-1"))
        else:
            self._drain(worker)
        if message["end"] is not None:
            job.output.note(message["end"]["traceback"])
        job.output.close()
        self.come(job, message)
        if message["retires"] or job.stop is not None:  # else a signal on its way would meet the next attempt
            self._let_go(worker)
            worker.job = None
            self._take_back(worker)
            self.place()
        elif worker.batch:
            worker.job = worker.batch.popleft()
            worker.job.began = time.monotonic()
        else:
            self._become_idle(worker)

    def _become_idle(self, worker: Worker) -> None:
        self._set_state(worker, State.IDLE)
        worker.job = worker.kill_at = None
        self._time(worker)
        self._idle.append(worker)
        self.place()
        if len(self._idle) > self._capacity:
            self._let_go(self._idle.pop(0))

    def _let_go(self, worker: Worker) -> None:
        self._set_state(worker, State.LEAVING)
        worker.send_no_more()
        self._limit(worker, LEAVE_S)

    def _set_state(self, worker: Worker, state: State) -> None:
        self._busy -= worker.state is State.BUSY
        worker.state = state

    # -- time

    def act_in_time(self) -> None:
        """Does what was to be done by now, should nothing happen."""
        for worker in self.moments.due():
            self._act(worker)

    def _act(self, worker: Worker) -> None:
        if worker.kill_at is not None:
            worker.kill_at += GRACE_S
            self.signal(worker, SIGKILL)
        elif worker.job is not None and worker.job.timeout_s is not None:
            job = worker.job
            job.stop = Stop("timeout", f"took longer than its timeout of {job.timeout_s:g} s, and was ended")
            self.stop(worker, job.stop)

    def _time(self, worker: Worker) -> None:
        if self.moments.note(worker):
            self.watch.wake()

    def _limit(self, worker: Worker, seconds: float) -> None:
        worker.kill_at = time.monotonic() + seconds
        self._time(worker)
