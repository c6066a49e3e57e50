"""Several files as one: their records one after the other, and their bytes where those are surely the same records."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etlctl import ExternalTask, LoadTable, LocalTarget
from etlctl.errors import BadDataError, LoadError
from etlctl.loads.places import LocalPlace, found_at
from etlctl.loads.sourcefiles import NotAsOneError, SourceFiles
from warehouse import Warehouse

FIELD = st.sampled_from(["", "x", '"x"', '"', 'a"b', '"a,b"', '"a\nb"', '"a""b"', "\ufeff", "é"])
LINE = st.lists(FIELD, min_size=1, max_size=2).map(",".join)
FILE = st.builds(
    lambda header, lines, end, last: header + "".join(line + end for line in lines) + last,
    st.sampled_from(["a,b\n", "a,b\n", "a,b\r\n", '"a",b\n', "b,a\n", "a,b", "", "\ufeffa,b\n"]),
    st.lists(LINE, max_size=3),
    st.sampled_from(["\n", "\n", "\r\n"]),
    st.sampled_from(["", "", "x,y", '"x,y']),
)


def sources(folder: Path, contents: list[str], *, header: bool = True) -> SourceFiles:
    """Of files that hold `contents`, in their order."""
    places = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.csv"
        path.write_bytes(content.encode())
        places.append(LocalPlace(path, path.name))
    return SourceFiles(places, "all", wanted=["a", "b"], header=header)


def joined(files: SourceFiles, size: int) -> bytes:
    with files.opened_bytes() as stream:
        return b"".join(iter(lambda: stream.read(size), b""))


@given(st.lists(FILE, min_size=1, max_size=4), st.booleans(), st.sampled_from([1, 7, 1 << 18]))
@example(["a,b\n1,2", "a,b\n3,4\n"], True, 1 << 18)
@example(['a,b\n1,"x\n', 'a,b\nx",2\n'], True, 1 << 18)
@example(["", "a,b\n1,2\n"], True, 1 << 18)
def test_bytes_of_several_files_are_their_records_or_refused(contents: list[str], header: bool, size: int) -> None:
    """What is read as one gives the records that the files give one by one, whatever is in them."""
    with TemporaryDirectory() as name:
        files = sources(Path(name), contents, header=header)
        try:
            stream = joined(files, size)
        except NotAsOneError:
            return
        with suppress(BadDataError):  # a file that is refused is refused by who reads its records
            expected = list(files)
            text = stream.decode().removeprefix("\ufeff")
            found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
            names = found.pop(0) if header and found else ["a", "b"]
            assert [(record[names.index("a")], record[names.index("b")]) for record in found] == expected


def test_bytes_of_files_of_any_size_lose_nothing(tmp_path: Path) -> None:
    """Headers that end where a block does, and files of several blocks."""
    names = "a," + "b" * ((1 << 18) - 3)
    rows = "".join(f"{n},{n * 7919}\n" for n in range(60_000))
    places = []
    for number in range(2):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"{names}\n{rows}")
        places.append(LocalPlace(path))

    found = joined(SourceFiles(places, "all", wanted=["a"]), 1 << 18)

    assert found.decode() == f"{names}\n{rows}{rows}"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (["a,b\n1,2\n", "b,a\n1,2\n"], "the header of 1.csv"),
        (['a,b\n1,"x\n', 'a,b\ny",2\n'], "an open quote in 0.csv"),
        (['"a\nx",b\n1,2\n', "a,b\n"], "a header of several lines"),
        (["a" * (1 << 21), "a,b\n"], "a header that does not end"),
    ],
)
def test_files_that_are_not_surely_one_say_why(tmp_path: Path, contents: list[str], said: str) -> None:
    """Then they are read record by record, which names what is wrong or is right."""
    with pytest.raises(NotAsOneError, match=said):
        joined(sources(tmp_path, contents), 1 << 18)


def test_place_and_rows_are_those_of_the_file_being_read(tmp_path: Path) -> None:
    """A record knows its own file and line; rows are counted over all."""
    files = sources(tmp_path, ["a,b\n1,2\n3,4\n", "a,b\n", "x,b,a\n,6,5\n"])
    places = []
    for _ in files:
        places.append(files.place("a"))

    assert places == ["0.csv: line 2, column a", "0.csv: line 3, column a", "2.csv: line 2, column a"]
    assert files.rows == 3 and files.note(3) is None
    assert files.header_names() == ("a", "b")


def test_files_without_a_record_are_noted(tmp_path: Path) -> None:
    """In one sentence about all of them."""
    files = sources(tmp_path, ["a,b\n", "", "a,b\n"])

    assert list(files) == [] and files.note(0) == "none of the 3 files of all holds a record: 0 rows"


# --- manifests on a disk ----------------------------------------------------------------------------------------------


class LoadNumbers(LoadTable):
    columns = {"n": "bigint"}
    table: Any = "numbers"
    path = "all.csv.manifest"

    def requires(self) -> Any:
        return type("File", (ExternalTask,), {"output": lambda _: LocalTarget(self.path)})()


def write_manifest(folder: Path, *urls: str, name: str = "all.csv.manifest") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"entries": [{"url": url} for url in urls]}))


@pytest.mark.parametrize("path", ["all.csv.manifest", "deep/er/all.csv.manifest"])
def test_load_of_a_manifest_on_a_disk_reads_files_beside_it(warehouse: Warehouse, path: str) -> None:
    """By their names from the manifest on; the marker tells how many they were."""
    folder = (warehouse.project / path).parent
    write_manifest(folder, "parts/1.csv", "parts/0.csv.gz")
    (folder / "parts").mkdir()
    (folder / "parts/1.csv").write_text("n\n1\n")
    with LocalTarget(str(folder / "parts/0.csv.gz")).open("w") as packed:
        packed.write("n\n2\n3\n")

    type("Load", (LoadNumbers,), {"path": path})().run()

    assert warehouse.ask("SELECT n FROM numbers") == [(1,), (2,), (3,)]
    ((text,),) = warehouse.ask("SELECT inputs FROM table_updates")
    (inputs,) = json.loads(text)
    sizes = sum(file.stat().st_size for file in (folder / "parts").iterdir())
    assert inputs["path"].endswith(path) and (inputs["files"], inputs["files_size"]) == (2, sizes)


@pytest.mark.parametrize("url", ["../x.csv", "/etc/passwd", "parts/../../x.csv"])
def test_a_manifest_on_a_disk_cannot_name_files_elsewhere(warehouse: Warehouse, url: str) -> None:
    """What a manifest says may come from outside."""
    write_manifest(warehouse.project, url)

    with pytest.raises(BadDataError, match="is not in the manifest's folder"):
        LoadNumbers().run()


def test_a_file_of_a_manifest_that_changes_while_it_is_loaded_is_refused(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file by itself; the manifest too."""
    for changed in ("0.csv", "all.csv.manifest"):
        write_manifest(warehouse.project, "0.csv")
        (warehouse.project / "0.csv").write_text("n\n1\n")

        def change(point: str, name: str = changed) -> None:
            if point == "load.copied":
                with (warehouse.project / name).open("a") as file:
                    file.write("\n")

        monkeypatch.setattr("etlctl.faultpoints.point", change)
        with pytest.raises(BadDataError, match=f"{changed}: changed while it was being loaded"):
            LoadNumbers().run()


def test_a_file_of_a_manifest_that_is_replaced_before_it_is_opened_is_refused(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By as many bytes, while the load waits, or reads the first one (which is opened for its header before)."""
    write_manifest(warehouse.project, "0.csv", "1.csv")
    for number in (0, 1):
        (warehouse.project / f"{number}.csv").write_text(f"n\n{number}\n")
    opened: list[str] = []
    open_place = LocalPlace.open

    def open_and_replace(self: LocalPlace) -> Any:
        opened.append(Path(self.shown).name)
        if opened.count("0.csv") == 2 and "1.csv" not in opened:
            (warehouse.project / "other").write_text("n\n9\n")
            (warehouse.project / "other").rename(warehouse.project / "1.csv")
        return open_place(self)

    monkeypatch.setattr(LocalPlace, "open", open_and_replace)
    with pytest.raises(BadDataError, match=r"1\.csv: changed while it was being loaded"):
        LoadNumbers().run()


@pytest.mark.parametrize(
    ("manifest", "part", "name"),
    [
        ("a.csv.gz", "0000_part_00.gz", "a.csv.gz"),
        ("a.csv.gz", "0000_part_00", "a.csv.gz"),
        ("a.tsv", "0000_part_00", "a.tsv"),
        ("a.csv", "x.csv.BZ2", "a.csv.BZ2"),
        ("day", "x.tab.gz", "x.tab.gz"),
        ("2013.01", "0000", "0000"),
    ],
)
def test_a_part_is_what_its_manifest_says_and_packed_where_either_is(
    tmp_path: Path, manifest: str, part: str, name: str
) -> None:
    """UNLOAD's files have names that say little."""
    write_manifest(tmp_path, part, name=f"{manifest}.manifest")
    (tmp_path / part).touch()

    origin = found_at(LocalTarget(str(tmp_path / f"{manifest}.manifest")), "it")

    assert origin is not None and origin.places[0].name == name


def test_a_requirement_that_is_no_file_is_refused(warehouse: Warehouse) -> None:
    """What has no path cannot be read; no table is made."""

    class Nowhere:
        path = None

    class Load(LoadNumbers):
        def requires(self) -> Any:
            return type("File", (ExternalTask,), {"output": lambda _: Nowhere()})()

    with pytest.raises(LoadError, match="on this machine or in S3"):
        Load().run()
    assert warehouse.ask("SELECT name FROM sqlite_master WHERE name = 'numbers'") == []
