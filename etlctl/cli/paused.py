"""Pauses on a screen: what is paused, by whom and since when; and which words of a command line mean what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from etlctl.cli.layout import Line, Span, Style, line, span, table
from etlctl.cli.session import Session
from etlctl.cli.standing import moment_text
from etlctl.cli.tasks import Request, make_tasks
from etlctl.errors import UnavailableError, UsageError
from etlctl.text import printable, shortened

if TYPE_CHECKING:
    from etlctl.db.state.operations import Operations, Pause

_MOST_AT_ONCE = 1_000
_LONGEST = 160


@contextmanager
def operations_of(call: Session) -> Iterator[Operations]:
    """The operations of the call's state database, within the block."""
    from etlctl.db.state.operations import Operations
    from etlctl.db.state.store import Store

    store = Store(call.settings.state)
    try:
        yield Operations(store, profile=call.settings.profile)
    finally:
        store.close()


def this_person() -> str:
    """`ann@etl-1`: who types this."""
    import socket

    from etlctl.db.state.provenance import user_name

    return f"{user_name()}@{socket.gethostname()}"


def named(call: Session, request: Request) -> list[tuple[str, str]]:
    """What a command line means to pause, as (name in the record, label).

    Everything without a TASK, its whole family for one without parameters, else each task that they mean.
    """
    if not request.classes:
        return [("", "")]
    if not request.texts:
        return [(cls.task_family, cls.task_family) for cls in request.classes]
    tasks = make_tasks(request, call)
    if len(tasks) > _MOST_AT_ONCE:
        raise UsageError(
            f"these are {len(tasks):,} tasks, and {_MOST_AT_ONCE:,} can be named at once: leave the parameters away to "
            "mean all that a family has."
        )
    return [(task.task_id, task.task_label) for task in tasks]


def pauses_known(call: Session) -> list[Pause]:
    """What is paused; says on stderr where that cannot be asked."""
    try:
        with operations_of(call) as operations:
            return operations.pauses()
    except UnavailableError as error:
        call.streams.story(f"etlctl: what is paused is not known: {error}")
        return []


def rows(pauses: Sequence[Pause], now: dt.datetime) -> list[list[Span]]:
    """Each on one line: what, who, since when, why."""
    return [
        [
            span(printable(one.shown), Style.WARN),
            span(f"since {moment_text(one.since, now)}"),
            span(f"by {printable(one.by)}"),
            span(shortened(one.reason, _LONGEST), Style.DIM),
        ]
        for one in pauses
    ]


def paused_lines(pauses: Sequence[Pause], now: dt.datetime) -> list[Line]:
    """What is paused, for `status`; none where nothing is."""
    return [line("paused, so that loops begin none of it:"), *table(rows(pauses, now))] if pauses else []
