"""The lease protocol of RELIABILITY.md 5 as statements: each function is a part of one short transaction.

Who may have a key is decided by its row and by the database's clock, with nobody waiting for a row of another's:

    look      rows as they are, without a lock          somebody runs it, unexpired: Held
    insert    those that are not there yet              of two at once one inserts
    lock      those that seem free; what others lock is left out, and looked at another time
    grant     one UPDATE: our owner, fence + 1, expiry

A row stays after its end, so that its fence goes on growing and other processes learn how it ended.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from etlctl.core.leases import EndState
from etlctl.db.state.store import Session
from etlctl.db.state.words import WORDS

_T = TypeVar("_T")
RUNNING = "running"
_LOOK = (
    "SELECT lease_key, owner, fence, state, granted_at, expires_at, ended_at, reason, sessions, {now} "
    "FROM etlctl_leases WHERE lease_key IN :keys"
)
_INSERT = "INTO etlctl_leases (lease_key, task_id, owner, fence, state, granted_at, expires_at)"
_SELECTED = (
    f"INSERT {_INSERT} SELECT key, value, :owner, 1, 'running', {WORDS['sqlite'].now}, {WORDS['sqlite'].now} + :ttl "
    "FROM json_each(:tasks) WHERE true ON CONFLICT DO NOTHING"
)
"""On SQLite, where a text that grows with the number of rows would have to be prepared for each number."""
_GRANT = (
    "UPDATE etlctl_leases SET owner = :owner, fence = fence + 1, state = 'running', granted_at = {now}, "
    "expires_at = {now} + :ttl, ended_at = NULL, reason = NULL WHERE lease_key IN :keys"
)
_END = (
    "UPDATE etlctl_leases SET state = :state, ended_at = {now}, reason = :reason, sessions = NULL "
    "WHERE lease_key IN :keys AND owner = :owner AND state = 'running'"
)
_OURS = "SELECT lease_key FROM etlctl_leases WHERE lease_key IN :keys AND owner = :owner AND state = 'running'"
_BEAT = (
    "UPDATE etlctl_leases SET expires_at = {now} + :ttl "
    "WHERE lease_key IN :keys AND owner = :owner AND state = 'running'"
)
_REGISTER = (
    "UPDATE etlctl_leases SET sessions = :sessions WHERE lease_key = :key AND owner = :owner AND state = 'running'"
)
_RUNNING = "SELECT lease_key, task_id, owner, expires_at < {now} FROM etlctl_leases WHERE state = 'running'"
_RELEASE = (
    "UPDATE etlctl_leases SET state = 'released', ended_at = expires_at, reason = :reason "
    "WHERE lease_key IN :keys AND state = 'running'"
)
MOST_TASK_ID = 250
"""Characters that a row has for the id."""
_PER_STATEMENT = 2_000
_MOST_SESSIONS = 10


class Row(NamedTuple):
    """One lease as it stands in the table."""

    key: str
    owner: str
    fence: int
    state: str
    granted_at: float
    expires_at: float
    ended_at: float | None
    reason: str | None
    sessions: str | None
    now: float
    """The database's clock when it was read."""

    @property
    def has_expired(self) -> bool:
        """Whether its owner has let it."""
        return self.expires_at < self.now

    @property
    def known_sessions(self) -> list[tuple[str, str]]:
        """(connection, backend) of the sessions that loads under it have opened."""
        return [(str(connection), str(backend)) for connection, backend in json.loads(self.sessions or "[]")]


def looked_at(session: Session, keys: Sequence[str]) -> dict[str, Row]:
    """The rows that are there, by key."""
    return _read(session, keys, "")


def locked(session: Session, keys: Sequence[str]) -> dict[str, Row]:
    """As `looked_at`, and nobody else changes them before the transaction ends; rows that others hold are left out."""
    return _read(session, keys, WORDS[session.kind].lock_rows)


def _read(session: Session, keys: Sequence[str], ending: str) -> dict[str, Row]:
    sql = _LOOK.format(now=WORDS[session.kind].now) + ending
    return {row[0]: Row._make(row) for some in _parts(keys) for row in session.run(sql, {"keys": some})}


def inserted(session: Session, tasks: Sequence[tuple[str, str]], owner: str, ttl_s: float) -> Collection[str]:
    """New rows for (key, task_id), running and ours, with fence 1; which of them another was not quicker with.

    `expires_at` is written with the row, so that one whose owner dies at once is free in time.
    """
    ours: set[str] = set()
    for some in _parts(sorted(tasks)):  # in one order everywhere: two that insert the same do not wait in a circle
        named = {key: task_id[:MOST_TASK_ID] for key, task_id in some}
        keys = list(named)
        if session.kind == "sqlite":
            session.run(_SELECTED, {"owner": owner, "ttl": ttl_s, "tasks": named})
        else:
            _insert(session, named, owner, ttl_s)
        if session.rowcount != len(some):
            keys = [str(row[0]) for row in session.run(_OURS, {"keys": keys, "owner": owner})]
        ours.update(keys)
    return ours


def _insert(session: Session, tasks: Mapping[str, str], owner: str, ttl_s: float) -> None:
    now = WORDS[session.kind].now
    rows = ", ".join([f"(?, ?, ?, 1, 'running', {now}, {now} + ?)"] * len(tasks))
    values = [value for key, task_id in tasks.items() for value in (key, task_id, owner, ttl_s)]
    if session.kind == "mysql":
        session.run_values(f"INSERT IGNORE {_INSERT} VALUES {rows}", values)
    else:
        session.run_values(f"INSERT {_INSERT} VALUES {rows} ON CONFLICT DO NOTHING", values)


def grant(session: Session, keys: Sequence[str], owner: str, ttl_s: float) -> None:
    """Makes rows that are locked ours. The sessions of a former owner stay until ours ends, for whoever follows us."""
    sql = _GRANT.format(now=WORDS[session.kind].now)
    for some in _parts(keys):
        session.run(sql, {"keys": some, "owner": owner, "ttl": ttl_s})


def end(session: Session, ends: Mapping[tuple[EndState, str], Sequence[str]], owner: str) -> None:
    """Ends leases of ours, by (state, reason); those that are not ours any more stay as they are."""
    sql = _END.format(now=WORDS[session.kind].now)
    for (state, reason), keys in ends.items():
        for some in _parts(keys):
            session.run(sql, {"state": state.value, "reason": reason or None, "keys": some, "owner": owner})


def prolonged(session: Session, keys: Sequence[str], owner: str, ttl_s: float) -> Collection[str]:
    """Keeps leases alive; those of `keys` that are not ours any more are left out of what comes back.

    What a load of ours has locked at the moment (its fence, before COMMIT) is ours too, and need not be written.
    """
    words = WORDS[session.kind]
    beat = _BEAT.format(now=words.now)
    ours: set[str] = set()
    for some in _parts(keys):
        given = {"owner": owner, "ttl": ttl_s}
        if words.lock_rows:
            free = [str(row[0]) for row in session.run(_OURS + words.lock_rows, {"keys": some, "owner": owner})]
            if free:
                session.run(beat, given | {"keys": free})
            is_all = len(free) == len(some)
        else:
            session.run(beat, given | {"keys": some})
            is_all = session.rowcount == len(some)
        ours.update(some if is_all else (str(row[0]) for row in session.run(_OURS, {"keys": some, "owner": owner})))
    return ours


def register(session: Session, key: str, owner: str, sessions: Iterable[tuple[str, str]]) -> bool:
    """Notes the sessions of loads, the newest last; False where the lease is not ours any more."""
    text = json.dumps(list(sessions)[-_MOST_SESSIONS:])
    session.run(_REGISTER, {"sessions": text, "key": key, "owner": owner})
    return session.rowcount == 1


def running(session: Session) -> list[tuple[str, str, str, bool]]:
    """(key, task id, owner, whether its owner has let it expire) of all that are told as running."""
    rows = session.run(_RUNNING.format(now=WORDS[session.kind].now))
    return [(str(key), str(task_id), str(owner), bool(is_late)) for key, task_id, owner, is_late in rows]


def release(session: Session, keys: Sequence[str], reason: str) -> None:
    """Ends rows of others that are locked. Sessions that loads of theirs may have open stay known, for one who claims
    the key all the same."""
    for some in _parts(keys):
        session.run(_RELEASE, {"keys": some, "reason": reason})


def forget_ended(session: Session, older_than_s: float) -> int:
    """Takes away leases that ended, or expired, longer ago than that; how many."""
    now = WORDS[session.kind].now
    session.run(
        f"DELETE FROM etlctl_leases WHERE expires_at < {now} - :age AND coalesce(ended_at, expires_at) < {now} - :age",
        {"age": older_than_s},
    )
    gone = session.rowcount
    session.run("DELETE FROM etlctl_pool_uses WHERE lease_key NOT IN (SELECT lease_key FROM etlctl_leases)")
    return gone


def _parts(items: Sequence[_T]) -> Iterable[list[_T]]:
    for start in range(0, len(items), _PER_STATEMENT):
        yield list(items[start : start + _PER_STATEMENT])
