"""Networks that swallow what is sent, processes that are stopped with a lock in hand (F37 and its kin)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from etlctl.core.leases import Granted, Held, Wanted
from etlctl.db.state import owners, schema
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.store import Store
from etlctl.errors import UnavailableError
from servers.proxy import Proxy

FOREIGN = "elsewhere:0123456789abcdef.1:77:1:abc"


@pytest.fixture(params=["postgresql", "mysql"])
def server_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue({"postgresql": "postgres_url", "mysql": "mysql_url"}[request.param]))


@pytest.fixture
def proxy(server_url: str) -> Iterator[Proxy]:
    url = sa.make_url(server_url)
    with Proxy(str(url.host), int(url.port or 0)) as found:
        yield found


@pytest.fixture
def far(server_url: str, proxy: Proxy, open_store: Callable[[str], Store]) -> Store:
    """The state behind the proxy."""
    schema.ensure(open_store(server_url))
    url = sa.make_url(server_url).set(host="127.0.0.1", port=proxy.port)
    return open_store(url.render_as_string(hide_password=False))


def leases_on(store: Store, **options: Any) -> StoreLeases:
    given: dict[str, Any] = {"owner": FOREIGN, "began_at": 0.0, "ttl_s": 4.0} | options
    return StoreLeases(store, **given)


@pytest.mark.long
def test_beats_connect_anew_when_their_connection_is_cut(
    far: Store, proxy: Proxy, server_url: str, open_store: Callable[[str], Store]
) -> None:
    """F37: cut again and again, the lease is kept."""
    leases, other = leases_on(far), leases_on(open_store(server_url), owner=owners.this_process())
    assert leases.claim([Wanted("a", "A")]) == [Granted(1)]

    until = time.monotonic() + 8
    while time.monotonic() < until:
        proxy.set(cut_all=True)
        assert isinstance(other.claim([Wanted("a", "A")])[0], Held)
        time.sleep(0.5)

    assert leases.lost() == {}
    leases.close()
    other.close()


@pytest.mark.long
def test_lease_is_given_up_before_another_can_have_it_when_nothing_gets_through(
    far: Store, proxy: Proxy, server_url: str, open_store: Callable[[str], Store]
) -> None:
    """F37: a black hole, in which connections do not even fail."""
    leases, other = leases_on(far), leases_on(open_store(server_url), owner=owners.this_process())
    assert leases.claim([Wanted("a", "A")]) == [Granted(1)]
    began = time.monotonic()
    proxy.set(is_black_hole=True)

    while not (lost := leases.lost()) and time.monotonic() < began + 20:
        assert isinstance(other.claim([Wanted("a", "A")])[0], Held)
        time.sleep(0.05)
    lost_after_s = time.monotonic() - began
    while not isinstance(other.claim([Wanted("a", "A")])[0], Granted) and time.monotonic() < began + 20:
        time.sleep(0.05)
    had_after_s = time.monotonic() - began

    assert "could not be kept alive for 3.2 s" in lost["a"]
    assert 2.0 < lost_after_s < had_after_s < 12
    proxy.set(is_black_hole=False)
    leases.close()
    other.close()


@pytest.mark.long
def test_claim_gives_up_when_nothing_gets_through_for_a_lease_s_life(far: Store, proxy: Proxy) -> None:
    leases = leases_on(far)
    assert leases.claim([Wanted("a", "A")]) == [Granted(1)]
    proxy.set(is_black_hole=True)
    began = time.monotonic()

    with pytest.raises(UnavailableError):
        leases.claim([Wanted("b", "B")])

    assert time.monotonic() - began < 15
    proxy.set(is_black_hole=False, cut_all=True)
    assert leases.claim([Wanted("b", "B")]) == [Granted(1)]
    leases.close()


STOPPED = """
import os, signal, sys
from etlctl.db.state import pools, remote
from etlctl.db.state.store import Store
from etlctl.settings import ConnectionSettings, Secret

remote._SILENT_S = 1
store = Store(ConnectionSettings("state", Secret(sys.argv[1])))
with store.transaction() as session:
    pools.locked(session, ["db"], {}, lambda owner: False)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_pool_is_not_kept_from_others_by_a_process_that_is_stopped_with_its_lock(
    server_url: str, open_store: Callable[[str], Store]
) -> None:
    store = open_store(server_url)
    schema.ensure(store)
    leases = leases_on(store, ttl_s=60.0)
    leases._make_pools_known({"db"})
    stopped = subprocess.Popen([sys.executable, "-c", STOPPED, server_url], stderr=subprocess.PIPE)
    _, status = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), stopped.stderr.read() if stopped.stderr else ""
    began = time.monotonic()

    try:
        assert leases.claim([Wanted("a", "A", {"db": 1})]) == [Granted(1)]
        assert time.monotonic() - began < 40  # nobody lets it go on
    finally:
        stopped.kill()
        stopped.communicate()
        leases.close()


def is_there(store: Store, query: str) -> bool:
    with store.transaction() as session:
        return bool(session.run(query))


def test_store_goes_on_with_a_connection_that_was_ended_while_it_was_not_used(
    server_url: str, open_store: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    from etlctl.db.state import remote

    monkeypatch.setattr(remote, "_FRESH_S", 0)
    store, other = open_store(server_url), open_store(server_url)
    with store.transaction() as session:
        number = session.run("SELECT pg_backend_pid()" if store.kind == "postgresql" else "SELECT connection_id()")[0][
            0
        ]
    with other.transaction() as session:
        session.run(f"SELECT pg_terminate_backend({number})" if store.kind == "postgresql" else f"KILL {number}")
    table = "pg_stat_activity WHERE pid" if store.kind == "postgresql" else "information_schema.processlist WHERE id"
    until = time.monotonic() + 40
    while is_there(other, f"SELECT 1 FROM {table} = {number}") and time.monotonic() < until:
        time.sleep(0.02)

    assert store.now() > 0
