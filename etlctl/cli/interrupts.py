"""SIGINT, SIGTERM and SIGHUP (the terminal is gone) during a build: the first ends it gently, the second at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from etlctl.core.interruption import interrupt
from etlctl.errors import ExitCode

_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.HANGUP,
}
STOPPING = "stopping when what runs has ended; once more stops it now"


class Interrupts:
    """What signals have asked for so far; as a function it is the `stop` that a build asks."""

    def __init__(self) -> None:
        self.code: ExitCode | None = None
        """The exit code of the first signal; None while there was none."""
        self.speaks = True
        """Whether the handler says on stderr that it heard; a live display shows it itself."""

    def __call__(self) -> ExitCode | None:
        return self.code

    def received(self, number: int, frame: FrameType | None) -> None:
        """The handler. At the second signal it gives the task an Interruption; a third ends the process."""
        if self.code is not None:
            signal.signal(number, signal.SIG_DFL)
            interrupt()
        self.code = _CODES[signal.Signals(number)]
        if self.speaks:
            with suppress(OSError):
                os.write(
                    2, f"\netlctl: {STOPPING}.\n".encode()
                )  # a buffered write may be under way: print() could not be entered again


@contextmanager
def watched() -> Iterator[Interrupts]:
    """Interrupts that hear those signals within the block; a signal that is ignored stays so (nohup)."""
    interrupts = Interrupts()
    before = {}
    for number in _CODES:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, interrupts.received)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
