"""A table through smart_open into S3, as a process to be measured: `with_smart_open.py URL s3://BUCKET/KEY`.

Runs in smart_open's environment; the endpoint and the keys come from AWS's own variables.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from pathlib import Path

import boto3
import psycopg2
import smart_open
from botocore.config import Config

URL, ADDRESS = sys.argv[1:]


def peak_kib() -> int:
    """Of this program alone: what getrusage says begins with the peak of the process that started it."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = re.search(r"VmHWM:\s*(\d+)", status)
    assert found
    return int(found[1])


def main() -> None:
    """COPY straight into what smart_open opens."""
    before = peak_kib()
    began, began_cpu = time.perf_counter(), time.process_time()
    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    connection = psycopg2.connect(URL)
    with (
        connection.cursor() as cursor,
        smart_open.open(ADDRESS, "wb", transport_params={"client": client}) as out,
    ):
        cursor.copy_expert("COPY flights TO STDOUT (FORMAT csv, HEADER)", out)
    connection.close()
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print("LOAD", took, "CPU", cpu, "KIB", peak_kib() - before)


if __name__ == "__main__":
    main()
