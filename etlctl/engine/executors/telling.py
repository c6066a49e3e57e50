"""What an attempt tells while its task runs elsewhere: which of its fields, and how often, by whatever way they go."""

from __future__ import annotations

import time
from typing import Any, Protocol

from etlctl.core.context import Attempt

_TELL_EVERY_S = 0.25
_BURST = 8
_OFTEN = frozenset({"rows", "progress"})
_SELDOM = frozenset({"status", "waiting"})


class Teller(Protocol):
    """Tells the building process what has changed."""

    def tell(self, attempt: Attempt, *, is_seldom: bool) -> None:
        """A field has changed, one that seldom does, or one that may do so with each row."""


class Pace:
    """When to tell: numbers at most four times a second, what is said seldom nearly always."""

    def __init__(self) -> None:
        self._last = 0.0
        self._tokens = float(_BURST)

    def is_due(self, *, is_seldom: bool) -> bool:
        """Whether to tell now; counted as told then."""
        now = time.monotonic()
        if now - self._last < _TELL_EVERY_S and not is_seldom:
            return False
        self._tokens = min(_BURST, self._tokens + (now - self._last) / _TELL_EVERY_S)
        self._last = now
        if is_seldom and self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class _ToldAttempt(Attempt):
    _teller: Teller | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if self._teller is not None and (name in _OFTEN or name in _SELDOM):
            self._teller.tell(self, is_seldom=name in _SELDOM)


def tells(attempt: Attempt, teller: Teller) -> None:
    """From here on the attempt's changes are told; what its fields hold already need not be."""
    attempt.__class__ = _ToldAttempt
    attempt.__dict__["_teller"] = teller


def told(attempt: Attempt) -> dict[str, Any]:
    """What an attempt has told so far, for the wire."""
    return {
        "rows": attempt.rows,
        "progress": attempt.progress,
        "status": attempt.status,
        "waiting": attempt.waiting,
        "notes": [str(note) for note in attempt.notes],
    }
