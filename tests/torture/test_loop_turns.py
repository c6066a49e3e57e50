"""The short form of loop_turns.py, in a process of its own: another test's memory is not the loop's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torture.loop_turns import TURNS, Flat, Look, complaints, section

PROGRAM = Path(__file__).with_name("loop_turns.py")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory and descriptors are read from /proc")
@pytest.mark.parametrize("database", TURNS)
def test_turns_that_find_nothing_to_do_leave_nothing_behind(database: str) -> None:
    """F74: memory, descriptors, threads and sessions stay what they were."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--turns", "60", "--settled", "30", "--only", database],
        capture_output=True,
        text=True,
        timeout=280,
    )

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["flat"]), done.stdout + done.stderr


def test_turns_that_leave_something_behind_are_found_out() -> None:
    """The look complains: it can."""
    before = Look(80.0, 10, 2, 1, 100)

    assert complaints(before, Look(84.9, 13, 2, 0, 100)) == []
    assert len(complaints(before, Look(85.1, 14, 3, 2, 30_000))) == 5


def test_section_tells_what_was_before_and_after() -> None:
    """By database."""
    found = [Flat("postgresql", 1000, Look(80.0, 10, 2, 1, 100), Look(81.2, 11, 2, 1, 90), 60.0)]

    lines = section(found, {"leaving": 2}, "2026-11-23").splitlines()

    assert "| PostgreSQL | 1,000 | 80.0 to 81.2 MB | 10 to 11 | 2 to 2 | 1 to 1 |" in lines
    assert lines[-1] == "| leaving | 2 |"
