"""Operations: what people and loops tell each other through the state database: pauses, stops, turns, alerts.

    operations = Operations(store)
    operations.pause("LoadFlights", reason="the feed is being moved", by="ann@etl-1")
    app.build(tasks, hold=operations.holding())
    turn = operations.claim_turn("nightly", due)        # Turn, Busy, Done or Ahead

Reading makes nothing: a state database that is not there yet has none of all that. What writes makes the tables.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from etlctl.db.state import pauses, schema, turns
from etlctl.db.state.pauses import Pause, Pauses
from etlctl.db.state.records import clean
from etlctl.db.state.rows import moment_of
from etlctl.db.state.store import Session, Store
from etlctl.db.state.turns import Ahead, Busy, Done, Turn, Turns
from etlctl.errors import UnavailableError

if TYPE_CHECKING:
    from etlctl.core.task import Task

__all__ = ["Ahead", "Busy", "Done", "Operations", "Pause", "Stop", "Turn"]
_logger = logging.getLogger("etlctl")
_LONGEST_KEY: Final = 190
_LONGEST_NAME: Final = 250
_LONGEST_REASON: Final = 2_000
_STOP: Final = (
    "INTO etlctl_stops (run_id, stopped_by, stop_at, reason) VALUES (:run_id, :by, :now, :reason)",
    "SELECT stopped_by, stop_at, reason FROM etlctl_stops WHERE run_id = :run_id",
)
_ALERT: Final = "INTO etlctl_alerts (alert_key, alerted_at) VALUES (:key, :now)"


class Stop(NamedTuple):
    """Somebody's wish that a run ends."""

    by: str
    """`ann@etl-1`."""
    at: datetime
    """Aware, UTC, by the database's clock."""
    reason: str
    """Empty where none was given."""

    @property
    def sentence(self) -> str:
        """`stopped by ann@etl-1: the warehouse is being upgraded`."""
        return f"stopped by {self.by}: {self.reason}" if self.reason else f"stopped by {self.by}"


class Operations:
    """Those of one state database, in one profile. Thread-safe. Raises UnavailableError where it cannot be used, and
    UsageError where it is of a newer release."""

    def __init__(self, store: Store, *, profile: str | None = None, lease_ttl_s: float = 60.0) -> None:
        """`store` stays the caller's to close. Nothing is asked yet."""
        self._store = store
        self._profile = profile
        self._lease_ttl_s = lease_ttl_s
        self._guard = Lock()
        self._is_ready = False
        self._turns: Turns | None = None
        self.stop: Callable[[], object] = lambda: None
        """Asked while the database cannot be used: once it is true, a turn is not claimed again and again."""

    def close(self) -> None:
        """Gives back what turns are held."""
        with self._guard:
            held, self._turns = self._turns, None
        if held is not None:
            held.close()

    # -- pauses

    def pauses(self) -> list[Pause]:
        """Those that hold in this profile, the oldest first."""
        with self._reading("etlctl_pauses") as session:
            return [] if session is None else pauses.active(session, self._profile)

    def pause(self, task: str, *, reason: str, by: str, label: str = "") -> Pause:
        """Keeps loops from beginning `task` (a family, a task_id, or empty: everything) until it is resumed.

        What is paused already stays so; a new reason is put on record. Given without a profile it holds in all.
        """
        with self._writing() as session:
            return pauses.begin(session, self._profile, task, label or task, reason=reason, by=by)

    def resume(self, task: str, *, by: str) -> int:
        """Ends the pauses of `task`, word for word as it was paused, that `pauses()` tells; how many there were."""
        with self._writing() as session:
            return pauses.end(session, self._profile, task, by=by)

    def holding(self, every_s: float = 2.0, clock: Callable[[], float] = time.monotonic) -> Holding:
        """A `hold` for builds: why a task is not to begin now, or empty. Asks for pauses every `every_s` at most.

        While the state database cannot be used, what it told last holds.
        """
        return Holding(self.pauses, every_s, clock)

    # -- stops

    def request_stop(self, run_id: str, *, by: str, reason: str = "") -> Stop:
        """Asks the run to end gently; where somebody has done so before, that is what comes back."""
        insert, look = _STOP
        with self._writing() as session:
            given = {"run_id": run_id, "by": clean(by, _LONGEST_NAME), "reason": clean(reason, _LONGEST_REASON)}
            _insert_new(session, insert, given)
            return _stop_of(session, look, run_id) or Stop(by, moment_of(session.now()), reason)

    def stop_of(self, run_id: str) -> Stop | None:
        """Who has asked the run to end, if anybody has."""
        with self._reading("etlctl_stops") as session:
            return None if session is None else _stop_of(session, _STOP[1], run_id)

    # -- turns

    def last_turn(self, schedule: str) -> Turn | None:
        """The schedule's newest turn. One that a host began long before it was due, its clock being wrong, is none."""
        return next(iter(self.turns(schedule, 1)), None)

    def turns(self, schedule: str, limit: int) -> list[Turn]:
        """The schedule's newest turns, the newest first."""
        with self._reading("etlctl_turns") as session:
            return [] if session is None else turns.recorded(session, self._profile, schedule, limit)

    def record_of(self, schedule: str, tasks: Collection[str]) -> str:
        """The name by which the others here know the schedule of that name with these tasks; see turns.record_of."""
        with self._reading("etlctl_turns") as session:
            if session is None or not (self._is_ready or turns.have_tasks(session)):
                return schedule  # an older release's: it had the schedule's own name alone
            return turns.record_of(session, self._profile, schedule, tasks)

    def claim_turn(self, schedule: str, due: datetime, tasks: Collection[str] = ()) -> Turn | Busy | Done | Ahead:
        """The turn of `schedule` that was due at `due` (aware): ours until it is ended, kept alive by a thread.

        Busy while another one of the schedule runs on any host; Done where this one has ended, or a later one is on
        record; Ahead where it is minutes before its time by the database's clock. A turn whose process is gone is busy
        no more, and can be claimed again: at once on its own host, elsewhere when its lease has expired.
        """
        return self._claims().claim(schedule, due, tasks)

    def end_turn(self, turn: Turn, *, code: int, run_id: str | None = None) -> None:
        """Writes down how it ended and lets the next one begin, for others within a fifth of a second. After an
        UnavailableError it can be called again."""
        self._claims().end(turn, code=code, run_id=run_id)

    def lost(self, turn: Turn) -> str:
        """One sentence why `turn`, claimed here, is not ours any more; empty while it is."""
        return self._claims().lost(turn)

    def _claims(self) -> Turns:
        self._prepare()
        with self._guard:
            if self._turns is None:
                self._turns = Turns(
                    self._store, profile=self._profile, lease_ttl_s=self._lease_ttl_s, stop=lambda: self.stop()
                )
            return self._turns

    # -- alerts

    def alerted(self, key: str) -> bool:
        """True for the first caller of this key alone, over all processes and hosts."""
        kept = clean(key) if self._profile is None else clean(f"{self._profile}: {key}")
        if len(kept) > _LONGEST_KEY:
            kept = f"{kept[: _LONGEST_KEY - 33]} {hashlib.sha256(kept.encode()).hexdigest()[:32]}"
        with self._writing() as session:
            return _insert_new(session, _ALERT, {"key": kept})

    def now(self) -> datetime:
        """The database's clock, by which turns begin and end; aware, UTC."""
        with self._store.transaction(write=False) as session:
            return moment_of(session.now())

    def ping(self) -> None:
        """Writes the moment of use, as each build does: that it can be read does not tell that it can be used.

        Raises UnavailableError.
        """
        schema.ensure(self._store)

    # -- inside

    def _prepare(self) -> None:
        with self._guard:
            if not self._is_ready:
                schema.ensure(self._store)
                self._is_ready = True

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        self._prepare()
        with self._store.transaction() as session:
            yield session

    @contextmanager
    def _reading(self, table: str) -> Iterator[Session | None]:
        """None where the table is not there: nobody has written anything, or only an older release has."""
        if not self._is_ready:
            schema.check(self._store)
            if not self._store.tables(table):
                yield None
                return
        with self._store.transaction(write=False) as session:
            yield session


class Holding:
    """Tells of each task whether a pause holds it, from a list that is read anew every so often. Thread-safe."""

    def __init__(self, read: Callable[[], list[Pause]], every_s: float, clock: Callable[[], float]) -> None:
        self._read = read
        self._every_s = every_s
        self._clock = clock
        self._guard = Lock()
        self._known = Pauses([])
        self._next_s: float | None = None

    def __call__(self, task: Task) -> str:
        """Why it is not to begin now; empty where nothing is against it."""
        found = self._now().of(task)
        return "" if found is None else found.sentence

    def is_any(self) -> bool:
        """Whether there is a pause at all: without one no task need be made to ask for it."""
        return bool(self._now())

    def _now(self) -> Pauses:
        with self._guard:
            if self._next_s is None or self._clock() >= self._next_s:
                try:
                    self._known = Pauses(self._read())
                except UnavailableError as error:
                    _logger.debug("pauses could not be read; what is known holds", exc_info=error)
                self._next_s = self._clock() + self._every_s
            return self._known


def _stop_of(session: Session, sql: str, run_id: str) -> Stop | None:
    rows = session.run(sql, {"run_id": run_id})
    return Stop(rows[0][0] or "", moment_of(rows[0][1]), rows[0][2] or "") if rows else None


def _insert_new(session: Session, sql: str, given: dict[str, str]) -> bool:
    """Inserts a row, `:now` by the database's clock; False where one with its key is there."""
    values = {**given, "now": session.now()}
    if session.kind == "mysql":
        session.run(f"INSERT IGNORE {sql}", values)
    else:
        session.run(f"INSERT {sql} ON CONFLICT DO NOTHING", values)
    return session.rowcount == 1
