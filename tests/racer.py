"""A process that claims tasks until all are done, each a few milliseconds of work: `python racer.py '{…}'`, or forked.

What it runs it writes into a table of the same database: who, which task, from when to when by the database's clock.
Used by the tests of leases; killed and stopped by them too.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

from etlctl.core.leases import Ended, EndState, Granted, Wanted
from etlctl.db.state import owners, schema
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.store import Store
from etlctl.settings import ConnectionSettings, Secret

WORK = "CREATE TABLE work (task {name}(40) NOT NULL, owner {name}(250) NOT NULL, began {double}, ended {double})"


def main() -> None:
    sys.exit(race(json.loads(sys.argv[1])))


def race(told: dict[str, Any]) -> int:
    """Claims and works until all is done; the exit status."""
    rng = random.Random(told["seed"])
    store = Store(ConnectionSettings("state", Secret(told["url"]), lock_timeout_s=20))
    schema.ensure(store)
    leases = StoreLeases(
        store,
        owner=owners.this_process(),
        began_at=told["began_at"],
        ttl_s=told.get("ttl_s", 30),
        pools=told.get("pools", {}),
    )
    left = [Wanted(f"t{number}", f"T_{number}", told.get("resources", {})) for number in range(told["tasks"])]
    until = time.monotonic() + told.get("patience_s", 60)
    while left and time.monotonic() < until:
        some = rng.sample(left, min(len(left), rng.randint(1, 20)))
        over = run(store, leases, some, told.get("work_s", 0.002))
        left = [one for one in left if one.key not in over]
        if not over:
            time.sleep(0.02)
    leases.close()
    return 1 if left else 0


def run(store: Store, leases: StoreLeases, wanted: list[Wanted], work_s: float) -> set[str]:
    """Keys that are done, by us or by others."""
    over = set()
    for one, answer in zip(wanted, leases.claim(wanted), strict=True):
        if isinstance(answer, Granted) and leases.begin(one.key):
            if not is_done(store, one.task_id) and one.key not in leases.lost():
                work(store, one.task_id, leases.owner, work_s)
            leases.end(Ended(one.key, EndState.DONE))
            over.add(one.key)
    return over


def is_done(store: Store, task: str) -> bool:
    """What complete() asks, before a task runs that somebody may have run since."""
    with store.transaction(write=False) as session:
        rows = session.run("SELECT 1 FROM work WHERE task = :task AND ended IS NOT NULL", {"task": task})
    return bool(rows)


def work(store: Store, task: str, owner: str, work_s: float) -> None:
    now = store.words.now
    given = {"task": task, "owner": owner}
    with store.transaction() as session:
        session.run(f"INSERT INTO work VALUES (:task, :owner, {now}, NULL)", given)
    time.sleep(work_s)
    with store.transaction() as session:
        session.run(f"UPDATE work SET ended = {now} WHERE task = :task AND owner = :owner", given)


if __name__ == "__main__":
    main()
