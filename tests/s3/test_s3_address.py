"""What is an address in S3, what is none, and that a key is taken letter by letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.errors import TaskError
from etlctl.s3.address import S3Address, parse

KEYS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=200).filter(
    lambda key: {".", ".."}.isdisjoint(key.split("/"))
)


@pytest.mark.parametrize(
    "key",
    [
        "a#b",
        "a?versionId=1&x=%41",
        "%2e%2e/b",
        'it\'s "quoted"',
        "two  spaces ",
        "a//b",
        "/leading",
        "folder/",
        "back\\slash",
        "u\u0308",
        "\u00fc",
        "a+b",
        "...",
        "..a",
        "s3://within",
        "x" * 1024,
    ],
)
def test_address_takes_a_key_letter_by_letter(key: str) -> None:
    """Nothing in a key is decoded, normalized or means anything."""
    assert parse(f"s3://some-bucket/{key}") == S3Address("some-bucket", key)


@given(KEYS)
def test_address_reads_what_it_writes(key: str) -> None:
    """parse(str(address)) is the address, whatever the key; what is shown is one line."""
    address = S3Address("some.bucket-1", key)

    assert parse(str(address)) == address
    assert len(address.shown.splitlines()) == 1 and "\x1b" not in address.shown


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "write s3://BUCKET/KEY"),
        ("/tmp/x", "no address in S3"),
        ("S3://bucket/key", "write s3://BUCKET/KEY"),
        ("s3a://bucket/key", "write s3://BUCKET/KEY"),
        ("s3:///key", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3://ab/key", "names the bucket 'ab'"),
        ("s3://buc%6bet/key", "names the bucket"),
        ("s3://../key", "names the bucket"),
        ("s3://bucket", "names a bucket and no object"),
        ("s3://bucket/", "names a bucket and no object"),
        ("s3://bucket/a\x00b", "NUL"),
        ("s3://bucket/" + "ü" * 513, "1,026 bytes"),
        ("s3://bucket/a/../b", r"'\.' or '\.\.'"),
        ("s3://bucket/..", r"'\.' or '\.\.'"),
        ("s3://bucket/a/.", r"'\.' or '\.\.'"),
        ("s3://bucket/\ud800", "half a character"),
    ],
)
def test_address_refuses_what_no_object_is_called(url: str, words: str) -> None:
    """Each refusal is a sentence that says what is wrong and shows no control character."""
    with pytest.raises(TaskError, match=words) as refused:
        parse(url)

    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "url", ["s3://AKIAX:hunter2@bucket/key", "s3://AKIAX:hun+te/r2@bucket/a@b", "S3A://:hunter2@bucket", "s3://a:r2@b"]
)
def test_address_with_keys_is_refused_without_showing_them(url: str) -> None:
    """S4: smart_open and others take `s3://ID:SECRET@bucket/key`."""
    with pytest.raises(TaskError, match=r"^[sS]3[aA]?://\*\*\*@b.* holds keys.*ETLCTL_S3_SECRET_ACCESS_KEY") as refused:
        parse(url)

    assert "r2" not in str(refused.value) and "AKIAX" not in str(refused.value)


def test_address_may_hold_a_colon_and_an_at_in_its_key() -> None:
    """Only what stands before the first `/` can be keys."""
    assert parse("s3://bucket/12:30@host").key == "12:30@host"


@pytest.mark.parametrize("url", ["s3:/bucket", "bucket", "s3://b", "s3://", ""])
def test_address_of_a_prefix_is_told_as_one(url: str) -> None:
    """Where a bucket alone will do, no key is asked for."""
    with pytest.raises(TaskError, match="write s3://BUCKET or s3://BUCKET/PREFIX"):
        parse(url, needs_key=False)


def test_address_of_a_bucket_is_one_where_no_key_is_needed() -> None:
    """A prefix may be empty; who removes by prefix refuses that itself."""
    assert parse("s3://bucket", needs_key=False) == parse("s3://bucket/", needs_key=False) == S3Address("bucket", "")


@pytest.mark.parametrize(
    ("folder", "name", "joined"),
    [
        ("s3://bucket", "a", "s3://bucket/a"),
        ("s3://bucket/a", "b", "s3://bucket/a/b"),
        ("s3://bucket/a/", "b/c.csv", "s3://bucket/a/b/c.csv"),
        ("s3://bucket/a//", "b", "s3://bucket/a//b"),
    ],
)
def test_address_joins_a_name_to_a_folder(folder: str, name: str, joined: str) -> None:
    """One slash is between folder and name."""
    assert str(parse(folder, needs_key=False).joined(name)) == joined


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "s3://other/x", "S3A://other/x", "a\x00"])
def test_address_joined_never_leaves_its_folder(name: str) -> None:
    """S7: a name that comes from outside stays inside, or is refused."""
    with pytest.raises(TaskError):
        S3Address("bucket", "fenced/").joined(name)
