"""The short form of loops.py: four loops of two schedules, with a kill; and its judge."""

from __future__ import annotations

import pytest

from torture import fairness, loops
from torture.fairness import Begun, Life, Ran
from torture.loops import LOOPS, Tally, campaign, section

LIVES = [Life(seat, pid=100 + seat, ready_at=0.0, ended_at=1000.0) for seat in range(4)]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_loops_on_one_state_database_do_each_date_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """F71: each date of each task once, no lease left behind, and more than one loop had turns."""
    monkeypatch.setattr(loops, "LEASE_TTL_S", 60)  # none is stopped; what a killed one had is free at once
    with campaign(seed=3) as one:
        one.blows_s, one.most_kills = (1.0, 2.0), 2  # more often than a busy machine starts them, nothing would be done
        one.run(6, LOOPS, 180)
        one.look()

    assert one.tally.wrong == []
    assert one.tally.turns >= 6 and one.tally.kills


def test_task_that_ran_again_is_explained_by_a_kill_that_met_it_alone() -> None:
    """What a killed process ran last may run again; what it ran before, or what a living one ran, may not."""
    lives = [Life(0, 1, 0.0, was_killed=True), Life(1, 2, 0.0)]

    met = [Ran("a", 1), Ran("b", 1), Ran("b", 2), Ran("c", 2)]
    before = [Ran("a", 1), Ran("b", 1), Ran("a", 2)]
    living = [Ran("a", 2), Ran("a", 1)]

    assert list(fairness.ran_twice(met, lives)) == []
    assert [sentence[:11] for sentence in fairness.ran_twice(before, lives)] == ["a ran again"]
    assert [sentence[:11] for sentence in fairness.ran_twice(living, lives)] == ["a ran again"]


def test_loops_that_take_turns_are_fair_and_one_that_has_none_is_starved() -> None:
    """A third of an even share is enough, over a long time; one without any is told of, twice."""
    fair = [Begun("often", 100 + second % 4, float(second)) for second in range(200)]
    hogged = [Begun("often", 100 + second % 3, float(second)) for second in range(200)]

    assert list(fairness.starved_loops(fair, LIVES)) == []
    assert fairness.shares(fair, LIVES) == [(50, 50.0)] * 4
    assert list(fairness.starved_loops(hogged, LIVES)) == [
        "loop 3 had 0 turns; an even share were 50",
        "process 103 of loop 3 lived through 200 turns of others without one",
    ]


def test_loop_is_judged_by_the_turns_that_it_lived_through() -> None:
    """One that was there for a tenth of the time is to have a tenth of the turns; one that never began, none."""
    lives = [*LIVES[:3], Life(3, 103, ready_at=180.0, ended_at=200.0), Life(3, 104)]
    turns = [Begun("often", 100 + second % 3, float(second)) for second in range(180)]
    turns += [Begun("often", 100 + second % 4, float(second)) for second in range(180, 200)]

    assert list(fairness.starved_loops(turns, lives)) == []


def test_schedule_that_has_no_turns_beside_another_is_starved() -> None:
    """By what was due; where all are late, by what the others had."""
    often = [Begun("often", 100, float(second)) for second in range(0, 200, 4)]
    seldom = [Begun("seldom", 101, float(second)) for second in range(0, 200, 5)]

    assert list(fairness.starved_schedules(often + seldom, {"often": 1, "seldom": 5})) == []
    assert list(fairness.starved_schedules(often + seldom[:5], {"often": 1, "seldom": 5})) == [
        "schedule seldom had 5 turns, and 39 would have been fair"
    ]


def test_section_tells_shares_and_what_was_wrong() -> None:
    """And by how many complaints the controls were found out."""
    tally = Tally(turns=200, kills=30, abandoned=9, dates=120, shares=[(51, 49.5)], wrong=["a lease"])

    lines = section(tally, {"stopped": 3}, 7, "2026-11-23").splitlines()

    assert "| 200 | 30 | 9 | 120 | 1 |" in lines and "| 1 | 51 | 49.5 |" in lines
    assert lines[-1] == "| stopped | 3 |"
