"""What was told already, so that what goes on failing is not told at every turn, and its end is told once.

A key stands for one failure of one task at one notifier. With a state database the memory is kept there
(`db.state.notices`): four loops tell once between them, and a loop that was restarted does not tell again. Without
one it lasts as long as the process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from threading import Lock
from typing import Protocol

from etlctl.core.results import TaskResult

MOST = 10_000
"""Failures that are remembered at once in a process; the oldest are forgotten first."""
NO_TASK = ""
"""Stands for the id of a task where the run itself is meant."""
VARYING = re.compile(r"\b0x[0-9a-f]+\b|\b(?=[0-9a-f-]*\d)[0-9a-f-]{8,}\b|\d+", re.IGNORECASE)
"""What may differ in two texts about the same."""


class Memory(Protocol):
    """Where keys are kept. Thread-safe; may raise UnavailableError."""

    def first(self, keys: Sequence[str], *, again_after_s: float) -> set[str]:
        """Those that nobody has had from here for `again_after_s`; they are on record as told now."""

    def open(self, prefix: str) -> set[str]:
        """The keys on record that begin with `prefix`."""

    def settle(self, keys: Sequence[str]) -> set[str]:
        """Those that this call has taken off the record; another caller's are not among them."""

    def close(self) -> None:
        """The last call."""


class LocalMemory:
    """A memory of this process alone, with room for MOST keys."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}
        self._lock = Lock()

    def first(self, keys: Sequence[str], *, again_after_s: float) -> set[str]:
        """See Memory."""
        with self._lock:
            now = self._clock()
            fresh = {key for key in keys if key not in self._told or now - self._told[key] >= again_after_s}
            for key in keys:
                if key in fresh:
                    self._told.pop(key, None)  # the newest stand last
                    self._told[key] = now
            for key in list(self._told)[: max(0, len(self._told) - MOST)]:
                del self._told[key]
            return fresh

    def told(self, keys: Sequence[str], *, within_s: float) -> set[str]:
        """Those that were had from here within that time; nothing is recorded."""
        with self._lock:
            now = self._clock()
            return {key for key in keys if key in self._told and now - self._told[key] < within_s}

    def open(self, prefix: str) -> set[str]:
        """See Memory."""
        with self._lock:
            return {key for key in self._told if key.startswith(prefix)}

    def settle(self, keys: Sequence[str]) -> set[str]:
        """See Memory."""
        with self._lock:
            return {key for key in keys if self._told.pop(key, None) is not None}

    def close(self) -> None:
        """See Memory."""


def prefix_of(notifier: str) -> str:
    """What the keys of one notifier begin with."""
    return f"notify:{sha256(notifier.encode()).hexdigest()[:12]}:"


def key_of(notifier: str, result: TaskResult) -> str:
    """The key of a failure. Numbers in its reason do not count: 2 duplicates and 3 duplicates are the same one."""
    said = f"{result.status}|{VARYING.sub('#', result.reason)}"
    return f"{stem_of(notifier, result.task.task_id)}{sha256(said.encode()).hexdigest()[:12]}"


def key_of_run(notifier: str, reason: str) -> str:
    """The key of a run that was given up, for a reason of its own and not of a task's."""
    return f"{stem_of(notifier, NO_TASK)}{sha256(VARYING.sub('#', reason).encode()).hexdigest()[:12]}"


def stem_of(notifier: str, task_id: str) -> str:
    """What the keys of one task at one notifier begin with."""
    return f"{prefix_of(notifier)}{sha256(task_id.encode()).hexdigest()[:32]}:"
