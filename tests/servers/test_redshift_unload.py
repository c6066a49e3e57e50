"""UNLOAD of the tests' Redshift: the files it writes, the manifest that comes last, and what it refuses."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pyarrow.parquet
import pytest
from psycopg2 import errors

from servers.redshift.fixtures import STANDIN_ROLE
from servers.redshift.standin import Standin
from servers.redshift.trying import ask
from servers.s3 import S3Service, split_url

ROWS = "(1, 'a', 1.5, true), (2, 'b|,\"c', NULL, false), (3, '', 2, NULL), (4, NULL, 3, true)"
Unload = Callable[..., dict[str, bytes]]


@pytest.fixture
def connection(redshift: Standin, redshift_url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(redshift.dsn(redshift_url))) as opened:
        ask(opened, "CREATE TABLE t (a int, b varchar(8), c decimal(8, 2), d boolean)")
        ask(opened, f"INSERT INTO t VALUES {ROWS}")
        opened.commit()
        yield opened


@pytest.fixture
def unload(connection: Any, redshift_staging: str, s3_server: S3Service) -> Unload:
    """UNLOADs a query below `out/`, and returns what lies there, by name."""
    bucket, prefix = split_url(redshift_staging)

    def unload_query(options: str = "", query: str = "SELECT * FROM t ORDER BY a") -> dict[str, bytes]:
        text = query.replace("\\", "\\\\").replace("'", "''")
        ask(connection, f"UNLOAD ('{text}') TO '{redshift_staging}out/' IAM_ROLE '{STANDIN_ROLE}' {options}")
        folder = f"{prefix}out/"
        return {key.removeprefix(folder): s3_server.get(bucket, key) for key in s3_server.keys(bucket, folder)}

    return unload_query


def keys(s3_server: S3Service, url: str) -> list[str]:
    bucket, prefix = split_url(url)
    return [key.removeprefix(prefix) for key in s3_server.keys(bucket, prefix)]


def test_unload_writes_a_file_for_each_slice(unload: Unload, connection: Any) -> None:
    files = unload()

    assert files == {"0000_part_00": b"1|a|1.50|t\n3||2.00|\n", "0001_part_00": b'2|b|,"c||f\n4||3.00|t\n'}
    assert "UNLOAD completed, 4 record(s) unloaded successfully." in connection.notices[-1]
    assert ask(connection, "SELECT pg_last_unload_count()") == [(4,)]


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ("CSV", b'1,a,1.50,t\n2,"b|,""c",,f\n3,"",2.00,\n4,,3.00,t\n'),
        ("FORMAT AS CSV DELIMITER '|' NULL AS '~' HEADER", b'a|b|c|d\n1|a|1.50|t\n2|"b|,""c"|~|f\n3|""|2.00|~\n4|~|3'),
        ("DELIMITER ',' ESCAPE NULL AS '\\\\N'", b'1,a,1.50,t\n2,b|\\,"c,\\N,f\n3,,2.00,\\N\n4,\\N,3.00,t\n'),
        ("ADDQUOTES", b'"1"|"a"|"1.50"|"t"\n"2"|"b|,""c"||"f"\n"3"|""|"2.00"|\n"4"||"3.00"|"t"\n'),
        ("JSON", b'{"a": 1, "b": "a", "c": "1.50", "d": true}\n'),
    ],
)  # fmt: skip
def test_unload_understands_its_formats(unload: Unload, options: str, lines: bytes) -> None:
    files = unload(f"{options} PARALLEL OFF")

    assert list(files) == ["000"]
    assert files["000"].startswith(lines)


@pytest.mark.parametrize(
    ("options", "name", "opened"),
    [
        ("GZIP", "000.gz", gzip.decompress),
        ("BZIP2", "000.bz2", bz2.decompress),
        ("GZIP EXTENSION 'txt.gz'", "000.txt.gz", gzip.decompress),
    ],
)
def test_unload_packs(unload: Unload, options: str, name: str, opened: Callable[[bytes], bytes]) -> None:
    files = unload(f"{options} PARALLEL OFF", "SELECT a FROM t WHERE b = 'a'")

    assert opened(files[name]) == b"1\n"


def test_unload_writes_parquet_in_the_types_of_the_query(unload: Unload) -> None:
    files = unload("FORMAT PARQUET PARALLEL OFF")

    table = pyarrow.parquet.read_table(io.BytesIO(files["000.parquet"]))
    assert [str(kind) for kind in table.schema.types] == ["int32", "string", "decimal128(8, 2)", "bool"]
    assert table.column("a").to_pylist() == [1, 2, 3, 4]
    assert table.column("d").to_pylist() == [True, False, None, True]


@pytest.mark.parametrize("format_", ["CSV", "DELIMITER '|' ESCAPE ADDQUOTES", "FORMAT PARQUET", "FORMAT JSON"])
def test_what_was_unloaded_can_be_loaded_again(
    unload: Unload, connection: Any, redshift_staging: str, format_: str
) -> None:
    unload(f"{format_} MANIFEST")
    again = {"FORMAT JSON": "JSON 'auto'"}.get(format_, format_).replace("ADDQUOTES", "REMOVEQUOTES")
    null = "" if "PARQUET" in format_ or "JSON" in format_ else "NULL AS ''"
    ask(connection, "CREATE TABLE u (LIKE t)")

    ask(connection, f"COPY u FROM '{redshift_staging}out/manifest' IAM_ROLE '{STANDIN_ROLE}' {again} {null} MANIFEST")

    same = "SELECT count(*) FROM t JOIN u ON t.a = u.a AND nvl(t.b, '') = nvl(u.b, '') AND nvl(t.c, 0) = nvl(u.c, 0)"
    assert ask(connection, same) == [(4,)]


def test_a_manifest_lists_the_files_and_their_sizes(unload: Unload, redshift_staging: str) -> None:
    files = unload("CSV MANIFEST")

    listed = json.loads(files.pop("manifest"))["entries"]
    assert listed == [
        {"url": f"{redshift_staging}out/{name}", "meta": {"content_length": len(content)}}
        for name, content in files.items()
    ]


def test_a_verbose_manifest_tells_rows_and_columns(unload: Unload) -> None:
    files = unload("CSV GZIP MANIFEST VERBOSE")

    manifest = json.loads(files.pop("manifest"))
    assert [entry["meta"]["record_count"] for entry in manifest["entries"]] == [2, 2]
    assert manifest["meta"] == {"content_length": sum(map(len, files.values())), "record_count": 4}
    assert manifest["schema"]["elements"] == [
        {"name": "a", "type": {"base": "integer"}},
        {"name": "b", "type": {"base": "character varying", "max_length": 8}},
        {"name": "c", "type": {"base": "numeric", "precision": 8, "scale": 2}},
        {"name": "d", "type": {"base": "boolean"}},
    ]


def test_no_rows_write_nothing_not_even_a_manifest(unload: Unload) -> None:
    assert unload("CSV HEADER MANIFEST", "SELECT * FROM t WHERE a > 9") == {}


def test_maxfilesize_begins_another_part(unload: Unload, connection: Any) -> None:
    ask(connection, "CREATE TABLE u (a varchar(60000))")
    ask(connection, f"INSERT INTO u VALUES ('{'x' * 50_000}')")
    for _ in range(8):
        ask(connection, "INSERT INTO u SELECT * FROM u")

    files = unload("CSV HEADER PARALLEL OFF MAXFILESIZE 5 MB MANIFEST", "SELECT * FROM u")

    parts = {name: content for name, content in files.items() if name != "manifest"}
    assert list(parts) == ["000", "001", "002"]
    assert all(len(content) <= 5 << 20 and content.startswith(b"a\n") for content in parts.values())
    assert sum(content.count(b"\n") - 1 for content in parts.values()) == 256


def test_unload_sees_its_own_transaction(unload: Unload, connection: Any) -> None:
    ask(connection, "DELETE FROM t WHERE a > 1")

    assert unload("PARALLEL OFF", "SELECT a FROM t") == {"000": b"1\n"}


def test_an_existing_prefix_is_refused_unless_it_may_be_overwritten(unload: Unload, connection: Any) -> None:
    unload("CSV")

    with pytest.raises(errors.InternalError_, match="Specified unload destination on S3 is not empty"):
        unload("CSV")

    connection.rollback()
    assert len(unload("CSV ALLOWOVERWRITE")) == 2
    assert list(unload("CSV CLEANPATH PARALLEL OFF")) == ["000"]


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_an_unload_that_ends_between_its_parts_leaves_no_manifest(
    unload: Unload, redshift: Standin, s3_server: S3Service, redshift_staging: str, how: Any
) -> None:
    redshift.fault("^UNLOAD", how, after_parts=1)

    with pytest.raises((errors.InternalError_, psycopg2.OperationalError, psycopg2.InterfaceError)):
        unload("CSV MANIFEST")

    assert keys(s3_server, redshift_staging) == ["out/0000_part_00"]


@pytest.mark.parametrize(
    ("options", "query", "message"),
    [
        ("", "SELECT * FROM t LIMIT 1", "LIMIT clause is not supported"),
        ("", "SELECT * FROM gone", 'relation "gone" does not exist'),
        ("", "SELECT 1 / (a - 3) FROM t ORDER BY a", "division by zero"),
        ("", "DELETE FROM t", "syntax error"),
        ("MAXFILESIZE 1 MB", "SELECT 1", "between 5 MB and 6.2 GB"),
        ("NONSENSE", "SELECT 1", 'syntax error at or near "NONSENSE"'),
        ("IGNOREHEADER 1", "SELECT 1", "syntax error"),
        ("PARTITION BY (a)", "SELECT 1", "stand-in"),
        ("CSV ADDQUOTES", "SELECT 1", "CSV is not supported with ADDQUOTES"),
        ("CLEANPATH ALLOWOVERWRITE", "SELECT 1", "cannot be used together"),
    ],
)
def test_unload_refuses(
    unload: Unload, s3_server: S3Service, redshift_staging: str, options: str, query: str, message: str
) -> None:
    with pytest.raises(psycopg2.Error, match=message):
        unload(options, query)

    assert keys(s3_server, redshift_staging) == []


def test_a_limit_inside_is_no_limit_of_the_outer_select(unload: Unload) -> None:
    files = unload("PARALLEL OFF", "SELECT * FROM (SELECT a FROM t ORDER BY a LIMIT 1) x")

    assert files == {"000": b"1\n"}
