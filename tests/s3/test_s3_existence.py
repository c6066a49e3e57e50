"""Existence of many keys: as few requests as can be, the same answer as one by one, and no error taken for "absent"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.errors import TransientError, UnavailableError
from etlctl.s3.address import S3Address
from etlctl.s3.existence import _common, _split, exist
from etlctl.s3.objects import head
from servers.s3 import RcloneServer, S3Service, bucket_in
from servers.s3_fixtures import lead
from servers.s3_proxy import S3Proxy

At = Callable[[str], S3Address]

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def stocked(rclone_server: RcloneServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3Proxy, Path, str]]:
    """A proxy in front of rclone, the folder that is a bucket there, and its name: files are made without requests."""
    assert rclone_server.url is not None
    with bucket_in(rclone_server) as bucket, S3Proxy(rclone_server.url) as proxy:
        lead(monkeypatch, rclone_server, url=proxy.url)
        folder = rclone_server.data / bucket
        (folder / "flights").mkdir()
        yield proxy, folder, bucket


def test_existence_of_ten_thousand_keys_takes_few_requests(stocked: tuple[S3Proxy, Path, str]) -> None:
    """Done when 4: 10,000 keys that share a prefix in at most 20 requests, half of them there."""
    proxy, folder, bucket = stocked
    for number in range(0, 10_000, 2):
        (folder / "flights" / f"{number:05}.csv").touch()

    answers = exist([S3Address(bucket, f"flights/{number:05}.csv") for number in range(10_000)])

    assert answers == [number % 2 == 0 for number in range(10_000)]
    assert proxy.counts.total() <= 20


def test_existence_of_a_few_in_a_full_folder_does_not_list_it_all(stocked: tuple[S3Proxy, Path, str]) -> None:
    """Where the folder holds far more, what is asked about is found in parts of it, or one by one."""
    proxy, folder, bucket = stocked
    for number in range(6_000):
        (folder / "flights" / f"{number:05}.csv").touch()
    asked = [*range(0, 6_000, 100), *range(6_000, 6_060)]

    answers = exist([S3Address(bucket, f"flights/{number:05}.csv") for number in asked])

    assert answers == [number < 6_000 for number in asked]
    assert proxy.counts["ListObjectsV2"] <= 12 + 2 and proxy.counts.total() <= 1.1 * len(asked) + 2


def test_existence_of_few_keys_is_asked_one_by_one(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """A listing pays from ten keys on."""
    s3_server.put(*at("a/1"))

    assert exist([at("a/1"), at("a/2"), at("a/1")]) == [True, False, True]

    assert (s3_proxy.counts["ListObjectsV2"], s3_proxy.counts["HeadObject"]) == (0, 2)


@pytest.mark.parametrize("many", [3, 40])
def test_existence_goes_by_the_exact_key(every_at: At, many: int) -> None:
    """F52: a key that only begins, or only continues, another is another; and so is one that looks the same."""
    from etlctl.s3.writer import ObjectWriter

    there = ["a.csv", "nf\u00fc", "sp ace", "plus+1", "per%41cent", "ha#sh?x", "am&p<>", 'it\'s "q"']
    for name in there:
        ObjectWriter(every_at(name)).close()
    absent = ["a.cs", "a.csv.gz", "A.csv", "nfu\u0308", "sp+ace", "plus 1", "perAcent", "am&amp;p<>", "ha"]
    absent += [f"a.csv{number}" for number in range(many)]

    answers = exist([every_at(name) for name in [*there, *absent]])

    assert answers == [True] * len(there) + [False] * len(absent)
    assert [head(every_at(name)) is not None for name in there] == [True] * len(there)


def test_existence_by_head_alone_where_it_is_set(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F52: `existence = "head"`, for stores whose listings lag."""
    monkeypatch.setenv("ETLCTL_S3_EXISTENCE", "head")
    s3_server.put(*at("7"))

    answers = exist([at(str(number)) for number in range(30)])

    assert answers == [number == 7 for number in range(30)]
    assert (s3_proxy.counts["ListObjectsV2"], s3_proxy.counts["HeadObject"]) == (0, 30)


def test_existence_of_some_keys_is_one_listing(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """Thirty keys, one request."""
    s3_server.put(*at("7"))

    assert exist([at(str(number)) for number in range(30)]) == [number == 7 for number in range(30)]
    assert s3_proxy.counts == {"ListObjectsV2": 1}


def test_existence_survives_a_lost_page(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """F52: a page that breaks off is asked for again."""
    s3_server.put(*at("7"))
    s3_proxy.cut("ListObjectsV2", after_bytes=100)
    s3_proxy.answer("ListObjectsV2", 503)

    assert exist([at(str(number)) for number in range(30)]) == [number == 7 for number in range(30)]


@pytest.mark.parametrize("trick", ["503", "cut"])
def test_existence_unknown_is_an_error_for_each_key(at: At, s3_proxy: S3Proxy, trick: str) -> None:
    """F52: a listing that cannot be read says nothing about anybody, least of all "absent"."""
    if trick == "503":
        s3_proxy.answer("ListObjectsV2", 503, times=100)
    else:
        s3_proxy.cut("ListObjectsV2", after_bytes=100, times=100)

    answers = exist([at(str(number)) for number in range(30)])

    assert {type(answer) for answer in answers} == {TransientError}
    assert s3_proxy.counts["HeadObject"] == 0


def test_existence_after_a_listing_that_breaks_off_is_asked_one_by_one(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service
) -> None:
    """F52: "there is more", and no word where: what was seen is there, the rest is not taken for absent."""
    for number in range(20):
        s3_server.put(*at(str(number)))
    lose = b"<Contents><Key>" + at("7").key.replace(" ", "%20").encode()
    s3_proxy.edit(
        "ListObjectsV2", lambda page: page.replace(b">false</IsTr", b">true</IsTr").replace(lose, lose + b"x")
    )

    assert exist([at(str(number)) for number in range(30)]) == [number < 20 for number in range(30)]


def test_existence_without_the_right_to_list_asks_one_by_one(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """403 for the listing alone."""
    s3_server.put(*at("7"))
    s3_proxy.answer("ListObjectsV2", 403)

    assert exist([at(str(number)) for number in range(30)]) == [number == 7 for number in range(30)]
    assert s3_proxy.counts["HeadObject"] == 30


def test_existence_forbidden_is_not_absent(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """F53: 403 is an error for that one key, with the right to grant; the others have their answers."""
    s3_server.put(*at("b"))
    s3_proxy.answer("HeadObject", 403)

    answers = exist([at("a")])
    others = exist([at("b"), at("c")])

    assert isinstance(answers[0], UnavailableError) and "s3:ListBucket" in str(answers[0])
    assert others == [True, False]
    s3_proxy.answer("HeadObject", 403)
    with pytest.raises(UnavailableError, match="may not do that"):
        head(at("a"))


@pytest.mark.parametrize("many", [3, 30])
def test_existence_in_a_missing_bucket_is_an_error(at: At, s3_server: S3Service, many: int) -> None:
    """A HEAD says 404 of it as of an absent key; keys of other buckets have their answers."""
    s3_server.put(*at("there"))

    answers = exist([*(S3Address("no-such-bucket-here", str(number)) for number in range(many)), at("there")])

    assert {type(answer) for answer in answers[:-1]} == {UnavailableError} and answers[-1] is True
    with pytest.raises(UnavailableError, match="there is none of this name"):
        head(S3Address("no-such-bucket-here", "x"))


def test_existence_does_not_ask_a_dead_store_for_every_key(
    at: At, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is away for one, it is away for all that have not been asked."""
    monkeypatch.setenv("ETLCTL_S3_EXISTENCE", "head")
    s3_proxy.answer("HeadObject", 503, times=10_000)

    answers = exist([at(str(number)) for number in range(500)])

    assert {type(answer) for answer in answers} == {TransientError}
    assert s3_proxy.counts["HeadObject"] <= 5 * 2 * 16


def test_existence_of_none_asks_nothing() -> None:
    """No settings, no client, no request."""
    assert exist([]) == []


@given(st.lists(st.text("ab/\u00fc", max_size=6), min_size=1, max_size=12, unique=True).map(sorted))
def test_existence_splits_into_smaller_groups_of_all(keys: list[str]) -> None:
    """Every key is in one group, and no group of many is what was split: so it comes to an end."""
    groups = _split(keys)

    assert [key for group in groups for key in group] == keys
    assert all(key.startswith(_common(keys)) for key in keys)
    assert len(keys) == 1 or len(groups) > 1
