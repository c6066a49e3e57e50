"""The document that `etlctl gc --json` prints, and how it is made; see documents.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from etlctl.cli.documents import Document, ErrorDocument, head, problem
from etlctl.cli.plain import instant

if TYPE_CHECKING:
    from etlctl.db.dialects.redshift.remains import SweptStaging
    from etlctl.db.state.cleaning import Pruned
    from etlctl.db.state.logs import Removed
    from etlctl.s3.leftovers import Swept
    from etlctl.targets.leftovers import SweptFolder


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


class LeftFolderDocument(TypedDict):
    """What one killed load has left on its way to Redshift."""

    address: Annotated[str, "its folder"]
    objects: Annotated[int, "how many there were"]
    size_bytes: Annotated[int, "their size"]
    written_at: Annotated[str | None, "instant in ISO 8601, UTC, of the newest"]


class StagingDocument(TypedDict):
    """What was found in the `s3_staging` of a connection."""

    place: Annotated[str, "s3://bucket/prefix/"]
    folders: Annotated[list[LeftFolderDocument], "those that were removed; with `dry_run` those that would be"]
    error: Annotated[ErrorDocument | None, "why it went no further"]


class LeftoverDocument(TypedDict):
    """One temporary file that nobody will publish."""

    path: Annotated[str, "the file, or folder"]
    size_bytes: Annotated[int, "its size, with all that is in it"]
    written_at: Annotated[str | None, "instant in ISO 8601, UTC"]


class FolderDocument(TypedDict):
    """What was found below one folder."""

    folder: Annotated[str, "the folder"]
    files: Annotated[list[LeftoverDocument], "those that were removed; with `dry_run` those that would be"]
    errors: Annotated[list[str], "what could not be looked at or removed, and why"]


class PrunedDocument(TypedDict):
    """What was too old in the state database, and where logs are kept."""

    runs: Annotated[int, "runs, with their tasks"]
    attempts: Annotated[int, "attempts of these runs"]
    logs: Annotated[int, "ends of logs in the database"]
    leases: Annotated[int, "leases that ended more than a week ago"]
    turns: Annotated[int, "turns of schedules; the last of each stays"]
    stops: Annotated[int, "wishes of `etlctl stop`"]
    alerts: Annotated[int, "notes that an alert was given"]
    pauses: Annotated[int, "pauses that have ended"]
    log_runs: Annotated[int, "runs whose logs were removed from [logs] store"]
    log_bytes: Annotated[int, "the size of these logs"]


class GcDocument(Document):
    """`etlctl/gc`: what killed processes have left, and what is too old, and is gone now."""

    dry_run: Annotated[bool, "whether nothing was changed"]
    begun_before: Annotated[str | None, "instant in ISO 8601, UTC: younger uploads and files were left alone"]
    places: Annotated[list[PlaceDocument], "as they were given, or as the settings name them; empty without --s3"]
    staging: Annotated[list[StagingDocument], "`s3_staging` of connections; empty without --s3"]
    folders: Annotated[list[FolderDocument], "those that were given, or the project; empty where files were not asked"]
    history: Annotated[PrunedDocument | None, "null where history was not asked for"]


SCHEMAS: Final[dict[str, type[Any]]] = {"etlctl/gc": GcDocument}
"""The document, by its `schema`."""


def gc_document(
    uploads: Sequence[Swept],
    staging: Sequence[SweptStaging],
    folders: Sequence[SweptFolder],
    history: tuple[Pruned, Removed] | None,
    before: datetime,
    *,
    is_dry: bool,
    code: int,
) -> GcDocument:
    """What was found and ended in every place, or why it cannot be told."""
    return GcDocument(
        **head("etlctl/gc", code),
        dry_run=is_dry,
        begun_before=instant(before.astimezone(UTC)),
        places=[_place_document(one) for one in uploads],
        staging=[_staging_document(one) for one in staging],
        folders=[_folder_document(one) for one in folders],
        history=None if history is None else _pruned_document(*history),
    )


def _place_document(swept: Swept) -> PlaceDocument:
    return PlaceDocument(
        place=str(swept.place),
        uploads=[
            UploadDocument(address=str(one.address), upload_id=one.upload_id, begun_at=instant(one.begun_at))
            for one in swept.uploads
        ],
        error=problem(swept.error),
    )


def _staging_document(swept: SweptStaging) -> StagingDocument:
    return StagingDocument(
        place=str(swept.place),
        folders=[
            LeftFolderDocument(
                address=str(one.address),
                objects=one.objects,
                size_bytes=one.size_bytes,
                written_at=instant(one.written_at),
            )
            for one in swept.folders
        ],
        error=problem(swept.error),
    )


def _folder_document(swept: SweptFolder) -> FolderDocument:
    return FolderDocument(
        folder=swept.folder,
        files=[
            LeftoverDocument(path=one.path, size_bytes=one.size_bytes, written_at=instant(one.written_at))
            for one in swept.files
        ],
        errors=list(swept.errors),
    )


def _pruned_document(pruned: Pruned, removed: Removed) -> PrunedDocument:
    return PrunedDocument(
        runs=pruned.runs,
        attempts=pruned.attempts,
        logs=pruned.logs,
        leases=pruned.leases,
        turns=pruned.turns,
        stops=pruned.stops,
        alerts=pruned.alerts,
        pauses=pruned.pauses,
        log_runs=removed.runs,
        log_bytes=removed.size_bytes,
    )
