"""The executor of one job: attempts run in this process, one step at a time, in the thread that asks."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import NoReturn

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.attempt import Conducted
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.captured import Capture
from etlctl.engine.executors.jobs import Output
from etlctl.engine.failures import Failure
from etlctl.engine.logs import MAX_BYTES
from etlctl.errors import WorkerDiedError


class _Staying:
    """Within the block os._exit() fails the task that calls it: it would end the build, with 0 and without a word."""

    def __enter__(self) -> None:
        self._leave, self._pid = os._exit, os.getpid()
        os._exit = self._refuse

    def __exit__(self, *exception: object) -> None:
        os._exit = self._leave

    def _refuse(self, status: int) -> NoReturn:
        if os.getpid() != self._pid:
            self._leave(status)  # in a child of the task's
        raise WorkerDiedError(f"it called os._exit({status}), which would have ended the whole build")


class InProcessExecutor:
    """Runs the step that was submitted or resumed first inside `wait()`."""

    capacity = 1
    parking_places = None

    def __init__(self, project: Path, *, max_log_bytes: int = MAX_BYTES) -> None:
        self._project = project
        self._max_log_bytes = max_log_bytes
        self._under_way: dict[Task, Conducted] = {}
        self._outputs: dict[Task, Output] = {}
        self._due: deque[Task] = deque()
        self._capture = Capture()

    @property
    def is_due(self) -> bool:
        """Whether `wait()` has a step to carry out."""
        return bool(self._due)

    def submit(self, task: Task, attempt: Attempt) -> None:
        """Begins an attempt; nothing of it runs before `wait()`."""
        self._under_way[task] = Conducted(task, attempt, self._project)
        if attempt.log:
            self._outputs[task] = Output(task, attempt.log, self._max_log_bytes, None)
        self._due.append(task)

    def resume(self, task: Task) -> None:
        """Marks a waiting attempt as due."""
        self._due.append(task)

    def abandon(self, task: Task) -> None:
        """Closes a waiting attempt; none where an interrupt came between its end and what the runner makes of it."""
        if task in self._under_way:
            conducted, output = self._under_way.pop(task), self._outputs.pop(task, None)
            if output is None:
                conducted.close()
                return
            with self._capture.into(output):
                conducted.close()
            output.close()

    def cancel(self, task: Task, why: Failure) -> None:
        """Nothing: what is under way runs in the thread that asks."""

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """Runs one step of the attempt that is due longest; where none is, the time passes."""
        if not self._due:
            time.sleep(timeout_s or 0)
            return None
        task = self._due.popleft()
        conducted, output = self._under_way[task], self._outputs.get(task)
        with _Staying():
            if output is None:
                outcome = conducted.step()
            else:
                with self._capture.into(output):
                    outcome = conducted.step()
        if outcome.needs is None:
            del self._under_way[task]
            if output is not None:
                output.note(outcome.failure.traceback if outcome.failure is not None else "")
                self._outputs.pop(task).close()
        return outcome

    def close(self) -> None:
        """Closes what waits."""
        for task in list(self._under_way):
            self.abandon(task)
        self._capture.close()
