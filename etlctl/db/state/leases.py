"""The claims of one run in the state database, shared with every other run that has the same one.

    claim ──┐ one transaction: what was ended, what is wanted (claims.py, pools.py)
    beat  ──┘ a thread of its own, every quarter of a lease's life: one transaction keeps all of them alive, and writes
              what was ended and no claim has taken along

Nobody's clock decides but the database's. Whether *we* may go on is told by our monotonic clock: a lease that we could
not keep alive for four fifths of its life is given up here before anybody can take it over there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from etlctl import faultpoints
from etlctl.core.leases import Answer, Ended, EndState, Full, Granted, Wanted
from etlctl.db.state import claims, pools
from etlctl.db.state.claiming import Claiming, Judge, without_room
from etlctl.db.state.insisting import insisted
from etlctl.db.state.store import RemovedError
from etlctl.errors import HeldError, UnavailableError

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.state.store import Session, Store

_T = TypeVar("_T")
_logger = logging.getLogger("etlctl")
_SAFE = 0.8
"""The part of its life after which a lease that was not kept alive is given up."""
_BEATS = 4
"""In the life of a lease."""
_LATEST_END_S = 0.2
"""How long an end waits for the next claim to take it along."""
_MOST_IDLE_S = 1.0
"""How long a claim that has not begun is kept from others."""
_CLOSING_S = 5.0
_CROWDED_OUT = "others have its places of a pool, since there was no sign of life of this process for too long"
_TAKEN_OVER = "its lease was taken over by another process, which found no sign of life of this one"


class _Mine:
    """A lease of ours. `key` is the stored one."""

    __slots__ = ("fence", "good_until", "has_begun", "key", "resources", "sessions", "since", "task_id")

    def __init__(self, key: str, wanted: Wanted, fence: int, since: float, good_until: float) -> None:
        self.key = key
        self.task_id = wanted.task_id
        self.resources = wanted.resources
        self.fence = fence
        self.since = since
        self.good_until = good_until
        """Both by the monotonic clock."""
        self.has_begun = False
        self.sessions: list[tuple[str, str]] = []
        """Registered for it: ours, and those a former holder has left behind."""


class StoreLeases:
    """See `core.leases.Leases`. The store's tables are there (`schema.ensure`)."""

    def __init__(
        self,
        store: Store,
        *,
        owner: str,
        began_at: float,
        ttl_s: float,
        pools: Mapping[str, int] | None = None,
        profile: str | None = None,
        database: Callable[[str | None], Database] | None = None,
        is_dispensable: bool = False,
        clock: Callable[[], float] = time.monotonic,
        stop: Callable[[], object] = lambda: None,
    ) -> None:
        """`owner` is of `owners.this_process()`; `began_at` is `store.now()` from before any task was asked whether it
        is complete: ends since then are told. `database` opens a connection of the settings, to end a session on it.
        With `is_dispensable` a lease is lost only when another process has taken it over, and not when the store cannot
        be used any more. While the store cannot be used `stop` is asked: once it is true nothing is tried again.
        """
        self.owner = owner
        self._store = store
        self._beat_store = store if store.kind == "sqlite" else store.apart(max(2.0, ttl_s / _BEATS))
        self._began_at = began_at
        self._ttl_s = ttl_s
        self._limits = dict(pools or {})
        self._known_pools: set[str] = set()
        self._profile = profile
        self._database = database
        self._is_dispensable = is_dispensable
        self._clock = clock
        self._stop = stop
        self._guard = threading.Lock()
        """Of everything below."""
        self._mine: dict[str, _Mine] = {}
        """By the key that the runner knows."""
        self._pending: list[tuple[str, Ended | None, bool]] = []
        """(stored key, end or None for a park, whether it took of pools), in order, not yet written."""
        self._lost: dict[str, str] = {}
        self._trouble = ""
        """What the last beat failed of."""
        self._removed: RemovedError | None = None
        """Why no lease of ours is known to anybody any more."""
        self._writing = threading.Lock()
        """Held by the one who writes what is pending."""
        self._wake = threading.Condition(self._guard)
        self._thread: threading.Thread | None = None
        self._is_closed = False

    # -- claiming

    def claim(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """See `Leases.claim`."""
        with self._guard:
            ours = {one.key: Granted(mine.fence) for one in wanted if (mine := self._mine.get(one.key)) is not None}
        fresh = [one for one in wanted if one.key not in ours]
        answers: dict[str, Answer] = {**ours}
        if fresh or self._pending:
            with self._writing:
                claiming = self._insist(lambda: self._claimed(fresh))
            claiming.evict(self._database)
            answers.update(claiming.answers)
            faultpoints.point("lease.claimed")
        return [answers[one.key] for one in wanted]

    def _claimed(self, wanted: Sequence[Wanted]) -> Claiming:
        claiming = Claiming(self.owner, self._began_at, self._ttl_s, wanted, self._profile)
        self._make_pools_known({pool for one in wanted for pool in one.resources})
        pending = self._snapshot()
        sent = self._clock()
        with self._store.transaction(timeout_s=self._patience_s) as session:
            self._write(session, pending)
            claiming.run(session, self._limits)
        with self._guard:
            del self._pending[: len(pending)]
            for stored, one, row, fence in claiming.granted:
                mine = _Mine(stored, one, fence, sent, sent + _SAFE * self._ttl_s)
                if row is not None:
                    mine.sessions = row.known_sessions
                self._mine[one.key] = mine
            self._start()
        return claiming

    def _make_pools_known(self, names: set[str]) -> None:
        new = names - self._known_pools
        if new:
            with self._store.transaction(timeout_s=self._patience_s) as session:
                pools.make_known(session, new)
            self._known_pools |= new

    # -- ending, parking

    def begin(self, key: str) -> bool:
        """See `Leases.begin`."""
        with self._guard:
            mine = self._mine.get(key)
            if mine is None:
                return False
            mine.has_begun = True
            return True

    def end(self, ended: Ended) -> None:
        """See `Leases.end`."""
        with self._guard:
            mine = self._mine.pop(ended.key, None)
            self._lost.pop(ended.key, None)
            if mine is not None:
                self._pending.append((mine.key, ended, bool(mine.resources)))

    def park(self, key: str) -> None:
        """See `Leases.park`."""
        with self._guard:
            mine = self._mine.get(key)
            if mine is not None and mine.resources:
                self._pending.append((mine.key, None, True))

    def unpark(self, key: str) -> Full | None:
        """See `Leases.unpark`."""
        with self._guard:
            mine = self._mine.get(key)
        if mine is None or not mine.resources:
            return None
        with self._writing:
            return self._insist(lambda: self._unparked(mine))

    def _unparked(self, mine: _Mine) -> Full | None:
        pending = self._snapshot()
        full: Full | None = None
        with self._store.transaction(timeout_s=self._patience_s) as session:
            self._write(session, pending)
            # somebody else may have it by now, and its places: the next beat tells
            if claims.prolonged(session, [mine.key], self.owner, self._ttl_s):
                room = pools.locked(session, mine.resources.keys(), self._limits, Judge())
                lacking = room.lacks(mine.resources)
                if lacking is None:
                    pools.take(session, self.owner, [(mine.key, mine.resources)])
                else:
                    full = Full(lacking, room.limit(lacking))
        with self._guard:
            del self._pending[: len(pending)]
        return full

    def _snapshot(self) -> list[tuple[str, Ended | None, bool]]:
        with self._guard:
            return list(self._pending)

    def _write(self, session: Session, pending: Sequence[tuple[str, Ended | None, bool]]) -> None:
        """Ends and parks, many in one statement."""
        takers = [key for key, _, takes in pending if takes]
        if takers:
            pools.give_back(session, self.owner, takers)
        ends: dict[tuple[EndState, str], list[str]] = {}
        for key, ended, _ in pending:
            if ended is not None:
                ends.setdefault((ended.state, ended.reason), []).append(key)
        if ends:
            claims.end(session, ends, self.owner)

    # -- sessions of loads

    def register(self, key: str, connection: str, backend: str) -> None:
        """See `Leases.register`. HeldError where the lease is lost: the load must not begin."""
        with self._guard:
            mine = self._mine.get(key)
        if mine is None:
            raise HeldError(_TAKEN_OVER)
        known = (connection, backend)
        if known in mine.sessions:
            return
        mine.sessions.append(known)

        def written() -> bool:
            with self._store.transaction(timeout_s=self._patience_s) as session:
                return claims.register(session, mine.key, self.owner, mine.sessions)

        if not self._insist(written):
            raise HeldError(_TAKEN_OVER)

    # -- staying alive

    def lost(self) -> Mapping[str, str]:
        """See `Leases.lost`. Where the store is dispensable: RemovedError once it was taken away under the run."""
        if self._removed is not None and self._is_dispensable:
            raise self._removed
        now = self._clock()
        with self._guard:
            late = [key for key, mine in self._mine.items() if now > mine.good_until and not self._is_dispensable]
            for key in late:
                del self._mine[key]
                self._lost[key] = (
                    f"its lease could not be kept alive for {_SAFE * self._ttl_s:g} s, so that another "
                    f"process may have the task by now{self._trouble and '.'}{self._trouble}"
                )
            found, self._lost = self._lost, {}
        return found

    def _start(self) -> None:
        """Begins the thread, with the first lease there is."""
        if self._thread is None and self._mine and not self._is_closed:
            self._thread = threading.Thread(target=self._keep_alive, name="etlctl-leases", daemon=True)
            self._thread.start()

    def _keep_alive(self) -> None:
        period_s = self._ttl_s / _BEATS
        next_beat = self._clock() + period_s
        while True:
            with self._guard:
                # it looks for ends by itself: to be woken by each of them would cost more than writing it
                self._wake.wait(min(max(next_beat - self._clock(), 0), _LATEST_END_S))
                if self._is_closed:
                    return
                self._give_back_idle()
                has_pending = bool(self._pending)
            if has_pending:
                self._write_pending()
            now = self._clock()
            if now >= next_beat:
                next_beat = now + (period_s if self._has_beaten() else period_s / 3)

    def _give_back_idle(self) -> None:
        """What was claimed ahead of tasks that take longer than was thought; `begin` says no to it then."""
        latest = self._clock() - _MOST_IDLE_S
        for key in [key for key, mine in self._mine.items() if not mine.has_begun and mine.since < latest]:
            mine = self._mine.pop(key)
            self._pending.append((mine.key, Ended(key, EndState.RELEASED), bool(mine.resources)))

    def _write_pending(self) -> None:
        """Ends that no claim has taken along; where a claim is under way it takes them, or the next round does."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            pending = self._snapshot()
            if not pending:
                return
            with self._beat_store.transaction(timeout_s=self._patience_s) as session:
                self._write(session, pending)
            with self._guard:
                del self._pending[: len(pending)]
            faultpoints.point("lease.ended")
        except UnavailableError as error:
            self._note(error)
        finally:
            self._writing.release()

    def _note(self, error: UnavailableError) -> None:
        self._trouble = f" {error}"
        if isinstance(error, RemovedError):
            self._removed = error

    def _has_beaten(self) -> bool:
        """One sign of life for all leases; False when it did not get through."""
        with self._guard:
            alive = {mine.key: (key, mine) for key, mine in self._mine.items()}
        if not alive:
            return True
        sent = self._clock()
        try:
            with self._beat_store.transaction(timeout_s=self._patience_s) as session:
                takers = {stored: mine.resources for stored, (_, mine) in alive.items() if mine.resources}
                late = without_room(session, self.owner, takers, self._limits)
                ours = claims.prolonged(session, [one for one in alive if one not in late], self.owner, self._ttl_s)
        except UnavailableError as error:
            self._note(error)
            return False
        with self._guard:
            self._trouble = ""
            for stored, (key, mine) in alive.items():
                if stored in ours:
                    mine.good_until = sent + _SAFE * self._ttl_s
                elif self._mine.get(key) is mine:
                    del self._mine[key]
                    self._lost[key] = _CROWDED_OUT if stored in late else _TAKEN_OVER
        return True

    @property
    def _patience_s(self) -> float:
        """How long one transaction may take: several of them, before a lease is over."""
        return max(1.0, self._ttl_s / _BEATS)

    def _insist(self, work: Callable[[], _T]) -> _T:
        """For as long as a lease of ours would be safe."""
        return insisted(work, _SAFE * self._ttl_s, clock=self._clock, stop=self._stop)

    # -- the end

    def close(self) -> None:
        """See `Leases.close`. Waits some seconds at most; what cannot be written expires by itself."""
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
            self._wake.notify_all()
            for mine in self._mine.values():
                self._pending.append((mine.key, Ended(mine.key, EndState.RELEASED), bool(mine.resources)))
            self._mine.clear()
            thread = self._thread
        if thread is not None:
            thread.join(_CLOSING_S)
        try:
            pending = self._snapshot()
            if pending:
                with self._store.transaction(timeout_s=_CLOSING_S) as session:
                    self._write(session, pending)
                faultpoints.point("lease.ended")
        except RemovedError as error:
            _logger.debug("leases are gone with their store", exc_info=error)  # the run was told when it asked
        except UnavailableError as error:
            _logger.warning("Leases of this run stay until they expire, in %g s at most: %s", self._ttl_s, error)
        if self._beat_store is not self._store:
            self._beat_store.close()
