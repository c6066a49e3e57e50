"""COPY of the tests' Redshift: what it reads, how fields become values, and what it says of those that do not."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet
import pytest
from psycopg2 import errors

from servers.redshift.standin import Standin
from servers.redshift.storage import compressed
from servers.redshift.trying import ROLE, Copy, Put, ask, short
from servers.s3 import split_url


def test_copy_takes_all_that_begins_so_and_counts(put: Put, copy: Copy, connection: Any) -> None:
    put("in/1", b"1|a|1.5|2020-01-31|2020-01-31 10:11:12.5\n")
    put("in/2", b"2|b|||\n")
    put("in2", b"3|c|||\n")

    rows = copy("in")

    assert short(rows) == [(1, "a"), (2, "b"), (3, "c")]
    assert [str(value) for value in rows[0][2:]] == ["1.50", "2020-01-31", "2020-01-31 10:11:12.500000"]
    assert ask(connection, "SELECT pg_last_copy_count(), pg_last_copy_id() > 0") == [(3, True)]
    assert "Load into table 't' completed, 3 record(s) loaded successfully." in connection.notices[-1]


def test_copy_is_rolled_back_with_its_transaction(put: Put, copy: Copy, connection: Any) -> None:
    put("in", b"1|a|||\n")
    assert len(copy("in")) == 1

    connection.rollback()

    assert ask(connection, "SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ("GZIP", gzip.compress(b"1|a|||\n", mtime=0)),
        ("BZIP2", bz2.compress(b"1|a|||\n")),
        ("ZSTD", compressed(b"1|a|||\n", "zstd")),
        ("CSV", b'1,"a",,,\r\n'),
        ("FORMAT AS CSV QUOTE AS '%'", b"1,%a%,,,\n"),
        ("CSV DELIMITER AS ';'", b"1;a;;;\n"),
        ("DELIMITER '\\t'", b"1\ta\t\t\t\n"),
        ("CSV IGNOREHEADER 1", b"a,b,c,d,e\n1,a,,,\n"),
        ("CSV IGNOREHEADER AS 2", b"x\nx\n1,a,,,\n"),
        ("CSV IGNOREBLANKLINES", b"\n1,a,,,\n\n"),
        ("ESCAPE", b"1|\\a|||\n"),
        ("REMOVEQUOTES", b'1|"a"|||\n'),
        ("FILLRECORD", b"1|a\n"),
        ("TRUNCATECOLUMNS TRIMBLANKS", b"1|a           |||\n"),
        ("COMPUPDATE OFF STATUPDATE ON COMPROWS 5 REGION 'eu-central-1' MAXERROR 0", b"1|a|||"),
        ("ENCODING UTF8", b"\xef\xbb\xbf1|a|||\n"),
        ("ENCODING AS UTF16", "1|a|||\n".encode("utf-16")),
        ("JSON 'auto'", b'{"a": 1, "b": "a"}'),
        ("JSON AS 'auto ignorecase'", b'{"A": 1, "B": "a"}'),
    ],
)
def test_copy_understands_its_options(put: Put, copy: Copy, options: str, content: bytes) -> None:
    put("in", content)

    assert copy("in", options) == [(1, "a", None, None, None)]


def test_csv_keeps_what_is_between_its_quotes(put: Put, copy: Copy) -> None:
    put("in", b'1,"a,""\n\r\\\xc3\xa9",,,\n')

    assert short(copy("in", "CSV")) == [(1, 'a,"\n\r\\é')]


def test_escape_keeps_what_is_behind_its_backslashes(put: Put, copy: Copy) -> None:
    put("in", b"1|a\\|\\\n\\\\n|||\n2|\\N|||\n")

    assert short(copy("in", "ESCAPE")) == [(1, "a|\n\\n"), (2, None)]


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("", b"\\N", None),
        ("", b"", ""),
        ("EMPTYASNULL", b"", None),
        ("", b"  ", "  "),
        ("BLANKSASNULL", b"  ", None),
        ("NULL AS 'none'", b"none", None),
        ("NULL AS 'none'", b'"none"', None),
        ("NULL AS 'none'", b"\\N", "\\N"),
        ("ACCEPTINVCHARS", b"x\xff", "x?"),
        ("ACCEPTINVCHARS AS '^'", b"x\xff", "x^"),
        ("TRUNCATECOLUMNS", "ééééé".encode(), "éééé"),
    ],
)
def test_a_text_is_null_or_not_as_the_options_say(
    put: Put, copy: Copy, options: str, field: bytes, value: str | None
) -> None:
    put("in", b"1," + field + b",,,\n")

    assert copy("in", f"CSV {options}")[0][1] == value


def test_copy_cuts_decimals_unless_told_to_round(put: Put, copy: Copy) -> None:
    put("in", b"1||1.239||\n")
    put("more", b"2||1.239||\n")
    copy("in")

    assert [str(row[2]) for row in copy("more", "ROUNDEC")] == ["1.23", "1.24"]


@pytest.mark.parametrize(
    ("options", "day", "moment"),
    [
        ("DATEFORMAT 'auto' TIMEFORMAT 'auto'", "2020-01-31", "2020-01-31T10:11:12"),
        ("DATEFORMAT 'DD.MM.YYYY' TIMEFORMAT 'YYYYMMDD HH24MISS'", "31.01.2020", "20200131 101112"),
        ("TIMEFORMAT 'epochsecs'", "2020-01-31", "1580465472"),
        ("TIMEFORMAT 'epochmillisecs'", "2020-01-31", "1580465472000"),
    ],
)
def test_dates_are_read_by_their_formats(put: Put, copy: Copy, options: str, day: str, moment: str) -> None:
    put("in", f"1|||{day}|{moment}\n".encode())

    assert [str(value) for value in copy("in", options)[0][3:]] == ["2020-01-31", "2020-01-31 10:11:12"]


def test_jsonpaths_pick_values(put: Put, copy: Copy, redshift_staging: str) -> None:
    put("paths.json", json.dumps({"jsonpaths": ["$.id", "$['of']['list'][1]", "$.n", "$.none", "$.none"]}).encode())
    put("in/1", b'{"id": 1, "of": {"list": ["x", "y"]}, "n": 1.50}\n{"id": 2}\n')

    rows = copy("in/", f"JSON '{redshift_staging}paths.json'")

    assert [(*row[:2], str(row[2])) for row in rows] == [(1, "y", "1.50"), (2, None, "None")]


def test_parquet_is_read_by_position(put: Put, copy: Copy) -> None:
    sink = io.BytesIO()
    table = pa.table({"x": [1, 2], "y": ["a", None], "z": [None, None], "d": [None, None], "e": [None, None]})
    pyarrow.parquet.write_table(table, sink)
    put("in", sink.getvalue())

    assert short(copy("in", "FORMAT AS PARQUET")) == [(1, "a"), (2, None)]


def avro_file(codec: str, rows: list[tuple[int, str | None]]) -> bytes:
    """Written by the specification, not by the reader's code: a is a long, b a union of null and string."""

    def long(number: int) -> bytes:
        rest, encoded = (number << 1) ^ (number >> 63), bytearray()
        while rest > 0x7F:
            encoded.append(rest & 0x7F | 0x80)
            rest >>= 7
        return bytes([*encoded, rest])

    def text(content: bytes) -> bytes:
        return long(len(content)) + content

    fields = [{"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"]}]
    schema = json.dumps({"type": "record", "name": "r", "fields": fields}).encode()
    block = b"".join(long(a) + (long(0) if b is None else long(1) + text(b.encode())) for a, b in rows)
    if codec == "deflate":
        packer = zlib.compressobj(wbits=-15)
        block = packer.compress(block) + packer.flush()
    meta = long(2) + text(b"avro.schema") + text(schema) + text(b"avro.codec") + text(codec.encode()) + long(0)
    sync = b"s" * 16
    return b"Obj\x01" + meta + sync + long(len(rows)) + text(block) + sync


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_avro_is_read_by_name_or_path(put: Put, copy: Copy, redshift_staging: str, codec: str) -> None:
    put("paths", json.dumps({"jsonpaths": ["$.a", "$.b", "$.c", "$.d", "$.e"]}).encode())
    put("in", avro_file(codec, [(-3, "é"), (700_000, None)]))

    assert short(copy("in", "FORMAT AS AVRO 'auto'")) == [(-3, "é"), (700_000, None)]
    assert len(copy("in", f"AVRO AS '{redshift_staging}paths'")) == 4


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"x" + data, lambda data: data[:-1] + b"x"])
def test_damaged_avro_is_refused(put: Put, copy: Copy, damage: Callable[[bytes], bytes]) -> None:
    put("in", damage(avro_file("null", [(1, "a")])))

    with pytest.raises(errors.InternalError_, match="Invalid AVRO file"):
        copy("in", "AVRO 'auto'")


def test_a_column_list_leaves_the_others_to_their_defaults(put: Put, copy: Copy, connection: Any) -> None:
    ask(connection, "CREATE TABLE u (a int DEFAULT 7, b varchar(8), id int IDENTITY(1, 1))")
    put("in", b"x\n")

    assert copy("in", table="u", columns="(b)") == [(7, "x", 1)]
    put("more", b"8|y\n")
    assert copy("more", table="u")[1] == (8, "y", 2)  # an identity counts for itself, without a list too


def test_a_manifest_names_what_is_read(put: Put, copy: Copy, redshift_staging: str) -> None:
    entries = [{"url": f"{redshift_staging}in/{name}", "mandatory": name == "1"} for name in ("1", "gone")]
    put("manifest", json.dumps({"entries": entries}).encode())
    put("in/1", b"1|a|||\n")
    put("in/2", b"2|b|||\n")

    assert short(copy("manifest", "MANIFEST")) == [(1, "a")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"entries": [{"url": "s3://BUCKET/gone", "mandatory": true}]}', "does not exist, and the manifest says"),
        (b'{"entries": [{"url": "s3://BUCKET/gone"}]}', "None of the files"),
        (b'{"entries": [{"url": "nowhere"}]}', "names no S3 object"),
        (b"not JSON", "not valid JSON"),
    ],
)
def test_a_bad_manifest_is_refused(put: Put, copy: Copy, redshift_staging: str, content: bytes, message: str) -> None:
    put("manifest", content.replace(b"BUCKET", split_url(redshift_staging)[0].encode()))

    with pytest.raises(errors.InternalError_, match=message):
        copy("manifest", "MANIFEST")


def test_keys_with_odd_letters_are_taken_letter_by_letter(put: Put, connection: Any, redshift_staging: str) -> None:
    put("a b%20'\\#?é/x", b"1|a|||\n")
    name = "a b%20'\\#?é/".replace("\\", "\\\\").replace("'", "''")

    ask(connection, f"COPY t FROM '{redshift_staging}{name}' {ROLE}")

    assert ask(connection, "SELECT a FROM t") == [(1,)]


def test_a_copy_can_be_made_to_fail_between_its_objects(
    put: Put, copy: Copy, connection: Any, redshift: Standin
) -> None:
    put("in/1", b"1|a|||\n")
    put("in/2", b"2|a|||\n")
    redshift.fault("^COPY", "kill", after_parts=1)

    with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)):
        copy("in/")

    assert redshift.struck
