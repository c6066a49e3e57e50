"""The short form of builders.py: several `etlctl build` of one graph at once; in peace, with blows, without leases."""

from __future__ import annotations

from torture.builders import POOL, campaign


def test_builders_on_one_state_database_run_each_task_once() -> None:
    """In peace exactly once, within the pool; with kills and pauses each load exactly once, and nothing stays held."""
    with campaign(seed=7) as one:
        one.together(1, 30, 3)
        one.look(1, 30, exactly_once=True)
        one.round(2, 24, 3)

    assert one.tally.wrong == []
    # 5: one that was stopped, and found its task taken over
    assert one.tally.exits[0] + one.tally.exits[5] >= 6 and one.tally.exits[0] >= 4
    assert one.tally.kills + one.tally.pauses > 0
    assert 0 < one.tally.most_loading <= POOL


def test_builders_without_shared_leases_are_found_out() -> None:
    """The same look at builders that know nothing of each other complains: it can."""
    with campaign(seed=7, has_leases=False) as one:
        one.together(1, 30, 3)
        one.look(1, 30, exactly_once=True)

    assert any("times" in wrong for wrong in one.tally.wrong)
    assert not any("rows" in wrong for wrong in one.tally.wrong)  # loads have their markers
