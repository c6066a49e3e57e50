"""Loading a file into SQLite side by side in one run: the sqlite3 command's untyped `.import` against LoadTable.

    python tools/bench_load.py [--rows 1000000] [--rounds 3]

The file has eleven columns as the demo's flights have: short texts, integers with NA, an instant with Z, a free text.
`.import` makes all of them TEXT and checks nothing. The ways take turns (A B C, A B C, …), so that a machine that slows
down slows all; quoted are medians, and ratios of CPU time. `locked` is the time from BEGIN to the end of COMMIT.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HEADER = "carrier,flight,tailnum,origin,dest,dep_time,dep_delay,air_time,distance,time_hour,remark"
LOAD = """
import datetime, sys, time
from pathlib import Path
from etlctl import DateParameter, ExternalTask, LoadTable, LocalTarget, build, faultpoints

COLUMNS = {
    "carrier": "varchar(2)", "flight": "integer", "tailnum": "varchar(6)", "origin": "varchar(3)",
    "dest": "varchar(3)", "dep_time": "integer", "dep_delay": "integer", "air_time": "integer",
    "distance": "integer", "time_hour": "timestamp", "remark": "text",
}

class Feed(ExternalTask):
    def output(self):
        return LocalTarget("flights.csv")

class Plain(LoadTable):
    table = "flights"
    connection = "sqlite:///" + sys.argv[2]
    columns = COLUMNS
    null_values = ("", "NA")
    def requires(self):
        return Feed()

class WithValues(Plain):
    date = DateParameter(default=datetime.date(2013, 1, 1))
    columns = {"date": "date", **COLUMNS}
    values = {"date": "date"}

moments = {}
def point(name):
    moments[name] = time.perf_counter()
faultpoints.point = point
summary = build([{"plain": Plain, "values": WithValues}[sys.argv[1]]()])
assert summary, summary.results
print(moments["load.committed"] - moments["load.begun"])
"""


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""An installed package has its byte code: only the first round compiles what has been edited."""


class Cost(NamedTuple):
    """Of one process."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    locked_s: float | None = None


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_file(Path("flights.csv"), options.rows)
        print(f"{options.rows:,} rows x 11 columns, {Path('flights.csv').stat().st_size / 1e6:.0f} MB")
        ways: dict[str, Callable[[], Cost]] = {
            "sqlite3 .import, untyped": lambda: imported("w.db"),
            "LoadTable": lambda: loaded("plain", "w.db"),
            "LoadTable with values": lambda: loaded("values", "w.db"),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                costs[name].append(way())
                os.unlink("w.db")
    report(costs)


def write_file(path: Path, rows: int) -> None:
    """The same rows each time; about one integer in thirty is NA."""
    draw = random.Random(2013)  # noqa: S311  the same rows each time is what is wanted
    airports = ["EWR", "JFK", "LGA", "ORD", "ATL", "LAX", "MIA", "BOS"]
    remarks = ["", "on time", "late incoming aircraft, crew was changed", "Zürich connection", "gate 12"]

    def integer(low: int, high: int) -> str:
        return "NA" if draw.random() < 0.03 else str(draw.randint(low, high))

    with path.open("w", newline="") as file:
        file.write(HEADER + "\n")
        for row in range(rows):
            remark = remarks[row % 5]
            file.write(
                f"{draw.choice(('UA', 'AA', 'B6', 'DL'))},{draw.randint(1, 8500)},N{draw.randint(10000, 99999)},"
                f"{draw.choice(airports)},{draw.choice(airports)},{integer(1, 2400)},{integer(-40, 900)},"
                f"{integer(20, 700)},{draw.randint(80, 4983)},"
                f"2013-{row % 12 + 1:02}-{row % 28 + 1:02}T{row % 24:02}:00:00Z,"
                f"{chr(34) + remark + chr(34) if ',' in remark else remark}\n"
            )


def imported(database: str) -> Cost:
    """The command-line shell of SQLite, which makes the table itself."""
    return cost_of(["sqlite3", database, ".mode csv", ".import flights.csv flights"])[0]


def loaded(kind: str, database: str) -> Cost:
    """A build of one LoadTable, interpreter and imports included."""
    cost, said = cost_of([sys.executable, "-c", LOAD, kind, os.path.abspath(database)])
    return cost._replace(locked_s=float(said.split()[-1]))


def cost_of(command: list[str]) -> tuple[Cost, str]:
    """What a command that must succeed took, and what it said."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024), said


def report(costs: dict[str, list[Cost]]) -> None:
    """Medians; CPU time also in multiples of the first way's."""
    first = statistics.median(cost.cpu_s for cost in next(iter(costs.values())))
    print(f"{'':<26}{'CPU s':>8}{'ratio':>8}{'wall s':>8}{'peak MiB':>10}{'locked s':>10}")
    for name, found in costs.items():
        cpu = statistics.median(cost.cpu_s for cost in found)
        wall = statistics.median(cost.wall_s for cost in found)
        peak = statistics.median(cost.peak_mib for cost in found)
        locked = [cost.locked_s for cost in found if cost.locked_s is not None]
        held = f"{statistics.median(locked):>10.2f}" if locked else f"{'':>10}"
        print(f"{name:<26}{cpu:>8.2f}{cpu / first:>8.2f}{wall:>8.2f}{peak:>10.0f}{held}")


if __name__ == "__main__":
    main()
