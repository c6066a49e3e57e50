"""What a writer makes of a store that misbehaves: the whole object, or none and no part, and a sentence."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from etlctl.core import context
from etlctl.errors import ExitCode, TaskError, TransientError, UnavailableError
from etlctl.s3.address import S3Address
from etlctl.s3.upload import Upload
from etlctl.s3.writer import ObjectWriter
from servers.s3 import LEAST_PART_BYTES, S3Service
from servers.s3_proxy import S3Proxy

At = Callable[[str], S3Address]
PART = LEAST_PART_BYTES
CONTENT = b"0123456789abcdef" * (PART // 16 * 2) + b"end"

pytestmark = pytest.mark.usefixtures("impatient")


def write(address: S3Address, data: bytes = CONTENT, *, if_absent: bool = False) -> ObjectWriter:
    with ObjectWriter(address, if_absent=if_absent, part_bytes=PART) as file:
        file.write(data)
    return file


SMALL_TRICKS: dict[str, Callable[[S3Proxy, int], None]] = {
    "reset before the body": lambda proxy, times: proxy.reset("PutObject", times=times),
    "reset in the body": lambda proxy, times: proxy.reset("PutObject", after_bytes=3, times=times),
    "SlowDown": lambda proxy, times: proxy.answer("PutObject", 503, times=times),
    "an error of its own": lambda proxy, times: proxy.answer("PutObject", 500, times=times),
    "an answer that is lost": lambda proxy, times: proxy.lose("PutObject", times=times),
}
LARGE_TRICKS: dict[str, Callable[[S3Proxy, int], None]] = {
    "reset in a part": lambda proxy, times: proxy.reset("UploadPart", after_bytes=50_000, times=times),
    "reset in the second part": lambda proxy, times: proxy.reset("UploadPart", after_bytes=9, times=times, skip=1),
    "SlowDown for parts": lambda proxy, times: proxy.answer("UploadPart", 503, times=times),
    "SlowDown at the beginning": lambda proxy, times: proxy.answer("CreateMultipartUpload", 503, times=times),
    "500 on Complete": lambda proxy, times: proxy.answer("CompleteMultipartUpload", 500, times=times),
    "200 with an error on Complete": lambda proxy, times: proxy.answer("CompleteMultipartUpload", 200, times=times),
    "Complete is reset": lambda proxy, times: proxy.reset("CompleteMultipartUpload", times=times),
}


@pytest.mark.parametrize("trick", SMALL_TRICKS)
@pytest.mark.parametrize("if_absent", [False, True])
def test_writer_tries_a_small_object_again(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, trick: str, if_absent: bool
) -> None:
    """F48: twice in a row is not the end; and a write whose answer was lost is known for its own."""
    SMALL_TRICKS[trick](s3_proxy, 2)

    file = write(at("one"), b"small", if_absent=if_absent)

    assert (file.published, s3_server.get(*at("one"))) == (True, b"small")
    assert s3_proxy.played["PutObject"] == 2


@pytest.mark.parametrize("trick", LARGE_TRICKS)
def test_writer_tries_a_large_object_again(at: At, s3_proxy: S3Proxy, s3_server: S3Service, trick: str) -> None:
    """F48: the whole object, and no upload left."""
    LARGE_TRICKS[trick](s3_proxy, 2)

    file = write(at("one"))

    assert (file.published, s3_server.get(*at("one"))) == (True, CONTENT)
    assert s3_server.uploads(at("").bucket) == [] and s3_proxy.played.total() == 2


@pytest.mark.parametrize("trick", [name for name in [*SMALL_TRICKS, *LARGE_TRICKS] if "lost" not in name])
def test_writer_gives_up_without_a_trace(at: At, s3_proxy: S3Proxy, s3_server: S3Service, trick: str) -> None:
    """F48: a store that goes on so gets a sentence and exit code 4; the old object stays, and no part."""
    s3_server.put(*at("one"), b"old")
    {**SMALL_TRICKS, **LARGE_TRICKS}[trick](s3_proxy, 10_000)

    with pytest.raises(TransientError, match=r"^writing s3://.*/one: .* run again|at the network") as failed:
        write(at("one"), b"small" if trick in SMALL_TRICKS else CONTENT)

    assert failed.value.exit_code is ExitCode.UNAVAILABLE
    assert s3_server.get(*at("one")) == b"old"
    assert s3_server.uploads(at("").bucket) == []


@pytest.mark.parametrize("if_absent", [False, True])
def test_writer_knows_its_own_small_object_when_every_answer_is_lost(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, if_absent: bool
) -> None:
    """What is there is looked at before the write is called a failure."""
    s3_proxy.lose("PutObject", times=100)

    assert write(at("one"), b"small", if_absent=if_absent).published is True
    assert s3_server.get(*at("one")) == b"small"


@pytest.mark.parametrize("if_absent", [False, True])
def test_writer_knows_its_own_object_after_a_lost_complete(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, if_absent: bool
) -> None:
    """Complete took place and nobody was told: the next try meets the writer's own object, which counts."""
    s3_proxy.lose("CompleteMultipartUpload")

    file = write(at("one"), if_absent=if_absent)

    assert (file.published, s3_server.get(*at("one"))) == (True, CONTENT)
    assert s3_server.uploads(at("").bucket) == []


def test_writer_knows_its_own_object_when_every_answer_is_lost(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """Complete took place, and the store says 500 to the end."""
    s3_proxy.answer("CompleteMultipartUpload", 500, times=100, passes_on=True)

    assert write(at("one")).published is True
    assert s3_server.get(*at("one")) == CONTENT


@pytest.mark.parametrize("data", [b"small", CONTENT])
def test_writer_leaves_it_to_the_store_who_was_first(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, data: bytes
) -> None:
    """F51: 412 after a look that saw nothing means that another one was first: own upload aborted, no error."""
    s3_server.put(*at("one"), b"first")
    s3_proxy.answer("HeadObject", 404)

    file = write(at("one"), data, if_absent=True)

    assert file.published is False
    assert s3_server.get(*at("one")) == b"first" and s3_server.uploads(at("").bucket) == []
    assert s3_proxy.counts["PutObject"] + s3_proxy.counts["CompleteMultipartUpload"] == 1


def test_writer_waits_for_a_small_one_that_is_in_the_way(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """F51: 409 while nobody has won is tried again, after a pause."""
    s3_proxy.answer("PutObject", 409, "ConditionalRequestConflict", times=2)
    pauses: list[float] = []
    upload = Upload(at("one"), if_absent=True, sleep=pauses.append)
    upload.write(b"mine")

    upload.publish()

    assert (upload.published, s3_server.get(*at("one")), pauses) == (True, b"mine", [0.2, 0.4])


@pytest.mark.parametrize("data", [b"small", CONTENT])
def test_writer_met_by_another_that_won_is_second(at: At, s3_proxy: S3Proxy, s3_server: S3Service, data: bytes) -> None:
    """F51: 409, and then the other one's object is there."""
    s3_server.put(*at("one"), b"first")
    s3_proxy.answer("HeadObject", 404)
    for operation in ("PutObject", "CompleteMultipartUpload"):
        s3_proxy.answer(operation, 409, "ConditionalRequestConflict")

    file = write(at("one"), data, if_absent=True)

    assert file.published is False and s3_server.uploads(at("").bucket) == []


def test_writer_met_by_another_that_has_not_won_is_tried_again_later(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service
) -> None:
    """F51: 409 on Complete ends the upload, and nobody's object is there: the attempt may be repeated."""
    s3_proxy.answer("CompleteMultipartUpload", 409, "ConditionalRequestConflict")

    with pytest.raises(TransientError, match="another process was writing the same key"):
        write(at("one"), if_absent=True)

    assert not s3_server.keys(at("").bucket) and not s3_server.uploads(at("").bucket)


@pytest.mark.parametrize(
    ("operation", "right"), [("PutObject", "s3:PutObject"), ("CreateMultipartUpload", "s3:PutObject")]
)
def test_writer_without_the_right_says_which(at: At, s3_proxy: S3Proxy, operation: str, right: str) -> None:
    """403 names the right to grant; nothing is tried again."""
    s3_proxy.answer(operation, 403, times=100)

    with pytest.raises(UnavailableError, match=f"may not do that.*Grant {right}"):
        write(at("one"), b"small" if operation == "PutObject" else CONTENT)

    assert s3_proxy.counts[operation] == 1


def test_writer_to_a_missing_bucket_says_so(at: At) -> None:
    """No bucket is made by writing to it."""
    for data in (b"small", CONTENT):
        with pytest.raises(UnavailableError, match="there is no such bucket"):
            write(S3Address("no-such-bucket-here", "one"), data)


def test_writer_after_a_failed_part_publishes_nothing(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """User code that passes over the error of write() does not publish what is left."""
    s3_proxy.answer("UploadPart", 403)
    file = ObjectWriter(at("one"), part_bytes=PART)
    with pytest.raises(UnavailableError):
        for _ in range(8):
            file.write(b"x" * PART)

    with pytest.raises(TaskError, match="a part failed before"):
        file.write(b"x")
    with pytest.raises(TaskError, match="a part failed before"):
        file.close()

    assert file.published is False
    assert not s3_server.keys(at("").bucket) and not s3_server.uploads(at("").bucket)


def test_writer_aborts_once_no_part_is_on_its_way(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """A part that arrived after the abortion would stay: so slow ones are waited for."""
    s3_proxy.stall("UploadPart", 0.5, times=2)
    file = ObjectWriter(at("one"), part_bytes=PART)
    file.write(CONTENT)

    file.abort()

    operations = [operation for operation, _ in s3_proxy.paths]
    assert operations[-1] == "AbortMultipartUpload" and s3_server.uploads(at("").bucket) == []


def test_writer_tells_of_an_upload_that_it_cannot_remove(at: At, s3_proxy: S3Proxy) -> None:
    """The error that led there is what comes out; what is left behind stands in the summary."""
    s3_proxy.answer("AbortMultipartUpload", 403, times=100)
    attempt = context.Attempt()

    with (
        pytest.raises(ZeroDivisionError),
        context.attempting(attempt),
        ObjectWriter(at("one"), part_bytes=PART) as file,
    ):
        file.write(CONTENT)
        _ = 1 / 0

    assert attempt.notes == [f"an unfinished upload of {at('one')} could not be removed: `etlctl gc --s3` does that"]


def test_writer_upload_ended_by_somebody_else_is_an_error(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """A lifecycle rule that is too quick: nothing is published, and the sentence says what happened."""
    s3_proxy.answer("CompleteMultipartUpload", 404, "NoSuchUpload")

    with pytest.raises(TransientError, match="ended by somebody else"):
        write(at("one"))

    assert s3_server.keys(at("").bucket) == []


def test_writer_errors_hold_no_secret(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """S4: neither the sentence nor the chain of errors below it holds the secret key."""
    s3_proxy.answer("PutObject", 500, times=100)

    with pytest.raises(TransientError) as failed:
        write(at("one"), b"small")

    assert s3_server.secret is not None
    assert s3_server.secret not in "".join(traceback.format_exception(failed.value))
