"""The quick form of loop_ends.py, and the section that it writes."""

from __future__ import annotations

import pytest

from torture import figures
from torture.loop_ends import PLACES, Round, rounds, section

PAGE = """# Page

A table.

## What these figures do not say

* Much.
"""


@pytest.mark.slow
def test_loop_ends_in_time_and_leaves_nothing_wherever_it_is() -> None:
    """F68: once in each place, on PostgreSQL."""
    found = list(rounds(len(PLACES), seed=20130101))

    assert [one.place for one in found] == list(PLACES)
    assert [one.wrong for one in found] == [()] * len(PLACES)


def test_section_tells_times_and_what_was_wrong() -> None:
    """The 99th of a hundred is the p99."""
    found = [Round("idle", index / 100, ()) for index in range(1, 101)]
    found += [Round(place, 2.5, ("a lease",)) for place in PLACES if place != "idle"]

    lines = section(found, 7, "2026-11-23").splitlines()

    assert "| idle | 100 | 0.50 s | 0.99 s | 1.00 s | 0 |" in lines
    assert "| in all | 103 | 0.52 s | 2.50 s | 2.50 s | 3 |" in lines


def test_section_takes_its_place_on_the_page_and_keeps_it() -> None:
    """Before what the figures do not say; written again, it replaces itself."""
    text = f"{figures.ENDS}\n\nFast.\n"

    page = figures.with_ends(PAGE, text)

    assert page == PAGE.replace("\n## What", f"\n{text}\n## What")
    assert (figures.ends_of(page), figures.ends_of(PAGE)) == (text, "")
    assert figures.with_ends(page, text) == page
    assert figures.with_ends(PAGE, "") == PAGE
