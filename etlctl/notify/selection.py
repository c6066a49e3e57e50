"""Which tasks and which results a notifier is told of."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol

from etlctl.core.results import Status
from etlctl.core.task import Task

RECOVERED, INTERRUPTED, DEADLINE, ALERT = "recovered", "interrupted", "deadline", "alert"
BAD = (Status.FAIL, Status.BLOCKED, Status.HELD)
"""What is remembered once told, and not told again for a while."""
_OF_RESULTS = tuple(status.lower() for status in Status if status is not Status.SKIP)
WORDS = (*_OF_RESULTS, RECOVERED, INTERRUPTED, DEADLINE, ALERT)
"""What `on` of a notifier may hold. SKIP is not among them: it follows from a failure that is told."""


class _Chosen(Protocol):
    @property
    def on(self) -> Iterable[str]: ...
    @property
    def tasks(self) -> Iterable[str]: ...
    @property
    def tags(self) -> Iterable[str]: ...


class Selection(NamedTuple):
    """The choice of one notifier. Tasks and tags must both hold where both are given."""

    on: frozenset[str]
    """Words of WORDS."""
    tasks: tuple[str, ...] = ()
    """Patterns with * ? [] for a family (`Load*`), a label or an id; empty for all."""
    tags: frozenset[str] = frozenset()
    """One of them is enough; empty for all."""

    @classmethod
    def of(cls, settings: _Chosen) -> Selection:
        """The choice that the settings of a notifier make."""
        return cls(frozenset(settings.on), tuple(settings.tasks), frozenset(settings.tags))

    @property
    def is_of_all(self) -> bool:
        """Whether it leaves out no task."""
        return not self.tasks and not self.tags

    def takes(self, task: Task) -> bool:
        """Whether the notifier is to hear of `task`."""
        if self.tags and self.tags.isdisjoint(_tags_of(task)):
            return False
        if not self.tasks:
            return True
        names = (task.task_family, task.task_label, task.task_id)
        return any(fnmatchcase(name, pattern) for pattern in self.tasks for name in names)


def _tags_of(task: Task) -> tuple[str, ...]:
    try:
        tags: Any = task.tags
        return (tags,) if isinstance(tags, str) else tuple(str(tag) for tag in tags or ())
    except Exception:  # noqa: BLE001  a property of the user's: such a task has no tags to be chosen by
        return ()
