"""A holder that is stopped in the middle of its load, and the one who takes over (F33, F34, F40, S25)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

import lease_holder
from any_warehouse import AnyWarehouse
from etlctl.core.leases import Wanted
from etlctl.db.dialects import ending
from etlctl.db.state import schema
from etlctl.db.state.eviction import evict
from etlctl.db.state.store import Store
from etlctl.errors import UnavailableError
from etlctl.settings import ConnectionSettings, Secret

FOREIGN = "elsewhere:0123456789abcdef.1:77:1:abc"
"""An owner of another machine: only the clock of the database tells that it is dead."""
STOPS = ("lease.claimed", "load.begun", "lease.registered", "load.marker", "load.fenced", "load.committed")


class Holder:
    """A `lease_holder.py`."""

    begun: ClassVar[list[Holder]] = []

    def __init__(self, **told: Any) -> None:
        command = [sys.executable, "-W", "error", lease_holder.__file__, json.dumps(told)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.begun.append(self)

    def wait_until_stopped(self) -> None:
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), self.process.stderr.read() if self.process.stderr else ""

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def outcome(self, timeout_s: float = 90) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, err
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture(autouse=True)
def _none_is_left() -> Iterator[None]:
    """A holder that a failing test leaves would be stopped for ever."""
    yield
    for holder in Holder.begun:
        if holder.process.poll() is None:
            holder.process.kill()
            holder.process.communicate()
    Holder.begun.clear()


@pytest.fixture(params=["postgresql", "mysql"])
def server_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue({"postgresql": "postgres_url", "mysql": "mysql_url"}[request.param]))


@pytest.fixture
def house(server_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    found = AnyWarehouse(server_url, tmp_path)
    found.write("CREATE TABLE t (n INTEGER)")
    schema.ensure(Store(ConnectionSettings("state", Secret(server_url))))
    yield found
    found.databases.close()


def told(url: str, folder: Path, **more: Any) -> dict[str, Any]:
    return {"url": url, "state": url, "folder": str(folder), "ttl_s": 1.0} | more


@pytest.mark.parametrize("stop_at", STOPS)
def test_stopped_holder_is_taken_over_and_writes_nothing_any_more(
    house: AnyWarehouse, tmp_path: Path, stop_at: str
) -> None:
    """F33: the thief does not wait for the sleeper; the rows are there once."""
    sleeper = Holder(**told(house.url, tmp_path, stop_at=stop_at, owner=FOREIGN))
    sleeper.wait_until_stopped()

    thief = Holder(**told(house.url, tmp_path)).outcome()
    count = house.count("t")
    sleeper.go_on()
    slept = sleeper.outcome()

    was_committed = stop_at == "load.committed"
    assert thief["outcome"] == ("AlreadyLoaded" if was_committed else "loaded")
    assert (count, house.count("t")) == (lease_holder.ROWS, lease_holder.ROWS)
    assert house.markers() == [("Load_1", "t", "done", lease_holder.ROWS)]
    if not was_committed:
        assert slept["outcome"] in ("HeldError", "TransientError", "AlreadyLoaded"), slept
    if stop_at in ("lease.registered", "load.marker", "load.fenced"):
        assert slept["outcome"] == "TransientError"  # its session was ended


def test_stopped_holder_keeps_the_marker_when_nobody_may_end_its_session(postgres_url: str, tmp_path: Path) -> None:
    """F34: the one who follows warns, waits as long as for any lock, and loads when the sleeper is awake."""
    house = AnyWarehouse(postgres_url, tmp_path)
    name = postgres_url.rpartition("/")[2]
    role = f"etl_{name}"
    house.write(
        "CREATE TABLE t (n INTEGER)",
        f"CREATE ROLE {role} LOGIN",
        f"GRANT ALL ON SCHEMA public TO {role}",
        f"ALTER TABLE t OWNER TO {role}",
        "REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC",
    )
    url = sa.make_url(postgres_url).set(username=role).render_as_string(hide_password=False)
    try:
        sleeper = Holder(**told(url, tmp_path, stop_at="load.marker", owner=FOREIGN))
        sleeper.wait_until_stopped()

        thief = Holder(**told(url, tmp_path, settings={"lock_timeout_s": 1})).outcome()
        sleeper.go_on()
        slept = sleeper.outcome()
        later = Holder(**told(url, tmp_path)).outcome()

        assert thief["outcome"] == "HeldError" and any("cannot be ended" in text for text in thief["warned"]), thief
        assert slept["outcome"] == "HeldError" and "was taken over" in slept["error"]
        assert later["outcome"] == "loaded" and house.count("t") == lease_holder.ROWS
    finally:
        house.databases.close()
        house.write(f"REASSIGN OWNED BY {role} TO CURRENT_USER", f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_lease_ends_exactly_when_the_load_does(house: AnyWarehouse, tmp_path: Path) -> None:
    """F38: the fence locks the lease, so a load is either done under it or not at all."""
    sleeper = Holder(**told(house.url, tmp_path, stop_at="load.fenced", ttl_s=0.5, owner=FOREIGN))
    sleeper.wait_until_stopped()
    time.sleep(1)  # it has expired, and nobody has taken it

    sleeper.go_on()

    assert sleeper.outcome()["outcome"] == "loaded"
    assert house.count("t") == lease_holder.ROWS


def test_fence_stops_a_load_whose_lease_was_taken_over_without_a_trace_of_its_session(
    house: AnyWarehouse, tmp_path: Path
) -> None:
    sleeper = Holder(**told(house.url, tmp_path, stop_at="load.marker", owner=FOREIGN))
    sleeper.wait_until_stopped()
    house.write("UPDATE etlctl_leases SET owner = 'somebody', fence = fence + 1, sessions = NULL")

    sleeper.go_on()
    slept = sleeper.outcome()

    assert slept["outcome"] == "HeldError" and "its lease (fence 1) was taken over" in slept["error"]
    assert house.count("t") == 0 and house.markers() == []


# -- one session, told apart from all others


def test_session_is_ended_by_its_mark_and_no_other_one_is(house: AnyWarehouse) -> None:
    database = house.database
    with database.engine.connect() as ours, database.engine.connect() as other, other.begin():
        transaction = ours.begin()
        mark = ending.session_mark(database, ours)
        assert mark is not None and mark == ending.session_mark(database, ours)
        assert mark != ending.session_mark(database, other)

        assert ending.end_session(database, mark)
        assert other.exec_driver_sql("SELECT 1").scalar() == 1
        with pytest.raises(sa.exc.DBAPIError):
            ours.exec_driver_sql("SELECT 1")
        transaction.rollback()
        wait_until_gone(house, mark)
        assert not ending.end_session(database, mark)


def wait_until_gone(house: AnyWarehouse, mark: str) -> None:
    until = time.monotonic() + 40
    while time.monotonic() < until:
        if house.kind == "mysql":
            gone = house.ask(f"SELECT IS_USED_LOCK('{mark}')") == [(None,)]
        else:
            gone = house.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {mark.partition(' ')[0]}") == []
        if gone:
            return
        time.sleep(0.05)
    raise AssertionError("the session is there still")


def test_session_with_the_number_of_a_former_one_is_left_alone(postgres_url: str, tmp_path: Path) -> None:
    """F40, S25: the same pid, begun at another moment."""
    house = AnyWarehouse(postgres_url, tmp_path)
    with house.database.engine.connect() as connection, connection.begin():
        mark = ending.session_mark(house.database, connection)
        assert mark is not None
        pid = mark.partition(" ")[0]

        assert not ending.end_session(house.database, f"{pid} 2001-01-01T00:00:00.000000")
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    house.databases.close()


def test_session_that_is_none_of_etlctl_s_is_left_alone(postgres_url: str, tmp_path: Path) -> None:
    """S25: somebody else's program, whatever stands in the lease."""
    house = AnyWarehouse(postgres_url, tmp_path)
    warned: list[str] = []
    with house.driver() as foreign:
        cursor = foreign.cursor()
        cursor.execute(
            "SELECT pid || ' ' || to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') "
            "FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        mark = cursor.fetchone()[0]

        with pytest.raises(UnavailableError, match="is left alone"):
            ending.end_session(house.database, mark)
        ended = evict(
            [("warehouse", mark)], lambda name: house.database, task_id="Load_1", holder="h:1", warn=warned.append
        )
        cursor.execute("SELECT 1")

    assert ended == 0 and len(warned) == 1 and warned[0].startswith("Load_1: the load that h:1 has left open")
    house.databases.close()


def test_session_of_another_user_is_left_alone(mysql_url: str, tmp_path: Path) -> None:
    house = AnyWarehouse(mysql_url, tmp_path)
    name = mysql_url.partition("?")[0].rpartition("/")[2]
    house.write(f"CREATE USER '{name[:30]}'@'%'", f"GRANT ALL ON {name}.* TO '{name[:30]}'@'%'")
    other = sa.make_url(mysql_url).set(username=name[:30]).render_as_string(hide_password=False)
    theirs = AnyWarehouse(other, tmp_path)
    try:
        with theirs.database.engine.connect() as connection, connection.begin():
            mark = ending.session_mark(theirs.database, connection)
            assert mark is not None

            with pytest.raises(UnavailableError, match="of another user"):
                ending.end_session(house.database, mark)
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    finally:
        theirs.databases.close()
        house.databases.close()
        house.write(f"DROP USER '{name[:30]}'@'%'")


def test_sqlite_sessions_have_no_mark(sqlite_url: str, tmp_path: Path) -> None:
    """A dead process frees the file by itself."""
    house = AnyWarehouse(sqlite_url, tmp_path)
    with house.database.engine.connect() as connection:
        assert ending.session_mark(house.database, connection) is None
    assert not ending.end_session(house.database, "1")
    house.databases.close()


def test_claim_of_a_task_without_a_connection_of_its_own_goes_on(tmp_path: Path, sqlite_url: str) -> None:
    """The connection that a former holder loaded to may be gone from the settings."""
    store = Store(ConnectionSettings("state", Secret(sqlite_url)))
    schema.ensure(store)
    first = lease_holder.leases_of(store, None, 60.0, FOREIGN)
    first.claim([Wanted(lease_holder.KEY, "Load_1")])
    first.register(lease_holder.KEY, "nowhere", "1 x")
    with store.transaction() as session:
        session.run("UPDATE etlctl_leases SET expires_at = expires_at - 100")
    house = AnyWarehouse(sqlite_url, tmp_path)
    second = lease_holder.leases_of(store, None, 60.0)
    second._database = house.databases.get

    assert lease_holder.claimed(second).fence == 2
    first.close()
    second.close()
    store.close()
