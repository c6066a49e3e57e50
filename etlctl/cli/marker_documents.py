"""The documents that `etlctl markers … --json` prints, and how they are made; see documents.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from etlctl.cli.documents import Document, ErrorDocument, TaskDocument, head, problem, task_document
from etlctl.cli.plain import instant
from etlctl.errors import EtlctlError

if TYPE_CHECKING:
    from etlctl.db.inventory import Adoption, Listing
    from etlctl.db.markers import Marker
    from etlctl.db.torn import Torn


class MarkerDocument(TypedDict):
    """One row of a marker table."""

    update_id: Annotated[str, "what was loaded; a task's id unless it says otherwise"]
    target_table: Annotated[str, "the table it was loaded into"]
    state: Annotated[str, "done or torn"]
    written_at: Annotated[str | None, "instant in ISO 8601, UTC; null when the row does not tell"]
    rows: Annotated[int | None, "rows of the load; null when they were not counted"]
    run_id: Annotated[str | None, "id of the run that loaded it; null for Luigi's"]
    owner: Annotated[str | None, "host, process and a random word of who loaded it; null for Luigi's"]


class MarkerTableDocument(TypedDict):
    """What one connection's marker table holds."""

    connection: Annotated[str, "its name in the settings, or its masked URL"]
    url: Annotated[str | None, "its masked URL; null when it could not be asked"]
    marker_table: Annotated[str | None, "name of the marker table; null when it could not be asked"]
    is_there: Annotated[bool, "whether there is such a table yet"]
    total: Annotated[int, "markers that pass the filters, those beyond the limit too"]
    markers: Annotated[list[MarkerDocument], "the newest first"]
    error: Annotated[ErrorDocument | None, "why it could not be asked"]


class MarkersDocument(Document):
    """`etlctl/markers`: the markers there are."""

    connections: Annotated[list[MarkerTableDocument], "in the order of the settings"]


class AdoptionDocument(Document):
    """`etlctl/adoption`: a marker table was made, adopted, or left as it was."""

    connection: Annotated[str, "its name in the settings, or its masked URL"]
    url: Annotated[str, "its masked URL"]
    marker_table: Annotated[str, "name of the marker table"]
    change: Annotated[str, "made, adopted or current"]
    columns_added: Annotated[list[str], "columns that an older table got"]
    rows: Annotated[int, "markers in it"]


class TornDocument(TaskDocument):
    """A task whose marker is torn, or was until now."""

    connection: Annotated[str, "name of the connection in the settings, or its masked URL"]
    marker: Annotated[MarkerDocument, "the marker as it was found"]


class ResolvedDocument(Document):
    """`etlctl/resolved`: torn loads, looked at or resolved."""

    resolved_as: Annotated[str | None, "loaded or absent; null when they were only looked at"]
    torn: Annotated[list[TornDocument], "in the order of the tasks"]


SCHEMAS: Final[dict[str, type[Any]]] = {
    "etlctl/markers": MarkersDocument,
    "etlctl/adoption": AdoptionDocument,
    "etlctl/resolved": ResolvedDocument,
}
"""These documents, by their `schema`."""


def markers_document(listings: Sequence[tuple[str, Listing | EtlctlError]], code: int) -> MarkersDocument:
    """What every connection's marker table holds, or why it cannot be told; by the name that was asked for."""
    return MarkersDocument(
        **head("etlctl/markers", code), connections=[_table_document(name, listing) for name, listing in listings]
    )


def _table_document(name: str, listing: Listing | EtlctlError) -> MarkerTableDocument:
    if isinstance(listing, EtlctlError):
        return MarkerTableDocument(
            connection=name, url=None, marker_table=None, is_there=False, total=0, markers=[], error=problem(listing)
        )
    return MarkerTableDocument(
        connection=listing.connection,
        url=listing.shown_url,
        marker_table=listing.marker_table,
        is_there=listing.is_there,
        total=listing.total,
        markers=[_marker_document(marker) for marker in listing.markers],
        error=None,
    )


def _marker_document(marker: Marker) -> MarkerDocument:
    return MarkerDocument(
        update_id=marker.update_id,
        target_table=marker.target_table,
        state=word_of(marker),
        written_at=instant(marker.inserted_at),
        rows=marker.row_count,
        run_id=marker.run_id,
        owner=marker.owner,
    )


def adoption_document(adoption: Adoption) -> AdoptionDocument:
    """What became of one marker table."""
    return AdoptionDocument(
        **head("etlctl/adoption"),
        connection=adoption.connection,
        url=adoption.shown_url,
        marker_table=adoption.marker_table,
        change=str(adoption.change),
        columns_added=list(adoption.columns_added),
        rows=adoption.rows,
    )


def resolved_document(torn: Sequence[Torn], resolved_as: str | None, code: int) -> ResolvedDocument:
    """Torn loads, and what was done about them."""
    return ResolvedDocument(
        **head("etlctl/resolved", code),
        resolved_as=resolved_as,
        torn=[
            TornDocument(**task_document(one.task), connection=one.database.name, marker=_marker_document(one.marker))
            for one in torn
        ],
    )


def word_of(marker: Marker) -> str:
    """`torn` for a marker that was committed in the middle of its load, else `done`."""
    return "torn" if marker.is_torn else "done"
