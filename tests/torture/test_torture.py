"""The quick form of run.py: a few dozen kills and pauses a database, and the orders that the harness must catch."""

from __future__ import annotations

import contextlib
import random
from functools import partial
from pathlib import Path

import pytest

from torture import controls, outages, racers, rounds
from torture.checker import FAULTS, Ledger, Reader, Tally
from torture.loads import ROWS, RowsLoad
from torture.places import Place, SqlitePlace, place_for
from torture.racers import Plan, Racer

SEED = 20130101
BOTH_HAVE_LOOKED = "load.begun"
"""The point of a control after which nobody looks for a marker any more."""


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
    campaign.most_tries = 1
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


def test_rows_and_marker_in_two_transactions_are_caught(place: Place) -> None:
    """Control: luigi.contrib.sqla's order, killed between its two transactions, then done again."""
    controls.prepare(place, has_key=True)
    task, tally = RowsLoad(0), Tally()
    ledger = Ledger({0: task})
    load = partial(controls.two_transactions, place, task)

    for plan in (Plan("load.rowcount"), None):
        reader = Reader(place, ledger)
        racers.watch([racers.start(load, plan)])
        reader.end(tally)
    judge(place, ledger, tally)

    assert tally.half_visible > 0, "the reader has not seen rows without their marker"
    assert tally.doubled == 1, tally.wrong


def test_a_marker_table_without_a_key_is_caught(postgres_url: str, tmp_path: Path) -> None:
    """Control: one transaction, but no unique key and no lock, as on Redshift: two who have looked both load.

    SQLite has one writer at a time, which is a lock; `make torture` looks at MySQL.
    """
    place = place_for(postgres_url, tmp_path, more="lock_timeout = 30\n")
    controls.prepare(place, has_key=False)
    task, tally = RowsLoad(0), Tally()
    load = partial(controls.no_key, place, task)

    pair = [racers.start(load, Plan(BOTH_HAVE_LOOKED, "stop", seconds=racers.LONGEST_S)) for _ in range(2)]
    racers.watch(pair, partial(gone_on_together, pair))
    judge(place, Ledger({0: task}), tally)

    assert [racer.status for racer in pair] == [0, 0]
    assert tally.doubled == 1, tally.wrong


def gone_on_together(pair: list[Racer], now: float) -> float:
    """Lets racers go on once all of them have stopped."""
    if all(racer.pauses for racer in pair):
        for racer in pair:
            racer.go_on()
    return now + 0.01


def judge(place: Place, ledger: Ledger, tally: Tally) -> None:
    """A last look, at loads that were all reported as done."""
    with contextlib.closing(place.connect()) as connection:
        tally.found(ledger.judge(place, connection, done=set(ledger.pairs)))


@pytest.mark.long  # by chance, so with many tries; what is certain to be caught stands in the two tests before
def test_rows_and_marker_in_two_transactions_are_caught_at_random_moments(place: Place) -> None:
    """The campaign itself sees what its judge sees."""
    campaign = rounds.of_control(place, "two transactions", random.Random(SEED))

    tally = campaign.run(lambda tally: (tally.half_visible > 0 and tally.doubled > 0) or tally.loads >= 96)

    assert tally.doubled > 0 and tally.half_visible > 0, f"seed {SEED}: {tally}"


@pytest.mark.long  # as above
def test_a_marker_table_without_a_key_is_caught_at_random_moments(postgres_url: str, tmp_path: Path) -> None:
    """Two racers of a campaign meet by themselves, sooner or later."""
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
