"""What a task class declares beyond its parameters: where it stands, what it loads, what its query says and reads.

Read off the class, and off a task of it where one could be made; nothing is asked of a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from etlctl.core.daytime import deadline_of
from etlctl.core.private import hidden
from etlctl.core.registry import place_of_class
from etlctl.core.task import Task, outputs_of, requirements_of
from etlctl.errors import QueryError

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
    values: Mapping[str, str]
    """Column -> the parameter or attribute it takes, or the value as Python writes it."""
    null_values: tuple[str, ...] | None
    """The texts that mean NULL; None for a class that reads no text."""
    deadline: str | None
    """`07:00`, by when a loop wants it done."""
    checks: tuple[str, ...]
    redshift: str | None
    """`distkey='carrier', sortkey='date'`, where it says how Redshift keeps its table."""
    query: str | None
    query_place: str | None
    """`pipelines/carrier_delays.sql`, or the class it stands in."""
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
    query, place = query_text(cls, task)
    requires, outputs, trouble = _asked(task)
    loads = table is not None or query is not None
    return Declared(
        cls=cls,
        place=place_of_class(cls),
        docstring=_docstring(cls),
        bases=_bases(cls),
        table=table,
        connection=(_text(of, "connection") or default_connection) if loads else None,
        mode=_mode(of) if table is not None else None,
        columns=_columns(of),
        values=_values(of) if table is not None else {},
        null_values=_null_values(of) if table is not None else None,
        deadline=_deadline(of),
        checks=_checks(of) if table is not None else (),
        redshift=_redshift(of) if table is not None else None,
        query=query,
        query_place=place,
        reads=(*_reads(query), *filter(None, (_text(of, "source_table"),))),
        requires=requires,
        outputs=outputs,
        trouble=trouble,
    )


def query_text(cls: type[Task], task: Task | None) -> tuple[str | None, str | None]:
    """The text of the class's query and its place; None twice for a class without one."""
    if not hasattr(cls, "query"):
        return None, None
    from etlctl.loads.queryfile import query_of

    try:
        found = query_of(cls.__new__(cls) if task is None else task)  # it looks at the class; no parameter is read
    except Exception:  # noqa: BLE001  no file, or a property that needs parameters: the load itself says so
        return None, None
    return found.text, found.place


def _reads(query: str | None) -> tuple[str, ...]:
    from etlctl.loads.tablenames import tables_read

    try:
        return tables_read(query) if query is not None else ()
    except QueryError:  # a text that is no SQL: the load itself says so, with its place
        return ()


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
        trouble = hidden(f"{type(error).__name__}: {error}")
    return requires, outputs, trouble


def _bases(cls: type[Task]) -> tuple[str, ...]:
    """The task classes it comes from that a user can name: the user's own and those of `from etlctl import …`."""
    import etlctl

    ours = set(etlctl.__all__)
    bases = [base for base in cls.__mro__[1:] if issubclass(base, Task)]
    return tuple(base.__name__ for base in bases if not base.__module__.startswith(_OURS) or base.__name__ in ours)


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


def _deadline(of: Any) -> str | None:
    try:
        return deadline_of(of)
    except Exception:  # noqa: BLE001  a user's property
        return None


def _mode(of: Any) -> str | None:
    """`replace_where('date')`; the default one where the class has modes and names none."""
    mode = getattr(of, "mode", None)
    if mode is None and hasattr(of, "load_mode"):
        from etlctl.loads import modes
        from etlctl.loads.incremental import Incremental

        is_window = issubclass(of if isinstance(of, type) else type(of), Incremental)
        mode = modes.ReplaceWindow(str(of.cursor)) if is_window else modes.default_mode(of.values)
    return None if mode is None else str(mode)


def _values(of: Any) -> Mapping[str, str]:
    values = getattr(of, "values", None)
    if not isinstance(values, Mapping):
        return {}
    return {str(name): value if isinstance(value, str) else repr(value) for name, value in values.items()}


def _null_values(of: Any) -> tuple[str, ...] | None:
    words = getattr(of, "null_values", None)
    if isinstance(words, str):
        return (words,)
    return tuple(word for word in words if isinstance(word, str)) if isinstance(words, (list, tuple)) else None


def _checks(of: Any) -> tuple[str, ...]:
    """`unique(carrier, flight)`, and what is not as it usually is: `(warn)`, `(table)`."""
    checks = getattr(of, "checks", None)
    if not isinstance(checks, (list, tuple)):
        return ()
    return tuple(f"{check}{_unusual(check)}" for check in checks)


def _unusual(check: Any) -> str:
    usual = (("severity", "error"), ("scope", "load"))
    words = [str(value) for name, normal in usual if (value := getattr(check, name, normal)) != normal]
    return f" ({', '.join(words)})" if words else ""


def _redshift(of: Any) -> str | None:
    said = getattr(of, "redshift", None)
    if not is_dataclass(said) or isinstance(said, type):
        return None
    given = ((one.name, getattr(said, one.name)) for one in fields(said))
    usual = type(said)()
    return ", ".join(f"{name}={value!r}" for name, value in given if value != getattr(usual, name)) or None


def _columns(of: Any) -> Mapping[str, str]:
    columns = getattr(of, "columns", None)
    if isinstance(columns, Mapping):
        return {str(name): str(kind) for name, kind in columns.items()}
    if isinstance(columns, (list, tuple)):  # SQLAlchemy columns, or Luigi's pairs of a name and a type
        pairs = (one if isinstance(one, (list, tuple)) else (one.name, one.type) for one in columns)
        return {str(pair[0]): str(pair[1]) for pair in pairs}
    return {}
