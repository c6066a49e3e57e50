"""The documents of `etlctl loop --json`; see documents.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypedDict

from etlctl.cli.documents import Document, head
from etlctl.cli.plain import instant
from etlctl.errors import ExitCode

if TYPE_CHECKING:
    from etlctl.db.state.operations import Turn
    from etlctl.schedule import Schedule


class TurnDocument(TypedDict):
    """A turn on record."""

    due: Annotated[str, "the instant that names it, in ISO 8601, UTC"]
    began_at: Annotated[str, "instant in ISO 8601, UTC"]
    ended_at: Annotated[str | None, "instant in ISO 8601, UTC; null while it runs, and where it came to no end"]
    exit_code: Annotated[int | None, "how it ended"]
    run_id: Annotated[str | None, "its run, for `etlctl history`"]
    by: Annotated[str, "`host:pid`"]


class ScheduleDocument(TypedDict):
    """One schedule."""

    name: Annotated[str, "as in `[schedules.NAME]`"]
    tasks: Annotated[list[str], "families"]
    times: Annotated[str, "when its turns are due"]
    timezone: Annotated[str, "whose clocks and calendar hold"]
    date: Annotated[str | None, "the word for the day that it asks for"]
    window_days: Annotated[int, "how many days end with it"]
    overlap: Annotated[str, "skip or queue"]
    deadline: Annotated[str | None, "time of day"]
    next_due: Annotated[str, "when a loop that begins now would begin its next turn; instant in ISO 8601, UTC"]
    last: Annotated[TurnDocument | None, "the newest turn on record; null for none, and where that cannot be told"]


class SchedulesDocument(Document):
    """`etlctl/schedules`: what `etlctl loop --list` knows."""

    schedules: Annotated[list[ScheduleDocument], "in the order of the settings"]


class LoopDocument(Document):
    """`etlctl/loop`: the end of a loop."""

    turns: Annotated[int, "turns that ended"]


class Listed(NamedTuple):
    """One schedule as it is listed."""

    schedule: Schedule
    next_due: datetime
    last: Turn | None
    is_last_known: bool
    """False where the state database could not tell."""


SCHEMAS: Final[dict[str, type[Any]]] = {"etlctl/schedules": SchedulesDocument, "etlctl/loop": LoopDocument}


def schedules_document(listed: Sequence[Listed]) -> SchedulesDocument:
    """All of them."""
    return SchedulesDocument(**head("etlctl/schedules"), schedules=[_schedule(one) for one in listed])


def loop_document(code: ExitCode, turns: int) -> LoopDocument:
    """How it ended."""
    return LoopDocument(**head("etlctl/loop", code), turns=turns)


def _schedule(one: Listed) -> ScheduleDocument:
    schedule, last = one.schedule, one.last
    return ScheduleDocument(
        name=schedule.name,
        tasks=list(schedule.tasks),
        times=schedule.times.text,
        timezone=str(schedule.zone),
        date=schedule.date,
        window_days=schedule.window_days,
        overlap=schedule.overlap,
        deadline=schedule.deadline,
        next_due=one.next_due.isoformat(),
        last=None if last is None else _turn(last),
    )


def _turn(turn: Turn) -> TurnDocument:
    return TurnDocument(
        due=turn.due.isoformat(),
        began_at=turn.began_at.isoformat(),
        ended_at=instant(turn.ended_at),
        exit_code=turn.code,
        run_id=turn.run_id,
        by=turn.holder,
    )
