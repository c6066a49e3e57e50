"""Torn loads, for the person who has looked at their rows: which of some tasks' markers are torn, and their mending.

A marker is torn when it says `loading` and was committed: something ended the load's transaction in the middle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etlctl.core.task import outputs_of
from etlctl.db import audit, markers
from etlctl.db.markers import LOADING, Marker, MarkerKey
from etlctl.db.table_target import TableTarget
from etlctl.errors import LoadError, UsageError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.core.task import Task
    from etlctl.db.connections import Database


@dataclass(frozen=True)
class Torn:
    """A marker of a task that says `loading`, and was committed."""

    task: Task
    database: Database
    key: MarkerKey
    marker: Marker


def torn_of(tasks: Sequence[Task]) -> list[Torn]:
    """The torn markers of `tasks`, each of which must have one. Writes nothing.

    UsageError names those that have none: there is nothing to resolve, and what is done must not be touched.
    """
    targets = {task: _targets_of(task) for task in tasks}
    found = _found([target for several in targets.values() for target in several])
    torn: list[Torn] = []
    for task, several in targets.items():
        there = [(target, found.get((id(target.database), *target.key.pair))) for target in several]
        mine = [
            Torn(task, target.database, target.key, marker)
            for target, marker in there
            if marker is not None and marker.is_torn
        ]
        if not mine:
            raise UsageError(_not_torn(task, is_done=any(marker for _, marker in there)))
        torn.extend(mine)
    return torn


def _targets_of(task: Task) -> list[TableTarget]:
    targets = [target for target in outputs_of(task) if isinstance(target, TableTarget)]
    if not targets:
        raise UsageError(
            f"{task.task_label} has no marker: its output is no table. Name the load whose marker is torn."
        )
    return targets


def _not_torn(task: Task, *, is_done: bool) -> str:
    if is_done:
        return (
            f"{task.task_label}: its marker is done, so there is nothing to resolve; "
            "`etlctl build --force` loads it again."
        )
    return f"{task.task_label} has no marker, so there is nothing to resolve; `etlctl build` loads it."


def _found(targets: Sequence[TableTarget]) -> dict[tuple[int, str, str], Marker]:
    """The markers of these targets by database, update_id and table: one question a database."""
    ids: dict[int, set[str]] = defaultdict(set)
    databases = {id(target.database): target.database for target in targets}
    for target in targets:
        ids[id(target.database)].add(target.update_id)
    found = {}
    for which, database in databases.items():
        if database.is_absent:
            continue
        with database.reading(f"reading markers in {database.marker_table} on {database.name}") as connection:
            for pair, marker in markers.read(connection, database, ids[which]).items():
                found[which, *pair] = marker
    return found


def resolve(torn: Sequence[Torn], *, as_loaded: bool) -> None:
    """The markers become `done`, their number of rows unknown, or are deleted; one transaction for each database.

    LoadError, and nothing is changed in that database, where one is not torn any more.
    """
    databases = {id(one.database): one.database for one in torn}
    for which, database in databases.items():
        doing = f"resolving torn loads in {database.marker_table} on {database.name}"
        markers.ensure(database, doing)
        audit.ensure(database, doing)
        with database.writing(doing) as connection:
            for one in torn:
                if id(one.database) == which:
                    _resolve(connection, database, one, doing, as_loaded=as_loaded)


def _resolve(connection: sa.Connection, database: Database, torn: Torn, doing: str, *, as_loaded: bool) -> None:
    table, key = markers.marker_table(database), torn.key
    owner = torn.marker.owner
    this = [
        table.c.update_id == key.update_id,
        table.c.target_table == key.target_table,
        table.c.state == LOADING,
        # another owner's is another load, which this person has not looked at
        table.c.owner.is_(None) if owner is None else table.c.owner == owner,
    ]
    values: dict[str, Any] = {"state": markers.DONE, "row_count": None}
    if "loading" in table.c:
        values["loading"] = None
    statement = table.update().where(*this).values(values) if as_loaded else table.delete().where(*this)
    if connection.execute(statement).rowcount != 1:
        raise LoadError(
            f"{doing}: the marker {shortened(key.update_id, 120)!r} of {shortened(key.target_table)} is not the torn "
            "one any more; somebody else has resolved it. Nothing was changed."
        )
    detail = "loaded" if as_loaded else "absent"
    audit.write(connection, database, audit.Entry(audit.RESOLVE, key, owner, detail=detail))
