"""Whoever insists on a state database that cannot be used hears that somebody wants an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing

import pytest

from etlctl.core.leases import Granted, Wanted
from etlctl.db.state import owners, pools, schema
from etlctl.db.state.claiming import Claiming
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.store import Session, Store
from etlctl.errors import UnavailableError
from servers.postgres import Postgres

TTL_S = 60.0
"""Without an end it insists for 48 s."""


def test_claim_is_not_tried_again_when_somebody_wants_an_end(open_store: Callable[[str], Store]) -> None:
    """A SIGTERM is heard while nobody listens on the server's port."""
    is_over = threading.Event()
    nowhere = open_store("postgresql://etl@127.0.0.1:1/state")
    leases = StoreLeases(nowhere, owner=owners.this_process(), began_at=0.0, ttl_s=TTL_S, stop=is_over.is_set)
    threading.Timer(0.5, is_over.set).start()
    began = time.monotonic()

    with pytest.raises(UnavailableError):
        leases.claim([Wanted("a", "A")])

    assert is_over.is_set()
    assert time.monotonic() - began < TTL_S / 2
    leases.close()


class Stopped:
    """A process that is stopped in each claim: longer than the server lets a transaction stand still, and longer than
    a lease lives."""

    def __init__(self, admin: Postgres, times: int) -> None:
        self.admin = admin
        self.times = times
        self.slept_s = 0.0

    def clock(self) -> float:
        return time.monotonic() + self.slept_s

    def __call__(self, claiming: Claiming, session: Session, limits: Mapping[str, int]) -> None:
        if self.times:
            self.times -= 1
            self.slept_s += 10 * TTL_S
            ((backend,),) = session.run("SELECT pg_backend_pid()")
            self.admin.ask("SELECT pg_terminate_backend(%s, 10000)", backend)
        RUN(claiming, session, limits)


RUN = Claiming.run


@pytest.mark.parametrize(("times", "is_heard"), [(1, True), (2, False)])
def test_claim_of_a_process_that_was_stopped_is_tried_once_more(
    postgres_url: str,
    postgres_server: Postgres,
    open_store: Callable[[str], Store],
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    is_heard: bool,
) -> None:
    """It finds its session ended, and by its clock all time is over; another such end is told."""
    store = open_store(postgres_url)
    schema.ensure(store)
    stopped = Stopped(postgres_server, times)
    monkeypatch.setattr(Claiming, "run", lambda *given: stopped(*given))
    leases = StoreLeases(store, owner=owners.this_process(), began_at=0.0, ttl_s=TTL_S, clock=stopped.clock)

    if is_heard:
        assert leases.claim([Wanted("a", "A")]) == [Granted(1)]
    else:
        with pytest.raises(UnavailableError):
            leases.claim([Wanted("a", "A")])

    assert stopped.times == 0
    leases.close()


@pytest.mark.parametrize("ttl_s", [3.0, pytest.param(60.0, marks=pytest.mark.long)])
def test_claim_outlives_one_that_is_stopped_with_the_locks_of_a_pool(
    store: Store, open_store: Callable[[str], Store], ttl_s: float
) -> None:
    """Its server ends it before who waits for the pool has insisted for long enough."""
    if store.kind == "sqlite":
        pytest.skip("a process that is stopped has the file locked, and ends with it")
    schema.ensure(store)
    url = store.settings
    with closing(Store(url, silent_s=ttl_s / 4)) as theirs, closing(Store(url, silent_s=ttl_s / 4)) as ours:
        leases = StoreLeases(ours, owner=owners.this_process(), began_at=0.0, ttl_s=ttl_s)
        with pytest.raises(UnavailableError), theirs.transaction() as stopped:
            pools.make_known(stopped, {"db"})
            pools.locked(stopped, {"db"}, {}, lambda owner: False)
            assert leases.claim([Wanted("a", "A", {"db": 1})]) == [Granted(1)]
        leases.close()
