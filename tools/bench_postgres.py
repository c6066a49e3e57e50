"""Loading into PostgreSQL and dumping from it, side by side in one run: psql, etlctl, Luigi.

    python tools/bench_postgres.py [--rows 1000000] [--rounds 3] [--only dump,values] [--luigi PYTHON | --no-luigi]

The server is the tests' own (tests/servers/postgres.py), psql is of its version; Luigi 3.8.1 is installed into a
temporary environment, or is that of the Python named. Files and data are in memory where there is room, so that no disk
is measured. The file has eleven columns as the demo's flights have; what its variants are is said in
tools/measured/flights.py. All ways that load the same rows must make the same table, which is compared.

The ways take turns (A B C, A B C, …), so that a machine that slows down slows all; quoted are medians. `load` is the
load alone: what psql's \\timing says; from BEGIN to the end of COMMIT; Luigi's run(). `process` is all of it,
interpreter and imports included. CPU is that of the load alone, the client's and the server's. `+MiB` is the peak of
memory beyond the imports. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import etlctl  # noqa: E402  the path above comes first
from measured import flights  # noqa: E402  as above
from measured.tables import print_medians, roomy  # noqa: E402
from servers.postgres import PostgresServer, postgres  # noqa: E402  as above

LUIGI = ("luigi==3.8.1", "psycopg2-binary==2.9.13")
HEADS = ("load s", "process s", "client CPU", "server CPU", "+MiB")
"""Of the columns of a Cost."""


class Cost(NamedTuple):
    """Of one turn of one way; `client_s` is CPU time of the load alone, of psql all there is."""

    load_s: float
    process_s: float
    client_s: float
    server_s: float
    more_mib: float


@dataclass(frozen=True)
class Goal:
    """One way's load is to take at most `factor` of another's."""

    way: str
    factor: float
    other: str


GOALS = (
    Goal("etlctl, columns as the table's", 1.1, "psql \\copy"),
    Goal("etlctl, values", 1.25, "psql \\copy"),
    Goal("etlctl, values, quoted", 1.5, "psql \\copy, quoted"),
    Goal("etlctl, two null words", 2.0, "psql \\copy"),
    Goal("etlctl, surplus column (staging)", 2.0, "psql \\copy"),
    Goal("etlctl, columns as the table's", 0.25, "Luigi CopyToTable"),
    Goal("etlctl rows(), texts", 2.5, "psql \\copy"),
    Goal("etlctl rows(), texts", 0.5, "Luigi rows(), texts"),
    Goal("etlctl rows(), objects", 2.5, "psql \\copy"),
    Goal("etlctl rows(), objects", 0.5, "Luigi rows(), objects"),
    Goal("etlctl dump", 1.1, "psql \\copy to"),
)
MORE_MIB = 64


def main() -> int:
    """Prints the tables; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="run ways whose names hold one of these words, separated by commas")
    parser.add_argument("--luigi", metavar="PYTHON", help="a Python that has luigi and psycopg2")
    parser.add_argument("--no-luigi", action="store_true")
    options = parser.parse_args()
    compileall.compile_dir(Path(etlctl.__file__).parent, quiet=1)
    settings = ["max_wal_size=2GB", "shared_buffers=256MB"]
    with tempfile.TemporaryDirectory(dir=roomy()) as name, postgres(settings=settings) as server:
        folder = Path(name)
        luigi = None if options.no_luigi else options.luigi or _install_luigi(folder / "venv")
        flights.write_files(folder, options.rows)
        size = (folder / "plain.csv").stat().st_size
        print(f"{options.rows:,} rows x {len(flights.COLUMNS)} columns, {size / 1e6:.0f} MB; {options.rounds} rounds")
        bench = Bench(server, folder, luigi, options.rows)
        words = [word for word in options.only.split(",") if word]
        ways = {way: turn for way, turn in bench.ways().items() if not words or any(word in way for word in words)}
        costs: dict[str, list[Cost]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, turn in ways.items():
                costs[way].append(turn())
    print_medians(costs, HEADS)
    return judge(costs)


class Bench:
    """The ways, each a function that runs once and says what it cost."""

    def __init__(self, server: PostgresServer, folder: Path, luigi: str | None, rows: int) -> None:
        self.server = server
        self.folder = folder
        self.luigi = luigi
        self.rows = rows
        self.sums: dict[str, int] = {}
        self.scripts = Path(__file__).parent / "measured"

    def ways(self) -> dict[str, Callable[[], Cost]]:
        found: dict[str, Callable[[], Cost]] = {
            "psql \\copy": lambda: self.copied("plain.csv"),
            "psql \\copy, quoted": lambda: self.copied("quoted.csv"),
            "etlctl, columns as the table's": lambda: self.loaded("plain", "plain.csv"),
            "etlctl, values": lambda: self.loaded("values", "plain.csv"),
            "etlctl, values, quoted": lambda: self.loaded("values", "quoted.csv"),
            "etlctl, two null words": lambda: self.loaded("nulls", "nulls.csv", "plain.csv"),
            "etlctl, surplus column (staging)": lambda: self.loaded("plain", "surplus.csv", "plain.csv"),
            "etlctl rows(), texts": lambda: self.loaded("texts", "plain.csv"),
            "etlctl rows(), objects": lambda: self.loaded("objects", "plain.csv", "objects"),
        }
        if self.luigi:
            found["Luigi CopyToTable"] = lambda: self.loaded_by_luigi("plain", "plain.tsv", "plain.csv")
            found["Luigi rows(), texts"] = lambda: self.loaded_by_luigi("texts", "plain.csv")
            found["Luigi rows(), objects"] = lambda: self.loaded_by_luigi("objects", "plain.csv", "objects")
        found["psql \\copy to"] = lambda: self.dumped_by_psql("by_psql.csv")
        found["etlctl dump"] = lambda: self.dumped("by_etlctl.csv")
        return found

    def copied(self, file: str) -> Cost:
        """psql, into a table that is there."""
        with self.database() as url:
            self.server.ask(
                f"CREATE TABLE flights ({', '.join(' '.join(pair) for pair in flights.COLUMNS.items())})", url=url
            )
            cost = self.psql(url, f"\\copy flights from '{file}' csv header")
            self.compare(url, file)
        return cost

    def loaded(self, way: str, file: str, same_as: str = "") -> Cost:
        """A build of one LoadTable."""
        with self.database() as url:
            cost = self.cost_of([sys.executable, str(self.scripts / "with_etlctl.py"), way, url, file])
            self.compare(url, same_as or file)
        return cost

    def loaded_by_luigi(self, way: str, file: str, same_as: str = "") -> Cost:
        """The run() of one CopyToTable."""
        assert self.luigi
        with self.database() as url:
            place = ["127.0.0.1", str(self.server.port), url.rpartition("/")[2]]
            cost = self.cost_of([self.luigi, str(self.scripts / "with_luigi.py"), way, *place, file])
            self.compare(url, same_as or file)
        return cost

    def dumped_by_psql(self, file: str) -> Cost:
        return self.psql(self.source(), f"\\copy flights to '{file}' csv header")

    def dumped(self, file: str) -> Cost:
        (self.folder / file).unlink(missing_ok=True)  # else it is done already
        cost = self.cost_of([sys.executable, str(self.scripts / "with_etlctl.py"), "dump", self.source(), file])
        lines = sum(1 for _ in (self.folder / file).open("rb"))
        assert lines == self.rows + 1, f"the dump has {lines} lines"
        return cost

    def source(self) -> str:
        """The URL of a database that holds the file's rows."""
        if ("flights_source",) not in self.server.ask("SELECT datname FROM pg_database"):
            self.server.ask("CREATE DATABASE flights_source")
            url = self.server.url("flights_source")
            self.server.ask(
                f"CREATE TABLE flights ({', '.join(' '.join(pair) for pair in flights.COLUMNS.items())})", url=url
            )
            self.psql(url, "\\copy flights from 'plain.csv' csv header")
            self.server.ask("VACUUM ANALYZE flights", url=url)
        return self.server.url("flights_source")

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new database, with what earlier turns wrote on its way to the disk no more."""
        url = self.server.new_database()
        self.server.ask("CHECKPOINT")
        yield url
        self.server.drop_database(url)

    def compare(self, url: str, content: str) -> None:
        """Ways that load the same content load the same rows; raises AssertionError for one that does not."""
        names = ", ".join(flights.COLUMNS)
        asked = f"SELECT count(*), sum(hashtext(ROW({names})::text)::bigint) FROM flights"  # noqa: S608  our own names
        ((number, total),) = self.server.ask(asked, url=url)
        assert number == self.rows, f"{number} rows instead of {self.rows}"
        assert self.sums.setdefault(content, total) == total, f"other rows than were loaded first from {content}"

    def psql(self, url: str, command: str) -> Cost:
        words = [
            str(self.server.bindir / "psql"),
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            url,
            "-c",
            "\\timing on",
            "-c",
            command,
        ]
        return self.cost_of(words)

    def cost_of(self, command: Sequence[str]) -> Cost:
        """What a command that must succeed took, and says of its load."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPATH"] = str(Path(__file__).parent)
        time.sleep(0.2)  # earlier sessions are gone then, and their CPU time is told
        idle = _children(self.server.pid)
        server = _cpu_s(self.server.pid)
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stderr is not None
        said, complaint = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {process.returncode}\n{said}{complaint}")
        while _children(self.server.pid) - idle:  # a session's CPU time is known when it has ended
            time.sleep(0.01)
        server_s = _cpu_s(self.server.pid) - server
        if told := re.search(r"^LOAD (\S+) CPU (\S+) KIB (\d+)$", said, re.MULTILINE):
            return Cost(float(told[1]), took, float(told[2]), server_s, int(told[3]) / 1024)
        told = re.search(r"^Time: ([\d.]+) ms", said, re.MULTILINE)
        assert told, said
        return Cost(float(told[1]) / 1000, took, usage.ru_utime + usage.ru_stime, server_s, 0)


def _cpu_s(pid: int) -> float:
    """Of a process and of its children that have ended; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> set[str]:
    try:
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    except FileNotFoundError:
        return set()


def _install_luigi(folder: Path) -> str:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", *LUIGI], check=True)
    return python


def judge(costs: dict[str, list[Cost]]) -> int:
    """Prints each goal whose ways have run; 1 when one is missed."""
    missed = 0
    print(f"\n{'ratio of the load alone':<66}{'is':>7}{'goal':>7}{'of CPU':>9}")
    for goal in GOALS:
        if goal.way not in costs or goal.other not in costs:
            continue
        ratio = _load(costs[goal.way]) / _load(costs[goal.other])
        cpu = _cpu(costs[goal.way]) / _cpu(costs[goal.other])
        missed += ratio > goal.factor
        verdict = "" if ratio <= goal.factor else "  missed"
        print(f"{f'{goal.way} / {goal.other}':<66}{ratio:>7.2f}{goal.factor:>7.2f}{cpu:>9.2f}{verdict}")
    for way, found in costs.items():
        peak = max(cost.more_mib for cost in found)
        if peak > MORE_MIB:
            missed += 1
            print(f"{way}: {peak:.0f} MiB beyond the imports, the goal is {MORE_MIB}  missed")
    return 1 if missed else 0


def _load(found: Sequence[Cost]) -> float:
    return statistics.median(cost.load_s for cost in found)


def _cpu(found: Sequence[Cost]) -> float:
    """Of client and server together."""
    return statistics.median(cost.client_s + cost.server_s for cost in found)


if __name__ == "__main__":
    sys.exit(main())
