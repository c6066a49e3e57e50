"""S3Client: what is done in S3 by hand, by Luigi's names; what boto3 does well is left to its own client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from etlctl.s3 import client as s3_client
from etlctl.s3 import objects
from etlctl.s3.address import S3Address, parse


class S3Client:
    """Looks at, lists, copies, moves and removes objects, in the account and region that `[s3]` of the settings names.

    Paths are `s3://bucket/key`; a `/` at the end means a folder: all keys that begin with it. Errors are
    UnavailableError and TransientError for the store, TaskError for what is refused here.
    """

    @property
    def client(self) -> Any:
        """boto3's own client, as etlctl uses it: made once, with its region, credentials and retries."""
        return s3_client.client()

    def exists(self, path: str) -> bool:
        """Whether an object of exactly this key is there, or, for a path with a `/` at its end, any below it."""
        address = parse(path)
        return self.isdir(path) if address.key.endswith("/") else objects.head(address) is not None

    def isdir(self, path: str) -> bool:
        """Whether any key begins with this folder's."""
        return next(objects.listed(_folder(path)), None) is not None

    def listdir(self, path: str, start_time: datetime | None = None, end_time: datetime | None = None) -> Iterator[str]:
        """The paths of all objects below a folder, those in folders of it too, page by page.

        start_time, end_time    aware: those with start_time <= written at < end_time
        """
        for info in objects.listed(_folder(path), newer_than=start_time, older_than=end_time):
            yield str(info.address)

    def list(self, path: str, start_time: datetime | None = None, end_time: datetime | None = None) -> Iterator[str]:
        """As `listdir`, each path without the folder's own."""
        length = len(str(_folder(path)))
        return (found[length:] for found in self.listdir(path, start_time, end_time))

    def copy(self, source_path: str, destination_path: str, **options: Any) -> None:
        """Copies one object within the store, of any size; `options` as of S3Target."""
        objects.copy(parse(source_path), parse(destination_path), options=options)

    def move(self, source_path: str, destination_path: str) -> None:
        """Copies, then removes: two steps, since S3 has no one for it."""
        objects.move(parse(source_path), parse(destination_path))

    def remove(self, path: str, recursive: bool = False, *, at_most: int | None = None) -> bool:
        """Removes one object, or, with `recursive=True`, all of a folder; whether anything was there.

        A folder is refused without `recursive` (Luigi's default was True), without the `/` at its end, when it is the
        whole bucket, and when it holds more than `at_most` objects; nothing is removed then.
        """
        if recursive:
            return objects.remove_prefix(parse(path, needs_key=False), at_most=at_most) > 0
        address = parse(path)
        was_there = objects.head(address) is not None
        objects.remove(address)
        return was_there


def _folder(path: str) -> S3Address:
    address = parse(path, needs_key=False)
    return address if not address.key or address.key.endswith("/") else S3Address(address.bucket, f"{address.key}/")
