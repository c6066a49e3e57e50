"""Pauses: what loops are not to begin for a while, on record with who, when and why. Functions of one transaction each.

A pause is of a family, of one task (its task_id), or of everything; it holds until it is resumed, and its row stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from etlctl.db.state import bulk
from etlctl.db.state.records import clean
from etlctl.db.state.rows import moment_of
from etlctl.db.state.store import Session

if TYPE_CHECKING:
    from etlctl.core.task import Task

EVERYTHING: Final = ""
_LOCK: Final = "etlctl:pauses"
_LONGEST_NAME: Final = 250
_LONGEST_REASON: Final = 2_000
_ACTIVE: Final = (
    "SELECT id, task, label, reason, paused_by, paused_at FROM etlctl_pauses "
    "WHERE resumed_at IS NULL AND (profile IS NULL OR profile = :profile) ORDER BY paused_at, id"
)
_RESUME: Final = "UPDATE etlctl_pauses SET resumed_at = :now, resumed_by = :by WHERE id IN :ids AND resumed_at IS NULL"


class Pause(NamedTuple):
    """One pause that holds."""

    task: str
    """A family, a task_id, or empty: everything."""
    reason: str
    """Empty where none was given."""
    by: str
    """`ann@etl-1`."""
    since: datetime
    """Aware, UTC, by the database's clock."""
    label: str = ""
    """`LoadFlights(2013-01-02)` of a task, else the family; empty for everything."""
    id: int = 0

    @property
    def shown(self) -> str:
        """What is paused, for people."""
        return self.label or self.task or "everything"

    @property
    def sentence(self) -> str:
        """`paused by ann@etl-1 since 2026-11-23 05:13 UTC: the feed is being moved`."""
        told = f"paused by {self.by} since {self.since:%Y-%m-%d %H:%M} UTC"
        return f"{told}: {self.reason}" if self.reason else told


def active(session: Session, profile: str | None) -> list[Pause]:
    """Those that hold in this profile, the oldest first; one that was given in no profile holds in all."""
    return [
        Pause(str(task), reason or "", by or "", moment_of(since), label or "", int(id_))
        for id_, task, label, reason, by, since in session.run(_ACTIVE, {"profile": profile})
    ]


def begin(session: Session, profile: str | None, task: str, label: str, *, reason: str, by: str) -> Pause:
    """Pauses `task`. One that is paused already stays so as it was; for a new reason a new record takes its place."""
    session.lock(_LOCK)
    name = clean(task, _LONGEST_NAME)
    told = clean(reason, _LONGEST_REASON)
    ours = [one for one in active(session, profile) if one.task == name]
    if ours and (not told or ours[-1].reason == told):
        return ours[-1]
    _end(session, ours, by)
    now = session.now()
    values = (profile, name, clean(label, _LONGEST_NAME), told, clean(by, _LONGEST_NAME), now)
    columns = ("profile", "task", "label", "reason", "paused_by", "paused_at")
    (number,) = bulk.insert_counted(session, "etlctl_pauses", dict.fromkeys(columns, bulk.PLAIN), [values])
    return Pause(name, told, values[4], moment_of(now), values[2], number)


def end(session: Session, profile: str | None, task: str, *, by: str) -> int:
    """Ends the pauses of `task` that hold in this profile; how many."""
    session.lock(_LOCK)
    return _end(session, [one for one in active(session, profile) if one.task == clean(task, _LONGEST_NAME)], by)


def _end(session: Session, pauses: Sequence[Pause], by: str) -> int:
    if not pauses:
        return 0
    given: dict[str, Any] = {"now": session.now(), "by": clean(by, _LONGEST_NAME), "ids": [one.id for one in pauses]}
    session.run(_RESUME, given)
    return session.rowcount


class Pauses:
    """Some pauses that hold at a moment, to be asked for each of many tasks."""

    def __init__(self, pauses: Iterable[Pause]) -> None:
        self._by_name: dict[str, Pause] = {}
        for one in pauses:
            self._by_name.setdefault(one.task, one)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def of(self, task: Task) -> Pause | None:
        """The pause that holds `task`: of everything, of its family, or of itself."""
        found = self._by_name
        if not found:
            return None
        return found.get(EVERYTHING) or found.get(task.task_family) or found.get(task.task_id[:_LONGEST_NAME])
