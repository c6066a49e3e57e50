"""Looking, listing, copying, moving and removing: by exact key, whole or not at all, and never more than was meant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from etlctl.errors import TaskError, TransientError, UnavailableError
from etlctl.s3 import objects
from etlctl.s3.address import S3Address, parse
from etlctl.s3.client import client
from etlctl.s3.objects import copy, end_upload, head, listed, move, remove, remove_prefix, unfinished_uploads
from etlctl.s3.reader import open_object
from etlctl.s3.writer import ObjectWriter
from servers.s3 import LEAST_PART_BYTES, S3Service
from servers.s3_proxy import S3Proxy

At = Callable[[str], S3Address]

pytestmark = pytest.mark.usefixtures("impatient")


def write(address: S3Address, data: bytes = b"content") -> None:
    with ObjectWriter(address) as file:
        file.write(data)


def names(folder: S3Address) -> list[str]:
    return [info.address.key.removeprefix(folder.key) for info in listed(folder)]


def test_head_tells_size_etag_and_time(every_at: At) -> None:
    """In aware UTC; None of what is not there."""
    write(every_at("one"))

    info = head(every_at("one"))

    assert info is not None and info.address == every_at("one") and info.size == 7 and info.etag
    assert info.updated_at.tzinfo is UTC and abs(datetime.now(UTC) - info.updated_at) < timedelta(minutes=1)
    assert head(every_at("two")) is None


def test_listed_holds_every_key_letter_by_letter(every_at: At) -> None:
    """Also such as are written otherwise in XML and URLs; a prefix that ends within a name too."""
    keys = ["a b", "a%41", "a+b", "a&<b>", "a#b?", "a'\"", "aü", "b/c/d"]
    for key in keys:
        write(every_at(key))

    assert sorted(names(every_at(""))) == sorted(keys)
    assert names(S3Address(every_at("b/").bucket, every_at("b/").key)) == ["c/d"]
    assert [info.size for info in listed(every_at("a%"))] == [7]


def test_listed_goes_on_over_pages(at: At, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one answer of the store."""
    for number in range(7):
        s3_server.put(*at(str(number)))
    found = client()
    ask = found.list_objects_v2
    monkeypatch.setattr(found, "list_objects_v2", lambda **given: ask(**given, MaxKeys=3))

    assert names(at("")) == [str(number) for number in range(7)]


def test_listed_by_time_takes_each_object_once(at: At) -> None:
    """newer_than is in the window, older_than is not; both are aware."""
    write(at("one"))
    info = head(at("one"))
    assert info is not None
    at_once = info.updated_at

    assert len(list(listed(at(""), newer_than=at_once))) == 1
    assert len(list(listed(at(""), older_than=at_once))) == 0
    assert len(list(listed(at(""), newer_than=at_once - timedelta(1), older_than=at_once + timedelta(1)))) == 1
    with pytest.raises(TaskError, match="has no time zone"):
        list(listed(at(""), newer_than=datetime(2013, 1, 1)))


def test_listed_that_breaks_off_is_an_error(at: At, s3_proxy: S3Proxy) -> None:
    """F52: the store says that there is more, and not where."""
    s3_proxy.edit("ListObjectsV2", lambda page: page.replace(b">false</IsTr", b">true</IsTr"))

    with pytest.raises(TransientError, match="there is more, and not where"):
        list(listed(at("")))


@pytest.mark.parametrize("key", ["plain", "a b+c%41#?&'\"ü/d"])
@pytest.mark.parametrize("size", [0, 7, 9 * 2**20])
def test_copy_keeps_content_and_metadata(every_at: At, key: str, size: int) -> None:
    """Whatever the key and the size."""
    with ObjectWriter(every_at(key), options={"Metadata": {"made-by": "me"}, "ContentType": "text/csv"}) as file:
        file.write(b"x" * size)

    copy(every_at(key), every_at(key + ".copy"))

    with open_object(every_at(key + ".copy")) as copied:
        assert copied.read() == b"x" * size
    assert head(every_at(key)) is not None


def test_copy_of_a_large_object_goes_by_parts(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above what one request copies; one that fails in the middle leaves nothing."""
    monkeypatch.setattr(objects, "COPY_AT_ONCE_BYTES", 6 * 2**20)
    monkeypatch.setattr(objects, "COPY_PART_BYTES", 5 * 2**20)
    write(at("one"), b"0123456789abcdef" * (12 * 2**16))

    copy(at("one"), at("two"))
    assert s3_proxy.counts["UploadPartCopy"] == 3
    assert s3_server.get(*at("two")) == s3_server.get(*at("one"))

    s3_proxy.answer("UploadPartCopy", 200, skip=1, times=100)
    with pytest.raises(TransientError, match=r"^copying s3://"):
        copy(at("one"), at("three"))
    assert names(at("")) == ["one", "two"] and s3_server.uploads(at("").bucket) == []


def test_copy_passes_options_on(at: At, s3_server: S3Service) -> None:
    """The copy may be kept otherwise."""
    write(at("one"))

    copy(at("one"), at("two"), options={"StorageClass": "STANDARD_IA", "Metadata": {"new": "1"}})

    found = s3_server.client.head_object(Bucket=at("two").bucket, Key=at("two").key)
    assert (found["StorageClass"], found["Metadata"]["new"]) == ("STANDARD_IA", "1")


def test_copy_of_nothing_or_onto_itself_is_refused(at: At) -> None:
    """FileNotFoundError, as of any missing file; a move onto itself would remove it."""
    write(at("one"))

    with pytest.raises(FileNotFoundError, match="no such object"):
        copy(at("none"), at("two"))
    with pytest.raises(TaskError, match="the same object"):
        move(at("one"), at("one"))
    with pytest.raises(TaskError, match="names a folder"):
        copy(at("one"), at("two/"))
    assert names(at("")) == ["one"]


def test_copy_that_the_store_ends_with_an_error_in_200_fails(at: At, s3_proxy: S3Proxy) -> None:
    """F48: CopyObject says 200 before it knows."""
    write(at("one"))
    s3_proxy.answer("CopyObject", 200, times=100)

    with pytest.raises(TransientError, match=r"^copying s3://"):
        copy(at("one"), at("two"))


def test_move_leaves_the_source_when_the_copy_fails(at: At, s3_proxy: S3Proxy) -> None:
    """Nothing is lost between the two steps."""
    write(at("one"))
    s3_proxy.answer("CopyObject", 403)

    with pytest.raises(UnavailableError, match="Grant s3:PutObject, and s3:GetObject on the source"):
        move(at("one"), at("two"))

    assert names(at("")) == ["one"]
    move(at("one"), at("two"))
    assert names(at("")) == ["two"]


def test_remove_takes_one_key_and_nothing_there_is_no_error(every_at: At) -> None:
    """And not those that begin with it."""
    write(every_at("a"))
    write(every_at("ab"))

    remove(every_at("a"))
    remove(every_at("a"))

    assert names(every_at("")) == ["ab"]


def test_remove_prefix_takes_the_folder_and_nothing_beside_it(every_at: At) -> None:
    """All keys below, odd ones too; the number of them."""
    for name in ("day=1/a", "day=1/b c+%41&<>", "day=1/deep/er", "day=10/a", "day=1.txt"):
        write(every_at(name))

    assert remove_prefix(every_at("day=1/")) == 3

    assert sorted(names(every_at(""))) == ["day=1.txt", "day=10/a"]
    assert remove_prefix(every_at("day=1/")) == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [("s3://{}", "the whole bucket"), ("s3://{}/", "the whole bucket"), ("s3://{}//", "the whole bucket")],
)
def test_remove_prefix_refuses_a_whole_bucket(at: At, url: str, words: str) -> None:
    """An empty variable in a prefix is the usual way to lose a bucket."""
    write(at("one"))

    with pytest.raises(TaskError, match=words):
        remove_prefix(parse(url.format(at("").bucket), needs_key=False))

    assert names(at("")) == ["one"]


def test_remove_prefix_refuses_what_may_be_more_than_was_meant(at: At) -> None:
    """A prefix that ends within a name, and a folder with more objects than was said: nothing is removed."""
    for name in ("day/1", "day/2", "day/3"):
        write(at(name))

    with pytest.raises(TaskError, match="end the folder with a '/'"):
        remove_prefix(at("day"))
    with pytest.raises(TaskError, match="more than 2 objects, so nothing is removed"):
        remove_prefix(at("day/"), at_most=2)
    assert len(names(at(""))) == 3
    assert remove_prefix(at("day/"), at_most=3) == 3


def test_remove_prefix_that_is_refused_in_part_says_so(at: At, s3_proxy: S3Proxy) -> None:
    """DeleteObjects says 200 and names what it did not remove."""
    write(at("day/1"))
    refused = b"<Error><Key>day/1</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    s3_proxy.edit(
        "DeleteObjects",
        lambda answer: b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' + refused,
    )

    with pytest.raises(UnavailableError, match=r"1 of 1 were refused, the first day/1 \(AccessDenied\)"):
        remove_prefix(at("day/"))


def test_unfinished_uploads_are_the_old_ones_below_the_prefix(every_at: At) -> None:
    """F49: what a killed process leaves, found and ended; younger ones and those elsewhere are not told."""
    found = client()
    for name in ("in/one", "in/two", "out/three"):
        address = every_at(name)
        made = found.create_multipart_upload(Bucket=address.bucket, Key=address.key)
        upload = {"Bucket": address.bucket, "Key": address.key, "UploadId": made["UploadId"]}
        found.upload_part(**upload, PartNumber=1, Body=b"x" * LEAST_PART_BYTES)
    folder = every_at("in/")
    later, earlier = datetime.now(UTC) + timedelta(hours=1), datetime(2010, 1, 1, tzinfo=UTC)  # moto says 2010

    younger = list(unfinished_uploads(folder.bucket, folder.key, earlier))
    old = list(unfinished_uploads(folder.bucket, folder.key, later))
    ended = [end_upload(upload) for upload in old]
    again = [end_upload(upload) for upload in old]

    assert younger == []
    assert sorted(upload.address for upload in old) == [every_at("in/one"), every_at("in/two")]
    assert ended == [True, True] and True not in again
    left = list(unfinished_uploads(folder.bucket, "", later))
    assert [upload.address for upload in left] == [every_at("out/three")]
    assert left[0].begun_at.tzinfo is UTC
    end_upload(left[0])
