"""LoadTable by Redshift's own COPY: formats, packings, options; through build(), against the stand-in and an S3."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from copy_house import CSV, JSON, PACKERS, ROWS, House, Numbers, avro, loading, parquet, zstd
from etlctl import (
    DateParameter,
    S3FlagTarget,
    S3Target,
    Sequence,
    merge_on,
    replace,
    replace_where,
    row_count,
)
from etlctl.errors import BadDataError, CheckFailedError
from etlctl.s3 import client as s3_client
from redshift_house import keys_under
from servers.redshift.standin import Standin
from servers.s3 import S3Service

FILES: list[tuple[str, bytes]] = [
    ("n.json", JSON),
    ("n.jsonl.gz", JSON),
    ("n.json.bz2", JSON),
    ("n.ndjson.zst", JSON),
    ("n.avro", avro([(1, "a"), (2, 'b, "c"'), (3, None)])),
    ("n.parquet", parquet(word=["a", 'b, "c"', None], n=[1, 2, 3])),
    ("n.csv.zst", CSV),
    ("it's 50% #1?.csv.zst", b'word,x,n\na,,1\n"b, ""c""",x,2\n,,3\n'),
    ("n.tsv.zst", b'n\tword\n1\ta\n2\t"b, ""c"""\n3\t\n'),
]


@pytest.mark.parametrize(("name", "content"), FILES, ids=[name for name, _ in FILES])
def test_a_file_is_copied_as_its_suffixes_say(copy_house: House, redshift: Standin, name: str, content: bytes) -> None:
    """By name where it has names, whatever their order; the object passes by us, and nothing stays in staging."""
    packing = next((one for one in PACKERS if one and name.endswith(one)), "")
    target = copy_house.put(name, PACKERS[packing](content))

    result = copy_house.build(loading(target))

    assert result.rows == 3 and copy_house.rows() == ROWS
    ((copy, marked),) = [(text, copy_house.warehouse.markers()) for _, text in redshift.log if text.startswith("COPY")]
    assert " MANIFEST" in copy and [row[2:] for row in marked] == [("done", 3)]
    ((inputs,),) = copy_house.warehouse.ask("SELECT inputs FROM table_updates")
    info = target.info()
    assert info is not None
    (found,) = json.loads(inputs)
    assert (found["path"], found["size"], found["etag"]) == (target.path, info.size, info.etag.strip('"'))
    assert keys_under(copy_house.service, f"{copy_house.folder}staging/") == []


def test_format_and_compression_are_what_the_task_says(copy_house: House) -> None:
    """The name says nothing, or something else; jsonl is json."""
    target = copy_house.put("rows.txt", gzip.compress(JSON))

    copy_house.build(loading(target, format="jsonl", copy_options={"compression": "gzip"}))

    assert copy_house.rows() == ROWS


def test_a_csv_may_be_called_anything(s3_url: str, s3_server: S3Service, tmp_path: Path) -> None:
    """On every database, when the task says what it is; fields end as its format has it."""
    house = House(tmp_path, f"sqlite:///{tmp_path}/w.db", s3_url, s3_server)

    house.build(loading(house.put("n.json", CSV), format="csv"))
    house.build(loading(house.put("n.csv", CSV.replace(b"n,w", b"n\tw")[:7] + b"1\ta\n"), format="tsv", table="tabs"))

    assert house.rows() == ROWS and house.rows("tabs") == [(1, "a")]
    s3_client.close()


def test_steps_of_a_sequence_copy_inside_its_transaction(copy_house: House) -> None:
    """A bad row of the second takes the first back too."""
    good, bad = copy_house.put("a.json", JSON), copy_house.put("b.json", b'{"n": "x"}')
    again = copy_house.put("c.json", JSON)

    class Both(Sequence):
        connection = "warehouse"
        second: Any = bad

        def steps(self) -> Any:
            return [
                loading(good, table="first", day=1),
                loading(self.second, table="second", values={"word": "w"}, w="w"),
            ]

    class BothGood(Both):
        second = again

    told = copy_house.refusal(Both(), BadDataError)
    assert told.startswith(f"{bad.path}, line 1, column n: ") and copy_house.warehouse.markers() == []
    assert copy_house.build(BothGood()).error is None
    assert copy_house.rows("first") == ROWS and copy_house.rows("second") == [(1, "w"), (2, "w"), (3, "w")]


def test_jsonpaths_find_the_columns_in_their_order(copy_house: House) -> None:
    """The file of paths has one for each column, `values` left out."""
    paths = copy_house.put("paths.json", b'{"jsonpaths": ["$.a.n", "$[\'w\'][1]"]}')
    target = copy_house.put("n.json", b'{"a": {"n": 1}, "w": [0, "a"]}{"w": [null, "b"], "a": {"n": 2}}')
    columns = {"n": "bigint", "day": "date", "word": "text"}

    copy_house.build(
        loading(target, jsonpaths=paths.path, columns=columns, values={"day": "day"}, day=dt.date(2013, 1, 2))
    )

    day = dt.date(2013, 1, 2)
    assert copy_house.warehouse.ask("SELECT n, day, word FROM numbers ORDER BY n") == [(1, day, "a"), (2, day, "b")]


def test_a_flagged_folder_of_json_takes_jsonpaths(copy_house: House) -> None:
    """Its name does not tell what is in it: that is not known before it is looked at."""
    copy_house.put("day/0", b'{"N": 1, "WORD": "a"}')
    folder = S3FlagTarget(f"{copy_house.folder}day/")
    folder.touch()

    copy_house.build(loading(folder, format="json", jsonpaths="auto ignorecase"))
    copy_house.put("day/0.json", b'{"N": 2, "WORD": "b"}')
    told = copy_house.refusal(loading(folder, jsonpaths="auto ignorecase", update_id="2"))

    assert copy_house.rows() == [(1, "a")] and "day/0 is csv and" in told


def test_names_of_another_case_are_found_when_asked(copy_house: House) -> None:
    """Redshift's own "auto" takes them for missing: that is worth a note."""
    target = copy_house.put("n.json", b'{"N": 1, "Word": "a"}')

    missing = copy_house.build(loading(target, table="missing"))
    found = copy_house.build(loading(target, jsonpaths="auto ignorecase"))

    assert copy_house.rows("missing") == [(None, None)] and copy_house.rows() == [(1, "a")]
    assert found.notes == () and missing.notes[0].startswith("NULL in all 1 rows: n, word. Look at how the files spell")


def test_a_manifest_and_a_flagged_folder_are_read_whole(copy_house: House) -> None:
    """Not the flag, nor what lies beside; a manifest's name says what its parts are."""
    copy_house.manifest({"u/0_part": gzip.compress(JSON), "u/1_part": gzip.compress(b'{"n": 4}')}, "u.json.gz.manifest")
    copy_house.put("u/2_part", b"not named")
    folder = S3FlagTarget(f"{copy_house.folder}day/")
    copy_house.put("day/a.parquet", parquet(n=[5], word=["e"]))
    copy_house.put("day/b.parquet", parquet(n=[6], word=["f"]))
    folder.touch()

    first = copy_house.build(loading(S3Target(f"{copy_house.folder}u.json.gz.manifest")))
    second = copy_house.build(loading(folder, table="others"))

    assert (first.rows, second.rows) == (4, 2)
    assert copy_house.rows() == [*ROWS, (4, None)] and copy_house.rows("others") == [(5, "e"), (6, "f")]


def test_one_object_is_not_taken_for_a_prefix(copy_house: House) -> None:
    """COPY's address is one; what else begins so is not loaded."""
    copy_house.put("n.json.old", b'{"n": 9, "word": "old"}')

    copy_house.build(loading(copy_house.put("n.json", JSON)))

    assert copy_house.rows() == ROWS


def test_values_modes_and_checks_hold_as_for_any_load(copy_house: House) -> None:
    """replace_where by the parameter, replace, merge_on, append; a failed check leaves the table as it was."""

    class OfDay(Numbers):
        day = DateParameter()
        columns = {"n": "bigint", "day": "date", "word": "varchar(10)"}
        mode = replace_where("day")
        values = {"day": "day"}
        checks = [row_count(min=1)]
        lineage = True

    class First(OfDay):
        target = copy_house.put("a.json", JSON)

    class Again(OfDay):
        target = copy_house.put("b.json", b'{"n": 7, "word": "new"}')
        update_id = "again"

    class Empty(OfDay):
        target = copy_house.put("c.json", b"")
        update_id = "empty"

    day = dt.date(2013, 1, 1)
    assert copy_house.build(First(day)).rows == 3
    assert copy_house.build(First(day + dt.timedelta(1))).rows == 3
    assert copy_house.build(Again(day)).rows == 1
    assert "row_count" in copy_house.refusal(Empty(day), CheckFailedError)
    kept = copy_house.warehouse.ask("SELECT day, count(*), count(etlctl_update_id) FROM numbers GROUP BY 1 ORDER BY 1")
    assert kept == [(day, 1, 1), (day + dt.timedelta(1), 3, 3)]

    merged = loading(copy_house.put("d.json", b'{"n": 3, "word": "c"}{"n": 4}'), table="m", mode=merge_on("n"))
    copy_house.build(loading(copy_house.put("e.parquet", parquet(n=[3], word=["old"])), table="m", update_id="m1"))
    assert copy_house.build(merged).rows == 2 and copy_house.rows("m") == [(3, "c"), (4, None)]
    assert copy_house.build(loading(First.target, table="m", update_id="r", mode=replace)).rows == 3
    assert copy_house.rows("m") == ROWS


def test_columns_are_those_of_the_table_where_none_are_declared(copy_house: House) -> None:
    """A column with a default may be missing from a file that names its columns."""
    copy_house.warehouse.write("CREATE TABLE numbers (n bigint, word varchar(20), at int DEFAULT 5)")

    copy_house.build(loading(copy_house.put("n.parquet", parquet(n=[1], word=["a"])), columns=None))
    copy_house.build(loading(copy_house.put("n.csv.zst", zstd(b"word,n\nb,2\n")), columns=None, update_id="2"))

    assert copy_house.warehouse.ask("SELECT n, word, at FROM numbers ORDER BY 1") == [(1, "a", 5), (2, "b", 5)]


@pytest.mark.parametrize(
    ("nulls", "expected"),
    [("", [None, "NA", "\\N"]), ((), ["", "NA", "\\N"]), (("", "NA"), [None, None, "\\N"]), ("NA", ["", None, "\\N"])],
)
def test_null_values_are_those_of_the_task(copy_house: House, nulls: Any, expected: list[Any]) -> None:
    r"""COPY's own \N is a text like any other."""
    target = copy_house.put("n.csv.zst", zstd(b"n,word\n1,\n2,NA\n3,\\N\n"))

    copy_house.build(loading(target, null_values=nulls))

    assert [word for _, word in copy_house.rows()] == expected


def test_options_of_copy_are_used(copy_house: House, redshift: Standin) -> None:
    """A CSV that is else read here goes to COPY with them; what nobody asked for is not changed."""
    target = copy_house.put("n.csv", b"some words\nn,word\n1,'a; x'\n\n2,   \n")
    options = {"ignoreheader": 2, "quote": "'", "ignoreblanklines": True, "blanksasnull": True}

    copy_house.build(loading(target, header=False, copy_options=options))

    assert copy_house.rows() == [(1, "a; x"), (2, None)]
    (copy,) = [text for _, text in redshift.log if text.startswith("COPY")]
    assert "QUOTE '''' IGNOREHEADER 2" in copy


def test_lzop_is_copied_with_its_word(copy_house: House, redshift: Standin) -> None:
    """The stand-in cannot unpack it, but the statement is the right one."""
    target = copy_house.put("n.csv.lzo", b"\x89LZO")

    told = copy_house.refusal(loading(target, header=False, copy_options={"ignoreheader": 1}), Exception)

    assert "LZOP is Redshift's" in told
    (copy,) = [text for _, text in redshift.log if text.startswith("COPY")]
    head, tail = copy.split(f"FROM '{copy_house.folder}staging/")
    assert head.startswith('COPY "etlctl_rows_') and head.endswith(' ("n", "word") ')
    assert tail.split("FORMAT", 1)[1].startswith(" CSV MANIFEST LZOP ")
