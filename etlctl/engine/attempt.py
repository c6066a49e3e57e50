"""One attempt at one task, from its last look at the requirements to the check of its outputs and its callbacks.

    Conducted.step()
      START
      requires()          once more; its answer holds for the whole attempt, input() included
      <- requirements     where they are others than before; the runner goes on when all of them have ended well
      complete()          of direct requirements that have their own
      run()               again when a database broke off its transaction (engine/retry.py)
                          <- tasks it yields; resumed with their outputs
      outputs             every declared one must be there
      PROCESSING_TIME, on_success(), SUCCESS; or on_failure(), FAILURE

A generator inside, so that a run() that waits for tasks it yielded can be set aside and resumed where it stopped. All
of it happens in the process that runs the task, whichever the executor has chosen.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.core.events import Event
from etlctl.core.interruption import heard, wish_behind
from etlctl.core.target import exists_in_bulk
from etlctl.core.task import (
    Completeness,
    DynamicRequirements,
    Task,
    WrapperTask,
    materialized,
    outputs_like,
    outputs_of,
    tasks_in,
)
from etlctl.engine.executors.base import Outcome
from etlctl.engine.failures import Failure, lines_of
from etlctl.engine.retry import patiently
from etlctl.errors import AlreadyLoaded, LoadError, MissingOutputError, TaskError, TornLoadError, UnfulfilledError
from etlctl.text import printable

_Steps = Generator[list[Task], None, None]
_logger = logging.getLogger("etlctl")


class EndedFromOutside(BaseException):
    """Raised in the middle of a task's code by whoever ends it; `except Exception` in that code does not stop it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
        """What the attempt fails with."""


class Conducted:
    """One attempt in this process, a step at a time; what the task raises becomes part of an Outcome.

    `is_met` tells of requirements that they have ended well, so that nobody need be asked; by default `attempt.met`.
    """

    def __init__(
        self, task: Task, attempt: Attempt, project: Path, is_met: Callable[[list[Task]], bool] | None = None
    ) -> None:
        self.task = task
        self.attempt = attempt
        self._project = project
        self._steps = _steps(task, attempt, is_met or (lambda required: required == list(attempt.met)))
        self._active_s = 0.0
        self._has_begun = False

    def step(self) -> Outcome:
        """Runs to the end, or to the next tasks it needs. Raises nothing that comes out of the task.

        Raises the KeyboardInterrupt by which a signal ended the task: that is no failure, and no callback is told of
        it. A load that it left half committed, or found committed, is told as ever.
        """
        began = time.perf_counter()
        needs: tuple[Task, ...] | None = None
        error: BaseException | None = None
        with context.attempting(self.attempt):
            if not self._has_begun:
                self._has_begun = True
                self.task.trigger_event(Event.START, self.task)
            try:
                needs = tuple(next(self._steps))
            except StopIteration:
                pass  # the attempt has ended well
            except BaseException as raised:  # noqa: BLE001  the one place that catches what a task raises, SystemExit included
                error = _told(raised)
            active_s = time.perf_counter() - began
            self._active_s += active_s
            wish = wish_behind(error)
            if wish is not None and not isinstance(error, (AlreadyLoaded, TornLoadError)):
                raise wish
            interrupted = heard(wish or error)
            failure = None
            try:
                failure = None if needs is not None else self._ended(error)
            except KeyboardInterrupt as late:  # in a callback: what the task has come to stands
                interrupted = heard(late)
                if error is not None and not isinstance(error, AlreadyLoaded):
                    failure = Failure.of(error, self.task, self._project)
        return Outcome(self.task, needs, failure, active_s, interrupted=interrupted)

    def close(self) -> None:
        """Ends an attempt that waits for needs: its generator's `finally` blocks run now; what they raise is logged."""
        try:
            with context.attempting(self.attempt):
                self._steps.close()
        except (Exception, SystemExit) as error:
            said = lines_of(error, self.task)[0]
            _logger.exception("%s raised while it was ended early: %s", self.task.task_label, said)

    def _ended(self, error: BaseException | None) -> Failure | None:
        if error is not None and not isinstance(error, AlreadyLoaded):
            return told_failure(self.task, error, self._project)
        if error is not None:
            self.attempt.notes.append(printable(str(error)))
        self._succeed()
        return None

    def _succeed(self) -> None:
        """Its outputs are there, and what a callback raises changes nothing of that: it is logged and noted."""
        task = self.task
        task.trigger_event(Event.PROCESSING_TIME, task, self._active_s)
        try:
            task.on_success()
        except (Exception, SystemExit) as error:
            _logger.exception("%s.on_success() raised; the task is done all the same", task.task_label)
            self.attempt.notes.append(f"on_success() raised {lines_of(error, self.task)[0]}")
        task.trigger_event(Event.SUCCESS, task)


def told_failure(task: Task, error: BaseException, project: Path) -> Failure:
    """The failure, after on_failure() and the handlers of FAILURE have been told of it."""
    _logger.debug("%s failed", task.task_label, exc_info=error)
    task.trigger_event(Event.FAILURE, task, error)
    try:
        said = task.on_failure(error)
    except (Exception, SystemExit) as wrong:
        _logger.exception("%s.on_failure() raised %s", task.task_label, lines_of(wrong, task)[0])
        said = None
    lines = tuple(printable(line) for line in said.splitlines()) if isinstance(said, str) else ()
    return Failure.of(error, task, project, lines)


def _told(error: BaseException) -> BaseException:
    """The task's own error: a StopIteration that escapes a run() reaches us wrapped by the generator around it."""
    if isinstance(error, EndedFromOutside):
        return error.error.with_traceback(error.__traceback__)
    cause = error.__cause__
    if type(error) is RuntimeError and isinstance(cause, StopIteration) and "raised StopIteration" in str(error):
        return cause
    return error


def _steps(task: Task, attempt: Attempt, is_met: Callable[[list[Task]], bool]) -> _Steps:
    """Yields the tasks that must have ended well before it is resumed; returns when the task is done.

    Raises whatever the task's code raises, UnfulfilledError, MissingOutputError.
    """
    answer = materialized(task.requires())
    required = tasks_in(answer, task, "requires() returned")
    task.__dict__["requires"] = lambda: answer
    try:
        if not is_met(required):
            yield required
        _check_fulfilled(task, required)
        running = patiently(task.run, attempt)
        if inspect.isgenerator(running):
            yield from _driven(task, running, attempt)
        elif running is not None:
            _refuse_async(task, running)
        _check_outputs(task)
    finally:
        task.__dict__.pop("requires", None)


def _refuse_async(task: Task, running: Any) -> None:
    if inspect.iscoroutine(running):
        running.close()  # or Python warns that nobody awaited it
    elif not inspect.isasyncgen(running):
        return
    raise TaskError(
        f"{task.task_label}.run() is `async def`, so nothing of it ran. Write `def run(self)` and call "
        "asyncio.run() in it."
    )


def _driven(task: Task, running: Generator[Any, Any, Any], attempt: Attempt) -> _Steps:
    """Walks a generator run(): each yield waits for its tasks and gets their outputs back."""
    reply: Any = None
    try:
        while True:
            try:
                wanted = running.send(reply)
            except StopIteration:
                return
            if attempt.transactions:
                raise LoadError(
                    f"{task.task_label}.run() yielded tasks inside an open transaction(): they would run while it "
                    "holds its locks. Yield before the `with` block, or after it."
                )
            structure, custom_complete = wanted, None
            if isinstance(wanted, DynamicRequirements):
                structure, custom_complete = wanted.requirements, wanted.custom_complete
            structure = materialized(structure)
            tasks = tasks_in(structure, task, "run() yielded")
            if custom_complete is None:
                yield tasks
                _check_fulfilled(task, tasks)
            elif not custom_complete(lambda one: one.complete()):
                yield tasks
            reply = outputs_like(structure)
    finally:
        running.close()


def _check_fulfilled(task: Task, required: list[Task]) -> None:
    if isinstance(task, WrapperTask):
        return  # its requirements all ended well, which is all it asks for
    for requirement in required:
        if type(requirement).completeness() is Completeness.OWN and not requirement.complete():
            raise UnfulfilledError(
                f"{task.task_label} requires {requirement.task_label}, whose complete() says no although it has ended "
                "well. Mend that complete(), or its run()."
            )


def _check_outputs(task: Task) -> None:
    targets = outputs_of(task)
    found = exists_in_bulk(targets)
    for target in targets:
        answer = found[id(target)]
        if isinstance(answer, Exception):
            raise answer
        if not answer:
            raise MissingOutputError(f"ran, but its output {target} is missing")
