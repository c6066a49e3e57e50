"""The quick form of loop_ends.py, its judge, and the section that it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from looping import SOON_S, Ended
from torture import loop_ends
from torture.loop_ends import PLACES, Round, rounds, section, wrong


@pytest.mark.slow
def test_loop_ends_in_time_and_leaves_nothing_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """F68: once in each place, on PostgreSQL; the promise of 2 s is for a machine with nothing else to do."""
    monkeypatch.setattr(loop_ends, "MORE_S", SOON_S)
    found = list(rounds(len(PLACES), seed=20130101))

    assert [one.place for one in found] == list(PLACES)
    assert [one.wrong for one in found] == [()] * len(PLACES)


def test_end_that_is_wrong_is_found_out(tmp_path: Path) -> None:
    """Code, time, traceback, files, and what the database has left; `loop_ends.py --control` does it with real ones."""
    (tmp_path / "Slow.txt-unfinished").touch()
    early, late = Ended(137, 0.1, "", "Traceback …"), Ended(143, 3.5, "", "")

    assert len(list(wrong("in a task", early, 143, tmp_path, ["a lease"]))) == 5
    assert list(wrong("in COPY", late, 143, tmp_path, [])) == ["3.50 s"]
    assert list(wrong("idle", Ended(130, 0.1, "", ""), 130, tmp_path, [])) == []


def test_section_tells_times_and_what_was_wrong() -> None:
    """The 99th of a hundred is the p99."""
    found = [Round("idle", index / 100, ()) for index in range(1, 101)]
    found += [Round(place, 2.5, ("a lease",)) for place in PLACES if place != "idle"]

    lines = section(found, {"killed": 4}, 7, "2026-11-23").splitlines()

    assert "| idle | 100 | 0.50 s | 0.99 s | 1.00 s | 0 |" in lines
    assert "| in all | 103 | 0.52 s | 2.50 s | 2.50 s | 3 |" in lines
    assert lines[-1] == "| killed | 4 |"
