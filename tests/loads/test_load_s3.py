"""LoadTable from S3: rows, strictness and messages as from a disk, of one object or of several that are one."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse, in_place
from etlctl import DumpTable, ExternalTask, LoadTable, S3FlagTarget, S3Target, faultpoints
from etlctl.core.context import Attempt, attempting
from etlctl.db.dialects.postgresql.copy import _Copy
from etlctl.errors import BadDataError, EtlctlError, ExitCode, LoadError, TaskError, UnavailableError
from servers.s3 import S3Service, split_url
from servers.s3_proxy import S3Proxy

MakeWarehouse = Callable[[str], AnyWarehouse]
KINDS = ["sqlite", "postgresql"]
HEADER = "n,word\n"
CSV = HEADER + '1,a\n2,"b, ""c""\nd"\n3,é\n'
ROWS = [(1, "a"), (2, 'b, "c"\nd'), (3, "é")]
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress}


class Numbers(ExternalTask):
    """What lies at `target`, made by somebody else."""

    target: Any = None

    def output(self) -> Any:
        return self.target


class LoadNumbers(LoadTable):
    columns = {"n": "bigint", "word": "text"}
    table: Any = "numbers"
    target: Any = None

    def requires(self) -> Any:
        return type("Numbers", (Numbers,), {"target": self.target})()


def loading(target: Any, **attributes: Any) -> LoadNumbers:
    made: LoadNumbers = type("LoadNumbers", (LoadNumbers,), {"target": target, **attributes})()
    return made


def put(server: S3Service, url: str, name: str, content: str | bytes) -> S3Target:
    """An object, made past etlctl; packed as its suffix says where it is given as text."""
    if isinstance(content, str):
        content = PACKERS.get(name.rpartition(".")[2], bytes)(content.encode())
    bucket, prefix = split_url(url)
    server.put(bucket, prefix + name, content)
    return S3Target(url + name)


def put_manifest(server: S3Service, url: str, files: Sequence[str], name: str = "all.csv.manifest", **more: Any) -> Any:
    """parts/0.csv, parts/1.csv, …, and the manifest that names them."""
    entries = []
    for number, content in enumerate(files):
        part = put(server, url, f"parts/{number}.csv", content)
        entries.append({"url": part.path, "mandatory": True, "meta": {"content_length": part.size()}, **more})
    return put(server, url, name, json.dumps({"entries": entries}))


def rows(warehouse: AnyWarehouse) -> list[tuple[Any, ...]]:
    return warehouse.ask("SELECT n, word FROM numbers ORDER BY n")


def inputs(warehouse: AnyWarehouse) -> dict[str, Any]:
    ((text,),) = warehouse.ask("SELECT inputs FROM table_updates WHERE target_table = 'numbers'")
    (found,) = json.loads(text)
    return dict(found)


def refusal(task: LoadTable, kind: type[EtlctlError] = BadDataError) -> str:
    with pytest.raises(kind) as caught:
        task.run()
    return str(caught.value)


@pytest.mark.parametrize("kind", [*KINDS, "mysql"])
@pytest.mark.parametrize("name", ["n.csv", "n.csv.gz", "n.csv.bz2", "n #1?%41.tsv.GZ"])
def test_load_from_s3_is_the_file(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str, name: str
) -> None:
    """Packed and cut as its suffix says; the marker tells which object it was."""
    warehouse = beside_s3(kind)
    content = CSV if ".csv" in name else CSV.replace("n,w", "n\tw").replace("1,", "1\t").replace("2,", "2\t")
    content = content.replace("3,", "3\t") if ".tsv" in name else content
    target = put(s3_server, s3_url, name, gzip.compress(content.encode()) if name.endswith("GZ") else content)

    loading(target).run()

    assert rows(warehouse) == ROWS
    info = target.info()
    assert info is not None
    assert inputs(warehouse) == {
        "path": s3_url + name,
        "size": info.size,
        "etag": info.etag.strip('"'),
        "updated_at": info.updated_at.isoformat(),
    }


@pytest.fixture
def roads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which roads PostgreSQL took, in order."""
    taken: list[str] = []
    from_file, values = _Copy._from_file, _Copy._values

    def watched_file(self: Any, *arguments: Any) -> int:
        taken.append("bytes of " + ", ".join(one.location for one in self._records.file.objects))
        return from_file(self, *arguments)

    def watched_values(self: Any) -> int:
        taken.append("values")
        return values(self)

    monkeypatch.setattr(_Copy, "_from_file", watched_file)
    monkeypatch.setattr(_Copy, "_values", watched_values)
    return taken


def test_load_from_s3_is_streamed_into_copy(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, roads: list[str]
) -> None:
    """The object's bytes, as a file's; the dialect is told where they come from."""
    warehouse = beside_s3("postgresql")

    loading(put(s3_server, s3_url, "n.csv.gz", CSV)).run()

    assert roads == [f"bytes of {s3_url}n.csv.gz"] and rows(warehouse) == ROWS


def test_load_of_a_manifest_is_streamed_into_one_copy(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, roads: list[str]
) -> None:
    """With headers alike, and whether or not a file ends with a line end."""
    warehouse = beside_s3("postgresql")
    manifest = put_manifest(s3_server, s3_url, [HEADER + "1,a", HEADER, "\ufeff" + HEADER + '2,"b, ""c""\nd"\n3,é\n'])

    loading(manifest).run()

    parts = ", ".join(f"{s3_url}parts/{number}.csv" for number in range(3))
    assert roads == [f"bytes of {parts}"] and rows(warehouse) == ROWS
    assert inputs(warehouse)["files"] == 3 and inputs(warehouse)["path"] == manifest.path


@pytest.mark.parametrize("kind", KINDS)
def test_load_of_a_manifest_reads_each_file_with_its_own_header(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """In another order, or with columns that nobody wants."""
    warehouse = beside_s3(kind)
    manifest = put_manifest(s3_server, s3_url, [HEADER + "1,a\n", 'word,x,n\n"b, ""c""\nd",,2\n', HEADER + "3,é\n"])

    loading(manifest).run()

    assert rows(warehouse) == ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_load_of_a_manifest_without_headers(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """Each line of each file is a record."""
    warehouse = beside_s3(kind)
    manifest = put_manifest(s3_server, s3_url, ["1,a\n", '2,"b, ""c""\nd"', "3,é\n"])

    loading(manifest, header=False).run()

    assert rows(warehouse) == ROWS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["d.csv.manifest", "d.tsv.gz.manifest"])
def test_a_dump_in_parts_loads_back(
    s3_server: S3Service, every_s3_url: str, beside_s3: MakeWarehouse, kind: str, name: str
) -> None:
    """On every service and database."""
    warehouse = beside_s3(kind)
    warehouse.write("CREATE TABLE source (n bigint, word text)")
    warehouse.write(
        """WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < 9000)
        INSERT INTO source SELECT n, 'é "word", x' || n FROM series"""
    )
    output = S3Target(every_s3_url + name)
    dump = {"table": "source", "part_bytes": 64 * 1024, "output": lambda self: output}
    type("DumpSource", (DumpTable,), dump)().run()

    loading(output).run()

    assert rows(warehouse) == warehouse.ask("SELECT n, word FROM source ORDER BY n")
    assert inputs(warehouse)["files"] > 3


@pytest.mark.parametrize("kind", KINDS)
def test_load_of_a_flagged_folder_reads_its_objects(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """In the order of their keys, without the flag; an empty one is a sentence."""
    warehouse = beside_s3(kind)
    folder = S3FlagTarget(s3_url + "day/")
    folder.touch()
    assert "there is no file in this folder but its flag" in refusal(loading(folder))
    put(s3_server, s3_url, "day/part-0.csv.gz", HEADER + "1,a\n")
    put(s3_server, s3_url, "day/part-1.csv", HEADER + '2,"b, ""c""\nd"\n3,é\n')

    loading(folder).run()

    assert rows(warehouse) == ROWS
    assert inputs(warehouse)["path"] == s3_url + "day/" and inputs(warehouse)["files"] == 2


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEADER + "1,a\nx,b\n", r"n.csv: line 3, column n: 'x' is no"),
        (HEADER + "1,a\n2\n", "n.csv: line 3, column word: missing (1 field instead of 2)"),
        (HEADER + '1,a\n2,"b\n', "n.csv: line 3, column word: the quote opened here never ends"),
        ((HEADER + "1,a\n2,").encode() + b"\xff\n", "n.csv: line 3, column word: byte 0xff is not UTF-8"),
        ("n,wort\n1,a\n", "n.csv: line 1: the header has no column word"),
    ],
)
def test_load_from_s3_names_object_line_and_column(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str, content: str | bytes, said: str
) -> None:
    """As of a file; the table is as it was."""
    warehouse = beside_s3(kind)

    told = refusal(loading(put(s3_server, s3_url, "n.csv", content)))

    assert told.startswith(f"{s3_url}{said.partition(' is no')[0]}"), told
    assert warehouse.count("numbers") == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (HEADER + "5,a\nx,b\n", "line 3, column n: "),
        (HEADER + '5,a\n6,"b\n', "line 3, column word: the quote opened here never ends"),
        ("n,wort\n5,a\n", "line 1: the header has no column word"),
        ("", None),
    ],
)
def test_a_bad_row_in_the_third_of_five_files_is_named(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str, bad: str, said: str | None
) -> None:
    """With its own line; an open quote is not closed by the next file. An empty file is no error."""
    warehouse = beside_s3(kind)
    good = [HEADER + f'{number},x\n{number + 1},"y"\n' for number in (10, 20, 30, 40)]
    task = loading(put_manifest(s3_server, s3_url, [*good[:2], bad, *good[2:]]))

    if said is None:
        task.run()
        assert warehouse.count("numbers") == 8
    else:
        assert refusal(task).startswith(f"{s3_url}parts/2.csv: {said}")
        assert warehouse.count("numbers") == 0


def test_a_file_that_is_missing_is_an_error_unless_the_manifest_says_otherwise(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse
) -> None:
    """UNLOAD's manifests say nothing: that is mandatory."""
    warehouse = beside_s3("sqlite")
    there = put(s3_server, s3_url, "0.csv", CSV).path
    gone = s3_url + "1.csv"

    def manifest(*entries: dict[str, Any]) -> S3Target:
        return put(s3_server, s3_url, "all.csv.manifest", json.dumps({"entries": entries}))

    assert refusal(loading(manifest({"url": there}, {"url": gone}))).startswith(f"{gone}: there is no such object")
    assert "none of the files that the manifest names is there" in refusal(
        loading(manifest({"url": gone, "mandatory": False}))
    )
    with attempting(Attempt()) as attempt:
        loading(manifest({"url": there}, {"url": gone, "mandatory": False})).run()
    assert rows(warehouse) == ROWS
    assert attempt.notes == [f"{s3_url}all.csv.manifest names files that are not there and need not be: {gone}"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is not JSON"),
        ("n,word\n1,a\n", "it is not JSON"),
        ("[]", 'it has no list of "entries"'),
        ('{"entries": {}}', 'it has no list of "entries"'),
        ('{"entries": []}', "names no file"),
        ('{"entries": [{"mandatory": true}]}', 'entry 1 of the manifest has no "url"'),
        ('{"entries": ["s3://bucket/key"]}', 'entry 1 of the manifest has no "url"'),
        ('{"entries": [{"url": "s3://bucket/key"}, {"url": "s3://bucket/key"}]}', "names s3://bucket/key twice"),
        ('{"entries": [{"url": "https://host/key"}]}', "files in S3 are read, s3://BUCKET/KEY"),
        ('{"entries": [{"url": "s3://bucket/key", "meta": {"content_length": "5"}}]}', "is a number of bytes"),
    ],
)
def test_a_manifest_that_is_none_is_a_sentence(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, content: str, said: str
) -> None:
    """It begins with the manifest's address."""
    beside_s3("sqlite")

    told = refusal(loading(put(s3_server, s3_url, "m.csv.manifest", content.encode())))

    assert told.startswith(f"{s3_url}m.csv.manifest: ") and said in told


def test_a_file_of_another_size_than_the_manifest_says_is_refused(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse
) -> None:
    """It was replaced since, or the manifest is of another attempt."""
    beside_s3("postgresql")
    manifest = put_manifest(s3_server, s3_url, [CSV, CSV])
    put(s3_server, s3_url, "parts/1.csv", HEADER)

    assert refusal(loading(manifest)) == (
        f"{s3_url}parts/1.csv: has 7 bytes, where the manifest that names it says {len(CSV.encode())}"
    )


def test_files_that_end_their_fields_differently_are_refused(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse
) -> None:
    """By their names, in a folder; a manifest's own name decides."""
    beside_s3("sqlite")
    folder = S3FlagTarget(s3_url + "day/")
    put(s3_server, s3_url, "day/0.csv", CSV)
    put(s3_server, s3_url, "day/1.tsv", CSV)

    assert "day/1.tsv, by their names. Set delimiter" in refusal(loading(folder), LoadError)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_is_not_there_or_cannot_be_asked_for(
    s3_proxy: S3Proxy, s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """Absent is the data's matter, rights and buckets are the store's: exit 1 and exit 4, each with the mend."""
    beside_s3(kind)

    for header in (True, False):
        absent = refusal(loading(S3Target(s3_url + "none.csv"), header=header))
        assert absent.startswith(f"{s3_url}none.csv: there is no such object. A key is taken letter by letter")
    no_bucket = refusal(loading(S3Target("s3://etlctl-no-such-bucket/n.csv")), UnavailableError)
    assert "there is no such bucket" in no_bucket
    s3_proxy.answer("GetObject", 403)
    forbidden = refusal(loading(put(s3_server, s3_url, "n.csv", CSV)), UnavailableError)
    assert f"reading {s3_url}n.csv: this user may not do that" in forbidden and "s3:GetObject" in forbidden
    assert (BadDataError.exit_code, UnavailableError.exit_code) == (ExitCode.FAILED, ExitCode.UNAVAILABLE)


def test_an_address_that_is_none_is_refused(s3_url: str, beside_s3: MakeWarehouse) -> None:
    """Of a target that does not check it itself."""
    beside_s3("sqlite")

    class Raw:
        path = "s3:///key"

    assert "names no bucket" in refusal(loading(Raw()), TaskError)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_object_has_no_rows_and_an_empty_packed_one_is_refused(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """As files: nothing was packed to 0 bytes."""
    warehouse = beside_s3(kind)

    with attempting(Attempt()) as attempt:
        loading(put(s3_server, s3_url, "n.csv", b"")).run()
    packed = refusal(loading(put(s3_server, s3_url, "n.csv.gz", b""), table="others"))

    assert warehouse.count("numbers") == 0 and attempt.notes == [f"{s3_url}n.csv is empty: 0 rows"]
    assert packed == f"{s3_url}n.csv.gz: cannot be read on after line 0: 0 bytes are no gz file"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["n.csv.gz", "n.csv.bz2"])
def test_a_packed_object_that_is_cut_is_refused(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str, name: str
) -> None:
    """Alone and in the middle of a manifest's; nothing of it is loaded."""
    warehouse = beside_s3(kind)
    whole = PACKERS[name.rpartition(".")[2]]((HEADER + "".join(f"{n},{n * 7919}\n" for n in range(50_000))).encode())
    cut = put(s3_server, s3_url, name, whole[: len(whole) // 2])
    good = put(s3_server, s3_url, "g.csv", CSV)
    entries = [{"url": target.path} for target in (good, cut, put(s3_server, s3_url, "never read", ""))]
    manifest = put(s3_server, s3_url, "all.csv.manifest", json.dumps({"entries": entries}))

    for target in (cut, manifest):
        assert refusal(loading(target)).startswith(f"{s3_url}{name}: cannot be read on after line ")
    assert warehouse.count("numbers") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_is_cut_while_an_object_is_loaded_is_made_again(
    s3_proxy: S3Proxy, s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, kind: str
) -> None:
    """From the very byte, on the road of bytes and on that of values."""
    warehouse = beside_s3(kind)
    target = put(s3_server, s3_url, "n.csv", HEADER + "".join(f"{n},{'x' * 90}\n" for n in range(30_000)))
    s3_proxy.cut("GetObject", skip=1, after_bytes=1_500_000)

    loading(target).run()

    assert s3_proxy.played["GetObject"] == 1
    assert warehouse.ask("SELECT count(*), sum(n) FROM numbers") == [(30_000, 30_000 * 29_999 // 2)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_removed", [False, True])
@pytest.mark.parametrize("is_manifest", [False, True])
def test_an_object_that_is_replaced_while_it_is_loaded_is_not(
    s3_server: S3Service,
    s3_url: str,
    beside_s3: MakeWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    is_removed: bool,
    is_manifest: bool,
) -> None:
    """Found before the commit by its ETag, also when the new one is as long: one of several files counts as the one."""
    warehouse = beside_s3(kind)
    target = put_manifest(s3_server, s3_url, [CSV, CSV]) if is_manifest else put(s3_server, s3_url, "n.csv", CSV)
    name = "parts/1.csv" if is_manifest else "n.csv"

    def replace(point: str) -> None:
        if point == "load.copied":
            if is_removed:
                S3Target(s3_url + name).remove()
            else:
                put(s3_server, s3_url, name, CSV.replace("a", "b"))

    monkeypatch.setattr(faultpoints, "point", replace)
    told = refusal(loading(target))

    assert told.startswith(f"{s3_url}{name}: {'was removed' if is_removed else 'changed'} while it was being loaded")
    assert warehouse.count("numbers") == 0 and warehouse.markers() == []


def test_an_object_that_is_replaced_between_its_header_and_its_rows_is_not_loaded(
    s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it is opened it must be the same one."""
    beside_s3("postgresql")
    target = put(s3_server, s3_url, "n.csv", CSV)

    def replace(point: str) -> None:
        if point == "load.begun":
            put(s3_server, s3_url, "n.csv", "word,n\na,1\n")

    monkeypatch.setattr(faultpoints, "point", replace)

    assert "n.csv: changed while it was being loaded" in refusal(loading(target))


def test_files_read_as_one_are_counted_as_one(s3_server: S3Service, s3_url: str, beside_s3: MakeWarehouse) -> None:
    """rows of the attempt are those of all files."""
    beside_s3("sqlite")
    manifest = put_manifest(s3_server, s3_url, [CSV, HEADER, CSV.replace("1,", "4,")])

    with attempting(Attempt()) as attempt:
        loading(manifest).run()

    assert attempt.rows == 6


@pytest.mark.parametrize("point", ["s3.published", "load.begun"])
def test_a_file_that_redshift_reads_itself_must_stay_the_same_until_it_is_read(
    s3_server: S3Service,
    s3_url: str,
    redshift_url: str,
    redshift_role: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    """Its COPY does not pass by us: what the manifest names is looked at before and after it. What happens then, when
    the rows are in the database and the markers are locked, does not matter."""
    manifest = put_manifest(s3_server, s3_url, [CSV, CSV, CSV])

    def replace(at: str) -> None:
        if at == point:
            put(s3_server, s3_url, "parts/2.csv", CSV.replace("a", "b"))

    monkeypatch.setattr(faultpoints, "point", replace)
    with in_place(redshift_url, tmp_path, s3_staging=f"{s3_url}staging/", iam_role=redshift_role) as warehouse:
        if point == "load.begun":
            loading(manifest).run()
            assert warehouse.ask("SELECT count(*), max(word) FROM numbers WHERE word IN ('a', 'b')") == [(3, "a")]
            return
        told = refusal(loading(manifest))

        assert told.startswith(f"{s3_url}parts/2.csv: changed while it was being loaded")
        assert warehouse.count("numbers") == 0
