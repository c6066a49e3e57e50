"""The quick form of kill_build.py: a few kills inside open loads, and a control that the harness sees wrong rows."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

from torture.kill_build import demo, pandas_hatch, torture, wrong_days


def test_build_killed_inside_open_loads_has_every_row_once(tmp_path: Path) -> None:
    """However often a build is killed in the middle of loads, the next ones leave each day's rows exactly once."""
    tally = torture(demo(tmp_path, days=3), 4, random.Random(20130101))

    assert tally.wrong == []
    assert tally.kills_inside == 4


def test_hand_written_load_killed_inside_its_transaction_has_every_row_once(tmp_path: Path) -> None:
    """pandas' to_sql on the connection of `transaction()` is as safe as a load of ours."""
    tally = torture(pandas_hatch(tmp_path), 3, random.Random(20130101))

    assert tally.wrong == []
    assert tally.kills_inside == 3


def test_check_sees_doubled_lost_and_unmarked_rows(tmp_path: Path) -> None:
    """The harness would notice: rows twice, half of them, rows without a marker, a marker without rows."""
    warehouse = tmp_path / "warehouse.db"
    with sqlite3.connect(warehouse) as connection:
        connection.execute("CREATE TABLE flights (date TEXT)")
        connection.execute("CREATE TABLE weather (date TEXT)")
        connection.execute("CREATE TABLE table_updates (update_id TEXT, target_table TEXT, state TEXT)")
        rows = {"2013-01-01": 4, "2013-01-02": 1, "2013-01-03": 2, "2013-01-04": 0, "2013-01-05": 2}
        for day, number in rows.items():
            connection.executemany("INSERT INTO flights VALUES (?)", [(day,)] * number)
        marked = [day for day in rows if day != "2013-01-03"]
        ids = [(f"LoadFlights_{day.replace('-', '_')}_0", "flights", "done") for day in marked]
        connection.executemany("INSERT INTO table_updates VALUES (?, ?, ?)", ids)
    connection.close()

    wrong = wrong_days(warehouse, {("flights", day): 2 for day in rows}, whole=False)

    assert [sentence.split(":")[0] for sentence in wrong] == [f"flights 2013-01-0{day}" for day in (1, 2, 3, 4)]
