"""Workers of a loop are forked beside its threads (pulse, health, leases), whatever these are at."""

from __future__ import annotations

import sqlite3
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from textwrap import dedent

import pytest

from looping import Looping, loop_of, looping

FLOWS = '''
    """A thread imports a module over and over, which takes half of the time; so do tasks, in workers."""

    import sys
    import threading
    import time
    from importlib import import_module

    from etlctl import IntParameter, LocalTarget, Task, WrapperTask


    def imports():
        while True:
            sys.modules.pop("slow_to_import", None)
            import_module("slow_to_import")
            time.sleep(0.04)


    class Uses(Task):
        number = IntParameter()

        def output(self):
            return LocalTarget(f"out/{self.number}")

        def run(self):
            sys.modules.pop("slow_to_import", None)
            import_module("slow_to_import")
            with self.output().open("w") as file:
                file.write("done")


    class Both(WrapperTask):
        number = IntParameter(default=lambda: int(time.time() / 2))

        def requires(self):
            return [Uses(2 * self.number), Uses(2 * self.number + 1)]


    threading.Thread(target=imports, daemon=True).start()
'''
TURNS = 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="a program with threads is not forked there")
def test_turns_with_workers_go_on_while_threads_import_and_health_is_asked(tmp_path: Path) -> None:
    """B6: each template would have a copy of an import that nobody ends, and its workers would wait for ever."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "flows.py").write_text(dedent(FLOWS).lstrip())
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.04)\n")
    (tmp_path / "etlctl.toml").write_text('[schedules.often]\ntasks = ["Both"]\nevery = "2s"\n')
    command, port = loop_of("", grace_s=1, jobs=2)

    with looping(command, tmp_path, port) as loop:
        is_over = threading.Event()
        asks = threading.Thread(target=ask, args=(loop, is_over))
        asks.start()
        try:
            loop.wait_for(lambda: done(tmp_path) >= TURNS, f"the end of {TURNS} turns")
        finally:
            is_over.set()
            asks.join()

    assert len(list((tmp_path / "out").iterdir())) >= TURNS


def ask(loop: Looping, is_over: threading.Event) -> None:
    """For its health, fifty times a second."""
    while not is_over.wait(0.02):
        with suppress(ValueError):  # half an answer, at its end
            loop.document()


def done(project: Path) -> int:
    """Turns that have ended well."""
    found = [path for path in project.glob(".etlctl/**/*.db") if path.name.startswith("state")]
    if not found:
        return 0
    with closing(sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True)) as state, suppress(sqlite3.OperationalError):
        return int(state.execute("SELECT count(*) FROM etlctl_turns WHERE code = 0").fetchone()[0])
    return 0
