"""Starts the etlctl command line with fault points that tell a parent where it is: `launch.py FD PLAN WORD…`.

Each point passed is one line on the file descriptor FD; PLAN is a `racers.Plan` as JSON, or null. Nothing of this is in
the package: there, a point does nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Replaces the point, then is etlctl."""
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from torture.racers import Plan, follow

    plan = json.loads(sys.argv[2])
    follow(Plan(**plan) if plan else None, int(sys.argv[1]))
    sys.argv = ["etlctl", *sys.argv[3:]]
    from etlctl.cli.main import main as etlctl

    sys.exit(etlctl())


if __name__ == "__main__":
    main()
