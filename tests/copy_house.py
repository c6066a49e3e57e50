"""A warehouse that build() loads files in S3 into by Redshift's own COPY, and files in the forms that COPY reads."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import etlctl
from any_warehouse import AnyWarehouse
from etlctl import ExternalTask, LoadTable, S3Target, Task
from etlctl.errors import LoadError
from etlctl.settings import load as load_settings
from redshift_house import put
from servers.s3 import S3Service

ROWS = [(1, "a"), (2, 'b, "c"'), (3, None)]
JSON = b'{"n": 1, "word": "a"}\n{"word": "b, \\"c\\"", "n": 2}\n{"n": 3, "more": []}\n'
CSV = b'n,word\n1,a\n2,"b, ""c"""\n3,\n'


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue().to_pybytes())


PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd}


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def avro(rows: list[tuple[int, str | None]]) -> bytes:
    """An object container file of records of a long and a nullable string, by Avro's specification."""

    def long(number: int) -> bytes:
        rest, encoded = number << 1, bytearray()
        while rest > 0x7F:
            encoded.append(rest & 0x7F | 0x80)
            rest >>= 7
        return bytes([*encoded, rest])

    def text(content: bytes) -> bytes:
        return long(len(content)) + content

    fields = [{"name": "n", "type": "long"}, {"name": "word", "type": ["null", "string"]}]
    schema = json.dumps({"type": "record", "name": "r", "fields": fields}).encode()
    block = b"".join(long(n) + (long(0) if word is None else long(1) + text(word.encode())) for n, word in rows)
    sync = b"s" * 16
    return (
        b"Obj\x01"
        + long(1)
        + text(b"avro.schema")
        + text(schema)
        + long(0)
        + sync
        + long(len(rows))
        + text(block)
        + sync
    )


class House:
    """The warehouse, the folder of the test in S3, and build() on them."""

    def __init__(self, project: Path, url: str, folder: str, service: S3Service, **settings: str | bool) -> None:
        self.warehouse = AnyWarehouse(url, project)
        self.folder, self.service = folder, service
        given: dict[str, str | bool] = {"url": url, **settings}
        lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
        (project / "etlctl.toml").write_text("\n".join(["[connections.warehouse]", *lines, ""]))
        self.settings = load_settings(Path("etlctl.toml"), environ=os.environ, cwd=project)

    def put(self, name: str, data: bytes) -> S3Target:
        put(self.service, self.folder + name, data)
        return S3Target(self.folder + name)

    def manifest(self, files: dict[str, bytes], name: str = "all.manifest") -> S3Target:
        entries = [{"url": self.put(one, data).path, "mandatory": True} for one, data in files.items()]
        return self.put(name, json.dumps({"entries": entries}).encode())

    def build(self, task: Task) -> etlctl.TaskResult:
        return etlctl.build([task], settings=self.settings).results[-1]

    def refusal(self, task: Task, kind: type[Exception] = LoadError) -> str:
        result = self.build(task)
        assert isinstance(result.error, kind), result
        return str(result.error)

    def rows(self, table: str = "numbers") -> list[tuple[Any, ...]]:
        return self.warehouse.ask(f"SELECT n, word FROM {table} ORDER BY n")


class Made(ExternalTask):
    target: Any = None

    def output(self) -> Any:
        return self.target


class Numbers(LoadTable):
    connection = "warehouse"
    table: Any = "numbers"
    columns: Any = {"n": "bigint", "word": "text"}
    target: Any = None

    def requires(self) -> Any:
        return type("Made", (Made,), {"target": self.target})()


def loading(target: Any, **attributes: Any) -> Numbers:
    made: Numbers = type("Numbers", (Numbers,), {"target": target, **attributes})()
    return made
