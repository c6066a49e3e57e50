"""Fixtures: one service of S3 a pytest process, started when first asked for; a bucket and a folder a test.

With any of the last four, etlctl's settings lead to that service, in this process and in those it starts.
ETLCTL_TEST_S3_URL (`s3://bucket/prefix`) names a real service instead, found by ETLCTL_S3_… and boto3's own variables:
the folders of `s3_url` are made there and emptied; what needs a bucket or a proxy of its own is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.loaders import Loader
from botocore.retries.standard import ExponentialBackoff

from servers.s3 import RcloneServer, S3Service, bucket_in, folder_in, missing_rclone, moto, named, rclone
from servers.s3_proxy import S3Proxy

S3_URL = "ETLCTL_TEST_S3_URL"


@pytest.fixture(autouse=True, scope="session")
def models_are_read_once() -> Iterator[None]:
    """Every session of botocore reads a megabyte of JSON anew, and looks through 400 folders: here the first does."""
    create, known = botocore.session.create_loader, dict[Any, Any]()

    def create_knowing(path: str | None = None) -> Loader:
        loader = create(path)
        loader._cache = known.setdefault(path, {})
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", create_knowing)
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Service]:
    """A moto, or the real service: for tests that look at, or make, objects past etlctl."""
    if os.environ.get(S3_URL):
        service = named(os.environ)
        yield service
        service.close()
        return
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server() -> Iterator[RcloneServer]:
    """A second service, which looks at signatures and knows no conditions."""
    if why := missing_rclone():
        pytest.skip(why)
    with rclone() as server:
        yield server


@pytest.fixture
def s3_proxy(s3_server: S3Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Proxy]:
    """A proxy in front of `s3_server`, through which etlctl goes; `s3_server.client` does not."""
    if s3_server.url is None or os.environ.get(S3_URL):
        pytest.skip(f"misbehaves: not in front of the service of {S3_URL}")
    with S3Proxy(s3_server.url) as proxy:
        lead(monkeypatch, s3_server, url=proxy.url)
        yield proxy


@pytest.fixture
def bucket(s3_server: S3Service, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new bucket, reached through `s3_proxy` where the test asks for that too."""
    if os.environ.get(S3_URL):
        pytest.skip(f"makes a bucket: not in the service of {S3_URL}")
    if "s3_proxy" in request.fixturenames:
        request.getfixturevalue("s3_proxy")  # now, so that what a test sets besides is not forgotten later
    else:
        lead(monkeypatch, s3_server)
    with bucket_in(s3_server) as name:
        yield name


@pytest.fixture
def s3_url(s3_server: S3Service, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """`s3://bucket/prefix/` of a new, empty folder; in `bucket` where the test asks for that too."""
    if url := os.environ.get(S3_URL):
        with folder_in(s3_server, url) as folder:
            yield folder
        return
    with folder_in(s3_server, f"s3://{request.getfixturevalue('bucket')}/tests of etlctl/") as folder:
        yield folder


@pytest.fixture(params=["moto", "rclone"])
def every_s3_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty folder of each service in turn, for what must hold on both."""
    if request.param == "moto":
        yield str(request.getfixturevalue("s3_url"))
        return
    server: RcloneServer = request.getfixturevalue("rclone_server")
    lead(monkeypatch, server)
    with bucket_in(server) as name:
        yield f"s3://{name}/tests of etlctl/"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore tries again as often as always, and at once."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0)


def lead(monkeypatch: pytest.MonkeyPatch, service: S3Service, *, url: str | None = None) -> None:
    """Leads etlctl to a service, by variables alone; what this machine says of AWS is forgotten for the test."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "ETLCTL_S3_")):
            monkeypatch.delenv(name)
    for name, value in service.environ(url=url).items():
        monkeypatch.setenv(name, value)
