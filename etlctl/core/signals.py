"""What signals ask of a process that builds: the first to end gently, the second at once. No clock, no screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from signal import Signals
from types import FrameType

from etlctl.core.interruption import interrupt
from etlctl.errors import ExitCode

CODES: Mapping[int, ExitCode] = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.HANGUP,
}
"""What a process that was ended by a signal tells its caller."""
Handler = Callable[[int, FrameType | None], object]


class Interrupts:
    """What signals have asked for so far; as a function it is the `stop` that a build asks."""

    def __init__(self, stopping: str) -> None:
        """`stopping` is said on stderr at the first signal."""
        self.code: ExitCode | None = None
        """The exit code of the first signal; None while there was none."""
        self.speaks = True
        """Whether the handler says on stderr that it heard; a live display shows it itself."""
        self.is_cut_short = False
        """Whether there was a second one."""
        self.says: Callable[[str], object] = tell
        """Takes what it says, a line; called by a handler of a signal."""
        self._stopping = stopping
        self._pid = os.getpid()

    def __call__(self) -> ExitCode | None:
        return self.code

    def received(self, number: int, frame: FrameType | None) -> None:
        """The handler. At the second signal it gives the task an Interruption; a third ends the process."""
        if self.is_copy:
            obey(number)
        elif self.code is not None:
            signal.signal(number, signal.SIG_DFL)
            self.cut_short()
        else:
            self.end(CODES[number])

    def end(self, code: ExitCode) -> None:
        """As the first signal does, whoever asks for it; later ones change nothing. From any thread."""
        if self.code is None:
            self.code = code
            if self.speaks:
                self.says(f"etlctl: {self._stopping}.")

    def cut_short(self) -> None:
        """As the second signal does: raises an Interruption. In the main thread alone."""
        self.is_cut_short = True
        interrupt()

    @property
    def is_copy(self) -> bool:
        """Whether this is a forked process's copy, which no signal's handler was meant for."""
        return os.getpid() != self._pid


@contextmanager
def handled(handlers: Mapping[Signals, Handler], *, always: Iterable[Signals] = ()) -> Iterator[None]:
    """Those handlers within the block. A signal that is ignored stays so (nohup), unless it is one of `always`."""
    before = {}
    for number, handler in handlers.items():
        if number in always or signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def obey(number: int) -> None:
    """Lets a signal do what it does to a process without handlers: os.fork() in a task copies ours."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def tell(text: str) -> None:
    """Writes a line to stderr at once. A buffered write may be under way: print() cannot be entered again."""
    begun = "\n" if os.isatty(2) else ""  # behind the ^C of a terminal
    with suppress(OSError):
        os.write(2, f"{begun}{text}\n".encode())
