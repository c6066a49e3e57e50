"""A dump into S3 takes as much memory of many rows as of few: the rows are never there all at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from servers.s3 import S3Service, split_url

FEW = 8_000
TIMES = 4
WIDTH = 1_000
LEAST_GROWTH = FEW * (TIMES - 1) * WIDTH
"""Of the many rows beyond the few, were they kept; 24 MB."""
MOST_GROWTH = LEAST_GROWTH // 3
"""The allocator's noise, and the part more that may be on its way."""

DUMPS = """
    import resource
    import sys
    from pathlib import Path

    from etlctl import DumpTable, S3Target, build
    from etlctl.s3.upload import Upload

    few, times, url, database, name, hoards = sys.argv[1:]
    Upload.__init__.__kwdefaults__["part_bytes"] = 2**20  # parts of 8 MiB would want eight times the rows


    def peak_bytes():
        status = Path("/proc/self/status")
        if status.exists():  # what getrusage says begins, on Linux, with the peak of the parent
            (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


    hoard, written = [], Upload.write


    def hoarding(self, data):
        hoard.append(bytes(data))
        return written(self, data)


    if hoards == "hoards":
        Upload.write = hoarding


    class Dump(DumpTable):
        connection = database
        part_bytes = 2**20 if name.endswith(".manifest") else None
        rows = 0

        def output(self):
            return S3Target(f"{url}{self.rows}/{name}")


    for rows in (int(few), int(few) * int(times)):
        table = f"numbers{rows}"
        summary = build([type("DumpNumbers", (Dump,), {"table": table, "rows": rows})()])
        assert summary, summary.text
        print(peak_bytes())
"""


def peaks(s3_url: str, warehouse_url: str, project: Path, name: str = "out.csv", hoards: str = "") -> tuple[int, int]:
    """In bytes, of one process: behind a dump of the few rows, and behind one of the many."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DUMPS), str(FEW), str(TIMES), s3_url, warehouse_url, name, hoards],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    few, many = map(int, done.stdout.split())
    return few, many


@pytest.fixture
def filled_url(postgres_url: str) -> str:
    """A database that holds the few rows and the many."""
    import psycopg2

    connection = psycopg2.connect(postgres_url)
    with connection, connection.cursor() as cursor:
        for rows in (FEW, FEW * TIMES):
            cursor.execute(
                f"CREATE TABLE numbers{rows} AS "
                f"SELECT n, repeat('x', {WIDTH}) AS word FROM generate_series(1, {rows}) n"
            )
    connection.close()
    return postgres_url


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.jsonl", "out.csv.manifest"])
def test_dump_of_many_rows_takes_the_memory_of_few(
    s3_server: S3Service, s3_url: str, filled_url: str, tmp_path: Path, name: str
) -> None:
    """The lines of the server, packed or in parts, and those that we write from its cursor."""
    few, many = peaks(s3_url, filled_url, tmp_path, name)

    assert many - few < MOST_GROWTH
    bucket, prefix = split_url(s3_url)
    assert f"{prefix}{FEW * TIMES}/{name}" in s3_server.keys(bucket, prefix)


def test_a_dump_that_keeps_its_rows_would_be_seen(s3_url: str, filled_url: str, tmp_path: Path) -> None:
    """The measure itself: what keeps all that it writes grows with it."""
    few, many = peaks(s3_url, filled_url, tmp_path, hoards="hoards")

    assert many - few > LEAST_GROWTH * 0.8
