"""What boto3 leaves to be written each time: looking at objects, listing with a time window, copying, removing safely.

Reading, writing and existence in bulk are in `reader`, `writer` and `existence`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from etlctl.errors import TaskError, TransientError, UnavailableError
from etlctl.s3.address import S3Address
from etlctl.s3.client import client, known_buckets
from etlctl.s3.errors import status_of, translating
from etlctl.s3.options import HEADERS, checked
from etlctl.text import shortened

_BATCH = 1000
"""Keys of one DeleteObjects; S3's limit."""

COPY_AT_ONCE_BYTES = 1024**3
"""Up to this a copy is one request, which every store has; S3 takes 5 GiB, and is quicker in parts."""
COPY_PART_BYTES = 256 * 1024**2


class ObjectInfo(NamedTuple):
    """An object, as the store tells of it without its content."""

    address: S3Address
    size: int
    """In bytes."""
    etag: str
    """With its quotes, as the store gives it: equal for equal content often, and different after every change."""
    updated_at: datetime
    """When it was written, aware UTC, by the store's clock; S3 tells whole seconds."""


class UnfinishedUpload(NamedTuple):
    """A multipart upload that was neither completed nor aborted: nobody sees it, and its parts are paid for."""

    address: S3Address
    upload_id: str
    begun_at: datetime
    """Aware UTC."""


class Page(NamedTuple):
    """A part of a listing."""

    entries: list[dict[str, Any]]
    """As boto3 gives them: Key, Size, ETag, LastModified."""
    is_last: bool


def head(address: S3Address) -> ObjectInfo | None:
    """What is at `address`; None where the bucket is there and the object is not.

    UnavailableError where the bucket is missing, or the store will not say: 403 is no "absent".
    """
    answer = asked_for(client(), address)
    if answer is None:
        require_bucket(address.bucket)
        return None
    known_buckets().add(address.bucket)
    return ObjectInfo(address, answer["ContentLength"], answer["ETag"], _in_utc(answer["LastModified"]))


def asked_for(found: Any, address: S3Address) -> Any:
    """The answer to a HEAD; None for 404, which a missing bucket says too. For threads, that have no settings."""
    with translating(f"looking for {address.shown}"):
        try:
            return found.head_object(Bucket=address.bucket, Key=address.key)
        except found.exceptions.ClientError as error:
            if status_of(error) != 404:
                raise
            return None


def require_bucket(bucket: str) -> None:
    """UnavailableError where there is no such bucket: a HEAD of a key in it says the same 404 as of a missing key.

    Asked once for each bucket of a process.
    """
    if bucket in known_buckets():
        return
    found = client()
    doing = f"looking for the bucket s3://{bucket}"
    with translating(doing):
        try:
            found.head_bucket(Bucket=bucket)
        except found.exceptions.ClientError as error:
            if status_of(error) == 404:
                raise UnavailableError(
                    f"{doing}: there is none of this name. Look at it, or make the bucket first (`aws s3 mb`); etlctl "
                    "makes none."
                ) from error
            if status_of(error) != 403:  # it is there, and need not be shown
                raise
    known_buckets().add(bucket)


def listed(
    prefix: S3Address, *, newer_than: datetime | None = None, older_than: datetime | None = None
) -> Iterator[ObjectInfo]:
    """The objects whose key begins with that of `prefix`, letter by letter, in the store's order; page by page.

    `newer_than` and `older_than`: those with newer_than <= updated_at < older_than, so that windows which touch hold
    each object once. Both aware. UnavailableError and TransientError come while it is walked through.
    """
    for instant in (newer_than, older_than):
        if instant is not None and instant.tzinfo is None:
            raise TaskError(f"listing {prefix.shown}: {instant} has no time zone: give an aware datetime")
    for page in pages(prefix):
        for entry in page.entries:
            written_at = _in_utc(entry["LastModified"])
            if (newer_than is None or newer_than <= written_at) and (older_than is None or written_at < older_than):
                yield ObjectInfo(S3Address(prefix.bucket, entry["Key"]), entry["Size"], entry["ETag"], written_at)


def pages(prefix: S3Address) -> Iterator[Page]:
    """A listing, page by page, to its end; TransientError where the store loses its thread."""
    found = client()
    doing = f"listing {prefix.shown}"
    more: dict[str, str] = {}
    while True:
        with translating(doing):
            page = found.list_objects_v2(Bucket=prefix.bucket, Prefix=prefix.key, **more)
        is_last = not page.get("IsTruncated")
        yield Page(page.get("Contents", []), is_last)
        if is_last:
            return
        token = page.get("NextContinuationToken")
        if not token or token == more.get("ContinuationToken"):
            raise TransientError(f"{doing}: the store says that there is more, and not where: run again.")
        more = {"ContinuationToken": token}


def copy(source: S3Address, target: S3Address, *, options: Mapping[str, Any] | None = None) -> None:
    """Copies within the store, of any size and whole or not at all, with its metadata; replaces what is there.

    `options` as for writing (`etlctl.s3.options.ALLOWED`), in place of what the source has. FileNotFoundError where
    `source` is not there.
    """
    doing = f"copying {source.shown} to {target.shown}"
    if source == target:
        raise TaskError(f"{doing}: it is the same object")
    if target.key.endswith("/"):
        raise TaskError(f"{doing}: the target names a folder: leave the '/' at the end out")
    given = checked(options or {}, doing)
    found = client()
    original = asked_for(found, source)
    if original is None:
        require_bucket(source.bucket)
        raise FileNotFoundError(errno.ENOENT, "there is no such object", source.shown)
    if not given.keys().isdisjoint(HEADERS):  # S3 copies all of these or takes all of them from the request
        kept = {name: original[name] for name in HEADERS if name in original}
        given = {**kept, **given, "MetadataDirective": "REPLACE"}
    if "Tagging" in given:
        given["TaggingDirective"] = "REPLACE"
    from boto3.s3.transfer import TransferConfig

    with translating(doing):
        found.copy(
            {"Bucket": source.bucket, "Key": source.key},
            *target,
            ExtraArgs=given,
            Config=TransferConfig(multipart_threshold=COPY_AT_ONCE_BYTES, multipart_chunksize=COPY_PART_BYTES),
        )


def move(source: S3Address, target: S3Address) -> None:
    """`copy`, then `remove` of the source: not one step, so for a while, or after a failure between, both are there."""
    copy(source, target)
    remove(source)


def remove(address: S3Address) -> None:
    """Removes one object; nothing there is no error. A bucket with versions keeps what was there as an older one."""
    with translating(f"removing {address.shown}"):
        client().delete_object(Bucket=address.bucket, Key=address.key)


def remove_prefix(prefix: S3Address, *, at_most: int | None = None) -> int:
    """Removes every object of a folder; how many there were.

    TaskError, and nothing removed, for an empty prefix (the whole bucket), for one without a `/` at its end
    (`2013-01-1` begins `2013-01-10` too), and when there are more than `at_most`.
    """
    doing = f"removing all of {prefix.shown}"
    if not prefix.key.strip("/"):
        raise TaskError(f"{doing}: that is the whole bucket; give a folder in it")
    if not prefix.key.endswith("/"):
        raise TaskError(f"{doing}: end the folder with a '/', since {prefix.shown} may begin other keys too")
    if at_most is None:
        return sum(_remove(prefix, [entry["Key"] for entry in page.entries], doing) for page in pages(prefix))
    keys: list[str] = []
    for page in pages(prefix):
        keys.extend(entry["Key"] for entry in page.entries)
        if len(keys) > at_most:
            raise TaskError(f"{doing}: there are more than {at_most:,} objects, so nothing is removed")
    return _remove(prefix, keys, doing)


def unfinished_uploads(bucket: str, prefix: str, older_than: datetime) -> Iterator[UnfinishedUpload]:
    """The multipart uploads under `prefix` that were begun before `older_than` (aware), as a killed process leaves."""
    found = client()
    shown = S3Address(bucket, prefix).shown
    with translating(f"looking for unfinished uploads in {shown}"):
        try:
            for page in found.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Uploads", []):
                    if entry["Initiated"] < older_than:
                        yield UnfinishedUpload(
                            S3Address(bucket, entry["Key"]), entry["UploadId"], _in_utc(entry["Initiated"])
                        )
        except found.exceptions.NoSuchUpload:  # rclone's word for a bucket without any
            return


def end_upload(upload: UnfinishedUpload) -> bool:
    """Aborts it, and its parts are gone; False where somebody else ended it meanwhile."""
    found = client()
    with translating(f"ending an upload of {upload.address.shown}"):
        try:
            found.abort_multipart_upload(
                Bucket=upload.address.bucket, Key=upload.address.key, UploadId=upload.upload_id
            )
        except found.exceptions.NoSuchUpload:
            return False
    return True


def _in_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)  # botocore's own kind of UTC is another object


def _remove(prefix: S3Address, keys: list[str], doing: str) -> int:
    found = client()
    for start in range(0, len(keys), _BATCH):
        doomed = [{"Key": key} for key in keys[start : start + _BATCH]]
        with translating(doing):
            answer = found.delete_objects(Bucket=prefix.bucket, Delete={"Objects": doomed, "Quiet": True})
        failed = answer.get("Errors", [])
        if failed:
            first = failed[0]
            raise UnavailableError(
                f"{doing}: {len(failed):,} of {len(doomed):,} were refused, the first "
                f"{shortened(first.get('Key', ''))} ({shortened(first.get('Code', ''))}). Grant s3:DeleteObject; what "
                "could be removed is."
            )
    return len(keys)
