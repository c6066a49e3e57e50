"""One dump or upload into S3, as a process to be measured: `to_s3.py WAY SOURCE s3://BUCKET/KEY`.

SOURCE is a database's URL for a dump, a file for an upload. Prints seconds and CPU seconds of the work, and the peak of
memory beyond the imports.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

# all that a dump imports later: its memory is not the dump's
import boto3
import boto3.s3.transfer
import botocore.config
import sqlalchemy.dialects.postgresql.psycopg2  # noqa: F401  as told

import etlctl.db.dialects.postgresql.dialect
import etlctl.loads.writers  # noqa: F401  as told
from etlctl import DumpTable, S3Target, Target, build
from etlctl.s3 import client
from etlctl.s3.address import parse
from etlctl.s3.writer import ObjectWriter
from measured.with_etlctl import peak_kib

BLOCK = 1 << 18
PART_BYTES = 16 * 2**20


def dump(source: str, address: str, **attributes: object) -> None:
    """The table `flights` by etlctl."""

    class Dump(DumpTable):
        connection = source
        table = "flights"

        def output(self) -> Target:
            return S3Target(address)

    task = type("DumpFlights", (Dump,), attributes)()
    summary = build([task])
    assert summary, summary.text


def dump_in_parts(source: str, address: str) -> None:
    """The same in parts, and their manifest."""
    dump(source, address, part_bytes=PART_BYTES)


def upload(source: str, address: str) -> None:
    """A file through etlctl's writer of objects."""
    with open(source, "rb") as file, ObjectWriter(parse(address)) as out:
        while block := file.read(BLOCK):
            out.write(block)


def upload_by_boto3(source: str, address: str) -> None:
    """A file by upload_fileobj, with the configuration of boto3's own."""
    given = client.settings()
    assert given.access_key_id and given.secret_access_key
    plain = boto3.session.Session().client(
        "s3",
        region_name=given.region,
        endpoint_url=given.endpoint_url,
        aws_access_key_id=given.access_key_id.reveal(),
        aws_secret_access_key=given.secret_access_key.reveal(),
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    with open(source, "rb") as file:
        plain.upload_fileobj(file, *parse(address))
    plain.close()


WAYS: dict[str, Callable[[str, str], None]] = {
    "dump": dump,
    "parts": dump_in_parts,
    "upload": upload,
    "boto3": upload_by_boto3,
}


def main() -> None:
    """Runs the way."""
    way, source, address = sys.argv[1:]
    before = peak_kib()
    began, began_cpu = time.perf_counter(), time.process_time()
    WAYS[way](source, address)
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print("LOAD", took, "CPU", cpu, "KIB", peak_kib() - before)


if __name__ == "__main__":
    main()
