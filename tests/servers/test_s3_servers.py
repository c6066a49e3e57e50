"""The services of S3 that tests stand on, and the proxy that misbehaves: they do what their fixtures promise."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from servers.process import ServerError
from servers.s3 import RcloneServer, S3Server, S3Service, missing_rclone, moto, rclone, split_url
from servers.s3_proxy import S3Proxy, operation_of
from servers.test_servers import is_alive, wait_until

TESTS = Path(__file__).parents[1]
PART = b"0123456789abcdef" * (5 << 16)
"""5 MiB, the least of a part that is not the last."""
START_AND_WAIT = """
import time
from servers.s3 import {kind}
with {kind}() as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""

Make = Callable[[], S3Server]


@pytest.fixture(params=[moto, rclone], ids=["moto", "rclone"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    if made is rclone and (why := missing_rclone()):
        pytest.skip(why)
    return made


@pytest.fixture
def through(s3_proxy: S3Proxy, s3_server: S3Service) -> Iterator[Any]:
    """A client of boto3 that goes through the proxy and tries once."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=s3_proxy.url,
        region_name=s3_server.region,
        aws_access_key_id=s3_server.key_id,
        aws_secret_access_key=s3_server.secret,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=1),
    )
    yield client
    client.close()


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_service_answers_silently_and_leaves_nothing_behind(make: Make) -> None:
    """After `with` there is no process and no folder of it; its log holds no line a request."""
    with make() as server:
        pid, folders = server.pid, [server.folder, server.data]
        bucket = server.new_bucket()
        before = server.log.stat().st_size
        server.put(bucket, "a b/ü #?'", b"1")
        content = server.get(bucket, "a b/ü #?'")
        printed = server.log.stat().st_size - before

    assert (content, printed) == (b"1", 0)
    assert not is_alive(pid)
    assert [folder for folder in folders if folder.exists()] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl(2) of Linux")
def test_service_dies_with_its_killed_parent(make: Make) -> None:
    """`kill -9` of pytest leaves no service running."""
    parent = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT.format(kind=make.__name__)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    lived = is_alive(server)

    parent.kill()
    parent.communicate()

    assert lived
    assert wait_until(lambda: not is_alive(server))


def test_service_that_cannot_start_shows_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its folder is removed."""
    server = moto()
    monkeypatch.setattr(server, "command", lambda: [sys.executable, "-c", "raise SystemExit('no such port')"])

    with pytest.raises(ServerError, match="no such port"), server:
        pass

    assert not server.folder.exists()


def test_moto_keeps_the_rules_that_we_lean_on(s3_server: S3Service, bucket: str) -> None:
    """If-None-Match, on a PUT and on a Complete; a least size of parts, 64 KiB here to save the tests' time."""
    client = s3_server.client
    s3_server.put(bucket, "there", b"1")
    with pytest.raises(ClientError) as on_put:
        client.put_object(Bucket=bucket, Key="there", Body=b"2", IfNoneMatch="*")
    upload = client.create_multipart_upload(Bucket=bucket, Key="there")["UploadId"]
    tags = [
        client.upload_part(Bucket=bucket, Key="there", UploadId=upload, PartNumber=number, Body=b"x")["ETag"]
        for number in (1, 2)
    ]
    parts = [{"ETag": tag, "PartNumber": number} for number, tag in enumerate(tags, 1)]
    named = {"Bucket": bucket, "Key": "there", "UploadId": upload}
    with pytest.raises(ClientError) as on_complete:
        client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts[:1]}, IfNoneMatch="*")
    with pytest.raises(ClientError) as too_small:
        client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})

    assert [code_of(one) for one in (on_put, on_complete)] == ["PreconditionFailed", "PreconditionFailed"]
    assert code_of(too_small) == "EntityTooSmall"
    assert s3_server.uploads(bucket) == [("there", upload)]
    assert s3_server.get(bucket, "there") == b"1"


def test_rclone_looks_at_the_signature(rclone_server: RcloneServer) -> None:
    """Another key is refused: tests of credentials stand on that."""
    stranger = S3Service(rclone_server.url, key_id=rclone_server.key_id, secret="wrong", region=rclone_server.region)

    with pytest.raises(ClientError) as caught:
        stranger.client.list_buckets()
    stranger.close()

    assert code_of(caught) == "SignatureDoesNotMatch"


def test_settings_lead_to_the_service_of_the_fixture(every_s3_url: str, s3_server: S3Service) -> None:
    """In this process and, by variables, in those it starts."""
    from etlctl.settings import load

    settings = load(None, environ=os.environ, cwd=Path.cwd())
    service = S3Service(
        settings.s3.endpoint_url,
        key_id=settings.s3.access_key_id.reveal() if settings.s3.access_key_id else None,
        secret=settings.s3.secret_access_key.reveal() if settings.s3.secret_access_key else None,
        region=settings.s3.region,
    )
    bucket, prefix = split_url(every_s3_url)
    before = service.keys(bucket)
    service.put(bucket, f"{prefix}one")

    assert before == []
    assert service.keys(bucket) == [f"{prefix}one"]
    service.close()


def test_bucket_is_removed_with_what_a_test_left_in_it(s3_server: S3Service) -> None:
    """Objects and half-done uploads: moto keeps them in memory."""
    name = s3_server.new_bucket()
    s3_server.put(name, "left")
    s3_server.client.create_multipart_upload(Bucket=name, Key="half")

    s3_server.drop_bucket(name)

    assert name not in [found["Name"] for found in s3_server.client.list_buckets()["Buckets"]]


def test_named_service_is_used_and_left_as_it_was(s3_server: S3Service, bucket: str, tmp_path: Path) -> None:
    """ETLCTL_TEST_S3_URL: a folder is made there and emptied; no bucket is made, no proxy stands before it."""
    (tmp_path / "test_named.py").write_text(
        "def test_one(s3_url, s3_server):\n"
        "    bucket, _, key = s3_url.removeprefix('s3://').partition('/')\n"
        "    s3_server.put(bucket, key + 'one')\n"
        "    print('URL', s3_url)\n"
        "def test_bucket(bucket):\n    raise AssertionError\n"
        "def test_proxy(s3_proxy):\n    raise AssertionError\n"
    )
    s3_server.put(bucket, "lake/theirs")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "servers.s3_fixtures", "-p", "no:cacheprovider", "-rs", "-s", "-q", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS), "ETLCTL_TEST_S3_URL": f"s3://{bucket}/lake"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "1 passed, 2 skipped" in done.stdout
    (used,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("URL")]
    assert used.startswith(f"s3://{bucket}/lake/etlctl-") and used.endswith("/")
    assert s3_server.keys(bucket) == ["lake/theirs"]


def test_proxy_passes_all_on_and_counts_by_operation(
    s3_proxy: S3Proxy, s3_server: S3Service, bucket: str, through: Any
) -> None:
    """Keys letter by letter, bodies of any size."""
    key = "a b/ü #?'%2F//"
    through.put_object(Bucket=bucket, Key=key, Body=PART)
    upload = through.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    named = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    tag = through.upload_part(**named, PartNumber=1, Body=PART)["ETag"]
    through.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]})
    read = through.get_object(Bucket=bucket, Key=key)["Body"].read()
    size = through.head_object(Bucket=bucket, Key="big")["ContentLength"]
    through.list_objects_v2(Bucket=bucket)

    assert s3_server.keys(bucket) == [key, "big"]
    assert (read == PART, size) == (True, len(PART))
    assert dict(s3_proxy.counts) == {
        "PutObject": 1,
        "CreateMultipartUpload": 1,
        "UploadPart": 1,
        "CompleteMultipartUpload": 1,
        "GetObject": 1,
        "HeadObject": 1,
        "ListObjectsV2": 1,
    }
    assert not s3_proxy.played


def test_proxy_refuses_as_often_as_it_is_told(
    s3_proxy: S3Proxy, s3_server: S3Service, bucket: str, through: Any
) -> None:
    """And only the operation it is told, after those that are let through."""
    s3_proxy.answer("PutObject", 503, times=2, skip=1)
    codes = []
    for number in range(4):
        try:
            through.put_object(Bucket=bucket, Key=f"{number}", Body=b"1")
            codes.append("")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])

    assert codes == ["", "SlowDown", "SlowDown", ""]
    assert s3_server.keys(bucket) == ["0", "3"]
    assert (s3_proxy.counts["PutObject"], s3_proxy.played["PutObject"]) == (4, 2)


def test_proxy_resets_in_the_middle_of_a_body(
    s3_proxy: S3Proxy, s3_server: S3Service, bucket: str, through: Any
) -> None:
    """The service has seen a part of it, and makes nothing of that."""
    s3_proxy.reset("PutObject", after_bytes=len(PART) // 2)

    with pytest.raises(ConnectionClosedError):
        through.put_object(Bucket=bucket, Key="big", Body=PART)

    assert s3_server.keys(bucket) == []


def test_proxy_cuts_an_answer(s3_proxy: S3Proxy, s3_server: S3Service, bucket: str, through: Any) -> None:
    """The client gets so many bytes, and then the end."""
    s3_server.put(bucket, "big", PART)
    s3_proxy.cut("GetObject", after_bytes=100)

    body = through.get_object(Bucket=bucket, Key="big")["Body"]
    with pytest.raises(ResponseStreamingError, match="100 bytes read"):
        body.read()


def test_proxy_loses_an_answer_of_what_is_done(
    s3_proxy: S3Proxy, s3_server: S3Service, bucket: str, through: Any
) -> None:
    """The object is there, and the client does not know."""
    s3_proxy.lose("PutObject")

    with pytest.raises(ConnectionClosedError):
        through.put_object(Bucket=bucket, Key="there", Body=b"1")

    assert s3_server.keys(bucket) == ["there"]


@pytest.mark.parametrize(("passes_on", "there"), [(False, []), (True, ["big"])])
def test_proxy_answers_200_with_an_error_in_it(
    s3_proxy: S3Proxy, s3_server: S3Service, bucket: str, through: Any, passes_on: bool, there: list[str]
) -> None:
    """As S3 does on a Complete; whether it is done is another matter."""
    upload = through.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    named = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    tag = through.upload_part(**named, PartNumber=1, Body=b"1")["ETag"]
    s3_proxy.answer("CompleteMultipartUpload", 200, passes_on=passes_on)

    with pytest.raises(ClientError) as caught:
        through.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]})

    assert code_of(caught) == "InternalError"
    assert s3_server.keys(bucket) == there


def test_proxy_refuses_a_head_without_a_body(s3_proxy: S3Proxy, bucket: str, through: Any) -> None:
    """A HEAD says no more than its status; the connection goes on."""
    s3_proxy.answer("HeadObject", 403)

    with pytest.raises(ClientError) as caught:
        through.head_object(Bucket=bucket, Key="there")
    with pytest.raises(ClientError) as after:
        through.head_object(Bucket=bucket, Key="there")

    assert [code_of(caught), code_of(after)] == ["403", "404"]


def test_proxy_changes_a_listing(s3_proxy: S3Proxy, s3_server: S3Service, bucket: str, through: Any) -> None:
    """A service whose listings lag behind, say."""
    s3_server.put(bucket, "new")
    s3_proxy.edit("ListObjectsV2", lambda body: body.replace(b"<Key>new</Key>", b"<Key>old</Key>"))

    listed = [through.list_objects_v2(Bucket=bucket)["Contents"][0]["Key"] for _ in range(2)]

    assert listed == ["old", "new"]


def test_proxy_stalls_no_longer_than_it_lives(s3_server: S3Service, bucket: str) -> None:
    """A client that waits gives up, or is let go at the end."""
    assert s3_server.url is not None
    client: Any = None

    def ask() -> None:
        with contextlib.suppress(BotoCoreError):  # the answer may still come through, or no more
            client.head_bucket(Bucket=bucket)

    with S3Proxy(s3_server.url) as proxy:
        proxy.stall("HeadBucket", 600, times=9)
        client = S3Service(proxy.url, key_id="a", secret="b", region=s3_server.region).client
        waiting = threading.Thread(target=ask)
        waiting.start()
        waits = wait_until(lambda: proxy.counts["HeadBucket"] == 1)
        began = time.monotonic()
    waiting.join()
    client.close()

    assert waits
    assert time.monotonic() - began < 60


def test_proxy_that_stalls_makes_a_client_give_up(s3_proxy: S3Proxy, bucket: str, through: Any) -> None:
    """After its own read timeout, one second here."""
    s3_proxy.stall("HeadObject", 600)

    with pytest.raises(ReadTimeoutError):
        through.head_object(Bucket=bucket, Key="x")


@pytest.mark.parametrize(
    ("method", "path", "headers", "operation"),
    [
        ("PUT", "/b/k", {}, "PutObject"),
        ("PUT", "/b/k", {"x-amz-copy-source": "b/j"}, "CopyObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {"x-amz-copy-source": "b/j"}, "UploadPartCopy"),
        ("GET", "/b?list-type=2&prefix=uploads", {}, "ListObjectsV2"),
        ("GET", "/b?uploads", {}, "ListMultipartUploads"),
        ("GET", "/b/k?uploadId=u", {}, "ListParts"),
        ("DELETE", "/b/k?uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", "/b/k", {}, "DeleteObject"),
        ("POST", "/b?delete", {}, "DeleteObjects"),
        ("HEAD", "/b", {}, "HeadBucket"),
        ("GET", "/", {}, "ListBuckets"),
    ],
)
def test_operation_is_named_as_in_the_reference(
    method: str, path: str, headers: dict[str, str], operation: str
) -> None:
    """What tests count requests by."""
    assert operation_of(method, path, headers) == operation
