"""The garbage of a process that lives long: cycles of objects that turns leave behind.

A build sets apart what was there before it and puts it among the old again, and of the old Python by itself hardly ever
frees anything.
"""

from __future__ import annotations

import gc

_MOST_UNCOLLECTED = 10
"""Turns that found nothing to do."""


class Cycles:
    """Frees those of turns, after each that did something and after some of the others."""

    def __init__(self) -> None:
        self._uncollected = 0

    def turn_ended(self, *, is_large: bool) -> None:
        """`is_large` is a turn that found something to do."""
        self._uncollected += 1
        if is_large or self._uncollected >= _MOST_UNCOLLECTED:
            gc.collect()
            self._uncollected = 0
