"""Pools: of which a task takes some while it runs, over all processes and hosts. Functions of one transaction each.

What is used of a pool is the sum over the leases that run and have not expired, so that a process that dies gives its
part back with its leases. Whoever takes from pools has locked their rows first, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from etlctl.db.state.store import Session
from etlctl.db.state.words import WORDS

_USES = (
    "SELECT u.pool, u.units, l.owner FROM etlctl_pool_uses u "
    "JOIN etlctl_leases l ON l.lease_key = u.lease_key AND l.owner = u.owner "
    "WHERE u.pool IN :pools AND l.state = 'running' AND l.expires_at >= {now}"
)


class Room:
    """What is left of some pools in one transaction, which has locked them."""

    def __init__(self, limits: Mapping[str, int], used: Mapping[str, int]) -> None:
        self._limits = limits
        self._used = dict(used)

    def lacks(self, resources: Mapping[str, int]) -> str | None:
        """The pool that has too little left for all of `resources`, or None."""
        return next((pool for pool, units in resources.items() if self._used[pool] + units > self._limits[pool]), None)

    def take(self, resources: Mapping[str, int]) -> None:
        """Counts them as used."""
        for pool, units in resources.items():
            self._used[pool] += units

    def limit(self, pool: str) -> int:
        """How much of it there is."""
        return self._limits[pool]


def make_known(session: Session, pools: Collection[str]) -> None:
    """Rows to lock, one a pool. In a transaction of its own, so that nobody waits for it with a lock in hand."""
    names = sorted(pools)
    values = ", ".join("(?)" for _ in names)
    if session.kind == "mysql":
        session.run_values(f"INSERT IGNORE INTO etlctl_pools (name) VALUES {values}", names)
    else:
        session.run_values(f"INSERT INTO etlctl_pools (name) VALUES {values} ON CONFLICT DO NOTHING", names)


def locked(session: Session, pools: Collection[str], limits: Mapping[str, int], is_dead: Callable[[str], bool]) -> Room:
    """Waits until nobody else takes from any of `pools`; what is left of them, without what dead owners had."""
    words = WORDS[session.kind]
    names = sorted(pools)
    session.run(
        f"SELECT name FROM etlctl_pools WHERE name IN :pools ORDER BY name{words.wait_for_rows}", {"pools": names}
    )
    used = dict.fromkeys(names, 0)
    for pool, units, owner in session.run(_USES.format(now=words.now), {"pools": names}):
        if not is_dead(owner):
            used[pool] += int(units)
    return Room({name: limits.get(name, 1) for name in names}, used)


def take(session: Session, owner: str, takers: Sequence[tuple[str, Mapping[str, int]]]) -> None:
    """Writes down what leases (by stored key) take, in place of what was written for them before."""
    taken = [(key, resources) for key, resources in takers if resources]
    if not taken:
        return
    session.run("DELETE FROM etlctl_pool_uses WHERE lease_key IN :keys", {"keys": [key for key, _ in taken]})
    rows = [(key, pool, units, owner) for key, resources in taken for pool, units in resources.items()]
    values = ", ".join("(?, ?, ?, ?)" for _ in rows)
    session.run_values(
        f"INSERT INTO etlctl_pool_uses (lease_key, pool, units, owner) VALUES {values}",
        [value for row in rows for value in row],
    )


def give_back(session: Session, owner: str, keys: Sequence[str]) -> None:
    """What these leases of `owner` had taken is free."""
    session.run(
        "DELETE FROM etlctl_pool_uses WHERE lease_key IN :keys AND owner = :owner", {"keys": list(keys), "owner": owner}
    )
