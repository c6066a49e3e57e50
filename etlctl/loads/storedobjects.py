"""The objects in S3 that a load reads, as a database is told of them that reads S3 itself. Asks S3 nothing."""

from __future__ import annotations

from pathlib import PurePosixPath

from etlctl.db.dialects.base import StoredObject
from etlctl.loads.filenames import PACKED
from etlctl.loads.places import ObjectPlace, Origin


def stored_objects(origin: Origin) -> tuple[StoredObject, ...]:
    """In the order in which they are read; none where a part of them lies elsewhere."""
    found = [place for place in origin.places if isinstance(place, ObjectPlace)]
    if len(found) < len(origin.places):
        return ()
    suffixes = [PurePosixPath(place.name).suffix.lower() for place in found]
    return tuple(
        StoredObject(str(place.address), suffix if suffix in PACKED else "")
        for place, suffix in zip(found, suffixes, strict=True)
    )
