"""The executor of one job: attempts run in this process, one step at a time, in the thread that asks."""

from __future__ import annotations

import logging
import time
from collections import deque

from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.engine.attempt import Steps, steps
from etlctl.engine.executors.base import Outcome

_logger = logging.getLogger("etlctl")


class InProcessExecutor:
    """Runs the step that was submitted or resumed last inside `wait()`."""

    capacity = 1

    def __init__(self) -> None:
        self._under_way: dict[Task, tuple[Steps, Attempt]] = {}
        self._due: deque[Task] = deque()

    def submit(self, task: Task, attempt: Attempt) -> None:
        """Begins an attempt; nothing of it runs before `wait()`."""
        self._under_way[task] = (steps(task, attempt), attempt)
        self._due.append(task)

    def resume(self, task: Task) -> None:
        """Marks a waiting attempt as due."""
        self._due.append(task)

    def abandon(self, task: Task) -> None:
        """Closes a waiting attempt: its generator's `finally` blocks run now."""
        if task not in self._under_way:
            return  # ended already; an interrupt came between its end and what the runner makes of it
        under_way, attempt = self._under_way.pop(task)
        try:
            with context.attempting(attempt):
                under_way.close()
        except (Exception, SystemExit):
            _logger.exception("%s raised while it was ended early", task.task_label)

    def wait(self) -> Outcome:
        """Runs one step of the attempt that is due longest."""
        task = self._due.popleft()
        under_way, attempt = self._under_way[task]
        began = time.perf_counter()
        needs: tuple[Task, ...] | None = None
        failed: BaseException | None = None
        try:
            with context.attempting(attempt):
                needs = tuple(next(under_way))
        except StopIteration:
            pass  # the attempt has ended well
        except BaseException as error:  # noqa: BLE001  the one place that catches what a task raises, SystemExit included
            failed = _told(error)
        if needs is None:
            del self._under_way[task]
        active_s = time.perf_counter() - began
        return Outcome(task, needs, failed, active_s, interrupted=isinstance(failed, KeyboardInterrupt))


def _told(error: BaseException) -> BaseException:
    """The task's own error: a StopIteration that escapes a run() reaches us wrapped by the generator around it."""
    cause = error.__cause__
    if type(error) is RuntimeError and isinstance(cause, StopIteration) and "raised StopIteration" in str(error):
        return cause
    return error
