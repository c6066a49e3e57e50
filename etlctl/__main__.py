"""The way in: `etlctl`, and `python -m etlctl`. Hears signals from the first moment, before anything is imported."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def run() -> int:
    """Runs the command line of this process and returns its exit code."""
    if os.getpid() == 1:  # the kernel gives the first process of a container no signal that it has no handler for
        signal.signal(signal.SIGTERM, _leave)
    try:
        from etlctl.cli.main import main
    except KeyboardInterrupt:
        sys.stderr.write("\netlctl: interrupted.\n")
        return 130
    return main()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(run())
