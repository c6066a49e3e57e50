"""A loop in little: what `etlctl loop` has of signals and health, with one task that it is asked for for ever.

python tests/small_loop.py GRACE PORT TASK [JOBS]      in the folder of a project
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from etlctl.loop.reaping import stand_before

if TYPE_CHECKING:
    from etlctl.loop.ending import Ending
    from etlctl.loop.vitals import Vitals

PAUSE_S = 600.0


def main(grace_s: float, port: int, task: str, jobs: int) -> int:
    from etlctl.core.interruption import heard
    from etlctl.loop.ending import Ending
    from etlctl.loop.vitals import Vitals

    vitals = Vitals()
    ending = Ending(grace_s, on_end=vitals.ends)
    try:
        with ending:
            turns(vitals, ending, port, task, jobs)
    except KeyboardInterrupt as error:
        heard(error)
    return ending() or 0


def turns(vitals: Vitals, ending: Ending, port: int, task: str, jobs: int) -> None:
    from etlctl import settings
    from etlctl.app import App
    from etlctl.loop import health
    from etlctl.runs import RunOptions

    found = settings.load(Path("config/etlctl.toml"), environ=os.environ, cwd=Path.cwd())
    vitals.settings_loaded()
    with health.serve(vitals, "127.0.0.1", port), App.open(found) as app:
        vitals.state_reachable(True)
        while ending() is None:
            vitals.turn_began(task, datetime.now(UTC))
            wanted = [app.registry.find(task)()]
            summary = app.build(wanted, stop=ending, options=RunOptions.of(found, jobs=jobs))
            vitals.turn_ended(task, summary.exit_code, summary)
            vitals.next_due(task, datetime.now(UTC) + timedelta(seconds=PAUSE_S))
            while ending() is None and not ending.take_reload():
                vitals.waits(PAUSE_S)
                ending.wait(PAUSE_S)


if __name__ == "__main__":
    if os.getpid() == 1:
        stand_before()
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int([*sys.argv, "1"][4])))
