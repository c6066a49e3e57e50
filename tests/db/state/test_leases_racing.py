"""Many processes at once on one state database: each task once, pools never too full, nothing left held."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import racer
from etlctl.db.state import schema
from etlctl.db.state.store import Store
from torture import racers


@pytest.fixture
def ready(store: Store) -> Store:
    schema.ensure(store)
    with store.transaction() as session:
        session.run(racer.WORK.format(name=store.words.name, double=store.words.double))
    return store


def start(url: str, number: int, **told: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", racer.__file__, json.dumps({"url": url, "seed": number} | told)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def ends(processes: list[subprocess.Popen[str]], timeout_s: float = 90) -> list[tuple[int, str]]:
    found = []
    for process in processes:
        _, err = process.communicate(timeout=timeout_s)
        found.append((process.returncode, err))
    return found


def ask(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.transaction(write=False) as session:
        return session.run(sql)


def forked(store: Store, url: str, number: int, **told: Any) -> racers.Racer:
    """The same without the half a second that a new Python takes to begin."""
    store.close()  # no connection of it goes into the process
    return racers.start(partial(racer.race, {"url": url, "seed": number} | told))


def test_eight_processes_over_300_tasks_run_each_once(
    ready: Store, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    began_at = ready.now()
    processes = [forked(ready, database_url, number, tasks=300, began_at=began_at) for number in range(8)]

    racers.watch(processes)

    assert ([process.status for process in processes], capfd.readouterr().err) == ([0] * 8, "")
    assert ask(ready, "SELECT count(*), count(DISTINCT task), count(ended) FROM work") == [(300, 300, 300)]
    assert ask(ready, "SELECT count(*) FROM etlctl_leases WHERE state = 'running'") == [(0,)]
    ((workers,),) = ask(ready, "SELECT count(DISTINCT owner) FROM work")
    assert workers > 1


def test_pool_of_two_with_three_processes_never_shows_more(
    ready: Store, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sampled from the database, and by the intervals of the work itself."""
    told = {"tasks": 60, "began_at": ready.now(), "pools": {"db": 2}, "resources": {"db": 1}, "work_s": 0.02}
    processes = [forked(ready, database_url, number, **told) for number in range(3)]
    samples = []

    def sample(now: float) -> float:
        samples.append(
            ask(
                ready,
                "SELECT count(*) FROM etlctl_pool_uses u JOIN etlctl_leases l "
                "ON l.lease_key = u.lease_key AND l.owner = u.owner WHERE l.state = 'running'",
            )[0][0]
        )
        return now + 0.01

    racers.watch(processes, sample)

    assert ([process.status for process in processes], capfd.readouterr().err) == ([0] * 3, "")
    assert len(samples) > 10 and 0 < max(samples) <= 2
    assert most_at_once(ask(ready, "SELECT began, ended FROM work")) <= 2
    assert ask(ready, "SELECT count(*) FROM work") == [(60,)]


def most_at_once(intervals: list[tuple[Any, ...]]) -> int:
    moments = sorted([(began, 1) for began, _ in intervals] + [(ended, -1) for _, ended in intervals])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


@pytest.mark.long
def test_killed_and_stopped_processes_leave_nothing_held(ready: Store, database_url: str) -> None:
    """Six processes; every quarter second one is killed or stopped for longer than a lease lives. All gets done."""
    rng = random.Random(7)
    told: dict[str, Any] = {"tasks": 150, "began_at": ready.now(), "ttl_s": 1.0, "work_s": 0.02, "patience_s": 80}
    told |= {"pools": {"db": 4}, "resources": {"db": 1}}
    running = [start(database_url, number, **told) for number in range(6)]
    struck: list[subprocess.Popen[str]] = []
    for number in range(8):
        time.sleep(0.25)
        victim = rng.choice([one for one in running if one not in struck])
        struck.append(victim)
        victim.send_signal(signal.SIGKILL if number % 2 else signal.SIGSTOP)
        running.append(start(database_url, 100 + number, **told))
    time.sleep(1.5)
    for victim in struck:
        victim.send_signal(signal.SIGCONT)

    untouched = [one for one in running if one not in struck]
    assert ends(untouched) == [(0, "")] * len(untouched)
    for victim in struck:
        victim.communicate(timeout=280)
        assert victim.returncode in (0, -signal.SIGKILL)
    assert ask(ready, "SELECT count(DISTINCT task) FROM work WHERE ended IS NOT NULL") == [(150,)]
    now = ready.words.now
    assert ask(ready, f"SELECT count(*) FROM etlctl_leases WHERE state = 'running' AND expires_at > {now} + 1") == [
        (0,)
    ]


def test_claims_go_on_when_the_server_comes_back(
    request: pytest.FixtureRequest, open_store: Callable[[str], Store]
) -> None:
    """A crash of the server in the middle of a run: what is held stays held, what is claimed waits for it."""
    from etlctl.core.leases import Granted, Wanted
    from etlctl.db.state import owners
    from etlctl.db.state.leases import StoreLeases

    server = request.getfixturevalue("crashing_postgres")
    url = server.new_database()
    store = open_store(url)
    schema.ensure(store)
    leases = StoreLeases(store, owner=owners.this_process(), began_at=store.now(), ttl_s=60.0)
    assert leases.claim([Wanted("a", "A")]) == [Granted(1)]

    server.stop("immediate")
    try:
        starter = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
        starter.wait()
    finally:
        server.start()

    assert leases.claim([Wanted("b", "B")]) == [Granted(1)]
    assert leases.lost() == {}
    leases.close()
    assert [row[0] for row in ask(store, "SELECT state FROM etlctl_leases")] == ["released", "released"]
