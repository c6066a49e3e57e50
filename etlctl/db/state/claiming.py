"""One claim: what becomes of each task that is wanted, or that comes back late, inside one transaction. Knows no thread
and no clock of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from etlctl.core.leases import Answer, EndState, FailedElsewhere, Full, Granted, Held, Wanted
from etlctl.db.state import claims, owners, pools
from etlctl.db.state.claims import RUNNING, Row
from etlctl.db.state.keys import stored_key
from etlctl.db.state.pools import Room

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.state.store import Session

_FIRST = Granted(1)
"""Of a key that nobody has had before."""


class Judge:
    """Whether an owner is dead for certain; asked of the system once for each."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def __call__(self, owner: str) -> bool:
        found = self._known.get(owner)
        if found is None:
            found = self._known[owner] = owners.is_dead(owner)
        return found


class Claiming:
    """What one claim comes to: answers by the runner's key, and what was granted."""

    def __init__(
        self, owner: str, began_at: float, ttl_s: float, wanted: Sequence[Wanted], profile: str | None
    ) -> None:
        self._owner = owner
        self._began_at = began_at
        self._ttl_s = ttl_s
        self._wanted = {stored_key(profile, one.key): one for one in wanted}
        self._is_dead = Judge()
        self._late: list[Row] = []
        """Rows whose owners have let them expire, which somebody has locked: their sessions are to be ended."""
        self.answers: dict[str, Answer] = {}
        self.granted: list[tuple[str, Wanted, Row | None, int]] = []
        """(stored key, what was wanted, its row as it was before, fence)."""

    def run(self, session: Session, limits: Mapping[str, int]) -> None:
        """Inside a transaction."""
        if not self._wanted:
            return
        rows = claims.looked_at(session, list(self._wanted))
        free = [stored for stored in self._wanted if stored not in rows or self._is_free(stored, rows[stored])]
        free = self._fitting(session, free, limits)
        ours = self._inserted(session, [stored for stored in free if stored not in rows])
        ours += self._taken(session, [stored for stored in free if stored in rows], rows)
        pools.take(session, self._owner, [(stored, self._wanted[stored].resources) for stored in ours])

    def _is_free(self, stored: str, row: Row) -> bool:
        """Whether it could be had; answers for it where not."""
        answer: Answer | None = None
        if row.state == RUNNING:
            if not self._is_over(row):
                answer = self._held(row)
        elif row.state == EndState.FAILED and self._is_news(row):
            answer = FailedElsewhere(owners.holder(row.owner), row.reason or "")
        if answer is not None:
            self.answers[self._wanted[stored].key] = answer
        return answer is None

    def _is_over(self, row: Row) -> bool:
        return row.owner == self._owner or row.has_expired or self._is_dead(row.owner)

    def _is_news(self, row: Row) -> bool:
        """Whether another run ended it since ours began."""
        return row.owner != self._owner and row.ended_at is not None and row.ended_at >= self._began_at

    def _held(self, row: Row) -> Held:
        return Held(owners.holder(row.owner), datetime.fromtimestamp(row.granted_at, UTC))

    def _fitting(self, session: Session, free: list[str], limits: Mapping[str, int]) -> list[str]:
        """Those for which the pools have room, in their order; Full for the others."""
        names = {pool for stored in free for pool in self._wanted[stored].resources}
        if not names:
            return free
        room: Room = pools.locked(session, names, limits, self._is_dead)
        fitting = []
        for stored in free:
            one = self._wanted[stored]
            lacking = room.lacks(one.resources)
            if lacking is None:
                room.take(one.resources)
                fitting.append(stored)
            else:
                self.answers[one.key] = Full(lacking, room.limit(lacking))
        return fitting

    def _inserted(self, session: Session, missing: list[str]) -> list[str]:
        tasks = [(stored, self._wanted[stored].task_id) for stored in missing]
        ours = claims.inserted(session, tasks, self._owner, self._ttl_s) if tasks else ()
        for stored in ours:
            one = self._wanted[stored]
            self.answers[one.key] = _FIRST
            self.granted.append((stored, one, None, _FIRST.fence))
        self._answer_rest(session, [stored for stored in missing if stored not in ours])
        return list(ours)

    def _taken(self, session: Session, there: list[str], seen: Mapping[str, Row]) -> list[str]:
        if not there:
            return []
        rows = claims.locked(session, there) if session.kind != "sqlite" else seen
        free = [stored for stored in there if stored in rows and self._is_free(stored, rows[stored])]
        if free:
            claims.grant(session, free, self._owner, self._ttl_s)
        for stored in free:
            self._grant(stored, rows[stored])
        self._answer_rest(session, [stored for stored in there if stored not in rows])
        return free

    def _answer_rest(self, session: Session, others: list[str]) -> None:
        """Another process is about to take them, or to end them: they are looked at another time."""
        rows = claims.looked_at(session, others) if others else {}
        for stored in others:
            row = rows.get(stored)
            self.answers[self._wanted[stored].key] = (
                self._held(row) if row is not None else Held("another process", None)
            )
            if row is not None and row.state == RUNNING and self._is_over(row):
                self._late.append(row)

    def _grant(self, stored: str, row: Row) -> None:
        one = self._wanted[stored]
        before = owners.holder(row.owner)
        is_done = row.state == EndState.DONE and self._is_news(row)
        is_left = row.state == RUNNING and row.owner != self._owner
        self.answers[one.key] = Granted(row.fence + 1, before if is_done else "", before if is_left else "")
        self.granted.append((stored, one, row, row.fence + 1))

    def evict(self, database: Callable[[str | None], Database] | None) -> None:
        """After the transaction: ends the sessions that loads of those before us may have open. A lease that its own
        holder ended has none."""
        before = [
            row for _, _, row, _ in self.granted if row is not None
        ] + self._late  # an end of its own: no sessions
        for row in before:
            if database is not None and row.sessions:
                from etlctl.db.state.eviction import evict  # knows SQLAlchemy

                one = self._wanted[row.key]
                evict(row.known_sessions, database, task_id=one.task_id, holder=owners.holder(row.owner))


def without_room(
    session: Session, owner: str, takers: Mapping[str, Mapping[str, int]], limits: Mapping[str, int]
) -> set[str]:
    """Of leases of `owner` (stored keys, and what they take of pools) those that have expired and cannot be kept alive
    again: others were given their places meanwhile."""
    rows = claims.looked_at(session, list(takers)) if takers else {}
    late = [stored for stored, row in rows.items() if row.owner == owner and row.state == RUNNING and row.has_expired]
    if not late:
        return set()
    room = pools.locked(session, {pool for stored in late for pool in takers[stored]}, limits, Judge())
    found = set()
    for stored in late:
        if room.lacks(takers[stored]) is None:
            room.take(takers[stored])
        else:
            found.add(stored)
    return found
