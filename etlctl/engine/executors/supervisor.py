"""The supervisor: one thread of the building process that reads all that workers send and write, and keeps their time.

    worker's channel    tells, needs, ends            -> the live attempt, the queue of the pool
    worker's pipe       output                        -> the attempt's log, the screen
    template            born, not forked, died        -> the queue of the pool
    time                timeouts                      -> SIGTERM to the group, SIGKILL 5 s later

It never waits for anything but these, so that no worker ever waits for it. Calls no code of a task's.
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

from etlctl.engine.executors.jobs import Came, Job, State, Stop, Worker
from etlctl.engine.executors.processes import end_group, end_in_words
from etlctl.engine.executors.template import Event, Template
from etlctl.engine.executors.watch import Moments, Watch
from etlctl.engine.executors.wire import Ledger, Message
from etlctl.errors import HeldError

_logger = logging.getLogger("etlctl")
_HOST = socket.gethostname()
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL for one attempt."""
CLOSE_GRACE_S = 2.0
"""The same for all of them at the end of a run."""
LARGEST_BATCH = 8
"""Of attempts that are given to a worker at once, where those of their class were over in a moment."""
_LEAVE_S = 5.0
"""For a worker that ends itself, or closes a generator."""
_AT_ONCE = 1 << 16
_PIPE_BYTES = 1 << 20
"""As much as a pipe can hold: what a worker had written before it told its end."""


class Supervisor:
    """`lock` is held by whoever calls a method in lower case of it, and by its own thread while it is at work."""

    def __init__(self, put: Callable[[Came | None], object], capacity: int) -> None:
        self.lock = threading.Lock()
        self.template: Template | None = None
        self._idle: list[Worker] = []
        self._pending: deque[Job] = deque()
        """Attempts that no worker is free for yet."""
        self._put = put
        """Takes what came; None where there is no template and one is needed, which only the other thread can fork."""
        self._capacity = capacity
        self._busy = 0
        self._numbers = 0
        self._workers: dict[int, Worker] = {}
        self._moments = Moments()
        self._watch = Watch()
        self._thread: threading.Thread | None = None
        self._is_over = False
        self._all_gone = threading.Condition(self.lock)

    # -- called with the lock, by the pool

    def watch(self, template: Template) -> None:
        """Listens to a template. The thread starts with the first worker."""
        self.template = template
        self._watch.look_at(template.connection.fileno(), partial(self._hear, template))

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

    def _spawned(self, template: Template) -> Worker:
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        ledger = Ledger()
        self._numbers += 1
        try:
            template.spawn(self._numbers, theirs.fileno(), write, ledger.number)
        except OSError:
            ours.close()
            os.close(read)
            ledger.close()
            self.lose_template(template)
            raise
        finally:
            theirs.close()
            os.close(write)
        os.set_blocking(read, False)
        worker = Worker(self._numbers, ours, read, ledger)
        self._listen_to(worker)
        return worker

    def _listen_to(self, worker: Worker) -> None:
        self._workers[worker.number] = worker
        self._watch.look_at(worker.connection.fileno(), partial(self._receive, worker))
        self._watch.look_at(worker.log, partial(self._hear_output, worker))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="etlctl-workers", daemon=True)
            self._thread.start()
        self._watch.wake()

    def stop(self, worker: Worker, stop: Stop) -> None:
        """Tells a busy worker to end its attempt; killed if it has not in a while."""
        worker.send({"stop": stop.sentence, "kind": stop.kind})
        self._signal(worker, SIGTERM)
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
        self._limit(worker, _LEAVE_S)

    def come(self, job: Job, message: Message | None = None, death: str = "") -> None:
        """Hands the end of a step on."""
        job.is_over = message is None or "needs" not in message
        if death:
            job.output.note(f"\n[etlctl: its process {death}]\n")
            job.output.close()
        self._put(Came(job, message or {}, death))

    def lose_template(self, template: Template) -> None:
        """It is gone, and its workers with it: Linux has killed them, their groups are killed from here."""
        if self.template is not template:
            return
        self.template = None
        self._watch.forget(template.connection.fileno())
        status = template.close()
        how = "" if status is None else f", which {end_in_words(status)}"
        for worker in list(self._workers.values()):
            if worker.pid is not None:
                end_group(worker.pid, SIGKILL)
            self._bury(worker, f"ended with the process that all workers are forked from{how}")

    def close(self) -> None:
        """Ends all workers, the template and the thread. Called without the lock."""
        try:
            with self.lock:
                self._is_over = True
                self._pending.clear()
                self._end_gently()
                if not self._all_gone.wait_for(lambda: not self._workers, CLOSE_GRACE_S):
                    for worker in self._workers.values():
                        self._signal(worker, SIGKILL)
                    self._all_gone.wait_for(lambda: not self._workers, _LEAVE_S)
        finally:  # an impatient user comes by here at once
            self._tear_down()

    def _tear_down(self) -> None:
        with self.lock:
            template, self.template = self.template, None
            self._is_over = True
            self._watch.wake()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        if template is not None:
            template.close()  # which kills what is left
        with self.lock:
            for worker in list(self._workers.values()):
                self._bury(worker, "was ended")
            self._watch.close()

    def _end_gently(self) -> None:
        for worker in self._workers.values():
            if worker.state is State.BUSY:
                worker.send({"stop": "the run was ended", "kind": "cancel"})
                self._signal(worker, SIGTERM)
            with suppress(OSError):
                worker.connection.shutdown(socket.SHUT_WR)  # it reads the end of its work; what it tells is still read

    # -- the thread

    def _serve(self) -> None:
        try:
            self._take_turns()
        except Exception as error:
            _logger.exception("the workers cannot be watched any longer")
            with self.lock:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """A mistake of ours fails what is under way; it must not leave the thread that builds waiting for ever."""
        template, self.template = self.template, None
        if template is not None:
            template.close()
        for worker in self._workers.values():
            for job in (worker.job, *worker.batch):
                if job is not None and worker.state is State.BUSY:
                    self.come(job, death=f"could not be watched any longer ({type(error).__name__}: {error})")
        for job in self._pending:
            self.come(job, death="could not be started")
        self._pending.clear()
        self._workers.clear()
        self._all_gone.notify_all()

    def _take_turns(self) -> None:
        while True:
            with self.lock:
                self._act_in_time()
                if self._is_over and self.template is None:
                    return
                self._watch.prepare()
                patience_s = self._moments.patience_s()
            ready = self._watch.wait(patience_s)
            with self.lock:
                self._watch.call(ready)

    def _hear(self, template: Template) -> None:
        events = template.events()
        if events is None:
            self.lose_template(template)
            return
        for event in events:
            self._heard(event)

    def _heard(self, event: Event) -> None:
        worker = self._workers.get(event.number)
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

    # -- a worker's messages

    def _receive(self, worker: Worker) -> bool:
        """Takes what the worker has sent; False when there is no more."""
        try:
            data = worker.connection.recv(_AT_ONCE)
        except OSError:
            data = b""
        if not data:
            self._watch.forget(worker.connection.fileno())
            return False
        try:
            for message in worker.lines.fed(data):
                self._take(worker, message)
        except (ValueError, LookupError, TypeError):  # its code has written into the channel
            _logger.debug("what a worker sent cannot be read", exc_info=True)
            self._watch.forget(worker.connection.fileno())
            self._signal(worker, SIGKILL)
            return False
        return True

    def _take(self, worker: Worker, message: Message) -> None:
        if worker.job is not None and worker.job.is_batched:
            self._read_ledger(worker)
        job = worker.job
        if job is None or "ended" in message:
            return
        if "tell" in message:
            job.takes(message["tell"])
        elif "register" in message:
            threading.Thread(target=_register, args=(worker, job, *message["register"]), daemon=True).start()
        elif "needs" in message:
            self._park(worker, job, message)
        elif "bound" in message:
            self._set_state(worker, State.CLOSING)
            self._take_back(worker)
            self._limit(worker, _LEAVE_S)
            self.come(job, message)
        elif "idle" in message:
            self._drain(worker, _PIPE_BYTES)
            job.output.close()
            self._become_idle(worker)
        else:
            self._end(worker, job, message)

    def _read_ledger(self, worker: Worker) -> None:
        for message in worker.ledger.fresh():
            if worker.job is not None:
                self._end(worker, worker.job, message)

    def _take_back(self, worker: Worker) -> None:
        """What is left of its batch is for others."""
        for job in reversed(worker.batch):
            job.is_batched, job.is_quick, job.worker = False, False, None
            self._pending.appendleft(job)
        worker.batch.clear()

    def _park(self, worker: Worker, job: Job, message: Message) -> None:
        job.takes(message["told"])
        job.rests()
        if job.stop is not None:  # it gets the signal as soon as it goes on; so it is not to go on
            self._signal(worker, SIGKILL)
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
            self._drain(worker, _PIPE_BYTES)
        if message["end"] is not None:
            job.output.note(message["end"]["traceback"])
        job.output.close()
        self.come(job, message)
        if message["retires"] or job.stop is not None:  # else a signal on its way would meet the next attempt
            self._set_state(worker, State.LEAVING)
            worker.job = None
            with suppress(OSError):
                worker.connection.shutdown(socket.SHUT_WR)
            self._limit(worker, _LEAVE_S)
            self._take_back(worker)
            self.place()
        elif worker.batch:
            worker.job = worker.batch.popleft()
            worker.job.began = time.monotonic()
        else:
            self._become_idle(worker)

    def _set_state(self, worker: Worker, state: State) -> None:
        self._busy -= worker.state is State.BUSY
        worker.state = state

    def _become_idle(self, worker: Worker) -> None:
        self._set_state(worker, State.IDLE)
        worker.job = worker.kill_at = None
        self._time(worker)
        self._idle.append(worker)
        self.place()
        if len(self._idle) > self._capacity:
            worker = self._idle.pop(0)
            worker.state = State.LEAVING
            self._limit(worker, _LEAVE_S)
            with suppress(OSError):
                worker.connection.shutdown(socket.SHUT_WR)

    def _hear_output(self, worker: Worker) -> None:
        if worker.job is not None and worker.job.is_batched:
            self._read_ledger(worker)  # it is of the one that has not ended: a crash is told there
        self._drain(worker, _AT_ONCE)

    def _drain(self, worker: Worker, most: int) -> None:
        """Reads the worker's output, and drops it where no attempt is under way."""
        output = worker.job.output if worker.job is not None else None
        while most > 0:
            try:
                data = os.read(worker.log, _AT_ONCE)
            except BlockingIOError:
                return
            if not data:
                self._watch.forget(worker.log)
                return
            most -= len(data)
            if output is not None:
                output.write(data)

    def _bury(self, worker: Worker, how: str) -> None:
        """The worker has ended: what it had sent and written before still counts."""
        del self._workers[worker.number]
        worker.connection.setblocking(False)
        while self._receive(worker):
            pass
        if worker.job is not None and worker.job.is_batched:
            self._read_ledger(worker)
        self._drain(worker, _PIPE_BYTES)
        self._take_back(worker)
        self._watch.forget(worker.connection.fileno())
        self._watch.forget(worker.log)
        worker.connection.close()
        worker.ledger.close()
        os.close(worker.log)
        self._moments.forget(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        job = worker.job
        if job is not None:
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
        self._set_state(worker, State.LEAVING)
        if not self._workers:
            self._all_gone.notify_all()
        if not self._is_over:
            self.place()

    # -- time

    def _act_in_time(self) -> None:
        for worker in self._moments.due():
            self._act(worker)

    def _time(self, worker: Worker) -> None:
        if self._moments.note(worker):
            self._watch.wake()

    def _limit(self, worker: Worker, seconds: float) -> None:
        worker.kill_at = time.monotonic() + seconds
        self._time(worker)

    def _act(self, worker: Worker) -> None:
        if worker.kill_at is not None:
            worker.kill_at += GRACE_S
            self._signal(worker, SIGKILL)
        elif worker.job is not None and worker.job.timeout_s is not None:
            job = worker.job
            job.stop = Stop("timeout", f"took longer than its timeout of {job.timeout_s:g} s, and was ended")
            self.stop(worker, job.stop)

    def _signal(self, worker: Worker, number: int) -> None:
        if self.template is not None:
            self.template.signal(worker.number, number)


def _register(worker: Worker, job: Job, connection: str, backend: str) -> None:
    """Of a lease: in a thread of its own, since the state database may take its time."""
    answer: str | None = None
    is_lost = False
    try:
        if job.attempt.lease is not None:
            job.attempt.lease.register(connection, backend)
    except Exception as error:  # noqa: BLE001  it is raised again where the load is
        answer, is_lost = str(error) or type(error).__name__, isinstance(error, HeldError)
    worker.send({"registered": answer, "is_lost": is_lost})
