"""How a task stands, whatever a build would do about it: four words, two more of the history, and their signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from etlctl.cli.layout import Style
from etlctl.core.plan import Decision

State = Literal["done", "missing", "blocked", "unknown"]
STATES: Final[tuple[State, ...]] = ("done", "missing", "blocked", "unknown")
"""From the best to the worst."""
Shown = Literal["done", "running", "missing", "failed", "blocked", "unknown"]
"""What a screen of the status tells: of what is missing also what runs now, and what failed when it ran last."""
SHOWN: Final[tuple[Shown, ...]] = ("done", "running", "missing", "failed", "blocked", "unknown")
"""From the best to the worst."""
SIGNS: Final[Mapping[Shown, tuple[str, Style]]] = {
    "done": ("█", Style.GOOD),
    "running": (">", Style.STRONG),
    "missing": ("·", Style.DIM),
    "failed": ("x", Style.BAD),
    "blocked": ("!", Style.WARN),
    "unknown": ("?", Style.BAD),
}


def state_of(decision: Decision) -> State:
    """How a task of a plan stands, whatever a build would do about it."""
    match decision:
        case Decision.DONE:
            return "done"
        case Decision.BLOCKED:
            return "blocked"
        case Decision.BROKEN:
            return "unknown"
        case Decision.RUN | Decision.UNNEEDED:
            return "missing"
