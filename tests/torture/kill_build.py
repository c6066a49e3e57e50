"""kill -9 of `etlctl build` inside open loads, again and again, then one build to the end: is every row there once?

    python tests/torture/kill_build.py --kills 200 [--seed 1] [--pipeline demo|pandas]

A kill counts when the child was between `load.begun` and `load.committed` of some load, which the fault points of
launch.py tell. When a build gets to its end the warehouse is emptied and it all begins again, so that there is always
something to kill; a look at the rows is taken each time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
OPEN = ("load.begun", "load.marker", "load.copied", "load.rowcount")
LONGEST_S = 120


@dataclass
class Tally:
    """What happened so far."""

    kills_inside: int = 0
    kills_outside: int = 0
    ends: int = 0
    at: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        points = ", ".join(f"{name} {number}" for name, number in sorted(self.at.items()))
        return (
            f"{self.kills_inside} kills inside an open load ({points}), {self.kills_outside} outside, "
            f"{self.ends} builds to the end, {len(self.wrong)} wrong"
        )


@dataclass(frozen=True)
class Bench:
    """A project to build, and how to tell that what it loaded is right."""

    folder: Path
    words: tuple[str, ...]
    check: Callable[[Path, bool], list[str]]
    """Given the warehouse and whether all must be there: sentences on what is wrong."""

    @property
    def warehouse(self) -> Path:
        """The SQLite file that is loaded into."""
        return self.folder / ".etlctl" / "warehouse.db"


def torture(bench: Bench, kills: int, rng: random.Random) -> Tally:
    """Builds and kills until `kills` hit an open load, then builds once to the end."""
    tally = Tally()
    longest_s = 0.02
    while tally.kills_inside < kills and not tally.wrong:
        nth = rng.randint(1, 12)
        longest_s = _one_build(bench, tally, nth, rng.uniform(0, longest_s), longest_s)
        tally.wrong.extend(bench.check(bench.warehouse, False))
    code = subprocess.run([*_etlctl(), *bench.words], cwd=bench.folder, capture_output=True, check=False).returncode
    tally.ends += 1
    if code:
        tally.wrong.append(f"the last build exits {code}")
    tally.wrong.extend(bench.check(bench.warehouse, True))
    return tally


def _one_build(bench: Bench, tally: Tally, nth: int, delay_s: float, longest_s: float) -> float:
    """Kills one build `delay_s` after its `nth` load began; returns how long an open load lasts, as far as is known."""
    reading, writing = os.pipe()
    command = [sys.executable, str(HERE / "launch.py"), str(writing), *bench.words]
    child = subprocess.Popen(
        command, cwd=bench.folder, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(writing)
    points = _Points(reading)
    began = 0.0
    try:
        for _ in range(nth):
            if not points.wait_for("load.begun"):
                tally.ends += 1
                tally.wrong.extend(bench.check(bench.warehouse, True))
                shutil.rmtree(bench.warehouse.parent)
                return longest_s
        began = time.perf_counter()
        points.read_for(delay_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
        points.read_for(0)
        if points.last in OPEN:
            tally.kills_inside += 1
            tally.at[points.last] += 1
        else:
            tally.kills_outside += 1
            if points.last == "load.committed":
                longest_s = max(0.002, min(longest_s, 0.9 * longest_s + 0.1 * (time.perf_counter() - began)))
    finally:
        child.kill()
        child.wait()
        os.close(reading)
    return longest_s


class _Points:
    """The names that a child's fault points write."""

    def __init__(self, descriptor: int) -> None:
        self.last = ""
        self._descriptor = descriptor
        self._rest = b""
        self._names: list[str] = []

    def wait_for(self, name: str) -> bool:
        """Reads on until `name` comes; False when the child closed its end first."""
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            while self._names:
                self.last = self._names.pop(0)
                if self.last == name:
                    return True
            if not self._read(1.0):
                return False
        raise TimeoutError(f"no {name} within {LONGEST_S} s")

    def read_for(self, seconds: float) -> None:
        """Takes in what comes within `seconds`, and everything that is there already."""
        end = time.monotonic() + seconds
        while self._read(max(0.0, end - time.monotonic()), quiet_ends=True):
            if time.monotonic() > end + LONGEST_S:
                raise TimeoutError("the child does not stop writing")
        self.last = (self._names or [self.last])[-1]
        self._names.clear()

    def _read(self, timeout_s: float, *, quiet_ends: bool = False) -> bool:
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return not quiet_ends
        data = os.read(self._descriptor, 65536)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._names.extend(name.decode() for name in whole)
        return bool(data)


def _etlctl() -> list[str]:
    return [sys.executable, "-m", "etlctl"]


# -- the demo: every day's rows equal its file's


def demo(folder: Path, days: int = 31) -> Bench:
    """The repository's own pipeline over the first `days` of January 2013."""
    for name in ("pipelines", "config", "data"):
        shutil.copytree(REPOSITORY / name, folder / name)
    expected = {
        (table, f"2013-01-{day:02}"): rows_of(REPOSITORY / f"data/{table}/2013-01-{day:02}.csv.gz")
        for table in ("flights", "weather")
        for day in range(1, days + 1)
    }

    def check(warehouse: Path, whole: bool) -> list[str]:
        return wrong_days(warehouse, expected, whole)

    return Bench(folder, ("build", "Day", "--date", f"2013-01-01..2013-01-{days:02}"), check)


def rows_of(path: Path) -> int:
    """Rows of a csv.gz file with a header, counted without any code of etlctl."""
    with gzip.open(path, "rt", newline="") as lines:
        return sum(1 for _ in csv.DictReader(lines))


def wrong_days(warehouse: Path, expected: dict[tuple[str, str], int], whole: bool) -> list[str]:
    """Days whose rows are not there exactly once (or, unless `whole`, not at all), or disagree with the marker."""
    if not warehouse.exists():
        return ["there is no warehouse"] if whole else []
    with sqlite3.connect(warehouse) as connection:
        connection.execute("BEGIN")
        found = {key: _count(connection, *key) for key in expected}
        marked = {key: _is_marked(connection, *key) for key in expected}
        connection.rollback()
        integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    wrong = [] if integrity == "ok" else [f"integrity_check: {integrity}"]
    for (table, day), rows in expected.items():
        got, done = found[(table, day)], marked[(table, day)]
        if got != (rows if done else 0) or (whole and not done):
            wrong.append(f"{table} {day}: {got} rows of {rows}, marker {'there' if done else 'missing'}")
    return wrong


def _count(connection: sqlite3.Connection, table: str, day: str) -> int:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
        return 0
    query = {
        "flights": "SELECT count(*) FROM flights WHERE date = ?",
        "weather": "SELECT count(*) FROM weather WHERE date = ?",
    }[table]
    return int(connection.execute(query, (day,)).fetchone()[0])


def _is_marked(connection: sqlite3.Connection, table: str, day: str) -> bool:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'table_updates'").fetchone():
        return False
    query = "SELECT count(*) FROM table_updates WHERE target_table = ? AND update_id LIKE ? AND state = 'done'"
    return bool(connection.execute(query, (table, f"%{day.replace('-', '_')}%")).fetchone()[0])


# -- hand-written: pandas inside `with self.output().transaction()`

PANDAS = """
import pandas
from etlctl import IntParameter, TableTarget, Task, WrapperTask

class Numbers(Task):
    part = IntParameter()

    def output(self):
        return TableTarget("numbers", self.task_id)

    def run(self):
        frame = pandas.DataFrame({"part": [self.part] * 2000, "number": range(2000)})
        with self.output().transaction() as connection:
            frame.to_sql("numbers", con=connection, if_exists="append", index=False)

class AllNumbers(WrapperTask):
    def requires(self):
        return [Numbers(part) for part in range(12)]
"""


def pandas_hatch(folder: Path) -> Bench:
    """A project whose loads are hand-written with `df.to_sql(con=connection)`."""
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "numbers.py").write_text(PANDAS)

    def check(warehouse: Path, whole: bool) -> list[str]:
        if not warehouse.exists():
            return ["there is no warehouse"] if whole else []
        connection = sqlite3.connect(warehouse)
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        counts = dict(connection.execute("SELECT part, count(*) FROM numbers GROUP BY 1")) if "numbers" in names else {}
        connection.close()
        wrong = [f"part {part}: {rows} rows of 2000" for part, rows in counts.items() if rows != 2000]
        return wrong if not whole or len(counts) == 12 else [*wrong, f"{len(counts)} parts of 12"]

    return Bench(folder, ("build", "AllNumbers"), check)


def main() -> int:
    """Tells the tally; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pipeline", choices=("demo", "pandas"), default="demo")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        bench = demo(Path(name)) if given.pipeline == "demo" else pandas_hatch(Path(name))
        tally = torture(bench, given.kills, random.Random(given.seed))
    print(f"{given.pipeline}, seed {given.seed}: {tally}; {time.monotonic() - began:.0f} s")
    for sentence in tally.wrong:
        print(f"  WRONG {sentence}")
    return bool(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
