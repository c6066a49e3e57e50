"""A process that claims one task and loads it, and stops itself at a named moment: `python lease_holder.py '{…}'`.

Prints a JSON line at its end: what became of the load, and what was lost. Used by the tests of leases.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from any_warehouse import in_place
from etlctl import faultpoints
from etlctl.core import context
from etlctl.core.context import Attempt, LeaseOfAttempt
from etlctl.core.leases import Ended, EndState, Granted, Wanted
from etlctl.db.connections import Database
from etlctl.db.markers import MarkerKey
from etlctl.db.sessions import open_session
from etlctl.db.state import owners, schema
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.store import Store
from etlctl.errors import EtlctlError
from etlctl.settings import ConnectionSettings, Secret, load

KEY = "a" * 64
ROWS = 50


def leases_of(store: Store, database: Any, ttl_s: float, owner: str = "") -> StoreLeases:
    return StoreLeases(
        store, owner=owner or owners.this_process(), began_at=store.now(), ttl_s=ttl_s, database=lambda name: database
    )


def claimed(leases: StoreLeases, patience_s: float = 30) -> Granted:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        (answer,) = leases.claim([Wanted(KEY, "Load_1")])
        if isinstance(answer, Granted) and leases.begin(KEY):
            return answer
        time.sleep(0.05)
    raise TimeoutError("it was never granted")


def load_once(database: Database, leases: StoreLeases, granted: Granted) -> None:
    """What a load does: session, marker, rows, marker done; under the lease."""
    lease = LeaseOfAttempt(KEY, leases.owner, granted.fence, lambda *session: leases.register(KEY, *session))
    with context.attempting(Attempt(run_id="r", lease=lease)), open_session(database, "loading t") as session:
        session.ensure_markers()
        with session.load(MarkerKey("Load_1", "t")) as open_load:
            for number in range(ROWS):
                open_load.connection.exec_driver_sql(f"INSERT INTO t VALUES ({number})")
            open_load.rows = ROWS


def main() -> None:
    told = json.loads(sys.argv[1])
    warned: list[str] = []
    logging.getLogger("etlctl").addHandler(_Collecting(warned))
    stop_at = told.get("stop_at", "")
    done: dict[str, Any] = {"outcome": "", "error": "", "lost": {}, "warned": warned}

    stops = [stop_at]

    def point(name: str) -> None:
        if name in stops:
            stops.remove(name)  # once: what was given back meanwhile is claimed again
            os.kill(os.getpid(), signal.SIGSTOP)

    faultpoints.point = point
    folder = Path(told["folder"])
    environ = {"ETLCTL_STATE_URL": told["state"]}
    with in_place(told["url"], folder, **told.get("settings", {})) as house:
        object.__setattr__(house.context, "settings", load(None, environ=environ, cwd=folder))
        store = Store(ConnectionSettings("state", Secret(told["state"]), lock_timeout_s=10))
        schema.ensure(store)
        leases = leases_of(store, house.database, told["ttl_s"], told.get("owner", ""))
        granted = claimed(leases)
        try:
            load_once(house.database, leases, granted)
            done["outcome"] = "loaded"
            leases.end(Ended(KEY, EndState.DONE))
        except EtlctlError as error:
            done |= {"outcome": type(error).__name__, "error": str(error)}
        done["lost"] = dict(leases.lost())
        leases.close()
        store.close()
    print(json.dumps(done), flush=True)


class _Collecting(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__()
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())


if __name__ == "__main__":
    main()
