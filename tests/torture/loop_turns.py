"""Turns of one loop that find nothing to do: `python tests/torture/loop_turns.py [--turns 10000] [--postgres]`.

Each opens settings' databases, asks what is done, writes its turn down, and closes all. The clock jumps to the next
turn, so nothing is waited for. Memory, descriptors, threads and the server's sessions are looked at after a beginning
in which imports and caches settle, and at the end: the first may grow by less than 5 MB, the others by
nothing (descriptors by those of one connection).
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path[0] = str(REPOSITORY / "tests")

from etlctl.errors import ExitCode  # noqa: E402
from loop_house import House, JumpingClock  # noqa: E402  the path above comes first
from servers.postgres import postgres  # noqa: E402

MOST_MB = 5.0
MOST_GARBAGE = 10_000
_ONE_CONNECTION = 3
"""Descriptors of a SQLite database; the thread that keeps leases alive has one of its own, some of the time."""
_ENDING_S = 10.0
_FLOWS = '''
    from etlctl import DateParameter, LoadTable


    class Day(LoadTable):
        """A row a day; its marker is asked for in each turn."""

        date = DateParameter()
        table = "days"
        columns = {"date": "date"}

        def rows(self):
            yield {"date": self.date}
'''


class Look(NamedTuple):
    """What the process holds at a moment."""

    memory_mb: float
    descriptors: int
    threads: int
    sessions: int
    """Of the server."""
    garbage: int
    """Objects that nothing refers to and nobody has freed."""


class _Endless:
    """The ending of a loop that never gets a signal."""

    def __call__(self) -> ExitCode | None:
        return None

    def take_reload(self) -> bool:
        return False


def turns(number: int, settled: int, folder: Path, url: str, sessions: Callable[[], int]) -> tuple[Look, Look]:
    """So many turns after those that settle; the look before them and the look after."""
    state = f'[state]\nurl = "{url}"\n' if url else ""
    warehouse = url or "sqlite:///.etlctl/warehouse.db"
    house = House(
        folder,
        "turns",
        f'{state}[connections.warehouse]\nurl = "{warehouse}"\n[loop]\nlocal_state_ok = true\n'
        '[schedules.often]\ntasks = ["Day"]\nevery = "1m"\ndate = "2026-05-08"\nwindow = "3d"\n',
        _FLOWS,
    )
    clock = JumpingClock(datetime(2026, 5, 8, tzinfo=UTC))
    loop = house.loop(clock, _Endless())
    loop.run(settled, keeps_open=True)
    before = look(sessions)
    loop.run(settled + number, keeps_open=True)
    after = _settled(before, sessions)
    assert loop.run(loop.turns) is ExitCode.DONE
    assert loop.turns == settled + number
    return before, after


def look(sessions: Callable[[], int]) -> Look:
    garbage = gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Look(
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        sessions(),
        garbage,
    )


def _settled(before: Look, sessions: Callable[[], int]) -> Look:
    """A look; others, where something has grown: threads and sessions of the last turn may still be ending."""
    latest = time.monotonic() + _ENDING_S
    while complaints(before, after := look(sessions)) and time.monotonic() < latest:
        time.sleep(0.1)
    return after


def complaints(before: Look, after: Look) -> list[str]:
    """What has grown that must not."""
    found = []
    if after.memory_mb - before.memory_mb >= MOST_MB:
        found.append(f"memory grew from {before.memory_mb:.1f} MB to {after.memory_mb:.1f} MB")
    if after.garbage > MOST_GARBAGE:
        found.append(f"{after.garbage:,} objects were not freed")
    for name, spare in (("descriptors", _ONE_CONNECTION), ("threads", 0), ("sessions", 0)):
        if getattr(after, name) > getattr(before, name) + spare:
            found.append(f"{name} grew from {getattr(before, name)} to {getattr(after, name)}")
    return found


@contextmanager
def database(is_server: bool) -> Iterator[tuple[str, Callable[[], int]]]:
    """The URL of state and warehouse, empty for SQLite files; and how many sessions it has."""
    if not is_server:
        yield "", lambda: 0
        return
    with postgres() as server:
        url = server.new_database()
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        yield url, lambda: int(server.ask(count, url.rpartition("/")[2])[0][0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--settled", type=int, default=200, help="turns before the first look")
    parser.add_argument("--postgres", action="store_true", help="state and warehouse on a server")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="etlctl-turns-") as folder, database(given.postgres) as (url, sessions):
        os.chdir(folder)
        began = time.monotonic()
        before, after = turns(given.turns, given.settled, Path(folder), url, sessions)
        os.chdir("/")
    print(f"{given.turns:,} turns in {time.monotonic() - began:.0f} s")
    print(f"before {before}\nafter  {after}")
    found = complaints(before, after)
    print("\n".join(found) or "flat")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
