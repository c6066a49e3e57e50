"""What a task's queries may name: its parameters, and its other public attributes; binds nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

from etlctl.core.task import Task


class QueryValues(Mapping[str, Any]):
    """Values by name, for `sqltext.bind`: lists the parameters, and finds attributes and properties besides.

    Methods and names with a leading underscore are not found. A parameter whose value no database knows (an Enum, a
    timedelta, a dictionary) comes as the text that the command line takes for it.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._parameters = dict(task.get_params())

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or name.startswith("_"):
            return False
        if name in self._parameters:
            return True
        # looked up in the class, so that a property is not computed just to see whether it is there
        declared = getattr(type(self._task), name, None)
        return name in vars(self._task) or (hasattr(type(self._task), name) and not callable(declared))

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        value = getattr(self._task, name)
        parameter = self._parameters.get(name)
        return value if parameter is None or _is_known(value) else parameter.serialize(value)


def query_values(task: Task) -> QueryValues:
    """The values that a query of `task` may name as `:name`."""
    return QueryValues(task)


def _is_known(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(_is_known(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str, bytes, Decimal, date, time))
