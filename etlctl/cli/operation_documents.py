"""The documents that `--json` of `etlctl pause`, `resume` and `stop` prints, and how they are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from etlctl.cli.documents import Document, head
from etlctl.cli.lately_documents import PauseDocument, pause_document
from etlctl.cli.plain import instant

if TYPE_CHECKING:
    from etlctl.db.state.operations import Pause, Stop
    from etlctl.db.state.records import RunRecord


class PausesDocument(Document):
    """`etlctl/pause`: what loops do not begin from now on."""

    paused: Annotated[list[PauseDocument], "what was asked for; what was paused before stands as it was"]


class ResumeDocument(Document):
    """`etlctl/resume`: what loops may begin again."""

    resumed: Annotated[list[PauseDocument], "pauses that have ended"]
    paused: Annotated[list[PauseDocument], "those that hold all the same"]


class AskedDocument(TypedDict):
    """A wish that a run ends."""

    by: Annotated[str, "`user@host` of who asked first"]
    at: Annotated[str | None, "instant in ISO 8601, UTC"]
    reason: Annotated[str, "why, or empty"]


class StopDocument(Document):
    """`etlctl/stop`: a run that was asked to end."""

    run_id: Annotated[str, "id of the run"]
    host: Annotated[str, "machine it runs on"]
    pid: Annotated[int, "its process there"]
    heartbeat_at: Annotated[str | None, "when it was last heard of"]
    asked: Annotated[AskedDocument, "the wish"]


SCHEMAS: Final[dict[str, type[Any]]] = {
    "etlctl/pause": PausesDocument,
    "etlctl/resume": ResumeDocument,
    "etlctl/stop": StopDocument,
}
"""The documents of this file, by their `schema`."""


def pauses_document(paused: Iterable[Pause]) -> PausesDocument:
    """What was paused."""
    return PausesDocument(**head("etlctl/pause"), paused=[pause_document(one) for one in paused])


def resume_document(resumed: Iterable[Pause], paused: Iterable[Pause]) -> ResumeDocument:
    """What was resumed, and what is not."""
    return ResumeDocument(
        **head("etlctl/resume"),
        resumed=[pause_document(one) for one in resumed],
        paused=[pause_document(one) for one in paused],
    )


def stop_document(run: RunRecord, stop: Stop) -> StopDocument:
    """The run, and the wish."""
    return StopDocument(
        **head("etlctl/stop"),
        run_id=run.run_id,
        host=run.host,
        pid=run.pid,
        heartbeat_at=instant(run.heartbeat_at),
        asked=AskedDocument(by=stop.by, at=instant(stop.at), reason=stop.reason),
    )
