"""How long attempts took lately: whether others may be handed to a worker before it has ended the one it is at."""

from __future__ import annotations

import math
from typing import Any

from etlctl.engine.executors.peer import LARGEST_BATCH

_QUICK_S = 0.005
_QUICK_ENDS = 16
_SHORT_S = 0.1
"""From here on the moment between two attempts is nothing beside them, and what waits is better off elsewhere."""
_SHORT_ENDS = 4


class Paces:
    """By class of tasks, and of all of them, how many ended in a row that were over soon."""

    def __init__(self) -> None:
        self._quick: dict[Any, float] = {}  # mypy takes a class of tasks for one of its instances
        self._short: dict[Any, float] = {}
        self._all_quick = 0
        self._all_short = 0

    def is_short(self, kind: Any) -> bool:
        """Whether one may be handed ahead."""
        return self._short.get(kind, 0) >= _SHORT_ENDS

    def is_quick(self, kind: Any) -> bool:
        """Whether several may be."""
        return self._quick.get(kind, 0) >= _QUICK_ENDS

    @property
    def ahead(self) -> int:
        """Attempts for each worker besides the one it is at."""
        if self._all_quick >= _QUICK_ENDS:
            return 2 * LARGEST_BATCH
        return 1 if self._all_short >= _SHORT_ENDS else 0

    def took(self, kind: Any, active_s: float, *, is_silent: bool) -> None:
        """One has ended."""
        is_short, is_quick = active_s < _SHORT_S, active_s < _QUICK_S and is_silent
        self._short[kind] = self._short.get(kind, 0) + 1 if is_short else 0
        self._quick[kind] = self._quick.get(kind, 0) + 1 if is_quick else 0
        self._all_short = self._all_short + 1 if is_short else 0
        self._all_quick = self._all_quick + 1 if is_quick else 0

    def waits(self, kind: Any) -> None:
        """One waits for others, as any of its class may: what was handed ahead would wait with it."""
        self._short[kind] = self._quick[kind] = -math.inf
        self._all_short = self._all_quick = 0
