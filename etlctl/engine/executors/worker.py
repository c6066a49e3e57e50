"""A worker: the process that carries out attempts, one at a time, and tells the building process what came of them.

    work(channel, log, ledger)
      its descriptors, streams, signals and log records become its own        (surroundings.py)
      {"run"} -> Conducted.step() … -> {"end"}          needs that are not met: {"needs"}, then it waits, parked
      what run() left behind (threads, processes, a changed folder) is ended or put back

What it does next may have been handed ahead; then it goes on without a word of the building process. Of a batch the
ends go into the ledger, and one message tells of several. See wire.py for the messages.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.attempt import Conducted, EndedFromOutside, told_failure
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.ending import LOST, Ending, Teller
from etlctl.engine.executors.processes import end_children, has_children
from etlctl.engine.executors.spec import attempt_of, spec_of, task_of, why_bound_here
from etlctl.engine.executors.surroundings import (
    Sink,
    be_any_process,
    lingering,
    open_stream,
    reseed,
    spared,
    streams,
    take_logging,
    take_signals,
    take_streams,
)
from etlctl.engine.executors.telling import tells, told
from etlctl.engine.executors.wire import Channel, Message, decoded, encoded
from etlctl.errors import HeldError, UnavailableError

_RING_S = 0.003
_RING_ENDS = 4
"""Ends in a ledger are told of no later than this, half of what is handed ahead."""
_LARGEST_DATAGRAM = 1 << 16


def work(channel: int, log: int, ledger: int, project: Path, disconnect: Callable[[], None]) -> NoReturn:
    """Serves until the building process closes the channel; `disconnect` closes what this process has opened."""
    take_streams(log)
    ending = Ending()
    take_signals(ending)
    take_logging()
    faulthandler.enable(log)
    atexit._clear()  # they are those of the building process
    os.register_at_fork(after_in_child=lambda: be_any_process(ending))
    reseed()
    _Worker(socket.socket(fileno=channel), Sink(log, ledger), project, ending, disconnect).serve()


class _Worker:
    def __init__(
        self, connection: socket.socket, sink: Sink, project: Path, ending: Ending, disconnect: Callable[[], None]
    ) -> None:
        self._channel = Channel(connection)
        self._sink = sink
        self._ahead: socket.socket | None = None
        """The way of what is handed ahead."""
        self._following: Message | None = None
        """What was taken of it, and comes next."""
        self._rung = 0.0
        """When the building process was told last to look into the ledger."""
        self._unrung = 0
        self._project = project
        self._ending = ending
        self._disconnect = disconnect
        self._teller = Teller(self._channel, ending)
        self._folder = os.getcwd()
        self._registering = threading.Lock()
        self._alone = frozenset({threading.main_thread()})
        ending.channel = self._channel

    def serve(self) -> NoReturn:
        while not self._ending.is_due:
            message, self._following = self._following, None
            if message is None:
                self._ending.is_idle = True
                message = self._channel.receive()
                self._ending.is_idle = False
                if message is None:
                    break
                self._sink.begin_ledger()
            if "run" in message:
                self._run(message)
            elif "equipped" in message:
                self._equip()
        if self._following is not None:
            self._teller.send({"unbegun": True})
        elif self._ending.is_due:  # since its last end was told: the next attempt may be on its way to this process
            self._leave(by=signal.SIGTERM)
        self._leave()

    def _equip(self) -> None:
        orders, log = self._channel.descriptors
        self._ahead = socket.socket(fileno=orders)
        self._sink.logs.append(log)

    def _taken(self) -> Message | None:
        """What was handed ahead: from here on nobody takes it back."""
        if self._ahead is None:
            return None
        try:
            return decoded(self._ahead.recv(_LARGEST_DATAGRAM, socket.MSG_DONTWAIT))
        except (OSError, ValueError):
            return None

    def _end(self, message: Message) -> None:
        """Tells the end of an attempt: at once, or in the ledger. Takes the next before, so that nothing is told of it
        that another might carry out."""
        following = None if message["retires"] else self._taken()
        self._following = following
        message["next"] = following is not None
        if not self._sink.is_batch:
            self._teller.send(message)
            return
        message["output"] = self._sink.taken()
        self._sink.enter(encoded(message))
        self._unrung += 1
        now = time.monotonic()
        is_last = following is None or not following["is_batched"]
        if is_last or self._unrung >= _RING_ENDS or now - self._rung > _RING_S:
            self._rung, self._unrung = now, 0
            self._teller.send({"ended": True})

    def _run(self, message: Message) -> None:
        self._sink.turn_to(message["log"], is_batch=message["is_batched"])
        if message["is_timed"]:
            self._teller.send({"begun": True})
        try:
            task = task_of(message["run"])
        except Exception as error:  # noqa: BLE001  what the building process could make, it can also run
            self._leave_batch()
            self._teller.send({"bound": f"a worker could not make it ({type(error).__name__})"})
            self._teller.send({"idle": True})
            return
        attempt = attempt_of(message["attempt"], self._register)
        tells(attempt, self._teller)
        met: list[str] = message["met"]
        is_met = lambda required: [one.task_id for one in required] == met  # noqa: E731  it is handed on at once
        self._carry_out(Conducted(task, attempt, self._project, is_met), attempt)

    def _carry_out(self, conducted: Conducted, attempt: Attempt) -> None:
        active_s = 0.0
        threads = self._alone if threading.active_count() == 1 else frozenset(threading.enumerate())
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
        """The building process takes back what was handed ahead."""
        self._flush()
        self._sink.leave_batch()

    def _register(self, connection: str, backend: str) -> None:
        """Of a lease: returns when the building process has noted the session."""
        if os.getpid() != self._ending.pid:
            return  # a process that run() forked: whoever ends this one ends that as well
        self._ending.shut()
        try:
            with self._registering:
                self._teller.send({"register": [connection, backend]})
                answer = self._answer()
        finally:
            self._ending.open()
        if answer["registered"] is not None:
            raise (HeldError if answer["is_lost"] else UnavailableError)(answer["registered"])

    def _answer(self) -> dict[str, Any]:
        while True:
            message = self._channel.receive()
            if message is None:
                os._exit(LOST)
            if "stop" in message:
                self._ending.told(message)
            elif "registered" in message:
                return message

    # -- between two attempts

    def _tidy(self, attempt: Attempt, before: frozenset[threading.Thread]) -> bool:
        """Ends or puts back what run() left; true for what only the end of this process ends."""
        names = lingering(before)
        if names:
            shown = f"{len(names)} thread{'s' * (len(names) > 1)} ({', '.join(names[:3])}{', …' * (len(names) > 3)})"
            attempt.notes.append(f"run() left {shown} running; the process was ended")
        if has_children():
            killed = end_children(spared())
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
        for name, ours in streams.items():
            stream = getattr(sys, name)
            if stream is not ours:
                with suppress(Exception):  # whatever the task has put there
                    stream.flush()
                setattr(sys, name, ours)
            try:
                ours.flush()
            except (OSError, ValueError):  # closed by the task: opened anew
                open_stream(name)
        self._sink.take_descriptors()

    def _leave(self, by: signal.Signals | None = None) -> NoReturn:
        """`by` the signal that was to end it, so that its end is not taken for a task's own doing."""
        with suppress(BaseException):
            atexit._run_exitfuncs()
            self._disconnect()
            gc.collect()  # what cleans up when it is freed
            self._flush()
        if by is not None:
            signal.signal(by, signal.SIG_DFL)
            os.kill(os.getpid(), by)
        os._exit(0)
