"""The claims of runs that share a state database; two runs here are two objects, as two processes would have."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from etlctl.core.leases import Answer, Ended, EndState, FailedElsewhere, Full, Granted, Held, Leases, Wanted
from etlctl.db.state import claims, owners, schema
from etlctl.db.state import leases as leases_module
from etlctl.db.state.aftermath import end_left
from etlctl.db.state.keys import stored_key
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.store import Store
from etlctl.errors import HeldError, UnavailableError

Run = Callable[..., StoreLeases]
PATIENCE_S = 40.0
"""For what takes a moment."""


@pytest.fixture
def ready(store: Store) -> Store:
    schema.ensure(store)
    return store


@pytest.fixture
def run(ready: Store) -> Iterator[Run]:
    """Opens the leases of a run; its owner is a live process, this one."""
    made: list[StoreLeases] = []

    def open_(**options: Any) -> StoreLeases:
        given: dict[str, Any] = {"owner": owners.this_process(), "began_at": ready.now(), "ttl_s": 30.0} | options
        made.append(StoreLeases(ready, **given))
        return made[-1]

    yield open_
    for leases in made:
        leases.close()


def wanted(*keys: str, **resources: int) -> list[Wanted]:
    return [Wanted(key, f"Task_{key}", resources) for key in keys]


def only(answers: list[Answer]) -> Answer:
    (answer,) = answers
    return answer


def dead_owner() -> str:
    """Of a process that was here and is no more."""
    code = "from etlctl.db.state import owners; print(owners.this_process())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def foreign_owner() -> str:
    """Of a process of another machine: nobody here knows whether it lives."""
    return f"elsewhere:0123456789abcdef.1:77:1:{time.monotonic_ns():x}"


def rows(store: Store, column: str) -> list[Any]:
    with store.transaction() as session:
        return [row[0] for row in session.run(f"SELECT {column} FROM etlctl_leases ORDER BY task_id")]


def flush(leases: Leases) -> None:
    """What was ended is written with a claim."""
    leases.claim([])


def test_leases_are_of_the_protocol(run: Run) -> None:
    leases: Leases = run()

    assert leases.claim(wanted("a")) == [Granted(1)]


def test_claim_grants_each_key_to_one_run_and_tells_the_other_who_has_it(run: Run) -> None:
    first, second = run(), run()

    assert first.claim(wanted("a", "b")) == [Granted(1), Granted(1)]
    found = second.claim(wanted("b", "c"))

    assert isinstance(found[0], Held) and found[1] == Granted(1)
    assert found[0].holder == owners.holder(first.owner)
    assert found[0].since is not None
    assert abs((datetime.now(UTC) - found[0].since).total_seconds()) < 60


def test_claim_answers_many_in_their_order(run: Run) -> None:
    first, second = run(), run()
    keys = [f"k{number}" for number in range(4_500)]
    first.claim(wanted(*keys[::2]))

    answers = second.claim(wanted(*keys))

    assert [isinstance(answer, Held) for answer in answers] == [True, False] * 2_250


def test_claim_of_what_is_ours_stays_ours(run: Run) -> None:
    leases = run()
    leases.claim(wanted("a"))

    assert leases.claim(wanted("a", "b")) == [Granted(1), Granted(1)]


def test_end_lets_another_have_it_and_the_fence_grow(run: Run) -> None:
    first, second = run(), run()
    first.claim(wanted("a"))

    first.end(Ended("a", EndState.RELEASED))
    flush(first)

    assert second.claim(wanted("a")) == [Granted(2)]


def test_end_is_written_soon_also_without_a_claim(run: Run) -> None:
    first, second = run(), run()
    first.claim(wanted("a"))
    first.end(Ended("a", EndState.DONE))

    until = time.monotonic() + PATIENCE_S
    while isinstance(only(second.claim(wanted("a"))), Held) and time.monotonic() < until:
        time.sleep(0.05)

    assert second.claim(wanted("a")) == [Granted(2)]


def test_claim_tells_who_has_done_it_since_the_run_began(run: Run) -> None:
    first, second = run(), run()
    first.claim(wanted("a"))
    first.end(Ended("a", EndState.DONE))
    flush(first)

    assert second.claim(wanted("a")) == [Granted(2, done_by=owners.holder(first.owner))]


def test_claim_does_not_tell_what_was_done_before_the_run_began(run: Run) -> None:
    first = run()
    first.claim(wanted("a", "b"))
    first.end(Ended("a", EndState.DONE))
    first.end(Ended("b", EndState.FAILED, "no"))
    flush(first)
    time.sleep(0.01)

    assert run().claim(wanted("a", "b")) == [Granted(2), Granted(2)]


def test_claim_tells_a_failure_elsewhere_with_its_reason(run: Run) -> None:
    first, second = run(), run()
    first.claim(wanted("a"))
    first.end(Ended("a", EndState.FAILED, "line 3: 'x' is no number"))
    flush(first)

    assert second.claim(wanted("a")) == [FailedElsewhere(owners.holder(first.owner), "line 3: 'x' is no number")]
    assert first.claim(wanted("a")) == [Granted(2)]  # who has failed it may try again


def test_end_of_a_lease_that_is_lost_changes_nothing(run: Run, ready: Store) -> None:
    first, second = run(ttl_s=0.4, owner=foreign_owner()), run()
    first.claim(wanted("a"))
    stop_beating(first)
    wait_until_granted(second, "a")

    first.end(Ended("a", EndState.DONE))
    flush(first)

    assert rows(ready, "state") == ["running"] and rows(ready, "owner") == [second.owner]


def stop_beating(leases: StoreLeases) -> None:
    """As a process does that is stopped."""
    leases._has_beaten = lambda: True  # type: ignore[method-assign]


def let_pass(store: Store, seconds: float) -> None:
    """As if that much time had passed since the last beat."""
    with store.transaction() as session:
        session.run(f"UPDATE etlctl_leases SET expires_at = expires_at - {seconds}")


def wait_until_granted(leases: StoreLeases, key: str, patience_s: float = PATIENCE_S) -> Granted:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        answer = only(leases.claim(wanted(key)))
        if isinstance(answer, Granted):
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{key} was never granted")


def test_lease_expires_when_its_owner_says_nothing(run: Run, ready: Store) -> None:
    first, second = run(ttl_s=60.0, owner=foreign_owner()), run()
    first.claim(wanted("a"))
    stop_beating(first)

    assert isinstance(only(second.claim(wanted("a"))), Held)
    let_pass(ready, 59.5)
    assert wait_until_granted(second, "a") == Granted(2, left_by=owners.holder(first.owner))


@pytest.mark.long
def test_lease_lives_as_long_as_its_owner_does(run: Run) -> None:
    first, second = run(ttl_s=2.0, owner=foreign_owner()), run()
    first.claim(wanted("a"))

    until = time.monotonic() + 5
    while time.monotonic() < until:
        assert isinstance(only(second.claim(wanted("a"))), Held)
        assert first.lost() == {}
        time.sleep(0.2)


def test_claim_ahead_that_does_not_begin_goes_to_another(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that claims more than it gets to does not keep the others idle; what has begun stays its own."""
    first, second = run(), run()
    assert first.claim(wanted("a", "b", db=1)[:1] + wanted("c")) == [Granted(1), Granted(1)]
    assert first.begin("c")
    monkeypatch.setattr(leases_module, "_MOST_IDLE_S", 0.3)

    assert wait_until_granted(second, "a") == Granted(2)

    assert isinstance(only(second.claim(wanted("c"))), Held)
    assert second.claim(wanted("d", db=1)) == [Granted(1)]  # its part of the pool went back too
    assert not first.begin("a") and first.lost() == {}


def test_dispensable_leases_are_lost_to_another_alone(run: Run) -> None:
    """The default state file may be locked or gone: what runs goes on, and only a take-over counts."""
    now = 1000.0
    first = run(ttl_s=1.5, owner=dead_owner(), is_dispensable=True, clock=lambda: now)
    first.claim(wanted("a"))

    now += 100
    assert first.lost() == {}
    assert run().claim(wanted("a")) == [Granted(2, left_by=owners.holder(first.owner))]
    first._has_beaten()

    assert "taken over" in first.lost()["a"]


def test_claim_alone_writes_the_expiry(run: Run, ready: Store) -> None:
    """F39: an owner that dies before its first beat holds nobody up for longer than a lease lives."""
    run(ttl_s=30.0).claim(wanted("a"))

    left = rows(ready, "expires_at")[0] - ready.now()

    assert 20 < left <= 30


def test_lease_of_a_dead_process_of_this_host_is_free_at_once(run: Run) -> None:
    first = run(owner=dead_owner(), ttl_s=3600.0)
    first.claim(wanted("a"))

    assert run().claim(wanted("a")) == [Granted(2, left_by=owners.holder(first.owner))]


def test_lost_tells_what_another_has_taken_over(run: Run) -> None:
    first, second = run(ttl_s=1.5, owner=dead_owner()), run()
    first.claim(wanted("a", "b"))
    second.claim(wanted("a"))

    until = time.monotonic() + PATIENCE_S
    lost: dict[str, str] = {}
    while not lost and time.monotonic() < until:
        lost = dict(first.lost())
        time.sleep(0.05)

    assert list(lost) == ["a"] and "its lease was taken over" in lost["a"]
    assert first.lost() == {}
    with pytest.raises(HeldError, match="taken over"):
        first.register("a", "warehouse", "1 x")


def test_lost_goes_by_our_own_clock_when_nothing_gets_through(run: Run) -> None:
    """After 0.8 of a lease's life, before anybody can have taken it."""
    now = 1000.0
    leases = run(ttl_s=60.0, clock=lambda: now)
    leases.claim(wanted("a"))
    stop_beating(leases)

    now += 47.9
    assert leases.lost() == {}
    now += 0.2

    assert "could not be kept alive for 48 s" in leases.lost()["a"]


def test_close_releases_what_is_ours(run: Run, ready: Store) -> None:
    first = run()
    first.claim(wanted("a", "b"))
    first.end(Ended("a", EndState.DONE))

    first.close()

    assert rows(ready, "state") == ["done", "released"]
    assert run().claim(wanted("b")) == [Granted(2)]


def test_leases_of_two_profiles_are_apart(run: Run) -> None:
    run(profile="test").claim(wanted("a"))

    assert run(profile="production").claim(wanted("a")) == [Granted(1)]
    assert stored_key(None, "a") != stored_key("a", "")


def test_no_clock_of_a_process_decides_anything(run: Run, monkeypatch: pytest.MonkeyPatch, ready: Store) -> None:
    """F35: a host a day ahead or behind neither steals nor is stolen from."""
    first = run(owner=foreign_owner())
    for shift_s in (86_400, -86_400):
        real = time.time
        monkeypatch.setattr(time, "time", lambda shift_s=shift_s, real=real: real() + shift_s)
        if ready.kind == "sqlite":
            continue  # its clock is the host's, and there is one host
        shifted = run()
        assert isinstance(only(first.claim(wanted(f"a{shift_s}"))), Granted)
        assert isinstance(only(shifted.claim(wanted(f"a{shift_s}"))), Held)
        assert isinstance(only(shifted.claim(wanted(f"b{shift_s}"))), Granted)
        assert isinstance(only(first.claim(wanted(f"b{shift_s}"))), Held)
    assert all(abs(expiry - ready.now()) < 60 for expiry in rows(ready, "expires_at"))


# -- pools


def test_pool_lets_as_many_run_as_the_settings_say(run: Run) -> None:
    first, second = run(pools={"db": 2}), run(pools={"db": 2})

    assert first.claim(wanted("a", db=1)) == [Granted(1)]
    assert second.claim(wanted("b", "c", db=1)) == [Granted(1), Full("db", 2)]

    first.end(Ended("a", EndState.DONE))
    flush(first)
    assert second.claim(wanted("c", db=1)) == [Granted(1)]


def test_pool_without_a_limit_has_one(run: Run) -> None:
    assert run().claim(wanted("a", "b", api=1)) == [Granted(1), Full("api", 1)]


def test_pool_is_all_or_nothing_over_several(run: Run) -> None:
    leases = run(pools={"x": 3, "y": 1})

    found = leases.claim(
        [Wanted("a", "A", {"y": 1, "x": 1}), Wanted("b", "B", {"x": 2, "y": 1}), Wanted("c", "C", {"x": 2})]
    )

    assert found == [Granted(1), Full("y", 1), Granted(1)]


def test_pool_that_is_too_small_is_told_as_full(run: Run) -> None:
    assert run(pools={"x": 2}).claim(wanted("a", x=3)) == [Full("x", 2)]


def test_park_gives_the_pool_to_others_and_unpark_waits_for_it(run: Run) -> None:
    first, second = run(), run()
    first.claim(wanted("a", db=1))

    first.park("a")
    flush(first)
    assert second.claim(wanted("b", db=1)) == [Granted(1)]
    assert first.unpark("a") == Full("db", 1)
    assert isinstance(only(second.claim(wanted("a", db=1))), Held)  # the lease itself is kept

    second.end(Ended("b", EndState.DONE))
    flush(second)
    assert first.unpark("a") is None
    assert second.claim(wanted("c", db=1)) == [Full("db", 1)]


def test_pool_takes_back_what_a_dead_process_had(run: Run) -> None:
    run(owner=dead_owner(), ttl_s=3600.0).claim(wanted("a", db=1))

    assert run().claim(wanted("b", db=1)) == [Granted(1)]


def test_pool_takes_back_what_has_expired(run: Run, ready: Store) -> None:
    first, second = run(owner=foreign_owner(), ttl_s=60.0), run()
    first.claim(wanted("a", db=1))
    stop_beating(first)

    assert second.claim(wanted("b", db=1)) == [Full("db", 1)]
    let_pass(ready, 60)
    assert second.claim(wanted("b", db=1)) == [Granted(1)]


@pytest.mark.parametrize(("limit", "is_kept"), [(1, False), (2, True)])
def test_pool_is_not_exceeded_by_one_that_wakes_up(run: Run, ready: Store, limit: int, is_kept: bool) -> None:
    """It was stopped for longer than its lease lives, and others have its place: its task is not its own any more."""
    first, second = run(owner=foreign_owner(), ttl_s=60.0, pools={"db": limit}), run(pools={"db": limit})
    first.claim(wanted("a", db=1))
    stop_beating(first)
    let_pass(ready, 61)
    assert second.claim(wanted("b", db=1)) == [Granted(1)]

    assert StoreLeases._has_beaten(first)

    assert list(first.lost()) == ([] if is_kept else ["a"])
    assert run(pools={"db": limit}).claim(wanted("c", db=1)) == [Full("db", limit)]
    second.end(Ended("b", EndState.DONE))
    flush(second)
    assert run(pools={"db": limit}).claim(wanted("c", db=1)) == [Granted(1)]


# -- old ones


def test_forget_ended_takes_away_old_rows_and_leaves_running_ones(run: Run, ready: Store) -> None:
    leases = run()
    leases.claim(wanted("a", "b", db=1)[:1] + wanted("c"))
    leases.end(Ended("a", EndState.DONE))
    flush(leases)
    with ready.transaction() as session:
        session.run(
            "UPDATE etlctl_leases SET ended_at = ended_at - 1000, expires_at = expires_at - 1000 WHERE state = 'done'"
        )

    with ready.transaction() as session:
        assert claims.forget_ended(session, 500) == 1

    assert rows(ready, "task_id") == ["Task_c"]


# -- those of the dead, on tasks that are complete


def test_end_left_ends_what_a_killed_run_has_let_expire_of_complete_tasks(run: Run, ready: Store) -> None:
    """What lives, or is not complete, stays as it is; who held it is stopped before its COMMIT, should it wake."""
    left, alive = run(owner=foreign_owner(), ttl_s=60.0), run()
    left.claim(wanted("done", "undone"))
    stop_beating(left)
    let_pass(ready, 61)
    alive.claim(wanted("lives"))

    with ready.transaction() as session:
        assert end_left(session, "x", {"Task_done", "Task_lives", "Task_other"}) == 1
        assert end_left(session, "y", {"Task_done"}) == 0

    assert rows(ready, "state") == ["released", "running", "running"]
    assert rows(ready, "reason") == ["its task was found complete in run x", None, None]
    with ready.transaction() as session:
        assert claims.prolonged(session, [stored_key(None, "done")], left.owner, 60.0) == set()
    assert alive.claim(wanted("done")) == [Granted(2)]


def test_end_left_does_not_wait_for_the_expiry_of_a_dead_process_of_this_host(run: Run, ready: Store) -> None:
    run(owner=dead_owner(), ttl_s=3600.0).claim(wanted("a"))

    with ready.transaction() as session:
        assert end_left(session, "x", {"Task_a"}) == 1

    assert rows(ready, "state") == ["released"]


def test_end_left_leaves_the_sessions_of_loads_to_the_next_holder(
    run: Run, ready: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another profile the task may not be complete: a load of the killed run is ended before it begins there."""
    evicted: list[tuple[str, str]] = []
    monkeypatch.setattr("etlctl.db.state.eviction.evict", lambda found, *_, **__: evicted.extend(found))
    left, next_ = run(owner=foreign_owner(), ttl_s=60.0), run(database=lambda name: pytest.fail(f"{name} is opened"))
    left.claim(wanted("a"))
    left.begin("a")
    left.register("a", "warehouse", "4711")
    stop_beating(left)
    let_pass(ready, 61)
    with ready.transaction() as session:
        assert end_left(session, "x", {"Task_a"}) == 1

    assert next_.claim(wanted("a")) == [Granted(2)]

    assert evicted == [("warehouse", "4711")]


def test_end_left_waits_for_no_lock_of_another(ready: Store, run: Run, open_store: Callable[[str], Store]) -> None:
    """The fence of a load that is about to commit holds the row, perhaps in a process that is stopped."""
    if ready.kind == "sqlite":
        pytest.skip("one process writes at a time")
    left = run(owner=foreign_owner(), ttl_s=60.0)
    left.claim(wanted("a"))
    stop_beating(left)
    let_pass(ready, 61)
    other = open_store(ready.settings.url.reveal())

    with other.transaction() as holding:
        assert claims.locked(holding, [stored_key(None, "a")])
        with ready.transaction() as session:
            assert end_left(session, "x", {"Task_a"}) == 0

    assert rows(ready, "state") == ["running"]


# -- trouble with the store


def open_leases(store: Store, **options: Any) -> StoreLeases:
    given: dict[str, Any] = {"owner": owners.this_process(), "began_at": 0.0, "ttl_s": 1.0} | options
    return StoreLeases(store, **given)


def test_claim_tells_a_server_that_is_read_only(postgres_url: str, open_store: Callable[[str], Store]) -> None:
    schema.ensure(open_store(postgres_url))
    name = postgres_url.rpartition("/")[2]
    with open_store(postgres_url).transaction() as session:
        session.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store = open_store(postgres_url)

    with pytest.raises(UnavailableError, match="read-only"):
        schema.ensure(store)
    with pytest.raises(UnavailableError, match="read-only"):
        open_leases(store).claim(wanted("a"))


def test_claim_tells_a_file_that_is_read_only(sqlite_url: str, open_store: Callable[[str], Store]) -> None:
    schema.ensure(open_store(sqlite_url))
    store = open_store(sqlite_url.replace("sqlite:///", "sqlite:///file:") + "?uri=true&mode=ro")

    with pytest.raises(UnavailableError, match="is read-only"):
        schema.ensure(store)
    with pytest.raises(UnavailableError, match="is read-only"):
        open_leases(store, ttl_s=60.0).claim(wanted("a"))


def test_claim_tells_a_disk_that_is_full(sqlite_url: str, open_store: Callable[[str], Store]) -> None:
    store = open_store(sqlite_url)
    schema.ensure(store)
    with store.transaction() as session:  # of the one connection that is kept
        session.run("PRAGMA max_page_count = 1")

    with pytest.raises(UnavailableError, match="has no room left"):
        open_leases(store, ttl_s=60.0).claim(wanted(*(f"k{number}" for number in range(5_000))))
