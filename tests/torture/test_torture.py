"""The quick form of run.py: a few dozen kills and pauses a database, and the orders that the harness must catch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from torture import outages, rounds
from torture.checker import FAULTS, Ledger, Tally
from torture.loads import ROWS, RowsLoad
from torture.places import Place, SqlitePlace, place_for

SEED = 20130101


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    """An empty database of each kind in turn."""
    return place_for(database_url, tmp_path, more="lock_timeout = 30\n")


@pytest.mark.slow
def test_killed_loads_are_there_once_or_not_at_all(place: Place) -> None:
    """F03 to F08, F10: kill -9 at each point and at random times, two racers a load: nothing lost, doubled, partial."""
    campaign = rounds.of_product(place, random.Random(SEED), rounds.KILLS)

    tally = campaign.run(lambda tally: tally.kills >= 24 and (missed(tally) == set() or tally.loads >= 96))

    assert tally.is_clean, f"seed {SEED}: {tally}: {tally.wrong}"
    assert missed(tally) == set() and tally.kills_inside >= 5 and tally.looks >= 5


def missed(tally: Tally) -> set[str]:
    """Points that no load has passed: a name that nothing calls any more would look tested and not be."""
    return set(rounds.POINTS) - set(tally.points)


@pytest.mark.slow
def test_paused_loads_are_there_once(place: Place) -> None:
    """A process that is stopped in the middle of a load and goes on later doubles nothing, and hides nothing half."""
    campaign = rounds.of_product(place, random.Random(SEED), rounds.PAUSES)

    tally = campaign.run(lambda tally: tally.pauses >= 5)

    assert tally.is_clean, f"seed {SEED}: {tally}: {tally.wrong}"


@pytest.mark.slow
def test_loads_of_the_command_line_that_are_killed_are_there_once(place: Place) -> None:
    """The same for whole processes, from the start of Python on."""
    campaign = rounds.of_command_line(place, random.Random(SEED), rounds.KILLS)
    place.prepare()

    tally = campaign.run(lambda tally: tally.kills >= 2)

    assert tally.is_clean, f"seed {SEED}: {tally}: {tally.wrong}"


@pytest.mark.slow
def test_loads_whose_sessions_the_server_ends_are_there_once(place: Place) -> None:
    """F13: pg_terminate_backend, KILL, at random times."""
    if place.name == "sqlite":
        pytest.skip("SQLite has no server that could end a session")
    campaign = rounds.of_product(place, random.Random(SEED), rounds.NOTHING)
    campaign.trouble = outages.Terminations(place, random.Random(SEED), campaign.tally)

    tally = campaign.run(lambda tally: tally.terminations >= 6)

    assert tally.is_clean, f"seed {SEED}: {tally}: {tally.wrong}"


@pytest.mark.slow
def test_rows_and_marker_in_two_transactions_are_caught(place: Place) -> None:
    """Control: luigi.contrib.sqla's order doubles loads, and the harness sees it."""
    campaign = rounds.of_control(place, "two transactions", random.Random(SEED))

    tally = campaign.run(lambda tally: (tally.half_visible > 0 and tally.doubled > 0) or tally.loads >= 96)

    assert tally.doubled > 0 and tally.half_visible > 0, f"seed {SEED}: {tally}"


@pytest.mark.slow
def test_a_marker_table_without_a_key_is_caught(postgres_url: str, tmp_path: Path) -> None:
    """Control: one transaction, but no unique key and no lock, as on Redshift: the harness sees loads doubled.

    SQLite has one writer at a time, which is a lock; on MySQL racers seldom meet, so that `make torture` looks there.
    """
    place = place_for(postgres_url, tmp_path, more="lock_timeout = 30\n")
    campaign = rounds.of_control(place, "no key", random.Random(SEED))

    tally = campaign.run(lambda tally: tally.doubled > 0 or tally.loads >= 144)

    assert tally.doubled > 0, f"seed {SEED}: {tally}"


def test_judge_tells_lost_doubled_partial_and_half_visible_apart(tmp_path: Path) -> None:
    """Each fault is made by hand, once."""
    place = SqlitePlace(tmp_path)
    tasks = {number: RowsLoad(number) for number in range(6)}
    rows = {0: (ROWS, "done"), 1: (2 * ROWS, "done"), 2: (7, "done"), 3: (ROWS, None), 4: (0, "done"), 5: (0, None)}
    connection = place.connect()
    connection.execute("CREATE TABLE t_rows (part INTEGER, number INTEGER, payload TEXT)")
    connection.execute("CREATE TABLE table_updates (update_id TEXT, target_table TEXT, state TEXT)")
    for number, (count, state) in rows.items():
        connection.executemany("INSERT INTO t_rows VALUES (?, 0, '')", [(number,)] * count)
        if state:
            connection.execute("INSERT INTO table_updates VALUES (?, 't_rows', ?)", (tasks[number].task_id, state))
    connection.commit()

    faults = Ledger(tasks).judge(place, connection, done={5})
    connection.close()

    found = {fault: [int(sentence.split()[1]) for sentence in faults[fault]] for fault in FAULTS}
    assert found == {"lost": [4, 5], "doubled": [1], "partial": [2], "half_visible": [3]}
