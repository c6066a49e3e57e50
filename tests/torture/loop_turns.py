"""Turns of one loop that find nothing to do: a part of `make torture-loop`.

    python tests/torture/loop_turns.py                        10,000 turns on SQLite files, 1,000 on PostgreSQL, and the
                                                              section of docs/reliability-figures.md
    python tests/torture/loop_turns.py --turns 60 --only postgresql
    python tests/torture/loop_turns.py --control              a task that leaves something behind, to be found out

Each turn opens settings' databases, asks what is done, writes itself down, and closes all. The clock jumps to the next
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path[0] = str(REPOSITORY / "tests")

from etlctl.errors import ExitCode  # noqa: E402
from loop_house import House, JumpingClock  # noqa: E402  the path above comes first
from servers.postgres import postgres  # noqa: E402  as above
from torture import sections  # noqa: E402  as above
from torture.figures import NAMES  # noqa: E402  as above

PAGE = REPOSITORY / sections.PAGE
TURNS = {"sqlite": 10_000, "postgresql": 1_000}
SETTLED = 200
CONTROL_TURNS = 60
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


_LEAVING = """
    def complete(self):
        LEFT.append((open("/dev/null"), bytes(50_000)))
        return super().complete()
"""
"""What a task must not do."""
_LEFT = "a task that leaves memory and descriptors behind"


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


class Flat(NamedTuple):
    """What came of the turns on one database."""

    database: str
    turns: int
    before: Look
    after: Look
    took_s: float


def turns(
    number: int, settled: int, folder: Path, url: str, sessions: Callable[[], int], flows: str = _FLOWS
) -> tuple[Look, Look]:
    """So many turns after those that settle; the look before them and the look after."""
    state = f'[state]\nurl = "{url}"\n' if url else ""
    warehouse = url or "sqlite:///.etlctl/warehouse.db"
    house = House(
        folder,
        "turns",
        f'{state}[connections.warehouse]\nurl = "{warehouse}"\n[loop]\nlocal_state_ok = true\n'
        '[schedules.often]\ntasks = ["Day"]\nevery = "1m"\ndate = "2026-05-08"\nwindow = "3d"\n',
        flows,
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
def database(name: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """The URL of state and warehouse, empty for SQLite files; and how many sessions it has."""
    if name == "sqlite":
        yield "", lambda: 0
        return
    with postgres() as server:
        url = server.new_database()
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        yield url, lambda: int(server.ask(count, url.rpartition("/")[2])[0][0])


def flat(name: str, number: int, settled: int, flows: str = _FLOWS) -> Flat:
    """Turns on that database, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="etlctl-turns-") as folder, database(name) as (url, sessions):
        here = os.getcwd()
        os.chdir(folder)
        began = time.monotonic()
        try:
            before, after = turns(number, settled, Path(folder), url, sessions, flows)
        finally:
            os.chdir(here)
    return Flat(name, number, before, after, time.monotonic() - began)


def found_out() -> list[str]:
    """What is said against turns of a task that leaves memory and descriptors behind."""
    leaving = dedent(_FLOWS).replace("class Day", "LEFT = []\n\n\nclass Day") + _LEAVING
    one = flat("sqlite", CONTROL_TURNS, CONTROL_TURNS // 2, leaving)
    return complaints(one.before, one.after)


def section(found: Sequence[Flat], controls: Mapping[str, int], day: str) -> str:
    """What the page says of them."""
    rows = [
        "| state and warehouse | turns | memory | descriptors | threads | sessions |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        told = [f"{one.before.memory_mb:.1f} to {one.after.memory_mb:.1f} MB"]
        pairs = [
            (getattr(one.before, name), getattr(one.after, name)) for name in ("descriptors", "threads", "sessions")
        ]
        told += [f"{before} to {after}" for before, after in pairs]
        rows.append(f"| {NAMES[one.database]} | {one.turns:,} | {' | '.join(told)} |")
    return f"""{sections.TURNS}

`make torture-loop` has a loop take turns that find nothing to do, its clock jumping from one to the next, and looks at
its process after {SETTLED} turns and at the end. Memory may grow by less than {MOST_MB:g} MB, threads and the server's
sessions by nothing, descriptors by those of one connection: the thread that keeps leases alive has one, some of the
time. The harness must find out {_LEFT}. Run on {day}.

""" + "\n".join([*rows, *sections.controls(controls, "complaints"), ""])


def main() -> int:
    """Runs what is asked for; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, help="other numbers than the usual; the page is left as it is")
    parser.add_argument("--settled", type=int, default=SETTLED, help="turns before the first look")
    parser.add_argument("--only", choices=TURNS, help="one database; the page is left as it is")
    parser.add_argument("--control", action="store_true", help="a known-bad task alone: must be found out")
    given = parser.parse_args()
    found = []
    for name in [] if given.control else [given.only] if given.only else TURNS:
        one = flat(name, given.turns or TURNS[name], given.settled)
        print(f"{name}: {one.turns:,} turns in {one.took_s:.0f} s\nbefore {one.before}\nafter  {one.after}", flush=True)
        found.append(one)
    wrong = [sentence for one in found for sentence in complaints(one.before, one.after)]
    is_whole = not (given.control or given.only or given.turns)
    controls = (
        {"a task that leaves memory and descriptors behind": len(found_out())} if given.control or is_whole else {}
    )
    print(*sections.controls(controls, "complaints"), sep="\n")
    if is_whole:
        sections.write(PAGE, section(found, controls, datetime.now(UTC).date().isoformat()))
    if found:
        print("\n".join(wrong) or "flat")
    return int(bool(wrong) or not all(controls.values()))


if __name__ == "__main__":
    sys.exit(main())
