"""The text of COPY and UNLOAD: golden for what is written, by property for what is quoted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.dialects.redshift.redaction import redacted
from etlctl.db.dialects.redshift.statements import (
    Access,
    Form,
    checked_role,
    copy_statement,
    literal,
    unload_statement,
)
from etlctl.errors import LoadError, SettingsError

ROLE = "arn:aws:iam::123456789012:role/service/Loader-1"
BY_ROLE = Access(role=ROLE)
BY_KEYS = Access(key_id="AKIACANARY", secret="S3cr3t'canary\\", token="t0ken-canary")
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
CONSTANT = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)


def read_back(constant: str) -> str:
    """A constant as Redshift reads it: '' is a quote, a backslash makes what follows it plain."""
    inside = constant[1:-1]
    return re.sub(r"''|\\(.)", lambda match: match[1] if match[1] else "'", inside, flags=re.DOTALL)


# -- quoting


@given(TEXTS)
def test_a_literal_is_one_constant_and_reads_back(text: str) -> None:
    """S3: no text ends its own constant."""
    constant = literal(text)

    assert CONSTANT.fullmatch(constant)
    assert read_back(constant) == text


@pytest.mark.parametrize("text", ["nul\0", "half \ud800"])
def test_a_text_that_no_constant_holds_is_refused(text: str) -> None:
    with pytest.raises(LoadError, match=r"NUL|Unicode"):
        literal(text)


@given(TEXTS, TEXTS)
def test_path_and_null_word_change_nothing_around_them(key: str, null: str) -> None:
    """S3: a path with ', \\, $$ or any letter stays inside its constant."""
    url = f"s3://bucket/k{key}"

    statement = copy_statement('"t"', ['"a"'], url, BY_ROLE, Form(options={"null_as": null}))

    assert [read_back(one) for one in CONSTANT.findall(statement)] == [url, ROLE, null]
    bare = CONSTANT.sub("''", statement)
    assert bare == "COPY \"t\" (\"a\") FROM '' IAM_ROLE '' FORMAT CSV NULL AS ''"


@given(TEXTS)
def test_the_query_of_an_unload_is_one_constant(query: str) -> None:
    statement = unload_statement(query, "s3://bucket/k/", BY_ROLE, Form())

    assert [read_back(one) for one in CONSTANT.findall(statement)] == [query, "s3://bucket/k/", ROLE]


# -- what is written


GOLDEN: list[tuple[Form, str]] = [
    (Form(), "FORMAT CSV"),
    (
        Form(options={"null_as": "\\N", "ignoreheader": 1, "delimiter": ";", "compression": "gzip", "manifest": True}),
        "FORMAT CSV MANIFEST GZIP DELIMITER ';' IGNOREHEADER 1 NULL AS '\\\\N'",
    ),
    (Form(options={"delimiter": "\t", "quote": "'"}), "FORMAT CSV DELIMITER '\t' QUOTE ''''"),
    (Form(options={"region": "us-gov-west-1", "compression": "lzop"}), "FORMAT CSV LZOP REGION 'us-gov-west-1'"),
    (Form(options={"compupdate": False, "statupdate": True}), "FORMAT CSV COMPUPDATE OFF STATUPDATE ON"),
    (Form(options={"manifest": False, "roundec": True}), "FORMAT CSV ROUNDEC"),
    (Form(options={"encoding": "utf16le", "dateformat": "auto"}), "FORMAT CSV DATEFORMAT 'auto' ENCODING UTF16LE"),
    (Form("csv", options={"manifest": True, "compression": "lzop"}), "FORMAT CSV MANIFEST LZOP"),
    (Form("json"), "FORMAT JSON 'auto'"),
    (Form("json", "noshred"), "FORMAT JSON 'noshred'"),
    (Form("json", "s3://b/paths.json", {"compression": "bzip2"}), "FORMAT JSON 's3://b/paths.json' BZIP2"),
    (Form("avro", "auto ignorecase", {"compression": "zstd"}), "FORMAT AVRO 'auto ignorecase' ZSTD"),
    (Form("parquet", options={"manifest": True, "fillrecord": True}), "FORMAT PARQUET MANIFEST FILLRECORD"),
]


@pytest.mark.parametrize(("form", "words"), GOLDEN)
def test_copy_is_written_so(form: Form, words: str) -> None:
    statement = copy_statement('"s"."t"', ['"a"', '"b"'], "s3://bucket/it's", BY_ROLE, form)

    assert statement == f'COPY "s"."t" ("a", "b") FROM \'s3://bucket/it\'\'s\' IAM_ROLE \'{ROLE}\' {words}'


def test_copy_without_columns_takes_all() -> None:
    assert copy_statement('"t"', [], "s3://b/k", Access(role="default"), Form()) == (
        "COPY \"t\" FROM 's3://b/k' IAM_ROLE default FORMAT CSV"
    )


def test_unload_is_written_so() -> None:
    options = {"header": True, "manifest": "verbose", "compression": "zstd", "maxfilesize": 256, "parallel": False}
    statement = unload_statement("SELECT 'a\\b' AS x", "s3://b/k/part_", BY_ROLE, Form("csv", options=options))

    assert statement == (
        "UNLOAD ('SELECT ''a\\\\b'' AS x') TO 's3://b/k/part_' IAM_ROLE "
        f"'{ROLE}' FORMAT CSV MANIFEST VERBOSE HEADER ZSTD PARALLEL OFF MAXFILESIZE 256 MB"
    )
    assert unload_statement("SELECT 1", "s3://b/k", BY_ROLE, Form("parquet")).endswith("FORMAT PARQUET")


# -- what is refused


REFUSED: list[tuple[Form, str]] = [
    (Form(options={"ignorheader": 1}), "has no option 'ignorheader'.*Did you mean 'ignoreheader'"),
    (Form(options={"CREDENTIALS": "x"}), "takes no option credentials.*iam_role"),
    (Form(options={"access_key_id": "x"}), "takes no option access_key_id"),
    (Form(options={"iam_role": ROLE}), "takes no option iam_role"),
    (Form(options={"maxerror": 100}), "left out in silence"),
    (Form(options={"gzip'; DROP TABLE t; --": True}), "has no option"),
    (Form(options={"compression": "gz"}), "there are gzip, lzop, zstd, bzip2. Did you mean 'gzip'"),
    (Form(options={"delimiter": "||"}), "one ASCII character"),
    (Form(options={"ignoreheader": "1"}), "whole number"),
    (Form(options={"ignoreheader": True}), "whole number"),
    (Form(options={"region": "here' CREDENTIALS '"}), "write a region"),
    (Form(options={"manifest": "yes"}), "True or False"),
    (Form("parquet", options={"compression": "gzip"}), "packed inside"),
    (Form("parquet", options={"delimiter": ","}), "takes no option delimiter; it takes acceptinvchars"),
    (Form("parquet", options={"region": "eu-central-1"}), "takes no option region"),
    (Form("json", options={"ignoreheader": 1}), "ignoreheader is of csv; json takes none such"),
    (Form("avro", options={"emptyasnull": True}), "emptyasnull is of csv; avro takes none such"),
    (Form("orc"), "there are csv, json, parquet, avro"),
    (Form("json", "paths.json"), "s3://BUCKET/KEY"),
]


@pytest.mark.parametrize(("form", "said"), REFUSED)
def test_an_option_that_is_not_allowed_is_refused(form: Form, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        copy_statement('"t"', [], "s3://b/k", BY_ROLE, form)


@pytest.mark.parametrize("place", ["", "s3://", "s3://bucket", "s3://bucket/", "/tmp/x", "http://b/k"])
def test_a_place_that_is_none_in_s3_is_refused(place: str) -> None:
    with pytest.raises(LoadError, match="no place in S3"):
        copy_statement('"t"', [], place, BY_ROLE, Form())


def test_unload_has_no_avro() -> None:
    with pytest.raises(LoadError, match="avro"):
        unload_statement("SELECT 1", "s3://b/k", BY_ROLE, Form("avro"))


@pytest.mark.parametrize(
    "role",
    [
        "default",
        ROLE,
        "arn:aws-cn:iam::000000000000:role/a",
        "arn:aws-us-gov:iam::123456789012:role/a,b",
        f"{ROLE},{ROLE}",
    ],
)
def test_a_role_of_the_right_form_is_taken(role: str) -> None:
    assert checked_role(role) == role


@pytest.mark.parametrize(
    "role",
    ["", "Default", "arn:aws:iam::12345678901:role/a", "arn:aws:iam::123456789012:user/a", f"{ROLE} ",
     f"{ROLE}' CREDENTIALS 'x", "arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/a", f"{ROLE}\n"],
)  # fmt: skip
def test_a_role_of_another_form_is_refused(role: str) -> None:
    with pytest.raises(SettingsError, match="iam_role"):
        checked_role(role)


# -- secrets


STATEMENTS: list[Any] = [
    copy_statement('"t"', [], "s3://b/k", BY_KEYS, Form()),
    unload_statement("SELECT 'x'", "s3://b/k", BY_KEYS, Form()),
    "copy t from 's3://b/k' credentials\n  AS 'aws_access_key_id=AKIACANARY;aws_secret_access_key=S3cr3t-canary'",
    "COPY t FROM 's3://b/k' access_key_id 'AKIACANARY' secret_access_key 'S3cr3t\\'canary",
    "COPY t FROM 's3://b/k' ACCESS_KEY_ID'AKIACANARY' SECRET_ACCESS_KEY'S3cr3t-canary' CSV",
    "COPY t FROM 's3://b/k' CREDENTIALS /* our /* own */ key */ 'aws_secret_access_key=S3cr3t-canary' CSV",
    "COPY t FROM 's3://b/k' CREDENTIALS -- our key\nAS\n'aws_access_key_id=x;'\n'aws_secret_access_key=S3cr3t-canary'",
    "COPY t FROM 's3://b/k' SECRET_ACCESS_KEY $$S3cr3t-canary$$ ACCESS_KEY_ID $a$AKIA$$CANARY$a$ CSV",
    "COPY t FROM 's3://b/k' SESSION_TOKEN E'S3cr3t\\'-canary' SECRET_ACCESS_KEY $x$S3cr3t-canary",
    "COPY t FROM 's3://b/k' SECRET_ACCESS_KEY 'S3cr3t-canary\\",
    "COPY t FROM 's3://b/k': syntax error at or near \"'aws_access_key_id=AKIACANARY;aws_secret_access_key=canary\"",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_credential_is_shown(statement: str) -> None:
    """S4: keys go to the server, and nowhere else; a statement that was cut is no exception."""
    shown = redacted(statement)

    assert "canary" not in shown.lower() and "***" in shown
    assert "s3://b/k" in shown


@pytest.mark.parametrize(
    "text",
    [
        "SELECT token, credentials FROM t WHERE kind = 'a'",
        'column "token" of relation "session_token" does not exist',
        "COPY t FROM 's3://b/k' IAM_ROLE 'arn:aws:iam::123456789012:role/R' CSV",
    ],
)
def test_what_is_no_credential_is_shown(text: str) -> None:
    assert redacted(text) == text


def test_keys_stand_in_the_statement_and_in_no_repr() -> None:
    statement = STATEMENTS[0]

    assert "ACCESS_KEY_ID 'AKIACANARY' SECRET_ACCESS_KEY 'S3cr3t''canary\\\\' SESSION_TOKEN 't0ken-canary'" in statement
    assert "canary" not in repr(BY_KEYS).lower()


def test_access_needs_a_role_or_keys() -> None:
    with pytest.raises(SettingsError, match="neither a role nor keys"):
        Access().words()
