"""What killed loads have left under a connection's `s3_staging`: rows on their way, found and removed.

A load takes its folder away at its end, whatever came of it; a process that was killed cannot. Nobody reads such a
folder again: the next attempt makes one of its own. A lifecycle rule of the bucket does the same, by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from etlctl.db.dialects.redshift.folder import OURS
from etlctl.errors import EtlctlError

if TYPE_CHECKING:
    from etlctl.s3.address import S3Address


@dataclass(frozen=True)
class LeftFolder:
    """The folder of one attempt."""

    address: S3Address
    objects: int
    size_bytes: int
    written_at: datetime
    """Of its newest object, by the store's clock."""


@dataclass(frozen=True)
class SweptStaging:
    """What became of the folders in one `s3_staging`."""

    place: S3Address
    folders: tuple[LeftFolder, ...]
    """Those that were removed, or only found."""
    error: EtlctlError | None = None
    """Why it went no further."""


def swept(place: S3Address, *, older_than: datetime, is_dry: bool) -> SweptStaging:
    """Removes the folders whose newest object was written before `older_than` (aware); `is_dry`: tells them, no more.

    A folder that holds anything but what a load puts there stays, whatever its name. A load that works at its folder
    for longer than that fails for want of its objects, and has changed nothing: COPY reads all of a manifest or none.
    """
    from etlctl.s3.objects import remove_prefix

    removed: list[LeftFolder] = []
    try:
        for folder in [one for one in _folders(place) if one.written_at < older_than]:
            if not is_dry:
                remove_prefix(folder.address, at_most=folder.objects)
            removed.append(folder)
    except EtlctlError as error:
        return SweptStaging(place, tuple(removed), error)
    return SweptStaging(place, tuple(removed))


def _folders(place: S3Address) -> Iterator[LeftFolder]:
    from etlctl.s3.objects import listed

    start = len(place.key)
    for name, group in groupby(listed(place), lambda one: one.address.key[start:].partition("/")[0]):
        found = list(group)
        if all(OURS.fullmatch(one.address.key[start:]) for one in found):
            size, newest = sum(one.size for one in found), max(one.updated_at for one in found)
            yield LeftFolder(place.joined(f"{name}/"), len(found), size, newest)
