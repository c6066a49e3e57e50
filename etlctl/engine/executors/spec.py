"""Tasks and attempts as plain data, as they travel to another process: names and texts, never a pickle.

    spec_of(task)             {"module", "class", "params", "task_id"}           task_of(spec)
    spec_of_attempt(attempt)  {"run_id", "number", "forced", "module", "lease"}  attempt_of(spec, register)

What arrives is made anew by the class's own code, and refused where it is not the task that was sent.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from etlctl.core.context import Attempt, LeaseOfAttempt
from etlctl.core.parameters import BoolParameter, DateParameter, IntParameter, MonthParameter, StrParameter
from etlctl.core.parametrized import Parametrized
from etlctl.core.target import Target
from etlctl.core.task import Task, outputs_of
from etlctl.errors import BrokenTaskError, PipelineImportError, TaskNotFoundError

_EXACT = (BoolParameter, DateParameter, IntParameter, MonthParameter, StrParameter)
Register = Callable[[str, str], None]
"""`LeaseOfAttempt.register`: (connection's name, the session's own mark)."""


def spec_of(task: Task) -> dict[str, Any]:
    """What `task_of` makes an equal task of; every parameter as text, insignificant and private ones too.

    JSON takes it; it holds the values of private parameters, so it must not be logged.
    """
    cls = type(task)
    return {
        "module": cls.__module__,
        "class": cls.__qualname__,
        "params": task.to_str_params(),
        "task_id": task.task_id,
    }


def task_of(spec: Mapping[str, Any]) -> Task:
    """The task that `spec_of` described; its module is imported where it is not yet.

    Raises PipelineImportError where the module cannot be imported here, TaskNotFoundError where it has no such class,
    ParameterError for values that its class refuses, BrokenTaskError where what comes out has another task_id.
    """
    task = _class_of(spec["module"], spec["class"]).from_str_params(spec["params"])
    if task.task_id != spec["task_id"]:
        raise BrokenTaskError(
            f"{task.task_label} has another id when it is made again of its parameters' texts ({task.task_id} in place "
            f"of {spec['task_id']}). A parameter's parse() does not give back what its serialize() was given."
        )
    return task


def spec_of_attempt(attempt: Attempt) -> dict[str, Any]:
    """What the other process needs to know of an attempt before it begins."""
    lease = attempt.lease
    return {
        "run_id": attempt.run_id,
        "number": attempt.number,
        "forced": attempt.forced,
        "module": attempt.module,
        "lease": None if lease is None else {"key": lease.key, "owner": lease.owner, "fence": lease.fence},
    }


def attempt_of(spec: Mapping[str, Any], register: Register, kind: type[Attempt] = Attempt) -> Attempt:
    """The attempt in its own process; `register` is what its lease, where it has one, is to call before a load."""
    lease = spec["lease"]
    return kind(
        run_id=spec["run_id"],
        number=spec["number"],
        forced=spec["forced"],
        module=spec["module"],
        lease=None if lease is None else LeaseOfAttempt(lease["key"], lease["owner"], lease["fence"], register),
    )


def why_bound_here(task: Task) -> str:
    """Why `task` can run in this process alone, for people; empty for one that can be sent.

    Its class is of `__main__` or is not what its module holds under its name (made in a function, a twin made by
    externalize()), a parameter does not come back from its text, or an output is in memory.
    """
    cls: Any = type(task)  # mypy looks for __hash__ on the instances when a class is handed to a cache
    if cls.__module__ == "__main__":
        return "its class is defined in __main__"
    if found_class(cls.__module__, cls.__qualname__) is not cls:
        return f"{cls.__module__} has no {cls.__qualname__} that is its class"
    if not _comes_back(cls):
        try:
            is_same = _is_same(cls.from_str_params(task.to_str_params()), task)
        except Exception as error:  # noqa: BLE001  the user's kinds of parameters: here the task has its values already
            return f"it cannot be made again of its parameters' texts ({type(error).__name__})"
        if not is_same:
            return "a parameter does not come back from its text"
    return "its output is in memory" if makes_in_memory(task) else ""


class Bindings:
    """Which tasks of one build only the building process can run; grows with what is kept in its memory."""

    def __init__(self) -> None:
        self._holds_memory = False
        """Some task's outputs are in the memory of this process, and only here can others read them."""

    def why(self, task: Task, attempt: Attempt) -> str | None:
        """Why `task` runs in this process; None for one that may run in another."""
        why = why_bound_here(task)
        if why:
            self._holds_memory = self._holds_memory or makes_in_memory(task)
            return why
        if self._holds_memory and any(makes_in_memory(one) for one in attempt.met):
            return "what it requires is in memory"
        return None


def makes_in_memory(task: Task) -> bool:
    """Whether another process could not see what `task` makes; False where output() fails, which the attempt tells."""
    if not _is_any_in_memory(Target.__subclasses__()):
        return False  # output() may be slow, and is asked for each task
    try:
        return any(isinstance(target, Target) and target.is_in_memory for target in outputs_of(task))
    except (Exception, SystemExit):  # noqa: BLE001  user code
        return False


def found_class(module: str, qualname: str) -> Any:
    """What stands under this name in a module that has been imported; None for nothing."""
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _class_of(module: str, qualname: str) -> type[Task]:
    try:
        if module not in sys.modules:
            import_module(module)
    except (Exception, SystemExit) as error:
        raise PipelineImportError(
            f"The process that is to run {qualname} cannot import its module {module}: {type(error).__name__}: "
            f"{error}. Is the pipelines folder, or the package, where that process runs?"
        ) from error
    found = found_class(module, qualname)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TaskNotFoundError(f"The module {module} has no task class {qualname} in the process that is to run it.")
    return found


@functools.lru_cache(maxsize=256)
def _comes_back(cls: type[Task]) -> bool:
    """Whether all its parameters are of kinds that are known to give back what they were given."""
    return cls.__init__ is Parametrized.__init__ and all(type(kind) in _EXACT for _, kind in cls.get_params())


def _is_any_in_memory(kinds: Iterable[type[Target]]) -> bool:
    return any("is_in_memory" in vars(one) or _is_any_in_memory(one.__subclasses__()) for one in kinds)


def _is_same(again: Task, task: Task) -> bool:
    """Values are compared, not texts: what a kind's text leaves out would be missing in the other process."""
    ours, theirs = task.param_kwargs, again.param_kwargs
    return all(theirs[name] is value or bool(theirs[name] == value) for name, value in ours.items())
