"""The far side of a cluster: one attempt, carried out in a worker that other work may share; a document for a document.

    the order    {"order", "task": spec, "attempt": spec, "met": [task_id, …]}
    the answer   {"end": null or failure, "is_stopped": …}   it has ended
                 {"needs": [spec, …]}                          it needs these; it will be ordered again, from the top
                 {"bound": why}                                only the building process can run it
                 {"unfit": why}                                this worker cannot run it
                 and with each of them "active_s", "told"
    told         {"takes": "host:pid"}    for certain, before anything that could end this process
                 {"begin": true}          the project is open: now the task runs
                 {"tell": {"rows": …, "status": …, …}}   {"register": [number, connection, backend]}
                 {"ends": true}           for certain: what ends this process from here on is something else

`ended` and `registered` are called from outside while it goes on. Knows no cluster software.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.target import exists_in_bulk
from etlctl.core.task import Completeness, Task, outputs_of
from etlctl.engine.attempt import Conducted, EndedFromOutside, told_failure
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.spec import attempt_of, spec_of, task_of, why_bound_here
from etlctl.engine.executors.telling import Pace, tells, told
from etlctl.engine.failures import lines_of
from etlctl.errors import FailedInWorkerError, PipelineImportError, TaskTimeoutError, UnavailableError

Message = dict[str, Any]
Tell = Callable[[Message], None]
_REGISTER_S = 60.0
"""How long a load waits until the building process has noted its session."""


def taken() -> Message:
    """What is told before all else."""
    return {"takes": f"{socket.gethostname()}:{os.getpid()}"}


def carried_out(order: Message, project: Path, tell: Tell, where: str) -> Message:
    """Carries out the order in the context that is in place; `where` is this worker's name for people."""
    tell({"begin": True})
    spec = order["task"]
    try:
        task = task_of(spec)
    except PipelineImportError as error:
        cause = error.__cause__
        why = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
        return unfit(f"worker {where} cannot import {spec['module']}: {why}; its pipelines folder must be the same")
    except Exception as error:  # noqa: BLE001  the building process could make it
        return unfit(f"worker {where} cannot make the task: {lines_of(error)[0]}")
    attempt = attempt_of(order["attempt"], _Registration(tell))
    tells(attempt, _Teller(tell))
    running = _Running(threading.get_ident())
    carrying = _Carrying(task, attempt, project, frozenset(order["met"]))
    try:
        with _under_way(order["order"], running):
            answer = carrying.answer(running)
    except EndedFromOutside as stopped:  # it came at the very end
        answer = carrying.stopped(stopped, running)
    finally:
        _running.pop(order["order"], None)
    return {**answer, "told": told(attempt)}


def unfit(why: str) -> Message:
    """The answer of a worker that cannot begin."""
    return {"unfit": why, "active_s": 0.0, "told": told(Attempt())}


class _Carrying:
    def __init__(self, task: Task, attempt: Attempt, project: Path, met: frozenset[str]) -> None:
        self._task = task
        self._attempt = attempt
        self._project = project
        self._met = met
        self._conducted = Conducted(task, attempt, project)
        self._active_s = 0.0

    def answer(self, running: _Running) -> Message:
        try:
            found = self._carried()
        except EndedFromOutside as stopped:  # between two steps
            self._conducted.close()
            return self.stopped(stopped, running)
        answer = _end(found, running) if isinstance(found, Outcome) else found
        return {**answer, "active_s": self._active_s}

    def stopped(self, stopped: EndedFromOutside, running: _Running) -> Message:
        outcome = Outcome(self._task, None, told_failure(self._task, stopped.error, self._project))
        return {**_end(outcome, running), "active_s": self._active_s}

    def _carried(self) -> Message | Outcome:
        try:
            if self._is_done():
                self._attempt.notes.append("found complete")
                return Outcome(self._task)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's complete()
            return Outcome(self._task, None, told_failure(self._task, error, self._project))
        while True:
            outcome = self._conducted.step()
            self._active_s += outcome.active_s
            if outcome.needs is None:
                return outcome
            unmet = [one for one in outcome.needs if one.task_id not in self._met]
            why = next((why for one in unmet if (why := why_bound_here(one))), "")
            if why:
                self._conducted.close()
                return {"bound": f"it needs a task that only the building process can run: {why}"}
            if not _are_complete(unmet):
                self._conducted.close()
                return {"needs": [spec_of(one) for one in outcome.needs]}

    def _is_done(self) -> bool:
        """A finished task is ordered again when the worker that held its answer dies."""
        kind = type(self._task).completeness()
        return not self._attempt.forced and kind is not Completeness.REQUIREMENTS and bool(self._task.complete())


def _end(outcome: Outcome, running: _Running) -> Message:
    failure = outcome.failure
    is_stopped = failure is not None and running.error is not None and failure.error is running.error
    return {"end": None if failure is None else failure.as_document(), "is_stopped": is_stopped}


def _are_complete(tasks: Iterable[Task]) -> bool:
    """Whether all of them are; what cannot be asked here is not, and the building process tells why."""
    try:
        targets = []
        for task in tasks:
            if type(task).completeness() is Completeness.OUTPUTS:
                outputs = outputs_of(task)
                if not outputs:
                    return False
                targets.extend(outputs)
            elif not task.complete():
                return False
        return all(answer is True for answer in exists_in_bulk(targets).values())
    except (Exception, SystemExit):  # noqa: BLE001  a user's code
        return False


# -- what is told while it goes on


class _Teller:
    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._pace = Pace()

    def tell(self, attempt: Attempt, *, is_seldom: bool) -> None:
        """See `telling.Teller`."""
        if self._pace.is_due(is_seldom=is_seldom):
            self._tell({"tell": {name: _plain(value) for name, value in told(attempt).items()}})


def _plain(value: Any) -> Any:
    """Numbers of NumPy and the like as Python's own, which is all that can be told."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    return value if value is None or isinstance(value, (int, float, str)) else float(value)


# -- the lease

_numbers = itertools.count(1)
_asked: dict[int, _Asked] = {}
"""Registrations that wait for their answer; in this process, since the answer comes by a call into it."""


@dataclass
class _Asked:
    answered: threading.Event = field(default_factory=threading.Event)
    error: str | None = None


class _Registration:
    """`LeaseOfAttempt.register`: returns when the building process has noted the session."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def __call__(self, connection: str, backend: str) -> None:
        number = next(_numbers)
        asked = _asked[number] = _Asked()
        try:
            self._tell({"register": [number, connection, backend]})
            if not asked.answered.wait(_REGISTER_S):
                raise UnavailableError(
                    f"the building process has not answered for {_REGISTER_S:g} s, so the load was not begun"
                )
        finally:
            del _asked[number]
        if asked.error is not None:
            raise UnavailableError(asked.error)


def registered(number: int, error: str | None) -> None:
    """Called in the worker from outside: the session is noted, or why not."""
    asked = _asked.get(number)
    if asked is not None:
        asked.error = error
        asked.answered.set()


# -- the end from outside


@dataclass
class _Running:
    thread: int
    error: Exception | None = None
    """Why it was told to end."""


_running: dict[str, _Running] = {}
_guard = threading.Lock()


class _Stopped(EndedFromOutside):
    """Python makes it in the thread that it is raised in, without arguments."""

    def __init__(self) -> None:
        here = threading.get_ident()
        errors = [one.error for one in list(_running.values()) if one.thread == here and one.error is not None]
        super().__init__(errors[0] if errors else FailedInWorkerError("it was ended from outside"))


@contextmanager
def _under_way(order: str, running: _Running) -> Iterator[None]:
    with _guard:
        _running[order] = running
    try:
        yield
    finally:
        with _guard:  # whoever is about to break it off has done so, or finds nothing
            _running.pop(order, None)


def ended(order: str, kind: str, sentence: str) -> bool:
    """Called in the worker from outside: breaks the attempt off at its next line of Python; False if it is not there.

    A call into a library, or a database that does not answer, is not broken off: the attempt ends behind it.
    """
    with _guard:
        running = _running.get(order)
        if running is None or running.error is not None:
            return False
        running.error = TaskTimeoutError(sentence) if kind == "timeout" else FailedInWorkerError(sentence)
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        return bool(raise_in(ctypes.c_ulong(running.thread), ctypes.py_object(_Stopped)))
