"""kill -9 at each named moment of a load, on every database: all or nothing is there, and the next run mends it."""

from __future__ import annotations

import time

import pytest

from etlctl.core.results import Status
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from faults.faultcase import build, ended, faults, rows_of, started, wait_until_at
from torture.loads import HALF, INSIDE, ROWS, BothLoad, FileLoad, HandLoad, MergeLoad, PartitionLoad, RowsLoad
from torture.places import Place
from torture.racers import Plan

AT = {
    "F03": "load.begun",
    "F04": "load.marker",
    "F05": HALF,
    "F06": "load.copied",
    "F07": "load.rowcount",
}
"""Moments of RELIABILITY's list; between F06 and F07 lies the fence, which comes with leases."""


@pytest.mark.parametrize("fault", AT)
def test_kill_before_commit_leaves_nothing_and_the_next_run_loads_at_once(place: Place, fault: str) -> None:
    """F03 to F07: rows and marker are gone with the process; the next one does not wait for its locks."""
    task = RowsLoad(1)
    child = started(place, task, Plan(AT[fault]))

    assert ended(child) == [-9]
    assert faults(place, task, done=False) == {} and rows_of(place, task.table) == 0

    began = time.monotonic()
    assert build(place, task).exit_code == ExitCode.DONE
    assert time.monotonic() - began < 45  # lock_timeout is 90 s
    assert faults(place, task, done=True) == {}


def test_kill_after_commit_leaves_all_and_the_next_run_finds_it(place: Place) -> None:
    """F08: COMMIT has returned and nobody was told."""
    task = RowsLoad(1)
    child = started(place, task, Plan("load.committed"))

    assert ended(child) == [-9]
    assert faults(place, task, done=True) == {}

    summary = build(place, task)
    assert summary.exit_code == ExitCode.DONE and summary.counts[Status.UPTODATE] == 1
    assert rows_of(place, task.table) == ROWS


@pytest.mark.parametrize("kind", [FileLoad, MergeLoad, PartitionLoad, BothLoad])
def test_kill_inside_other_loads_leaves_nothing(place: Place, kind: type[Task]) -> None:
    """F06 of files, merges, queries into a partition and a Sequence."""
    task = kind(part=1)
    child = started(place, task, Plan("load.copied"))

    assert ended(child) == [-9]
    assert faults(place, task, done=False) == {}

    assert build(place, task).exit_code == ExitCode.DONE
    assert faults(place, task, done=True) == {}


def test_kill_inside_hand_written_code_leaves_nothing(place: Place) -> None:
    """F05 between two statements of the user's own."""
    task = HandLoad(1)
    child = started(place, task, Plan(INSIDE))

    assert ended(child) == [-9]
    assert faults(place, task, done=False) == {} and rows_of(place, "t_hand") == 0

    assert build(place, task).exit_code == ExitCode.DONE
    assert faults(place, task, done=True) == {}


def test_waiting_loader_proceeds_as_soon_as_the_holder_is_killed(place: Place) -> None:
    """F04: the second process waits for the marker of the first, which is killed while it holds it."""
    task = RowsLoad(1)
    assert build(place, RowsLoad(0)).exit_code == ExitCode.DONE  # the tables are there
    holder = started(place, task, Plan(HALF, "sleep", seconds=60))
    wait_until_at(holder, HALF)
    waiting = started(place, task)
    time.sleep(0.4)

    holder.kill()
    began = time.monotonic()

    assert ended(holder, waiting) == [-9, 0]
    assert time.monotonic() - began < 45
    assert faults(place, task, done=True) == {}
