"""The way in: `etlctl`, and `python -m etlctl`. Hears signals from the first moment, before anything is imported."""

import os
import sys


def run() -> int:
    """Runs the command line of this process and returns its exit code."""
    if os.getpid() == 1:  # the kernel gives the first process of a container no signal that it has no handler for
        from etlctl.loop.reaping import stand_before

        stand_before()
    try:
        from etlctl.cli.main import main
    except KeyboardInterrupt:
        sys.stderr.write("\netlctl: interrupted.\n")
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(run())
