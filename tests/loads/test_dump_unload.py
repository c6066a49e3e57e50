"""DumpTable on Redshift: UNLOAD into parts of an attempt, the manifest last; against the stand-in and an S3."""

from __future__ import annotations

import bz2
import gzip
import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse, in_place
from etlctl import DumpTable, ExternalTask, LoadTable, S3Target
from etlctl.core.context import Attempt, attempting
from etlctl.db.dialects.objects import Unloaded
from etlctl.db.dialects.redshift.unload import _check_count
from etlctl.errors import EtlctlError, LoadError
from servers.redshift.standin import Standin
from servers.s3 import S3Service, split_url

TYPES = "n bigint, word varchar(99), flag boolean, day date, at timestamp, amount numeric(8,2)"
ROWS = """
(1, 'a,"b"', true, '2013-01-02', '2013-01-02 05:00:00', 1.50), (2, '', false, NULL, '2013-01-02 05:00:00.25', -3),
(3, NULL, NULL, '0099-12-31', NULL, NULL), (4, 'ü🚀', true, NULL, NULL, 0)
"""
CSV_LINES = [
    '1,"a,""b""",true,2013-01-02,2013-01-02 05:00:00,1.50',
    '2,"",false,,2013-01-02 05:00:00.25,-3.00',
    "3,,,0099-12-31,,",
    "4,ü🚀,true,,,0.00",
]


@pytest.fixture
def house(redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(redshift_url, tmp_path, s3_staging=redshift_staging, iam_role=redshift_role) as found:
        found.write(f"CREATE TABLE facts ({TYPES})", f"INSERT INTO facts VALUES {ROWS}")
        yield found


def dump(url: str, **attributes: Any) -> DumpTable:
    given = {"table": "facts", "part_bytes": 64 * 2**20, "output": lambda _: S3Target(url)}
    made: DumpTable = type("DumpFacts", (DumpTable,), {**given, **attributes})()
    return made


def statements(redshift: Standin) -> list[str]:
    return [" ".join(text.split()) for _, text in redshift.log if text.startswith("UNLOAD")]


def parts(server: S3Service, url: str) -> list[bytes]:
    """The content of each object that the manifest names."""
    found = json.loads(server.get(*split_url(url)))["entries"]
    contents = [server.get(*split_url(entry["url"])) for entry in found]
    assert [entry["meta"]["content_length"] for entry in found] == [len(content) for content in contents]
    assert all(entry["url"].startswith(url.removesuffix(".manifest") + ".parts/") for entry in found)
    return contents


def lines(contents: list[bytes], head: str = "") -> list[str]:
    """Of all parts, in order, without the header that each must have."""
    texts = [content.decode() for content in contents]
    assert all(text.startswith(head) for text in texts)
    return sorted(line for text in texts for line in text.removeprefix(head).splitlines())


def keys(server: S3Service, url: str) -> list[str]:
    return server.keys(*split_url(url))


def test_dump_is_unloaded_and_named_by_our_manifest(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, s3_url: str
) -> None:
    """In the form of every other dump; Redshift sends the rows itself."""
    with attempting(Attempt()) as attempt:
        dump(f"{s3_url}facts.csv.manifest").run()

    head = "n,word,flag,day,at,amount\n"
    assert lines(parts(s3_server, f"{s3_url}facts.csv.manifest"), head) == CSV_LINES
    (statement,) = statements(redshift)
    assert "HEADER" in statement and "MAXFILESIZE 64 MB" in statement and "PARALLEL ON" in statement
    assert attempt.rows == 4


@pytest.mark.parametrize(("suffix", "unpack"), [("gz", gzip.decompress), ("bz2", bz2.decompress)])
def test_dump_is_unloaded_packed_in_order_and_without_a_header(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, s3_url: str, suffix: str, unpack: Any
) -> None:
    """As the name and the attributes say; an ORDER BY keeps one slice after the other."""
    url = f"{s3_url}facts.tsv.{suffix}.manifest"
    query = "SELECT word, n FROM facts WHERE n <> :n ORDER BY n DESC"

    dump(url, table=None, query=query, header=False, part_bytes=64 * 1024, n=3).run()

    assert [unpack(part).decode() for part in parts(s3_server, url)] == ['ü🚀\t4\n""\t2\n"a,""b"""\t1\n']
    (statement,) = statements(redshift)
    assert "HEADER" not in statement and "PARALLEL OFF" in statement and "MAXFILESIZE 5 MB" in statement


def test_dump_that_is_unloaded_loads_back(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, s3_url: str
) -> None:
    """Into a table of the same columns."""
    url = f"{s3_url}facts.csv.gz.manifest"
    dump(url).run()

    class Back(LoadTable):
        columns = dict(pair.split(" ", 1) for pair in TYPES.split(", "))

        def requires(self) -> Any:
            return type("Dumped", (ExternalTask,), {"output": lambda _: S3Target(url)})()

    Back().run()

    asked = "SELECT n, nullif(word, ''), flag, day, at, amount FROM {} ORDER BY n"
    assert house.ask(asked.format("back")) == house.ask(asked.format("facts"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"table": None, "query": "SELECT n, n::double precision AS f FROM facts"},
        {"table": None, "query": "SELECT n, flag FROM facts ORDER BY n DESC"},
        {"table": None, "query": "SELECT n, word FROM facts ORDER BY n DESC LIMIT 4"},
        {"null": "NA"},
        {"escape_formulas": True},
        {"output": lambda self: S3Target(self.at, StorageClass="STANDARD_IA")},
    ],
)
def test_dump_that_unload_cannot_write_alike_is_streamed(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, s3_url: str, attributes: dict[str, Any]
) -> None:
    """Floats in plain digits, an order inside another SELECT, a word for NULL, formulas made harmless, options of the
    object."""
    url = f"{s3_url}facts.csv.manifest"

    dump(url, at=url, **attributes).run()

    assert statements(redshift) == [] and len(lines(parts(s3_server, url))) == 5


def test_dump_of_no_rows_has_one_part(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, s3_url: str
) -> None:
    """UNLOAD writes nothing then; the header alone is a file."""
    url = f"{s3_url}facts.csv.manifest"

    with attempting(Attempt()) as attempt:
        dump(url, table=None, query="SELECT n, word FROM facts WHERE n > 9").run()

    assert parts(s3_server, url) == [b"n,word\n"] and len(statements(redshift)) == 1
    assert attempt.rows == 0 and "holds a header alone" in attempt.notes[0]


@pytest.mark.parametrize(
    ("counts", "sent", "is_all"),
    [
        ([3, 2], 5, True),
        ([], 0, True),
        ([4, 3], 5, True),
        ([3, 2], 7, True),
        ([None, 2], 5, True),
        ([3, 2], 9, False),
        ([3, 2], 4, False),
        ([], 1, False),
    ],
)
def test_rows_that_were_sent_are_looked_for(counts: list[int | None], sent: int, is_all: bool) -> None:
    """A header for each part may be counted, or not; what is not told is not compared."""
    written = [Unloaded(f"s3://b/{number}", 1, count) for number, count in enumerate(counts)]

    with nullcontext() if is_all else pytest.raises(LoadError, match="Nothing was published"):
        _check_count("s3://b/", written, sent)


def test_rows_whose_manifest_is_gone_are_not_taken_for_none(
    house: AnyWarehouse, s3_server: S3Service, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session says how many it unloaded."""

    def gone(place: Any) -> Any:
        raise FileNotFoundError(str(place))

    monkeypatch.setattr("etlctl.s3.reader.open_object", gone)

    with pytest.raises(LoadError, match=r"unloaded 4 rows, and .*manifest tells of 0"):
        dump(f"{s3_url}facts.csv.manifest").run()

    assert keys(s3_server, s3_url) == []


@pytest.mark.parametrize("way", ["kill", "fail"])
def test_unload_that_breaks_off_leaves_no_object(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, s3_url: str, way: Any
) -> None:
    """F54: after the first part; the dump of before stays, with its parts."""
    url = f"{s3_url}facts.csv.manifest"
    dump(url).run()
    before = keys(s3_server, s3_url)
    redshift.fault("^UNLOAD", way, after_parts=1)

    with pytest.raises(EtlctlError):
        dump(url).run()

    assert redshift.struck >= 1
    assert keys(s3_server, s3_url) == before


KILLED = """
    import sys
    from etlctl import DumpTable, S3Target

    class DumpFacts(DumpTable):
        table = "facts"
        part_bytes = 64 * 2**20

        def output(self):
            return S3Target(sys.argv[1])

    DumpFacts().run()
    print("OK")
"""


def test_unload_whose_process_is_killed_is_seen_by_nobody(
    house: AnyWarehouse, redshift: Standin, redshift_role: str, s3_server: S3Service, s3_url: str, tmp_path: Path
) -> None:
    """F54: kill -9 when a part is there; no manifest names it, and the next attempt is not in its way."""
    url = f"{s3_url}facts.csv.manifest"
    settings = tmp_path / "etlctl.toml"
    settings.write_text(
        f"[connections.default]\nurl = {json.dumps(house.url)}\niam_role = {json.dumps(redshift_role)}\n"
    )
    redshift.fault("^UNLOAD", "delay", after_parts=1, delay_s=2)
    program = [sys.executable, "-c", textwrap.dedent(KILLED), url]

    with subprocess.Popen(program, cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not keys(s3_server, s3_url) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    left = keys(s3_server, s3_url)
    redshift.forget()
    again = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert process.returncode == -signal.SIGKILL and left
    assert all(".parts/" in key for key in left)
    assert again.stdout == "OK\n", again.stderr
    named = {entry["url"] for entry in json.loads(s3_server.get(*split_url(url)))["entries"]}
    assert not {f"s3://{split_url(url)[0]}/{key}" for key in left} & named
    assert lines(parts(s3_server, url), "n,word,flag,day,at,amount\n") == CSV_LINES
