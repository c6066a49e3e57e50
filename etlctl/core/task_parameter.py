"""The parameter whose value is a task class; not among the other kinds, since it asks the registry above them."""

from __future__ import annotations

from typing import Any

from etlctl.core.parameters.base import Parameter, named_type
from etlctl.core.registry import find_class
from etlctl.errors import EtlctlError


class TaskParameter(Parameter[type[Any]]):
    """A task class, written by its family: the class name, behind its namespace."""

    _default_is_asked = False  # a class is callable, and so may be whatever wraps one

    @property
    def accepts(self) -> str:
        return "the name of a task"

    def parse(self, text: str) -> type[Any]:
        try:
            return self.normalize(find_class(text))
        except EtlctlError as error:
            raise ValueError(str(error)) from error

    def serialize(self, value: type[Any]) -> str:
        return str(value.task_family)

    def normalize(self, value: Any) -> type[Any]:
        if not isinstance(value, type):
            hint = "; give the class, not its name" if isinstance(value, str) else ""
            raise TypeError(f"{named_type(value)} is not a task class{hint}")
        if not isinstance(getattr(value, "task_family", None), str):
            raise TypeError(f"{value.__name__} is a class, but not of a task")
        return value
