"""Uploads that nobody will ever complete, as a killed process leaves them: found and ended, place by place.

Nobody sees them and their parts are paid for. A lifecycle rule of the bucket (AbortIncompleteMultipartUpload) does the
same, by itself; this is for buckets without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from etlctl.errors import EtlctlError
from etlctl.s3.address import S3Address
from etlctl.s3.objects import UnfinishedUpload, end_upload, unfinished_uploads


@dataclass(frozen=True)
class Swept:
    """What became of the uploads in one place."""

    place: S3Address
    """Its key is a prefix, letter by letter; empty for the whole bucket."""
    uploads: tuple[UnfinishedUpload, ...]
    """Those that were ended, or only found."""
    error: EtlctlError | None = None
    """Why it went no further."""


def swept(places: Iterable[S3Address], *, older_than: datetime, is_dry: bool) -> list[Swept]:
    """Ends the uploads in each place that were begun before `older_than` (aware); `is_dry`: tells them, no more.

    A place within another one is left out. One that cannot be asked has the error in it, and the others go on.
    """
    return [_sweep(place, older_than, is_dry) for place in _apart(places)]


def _apart(places: Iterable[S3Address]) -> list[S3Address]:
    """The places, without those that another one holds."""
    found = list(dict.fromkeys(places))
    return [
        place
        for place in found
        if not any(place != one and place.bucket == one.bucket and place.key.startswith(one.key) for one in found)
    ]


def _sweep(place: S3Address, older_than: datetime, is_dry: bool) -> Swept:
    ended: list[UnfinishedUpload] = []
    try:
        for upload in list(unfinished_uploads(place.bucket, place.key, older_than)):
            if is_dry or end_upload(upload):
                ended.append(upload)
    except EtlctlError as error:
        return Swept(place, tuple(ended), error)
    return Swept(place, tuple(ended))
