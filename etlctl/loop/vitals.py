"""What a loop tells of itself while it lives: the one value that health, the watchdog and their file read.

Setters are the loop's, readers are other threads. It does no work and keeps no history.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from etlctl.core.results import RunSummary

STUCK_S = 120.0
"""How long the loop may be silent beyond what it said it would wait; a turn under way is never silence."""


class _Standing(NamedTuple):
    """What is known of one schedule."""

    due: datetime | None = None
    """Of the turn under way, or of the last."""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    code: int | None = None
    """Of the last turn that ended; None where none is known."""
    counts: dict[str, int] | None = None
    """Its tasks by status."""
    next_due: datetime | None = None
    is_running: bool = False

    def is_in_the_dark(self, now: datetime) -> bool:
        """Whether there is a turn, due or under way, and no result of one yet."""
        return self.code is None and (self.is_running or self.next_due is None or self.next_due <= now)


class Vitals:
    """Live: the loop's thread turns. Ready: besides, its settings are loaded, the state database answers, and of each
    schedule it is known how the last turn ended, or that there was none. How it ended changes neither."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.RLock()  # a signal's handler may call ends() while its own thread is in here
        self._began_at = now()
        self._is_loaded = False
        self._state: str | None = None
        """Why the state database cannot be used, "" where it can; None while nobody has tried."""
        self._state_since: datetime | None = None
        self._schedules: dict[str, _Standing] = {}
        self._expected = monotonic()
        """When the loop should have been heard of at last, by the monotonic clock."""
        self._is_ending = False

    def settings_loaded(self) -> None:
        """Settings and pipelines are there, and right."""
        with self._lock:
            self._is_loaded = True
            self._heard()

    def state_reachable(self, is_reachable: bool, why: str = "") -> None:
        """Whether the state database answers; `why` not, without a secret."""
        with self._lock:
            state = "" if is_reachable else why or "it cannot be reached"
            if self._state is None or bool(self._state) != bool(state):
                self._state_since = self._now()
            self._state = state
            self._heard()

    def turn_began(self, schedule: str, due: datetime) -> None:
        """A turn is under way; until it ends the loop's thread need not be heard of."""
        self._change(schedule, due=due, began_at=self._now(), is_running=True)

    def turn_ended(self, schedule: str, code: int, summary: RunSummary | None = None) -> None:
        """A turn has ended; `summary` is None where it did not come to a build."""
        counts = {str(status): number for status, number in summary.counts.items()} if summary is not None else None
        self._change(schedule, ended_at=self._now(), code=int(code), counts=counts, is_running=False)

    def next_due(self, schedule: str, instant: datetime | None) -> None:
        """When the schedule is due next; None where never."""
        self._change(schedule, next_due=instant)

    def waits(self, seconds: float) -> None:
        """The loop's thread waits now, and will be heard of after that."""
        with self._lock:
            self._heard(seconds)

    def forget(self, schedule: str) -> None:
        """A reload has taken the schedule away."""
        with self._lock:
            self._schedules.pop(schedule, None)

    def ends(self) -> None:
        """Nothing is begun any more: live until it is over, and not ready."""
        with self._lock:
            self._is_ending = True

    @property
    def is_at_work(self) -> bool:
        """Whether a turn is under way."""
        with self._lock:
            return any(one.is_running for one in self._schedules.values())

    def why_not_live(self) -> str:
        """Empty where the loop lives; else how long its thread was not heard of."""
        with self._lock:
            late_s = self._monotonic() - self._expected
            if late_s <= STUCK_S or self.is_at_work:
                return ""
            return f"the loop was not heard of for {late_s:.0f} s"

    def why_not_ready(self) -> str:
        """Empty where it is ready; else the first reason."""
        with self._lock:
            if self._is_ending:
                return "the loop is ending"
            if not self._is_loaded:
                return "the settings are not loaded"
            if self._state is None:
                return "the state database was not asked yet"
            if self._state:
                return f"the state database cannot be used: {self._state}"
            first = [name for name, one in self._schedules.items() if one.is_in_the_dark(self._now())]
            if first:
                return f"the first turn has not ended: {', '.join(first)}"
            return self.why_not_live()

    def document(self) -> dict[str, Any]:
        """All of it, for JSON: instants in ISO 8601 and UTC."""
        with self._lock:
            return {
                "live": not self.why_not_live(),
                "ready": not self.why_not_ready(),
                "reason": self.why_not_ready(),
                "written_at": _text(self._now()),
                "began_at": _text(self._began_at),
                "pid": os.getpid(),
                "state_since": _text(self._state_since),
                "schedules": {name: _standing(one) for name, one in self._schedules.items()},
            }

    def _change(self, schedule: str, **changes: Any) -> None:
        with self._lock:
            self._schedules[schedule] = self._schedules.get(schedule, _Standing())._replace(**changes)
            self._heard()

    def _heard(self, more_s: float = 0.0) -> None:
        self._expected = self._monotonic() + more_s


def _standing(one: _Standing) -> dict[str, Any]:
    instants = {name: _text(getattr(one, name)) for name in ("due", "began_at", "ended_at", "next_due")}
    return {**instants, "code": one.code, "counts": one.counts, "running": one.is_running}


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
