"""The crew: which worker carries out which attempt, and what follows from what workers tell, write and come to.

    submit() resume …  ->  place()  ->  a worker, idle or new
    what was read      ->  _take()  ->  the live attempt, Came: an end, needs; the worker is idle, parked, leaves
    its end            ->  _bury()  ->  Came, should an attempt have been under way

Waits for nothing and has no thread: supervisor.py calls it when there is something to read, or a moment has come.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from signal import SIGKILL, SIGTERM

from etlctl.engine.executors.jobs import Came, Job, State, Stop
from etlctl.engine.executors.peer import Worker
from etlctl.engine.executors.placing import Placing, place_of
from etlctl.engine.executors.processes import end_group, end_in_words
from etlctl.engine.executors.template import Event, Template
from etlctl.engine.executors.watch import Moments, Watch
from etlctl.engine.executors.wire import Message

_logger = logging.getLogger("etlctl")
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL for one attempt."""
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
        self._changed = changed
        """Called when there is a worker more, or one less."""
        self._numbers = 0
        self._placing = Placing(
            capacity,
            self.workers,
            spawned=self._spawned,
            begun=self._time,
            failed=lambda job, why: self.come(job, death=why),
            equip=self._equip,
        )

    # -- attempts

    def submit(self, job: Job) -> None:
        """Gives the attempt to a worker as soon as one is free, or lets its own go on."""
        self._placing.add(job)

    def place(self) -> None:
        """Gives away what waits: there is a template again, or nothing more is submitted for now."""
        self._placing.place()

    def recruit(self, count: int) -> None:
        """Has that many workers forked, to be idle at first."""
        self._placing.recruit(count)

    def _equip(self, worker: Worker) -> None:
        with suppress(OSError):  # without descriptors it works from hand to mouth
            self.watch.look_at(worker.equip(), partial(self._hear_output, worker, 1))
            self.watch.wake()

    def stop(self, job: Job, stop: Stop) -> None:
        """Ends an attempt: one that a worker carries out is told to, and killed if it has not ended in a while."""
        worker = job.worker
        if worker is not None and worker.state is State.BUSY and job is not worker.job:
            self._placing.take_back(worker)
            worker = job.worker
        if worker is None or worker.state is State.PARKED:
            job.stop = stop
            self.abandon(job)
            self.come(job, death="was not needed any more")
        elif job is not worker.job:
            job.stop = stop  # its worker has begun it, and will have told so in a moment
        elif worker.state is State.BUSY and self._placing.take_back(worker):
            job.stop = stop
            worker.send({"stop": stop.sentence, "kind": stop.kind})
            self.signal(worker, SIGTERM)
            self._limit(worker, GRACE_S)

    def abandon(self, job: Job) -> None:
        """Lets a parked worker close its generator; an attempt that no worker has yet is taken back."""
        worker = job.worker
        self._placing.forget(job)
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
        self._placing.closed()
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
        for waiting in self._placing.closed():
            self.come(waiting, death="could not be started")
        for worker in self.workers.values():
            for job in (worker.job, *worker.batch):
                if job is not None and worker.state is State.BUSY:
                    self.come(job, death=f"could not be watched any longer ({type(error).__name__}: {error})")
        self.workers.clear()
        self._changed()

    def _spawned(self) -> Worker | None:
        template = self.template
        if template is None:
            self._put(None)
            return None
        self._numbers += 1
        try:
            worker = Worker.spawned(self._numbers, template)
        except ConnectionError:
            self.lose_template(template)
            raise
        self.workers[worker.number] = worker
        self.watch.look_at(worker.connection.fileno(), partial(self._receive, worker))
        self.watch.look_at(worker.logs[0], partial(self._hear_output, worker, 0))
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
                    job.attempt.worker = place_of(worker)
        elif event.kind == "F":
            self._bury(worker, f"could not be started: {os.strerror(event.value)}")
        else:
            self._bury(worker, end_in_words(event.value))

    def _bury(self, worker: Worker, how: str) -> None:
        """The worker has ended: what it had sent and written before still counts."""
        del self.workers[worker.number]
        worker.is_gone = True
        self._catch_up(worker)
        for number, log in enumerate(worker.logs):
            worker.drain(number, worker.writer(number) or worker.job)
            self.watch.forget(log)
        self._placing.bury(worker)
        self.watch.forget(worker.connection.fileno())
        worker.close()
        self.moments.forget(worker)
        if worker.job is not None:
            self._mourn(worker, worker.job, how)
        self._placing.set_state(worker, State.LEAVING)
        self._changed()
        if not self.is_over:
            self.place()

    def _mourn(self, worker: Worker, job: Job, how: str) -> None:
        job.worker = None
        if self._placing.forget(job):
            self.come(job, death=f"{how}, while it waited for what it needs")
        elif worker.state is State.BUSY:
            job.rests()
            self.come(job, death=how)
        elif worker.state is State.PARKED:
            job.death = f"{how}, while it waited for what it needs"
        else:
            job.output.close()

    # -- what a worker tells

    def _catch_up(self, worker: Worker) -> None:
        """Takes all that it has told so far."""
        while self._receive(worker):
            pass
        self._read_ledger(worker)

    def _receive(self, worker: Worker) -> bool:
        """Takes what the worker has sent; False when there is no more."""
        try:
            messages = worker.received()
            for message in messages or ():
                self._take(worker, message)
        except BlockingIOError:
            return False
        except (ValueError, LookupError, TypeError):  # its code has written into the channel
            _logger.debug("what a worker sent cannot be read", exc_info=True)
            self.signal(worker, SIGKILL)
            messages = None
        if messages is None:
            self.watch.forget(worker.connection.fileno())
        return messages is not None

    def _take(self, worker: Worker, message: Message) -> None:
        self._read_ledger(worker)
        job = worker.job
        if job is None or "ended" in message:
            return
        if "tell" in message:
            job.takes(message["tell"])
        elif "begun" in message:
            job.begins()
            self._time(worker)
        elif "register" in message:
            threading.Thread(target=worker.register, args=(job, *message["register"]), daemon=True).start()
        elif "needs" in message:
            self._park(worker, job, message)
        elif "bound" in message:
            worker.leaves_batch()
            self._placing.set_state(worker, State.CLOSING)
            self._placing.take_back(worker)
            self._limit(worker, LEAVE_S)
            self.come(job, message)
        elif "idle" in message:
            worker.drain(job.log, job)
            job.output.close()
            self._become_idle(worker)
        elif "unbegun" in message:  # it was told to end between two attempts
            worker.job = None
            self._placing.begin_elsewhere(job)
            self._let_go(worker)
        else:
            self._end(worker, job, message)

    def _read_ledger(self, worker: Worker) -> None:
        """Takes the ends in it, as far as they are next: those that go in batches stand there, and no others."""
        while worker.job is not None and worker.job.is_batched and (message := worker.ledger.next()) is not None:
            self._end(worker, worker.job, message)

    def _hear_output(self, worker: Worker, number: int) -> None:
        data = worker.read(number)
        if not data:
            if data is not None:
                self.watch.forget(worker.logs[number])
            return
        job = worker.writer(number)
        if job is None:  # of a batch it is what a crash leaves, of the one that has not ended
            self._catch_up(worker)
            job = worker.job
        if job is not None:
            job.output.write(data)

    def _park(self, worker: Worker, job: Job, message: Message) -> None:
        job.takes(message["told"])
        job.rests()
        if job.stop is not None:  # it gets the signal as soon as it goes on; so it is not to go on
            self.signal(worker, SIGKILL)
            return
        worker.leaves_batch()
        self._placing.set_state(worker, State.PARKED)
        self._placing.take_back(worker)
        self._time(worker)
        self.come(job, message)
        self.place()

    def _end(self, worker: Worker, job: Job, message: Message) -> None:
        job.takes(message["told"])
        job.rests()
        if not job.is_batched:
            worker.drain(job.log, job)
        elif message["output"]:
            job.output.write(message["output"].encode("latin-1"))
        if message["end"] is not None:
            job.output.note(message["end"]["traceback"])
        job.output.close()
        self.come(job, message)
        if message["next"]:
            self._go_on(worker)
        elif message["retires"] or job.stop is not None:  # else a signal on its way would meet the next attempt
            worker.job = None
            self._placing.take_back(worker)
            self._let_go(worker)
        else:
            self._placing.take_back(worker)
            self._become_idle(worker)

    def _go_on(self, worker: Worker) -> None:
        job = worker.goes_on()
        if job.stop is not None:
            stop, job.stop = job.stop, None
            self.stop(job, stop)
        self._time(worker)

    def _become_idle(self, worker: Worker) -> None:
        self._placing.set_state(worker, State.IDLE)
        worker.job = worker.kill_at = worker.look_at = None
        if worker.is_gone:
            return
        too_many = self._placing.is_idle(worker)
        if too_many is not None:
            self._let_go(too_many)
        self._time(worker)

    def _let_go(self, worker: Worker) -> None:
        self._placing.set_state(worker, State.LEAVING)
        worker.look_at = None
        worker.send_no_more()
        self._limit(worker, LEAVE_S)
        self.place()

    # -- time

    def act_in_time(self) -> None:
        """Does what was to be done by now, should nothing happen."""
        for worker in self.moments.due():
            self._act(worker)

    def _act(self, worker: Worker) -> None:
        now = time.monotonic()
        if worker.kill_at is not None:
            worker.kill_at += GRACE_S
            self.signal(worker, SIGKILL)
            return
        if worker.look_at is not None and worker.look_at <= now:
            worker.look_at = None
            self._placing.share() if worker.state is State.IDLE else self._catch_up(worker)
        job = worker.job
        if job is not None and job.deadline is not None and job.deadline <= now:
            self.stop(job, Stop("timeout", f"took longer than its timeout of {job.timeout_s:g} s, and was ended"))
            job.has_begun = job.stop is not None  # else it has ended just now

    def _time(self, worker: Worker) -> None:
        if self.moments.note(worker):
            self.watch.wake()

    def _limit(self, worker: Worker, seconds: float) -> None:
        worker.kill_at = time.monotonic() + seconds
        self._time(worker)
