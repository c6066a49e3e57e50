"""The two orders that are known to be wrong, with the bare drivers: a harness that does not catch them is blind.

Both pass the fault points of a load of etlctl, so that the same plans hit them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from etlctl import faultpoints
from etlctl.core.task import Task
from torture.loads import SOURCE, RowsLoad, expected
from torture.places import MARKERS, Place

_A_LOADS_LENGTH_S = 0.03
"""How long real rows take, at least: so long nobody sees that another is at it."""

Protocol = Callable[[Place, Task], int]
"""Does a load in a process of its own and returns the exit code that its user would see."""


def two_transactions(place: Place, task: Task) -> int:
    """luigi.contrib.sqla's order: the rows in one transaction, their marker in the next."""
    with contextlib.closing(place.connect()) as connection:
        if _is_marked(place, connection, task):
            return 0
        faultpoints.point("load.begun")
        _insert_rows(place, connection, task)
        faultpoints.point("load.copied")
        connection.commit()
        faultpoints.point("load.rowcount")
        with contextlib.suppress(place.unique_violation):  # its touch() updates then
            _insert_marker(place, connection, task)
            faultpoints.point("load.marker")
            connection.commit()
        faultpoints.point("load.committed")
    return 0


def no_key(place: Place, task: Task) -> int:
    """luigi.contrib.redshift's order: one transaction, and a primary key that nobody enforces."""
    with contextlib.closing(place.connect()) as connection:
        if _is_marked(place, connection, task):
            return 0
        connection.rollback()
        faultpoints.point("load.begun")
        _insert_rows(place, connection, task)
        faultpoints.point("load.copied")
        faultpoints.point("load.rowcount")
        time.sleep(_A_LOADS_LENGTH_S)
        _insert_marker(place, connection, task)
        faultpoints.point("load.marker")
        connection.commit()
        faultpoints.point("load.committed")
    return 0


CONTROLS: dict[str, tuple[Protocol, bool]] = {"two transactions": (two_transactions, True), "no key": (no_key, False)}
"""By name: the protocol, and whether its marker table has a key."""


def prepare(place: Place, *, has_key: bool) -> None:
    """What the controls expect to be there: target and marker table."""
    place.prepare()
    key = ", PRIMARY KEY (update_id)" if has_key else ""
    with contextlib.closing(place.connect()) as connection:
        place.ask(connection, f"CREATE TABLE {RowsLoad.table} (part INTEGER, number INTEGER, payload VARCHAR(40))")
        columns = "update_id VARCHAR(255) NOT NULL, target_table VARCHAR(255), state VARCHAR(16)"
        place.ask(connection, f"CREATE TABLE {MARKERS} ({columns}{key})")
        connection.commit()


def _is_marked(place: Place, connection: Any, task: Task) -> bool:
    found = place.ask(connection, f"SELECT 1 FROM {MARKERS} WHERE update_id = %s", task.task_id)
    connection.rollback()
    return bool(found)


def _insert_rows(place: Place, connection: Any, task: Task) -> None:
    (table,) = [table for _, table in expected(task)]
    place.ask(connection, f"INSERT INTO {table} SELECT {task.param_kwargs['part']}, number, payload FROM {SOURCE}")


def _insert_marker(place: Place, connection: Any, task: Task) -> None:
    ((update_id, table),) = expected(task)
    place.ask(connection, f"INSERT INTO {MARKERS} VALUES (%s, %s, 'done')", update_id, table)
