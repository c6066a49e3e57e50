"""The stand-in's S3: what COPY lists and reads and UNLOAD writes, with errors as Redshift words them."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from servers.redshift.commands import Place
from servers.redshift.errors import Refusal, internal
from servers.redshift.options import Keys

SUFFIXES = {"gzip": ".gz", "bzip2": ".bz2", "zstd": ".zst", "": ""}


@dataclass(frozen=True)
class S3Access:
    """Where S3 is and who the stand-in is there; None is left to boto3. A role is not assumed: it means these keys."""

    endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    region: str | None = None


class Storage:
    """One command's S3. `region` is what the command named."""

    def __init__(self, access: S3Access, keys: Keys, region: str = "") -> None:
        import boto3
        from botocore.config import Config

        own = bool(keys.access_key)
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=access.endpoint_url,
            region_name=region or access.region,
            aws_access_key_id=keys.access_key if own else access.access_key,
            aws_secret_access_key=keys.secret_key if own else access.secret_key,
            aws_session_token=(keys.token or None) if own else None,
            config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 3}),
        )

    def close(self) -> None:
        self._client.close()

    def listed(self, prefix: Place) -> list[tuple[Place, int]]:
        """Every object whose key begins so, in the order of keys, with its size."""
        with _redshift_words():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
            return [
                (Place(prefix.bucket, item["Key"]), int(item["Size"]))
                for page in pages
                for item in page.get("Contents", [])
            ]

    def read(self, place: Place) -> bytes:
        with _redshift_words(f"S3 key being read : {place}"):
            found: bytes = self._client.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
            return found

    def exists(self, place: Place) -> bool:
        return any(found == place for found, _ in self.listed(place))

    def write(self, place: Place, data: bytes) -> None:
        with _redshift_words(f"S3 key being written : {place}"):
            self._client.put_object(Bucket=place.bucket, Key=place.key, Body=data)

    def remove(self, place: Place) -> None:
        with _redshift_words():
            self._client.delete_object(Bucket=place.bucket, Key=place.key)

    def sources(self, place: Place, is_manifest: bool) -> list[Place]:
        """The objects of a COPY: those of a prefix, or those that a manifest names."""
        if is_manifest:
            return self._from_manifest(place)
        found = [found for found, _ in self.listed(place)]
        if not found:
            raise internal(f"The specified S3 prefix '{place.key}' does not exist")
        return found

    def _from_manifest(self, place: Place) -> list[Place]:
        if not place.key or place.key.endswith("/") or not self.exists(place):
            raise internal("COPY with MANIFEST parameter requires full path of an S3 object.")
        entries = _entries(place, self.read(place))
        found = []
        for entry in entries:
            source = _entry_place(entry)
            if self.exists(source):
                found.append(source)
            elif entry.get("mandatory"):
                raise internal(f"The specified S3 object '{source}' does not exist, and the manifest says mandatory")
        if not found:
            raise internal("None of the files of the manifest were found")
        return found


def _entries(place: Place, data: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(data)["entries"]
        if not all(isinstance(entry["url"], str) for entry in entries):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise internal("The manifest file is not valid JSON with entries", context=f"manifest {place}") from None
    return list(entries)


def _entry_place(entry: dict[str, Any]) -> Place:
    bucket, slash, key = entry["url"].removeprefix("s3://").partition("/")
    if not entry["url"].startswith("s3://") or not slash or not key:
        raise internal(f"The manifest names no S3 object: {entry['url']}")
    return Place(bucket, key)


@contextlib.contextmanager
def _redshift_words(context: str = "") -> Iterator[None]:
    """S3's errors as in awslabs/aws-lambda-redshift-loader#73."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        what = f"{said.get('Message')},Status {status},Error {said.get('Code')}"
        raise internal(f"S3ServiceException:{what},Rid 0,ExtRid 0,CanRetry 1", context=context) from None
    except BotoCoreError as error:
        raise internal(f"S3CurlException: {type(error).__name__}", context=context) from None


def decompressed(data: bytes, compression: str, place: Place) -> bytes:
    """What an object holds."""
    try:
        match compression:
            case "gzip":
                return gzip.decompress(data) if data else b""
            case "bzip2":
                return bz2.decompress(data)
            case "zstd":
                return _zstd_stream(data)
            case "lzop":
                raise Refusal("LZOP is Redshift's, and unknown to the tests' stand-in: Python has no reader")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        context = f"S3 key being read : {place}"
        raise internal(f"{compression} file is damaged or not of this kind", context=context) from error
    return data


def compressed(data: bytes, compression: str) -> bytes:
    match compression:
        case "gzip":
            return gzip.compress(data, compresslevel=1, mtime=0)
        case "bzip2":
            return bz2.compress(data)
        case "zstd":
            return _to_zstd(data)
    return data


def _zstd_stream(data: bytes) -> bytes:
    import pyarrow as pa

    found: bytes = pa.input_stream(io.BytesIO(data), compression="zstd").read()
    return found


def _to_zstd(data: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue().to_pybytes())
