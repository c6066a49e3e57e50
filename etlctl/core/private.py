"""Takes secrets out of what an exception says: those of the settings in force, and what private parameters hold.

An exception of users' code, or of a library below it, may quote anything. Whoever makes a sentence or a traceback of
one for a screen, a log or the history passes it through `hidden`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.core.parameters import ParameterVisibility
from etlctl.errors import UsageError

if TYPE_CHECKING:
    from etlctl.core.task import Task

_NO_SECRETS = ("", "None", "True", "False")


def hidden(text: str, *tasks: Task, also: Collection[str] = ()) -> str:
    """`text` with `***` for each secret of the settings in force, for each private value of `tasks` and `[params]`, and
    for what `also` holds.

    Outside of any app nothing is known, and the text comes back as it is.
    """
    try:
        around = context.in_place()
    except UsageError:  # several projects are open: none is ours to tell, and the error at hand matters more
        return text
    if around is None or not text:
        return text
    return around.mask(text, private_values(tasks) | _private_params(around.params) | set(also))


def private_values(tasks: Iterable[Task]) -> set[str]:
    """What parameters of `tasks` hold that are declared private, as texts."""
    found: set[str] = set()
    for task in tasks:
        for name, parameter in task._parameters.items():
            if parameter.visibility is ParameterVisibility.PRIVATE and name in task.__dict__:
                value = task.__dict__[name]
                found |= {parameter.serialize(value), str(value)}
    return found.difference(_NO_SECRETS)


def private_given(cls: type[Task], values: Mapping[str, Any]) -> set[str]:
    """What `values`, by the names of parameters, hold for private ones of a task that is not made yet, as texts."""
    found: set[str] = set()
    for name, parameter in cls.get_params():
        if parameter.visibility is ParameterVisibility.PRIVATE and name in values:
            found.add(str(values[name]))
            with suppress(Exception):  # of another kind than the parameter's: then it has no text but its own
                found.add(parameter.serialize(values[name]))
    return found.difference(_NO_SECRETS)


def _private_params(params: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """What `[params]` of the settings say of parameters that a class known by now declares private."""
    if not params:
        return set()
    from etlctl.core.parametrized import Parametrized
    from etlctl.core.registry import below

    found = {
        str(value)
        for cls in below(Parametrized)
        if cls.task_family in params
        for name, parameter in cls.get_params()
        if parameter.visibility is ParameterVisibility.PRIVATE
        and (value := params[cls.task_family].get(name)) is not None
    }
    return found.difference(_NO_SECRETS)
