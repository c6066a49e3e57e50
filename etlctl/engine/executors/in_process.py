"""The executor of one job: attempts run in this process, one step at a time, in the thread that asks."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple, NoReturn

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.attempt import Conducted
from etlctl.engine.executors import children
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.captured import Capture
from etlctl.engine.executors.jobs import Output
from etlctl.engine.failures import Failure
from etlctl.engine.logs import MAX_BYTES
from etlctl.errors import WorkerDiedError


class _Staying:
    """Within the block os._exit() fails the task that calls it: it would end the build, with 0 and without a word."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._leave = os._exit

    def __enter__(self) -> None:
        self._leave = os._exit
        os._exit = self._refuse

    def __exit__(self, *exception: object) -> None:
        os._exit = self._leave

    def _refuse(self, status: int) -> NoReturn:
        if os.getpid() != self._pid:
            self._leave(status)  # in a child of the task's
        raise WorkerDiedError(f"it called os._exit({status}), which would have ended the whole build")


class _UnderWay(NamedTuple):
    """An attempt that has not ended."""

    conducted: Conducted
    output: Output | None
    """Where what it writes goes; None for nowhere."""
    started: set[int]
    """Processes, by their ids."""

    def end_children(self) -> None:
        """What it has started and left running ends with it, as it does where a worker carries it out."""
        if self.started:
            from etlctl.engine.executors.surroundings import spared  # of workers: most builds of one job need none

            told = children.end(self.started - spared())
            if told:
                self.conducted.attempt.notes.append(told)


class InProcessExecutor:
    """Runs the step that was submitted or resumed first inside `wait()`."""

    capacity = 1
    parking_places = None

    def __init__(self, project: Path, *, max_log_bytes: int = MAX_BYTES) -> None:
        self._project = project
        self._max_log_bytes = max_log_bytes
        self._due: deque[_UnderWay] = deque()
        self._waiting: dict[Task, _UnderWay] = {}
        self._capture = Capture()
        self._staying = _Staying()

    @property
    def is_due(self) -> bool:
        """Whether `wait()` has a step to carry out."""
        return bool(self._due)

    def submit(self, task: Task, attempt: Attempt) -> None:
        """Begins an attempt; nothing of it runs before `wait()`."""
        output = Output(task, attempt.log, self._max_log_bytes, None) if attempt.log else None
        self._due.append(_UnderWay(Conducted(task, attempt, self._project), output, set()))

    def resume(self, task: Task) -> None:
        """Marks a waiting attempt as due."""
        self._due.append(self._waiting.pop(task))

    def abandon(self, task: Task) -> None:
        """Closes a waiting attempt; none where an interrupt came between its end and what the runner makes of it."""
        under_way = self._waiting.pop(task, None)
        if under_way is not None:
            self._close(under_way)

    def cancel(self, task: Task, why: Failure) -> None:
        """Nothing: what is under way runs in the thread that asks."""

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """Runs one step of the attempt that is due longest; where none is, the time passes."""
        if not self._due:
            time.sleep(timeout_s or 0)
            return None
        under_way = self._due[0]  # until the step is over: an interrupt may come in the middle, and then close()
        conducted, output = under_way.conducted, under_way.output
        others = children.of_this_thread()
        try:
            with self._staying:
                if output is None:
                    outcome = conducted.step()
                else:
                    with self._capture.into(output):
                        outcome = conducted.step()
        finally:
            under_way.started.update(children.of_this_thread() - others)
        self._due.popleft()
        if outcome.needs is not None:
            self._waiting[outcome.task] = under_way
            return outcome
        under_way.end_children()
        if output is not None:
            output.note(outcome.failure.traceback if outcome.failure is not None else "")
            output.close()
        return outcome

    def close(self) -> None:
        """Closes what waits."""
        for under_way in (*self._waiting.values(), *self._due):
            self._close(under_way)
        self._waiting.clear()
        self._due.clear()
        self._capture.close()

    def _close(self, under_way: _UnderWay) -> None:
        conducted, output = under_way.conducted, under_way.output
        if output is None:
            conducted.close()
        else:
            with self._capture.into(output):
                conducted.close()
            output.close()
        under_way.end_children()
