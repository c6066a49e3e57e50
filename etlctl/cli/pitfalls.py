"""What a task class declares that would lose data without an error; told by `list` and `show`, refused by nothing here.

The gotcha of a load: it is done by its update_id. Where that is the same for two tasks that load different rows, the
first to run hides the other. Cheap enough for every class of a project: a query is read only where it can matter.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from etlctl.core.parameters import ParameterVisibility
from etlctl.core.task import Task
from etlctl.text import printable, shortened

_LOADS = "etlctl.loads.base"


def pitfall(cls: type[Task]) -> str | None:
    """The sentence, with how to mend it; None where there is nothing to tell."""
    if not _is_load(cls):
        return None
    given = getattr(cls, "update_id", None)
    if isinstance(given, str):
        return _constant_id(given, [name for name, one in cls.get_params() if one.significant])
    if not _has_default_id(cls):
        return None  # a property, a method or a parameter: only its author knows what it depends on
    return _left_out([name for name in _unidentified(cls) if name in _read(cls)])


def _constant_id(given: str, names: Sequence[str]) -> str | None:
    if not names:
        return None
    first = names[0]
    return (
        f"update_id is {printable(shortened(repr(given)))} whatever {_listed(names)} {_is(names)}, so only the "
        f"first of its tasks loads. Leave update_id out, or make it a property with self.{first} in it."
    )


def _left_out(names: Sequence[str]) -> str | None:
    if not names:
        return None
    return (
        f"what it loads depends on {_listed(names)}, which {_is(names)} not in its update_id, so only the first "
        f"of its tasks loads. Make {_listed(names)} significant and public, or give it an update_id with "
        f"self.{names[0]} in it."
    )


def _unidentified(cls: type[Task]) -> list[str]:
    """Parameters that are not in the task_id: those not significant, and private ones."""
    return [
        name
        for name, one in cls.get_params()
        if not one.significant or one.visibility is not ParameterVisibility.PUBLIC
    ]


def _read(cls: type[Task]) -> set[str]:
    """Names that the rows are made with: those of the query, and of `values`."""
    from etlctl.cli.declared import query_text
    from etlctl.db.sqltext import parameters
    from etlctl.errors import QueryError

    values = getattr(cls, "values", None)
    found = {one for one in values.values() if isinstance(one, str)} if isinstance(values, Mapping) else set()
    text, place = query_text(cls, None)
    if text is not None:
        try:
            found.update(parameters(text, place=place or "query"))
        except QueryError:
            return found  # the load itself says where its text ends too early
    return found


def _is_load(cls: type[Task]) -> bool:
    base = getattr(sys.modules.get(_LOADS), "MarkedLoad", None)  # not imported: then no class can be one
    return base is not None and issubclass(cls, base)


def _has_default_id(cls: type[Task]) -> bool:
    owner = next((base for base in cls.__mro__ if "update_id" in vars(base)), None)
    return owner is not None and owner.__module__ == _LOADS


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
