"""COPY of the tests' Redshift when something is wrong: rows, options, sources, roles."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

from servers.redshift.fixtures import STANDIN_ROLE
from servers.redshift.standin import Standin
from servers.redshift.trying import Copy, Put, ask
from servers.s3 import S3Service, split_url

BAD_UTF8 = "String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: ff (error 1)"
SAID = "SELECT trim(file_name), line_number, trim(column_name), trim(error_message) FROM sys_load_error_detail"


@pytest.mark.parametrize(
    ("options", "line", "said"),
    [
        ("", b"x2|a|||", (2, "a", "Invalid digit, Value 'x', Pos 0, Type: Integer")),
        ("", b"99999999999|a|||", (2, "a", "Overflow, value \"99999999999\" is out of range for type integer")),
        ("", b"2|123456789|||", (2, "b", "String length exceeds DDL length")),
        ("", "2|ééééé|||".encode(), (2, "b", "String length exceeds DDL length")),
        ("", b"2|\xff|||", (2, "b", BAD_UTF8)),
        ("", b"2|a|1,5||", (2, "c", "Invalid digit, Value ',', Pos 1, Type: Decimal")),
        ("", b"2|a||31.1.2020|", (2, "d", "Invalid Date Format - length must be 10 or more")),
        ("", b"2|a|||2020-01-31T10:11:12", (2, "e", "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]")),
        ("DATEFORMAT 'auto'", b"2|a||never|", (2, "d", "Invalid Date Format - length must be 10 or more")),
        ("", b"2|a", (2, "c", "Delimiter not found")),
        ("", b"2|a||||6", (2, "", "Extra column(s) found")),
        ("CSV DELIMITER '|'", b'2|"a||||', (2, "", "Invalid quote formatting for CSV. Unterminated quote")),
        ("CSV DELIMITER '|'", b'2|"a"b|||', (2, "", "Invalid quote formatting for CSV")),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_by_file_line_and_column(
    put: Put, copy: Copy, connection: Any, redshift_staging: str, options: str, line: bytes, said: tuple[Any, ...]
) -> None:
    for number in range(1, 6):
        put(f"in/{number}", b"1|a|||\n" + (line if number == 3 else b"2|b|||") + b"\n")
    ask(connection, "DELETE FROM t")

    with pytest.raises(errors.InternalError_) as caught:
        copy("in/", options)

    assert caught.value.pgcode == "XX000"
    text = "Load into table 't' failed.  Check 'stl_load_errors' system table for details."
    assert caught.value.diag.message_primary == text
    connection.rollback()
    assert ask(connection, f"{SAID} ORDER BY start_time DESC") == [(f"{redshift_staging}in/3", *said)]
    assert ask(connection, "SELECT count(*) FROM t") == [(0,)]


def test_the_old_system_table_holds_the_raw_line(put: Put, copy: Copy, connection: Any) -> None:
    put("in", b"1|a|||\n2|123456789|||\n")
    with pytest.raises(errors.InternalError_):
        copy("in")
    connection.rollback()

    said = ask(
        connection,
        "SELECT line_number, trim(colname), trim(type), trim(col_length), trim(raw_line), trim(raw_field_value), "
        "err_code, session = pg_backend_pid(), length(filename) >= length(trim(filename)) FROM stl_load_errors",
    )

    assert said == [(2, "b", "varchar", "8", "2|123456789|||", "123456789", 1204, True, True)]


def test_the_line_of_a_csv_row_counts_the_lines_inside_of_quotes(put: Put, copy: Copy, connection: Any) -> None:
    put("in", b'1,"a\nb\nc",,,\nx,a,,,\n')
    with pytest.raises(errors.InternalError_):
        copy("in", "CSV")
    connection.rollback()

    assert ask(connection, SAID)[0][1] == 4


def test_a_missing_value_of_a_required_column_is_a_load_error(put: Put, copy: Copy, connection: Any) -> None:
    ask(connection, "CREATE TABLE u (a int PRIMARY KEY, b int)")
    connection.commit()
    put("in", b"1|1\n|2\n")

    with pytest.raises(errors.InternalError_, match="Load into table 'u' failed"):
        copy("in", table="u")

    connection.rollback()
    assert ask(connection, SAID)[0][2:] == ("a", "Missing data for not-null field")


def test_a_serverless_one_points_to_its_own_view(put: Put, copy: Copy, redshift: Standin) -> None:
    redshift.be_serverless()
    put("in", b"x\n")

    with pytest.raises(errors.InternalError_, match="Check 'sys_load_error_detail' system table"):
        copy("in")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("FROMAT AS CSV", "42601", 'syntax error at or near "FROMAT"'),
        ("CSV HEADER", "42601", 'syntax error at or near "HEADER"'),
        ("GZIP BZIP2", "42601", "syntax error"),
        ("MAXERROR 5", "0A000", "stand-in"),
        ("FIXEDWIDTH 'a:1'", "0A000", "stand-in"),
        ("LZOP", "0A000", "stand-in"),
        ("CSV ESCAPE", "0A000", "CSV is not supported with ESCAPE"),
        ("PARQUET GZIP", "0A000", "GZIP argument is not supported for PARQUET based COPY"),
        ("GZIP", "XX000", "gzip file is damaged"),
        ("ZSTD", "XX000", "zstd file is damaged"),
        ("DELIMITER '||'", "XX000", "single character"),
        ("JSON 's3://BUCKET/gone'", "XX000", "S3ServiceException:.*,Status 404,Error NoSuchKey"),
    ],
)
def test_copy_refuses_options(
    put: Put, copy: Copy, redshift_staging: str, options: str, code: str, message: str
) -> None:
    put("in", b"1|a|||\n")

    with pytest.raises(psycopg2.Error, match=message) as caught:
        copy("in", options.replace("BUCKET", split_url(redshift_staging)[0]))

    assert caught.value.pgcode == code


def test_an_empty_prefix_is_an_error(copy: Copy, redshift_staging: str) -> None:
    with pytest.raises(errors.InternalError_) as caught:
        copy("nothing/")

    prefix = split_url(redshift_staging)[1]
    assert caught.value.diag.message_primary == f"The specified S3 prefix '{prefix}nothing/' does not exist"
    assert "code:      8001" in str(caught.value.diag.message_detail)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("'s3://no-such-bucket-here/x' IAM_ROLE default", "Error NoSuchBucket"),
        ("'s3://bucket/x' IAM_ROLE 'me'", "Invalid IAM_ROLE"),
        ("'s3://bucket/x' IAM_ROLE 'arn:aws:iam::1:role/x'", "Invalid IAM_ROLE"),
        ("'s3://bucket/x'", "Authorization is missing"),
        ("'dynamodb://x' IAM_ROLE default", "LOAD source is not supported"),
        ("STDIN", "LOAD source is not supported"),
    ],
)
def test_copy_refuses_sources_and_roles(connection: Any, source: str, message: str) -> None:
    with pytest.raises(psycopg2.Error, match=message):
        ask(connection, f"COPY t FROM {source}")


def test_a_role_that_may_not_be_assumed_is_refused(put: Put, copy: Copy, redshift: Standin) -> None:
    put("in", b"1|a|||\n")
    redshift.accept_roles("arn:aws:iam::123456789012:role/another")

    with pytest.raises(errors.InternalError_, match=f"is not authorized to assume IAM Role {STANDIN_ROLE}"):
        copy("in")


def test_static_keys_are_those_that_s3_sees(
    put: Put, connection: Any, redshift_staging: str, s3_server: S3Service
) -> None:
    put("in", b"1|a|||\n")

    for keys in (
        f"ACCESS_KEY_ID '{s3_server.key_id}' SECRET_ACCESS_KEY '{s3_server.secret}'",
        f"WITH CREDENTIALS AS 'aws_access_key_id={s3_server.key_id};aws_secret_access_key={s3_server.secret}'",
    ):
        ask(connection, f"COPY t FROM '{redshift_staging}in' {keys}")

    assert ask(connection, "SELECT count(*) FROM t") == [(2,)]


def test_a_table_or_column_that_is_not_there_is_named(put: Put, copy: Copy) -> None:
    put("in", b"1|a|||\n")

    with pytest.raises(errors.UndefinedTable, match="Cannot COPY into nonexistent table gone"):
        copy("in", table="gone")
