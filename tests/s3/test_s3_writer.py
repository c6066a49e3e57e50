"""An object is written whole or not at all: whatever the size, the pieces and the moment at which it breaks off."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlctl import faultpoints
from etlctl.core import context
from etlctl.errors import TaskError
from etlctl.s3.address import S3Address
from etlctl.s3.multipart import MOST_PARTS, Multipart
from etlctl.s3.objects import head
from etlctl.s3.reader import open_object
from etlctl.s3.writer import ObjectWriter
from servers.s3 import LEAST_PART_BYTES, RcloneServer, S3Service, bucket_in
from servers.s3_fixtures import lead

At = Callable[[str], S3Address]
PART = LEAST_PART_BYTES
"""The least that S3, and moto, take for a part but the last."""
BLOCK = bytes(range(256)) * 4096


def content(size: int) -> bytes:
    """Bytes in which every place can be told from its neighbours."""
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def read(address: S3Address) -> bytes:
    with open_object(address) as file:
        return file.read()


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7])
def test_writer_keeps_any_size(every_at: At, size: int) -> None:
    """What was written is read back, below, at and above the size of a part, on both services."""
    address = every_at("one")

    with ObjectWriter(address, part_bytes=PART) as file:
        assert file.write(content(size)) == size

    assert file.published is True and file.tell() == size
    assert read(address) == content(size)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=700), max_size=12), form=st.sampled_from([bytes, bytearray, memoryview]))
def test_writer_pieces_make_no_difference(rclone_folder: S3Address, pieces: list[bytes], form: Any) -> None:
    """Any split of the content into writes gives the same object."""
    address = rclone_folder.joined("split")

    with ObjectWriter(address, part_bytes=512) as file:
        for piece in pieces:
            file.write(form(piece))

    assert read(address) == b"".join(pieces)


@pytest.fixture
def rclone_folder(rclone_server: RcloneServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder where parts may be small."""
    lead(monkeypatch, rclone_server)
    with bucket_in(rclone_server) as name:
        yield S3Address(name, "folder/")


def test_writer_takes_a_reused_buffer(at: At) -> None:
    """A caller may fill the same buffer again: what it held is taken, not referred to."""
    buffer = bytearray(PART)
    with ObjectWriter(at("one"), part_bytes=PART) as file:
        for letter in b"abc":
            buffer[:] = bytes([letter]) * PART
            file.write(buffer)

    assert read(at("one")) == b"a" * PART + b"b" * PART + b"c" * PART


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_writer_shows_nothing_before_it_is_closed(at: At, size: int) -> None:
    """The object is there at close(), and no sooner."""
    file = ObjectWriter(at("one"), part_bytes=PART)
    file.write(content(size))

    assert (head(at("one")), file.published) == (None, None)
    file.close()
    assert (head(at("one")) is not None, file.published) == (True, True)


@pytest.mark.parametrize("size", [10, 2 * PART])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_writer_publishes_nothing_after_an_exception(
    at: At, s3_server: S3Service, size: int, error: type[BaseException]
) -> None:
    """F50: an exception out of the block leaves the old object, and no part."""
    s3_server.put(*at("one"), b"old")

    with pytest.raises(error), ObjectWriter(at("one"), part_bytes=PART) as file:
        file.write(content(size))
        raise error

    assert (s3_server.get(*at("one")), s3_server.uploads(at("").bucket), file.published) == (b"old", [], False)


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_writer_dropped_unclosed_publishes_nothing(at: At, s3_server: S3Service, size: int) -> None:
    """A writer that is garbage is aborted, and says that it was forgotten."""
    file = ObjectWriter(at("one"), part_bytes=PART)
    file.write(content(size))

    with pytest.warns(ResourceWarning, match=r"one was opened for writing and never closed: discarded"):
        del file

    assert not s3_server.keys(at("").bucket) and not s3_server.uploads(at("").bucket)


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise KeyboardInterrupt", "1 / 0", "file.loop = file"])
def test_writer_open_at_the_interpreters_end_publishes_nothing(
    at: At, s3_server: S3Service, child: Callable[..., subprocess.CompletedProcess[str]], end: str
) -> None:
    """Whatever way the process ends by itself, the upload is aborted."""
    code = (
        "file = ObjectWriter(parse(sys.argv[1]), part_bytes=65536)\n"
        "file.write(b'x' * 140_000)\n"
        "from etlctl.s3.client import client\n"
        "print(len(client().list_multipart_uploads(Bucket=parse(sys.argv[1]).bucket)['Uploads']), flush=True)\n"
    )

    done = child(code + end, str(at("one")))

    assert done.stdout == "1\n", done.stderr
    assert not s3_server.keys(at("").bucket) and not s3_server.uploads(at("").bucket)
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("point", faultpoints.S3_POINTS)
def test_writer_killed_at_any_moment_leaves_no_half_object(
    at: At, s3_server: S3Service, child: Callable[..., subprocess.CompletedProcess[str]], point: str
) -> None:
    """F49: after kill -9 the old object is there, or the whole new one."""
    s3_server.put(*at("one"), b"old")
    code = (
        "die_at(sys.argv[2])\n"
        "with ObjectWriter(parse(sys.argv[1]), part_bytes=65536) as file:\n"
        "    file.write(b'n' * 140_000)\n"
    )

    done = child(code, str(at("one")), point)

    assert done.returncode == -9
    found = s3_server.get(*at("one"))
    assert found == (b"n" * 140_000 if point == "s3.published" else b"old")


def test_writer_of_a_forked_childs_parent_is_left_alone(at: At, s3_server: S3Service) -> None:
    """A child that ends with a copy of the writer neither publishes nor aborts; one that uses it is refused."""
    file = ObjectWriter(at("one"), part_bytes=PART)
    file.write(content(PART + 1))

    child = os.fork()
    if not child:
        try:
            file.write(b"x")
        except TaskError:
            file.abort()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0

    file.close()
    assert s3_server.get(*at("one")) == content(PART + 1)


def test_writer_first_of_two_wins(at: At, s3_server: S3Service) -> None:
    """F51: with if_absent the later one discards its work, keeps no part, and tells so."""
    attempt = context.Attempt()
    first, second = (ObjectWriter(at("one"), if_absent=True, part_bytes=PART) for _ in range(2))
    first.write(content(2 * PART))
    second.write(b"2" * 2 * PART)

    first.close()
    with context.attempting(attempt):
        second.close()

    assert (first.published, second.published) == (True, False)
    assert s3_server.get(*at("one")) == content(2 * PART) and s3_server.uploads(at("").bucket) == []
    assert attempt.notes == [f"{at('one')} was there already: the first one stays, what this run wrote is discarded"]


@pytest.mark.parametrize("size", [10, PART + 10])
def test_writer_one_of_many_at_once_wins(
    at: At, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """F51: of writers that all saw nothing there, exactly one is published, and its content is there.

    Their last requests go one after the other: moto, unlike S3, does not lock between its look and its write.
    """
    all_looked = threading.Barrier(6)
    one_at_a_time = threading.Lock()

    def wait_for_all(name: str) -> None:
        if name == "s3.completing":
            all_looked.wait()
            one_at_a_time.acquire()

    def finish(number: int) -> None:
        writers[number].write(bytes([number]) * size)
        writers[number].close()
        one_at_a_time.release()

    monkeypatch.setattr(faultpoints, "point", wait_for_all)
    writers = [ObjectWriter(at("one"), if_absent=True, part_bytes=PART) for _ in range(6)]
    threads = [threading.Thread(target=finish, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [number for number, writer in enumerate(writers) if writer.published]
    assert len(winners) == 1 and s3_server.get(*at("one")) == bytes(winners) * size
    assert s3_server.uploads(at("").bucket) == []


def test_writer_passes_options_on(at: At, s3_server: S3Service) -> None:
    """Encryption, class and metadata arrive, small or in parts."""
    options = {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "arn:aws:kms:eu-central-1:123456789012:key/1",
        "StorageClass": "STANDARD_IA",
        "ContentType": "text/csv",
        "Metadata": {"made-by": "a test"},
    }
    for name, size in [("small", 1), ("large", 2 * PART)]:
        with ObjectWriter(at(name), options=options, part_bytes=PART) as file:
            file.write(content(size))

        found = s3_server.client.head_object(Bucket=at(name).bucket, Key=at(name).key)
        assert found["ServerSideEncryption"] == "aws:kms"
        assert found["SSEKMSKeyId"] == options["SSEKMSKeyId"]
        assert (found["StorageClass"], found["ContentType"]) == ("STANDARD_IA", "text/csv")
        assert found["Metadata"]["made-by"] == "a test"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"storage_class": "STANDARD_IA"}, "Did you mean 'StorageClass'"),
        ({"ServerSideEncription": "AES256"}, "Did you mean 'ServerSideEncryption'"),
        ({"Body": b"x"}, "'Body' is no option of an object"),
        ({"SSECustomerKey": "secret"}, "no option"),
        ({"BucketKeyEnabled": "yes"}, "BucketKeyEnabled is a bool, not str"),
        ({"SSEKMSKeyId": "k"}, "add ServerSideEncryption='aws:kms'"),
        ({"Metadata": {"größe": "1"}}, "ASCII"),
        ({"Metadata": {"Etlctl-Write": "1"}}, "etlctl's own"),
    ],
)
def test_writer_refuses_options_that_are_not_allowed(at: At, options: dict[str, Any], words: str) -> None:
    """Before anything is sent, with the nearest name and never the value."""
    with pytest.raises(TaskError, match=words) as refused:
        ObjectWriter(at("one"), options=options)

    assert "secret" not in str(refused.value)


def test_writer_refuses_a_key_that_is_a_folder(at: At) -> None:
    """A key with a slash at its end is what consoles show as a folder."""
    with pytest.raises(TaskError, match="leave the '/' at the end out"):
        ObjectWriter(at("folder/"))


def test_writer_parts_hold_what_s3_takes() -> None:
    """10,000 parts hold 5 TiB; none is smaller than 5 MiB or larger than one TLS write; 8 MiB for the first 8 GB."""
    sizes = [Multipart.part_bytes(sent) for sent in range(MOST_PARTS)]

    assert sum(sizes) >= 5 * 2**40
    assert min(sizes) == sizes[999] == 8 * 2**20 and max(sizes) < 2**31
    assert sizes == sorted(sizes)


def test_writer_closed_takes_no_more(at: At) -> None:
    """write() after close() is an error; close() and abort() after it are none."""
    file = ObjectWriter(at("one"))
    file.close()
    file.close()
    file.abort()

    with pytest.raises(ValueError, match="closed file"):
        file.write(b"x")
    assert file.published is True
