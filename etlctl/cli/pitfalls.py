"""What a task class declares that would lose data without an error; told by `list` and `show`, refused by nothing here.

The gotcha of a load: it is done by its update_id. Where that is the same for two tasks that load different rows, the
first to run hides the other. Cheap enough for every class of a project: a query is read only where it can matter.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

from etlctl.core.parameters import ParameterVisibility
from etlctl.core.task import Task
from etlctl.text import printable, shortened

_OURS = "etlctl."
_LOADS = "etlctl.loads.base"
_INCREMENTAL = "etlctl.loads.incremental"


def pitfall(cls: type[Task]) -> str | None:
    """The sentence, with how to mend it; None where there is nothing to tell."""
    if not _is_load(cls):
        return None
    if _is_incremental(cls) and not any(_is_date(one) for _, one in cls.get_params()):
        return _without_date(cls)
    given = getattr(cls, "update_id", None)
    if isinstance(given, str):
        identified = [name for name, one in cls.get_params() if one.significant]
        return _constant_id(given, identified or _depended_on(cls))
    if not _has_default_id(cls):
        return None  # a property, a method or a parameter: only its author knows what it depends on
    return _left_out(_depended_on(cls))


def _without_date(cls: type[Task]) -> str:
    return (
        f"{cls.__name__} is an Incremental without a date parameter, so it would run once and never again. Give it "
        "date = DateParameter(), and build it for each day."
    )


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


def _depended_on(cls: type[Task]) -> list[str]:
    """Parameters that are not in the task_id, those not significant and private ones, and that the rows are made of."""
    named, used = _named(cls), _used(cls)
    return [
        name
        for name, one in cls.get_params()
        if (not one.significant or one.visibility is not ParameterVisibility.PUBLIC)
        and (name in named or (name in used and (_is_date(one) or name in _used_for_sql(cls))))
    ]


def _named(cls: type[Task]) -> set[str]:
    """Names that the rows are made with: those of the query, of `values`, and of the partition that is replaced."""
    from etlctl.cli.declared import query_text
    from etlctl.db.sqltext import parameters
    from etlctl.errors import QueryError
    from etlctl.loads.modes import ReplaceWhere

    values = getattr(cls, "values", None)
    found = {one for one in values.values() if isinstance(one, str)} if isinstance(values, Mapping) else set()
    mode = getattr(cls, "mode", None)
    if isinstance(mode, ReplaceWhere):
        found.update(mode.columns)
    text, place = query_text(cls, None)
    if text is not None:
        try:
            found.update(parameters(text, place=place or "query"))
        except QueryError:
            return found  # the load itself says so, where its text ends too early
    return found


_MAKES_SQL = ("query", "source_table")
_MAKES_ROWS = ("rows", "requires", "load", *_MAKES_SQL)


def _used(cls: type[Task]) -> set[str]:
    """Names of attributes that the class's own code for its rows reads; a date among them is what is loaded, while a
    number may well be the size of a batch."""
    return {name for method in _MAKES_ROWS for name in _names_in(_code_of(cls, method))}


def _used_for_sql(cls: type[Task]) -> set[str]:
    """The same of what makes the text of the query: whatever stands in it decides what is loaded."""
    return {name for method in _MAKES_SQL for name in _names_in(_code_of(cls, method))}


def _code_of(cls: type[Task], name: str) -> CodeType | None:
    """The code of a method or property that users wrote; None for anything else."""
    owner = next((base for base in cls.__mro__ if name in vars(base)), None)
    if owner is None or owner.__module__.startswith(_OURS):
        return None
    found = vars(owner)[name]
    function = found.fget if isinstance(found, property) else found
    return function.__code__ if isinstance(function, FunctionType) else None


def _names_in(code: CodeType | None) -> set[str]:
    """The names that a function and those defined inside it read."""
    if code is None:
        return set()
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def _is_date(parameter: Any) -> bool:
    from etlctl.core.parameters.dates import DateParameter
    from etlctl.core.parameters.instants import InstantParameter

    return isinstance(getattr(parameter, "inner", parameter), DateParameter | InstantParameter)


def _is_incremental(cls: type[Task]) -> bool:
    base = getattr(sys.modules.get(_INCREMENTAL), "Incremental", None)
    return base is not None and issubclass(cls, base)


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
