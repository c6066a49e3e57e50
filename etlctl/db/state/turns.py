"""Turns of schedules: which were begun, by whom, how they ended; at any moment one holder for each, over all hosts.

    claim(schedule, due)   no lease at all where the record has that turn, or a later one
      lease                of leases.py: alive by its heartbeat, free with its process, old by the database's clock
      record               under a lock: is it still due, and is the lease still ours -> one row more
    end(turn, …)           the row first, then the lease

The lease keeps two turns of a schedule from running at once; that none that has ended runs again is the record's
business. A turn whose process died has no end, and can be claimed once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from datetime import datetime
from threading import Lock
from typing import Any, Final, NamedTuple

from etlctl.core.leases import Ended, EndState, Granted, Held, Wanted
from etlctl.db.state import catalog, claims, owners
from etlctl.db.state.keys import stored_key
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.rows import moment_of
from etlctl.db.state.store import Session, Store
from etlctl.errors import UsageError

_LONGEST_NAME: Final = 128
_MARK: Final = len(" #12345678")
_LITERAL: Final = str.maketrans({one: f"!{one}" for one in "!%_"})
"""For LIKE."""
_MOST_AHEAD_S: Final = 300.0
"""How much later than the database's clock a turn that is begun may be due: hosts' clocks differ a little."""
_LAST: Final = (
    "SELECT schedule, number, due, began_at, ended_at, code, run_id, owner FROM etlctl_turns "
    "WHERE profile = :profile AND schedule = :schedule AND due <= began_at + :ahead ORDER BY number DESC LIMIT "
)
_NUMBER: Final = "SELECT COALESCE(MAX(number), 0) FROM etlctl_turns WHERE profile = :profile AND schedule = :schedule"
_INSERT: Final = (
    "INSERT INTO etlctl_turns (profile, schedule, number, due, owner, began_at, tasks) "
    "VALUES (:profile, :schedule, :number, :due, :owner, :now, :tasks)"
)
_TASKS: Final = (
    "SELECT tasks FROM etlctl_turns WHERE profile = :profile AND schedule = :schedule ORDER BY number DESC LIMIT 1"
)
_NAMESAKES: Final = (
    "SELECT schedule, MAX(began_at) FROM etlctl_turns WHERE profile = :profile AND schedule LIKE :like ESCAPE '!' "
    "GROUP BY schedule ORDER BY 2 DESC"
)
_ABANDON: Final = (
    "UPDATE etlctl_turns SET ended_at = :now WHERE profile = :profile AND schedule = :schedule AND ended_at IS NULL"
)
_END: Final = (
    "UPDATE etlctl_turns SET ended_at = :now, code = :code, run_id = :run_id "
    "WHERE profile = :profile AND schedule = :schedule AND number = :number AND owner = :owner"
)


class Turn(NamedTuple):
    """One turn of a schedule. Instants are aware UTC; all but `due` by the database's clock."""

    schedule: str
    number: int
    """Of the schedule's turns, from 1."""
    due: datetime
    """The instant that the schedule names."""
    began_at: datetime
    ended_at: datetime | None
    """None while it runs; of one whose process died, when the next one began."""
    code: int | None
    """What it exited with; None until then, and of one whose process died."""
    run_id: str | None
    owner: str
    """See owners.py."""

    @property
    def holder(self) -> str:
        """`host:pid`."""
        return owners.holder(self.owner)


class Busy(NamedTuple):
    """Another turn of the schedule runs, here or elsewhere."""

    holder: str
    """`host:pid`."""
    since: datetime | None
    """By the database's clock; None where it is not known."""


class Done(NamedTuple):
    """The turn is on record with its end, or a later one is: there is nothing to do for it."""

    turn: Turn
    """The last on record."""


class Ahead(NamedTuple):
    """The turn is not due yet by the database's clock: this host's is wrong, and nothing was begun."""

    due: datetime
    now: datetime
    """By the database's clock."""

    @property
    def sentence(self) -> str:
        """What it says of this host."""
        late_s = (self.due - self.now).total_seconds()
        return (
            f"this machine's clock: it is at least {late_s:.0f} s ahead of that of the state database, so that the "
            f"turn of {self.due:%Y-%m-%d %H:%M:%S} UTC is not begun; set it, by NTP"
        )


def recorded(session: Session, profile: str | None, schedule: str, limit: int) -> list[Turn]:
    """The schedule's newest turns, the newest first; but none that was begun long before it was due, by a host whose
    clock was ahead: that stands in no other's way."""
    rows = session.run(f"{_LAST}{int(limit)}", {**_named(profile, schedule), "ahead": _MOST_AHEAD_S})
    return [
        Turn(
            str(name),
            int(number),
            moment_of(due),
            moment_of(began),
            None if ended is None else moment_of(ended),
            None if code is None else int(code),
            run_id,
            str(owner),
        )
        for name, number, due, began, ended, code, run_id, owner in rows
    ]


def have_tasks(session: Session) -> bool:
    """Whether turns say of which tasks they are: those of schema 2 do not, until somebody writes."""
    found = catalog.found(session, "etlctl_turns")
    return found is not None and "tasks" in found.columns


def record_of(session: Session, profile: str | None, schedule: str, tasks: Collection[str]) -> str:
    """The name under which the turns of a schedule of these tasks are on record.

    It is the schedule's own, and another with a mark behind it where turns of that name are of other tasks alone: two
    projects may have schedules of one name. Tasks may be added and taken away; with one of them left it is the same.
    """
    if _is_about(session, profile, schedule, tasks):
        return schedule
    stem = schedule[: _LONGEST_NAME - _MARK]
    like = f"{stem.translate(_LITERAL)} #________"
    known = session.run(_NAMESAKES, {"profile": profile or "", "like": like})
    found = (str(name) for name, _ in known if _is_about(session, profile, str(name), tasks))
    digest = hashlib.sha256("\n".join(sorted(tasks)).encode()).hexdigest()[:8]
    return next(found, f"{stem} #{digest}")


def _is_about(session: Session, profile: str | None, record: str, tasks: Collection[str]) -> bool:
    """Whether the newest turn of that name was of one of these tasks; also where that is not known."""
    rows = session.run(_TASKS, _named(profile, record))
    known = set(rows[0][0].split("\n")) if rows and rows[0][0] else set()
    return not known or not tasks or not known.isdisjoint(tasks)


class Turns:
    """Claims turns for one process. Thread-safe; the store's tables are there."""

    def __init__(
        self, store: Store, *, profile: str | None, lease_ttl_s: float, stop: Callable[[], object] = lambda: None
    ) -> None:
        """`stop` as in StoreLeases."""
        self._store = store
        self._profile = profile
        self._leases = StoreLeases(
            store, owner=owners.this_process(), began_at=store.now(), ttl_s=lease_ttl_s, profile=profile, stop=stop
        )
        self._guard = Lock()
        """Of everything below."""
        self._held: dict[str, Turn | None] = {}
        """By schedule: what is ours; None while it is being claimed."""
        self._lost: dict[str, str] = {}
        """By schedule: why what was held last is not."""

    def claim(self, schedule: str, due: datetime, tasks: Collection[str] = ()) -> Turn | Busy | Done | Ahead:
        """The turn, ours until `end`. `schedule` is the name as `record_of` tells it; Busy where it is that of other
        tasks by now. UnavailableError where the state database could not be asked."""
        if len(schedule) > _LONGEST_NAME:
            raise UsageError(f"a schedule's name has {_LONGEST_NAME} characters at most: {schedule[:40]}… has more.")
        done = self._done(schedule, due)
        if done is not None:
            return done
        self._note_lost()
        with self._guard:
            if schedule in self._held:
                turn = self._held[schedule]
                return Busy(owners.holder(self._leases.owner), None if turn is None else turn.began_at)
            self._held[schedule] = None
        found: Turn | Busy | Done | Ahead | None = None
        try:
            found = self._claimed(schedule, due, tasks)
        finally:
            with self._guard:
                if isinstance(found, Turn):
                    self._held[schedule] = found
                else:
                    self._held.pop(schedule, None)
        return found

    def _done(self, schedule: str, due: datetime) -> Done | None:
        with self._store.transaction(write=False) as session:
            last = recorded(session, self._profile, schedule, 1)
        return Done(last[0]) if last and _settles(last[0], due) else None

    def _claimed(self, schedule: str, due: datetime, tasks: Collection[str]) -> Turn | Busy | Done | Ahead:
        key = _key(schedule)
        (answer,) = self._leases.claim([Wanted(key, f"schedule {schedule}")])
        if isinstance(answer, Held):
            return Busy(answer.holder, answer.since)
        if not isinstance(answer, Granted) or not self._leases.begin(key):
            return Busy("another process", None)
        found: Turn | Busy | Done | Ahead | None = None
        try:
            found = self._begun(schedule, due, tasks)
        finally:
            if not isinstance(found, Turn):
                self._leases.end(Ended(key, EndState.RELEASED))
        return found

    def _begun(self, schedule: str, due: datetime, tasks: Collection[str]) -> Turn | Busy | Done | Ahead:
        """Writes the turn down; the lease is ours as far as we know, and we may have slept since."""
        named = _named(self._profile, schedule)
        owner = self._leases.owner
        with self._store.transaction() as session:
            session.lock(f"etlctl:turns:{stored_key(self._profile, schedule)}")
            rows = claims.looked_at(session, [stored_key(self._profile, _key(schedule))])
            row = next(iter(rows.values()), None)
            if row is None or row.owner != owner or row.state != claims.RUNNING:
                return Busy("another process" if row is None else owners.holder(row.owner), None)
            if not _is_about(session, self._profile, schedule, tasks):
                return Busy("another project", None)
            last = recorded(session, self._profile, schedule, 1)
            if last and _settles(last[0], due):
                return Done(last[0])
            now = session.now()
            if due.timestamp() > now + _MOST_AHEAD_S:
                return Ahead(due, moment_of(now))
            number = int(session.run(_NUMBER, named)[0][0]) + 1
            session.run(_ABANDON, {**named, "now": now})
            given: dict[str, Any] = {"number": number, "due": due.timestamp(), "owner": owner, "now": now}
            given["tasks"] = "\n".join(sorted(tasks)) or None
            session.run(_INSERT, {**named, **given})
        return Turn(schedule, number, due, moment_of(now), None, None, None, owner)

    def end(self, turn: Turn, *, code: int, run_id: str | None) -> None:
        """Writes down how it ended, and lets the next one begin.

        UnavailableError where that could not be written: the turn is still ours, and can be ended again.
        """
        given: dict[str, Any] = {"number": turn.number, "owner": turn.owner, "code": int(code), "run_id": run_id}
        with self._store.transaction() as session:
            session.run(_END, {**_named(self._profile, turn.schedule), **given, "now": session.now()})
        with self._guard:
            is_held = self._held.get(turn.schedule) == turn
            if is_held:
                del self._held[turn.schedule]
            self._lost.pop(turn.schedule, None)
        if is_held:
            self._leases.end(Ended(_key(turn.schedule), EndState.RELEASED))

    def lost(self, turn: Turn) -> str:
        """Why `turn` is not ours any more, as one sentence; empty while it is."""
        self._note_lost()
        with self._guard:
            if self._held.get(turn.schedule) == turn:
                return ""
            return self._lost.get(turn.schedule, "this process does not hold it")

    def _note_lost(self) -> None:
        """What was lost is held no more, also where nobody ends it: the next turn of its schedule can be claimed."""
        found = self._leases.lost()
        with self._guard:
            for schedule in [one for one in self._held if _key(one) in found]:
                self._lost[schedule] = found[_key(schedule)]
                del self._held[schedule]

    def close(self) -> None:
        """Gives back what is still held; the turns themselves stay without an end."""
        self._leases.close()


def _settles(last: Turn, due: datetime) -> bool:
    """Whether nothing is to be done for `due`, `last` being the newest turn; without an end it may have been killed,
    and its lease tells."""
    return last.due > due or (last.due == due and last.ended_at is not None)


def _key(schedule: str) -> str:
    """Under which the runner's keys, which are hashes, never are."""
    return f"schedule {schedule}"


def _named(profile: str | None, schedule: str) -> dict[str, Any]:
    return {"profile": profile or "", "schedule": schedule}
