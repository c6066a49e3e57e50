"""What time it is, and waiting: the one door through which a loop learns of time, so that tests bring their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as a loop sees it."""

    def now(self) -> datetime:
        """The instant by the wall's clock, aware, UTC. May jump, back too."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or earlier when something asks for it."""


class SystemClock:
    """That of the machine."""

    def __init__(self, wait: Callable[[float], None] = time.sleep) -> None:
        self.wait = wait

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
