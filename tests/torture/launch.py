"""Starts the etlctl command line with fault points that tell a parent where it is: `launch.py FD WORD…`.

Each point passed is one line on the file descriptor FD. Nothing of this is in the package: there, a point does nothing.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Replaces the point, then is etlctl."""
    descriptor = int(sys.argv[1])
    sys.argv = ["etlctl", *sys.argv[2:]]
    from etlctl import faultpoints

    def tell(name: str) -> None:
        os.write(descriptor, f"{name}\n".encode())

    faultpoints.point = tell
    from etlctl.cli.main import main as etlctl

    etlctl()


if __name__ == "__main__":
    main()
