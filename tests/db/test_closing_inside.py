"""User code that closes the connection of a load, on each kind of database (F25)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from any_warehouse import AnyWarehouse
from ending_inside import CLOSES
from etlctl.db.table_target import TableTarget
from etlctl.errors import CommitInsideError

ROLL_BACK_FIRST = ("the pool's", "detach")
"""Where the guard of a server's connection sees the pool's ROLLBACK before it sees the end."""


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("way", CLOSES)
def test_closing_the_connection_keeps_nothing_and_says_so(
    opened: Callable[..., AnyWarehouse], way: str, goes_on: bool
) -> None:
    """The database rolls back; the load says whose fault it was, whatever came out of the statement after it."""
    house = opened()
    house.write("CREATE TABLE t (x integer)")

    with pytest.raises(CommitInsideError) as caught, TableTarget("t", "a").transaction() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        CLOSES[way](connection)
        if goes_on:
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    tried = "ROLLBACK" if house.kind != "sqlite" and way in ROLL_BACK_FIRST else "closing the connection"
    assert str(caught.value).startswith(f"t on warehouse: {tried} was tried inside the load's transaction")
    assert house.count("t") == 0 and house.markers() == []
