"""What can be told of a task class without making a task."""

from __future__ import annotations

from etlctl.core.task import Task


def first_line(cls: type[Task]) -> str:
    """First line of the class's own docstring; empty without one."""
    doc = vars(cls).get("__doc__") or ""
    return str(doc).strip().split("\n")[0].strip()


def tags_of(cls: type[Task]) -> list[str]:
    """The tags of a class; none where they are a property, which only a task can answer."""
    tags = cls.tags
    if isinstance(tags, str):
        return [tags]
    return [str(tag) for tag in tags] if isinstance(tags, (list, tuple, set, frozenset)) else []
