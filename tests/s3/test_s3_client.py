"""One client for each process and configuration, made as `[s3]` says."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlctl.errors import TransientError
from etlctl.s3 import client as s3_client
from etlctl.s3.address import S3Address
from etlctl.s3.client import client, close
from etlctl.s3.objects import head
from etlctl.s3.reader import open_object
from etlctl.s3.writer import ObjectWriter
from servers.s3 import S3Service
from servers.s3_proxy import S3Proxy

At = Callable[[str], S3Address]


def test_client_is_one_for_the_same_settings(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every thread; another for other settings, and the first again after that."""
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(client())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = client()

    monkeypatch.setenv("ETLCTL_S3_REGION", "us-west-2")
    other = client()
    monkeypatch.setenv("ETLCTL_S3_REGION", "eu-central-1")

    assert set(made) == {first} and other is not first
    assert client() is first


def test_client_is_not_shared_with_a_forked_child(at: At) -> None:
    """The child talks over a connection of its own, and the parent's stays usable."""
    mine = client()
    ObjectWriter(at("one")).close()

    child = os.fork()
    if not child:
        is_well = client() is not mine and head(at("one")) is not None
        close()
        os._exit(0 if is_well else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert client() is mine and head(at("one")) is not None


def test_client_can_be_used_after_close(at: At) -> None:
    """close() is no end: the next call makes a new one."""
    first = client()
    close()

    ObjectWriter(at("one")).close()

    assert client() is not first


def test_client_is_made_as_the_settings_say(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Region, tries in all, timeouts, addressing; all explicit."""
    monkeypatch.setenv("ETLCTL_S3_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("ETLCTL_S3_CONNECT_TIMEOUT", "3")
    monkeypatch.setenv("ETLCTL_S3_READ_TIMEOUT", "9")

    config = client().meta.config

    assert config.retries == {"mode": "standard", "total_max_attempts": 7}
    assert (config.connect_timeout, config.read_timeout) == (3, 9)
    assert (config.region_name, config.s3["addressing_style"]) == ("eu-central-1", "path")


@pytest.mark.parametrize(
    ("variables", "calculation"),
    [
        ({}, "when_supported"),
        ({"ETLCTL_S3_ENDPOINT_URL": "https://s3.eu-central-1.amazonaws.com"}, "when_supported"),
        ({"ETLCTL_S3_ENDPOINT_URL": "https://minio.example.com"}, "when_required"),
        ({"AWS_ENDPOINT_URL_S3": "https://minio.example.com"}, "when_required"),
        (
            {
                "ETLCTL_S3_ENDPOINT_URL": "https://minio.example.com",
                "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
            },
            "when_supported",
        ),
    ],
)
def test_client_sends_new_checksums_to_amazon_alone(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], calculation: str
) -> None:
    """Since boto3 1.36 they are the default, and other stores refuse them; AWS's own variable goes before that."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "ETLCTL_S3_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ETLCTL_S3_REGION", "eu-central-1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert client().meta.config.request_checksum_calculation == calculation


def test_client_acts_in_the_role_of_the_settings(
    bucket: str, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AssumeRole at the first request that needs it, and renewed by boto3 itself."""
    assert s3_server.url is not None
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_server.url)
    monkeypatch.setenv("ETLCTL_S3_ROLE_ARN", "arn:aws:iam::123456789012:role/loader")
    monkeypatch.setenv("ETLCTL_S3_EXTERNAL_ID", "outside")

    ObjectWriter(S3Address(bucket, "one")).close()

    credentials = client()._get_credentials()
    assert credentials.method == "assume-role"
    assert credentials.get_frozen_credentials().access_key.startswith("ASIA")
    assert s3_server.keys(bucket) == ["one"]


def test_client_goes_by_botos_own_chain_where_nothing_is_set(
    bucket: str, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A profile of ~/.aws with endpoint and keys, named by AWS_PROFILE."""
    lines = [
        "[profile store]",
        "region = eu-central-1",
        f"endpoint_url = {s3_server.url}",
        f"aws_access_key_id = {s3_server.key_id}",
        f"aws_secret_access_key = {s3_server.secret}",
        "s3 =",
        "  addressing_style = path",
    ]
    (tmp_path / "config").write_text("\n".join(lines))
    for name in [*os.environ]:
        if name.startswith("ETLCTL_S3_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "store")

    ObjectWriter(S3Address(bucket, "one")).close()

    assert s3_server.keys(bucket) == ["one"]


def test_client_of_other_stores_sends_an_md5(at: At, bucket: str) -> None:
    """In place of the CRC32: with a part, with an object and with DeleteObjects."""
    seen: dict[str, str | None] = {}

    def look(request: object, operation_name: str, **_: object) -> None:
        seen[operation_name] = request.headers.get("Content-MD5")  # type: ignore[attr-defined]

    client().meta.events.register("before-sign.s3", look)
    with ObjectWriter(at("folder/one"), part_bytes=65536) as file:
        file.write(b"x" * 65536)
    ObjectWriter(at("folder/two")).close()
    from etlctl.s3.objects import remove_prefix

    assert remove_prefix(at("folder/")) == 2

    assert all(seen[name] for name in ("PutObject", "UploadPart", "DeleteObjects"))
    assert s3_client.settings().region == "eu-central-1"


def test_client_of_amazon_tells_the_checksum_of_each_part(
    at: At, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CRC32 from CreateMultipartUpload to Complete, which Amazon refuses when a part's is missing."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    seen: list[dict[str, Any]] = []
    for operation in ("CreateMultipartUpload", "CompleteMultipartUpload"):
        client().meta.events.register(f"provide-client-params.s3.{operation}", lambda params, **_: seen.append(params))

    with ObjectWriter(at("one"), part_bytes=65536) as file:
        file.write(b"0123456789abcdef" * 8192 + b"end")

    created, completed = seen
    assert created["ChecksumAlgorithm"] == "CRC32"
    assert [sorted(part) for part in completed["MultipartUpload"]["Parts"]] == [
        ["ChecksumCRC32", "ETag", "PartNumber"]
    ] * 3
    assert s3_server.get(*at("one")) == b"0123456789abcdef" * 8192 + b"end"


def test_client_of_amazon_finds_what_was_damaged_on_its_way(
    at: At, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checksum that came along is compared at the object's end, though nobody reads past it."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    with ObjectWriter(at("one")) as file:
        file.write(b"0123456789abcdef" * 1000)
    s3_proxy.edit("GetObject", lambda content: b"X" + content[1:])

    with open_object(at("one")) as damaged, pytest.raises(TransientError, match="not what was stored"):
        damaged.read()
    with open_object(at("one")) as sound:
        assert sound.read() == b"0123456789abcdef" * 1000
