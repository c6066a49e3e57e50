"""A file in S3 is copied by Redshift itself where that means the same, and by our reader where it might not."""

from __future__ import annotations

import bz2
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl import ExternalTask, LoadTable, S3FlagTarget, S3Target
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.db.columns import BadValueError, parse_type
from etlctl.errors import BadDataError
from etlctl.loads.source import SourceFile
from redshift_house import keys_under, put, rows_of
from servers.redshift.standin import Standin
from servers.s3 import S3Service


@pytest.fixture
def house(redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(redshift_url, tmp_path, s3_staging=redshift_staging, iam_role=redshift_role) as found:
        yield found


def loading(place: str, its: dict[str, str], **attributes: Any) -> LoadTable:
    class File(ExternalTask):
        def output(self) -> Any:
            return S3Target(place)

    class Flights(LoadTable):
        columns = its

        def requires(self) -> Any:
            return File()

    for name, value in attributes.items():
        setattr(Flights, name, value)
    return Flights()


def copies(redshift: Standin) -> list[str]:
    return [text for _, text in redshift.log if text.startswith("COPY")]


def went_straight(redshift: Standin) -> bool:
    """Whether the last COPY read the file itself."""
    return "IGNOREHEADER" in copies(redshift)[-1]


TYPED = {"day": "date", "n": "numeric(10,2)", "v": "text", "b": "boolean", "at": "timestamp", "k": "bigint"}


def test_a_file_is_copied_straight(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """Columns by name, several null words, a surplus column, packed; no object of ours is left."""
    text = 'k;v;extra;n;day;b;at\n1;"a;""b""";x;1.50;2013-01-02;t;2013-01-02T03:04:05.25\nNA;;x;;NA;no;\n3;NA ;;-7;;;\n'
    place = f"{redshift_staging}in/flights.csv.gz"
    put(s3_server, place, gzip.compress(text.encode()))

    loading(place, TYPED, delimiter=";", null_values=("", "NA")).run()

    found = rows_of(house, "flights", "k, v, n, day, b, at")
    assert [tuple(None if value is None else str(value) for value in row) for row in found] == [
        ("1", 'a;"b"', "1.50", "2013-01-02", "True", "2013-01-02 03:04:05.250000"),
        ("3", "NA ", "-7.00", None, None, None),
        (None, None, None, None, "False", None),
    ]
    (copy,) = copies(redshift)
    assert "GZIP" in copy and "IGNOREHEADER 1" in copy
    assert keys_under(s3_server, redshift_staging) == [place.split("/", 3)[3]]
    assert [row[2:] for row in house.markers()] == [("done", 3)]


FIELDS: list[tuple[str, str]] = [
    ("integer", "12"), ("integer", "+7"), ("integer", " 12 "), ("integer", "-2147483648"), ("integer", "2147483648"),
    ("integer", "1.0"), ("smallint", "00012"), ("smallint", "32768"), ("bigint", "9223372036854775807"),
    ("numeric(10,2)", "1.005"), ("numeric(10,2)", "1.5"), ("numeric(10,2)", "1e3"), ("numeric(4,0)", "12345"),
    ("numeric", "1.123456789"), ("numeric", ".5"), ("boolean", "TRUE"), ("boolean", "off"), ("boolean", "2"),
    ("date", "2013-02-28"), ("date", "2013-02-30"), ("date", "today"), ("date", "2013-02-03 00:00:00"),
    ("timestamp", "2013-01-02 03:04"), ("timestamp", "2013-01-02T03:04:05Z"), ("timestamp", "2013-01-02 24:00:00"),
    ("timestamp", "2013-01-02 03:04:05+02:00"), ("varchar(3)", "äöü"), ("varchar(3)", "abcd"), ("text", "a\r"),
    ("numeric", "1.1234567890"), ("text", " \\N "), ("text", "etlctl-null"), ("double precision", "0.1"),
    ("json", '{"a": 1}'),
]  # fmt: skip


def as_stored(house: AnyWarehouse, words: str, field: str) -> tuple[Any, str | None]:
    """What our own conversion makes of a field, or why it refuses it."""
    try:
        return house.dialect.stored(parse_type(words), field), None
    except BadValueError as error:
        return None, error.reason


@pytest.mark.parametrize(("words", "field"), FIELDS)
def test_whichever_road_it_goes_a_field_means_the_same(
    house: AnyWarehouse, s3_server: S3Service, redshift_staging: str, words: str, field: str
) -> None:
    place = f"{redshift_staging}in/one.csv"
    quoted = field.replace('"', '""')
    put(s3_server, place, f'a,x\n1,"{quoted}"\n2,\n'.encode())
    load = loading(place, {"a": "integer", "x": words})
    wanted, refusal = as_stored(house, words, field)
    if refusal is not None:
        with pytest.raises(BadDataError, match=rf"one\.csv: line 2, column x: .*{re.escape(refusal)}"):
            load.run()
        return

    load.run()

    with house.database.reading() as connection:
        target = sa.table("flights", sa.column("a"), sa.column("x"))
        found = dict(connection.execute(sa.select(target.c.a, target.c.x)).all())
    assert found[2] is None
    assert str(found[1]) == str(wanted) or found[1] == wanted


def test_a_file_that_redshift_cannot_take_is_read_here(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """With a note that says why."""
    place = f"{redshift_staging}in/flights.csv"
    put(s3_server, place, b"k,v\n1,a\n2,b\n")
    redshift.fault("^COPY", "fail")
    attempt = Attempt()

    with context.attempting(attempt):
        loading(place, {"k": "integer", "v": "text"}).run()

    assert rows_of(house, "flights") == [(1, "a"), (2, "b")] and len(copies(redshift)) == 2
    assert any("did not take" in note and "read here" in note for note in attempt.notes)


@pytest.mark.parametrize("field", ["0.00000000049", "1.1234567891", "1" + "0" * 29])
def test_a_number_that_a_numeric_without_sizes_would_round_is_refused(
    house: AnyWarehouse, s3_server: S3Service, redshift_staging: str, field: str
) -> None:
    """It has nine digits behind the point there, and 29 before it."""
    put(s3_server, f"{redshift_staging}in/flights.csv", f"k,n\n1,2\n2,{field}\n".encode())

    with pytest.raises(BadDataError, match=r"line 3, column n: .*numeric without sizes.*declare numeric\(p,s\)"):
        loading(f"{redshift_staging}in/flights.csv", {"k": "bigint", "n": "numeric"}).run()


def test_a_ragged_file_is_named_with_its_line(house: AnyWarehouse, s3_server: S3Service, redshift_staging: str) -> None:
    place = f"{redshift_staging}in/flights.csv"
    put(s3_server, place, b"k,v\n1,a\n2\n")

    with pytest.raises(BadDataError, match=r"flights\.csv: line 3"):
        loading(place, {"k": "integer", "v": "text"}).run()

    assert house.markers() == []


def put_manifest(service: S3Service, place: str, parts: dict[str, bytes], **entry: Any) -> None:
    """A manifest at `place`, and its parts beside it."""
    folder = place.rpartition("/")[0]
    for name, data in parts.items():
        put(service, f"{folder}/{name}", data)
    entries = [{"url": f"{folder}/{name}", **entry} for name in parts]
    put(service, place, json.dumps({"entries": entries}).encode())


@pytest.mark.parametrize("neighbour", ["flights.csv.bak", "flights.csv2", "flights.csv/x", "flights.csv.parts/a/0.csv"])
def test_a_file_beside_it_whose_name_begins_so_is_not_loaded(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str, neighbour: str
) -> None:
    """A COPY without a manifest takes all keys that begin with the one that it was given."""
    put(s3_server, f"{redshift_staging}in/flights.csv", b"k,v\n1,a\n2,b\n")
    put(s3_server, f"{redshift_staging}in/{neighbour}", b"k,v\n7,x\n8,y\n")

    loading(f"{redshift_staging}in/flights.csv", {"k": "bigint", "v": "text"}).run()

    assert rows_of(house, "flights", "k, v") == [(1, "a"), (2, "b")]
    assert went_straight(redshift)


def test_files_of_a_manifest_are_copied_straight(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """By their own names they are packed, whatever the manifest's says."""
    place = f"{redshift_staging}in/flights.csv.manifest"
    first, second = (gzip.compress(text) for text in (b"k,v\n1,a\n", b"k,v\n2,b\n3,c\n"))
    put_manifest(s3_server, place, {"0.csv.gz": first, "1.csv.gz": second}, mandatory=False)

    loading(place, {"k": "bigint", "v": "text"}).run()

    assert rows_of(house, "flights", "k, v") == [(1, "a"), (2, "b"), (3, "c")]
    assert ["GZIP" in copy for copy in copies(redshift)] == [True]


def test_each_file_is_read_by_its_own_header(house: AnyWarehouse, s3_server: S3Service, redshift_staging: str) -> None:
    place = f"{redshift_staging}in/flights.csv.manifest"
    put_manifest(s3_server, place, {"0.csv": b"a,b\n1,x\n", "1.csv": b"b,a\ny,2\n"})

    loading(place, {"a": "text", "b": "text"}).run()

    assert rows_of(house, "flights", "a, b") == [("1", "x"), ("2", "y")]


def test_a_file_of_one_column_is_read_here(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """What an empty line of it is to Redshift, no page of its manual says."""
    put(s3_server, f"{redshift_staging}in/flights.csv", b"v\na\n\nb\n")

    loading(f"{redshift_staging}in/flights.csv", {"v": "text"}).run()

    assert house.ask("SELECT count(*), count(v) FROM flights") == [(3, 2)]
    assert not went_straight(redshift)


CARRIED = b'k,v,w\n1,a,x\n2,"b,""c",\n3,,z\n'
"""Three rows, a quoted field, two empty ones."""
FILES: list[tuple[str, bytes, bool]] = [
    ("plain.csv", CARRIED, True),
    ("no-end.csv", CARRIED.rstrip(b"\n"), True),
    ("crlf.csv", CARRIED.replace(b"\n", b"\r\n"), True),
    ("crlf-no-end.csv", CARRIED.replace(b"\n", b"\r\n").rstrip(b"\r\n"), True),
    ("cr.csv", CARRIED.replace(b"\n", b"\r"), False),
    ("cr-inside.csv", CARRIED.replace(b"z\n", b"z\r"), False),
    ("mixed-ends.csv", CARRIED.replace(b"x\n", b"x\r\n"), False),
    ("mark.csv", b"\xef\xbb\xbf" + CARRIED, True),
    ("empty-quoted.csv", CARRIED.replace(b"3,,", b'3,"",').replace(b",\n", b',""\n'), True),
    ("one-empty-quoted.csv", CARRIED.replace(b"3,,", b'3,"",'), False),
    ("some-quoted.csv", CARRIED.replace(b"x", b'"x"').replace(b"1,a", b'"1","a"'), False),
    ("all-quoted.csv", b'"k","v","w"\n"1","a","x"\n"2","b,""c",""\n"3","","z"\n', True),
    ("one.csv.gz", gzip.compress(CARRIED), True),
    ("no-end.csv.gz", gzip.compress(CARRIED.rstrip(b"\n")), True),
    ("large.CSV.GZ", gzip.compress(CARRIED), True),
    ("members.csv.gz", gzip.compress(CARRIED[:11]) + gzip.compress(CARRIED[11:]), False),
    ("one.csv.bz2", bz2.compress(CARRIED), False),
]  # fmt: skip


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What our reader makes of bytes."""
    folder = tmp_path_factory.mktemp("ours")

    def read(name: str, data: bytes) -> list[tuple[str, ...]]:
        (folder / name).write_bytes(data)
        return list(SourceFile(folder / name, wanted=["k", "v", "w"]))

    return read


@pytest.mark.parametrize(("name", "data", "straight"), FILES, ids=[name for name, _, _ in FILES])
def test_a_file_is_the_same_by_either_road(
    house: AnyWarehouse,
    redshift: Standin,
    s3_server: S3Service,
    redshift_staging: str,
    ours: Any,
    name: str,
    data: bytes,
    straight: bool,
) -> None:
    """It is copied straight only where every byte of it is accounted for."""
    put(s3_server, f"{redshift_staging}in/{name}", data)

    loading(f"{redshift_staging}in/{name}", {"k": "text", "v": "text", "w": "text"}, null_values=()).run()

    assert rows_of(house, "flights", "k, v, w") == ours(name, data)
    assert went_straight(redshift) is straight


def test_a_header_alone_is_said_to_be_one(house: AnyWarehouse, s3_server: S3Service, redshift_staging: str) -> None:
    put(s3_server, f"{redshift_staging}in/flights.csv", b"k,v\n")
    attempt = Attempt()

    with context.attempting(attempt):
        loading(f"{redshift_staging}in/flights.csv", {"k": "bigint", "v": "text"}).run()

    assert any("header alone" in note for note in attempt.notes)
    assert [row[2:] for row in house.markers()] == [("done", 0)]


def test_an_empty_file_of_a_manifest_is_no_file_less(
    house: AnyWarehouse, s3_server: S3Service, redshift_staging: str
) -> None:
    place = f"{redshift_staging}in/flights.csv.manifest"
    put_manifest(s3_server, place, {"0.csv": b"", "1.csv": b"k,v\n1,a\n", "2.csv": b"k,v"})

    loading(place, {"k": "bigint", "v": "text"}).run()

    assert rows_of(house, "flights", "k, v") == [(1, "a")]


@pytest.mark.parametrize("bad", [b"3x,c\n", b"3,c,d\n", b'3,"c\n'])
def test_a_bad_row_in_the_third_of_five_files_is_named(
    house: AnyWarehouse, s3_server: S3Service, redshift_staging: str, bad: bytes
) -> None:
    """With file and line; the table is as it was, and nothing of ours is left in S3."""
    place = f"{redshift_staging}in/flights.csv.manifest"
    parts = {f"{number}.csv": b"k,v\n1,a\n2,b\n" for number in range(5)}
    put_manifest(s3_server, place, parts | {"2.csv": b"k,v\n1,a\n2,b\n" + bad})
    before = keys_under(s3_server, redshift_staging)

    with pytest.raises(BadDataError, match=r"in/2\.csv: line 4"):
        loading(place, {"k": "bigint", "v": "text"}).run()

    assert house.ask("SELECT count(*) FROM flights") == [(0,)] and house.markers() == []
    assert keys_under(s3_server, redshift_staging) == before


def test_a_folder_is_copied_straight_where_its_files_are_alike(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """Those that the flag's folder holds, and not the flag."""
    folder = f"{redshift_staging}in/day/"
    for name, data in (("0.csv", b"k,v\n1,a\n"), ("1.csv", b"k,v\n2,b\n"), ("_SUCCESS", b"")):
        put(s3_server, f"{folder}{name}", data)

    class Day(LoadTable):
        table = "flights"
        columns = {"k": "bigint", "v": "text"}

        def requires(self) -> Any:
            return type("Folder", (ExternalTask,), {"output": lambda _: S3FlagTarget(folder)})()

    Day().run()

    assert rows_of(house, "flights", "k, v") == [(1, "a"), (2, "b")] and went_straight(redshift)
