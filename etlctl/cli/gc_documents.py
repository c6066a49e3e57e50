"""The document that `etlctl gc --json` prints, and how it is made; see documents.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from etlctl.cli.documents import Document, ErrorDocument, head, instant

if TYPE_CHECKING:
    from etlctl.s3.leftovers import Swept


class UploadDocument(TypedDict):
    """One multipart upload that nobody has completed."""

    address: Annotated[str, "the object it would have become"]
    upload_id: Annotated[str, "the store's id of it"]
    begun_at: Annotated[str | None, "instant in ISO 8601, UTC"]


class PlaceDocument(TypedDict):
    """What was found in one place."""

    place: Annotated[str, "s3://bucket/prefix"]
    uploads: Annotated[list[UploadDocument], "those that were ended; with `dry_run` those that would be"]
    error: Annotated[ErrorDocument | None, "why it went no further"]


class GcDocument(Document):
    """`etlctl/gc`: what killed processes have left, and is gone now."""

    dry_run: Annotated[bool, "whether nothing was changed"]
    begun_before: Annotated[str | None, "instant in ISO 8601, UTC: younger ones were left alone"]
    places: Annotated[list[PlaceDocument], "as they were given, or as the settings name them"]


SCHEMAS: Final[dict[str, type[Any]]] = {"etlctl/gc": GcDocument}
"""The document, by its `schema`."""


def gc_document(swept: Sequence[Swept], before: datetime, *, is_dry: bool, code: int) -> GcDocument:
    """What was found and ended in every place, or why it cannot be told."""
    return GcDocument(
        **head("etlctl/gc", code),
        dry_run=is_dry,
        begun_before=instant(before.astimezone(UTC)),
        places=[_place_document(one) for one in swept],
    )


def _place_document(swept: Swept) -> PlaceDocument:
    error = swept.error
    return PlaceDocument(
        place=str(swept.place),
        uploads=[
            UploadDocument(address=str(one.address), upload_id=one.upload_id, begun_at=instant(one.begun_at))
            for one in swept.uploads
        ],
        error=None if error is None else ErrorDocument(type=type(error).__name__, message=str(error)),
    )
