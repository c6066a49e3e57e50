"""A database that goes and comes back while a loop works: real servers, and the loop as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import psycopg2
import pytest

from servers.postgres import PostgresServer, postgres

PATIENCE_S = 60.0
GONE, BACK = "; the loop goes on", "can be used again after"
FLOWS = '''
    import time

    from etlctl import IntParameter, LoadTable, WrapperTask


    class Step(LoadTable):
        """A row that takes its time."""

        number = IntParameter()
        table = "steps"
        columns = {"number": "integer"}

        def rows(self):
            time.sleep(0.2)
            yield {"number": self.number}


    class All(WrapperTask):
        def requires(self):
            return [Step(number) for number in range(12)]
'''


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of its own: it is stopped."""
    with postgres() as one:
        yield one


@contextmanager
def loop(folder: Path, state: str, warehouse: str) -> Iterator[Callable[[], list[str]]]:
    """A loop that is ended by SIGTERM when the block is left, and must leave with its code; its lines so far."""
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "steps.py").write_text(dedent(FLOWS).lstrip())
    (folder / "etlctl.toml").write_text(
        f'[state]\nurl = "{state}"\nlease_ttl = 4\n[connections.warehouse]\nurl = "{warehouse}"\nconnect_timeout = 2\n'
        '[loop]\nbackoff_max = "2s"\nlocal_state_ok = true\n'
        '[schedules.all]\ntasks = ["All"]\nevery = "30s"\n'
    )
    out = folder / "loop.log"
    with open(out, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "etlctl", "loop"], cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        yield lambda: out.read_text().splitlines()
        assert process.poll() is None, out.read_text()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 143, out.read_text()
    finally:
        process.kill()
        process.wait()


def until(is_so: Callable[[], bool], what: str, lines: Callable[[], list[str]]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "\n".join([f"{what} did not come", *lines()])
        time.sleep(0.05)


def rows(server: PostgresServer, url: str) -> int:
    try:
        return int(server.ask("SELECT count(*) FROM steps", url=url)[0][0])
    except psycopg2.Error:  # the table is not there yet, or the server not back
        return -1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("has_shared_state", "down_s"),
    [
        pytest.param(True, 0.0, id="state too"),
        pytest.param(True, 60.0, id="state too, for a minute", marks=[pytest.mark.long, pytest.mark.timeout(240)]),
        pytest.param(False, 60.0, id="warehouse alone", marks=[pytest.mark.long, pytest.mark.timeout(240)]),
    ],
)
def test_a_loop_outlives_a_database_that_is_stopped_in_a_turn(
    tmp_path: Path, server: PostgresServer, has_shared_state: bool, down_s: float
) -> None:
    """F72: one line when it goes, one when it is back; then the turn is brought to its end, each row once. In a minute
    the backoff is at its longest, so that an hour would go on as its last seconds did."""
    url = server.new_database()
    with loop(tmp_path, url if has_shared_state else "sqlite:///state.db", url) as lines:
        until(lambda: rows(server, url) >= 2, "the second row", lines)
        server.stop()
        until(lambda: any(GONE in line for line in lines()), "the line about its end", lines)
        time.sleep(down_s)
        server.start()
        until(lambda: any("exit 0" in line for line in lines()), "the end of the turn", lines)
        until(lambda: any(BACK in line for line in lines()), "the line about its return", lines)
        said = lines()
        found = server.ask("SELECT count(*), count(DISTINCT number) FROM steps", url=url)

    text = "\n".join(said)
    assert found == [(12, 12)], text
    assert sum(GONE in line for line in said) == 1, text
    assert sum(BACK in line for line in said) == 1, text
    assert sum("OK " in line for line in said) >= 12, text
    assert not [line for line in said if "Traceback" in line or "FAIL " in line or "WARNING" in line], text
