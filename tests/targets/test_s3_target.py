"""What S3Target, S3FlagTarget and S3Client add to the contract that every target keeps."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import etlctl
from etlctl import S3Client, S3FlagTarget, S3Target, Task
from etlctl.core import context
from etlctl.core.target import exists_in_bulk
from etlctl.errors import TaskError, UnavailableError
from etlctl.outside import default_context
from etlctl.s3 import client
from etlctl.targets import formats
from servers.s3 import S3Service, split_url
from servers.s3_proxy import S3Proxy


@pytest.fixture
def url(s3_url: str) -> Iterator[Callable[[str], str]]:
    """The path of a name in the test's folder, with the settings that lead there in force."""
    with context.use(replace(context.current(), settings=default_context().settings)):
        yield lambda name: s3_url + name
    client.close()


def write(path: str, text: str = "content") -> S3Target:
    target = S3Target(path)
    with target.open("w") as file:
        file.write(text)
    return target


def test_s3_target_tells_about_its_object(url: Callable[[str], str]) -> None:
    """Size, ETag and time, in one request or each; None of what is not there."""
    target = write(url("one.txt"))

    info = target.info()

    assert info is not None and (info.size, info.etag) == (target.size(), target.etag()) == (7, info.etag)
    assert target.updated_at() == info.updated_at
    absent = S3Target(url("two.txt"))
    assert (absent.info(), absent.size(), absent.etag(), absent.updated_at()) == (None, None, None, None)


def test_s3_target_packs_as_local_ones_do(url: Callable[[str], str], s3_server: S3Service) -> None:
    """By the suffix, or by the format; the same content makes the same bytes; `Nop` keeps the packed ones."""
    first, second = write(url("a.csv.gz"), "ü\r\n" * 1000), write(url("b.csv.gz"), "ü\r\n" * 1000)

    stored = s3_server.get(*split_url(first.path))
    assert stored == s3_server.get(*split_url(second.path))
    assert gzip.decompress(stored).decode() == "ü\r\n" * 1000
    with S3Target(first.path, format=formats.Nop).open("r") as file:
        assert file.read() == stored


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.bz2"])
def test_s3_target_gives_its_connection_back(url: Callable[[str], str], name: str) -> None:
    """The stream below a compressor is closed with it, though the compressor leaves it open."""
    from etlctl.s3 import reader

    write(url(name), "line\n" * 100)
    opened: list[reader.ObjectReader] = []
    make = reader.ObjectReader.__init__

    def watched(self: reader.ObjectReader, *given: object, **named: object) -> None:
        make(self, *given, **named)  # type: ignore[arg-type]
        opened.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader.ObjectReader, "__init__", watched)
        with S3Target(url(name)).open() as file:
            file.readline()

    assert [one.closed for one in opened] == [True]


def test_s3_target_reads_by_the_line_without_reading_all(s3_proxy: S3Proxy, url: Callable[[str], str]) -> None:
    """A header costs one request and no wait for the rest."""
    write(url("one.csv"), "head\n" + "x" * 5_000_000)
    s3_proxy.forget()

    with S3Target(url("one.csv")).open() as file:
        assert file.readline() == "head\n"

    assert s3_proxy.counts == {"GetObject": 1}


@pytest.mark.parametrize(
    "name",
    ["a#b.csv", "what?.csv", "%41.csv", 'it\'s "q".csv', "sp  ace.csv", "nf\u00fc", "nfu\u0308", "a//b", "+&=<>"],
)
def test_s3_target_takes_its_key_letter_by_letter(url: Callable[[str], str], s3_server: S3Service, name: str) -> None:
    """Written, found, listed, read and removed under that very key."""
    target = write(url(name))
    bucket, key = split_url(url(name))

    assert s3_server.keys(bucket) == [key]
    assert target.exists() and S3Target(url(name)).open().read() == "content"
    assert [*S3Client().listdir(url(""))] == [target.path]
    target.remove()
    assert s3_server.keys(bucket) == []


@pytest.mark.parametrize(
    "path",
    ["/tmp/x", "s3://b", "s3://bucket", "s3://bucket/../x", "s3://bucket/a\x00", "s3://bucket/" + "x" * 1025, ""],
)
def test_s3_target_refuses_what_is_no_address(path: str) -> None:
    """When it is made, so when the pipeline is planned."""
    with pytest.raises(TaskError):
        S3Target(path)


@pytest.mark.parametrize(
    "payload",
    [
        "../../x",
        "/etc/passwd",
        "a/../../b",
        "..",
        ".",
        "",
        "s3://other-bucket/x",
        "\x00",
        "a/./b",
        "x" * 1024,
        "a\ud800",
    ],
)
def test_s3_target_with_a_root_stays_in_it(payload: str) -> None:
    """S7: a part of the path that comes from outside leads nowhere else."""
    with pytest.raises(TaskError):
        S3Target(payload, root="s3://bucket/fenced/")


def test_s3_target_with_a_root_takes_all_else_as_a_name() -> None:
    """What means something elsewhere means nothing in a key."""
    for payload in ("%2e%2e/x", "~root", "a;b", "$(x)", "..x", "http://x"):
        assert S3Target(payload, root="s3://bucket/fenced").path == f"s3://bucket/fenced/{payload}"


def test_s3_target_folder_is_not_written(url: Callable[[str], str]) -> None:
    """A key with a slash at its end can be asked for, and is not written."""
    target = S3Target(url("folder/"))

    assert target.exists() is False
    with pytest.raises(TaskError, match="leave the '/' at the end out"):
        target.open("w")


def test_s3_target_checks_its_options_when_it_is_made() -> None:
    """Before the work, not after it."""
    with pytest.raises(TaskError, match=r"S3Target\(s3://bucket/one\).*Did you mean 'StorageClass'"):
        S3Target("s3://bucket/one", StorageClas="STANDARD_IA")
    with pytest.raises(TaskError, match="'client' is no option"):
        S3Target("s3://bucket/one", client=object())


def test_s3_target_writes_its_options(url: Callable[[str], str], s3_server: S3Service) -> None:
    """And a neighbour is written by the same."""
    target = S3Target(url("one.csv"), StorageClass="STANDARD_IA", ServerSideEncryption="AES256")
    beside = target.beside("deep/two.csv.gz")
    for one in (target, beside):
        with one.open("w") as file:
            file.write("x")

        bucket, key = split_url(one.path)
        found = s3_server.client.head_object(Bucket=bucket, Key=key)
        assert (found["StorageClass"], found["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")

    assert beside.path == url("deep/two.csv.gz") and beside.format == formats.Text >> formats.Gzip
    assert S3Target("s3://bucket/a//b").beside("c").path == "s3://bucket/a//c"
    with pytest.raises(TaskError):
        target.beside("../two")


def test_s3_target_first_of_two_wins(url: Callable[[str], str]) -> None:
    """As a LocalTarget with if_absent: no error, and `published` tells."""
    target = S3Target(url("one"), if_absent=True)
    with target.open("w") as first:
        first.write("first")
    with target.open("w") as second:
        second.write("second")

    assert [getattr(one, "published", None) for one in (first, second)] == [True, False]
    assert target.open().read() == "first"


def test_s3_target_copies_and_moves(url: Callable[[str], str]) -> None:
    """Within the store; `raise_if_exists` refuses."""
    target = write(url("one"))
    write(url("taken"), "other")

    with pytest.raises(TaskError, match="is there already"):
        target.copy(url("taken"), raise_if_exists=True)
    target.copy(url("two"))
    target.move(url("deep/three"), raise_if_exists=True)

    assert [*S3Client().list(url(""))] == ["deep/three", "taken", "two"]


def test_s3_target_of_a_missing_bucket_is_no_absent_target(url: Callable[[str], str]) -> None:
    """F53: exists() raises, alone and in bulk; other targets have their answers."""
    there, lost = write(url("one")), S3Target("s3://no-such-bucket-here/one")

    with pytest.raises(UnavailableError, match="none of this name"):
        lost.exists()
    answers = exists_in_bulk([there, lost])
    assert answers[id(there)] is True and isinstance(answers[id(lost)], UnavailableError)


def test_s3_target_dropped_in_a_cycle_leaves_no_part(url: Callable[[str], str], s3_server: S3Service) -> None:
    """A packed writer that only the collector finds is aborted too."""
    import gc
    import os

    file = S3Target(url("one.gz")).open("wb")
    file.write(os.urandom(9 * 2**20))
    file.loop = file  # type: ignore[attr-defined]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del file
        gc.collect()

    bucket, _ = split_url(url(""))
    assert not s3_server.uploads(bucket) and not s3_server.keys(bucket)
    assert ["never closed: discarded" in str(one.message) for one in told] == [True]


def test_s3_target_is_the_output_of_a_task(url: Callable[[str], str]) -> None:
    """A build writes it once; the second finds it."""
    path = url("result.csv")
    ran = []

    class MakesAnObject(Task):
        def output(self) -> S3Target:
            return S3Target(path)

        def run(self) -> None:
            ran.append(1)
            with self.output().open("w") as file:
                file.write("a,b\n")

    codes = [etlctl.build([MakesAnObject()]).exit_code for _ in range(2)]

    assert codes == [0, 0] and ran == [1] and S3Target(path).open().read() == "a,b\n"


def test_s3_flag_target_is_there_with_its_flag(url: Callable[[str], str]) -> None:
    """Not with the parts; and the flag is none of them."""
    target = S3FlagTarget(url("day/"))
    for name in ("part-0.csv", "deep/part-1.csv.gz"):
        with target.joined(name).open("w") as file:
            file.write(name)
    before = target.exists()

    target.touch()

    assert before is False and target.exists() and target.updated_at() is not None
    assert [(part.path, part.open().read()) for part in target.parts()] == [
        (url("day/deep/part-1.csv.gz"), "deep/part-1.csv.gz"),
        (url("day/part-0.csv"), "part-0.csv"),
    ]
    target.remove()
    assert not target.exists() and len([*target.parts()]) == 2


def test_s3_flag_target_has_no_parts_that_hadoop_hides(url: Callable[[str], str]) -> None:
    """What Spark and Hadoop keep for themselves would be read as rows; a folder of a partition begins with `_` too."""
    target = S3FlagTarget(url("day/"))
    hidden = ["_started_1", "_committed_1", "_metadata", ".part-0.csv.crc", "_temporary/0/part-9.csv", "a/.x/part.csv"]
    for name in ("part-0.csv", "_hour=1/part-1.csv", "a_b.csv", *hidden):
        write(url(f"day/{name}"))

    target.touch()

    assert [part.path.removeprefix(url("day/")) for part in target.parts()] == [
        "_hour=1/part-1.csv",
        "a_b.csv",
        "part-0.csv",
    ]


def test_s3_flag_target_takes_another_flag_and_stays_in_its_folder(url: Callable[[str], str]) -> None:
    """The path ends with a slash; the flag may be called otherwise."""
    target = S3FlagTarget(url("day/"), flag="DONE")
    target.touch()

    assert S3Target(url("day/DONE")).exists() and not S3FlagTarget(url("day/")).exists()
    with pytest.raises(TaskError, match="end the path with a '/'"):
        S3FlagTarget(url("day"))
    with pytest.raises(TaskError):
        target.joined("../other")


def test_s3_client_lists_with_a_window_and_removes_with_a_guard(url: Callable[[str], str]) -> None:
    """What boto3 leaves to be written each time."""
    for name in ("day=1/a", "day=1/b", "day=10/a"):
        write(url(name))
    store = S3Client()
    now = datetime.now(UTC)

    assert [*store.list(url("day=1"))] == ["a", "b"]
    assert [*store.listdir(url("day=1/"), start_time=now + timedelta(hours=1))] == []
    assert [*store.listdir(url("day=1/"), end_time=now - timedelta(hours=1))] == []
    assert (store.exists(url("day=1/a")), store.exists(url("day=1")), store.exists(url("day=1/"))) == (
        True,
        False,
        True,
    )
    assert (store.isdir(url("day=1")), store.isdir(url("day=2"))) == (True, False)
    with pytest.raises(TaskError, match="more than 1 objects"):
        store.remove(url("day=1/"), recursive=True, at_most=1)
    with pytest.raises(TaskError, match="end the folder with a '/'"):
        store.remove(url("day=1"), recursive=True)
    assert store.remove(url("day=1/"), recursive=True) is True
    assert (store.remove(url("day=10/a")), store.remove(url("day=10/a"))) == (True, False)
    assert [*store.list(url(""))] == []


def test_s3_client_copies_moves_and_hands_out_boto3s_own(url: Callable[[str], str]) -> None:
    """Everything else is boto3's."""
    write(url("one"))
    store = S3Client()

    store.copy(url("one"), url("two"), ContentType="text/csv")
    store.move(url("two"), url("three"))

    bucket, key = split_url(url("three"))
    assert store.client.head_object(Bucket=bucket, Key=key)["ContentType"] == "text/csv"
    assert [*store.list(url(""))] == ["one", "three"]
