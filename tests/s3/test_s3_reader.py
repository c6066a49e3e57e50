"""One and the same object is read from beginning to end, whatever the connection does."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlctl.errors import TransientError, UnavailableError
from etlctl.s3.address import S3Address
from etlctl.s3.reader import ObjectReader, open_object
from servers.s3 import RcloneServer, S3Service, bucket_in
from servers.s3_fixtures import lead
from servers.s3_proxy import S3Proxy

At = Callable[[str], S3Address]
CONTENT = b"".join(b"%09d\n" % number for number in range(30_000))

pytestmark = pytest.mark.usefixtures("impatient")


def no_wait(seconds: float) -> None:
    """In place of time.sleep."""


def test_reader_gives_what_is_stored(every_at: At) -> None:
    """All at once, by lines and in pieces; with its size and ETag."""
    address = every_at("one")
    from etlctl.s3.writer import ObjectWriter

    with ObjectWriter(address) as file:
        file.write(CONTENT)

    with open_object(address) as whole, open_object(address) as lines, open_object(address) as pieces:
        assert whole.read() == CONTENT
        assert list(lines) == CONTENT.splitlines(keepends=True)
        assert b"".join(iter(lambda: pieces.read(70_001), b"")) == CONTENT
        assert whole.size == len(CONTENT) and whole.etag == lines.etag == pieces.etag != ""
        assert whole.read() == b""


def test_reader_goes_on_after_a_lost_connection(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """F48: what breaks in the middle is asked for again from there, and nowhere else."""
    s3_server.put(*at("one"), CONTENT)
    for place in (100_000, 0, 50_000):
        s3_proxy.cut("GetObject", after_bytes=place)
    pauses: list[float] = []

    with open_object(at("one"), sleep=pauses.append) as file:
        assert file.read() == CONTENT

    assert s3_proxy.counts["GetObject"] == 4 and pauses == [0.5, 1.0, 0.5]


def test_reader_gives_up_on_a_store_that_sends_nothing_more(at: At, s3_proxy: S3Proxy, s3_server: S3Service) -> None:
    """A sentence that says where; exit code 4, and the attempt may be repeated."""
    s3_server.put(*at("one"), CONTENT)
    s3_proxy.cut("GetObject", after_bytes=100_000)
    s3_proxy.cut("GetObject", times=100)

    with open_object(at("one"), sleep=no_wait) as file:
        assert file.read(10) == CONTENT[:10]
        with pytest.raises(TransientError, match=r"one: the connection broke 5 times at byte 100,000 of 300,000"):
            file.read()


@pytest.mark.parametrize("new", [b"x" * len(CONTENT), CONTENT[:-1], None])
def test_reader_of_an_object_that_is_replaced_meanwhile_fails(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, new: bytes | None
) -> None:
    """Never the head of one and the tail of another."""
    s3_server.put(*at("one"), CONTENT)
    s3_proxy.cut("GetObject", after_bytes=100_000)

    with open_object(at("one"), sleep=no_wait) as file:
        file.read(10)
        if new is None:
            s3_server.client.delete_object(Bucket=at("one").bucket, Key=at("one").key)
        else:
            s3_server.put(*at("one"), new)
        with pytest.raises(TransientError, match="replaced or removed while it was being read, at byte 100,000"):
            file.read()


def test_reader_sees_a_replaced_object_where_the_store_ignores_conditions(
    rclone_server: RcloneServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not know If-Match still tells the ETag."""
    assert rclone_server.url is not None
    with bucket_in(rclone_server) as bucket, S3Proxy(rclone_server.url) as proxy:
        lead(monkeypatch, rclone_server, url=proxy.url)
        rclone_server.put(bucket, "one", CONTENT)
        proxy.cut("GetObject", after_bytes=100_000)
        with open_object(S3Address(bucket, "one"), sleep=no_wait) as file:
            file.read(10)
            rclone_server.put(bucket, "one", b"x" * len(CONTENT))

            with pytest.raises(TransientError, match="replaced or removed"):
                file.read()


def test_reader_refuses_a_rest_that_begins_elsewhere(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that ignores Range would give the beginning a second time."""
    s3_server.put(*at("one"), CONTENT)
    s3_proxy.cut("GetObject", after_bytes=100_000)
    ask = ObjectReader._get

    def without_range(self: ObjectReader, **more: str) -> object:
        return ask(self, **{name: value for name, value in more.items() if name != "Range"})

    monkeypatch.setattr(ObjectReader, "_get", without_range)
    with open_object(at("one"), sleep=no_wait) as file, pytest.raises(TransientError, match="the whole object"):
        file.read()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["read", "set", "cur", "end"]), st.integers(-2000, 2000)), min_size=1, max_size=8
    )
)
def test_reader_seeks_as_a_file_does(at: At, s3_server: S3Service, steps: list[tuple[str, int]]) -> None:
    """Any order of seek and read gives what BytesIO gives."""
    content = CONTENT[:1500]
    s3_server.put(*at("one"), content)
    model = io.BytesIO(content)
    whences = {"set": io.SEEK_SET, "cur": io.SEEK_CUR, "end": io.SEEK_END}

    with open_object(at("one")) as file:
        for step, number in steps:
            if step == "read":
                assert file.read(abs(number)) == model.read(abs(number))
                continue
            base = {"set": 0, "cur": model.tell(), "end": len(content)}[step]
            if base + number < 0:
                with pytest.raises((OSError, ValueError)):
                    file.seek(number, whences[step])
            else:
                assert file.seek(number, whences[step]) == model.seek(base + number)
            assert file.tell() == model.tell()


def test_reader_of_an_empty_object_ends_at_once(every_at: At) -> None:
    """No Range of nothing is asked for."""
    from etlctl.s3.writer import ObjectWriter

    ObjectWriter(every_at("empty")).close()

    with open_object(every_at("empty")) as file:
        assert (file.read(), file.size) == (b"", 0)


def test_reader_of_nothing_is_file_not_found(every_at: At) -> None:
    """Python's own error, with the address."""
    with pytest.raises(FileNotFoundError, match=r"there is no such object.*missing"):
        open_object(every_at("missing"))


def test_reader_of_a_missing_bucket_says_so(every_at: At) -> None:
    """That is no missing file."""
    with pytest.raises(UnavailableError, match="there is no such bucket"):
        open_object(S3Address("no-such-bucket-here", "one"))


def test_reader_without_the_right_says_which(at: At, s3_proxy: S3Proxy) -> None:
    """403 is neither an absent object nor tried again."""
    s3_proxy.answer("GetObject", 403)

    with pytest.raises(UnavailableError, match="Grant s3:GetObject"):
        open_object(at("one"))


def test_reader_closed_early_reads_no_more(at: At, s3_server: S3Service) -> None:
    """close() in the middle ends the connection; what follows is an error."""
    s3_server.put(*at("one"), CONTENT)
    file = open_object(at("one"))
    file.read(1)

    file.close()

    with pytest.raises(ValueError, match="closed"):
        file.read()
    with pytest.raises(ValueError, match="closed"):
        file.raw.tell()
