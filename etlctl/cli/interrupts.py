"""SIGINT, SIGTERM and SIGHUP (the terminal is gone) during a build: the first ends it gently, the second at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from signal import Signals

from etlctl.core.signals import CODES, Interrupts, handled

STOPPING = "stopping when what runs has ended; once more stops it now"


@contextmanager
def watched() -> Iterator[Interrupts]:
    """Interrupts that hear those signals within the block."""
    interrupts = Interrupts(STOPPING)
    with handled({Signals(number): interrupts.received for number in CODES}):
        yield interrupts
