"""A table of PostgreSQL into S3, side by side in one run: etlctl's dump, the upload alone, the COPY alone, smart_open.

    python tools/bench_s3.py [--rows 1000000] [--rounds 3] [--more 5] [--server link|moto|sink] [--link 60]
                             [--only dump,boto3] [--smart-open PYTHON | --no-smart-open]

PostgreSQL is the tests' own (tests/servers/postgres.py); smart_open 7 is installed into a temporary environment, or is
that of the Python named. `link` is a service that throws away what it takes and takes no more than 60 MB a second
(tools/measured/s3_sink.py), as a store at the other end of half a gigabit a second; `sink` takes all there is; `moto`
is a real server over HTTP, a process of its own. Files and data are in memory where there is room. Every way must have
sent as many bytes as psql writes, which is asked of the service.

The ways take turns; quoted are medians. `work` is the work alone: the task's build, the upload of a file, psql's
\\timing; `process` is all of it. `+MiB` is the peak of memory beyond the imports. The dump is also made of --more times
the rows, for its memory. Exit code 1 when a goal is missed.

The goal: the dump of a million rows over the link takes at most 1.5 times boto3's upload_fileobj of the same bytes,
which lie ready in a file; in parts, each an object of its own, it takes more. Fewer rows measure how a build begins. A
dump is two things at once, COPY and upload, and cannot take less than either. On loopback COPY is the slower one, and
client, store and database share the cores: into the sink and into moto, which takes a third of a second to put parts
together, the ratios are printed and judge nothing.

All ways send CRC32s, as boto3 does everywhere and etlctl does to Amazon, for which moto stands here (other stores get
an MD5 from etlctl). It is no small thing: moto, as it completes an upload without them, makes a checksum of its own.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import boto3  # noqa: E402  after the path, as the next
from botocore.config import Config  # noqa: E402

import etlctl  # noqa: E402
from measured import flights  # noqa: E402
from measured.tables import print_medians, roomy  # noqa: E402
from servers.postgres import PostgresServer, postgres  # noqa: E402
from servers.s3 import moto  # noqa: E402

SMART_OPEN = ("smart_open[s3]==7.3.1", "psycopg2-binary==2.9.13")
BUCKET = "bench"
FLOOR = "upload alone, boto3"
SLOWDOWN = 1.5
MOST_MIB = 128
GROWTH_MIB = 16
"""What a dump of more rows may take beyond one of fewer: noise of the allocator, and no more."""
HEADS = ("work s", "process s", "client CPU", "+MiB")
"""Of the columns of a Cost."""


class Cost(NamedTuple):
    """Of one turn of one way."""

    work_s: float
    process_s: float
    client_s: float
    more_mib: float


def main() -> int:
    """Prints the tables; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--more", type=int, default=5, help="how many times the rows the large dump has; 0: none")
    parser.add_argument("--server", choices=("link", "moto", "sink"), default="link")
    parser.add_argument("--link", type=float, default=60, help="MB a second that the link carries")
    parser.add_argument("--only", default="", help="run ways whose names hold one of these words, separated by commas")
    parser.add_argument("--smart-open", metavar="PYTHON", help="a Python that has smart_open, boto3 and psycopg2")
    parser.add_argument("--no-smart-open", action="store_true")
    options = parser.parse_args()
    compileall.compile_dir(Path(etlctl.__file__).parent, quiet=1)
    with (
        tempfile.TemporaryDirectory(dir=roomy()) as name,
        postgres(settings=["max_wal_size=2GB", "shared_buffers=256MB"]) as server,
        _service(options.server, options.link) as environ,
    ):
        folder = Path(name)
        python = None if options.no_smart_open else options.smart_open or _install_smart_open(folder / "venv")
        bench = Bench(server, folder, environ, options.rows, options.more, python)
        print(
            f"{options.rows:,} rows x {len(flights.COLUMNS)} columns, {bench.size / 1e6:.0f} MB, "
            f"into {options.server}; {options.rounds} rounds"
        )
        words = [word for word in options.only.split(",") if word]
        ways = {way: turn for way, turn in bench.ways().items() if not words or any(word in way for word in words)}
        costs: dict[str, list[Cost]] = {way: [] for way in ways}
        for number in range(options.rounds):
            for way, turn in ways.items():
                if number == 0 or "times the rows" not in way:
                    costs[way].append(turn())
    print_medians(costs, HEADS)
    return judge(costs, is_judged=options.server == "link")


class Bench:
    """The ways, each a function that runs once and says what it cost."""

    def __init__(
        self,
        server: PostgresServer,
        folder: Path,
        environ: Mapping[str, str],
        rows: int,
        more: int,
        smart_open: str | None,
    ) -> None:
        self.server, self.folder, self.environ = server, folder, environ
        self.rows, self.more = rows, more
        self.smart_open = smart_open
        self.scripts = Path(__file__).parent / "measured"
        self.made = 0
        self.url = self._source("flights_source", rows, "plain.csv")
        self.file = folder / "dumped.csv"
        self.psql(self.url, f"\\copy flights to '{self.file}' csv header")
        self.size = self.file.stat().st_size

    def ways(self) -> dict[str, Callable[[], Cost]]:
        found: dict[str, Callable[[], Cost]] = {
            "COPY alone, psql": lambda: self.psql(self.url, "\\copy flights to '/dev/null' csv header"),
            FLOOR: lambda: self.ran("boto3", str(self.file)),
            "upload alone, ObjectWriter": lambda: self.ran("upload", str(self.file)),
            "etlctl dump": lambda: self.ran("dump", self.url),
            "etlctl dump, parts of 16 MiB": lambda: self.ran("parts", self.url, suffix=".csv.manifest"),
        }
        if self.smart_open:
            found["smart_open"] = self.by_smart_open
        if self.more:
            found[f"etlctl dump, {self.more} times the rows"] = self.dumped_more
        return found

    def ran(self, way: str, source: str, *, suffix: str = ".csv", size: int | None = None) -> Cost:
        """One way of tools/measured/to_s3.py into an object of its own."""
        key = self._key(suffix)
        script = str(self.scripts / "to_s3.py")
        cost = self.cost_of([sys.executable, script, way, source, f"s3://{BUCKET}/{key}"])
        if suffix == ".csv":
            self.check(key, size or self.size)
        return cost

    def by_smart_open(self) -> Cost:
        assert self.smart_open
        key = self._key(".csv")
        address = f"s3://{BUCKET}/{key}"
        cost = self.cost_of([self.smart_open, str(self.scripts / "with_smart_open.py"), self.url, address])
        self.check(key, self.size)
        return cost

    def dumped_more(self) -> Cost:
        """The same rows several times over, in one table."""
        url = self.server.new_database()
        self._fill(url, "plain.csv")
        for _ in range(self.more - 1):
            self.psql(url, "\\copy flights from 'plain.csv' csv header")
        header = len(",".join(flights.COLUMNS)) + 1
        cost = self.ran("dump", url, size=header + (self.size - header) * self.more)
        self.server.drop_database(url)
        return cost

    def check(self, key: str, size: int) -> None:
        """What arrived is as long as what psql writes; raises AssertionError."""
        client = boto3.client(
            "s3",
            endpoint_url=self.environ["ETLCTL_S3_ENDPOINT_URL"],
            region_name=self.environ["ETLCTL_S3_REGION"],
            aws_access_key_id=self.environ["ETLCTL_S3_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["ETLCTL_S3_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}),
        )
        found = client.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
        assert found == size, f"{key} has {found:,} bytes instead of {size:,}"
        client.close()

    def _key(self, suffix: str) -> str:
        self.made += 1
        return f"flights-{self.made}{suffix}"

    def _source(self, name: str, rows: int, file: str) -> str:
        """The URL of a database that holds the rows."""
        flights.write_files(self.folder, rows)
        self.server.ask(f"CREATE DATABASE {name}")
        url = self.server.url(name)
        self._fill(url, file)
        return url

    def _fill(self, url: str, file: str) -> None:
        columns = ", ".join(" ".join(pair) for pair in flights.COLUMNS.items())
        self.server.ask(f"CREATE TABLE flights ({columns})", url=url)
        self.psql(url, f"\\copy flights from '{file}' csv header")
        self.server.ask("VACUUM ANALYZE flights", url=url)

    def psql(self, url: str, command: str) -> Cost:
        psql = [str(self.server.bindir / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", url]
        return self.cost_of([*psql, "-c", "\\timing on", "-c", command])

    def cost_of(self, command: Sequence[str]) -> Cost:
        """What a command that must succeed took, and says of its work."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {**self.environ, "PYTHONPATH": str(Path(__file__).parent)}
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
        if told := re.search(r"^LOAD (\S+) CPU (\S+) KIB (\d+)$", said, re.MULTILINE):
            return Cost(float(told[1]), took, float(told[2]), int(told[3]) / 1024)
        told = re.search(r"^Time: ([\d.]+) ms", said, re.MULTILINE)
        assert told, said
        return Cost(float(told[1]) / 1000, took, usage.ru_utime + usage.ru_stime, 0)


@contextmanager
def _service(kind: str, link: float) -> Iterator[dict[str, str]]:
    """A service with the bucket; the variables that lead etlctl and AWS's own programs to it."""
    if kind == "moto":
        with moto() as server:
            server.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": server.region})
            yield _with_aws(server.environ())
        return
    command = [sys.executable, str(Path(__file__).parent / "measured" / "s3_sink.py")]
    if kind == "link":
        command.append(str(link))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        port = int(process.stdout.readline())
        yield _with_aws(
            {
                "ETLCTL_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "ETLCTL_S3_REGION": "eu-central-1",
                "ETLCTL_S3_ACCESS_KEY_ID": "AKIABENCH",
                "ETLCTL_S3_SECRET_ACCESS_KEY": "bench",
                "ETLCTL_S3_ADDRESSING_STYLE": "path",
            }
        )
        process.stdin.close()


def _with_aws(environ: dict[str, str]) -> dict[str, str]:
    return {
        **environ,
        "AWS_ENDPOINT_URL": environ["ETLCTL_S3_ENDPOINT_URL"],
        "AWS_DEFAULT_REGION": environ["ETLCTL_S3_REGION"],
        "AWS_ACCESS_KEY_ID": environ["ETLCTL_S3_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": environ["ETLCTL_S3_SECRET_ACCESS_KEY"],
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _install_smart_open(folder: Path) -> str:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", *SMART_OPEN], check=True)
    return python


def judge(costs: Mapping[str, Sequence[Cost]], *, is_judged: bool) -> int:
    """Prints the goals whose ways have run; 1 when one is missed. `is_judged`: whether their time counts."""
    missed = 0
    work = {way: statistics.median(cost.work_s for cost in found) for way, found in costs.items()}
    for way in ("etlctl dump", "etlctl dump, parts of 16 MiB"):
        if way not in work or FLOOR not in work:
            continue
        ratio = work[way] / work[FLOOR]
        is_goal = is_judged and way == "etlctl dump"
        verdict = f", goal {SLOWDOWN}{'  missed' if ratio > SLOWDOWN else ''}" if is_goal else ""
        missed += is_goal and ratio > SLOWDOWN
        others = [other for other in work if other != FLOOR and (" alone, " in other or other == "smart_open")]
        rest = "; ".join(f"{work[way] / work[other]:.2f} x {other}" for other in others)
        print(f"{way}: {ratio:.2f} x {FLOOR}{verdict} ({rest})")
    peaks = {way: max(cost.more_mib for cost in found) for way, found in costs.items() if way.startswith("etlctl")}
    for way, peak in peaks.items():
        growth = peak - peaks.get("etlctl dump", peak)
        is_flat = growth <= GROWTH_MIB or "parts" in way
        missed += peak > MOST_MIB or not is_flat
        verdict = "" if peak <= MOST_MIB and is_flat else "  missed"
        print(f"{way}: {peak:.0f} MiB beyond the imports, goal {MOST_MIB}, {growth:+.0f} to etlctl dump{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
