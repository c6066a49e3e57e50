"""DumpTable into S3: the bytes of the database as they come, whole or not at all, in one object or in parts."""

from __future__ import annotations

import gzip
import io
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse
from etlctl import DumpTable, S3Target
from etlctl.core.context import Attempt, attempting
from etlctl.db.dialects.postgresql import dump as postgresql_dump
from etlctl.errors import BadDataError, LoadError, TransientError, UnavailableError
from servers.s3 import S3Service, split_url
from servers.s3_proxy import S3Proxy

MakeWarehouse = Callable[[str], AnyWarehouse]
LEAST = 64 * 1024
ROWS = 20_000


class Dump(DumpTable):
    """Into an object of the folder that a test gives."""

    folder = ""
    name = "out.csv"
    table: Any = "numbers"

    def output(self) -> Any:
        return S3Target(self.folder + self.name)


def into(url: str, **attributes: Any) -> DumpTable:
    made: DumpTable = type("DumpNumbers", (Dump,), {"folder": url, **attributes})()
    return made


def filled(warehouse: AnyWarehouse, rows: int = ROWS) -> AnyWarehouse:
    """`numbers`: n and a text with a comma, a quote and a line end."""
    warehouse.write("CREATE TABLE numbers (n bigint, word text)")
    text = "'é \"word\",' || char(10) || n" if warehouse.kind == "sqlite" else "'é \"word\",' || chr(10) || n"
    warehouse.write(
        f"""WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {rows})
        INSERT INTO numbers SELECT n, {text} FROM series"""
    )
    return warehouse


def expected(start: int = 1, end: int = ROWS) -> str:
    return "".join(f'{n},"é ""word"",\n{n}"\n' for n in range(start, end + 1))


def keys(server: S3Service, url: str) -> list[str]:
    """Of all objects below a folder, without it."""
    bucket, prefix = split_url(url)
    return [key.removeprefix(prefix) for key in server.keys(bucket, prefix)]


def content(server: S3Service, url: str, name: str = "out.csv") -> bytes:
    bucket, prefix = split_url(url)
    return server.get(bucket, prefix + name)


def assert_nothing_left(server: S3Service, url: str) -> None:
    """Neither an object nor a part of one."""
    assert keys(server, url) == []
    assert server.uploads(*split_url(url)) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_dump_to_s3_writes_the_rows(s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str) -> None:
    """On both roads, lines of the server and ours; packed by the target."""
    filled(beside_s3(kind))

    into(s3_url).run()
    into(s3_url, name="out.csv.gz").run()

    assert content(s3_server, s3_url).decode() == "n,word\n" + expected()
    assert gzip.decompress(content(s3_server, s3_url, "out.csv.gz")) == content(s3_server, s3_url)


def test_dump_to_s3_decodes_nothing_on_its_way(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target is opened for bytes, and what COPY gives is what the object has."""
    filled(beside_s3("postgresql"))
    modes: list[str] = []
    blocks: list[bytes] = []
    opened, copy_rows = S3Target.open, postgresql_dump.copy_rows

    def watched_open(self: S3Target, mode: str = "r") -> Any:
        modes.append(mode)
        return opened(self, mode)

    def watched_copy(connection: Any, query: Any, parameters: Any, types: Any, write: Any, **options: Any) -> int:
        def told(block: bytes) -> None:
            blocks.append(block)
            write(block)

        return copy_rows(connection, query, parameters, types, told, **options)

    monkeypatch.setattr(S3Target, "open", watched_open)
    monkeypatch.setattr(postgresql_dump, "copy_rows", watched_copy)
    into(s3_url).run()

    assert modes == ["wb"]
    assert b"n,word\n" + b"".join(blocks) == content(s3_server, s3_url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_dump_to_s3_writes_json_lines_and_parquet(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """All formats go through the same target."""
    parquet = pytest.importorskip("pyarrow.parquet")
    filled(beside_s3(kind), 3000)

    into(s3_url, name="out.jsonl").run()
    into(s3_url, name="out.parquet").run()

    lines = [json.loads(line) for line in content(s3_server, s3_url, "out.jsonl").splitlines()]
    table = parquet.read_table(io.BytesIO(content(s3_server, s3_url, "out.parquet")))
    assert lines == table.to_pylist() == [{"n": n, "word": f'é "word",\n{n}'} for n in range(1, 3001)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_dump_in_parts_to_s3_names_whole_addresses(
    s3_server: S3Service, every_s3_url: str, beside_s3: MakeWarehouse, request: pytest.FixtureRequest, kind: str
) -> None:
    """As Redshift's COPY reads them; each object has the size that the manifest tells, and the target's options."""
    is_rclone = "rclone" in request.node.name
    server = request.getfixturevalue("rclone_server") if is_rclone else s3_server
    filled(beside_s3(kind))

    into(every_s3_url, name="a b/out.csv.gz.manifest", part_bytes=LEAST).run()

    entries = json.loads(content(server, every_s3_url, "a b/out.csv.gz.manifest"))["entries"]
    parts = [server.get(*split_url(entry["url"])) for entry in entries]
    assert all(entry["url"].startswith(every_s3_url + "a b/out.csv.gz.parts/") for entry in entries)
    assert [entry["meta"]["content_length"] for entry in entries] == [len(part) for part in parts]
    rows = [gzip.decompress(part).decode() for part in parts]
    assert len(rows) > 3 and all(part.startswith("n,word\n") for part in rows)
    assert "".join(part.removeprefix("n,word\n") for part in rows) == expected()
    assert len(keys(server, every_s3_url)) == len(parts) + 1


# --- failures ---------------------------------------------------------------------------------------------------------


def test_dump_to_s3_publishes_nothing_when_the_query_fails_late(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse
) -> None:
    """After 100,000 rows, when parts of the object are in the store."""
    beside_s3("postgresql")
    query = "SELECT n, repeat('x', 200) AS word, 1 / (100001 - n) AS bad FROM generate_series(1, 200000) n"

    with pytest.raises(BadDataError, match="division by zero"):
        into(s3_url, table=None, query=query).run()

    assert_nothing_left(s3_server, s3_url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_dump_in_parts_to_s3_leaves_none_when_the_query_fails_late(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """Objects of this attempt that were published are removed; what another attempt has made stays."""
    filled(beside_s3(kind))
    into(s3_url, name="out.jsonl.manifest", part_bytes=LEAST).run()
    before = keys(s3_server, s3_url)
    failing = into(
        s3_url,
        name="out.jsonl.manifest",
        part_bytes=LEAST,
        table=None,
        query="SELECT n, word, CASE WHEN n = 19000 THEN 1e308 * 10 ELSE 1.0 END AS bad FROM numbers ORDER BY n"
        if kind == "sqlite"
        else "SELECT n, word, CASE WHEN n = 19000 THEN 'inf' ELSE '1' END::float AS bad FROM numbers ORDER BY n",
    )

    with pytest.raises(BadDataError, match="row 19000, column bad"):
        failing.run()

    assert keys(s3_server, s3_url) == before
    assert s3_server.uploads(*split_url(s3_url)) == []


def test_dump_to_s3_goes_on_when_a_part_is_cut_in_the_middle(
    s3_proxy: S3Proxy, s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse
) -> None:
    """A reset inside a part costs that part only: it is sent again, from memory."""
    beside_s3("postgresql")
    s3_proxy.reset("UploadPart", after_bytes=100_000)
    query = "SELECT n, repeat('x', 200) AS word FROM generate_series(1, 100000) n"

    into(s3_url, table=None, query=query).run()

    assert s3_proxy.played["UploadPart"] == 1
    assert content(s3_server, s3_url).count(b"\n") == 100_001


def test_dump_to_s3_that_the_store_refuses_leaves_nothing(
    s3_proxy: S3Proxy, s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through every try: COPY is stopped, and the connection is as good as before."""
    monkeypatch.setenv("ETLCTL_S3_MAX_ATTEMPTS", "2")
    warehouse = beside_s3("postgresql")
    s3_proxy.answer("UploadPart", 503, times=20)
    query = "SELECT n, repeat('x', 200) AS word FROM generate_series(1, 300000) n"

    with pytest.raises(TransientError, match=r"out\.csv: the store is too busy"):
        into(s3_url, table=None, query=query).run()

    assert_nothing_left(s3_server, s3_url)
    with warehouse.database.reading("asking") as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


@pytest.mark.parametrize(("status", "error"), [(403, UnavailableError), (503, TransientError)])
def test_dump_in_parts_to_s3_removes_them_when_the_store_refuses_one(
    s3_proxy: S3Proxy,
    s3_server: S3Service,
    s3_url: str,
    beside_s3: MakeWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    error: type[Exception],
) -> None:
    """The third of several."""
    monkeypatch.setenv("ETLCTL_S3_MAX_ATTEMPTS", "1")
    filled(beside_s3("postgresql"))
    s3_proxy.answer("PutObject", status, skip=2)

    with pytest.raises(error, match=r"out.csv.parts/\w+/0002.csv: "):
        into(s3_url, name="out.csv.manifest", part_bytes=LEAST).run()

    assert_nothing_left(s3_server, s3_url)


def test_dump_in_parts_to_s3_says_which_it_could_not_remove(
    s3_proxy: S3Proxy,
    s3_server: S3Service,
    s3_url: str,
    beside_s3: MakeWarehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error is that of the dump, the rest is a note; no manifest names them."""
    monkeypatch.setenv("ETLCTL_S3_MAX_ATTEMPTS", "1")
    filled(beside_s3("postgresql"))
    s3_proxy.answer("PutObject", 403, skip=2)
    s3_proxy.answer("DeleteObject", 403, times=9)

    with attempting(Attempt()) as attempt, pytest.raises(UnavailableError, match=r"0002\.csv"):
        into(s3_url, name="out.csv.manifest", part_bytes=LEAST).run()

    assert len(keys(s3_server, s3_url)) == 2
    assert "could not be removed; no manifest names them: s3://" in attempt.notes[-1]


def test_dump_in_parts_to_s3_keeps_them_when_the_manifest_may_be_there(
    s3_proxy: S3Proxy,
    s3_server: S3Service,
    s3_url: str,
    beside_s3: MakeWarehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store carries the last PUT out and loses its answer, and then says nothing more."""
    monkeypatch.setenv("ETLCTL_S3_MAX_ATTEMPTS", "1")
    filled(beside_s3("postgresql"), 100)
    s3_proxy.lose("PutObject", skip=1)
    s3_proxy.answer("HeadObject", 503, skip=1, times=9)

    with attempting(Attempt()) as attempt, pytest.raises(TransientError):
        into(s3_url, name="out.csv.manifest", part_bytes=LEAST).run()

    (entry,) = json.loads(content(s3_server, s3_url, "out.csv.manifest"))["entries"]
    assert s3_server.get(*split_url(entry["url"])).decode() == "n,word\n" + expected(end=100)
    assert "the manifest may name them" in attempt.notes[-1]


def test_dump_to_s3_without_the_bucket_is_unavailable(s3_url: str, beside_s3: MakeWarehouse) -> None:
    """A sentence that says whose matter it is."""
    filled(beside_s3("sqlite"), 10)

    with pytest.raises(UnavailableError, match="there is no such bucket"):
        into("s3://etlctl-no-such-bucket/x/").run()


KILLED = """
    import os, signal, sys
    from etlctl import DumpTable, S3Target, faultpoints

    point, skip, url, name, database = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    passed = []

    def die(at):
        passed.append(at)
        if at == point and passed.count(at) > skip:
            os.kill(os.getpid(), signal.SIGKILL)

    class Numbers(DumpTable):
        connection = database
        query = "SELECT n, repeat('x', 200) AS word FROM generate_series(1, 100000) n"
        part_bytes = 4 * 2**20 if name.endswith(".manifest") else None

        def output(self):
            return S3Target(url + name)

    faultpoints.point = die
    Numbers().run()
    print("OK")
"""


def killed(
    point: str, skip: int, url: str, name: str, project: Path, database: str
) -> subprocess.CompletedProcess[str]:
    """A process that dumps and dies at a moment, the way an operator's kill -9 ends it."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), point, str(skip), url, name, database],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("point", "skip", "name", "objects"),
    [
        ("s3.part", 0, "out.csv", 0),
        ("s3.completing", 0, "out.csv", 0),
        ("s3.published", 1, "out.csv.manifest", 2),
        ("s3.written", 5, "out.csv.manifest", 5),
    ],
)
def test_dump_to_s3_that_is_killed_leaves_only_what_nobody_reads(
    s3_server: S3Service,
    s3_url: str,
    postgres_url: str,
    tmp_path: Path,
    point: str,
    skip: int,
    name: str,
    objects: int,
) -> None:
    """kill -9 in the middle of an object, between parts and before the manifest; the next attempt is not in its way."""
    died = killed(point, skip, s3_url, name, tmp_path, postgres_url)

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert name not in keys(s3_server, s3_url) and len(keys(s3_server, s3_url)) == objects

    again = killed("never", 0, s3_url, name, tmp_path, postgres_url)

    assert again.stdout == "OK\n", again.stderr
    assert name in keys(s3_server, s3_url)
    if name == "out.csv.manifest":
        entries = json.loads(content(s3_server, s3_url, name))["entries"]
        parts = [s3_server.get(*split_url(entry["url"])) for entry in entries]
        assert sum(part.count(b"\n") - 1 for part in parts) == 100_000
        assert len(keys(s3_server, s3_url)) == objects + len(parts) + 1
    else:
        assert content(s3_server, s3_url, name).count(b"\n") == 100_001


@pytest.mark.parametrize("attributes", [{}, {"format": "csv"}, {"part_bytes": LEAST}])
def test_dump_into_a_folder_is_told_as_one(s3_url: str, attributes: dict[str, Any]) -> None:
    """Not by its suffix: whatever is set besides, an object is written, and no folder."""
    with pytest.raises(LoadError, match=r"names a folder: name the file in it, such as s3://.*/day/rows\.csv"):
        into(s3_url, name="day/", **attributes).run()
