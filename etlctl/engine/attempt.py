"""One attempt at one task, from its last look at the requirements to the check of its outputs.

    steps(task)
      requires()          once more; its answer holds for the whole attempt, input() included
      <- requirements     the runner goes on when all of them have ended well
      complete()          of direct requirements that have their own
      run()               again when a database broke off its transaction (engine/retry.py)
                          <- tasks it yields; resumed with their outputs
      outputs             every declared one must be there

A generator, so that a run() that waits for tasks it yielded can be set aside and resumed where it stopped.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

from etlctl.core.context import Attempt
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
from etlctl.engine.retry import patiently
from etlctl.errors import LoadError, MissingOutputError, TaskError, UnfulfilledError

Steps = Generator[list[Task], None, None]


def steps(task: Task, attempt: Attempt) -> Steps:
    """Yields the tasks that must have ended well before it is resumed; returns when the task is done.

    Raises whatever the task's code raises, UnfulfilledError, MissingOutputError.
    """
    answer = materialized(task.requires())
    required = tasks_in(answer, task, "requires() returned")
    task.__dict__["requires"] = lambda: answer
    try:
        yield required
        _check_fulfilled(task, required)
        running = patiently(task.run, attempt)
        if inspect.isgenerator(running):
            yield from _driven(task, running, attempt)
        elif inspect.iscoroutine(running) or inspect.isasyncgen(running):
            _refuse_async(task, running)
        _check_outputs(task)
    finally:
        task.__dict__.pop("requires", None)


def _refuse_async(task: Task, running: Any) -> None:
    if inspect.iscoroutine(running):
        running.close()  # or Python warns that nobody awaited it
    raise TaskError(
        f"{task.task_label}.run() is `async def`, so nothing of it ran. Write `def run(self)` and call "
        "asyncio.run() in it."
    )


def _driven(task: Task, running: Generator[Any, Any, Any], attempt: Attempt) -> Steps:
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
