"""The short form of loops.py: four loops of one schedule, with a kill or two."""

from __future__ import annotations

import pytest

from torture.loops import LOOPS, campaign


@pytest.mark.slow
def test_loops_on_one_state_database_do_each_date_once() -> None:
    """F71: each date of each task once, no lease left behind, and more than one loop had turns."""
    with campaign(seed=3) as one:
        one.run(8, LOOPS, 90)

    assert one.tally.wrong == []
    assert one.tally.turns >= 8 and len(one.tally.shares) > 1
