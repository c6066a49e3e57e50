"""What the tests of faults share: builds in this process or in a child that is hit, and what is then there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from functools import partial

from etlctl.core.results import RunSummary
from etlctl.core.task import Task
from torture import racers
from torture.checker import Ledger
from torture.places import Place
from torture.racers import Blow, Plan, Racer
from torture.rounds import product


def build(place: Place, *tasks: Task) -> RunSummary:
    """`etlctl build` of the tasks, in this process."""
    with place.app() as app:
        return app.build(list(tasks))


def started(place: Place, task: Task, plan: Plan | None = None, blow: Blow | None = None) -> Racer:
    """The same in a child process, which is hit."""
    return racers.start(partial(product, place.app(), task), plan, blow)


def wait_until_at(child: Racer, point: str) -> None:
    """Returns when it has come to that fault point."""
    while point not in child.points:
        assert child.read(), f"it ended before {point}; it was at {child.points}"


def ended(*children: Racer) -> list[int | None]:
    """Their exit statuses, once all have ended; the negative number of a signal."""
    racers.watch(children)
    return [child.status for child in children]


def faults(place: Place, *tasks: Task, done: bool) -> dict[str, list[str]]:
    """What the torture's judge finds wrong, by kind; nothing is {}. With `done`, all rows must be there."""
    numbered = {task.param_kwargs["part"]: task for task in tasks}
    expected: Collection[int] = numbered if done else ()
    with contextlib.closing(place.connect()) as connection:
        found = Ledger(numbered).judge(place, connection, expected)
    return {fault: said for fault, said in found.items() if said}


def rows_of(place: Place, table: str) -> int:
    """Rows in a table; 0 where there is none."""
    with contextlib.closing(place.connect()) as connection:
        if table not in place.tables(connection):
            return 0
        return int(place.ask(connection, f"SELECT count(*) FROM {table}")[0][0])


def execute(place: Place, *statements: str) -> None:
    """Runs and commits statements with the bare driver."""
    with contextlib.closing(place.connect()) as connection:
        for statement in statements:
            place.ask(connection, statement)
        connection.commit()
