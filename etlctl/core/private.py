"""Takes secrets out of what an exception says: those of the settings in force, and what private parameters hold.

An exception of users' code, or of a library below it, may quote anything. Whoever makes a sentence or a traceback of
one for a screen, a log or the history passes it through `hidden`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.core.parameters import ParameterVisibility
from etlctl.errors import UsageError

if TYPE_CHECKING:
    from etlctl.core.parametrized import Parametrized
    from etlctl.core.task import Task

_NO_SECRETS = ("", "None", "True", "False")
_LEAST_INSIDE = 4
"""A shorter part of a value would be found everywhere."""


def hidden(text: str, *tasks: Task, also: Collection[str] = ()) -> str:
    """`text` with `***` for each secret of the settings in force, for each private value of `tasks`, of `[params]` and
    of schedules, and for what `also` holds.

    Outside of any app nothing is known, and the text comes back as it is.
    """
    try:
        around = context.in_place()
    except UsageError:  # several projects are open: none is ours to tell, and the error at hand matters more
        return text
    if around is None or not text:
        return text
    return around.mask(text, private_values(tasks) | private_told(around.params, around.given) | set(also))


def private_values(tasks: Iterable[Task]) -> set[str]:
    """What parameters of `tasks` hold that are declared private, as texts."""
    return {text for task in tasks for text in private_given(type(task), task.__dict__)}


def private_given(cls: type[Parametrized], values: Mapping[str, Any]) -> set[str]:
    """What `values`, by the names of parameters, hold for private ones of `cls`, as texts: all of one, and what is in
    it."""
    found: set[str] = set()
    for name, parameter in cls.get_params():
        if parameter.visibility is ParameterVisibility.PRIVATE and name in values:
            found.update(_texts_in(values[name]))
            with suppress(Exception, SystemExit):  # a user's; or the value is of another kind than the parameter's
                found.add(parameter.serialize(values[name]))
    return found.difference(_NO_SECRETS)


def _texts_in(value: Any, least: int = 0) -> Iterator[str]:
    with suppress(Exception, SystemExit):  # a user's own kind
        text = str(value)
        if len(text) >= least:
            yield text
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple, set)) else ()
    for one in inside:
        yield from _texts_in(one, _LEAST_INSIDE)


def private_told(
    params: Mapping[str, Mapping[str, Any]], given: Iterable[tuple[Collection[str], Mapping[str, Any]]]
) -> set[str]:
    """What settings say of parameters that a class known by now declares private, as texts: `params` by family, and
    what schedules give to some families each."""
    told = [((family,), values) for family, values in params.items()] + [one for one in given if one[1]]
    if not told:
        return set()
    from etlctl.core.parametrized import Parametrized
    from etlctl.core.registry import below

    classes: dict[str, list[type[Parametrized]]] = {}
    for cls in below(Parametrized):
        classes.setdefault(cls.task_family, []).append(cls)
    of = ((cls, values) for families, values in told for family in families for cls in classes.get(family, ()))
    return {text for cls, values in of for text in private_given(cls, values)}
