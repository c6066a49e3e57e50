"""What a task class declares beyond its parameters: where it stands, what it loads, what its query says and reads.

Read off the class, and off a task of it where one could be made; nothing is asked of a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlctl.core.registry import place_of_class
from etlctl.core.task import Task, outputs_of, requirements_of
from etlctl.core.text import snake_case

_OURS = "etlctl."


@dataclass(frozen=True)
class Declared:
    """One class, told."""

    cls: type[Task]
    place: str
    """`/path/flights.py:41`."""
    docstring: str
    bases: tuple[str, ...]
    table: str | None
    connection: str | None
    mode: str | None
    columns: Mapping[str, str]
    query: str | None
    query_file: str | None
    reads: tuple[str, ...]
    requires: tuple[str, ...] | None
    """Families; None where only a task could tell and none could be made."""
    outputs: tuple[str, ...] | None
    trouble: str = ""
    """Why requires() or output() could not be told, when they raised."""


def declared(cls: type[Task], task: Task | None, default_connection: str) -> Declared:
    """What `cls` declares; `task` is one of it, when its parameters are known."""
    of: Any = cls if task is None else task
    table = _text(of, "table")
    query, query_file = query_of(cls)
    requires, outputs, trouble = _asked(task)
    loads = table is not None or query is not None
    return Declared(
        cls=cls,
        place=place_of_class(cls),
        docstring=_docstring(cls),
        bases=tuple(base.__name__ for base in cls.__mro__[1:] if issubclass(base, Task)),
        table=table,
        connection=(_text(of, "connection") or default_connection) if loads else None,
        mode=_mode(of) if table is not None else None,
        columns=_columns(of),
        query=query,
        query_file=query_file,
        reads=tables_read(query) if query is not None else (),
        requires=requires,
        outputs=outputs,
        trouble=trouble,
    )


def query_of(cls: type[Task]) -> tuple[str | None, str | None]:
    """The text of the class's query and its file; None twice for a class without one."""
    query = getattr(cls, "query", None)
    if isinstance(query, str):
        return _from_file(cls, query) if query.endswith(".sql") else (query, None)
    if not hasattr(cls, "query"):
        return None, None
    return _from_file(cls, f"{snake_case(cls.__name__)}.sql")


def tables_read(query: str) -> tuple[str, ...]:
    """Names of the tables that a query reads; empty for a text that cannot be read as SQL."""
    from etlctl.loads import sqltext

    find: Callable[[str], Iterable[str]] | None = getattr(sqltext, "table_names", None)
    if find is None:
        return ()
    try:
        return tuple(dict.fromkeys(find(query)))
    except Exception:  # noqa: BLE001  a text that is no SQL: the load itself says so, with its place
        return ()


def _from_file(cls: type[Task], name: str) -> tuple[str | None, str | None]:
    place = Path(place_of_class(cls).rpartition(":")[0]).parent / name
    try:
        return place.read_text(encoding="utf-8"), str(place)
    except (OSError, UnicodeDecodeError):
        return None, None


def _asked(task: Task | None) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, str]:
    if task is None:
        return None, None, ""
    requires: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    trouble = ""
    try:
        requires = tuple(dict.fromkeys(one.task_family for one in requirements_of(task)))
        outputs = tuple(str(target) for target in outputs_of(task))
    except Exception as error:  # noqa: BLE001  users' code; what was told before it raised is shown
        trouble = f"{type(error).__name__}: {error}"
    return requires, outputs, trouble


def _docstring(cls: type[Task]) -> str:
    import inspect

    doc = vars(cls).get("__doc__")
    return inspect.cleandoc(doc) if doc else ""


def _text(of: Any, name: str) -> str | None:
    try:
        value = getattr(of, name, None)
    except Exception:  # noqa: BLE001  a user's property
        return None
    return value if isinstance(value, str) else None


def _mode(of: Any) -> str | None:
    mode = getattr(of, "mode", None)
    return None if mode is None else str(getattr(mode, "__name__", None) or mode)


def _columns(of: Any) -> Mapping[str, str]:
    columns = getattr(of, "columns", None)
    if isinstance(columns, Mapping):
        return {str(name): str(kind) for name, kind in columns.items()}
    return {}
