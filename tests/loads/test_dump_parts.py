"""A dump in parts: where the file is cut, what the manifest names and when it is there, what a failure leaves."""

from __future__ import annotations

import csv
import gzip
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etlctl import DumpTable, LocalTarget
from etlctl.core.context import Attempt, attempting
from etlctl.errors import BadDataError, LoadError, TransientError
from etlctl.loads.dumpparts import RecordCuts
from etlctl.loads.writers import DelimitedWriter, JsonLinesWriter
from etlctl.targets.mock import MockTarget
from warehouse import Warehouse

LEAST = 64 * 1024
CONTENT = st.lists(st.sampled_from([b"\n", b'"', b"\r\n", b",", b"a", b"\xc3", b"\xa9", b'""', b"0123456789"])).map(
    b"".join
)


class DumpNumbers(DumpTable):
    """More than two parts of the least size."""

    table: Any = "numbers"
    part_bytes: Any = LEAST
    name = "out/numbers.csv.manifest"

    def output(self) -> Any:
        return LocalTarget(self.name)


@pytest.fixture
def numbers(warehouse: Warehouse) -> Warehouse:
    warehouse.write(
        "CREATE TABLE numbers (n bigint, word text)",
        """WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < 8000)
        INSERT INTO numbers SELECT n, 'a "word",' || char(10) || n FROM series""",
    )
    return warehouse


def blocks_of(content: bytes, borders: list[int]) -> list[bytes]:
    """The content in blocks that end at `borders`."""
    places = sorted({0, *(border % (len(content) + 1) for border in borders), len(content)})
    return [content[start:end] for start, end in pairwise(places)]


def cut_into(cuts: RecordCuts, blocks: list[bytes]) -> list[bytes]:
    """The parts that come out, the last one perhaps not ended."""
    parts = [b""]
    for block in blocks:
        for piece, is_end in cuts.cut(block):
            parts[-1] += piece
            if is_end:
                parts.append(b"")
    return parts


@given(CONTENT, st.lists(st.integers(0, 200)), st.integers(1, 60), st.integers(0, 20), st.booleans())
@example(b'"\n"\n', [1, 2, 3], 1, 0, True)
@example(b'a,"b\n""\n"\nc\n', [], 3, 0, True)
def test_parts_together_are_the_stream_and_end_where_a_record_does(
    content: bytes, borders: list[int], part_bytes: int, begun: int, quotes: bool
) -> None:
    """Any bytes, any borders of blocks, any size: nothing is lost or moved, and only whole records are in a part."""
    parts = cut_into(RecordCuts(part_bytes, quotes=quotes, begun=begun), blocks_of(content, borders))

    assert b"".join(parts) == content
    for part in parts[:-1]:
        assert part.endswith(b"\n")
        assert not quotes or part.count(b'"') % 2 == 0
        assert len(part) + begun >= part_bytes or part.count(b"\n") >= 1
        before = part.rfind(b"\n", 0, -1) + 1
        while quotes and part.count(b'"', 0, before) % 2:
            before = part.rfind(b"\n", 0, before - 1) + 1
        assert before == 0 or before + begun < part_bytes, "an earlier record had filled it already"
    assert parts == cut_into(RecordCuts(part_bytes, quotes=quotes, begun=begun), [content])


@given(
    st.lists(st.tuples(st.none() | st.text(alphabet='a",\n\r\té\\.', max_size=6), st.integers()), max_size=40),
    st.lists(st.integers(0, 2000)),
    st.integers(1, 200),
    st.sampled_from([",", "\t"]),
)
def test_parts_of_a_csv_are_each_readable_by_themselves(
    rows: list[tuple[str | None, int]], borders: list[int], part_bytes: int, delimiter: str
) -> None:
    """The records of the parts, one after the other, are those of the whole file."""
    writer = DelimitedWriter(["word", "n"], [None, None], delimiter=delimiter)
    content = writer.lines(rows).encode() if rows else b""

    parts = cut_into(RecordCuts(part_bytes, quotes=True), blocks_of(content, borders))

    def records(part: bytes) -> list[list[str]]:
        return list(csv.reader(io.StringIO(part.decode(), newline=""), delimiter=delimiter, strict=True))

    assert [record for part in parts for record in records(part)] == records(content)


@given(st.lists(st.text(), max_size=40), st.lists(st.integers(0, 2000)), st.integers(1, 200))
def test_parts_of_json_lines_are_each_readable_by_themselves(
    words: list[str], borders: list[int], part_bytes: int
) -> None:
    """A quote means nothing to where a line of JSON ends."""
    words = [word for word in words if word.isprintable()] + ['"', '\\"\n']
    content = JsonLinesWriter(["word"], [None]).lines([(word,) for word in words]).encode()

    parts = cut_into(RecordCuts(part_bytes, quotes=False), blocks_of(content, borders))

    assert [json.loads(line)["word"] for part in parts for line in part.split(b"\n") if line] == words


def manifest_at(project: Path, name: str = "out/numbers.csv.manifest") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((project / name).read_text())["entries"]
    return found


def test_dump_in_parts_names_them_in_a_manifest(numbers: Warehouse) -> None:
    """Each part has the header and the size that the manifest says; together they are the file in one piece."""

    class Whole(DumpNumbers):
        part_bytes = None
        name = "out/whole.csv"

    DumpNumbers().run()
    Whole().run()

    entries = manifest_at(numbers.project)
    parts = [(numbers.project / "out" / entry["url"]).read_bytes() for entry in entries]
    assert len(parts) > 2
    assert [entry["meta"]["content_length"] for entry in entries] == [len(part) for part in parts]
    assert {entry["mandatory"] for entry in entries} == {True}
    assert all(part.startswith(b"n,word\n") and LEAST <= len(part) < LEAST + 100 for part in parts[:-1])
    whole = (numbers.project / "out/whole.csv").read_bytes()
    assert b"n,word\n" + b"".join(part.removeprefix(b"n,word\n") for part in parts) == whole
    assert [entry["url"].rpartition("/")[2] for entry in entries] == [f"{n:04}.csv" for n in range(len(parts))]


def test_dump_in_parts_packs_each_and_leaves_the_header_out_when_asked(numbers: Warehouse) -> None:
    """part_bytes are those before packing."""

    class Packed(DumpNumbers):
        header = False
        name = "numbers.tsv.gz.manifest"

    Packed().run()

    parts = [(numbers.project / one["url"]).read_bytes() for one in manifest_at(numbers.project, Packed.name)]
    unpacked = [gzip.decompress(part) for part in parts]
    assert len(parts) > 2 and all(len(part) < LEAST / 2 for part in parts)
    assert all(LEAST <= len(part) < LEAST + 100 for part in unpacked[:-1])
    assert unpacked[0].startswith(b'1\t"a ""word"",\n1"\n2\t')


def test_dump_in_parts_of_json_lines_has_no_header(numbers: Warehouse) -> None:
    """A line is a record."""

    class Lines(DumpNumbers):
        name = "numbers.jsonl.manifest"

    Lines().run()

    parts = [(numbers.project / one["url"]).read_text() for one in manifest_at(numbers.project, Lines.name)]
    assert [json.loads(line)["n"] for part in parts for line in part.splitlines()] == list(range(1, 8001))


def test_dump_in_parts_of_no_rows_has_one_part(warehouse: Warehouse) -> None:
    """With the header alone, so that a manifest never names nothing."""
    warehouse.write("CREATE TABLE numbers (n bigint, word text)")

    DumpNumbers().run()

    (entry,) = manifest_at(warehouse.project)
    assert (warehouse.project / "out" / entry["url"]).read_bytes() == b"n,word\n"


def test_dump_in_parts_again_writes_other_parts(numbers: Warehouse) -> None:
    """Those of the manifest before may be being read; the new one names its own alone."""
    DumpNumbers().run()
    before = manifest_at(numbers.project)
    numbers.write("DELETE FROM numbers WHERE n > 10")
    DumpNumbers().run()

    after = manifest_at(numbers.project)
    assert len(after) == 1
    assert all((numbers.project / "out" / entry["url"]).exists() for entry in before + after)


def leftovers(project: Path) -> list[str]:
    """Files that are not the warehouse's."""
    return sorted(
        str(path.relative_to(project)) for path in project.rglob("*") if path.is_file() and ".etlctl" not in path.parts
    )


def test_dump_in_parts_removes_them_when_a_row_fails_late(numbers: Warehouse) -> None:
    """Nothing is left: no part, no manifest; the manifest that was there stays, with its parts."""

    class Late(DumpNumbers):
        name = "numbers.jsonl.manifest"
        table = None
        query = "SELECT n, CASE WHEN n = 7900 THEN 9e999 ELSE n END AS m, word FROM numbers ORDER BY n"

    with pytest.raises(BadDataError, match="row 7900, column m"):
        Late().run()
    assert leftovers(numbers.project) == []

    DumpNumbers().run()
    before = leftovers(numbers.project)
    numbers.write("UPDATE numbers SET n = 'x' WHERE n = 7999")

    class LateAgain(Late):
        name = DumpNumbers.name
        format = "jsonl"

    with pytest.raises(BadDataError):
        LateAgain().run()
    assert leftovers(numbers.project) == before


class Watched(LocalTarget):
    """Calls `before` with each name before it is opened for writing."""

    before: Any = None

    def beside(self, name: str) -> Watched:
        found = Watched(str(Path(self.path).parent / name))
        found.before = self.before
        return found

    def open(self, mode: str = "r") -> Any:
        if mode.startswith("w") and self.before is not None:
            self.before(self.path)
        return super().open(mode)


@pytest.mark.parametrize("failing", ["0002.csv", ".manifest"])
@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_dump_in_parts_removes_them_when_a_part_or_the_manifest_cannot_be_written(
    numbers: Warehouse, failing: str, error: BaseException
) -> None:
    """But for a manifest of which nobody can say whether it is there: parts that it may name are never removed."""

    class Fails(DumpNumbers):
        def output(self) -> Any:
            target = Watched(self.name)

            def refuse(path: str) -> None:
                if path.endswith(failing):
                    raise error

            target.before = refuse
            return target

    with attempting(Attempt()) as attempt, pytest.raises(type(error)):
        Fails().run()

    if failing == ".manifest" and isinstance(error, KeyboardInterrupt):
        assert len(leftovers(numbers.project)) > 2
        assert "the manifest may name them" in attempt.notes[0]
    else:
        assert leftovers(numbers.project) == [] and attempt.notes == []
        assert not any((numbers.project / "out/numbers.csv.parts").iterdir())


def test_dump_in_parts_that_another_process_removes_is_not_published(numbers: Warehouse) -> None:
    """A manifest names only what is there."""

    class Loses(Watched):
        def size(self) -> int | None:
            return None if self.path.endswith("0001.csv") else super().size()

        def beside(self, name: str) -> Loses:
            return Loses(str(Path(self.path).parent / name))

    class Dump(DumpNumbers):
        def output(self) -> Any:
            return Loses(self.name)

    with pytest.raises(TransientError, match="was written, and is not there"):
        Dump().run()
    assert leftovers(numbers.project) == []


def test_dump_in_parts_beside_a_first_manifest_leaves_that_one(numbers: Warehouse) -> None:
    """if_absent: the parts of the second are removed, and the summary says so."""

    class First(DumpNumbers):
        def output(self) -> Any:
            return LocalTarget(self.name, if_absent=True)

    First().run()
    before = leftovers(numbers.project)
    with attempting(Attempt()) as attempt:
        First().run()

    assert leftovers(numbers.project) == before
    assert "was there" in attempt.notes[0]


def mistake(name: str = "x.csv.manifest", **attributes: Any) -> DumpTable:
    given = {"table": "t", "part_bytes": LEAST, "output": lambda self: LocalTarget(name)}
    made: DumpTable = type("Mistaken", (DumpTable,), {**given, **attributes})()
    return made


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (lambda: mistake(part_bytes=64), r"part_bytes is 64; .* at least 65,536: 64 \* 2\*\*20 for 64 MiB"),
        (lambda: mistake(part_bytes=True), "part_bytes is True"),
        (lambda: mistake(part_bytes="1 GB"), "part_bytes is '1 GB'"),
        (lambda: mistake(part_bytes=1e6), "part_bytes is 1000000.0"),
        (lambda: mistake("x.csv"), r"call it .*x\.csv\.manifest, and"),
        (lambda: mistake("x.parquet.manifest"), "a Parquet file cannot be cut into parts"),
        (lambda: mistake("x.manifest"), "does not end with .csv"),
        (lambda: mistake(part_bytes=None), r"set part_bytes = 64 \* 2\*\*20"),
        (
            lambda: mistake(output=lambda self: MockTarget("x.csv.manifest")),
            "a MockTarget cannot have parts beside it",
        ),
    ],
)
def test_dump_in_parts_declared_wrongly_says_what_to_write(warehouse: Warehouse, task: Any, said: str) -> None:
    """Before the database is asked."""
    with pytest.raises(LoadError, match=said):
        task().run()
    assert not warehouse.file.exists()
