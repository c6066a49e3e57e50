"""Task: what a pipeline's author writes. Identity, requirements, outputs and completeness; running is the engine's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from copy import copy
from enum import Enum
from types import FunctionType
from typing import Any, ClassVar, TypeVar

from etlctl.core.conduct import Conduct
from etlctl.core.daytime import check_class
from etlctl.core.identity import as_json, task_id_of, update_key_of
from etlctl.core.namespaces import namespace_of
from etlctl.core.parameters import ParameterVisibility
from etlctl.core.parametrized import Parametrized
from etlctl.errors import BrokenTaskError, ParameterError
from etlctl.text import printable, shortened

_FREE_NAMES = ("progress", "status")  # methods for run() to call: a task with a parameter of that name goes without

T = TypeVar("T", bound="Task")


class Completeness(Enum):
    """Who answers `complete()` of a class; the graph asks each kind in its own way."""

    OUTPUTS = "outputs"
    REQUIREMENTS = "requirements"
    OWN = "own"


class Task(Parametrized, Conduct):
    """One unit of work: its parameters say which one, `output()` says where its result is.

    Override `requires()`, `output()` and `run()`; `complete()` where "all outputs exist" is not the meaning. A task's
    parameters are fixed once it is made, other attributes are free. Two tasks are equal when they are of one class and
    their significant public parameters are equal.
    """

    task_namespace: ClassVar[str | None] = None
    """Goes before the class name in `task_family`, of subclasses too; stronger than a module's `namespace()`."""
    tags: Any = ()
    """Words to find a task by in `etlctl list`."""
    is_twin: ClassVar[bool] = False
    """Made by `externalize()`: the registry knows the original alone."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # a module's namespace is for the classes made in it, not for what other modules derive from them
        namespace = cls.task_namespace if cls.task_namespace is not None else namespace_of(cls.__module__)
        cls.task_family = f"{namespace}.{cls.__name__}" if namespace else cls.__name__
        cls._refuse_hidden_methods()
        check_class(cls)

    @classmethod
    def _refuse_hidden_methods(cls) -> None:
        """`load = IntParameter()` would take the place of the method of that name, to be called at the worst time."""
        for name in cls._parameters:
            if name in _FREE_NAMES:
                continue
            for base in cls.__mro__:
                if base.__module__.partition(".")[0] == "etlctl" and isinstance(vars(base).get(name), FunctionType):
                    raise ParameterError(
                        f"{cls.__name__}: the parameter {name} hides the method {base.__name__}.{name}(), which "
                        "etlctl calls. Give the parameter another name."
                    )

    # -- what an author overrides

    def requires(self) -> Any:
        """The tasks that must be complete before this one runs: one, a list, a dict, nested, a generator, or None."""
        return []

    def output(self) -> Any:
        """The targets this task makes: one, a list, a dict, nested, or None."""
        return []

    def run(self) -> Any:
        """Makes the outputs. A generator may yield tasks that it finds it needs; it gets their outputs back."""

    def complete(self) -> bool:
        """Whether there is nothing left to do: all outputs exist. A task without outputs is never complete."""
        targets = outputs_of(self)
        return bool(targets) and all(target.exists() for target in targets)

    def on_success(self) -> Any:
        """Called after the task has run and its outputs were found."""

    def on_failure(self, exception: BaseException) -> Any:
        """Called when the task failed; what it returns, if text, is shown beneath the error."""

    def claim(self) -> Hashable | None:
        """What no other task of a graph may make, besides being complete by it: the marker of a load. None for nothing.

        Two different tasks with one claim would hide each other: the second is found complete when the first has run.
        """
        return None

    def check_settings(self) -> Any:
        """Called for a task that is to run, before any does: raises SettingsError for what the settings lack."""

    # -- what an author calls

    def input(self) -> Any:
        """The outputs of `requires()`, in the same structure."""
        return outputs_like(self.requires())

    def deps(self) -> list[Task]:
        """The direct requirements as a flat list."""
        return requirements_of(self)

    def clone(self, cls: type[T] | None = None, **kwargs: Any) -> Any:
        """A task of `cls` (this class if None) with the parameters the two share, `kwargs` overriding.

        A parameter that this class overrides by a plain value (`origin = "JFK"`) is handed on too, as in Luigi.
        """
        wanted: type[Any] = cls if cls is not None else type(self)
        shared = {name: getattr(self, name) for name in wanted._parameters if self._hands_on(name)}
        return wanted(**(shared | kwargs))

    def _hands_on(self, name: str) -> bool:
        if name in self._parameters:
            return True
        # `table` or `priority`, which every task of a kind has, says nothing about another task's parameter
        ours = (base for base in type(self).__mro__ if base.__module__.partition(".")[0] == "etlctl")
        return hasattr(self, name) and not any(name in vars(base) for base in ours)

    # -- identity

    @property
    def task_id(self) -> str:
        """Luigi's id: `Family_first_three_values_0123456789`, so that marker rows written by Luigi stay valid.

        Source: luigi/task.py, `task_id_str`: the first 16 characters of the first three values in alphabetical order
        of names, then ten hex digits of the MD5 of the significant public parameters as JSON.
        """
        found: str | None = self.__dict__.get("_task_id")
        if found is None:
            found = task_id_of(self.task_family, self._identity(), self._identity_json())
            self.__dict__["_task_id"] = found
        return found

    @property
    def update_key(self) -> str:
        """SHA-256 (hex) of family and significant public parameters: the whole of what `task_id` keeps 40 bits of."""
        return update_key_of(self.task_family, self._identity_json())

    @property
    def task_label(self) -> str:
        """Short, printable name of this task on a screen: `LoadFlights(2013-01-02)`, `Cut(2013-01-02, origin=EWR)`.

        The first parameter stands without its name; one that is at its fixed default is left out.
        """
        found: str | None = self.__dict__.get("_task_label")
        if found is None:
            found = self.__dict__["_task_label"] = self._made_label()
        return found

    def _made_label(self) -> str:
        words = []
        for index, (name, parameter) in enumerate(self._parameters.items()):
            value = self.__dict__[name]
            if (
                parameter.significant
                and parameter.visibility is not ParameterVisibility.PRIVATE
                and not parameter.is_at_fixed_default(value)
            ):
                text = printable(parameter.serialize(value))
                words.append(text if index == 0 else f"{name}={text}")
        return f"{printable(self.task_family)}({shortened(', '.join(words), 72)})"

    def _identity(self) -> tuple[str, ...]:
        """The texts of the significant public parameters, by alphabet of their names."""
        values = self.__dict__
        found: tuple[str, ...] | None = values.get("_identity_values")
        if found is None:
            found = tuple([parameter.serialize(values[name]) for name, parameter in self._identifying.items()])
            values["_identity_values"] = found
        return found

    def _identity_json(self) -> str:
        """Both ids are made from it."""
        found: str | None = self.__dict__.get("_identity_text")
        if found is None:
            found = self.__dict__["_identity_text"] = as_json(self._identity_form, self._identity())
        return found

    def __hash__(self) -> int:
        values = self.__dict__
        found: int | None = values.get("_hash")
        if found is None:
            found = values["_hash"] = hash((self.task_family, self._identity()))
        return found

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(self) is type(other) and self._identity() == other._identity()

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={parameter.serialize(self.__dict__[name])}"
            for name, parameter in self._parameters.items()
            if parameter.significant and parameter.visibility is not ParameterVisibility.PRIVATE
        )
        return f"{self.task_family}({shown})"

    @classmethod
    def completeness(cls) -> Completeness:
        """Who answers `complete()` for this class."""
        if cls.complete is Task.complete:
            return Completeness.OUTPUTS
        return Completeness.REQUIREMENTS if cls.complete is WrapperTask.complete else Completeness.OWN

    @property
    def is_external(self) -> bool:
        """True for a task that etlctl cannot run: its result comes from elsewhere."""
        return self.run is None


class ExternalTask(Task):
    """Something made elsewhere: a file that a feed delivers. It has outputs and no `run()`."""

    run: Any = None


class WrapperTask(Task):
    """Nothing but requirements under one name; complete when all of them are."""

    def complete(self) -> bool:
        """Whether every requirement is complete."""
        return all(requirement.complete() for requirement in requirements_of(self))


class DynamicRequirements:
    """What a run() may yield in place of bare tasks, with a cheaper way to tell that all are complete (Luigi's)."""

    def __init__(self, requirements: Any, custom_complete: Callable[[Any], bool] | None = None) -> None:
        self.requirements = requirements
        self.custom_complete = custom_complete


# -- decorators


def inherits(*tasks: type[Task], **named: type[Task]) -> Callable[[type[T]], type[T]]:
    """Gives the class the parameters of `tasks` that it has not itself, `clone_parent()` and `clone_parents()`.

    With one task `clone_parents()` is a list of one; with names it is a dict by name.
    """
    if tasks and named:
        raise TypeError("inherits and requires take tasks by position or by name, not both")
    parents: list[type[Task]] = [*tasks, *named.values()]
    if not parents or not all(isinstance(parent, type) and issubclass(parent, Task) for parent in parents):
        raise TypeError("inherits and requires take task classes: @requires(LoadFlights), without parentheses")

    def decorate(cls: type[T]) -> type[T]:
        for parent in parents:
            for name, parameter in parent.get_params():
                if not hasattr(cls, name):
                    setattr(cls, name, parameter)
        cls._collect_parameters()

        def clone_parent(self: Task, **kwargs: Any) -> Any:
            return self.clone(parents[0], **kwargs)

        def clone_parents(self: Task, **kwargs: Any) -> Any:
            if named:
                return {name: _cloned(self, parent, kwargs) for name, parent in named.items()}
            return [_cloned(self, parent, kwargs) for parent in parents]

        cls.clone_parent = clone_parent  # type: ignore[attr-defined]  # what Luigi's decorator adds
        cls.clone_parents = clone_parents  # type: ignore[attr-defined]  # what Luigi's decorator adds
        return cls

    return decorate


def _cloned(task: Task, parent: type[Task], kwargs: dict[str, Any]) -> Any:
    return task.clone(parent, **{name: value for name, value in kwargs.items() if name in parent._parameters})


def requires(*tasks: type[Task], **named: type[Task]) -> Callable[[type[T]], type[T]]:
    """`inherits`, and a `requires()` that returns the cloned parents: one task, a list, or a dict by name."""
    inherit = inherits(*tasks, **named)

    def decorate(cls: type[T]) -> type[T]:
        cls = inherit(cls)
        single = len(tasks) == 1 and not named

        def required(self: Any) -> Any:
            return self.clone_parent() if single else self.clone_parents()

        cls.requires = required  # type: ignore[method-assign]  # the whole point of the decorator
        return cls

    return decorate


def externalize(task: Any) -> Any:
    """The same task (or class) without its run(): etlctl waits for its outputs instead of making them."""
    if isinstance(task, type) and issubclass(task, Task):
        twin: Any = type(task.__name__, (task,), {"run": None, "__module__": task.__module__, "is_twin": True})
        twin.task_family = task.task_family
        return twin
    twin = copy(task)
    twin.run = None
    return twin


# -- structures of tasks and targets


def flatten(structure: Any) -> list[Any]:
    """The leaves of nested lists, tuples, sets, generators and dict values, in order; None is no leaf."""
    found: list[Any] = []
    _add_leaves(structure, found)
    return found


def _add_leaves(structure: Any, found: list[Any]) -> None:
    if structure is None:
        return
    if not isinstance(structure, list):  # most are; to ask whether it is a Mapping takes far longer
        if isinstance(structure, (Task, str, bytes, type)) or not hasattr(type(structure), "__iter__"):
            found.append(structure)
            return
        if isinstance(structure, Mapping):
            structure = structure.values()
    for part in structure:
        if isinstance(part, Task):
            found.append(part)
        else:
            _add_leaves(part, found)


def requirements_of(task: Task) -> list[Task]:
    """The direct requirements, each once, in order. Raises BrokenTaskError for anything that is not a task."""
    return tasks_in(task.requires(), task, "requires() returned")


def tasks_in(structure: Any, task: Task, said: str) -> list[Task]:
    """The tasks of a structure, each once, in order; for anything else a BrokenTaskError: `task`.`said` …"""
    if isinstance(structure, Task):
        return [structure]
    leaves = flatten(structure)
    for leaf in leaves:
        if not isinstance(leaf, Task):
            raise BrokenTaskError(f"{task.task_label}.{said} {_what(leaf)}")
    return list(dict.fromkeys(leaves))


def outputs_of(task: Task) -> list[Any]:
    """The declared targets as a flat list. Raises BrokenTaskError for anything that has no `exists()`."""
    targets = flatten(task.output())
    for target in targets:
        if isinstance(target, type) or not callable(getattr(target, "exists", None)):
            raise BrokenTaskError(
                f"{task.task_label}.output() returned {shortened(repr(target))}, which is no target; "
                "return a LocalTarget, a TableTarget, or a list or dict of targets."
            )
    return targets


def materialized(structure: Any) -> Any:
    """`structure` with every generator in it turned into a list, so that it can be walked more than once."""
    if isinstance(structure, (Task, list)):  # most are; to ask whether it is a Mapping takes far longer
        return structure if isinstance(structure, Task) else [materialized(part) for part in structure]
    if isinstance(structure, Mapping):
        return {key: materialized(part) for key, part in structure.items()}
    if isinstance(structure, tuple):
        return tuple(materialized(part) for part in structure)
    return [materialized(part) for part in structure] if isinstance(structure, Iterator) else structure


def outputs_like(structure: Any) -> Any:
    """The same nested structure with each task replaced by its `output()` (Luigi's `getpaths`)."""
    if isinstance(structure, Task):
        return structure.output()
    if structure is None:
        return []
    if isinstance(structure, Mapping):
        return {key: outputs_like(part) for key, part in structure.items()}
    if isinstance(structure, tuple):
        return tuple(outputs_like(part) for part in structure)
    if isinstance(structure, Iterable) and not isinstance(structure, (str, bytes)):
        return [outputs_like(part) for part in structure]
    raise BrokenTaskError(f"requires() returned {_what(structure)}")


def _what(leaf: Any) -> str:
    if isinstance(leaf, type) and issubclass(leaf, Task):
        first = next(iter(leaf._parameters), "")
        return f"the class {leaf.__name__}; return a task, {leaf.__name__}({first + '=…' if first else ''})."
    return f"{shortened(repr(leaf))} ({type(leaf).__name__}), which is no task."
