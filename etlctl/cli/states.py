"""How a task stands, whatever a build would do about it: four words, and the sign of each on a screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from etlctl.cli.layout import Style
from etlctl.core.plan import Decision

State = Literal["done", "missing", "blocked", "unknown"]
STATES: Final[tuple[State, ...]] = ("done", "missing", "blocked", "unknown")
"""From the best to the worst."""
SIGNS: Final[Mapping[State, tuple[str, Style]]] = {
    "done": ("█", Style.GOOD),
    "missing": ("·", Style.DIM),
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
