"""Whether the state database can be used, as a loop sees it: asked now and then, told to health, metrics and the story.

Raises nothing but what a question raises; what follows from it is the loop's business.
"""

from __future__ import annotations

from collections.abc import Callable

from etlctl.errors import UnavailableError
from etlctl.loop.clock import Clock
from etlctl.loop.outages import Outages
from etlctl.loop.project import Project
from etlctl.loop.vitals import Vitals

STATE = "the state"
"""Who asks, in the words of Outages."""
LOOK_S = 15.0
"""Without a question, where nothing is due."""
_LOOK_IN_TURN_S = 5.0
"""Between two questions of a turn, while it is gone."""


class StatePresence:
    """That of the state database of the project as it is now."""

    def __init__(self, project: Callable[[], Project], outages: Outages, vitals: Vitals, clock: Clock) -> None:
        self._project = project
        self._outages = outages
        self._vitals = vitals
        self._clock = clock
        self._looks_at = 0.0
        """By the monotonic clock."""

    def look(self) -> None:
        """Asks it now and then though nothing is due: a loop that could begin nothing is not ready."""
        if self._clock.monotonic() >= self._looks_at:
            self._look()

    def look_in_turn(self) -> None:
        """Asks it now and then while it is gone: what can be used is used, and nobody else asks before the end."""
        if self._outages.is_gone(STATE) and self._clock.monotonic() >= self._looks_at - LOOK_S + _LOOK_IN_TURN_S:
            self._look()

    def _look(self) -> None:
        try:
            self.ask()
        except UnavailableError as error:
            self.gone(error)
        else:
            self.here()

    def ask(self) -> None:
        """Whether it can be used: one that had gone must be written to before it counts as back."""
        operations = self._project().operations
        operations.ping() if self._outages.is_gone(STATE) else operations.pauses()

    def gone(self, error: UnavailableError) -> None:
        """It could not be used."""
        self._told(False, str(error))
        self._outages.gone(STATE, str(error))

    def here(self) -> None:
        """It was used."""
        self._told(True)
        self._outages.back(STATE)

    def _told(self, is_here: bool, why: str = "") -> None:
        self._looks_at = self._clock.monotonic() + LOOK_S
        self._vitals.state_reachable(is_here, why)
        self._project().heard("state_reachable", is_here)
