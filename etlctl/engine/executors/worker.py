"""A worker: the process that carries out attempts, one at a time, and tells the building process what came of them.

work(channel, log)
  its descriptors, streams, signals and log records become its own
  {"run"} -> Conducted.step() … -> {"end"}          needs that are not met: {"needs"}, then it waits, parked
  what run() left behind (threads, processes, a changed folder) is ended or put back
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import io
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.attempt import Conducted, EndedFromOutside, told_failure
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.processes import end_children, has_children
from etlctl.engine.executors.spec import attempt_of, spec_of, task_of, why_bound_here
from etlctl.engine.executors.wire import Channel, Message, encoded
from etlctl.engine.logs import MAX_BYTES, StreamOfNow
from etlctl.errors import FailedInWorkerError, TaskTimeoutError, UnavailableError, WorkerDiedError

_TELL_EVERY_S = 0.25
_BURST = 8
_LINGER_S = 0.1
"""Threads that are about to end anyway are waited for this long."""
_RING_S = 0.003
"""Ends in a ledger are told of no later."""
_LOST = 71
_OFTEN = frozenset({"rows", "progress"})
_ONE_THREAD = frozenset({threading.main_thread()})
_SELDOM = frozenset({"status", "waiting"})
_kept: list[Any] = []
"""Streams of the process this one was forked from: freed, they would close descriptors that are ours now."""


def work(channel: int, log: int, ledger: int, project: Path, disconnect: Callable[[], None]) -> NoReturn:
    """Serves until the building process closes the channel; `disconnect` closes what this process has opened."""
    _take_streams(log)
    ending = _Ending()
    _take_signals(ending)
    _take_logging()
    faulthandler.enable(log)
    atexit._clear()  # they are those of the building process
    os.register_at_fork(after_in_child=lambda: _be_any_process(ending))
    _reseed()
    _Worker(socket.socket(fileno=channel), _Sink(log, ledger), project, ending, disconnect).serve()


class _Ending:
    """What SIGTERM does: while a task's code runs it is ended by an exception, else it waits until one does."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.error: Exception | None = None
        """What was raised, or is to be raised; a process ends but once."""
        self.pid = os.getpid()
        self._shields = 1
        self._is_due = False

    def received(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if self._shields:
            self._is_due = True
        else:
            self._raise()

    def told(self, message: Message) -> None:
        """Why the signal comes."""
        kind = TaskTimeoutError if message["kind"] == "timeout" else FailedInWorkerError
        self.error = kind(message["stop"])

    @property
    def is_due(self) -> bool:
        """Whether the signal came."""
        return self._is_due

    def open(self) -> None:
        """What follows is a task's code."""
        self._shields -= 1
        if self._is_due and not self._shields:
            self._raise()

    def shut(self) -> None:
        """It is over."""
        self._shields += 1

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """The block is not to be broken off; the signal is obeyed at its end."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._is_due and not self._shields:
            self._raise()

    def _raise(self) -> NoReturn:
        self._is_due = True
        self._shields += 1_000_000  # once is enough: what cleans up is not broken off again
        message = self.channel.glance() if self.error is None and self.channel is not None else None
        if message is not None:
            self.told(message)
        self.error = self.error or WorkerDiedError("its process was told to end by signal 15 (SIGTERM)")
        raise EndedFromOutside(self.error)


class _Teller:
    """Sends what an attempt tells: numbers at most four times a second, what is said seldom nearly always."""

    def __init__(self, channel: Channel, ending: _Ending) -> None:
        self._channel = channel
        self._ending = ending
        self._lock = threading.Lock()
        self._last = 0.0
        self._tokens = float(_BURST)

    def tell(self, attempt: Attempt, *, is_seldom: bool) -> None:
        now = time.monotonic()
        if (now - self._last < _TELL_EVERY_S and not is_seldom) or os.getpid() != self._ending.pid:
            return
        self._tokens = min(_BURST, self._tokens + (now - self._last) / _TELL_EVERY_S)
        self._last = now
        if is_seldom and self._tokens < 1:
            return
        self._tokens -= 1
        self.send({"tell": told(attempt)})

    def send(self, message: Message) -> None:
        """Whole, whoever else sends; a building process that is gone ends this one."""
        ending = self._ending
        ending.shut()
        try:
            with self._lock:
                self._channel.send(message)
        except OSError:
            os._exit(_LOST)
        finally:
            ending.open()


class _ToldAttempt(Attempt):
    """An attempt whose changes are told to the building process."""

    _teller: _Teller | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if self._teller is not None and (name in _OFTEN or name in _SELDOM):
            self._teller.tell(self, is_seldom=name in _SELDOM)


class _Sink:
    """Where descriptors 1 and 2 lead: into the pipe; during a batch into a file, since nobody tells the building
    process in time where one attempt's output ends and the next one's begins."""

    def __init__(self, log: int, ledger: int) -> None:
        self._log = log
        self._ledger = ledger
        self._spool = -1
        self.is_batch = False

    def begin_batch(self) -> None:
        if self._spool < 0:
            with tempfile.TemporaryFile() as file:
                self._spool = os.dup(file.fileno())
        os.lseek(self._ledger, 0, os.SEEK_SET)
        self.is_batch = True
        self.take_descriptors()

    def end_batch(self) -> None:
        if self.is_batch:
            left = self.taken()
            self.is_batch = False
            self.take_descriptors()
            if left:
                os.write(1, left.encode("latin-1"))

    def take_descriptors(self) -> None:
        number = self._spool if self.is_batch else self._log
        os.dup2(number, 1)
        os.dup2(number, 2)

    def taken(self) -> str:
        """What was written since the last call, a character a byte: the beginning of it where it is very much."""
        size = os.fstat(self._spool).st_size
        if not size:
            return ""
        data = os.pread(self._spool, MAX_BYTES, 0)
        os.ftruncate(self._spool, 0)
        os.lseek(self._spool, 0, os.SEEK_SET)
        return data.decode("latin-1")

    def enter(self, line: bytes) -> None:
        os.write(self._ledger, line)


class _Worker:
    def __init__(
        self, connection: socket.socket, sink: _Sink, project: Path, ending: _Ending, disconnect: Callable[[], None]
    ) -> None:
        self._channel = Channel(connection)
        self._sink = sink
        self._batch: deque[Message] = deque()
        self._rung = 0.0
        """When the building process was told last to look into the ledger."""
        self._project = project
        self._ending = ending
        self._disconnect = disconnect
        self._teller = _Teller(self._channel, ending)
        self._folder = os.getcwd()
        self._registering = threading.Lock()
        ending.channel = self._channel

    def serve(self) -> NoReturn:
        while not self._ending.is_due:
            message = self._channel.receive()
            if message is None:
                break
            if "run" in message:
                self._run(message)
            elif "batch" in message:
                self._run_batch(message["batch"])
        self._leave()

    def _run_batch(self, messages: list[Message]) -> None:
        self._batch.extend(messages)
        self._sink.begin_batch()
        self._rung = time.monotonic()
        while self._batch and not self._ending.is_due:
            self._run(self._batch.popleft())
        self._sink.end_batch()

    def _end(self, message: Message) -> None:
        """Tells the end of an attempt: at once, or in the ledger."""
        if not self._sink.is_batch:
            self._teller.send(message)
            return
        message["output"] = self._sink.taken()
        self._sink.enter(encoded(message))
        now = time.monotonic()
        if not self._batch or message["retires"] or now - self._rung > _RING_S:
            self._rung = now
            self._teller.send({"ended": True})

    def _run(self, message: Message) -> None:
        try:
            task = task_of(message["run"])
        except Exception as error:  # noqa: BLE001  what the building process could make, it can also run
            self._leave_batch()
            self._teller.send({"bound": f"a worker could not make it ({type(error).__name__})"})
            self._teller.send({"idle": True})
            return
        attempt = attempt_of(message["attempt"], self._register)
        attempt.__class__ = _ToldAttempt  # from here on: its own fields need not be told
        attempt.__dict__["_teller"] = self._teller
        met: list[str] = message["met"]
        is_met = lambda required: [one.task_id for one in required] == met  # noqa: E731  it is handed on at once
        self._carry_out(Conducted(task, attempt, self._project, is_met), attempt)

    def _carry_out(self, conducted: Conducted, attempt: Attempt) -> None:
        active_s = 0.0
        threads = _ONE_THREAD if threading.active_count() == 1 else frozenset(threading.enumerate())
        while True:
            outcome = self._step(conducted)
            active_s += outcome.active_s
            if outcome.needs is None:
                break
            if not self._goes_on(outcome.needs, attempt, active_s):
                conducted.close()
                self._tidy(attempt, threads)
                self._teller.send({"idle": True})
                return
            active_s = 0.0
        retires = self._tidy(attempt, threads) or self._ending.is_due
        failure = outcome.failure
        if failure is not None and isinstance(failure.error, MemoryError):
            retires = True  # what has taken the memory may still be there
        document = None if failure is None else failure.as_document()
        is_stopped = failure is not None and failure.error is self._ending.error
        self._end(
            {"end": document, "active_s": active_s, "told": told(attempt), "is_stopped": is_stopped, "retires": retires}
        )
        if retires:
            self._leave()

    def _step(self, conducted: Conducted) -> Outcome:
        ending = self._ending
        try:
            ending.open()
            try:
                return conducted.step()
            finally:
                ending.shut()
        except EndedFromOutside as ended:  # before its code began, or after it had ended
            return Outcome(conducted.task, None, told_failure(conducted.task, ended.error, self._project))
        finally:
            if os.getpid() != self._ending.pid:
                os._exit(0)  # a child that run() forked and that came back from it

    def _goes_on(self, needs: tuple[Task, ...], attempt: Attempt, active_s: float) -> bool:
        """Waits until the needs are met; False when they will not be, or cannot be told."""
        self._leave_batch()
        why = next((why for one in needs if (why := why_bound_here(one))), "")
        if why:
            self._teller.send({"bound": f"it needs a task that only this process can run: {why}"})
            return False
        specs = [spec_of(one) for one in needs]
        self._flush()
        self._teller.send({"needs": specs, "active_s": active_s, "told": told(attempt)})
        message = self._channel.receive()
        return message is not None and "resume" in message

    def _leave_batch(self) -> None:
        """The building process gives the rest of it to others."""
        self._batch.clear()
        self._flush()
        self._sink.end_batch()

    def _register(self, connection: str, backend: str) -> None:
        """Of a lease: returns when the building process has noted the session."""
        if os.getpid() != self._ending.pid:
            return  # a process that run() forked: whoever ends this one ends that as well
        with self._ending.shielded(), self._registering:
            self._teller.send({"register": [connection, backend]})
            while True:
                message = self._channel.receive()
                if message is None:
                    os._exit(_LOST)
                if "stop" in message:
                    self._ending.told(message)
                elif "registered" in message:
                    break
        if message["registered"] is not None:
            raise UnavailableError(message["registered"])

    # -- between two attempts

    def _tidy(self, attempt: Attempt, before: frozenset[threading.Thread]) -> bool:
        """Ends or puts back what run() left; true for what only the end of this process ends."""
        names = _lingering(before)
        if names:
            shown = f"{len(names)} thread{'s' * (len(names) > 1)} ({', '.join(names[:3])}{', …' * (len(names) > 3)})"
            attempt.notes.append(f"run() left {shown} running; the process was ended")
        if has_children():
            killed = end_children(_spared())
            if killed:
                attempt.notes.append(f"run() left {killed} process{'es' * (killed > 1)} running, which were ended")
        self._flush()
        self._restore_folder()
        return bool(names)

    def _restore_folder(self) -> None:
        try:
            if os.getcwd() != self._folder:
                os.chdir(self._folder)
        except OSError:  # a folder that is gone: the project's own tasks will say so
            return

    def _flush(self) -> None:
        for name, ours in _streams.items():
            stream = getattr(sys, name)
            if stream is not ours:
                with suppress(Exception):  # whatever the task has put there
                    stream.flush()
                setattr(sys, name, ours)
            try:
                ours.flush()
            except (OSError, ValueError):  # closed by the task: opened anew
                _open_stream(name)
        self._sink.take_descriptors()

    def _leave(self) -> NoReturn:
        with suppress(BaseException):
            atexit._run_exitfuncs()
            self._disconnect()
            gc.collect()  # what cleans up when it is freed
            self._flush()
        os._exit(0)


def told(attempt: Attempt) -> dict[str, Any]:
    """What an attempt has told so far, for the wire."""
    return {
        "rows": attempt.rows,
        "progress": attempt.progress,
        "status": attempt.status,
        "waiting": attempt.waiting,
        "notes": [str(note) for note in attempt.notes],
    }


_DESCRIPTORS = {"stdout": 1, "stderr": 2}
_streams: dict[str, io.TextIOWrapper] = {}


def _take_streams(log: int) -> None:
    _kept.extend([sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__])
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name in _DESCRIPTORS:
        _open_stream(name)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115  as above


def _open_stream(name: str) -> None:
    stream = open(  # noqa: SIM115  open as long as the process
        _DESCRIPTORS[name], "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )
    _streams[name] = stream
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _take_signals(ending: _Ending) -> None:
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) or number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, ending.received)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _be_any_process(ending: _Ending) -> None:
    """What run() forks ends by SIGTERM as any process does: multiprocessing ends its own so."""
    if os.getpid() != ending.pid:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _take_logging() -> None:
    """Records go to this process's stderr, which is the attempt's log; a user's own files get theirs as before."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if not isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
    root.addHandler(StreamOfNow(lambda: sys.stderr))
    root.setLevel(min(root.level, logging.INFO) if root.level else logging.INFO)
    for logger in logging.root.manager.loggerDict.values():
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.stream = sys.stderr


def _reseed() -> None:
    """Python's own random numbers are other ones in each forked process; NumPy's would be the same in all."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _lingering(before: frozenset[threading.Thread]) -> list[str]:
    if threading.active_count() == len(before):
        return []
    until = time.monotonic() + _LINGER_S
    names = []
    for thread in threading.enumerate():
        if not thread.daemon and thread not in before:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                names.append(thread.name)
    return names


def _spared() -> frozenset[int]:
    """multiprocessing's own helper, which is to live as long as this process."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    pid = getattr(getattr(tracker, "_resource_tracker", None), "_pid", None)
    return frozenset() if pid is None else frozenset({pid})
