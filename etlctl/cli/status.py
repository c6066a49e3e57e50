"""`etlctl status`: what is done, as a grid of tasks over days or as a list; what runs now. Writes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from etlctl.cli import documents
from etlctl.cli.grouping import asked_for
from etlctl.cli.lately import Lately, lately
from etlctl.cli.lately_documents import last_document, pause_document, running_document
from etlctl.cli.layout import Line, Span, Style, cells, cut, line, padded, span, table
from etlctl.cli.listing import no_tasks
from etlctl.cli.parameters import default_is_there
from etlctl.cli.paused import paused_lines, pauses_known
from etlctl.cli.plain import instant
from etlctl.cli.plan import exit_code_of
from etlctl.cli.screen import show, width_of
from etlctl.cli.session import Session, session
from etlctl.cli.standing import Grid, Row, done_at, moment_text, split
from etlctl.cli.states import SIGNS, STATES, Shown, State, state_of
from etlctl.cli.tasks import Request, TaskCommand, make_tasks
from etlctl.core.plan import Decision, PlannedTask
from etlctl.core.private import hidden
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, UsageError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.state.operations import Pause

_EXAMPLES = """
etlctl status                                   # every task that needs no parameters
etlctl status DailyReport --date 2013-01-01..2013-01-31
etlctl status DailyReport --date yesterday --exit-code
"""
_MOST_NAME = 32
_ROOM_BESIDES = 33
"""Columns that a row needs beside its name and its days."""
_FEWEST_DAYS = 10
_LABELLED_DAYS = (1, 5, 10, 15, 20, 25)


def _status(ctx: click.Context, request: Request, exit_code: bool) -> int:
    call = session(ctx)
    unasked: list[documents.NeedsDocument] = []
    if request.classes:
        tasks = make_tasks(request, call)
        planned = list(call.app.plan(tasks).tasks)
    else:
        tasks, unasked = _tasks_by_default(call)
        planned = _planned(call, tasks)
    code = exit_code_of(planned) if exit_code else 0
    known, paused = lately(call, planned), pauses_known(call)
    if call.asked.json:
        call.streams.result(documents.dump(_document(planned, unasked, known, paused, code)))
    else:
        show(call.streams, [*_lines(call, request, tasks, planned, unasked, known), *paused_lines(paused, call.now)])
    return code


def _planned(call: Session, tasks: list[Task]) -> list[PlannedTask]:
    """Each of `tasks` alone; where one cannot be planned at all (a cycle, a connection that is not there), it alone is
    broken, and the overview of the others is kept."""
    try:
        by_task = call.app.plan(tasks).by_task
    except UsageError:
        return [_planned_alone(call, task) for task in tasks]
    return [by_task[task] for task in tasks]


def _planned_alone(call: Session, task: Task) -> PlannedTask:
    try:
        return call.app.plan([task]).by_task[task]
    except UsageError as error:
        return PlannedTask(task, Decision.BROKEN, shortened(hidden(str(error), task), 500), None, error)


def _tasks_by_default(call: Session) -> tuple[list[Task], list[documents.NeedsDocument]]:
    """The tasks that can be made without a word, and those that cannot with what they need."""
    tasks: list[Task] = []
    unasked: list[documents.NeedsDocument] = []
    for cls in call.app.registry.classes():
        needs = [name for name, one in cls.get_params() if not default_is_there(cls, name, one)]
        if needs:
            unasked.append(documents.NeedsDocument(family=cls.task_family, needs=needs))
            continue
        try:
            tasks.append(cls())
        except EtlctlError as error:
            call.streams.story(f"{cls.task_family} cannot be asked: {hidden(str(error))}")
        except Exception as error:  # noqa: BLE001  a user's own __init__: the others are told all the same
            call.streams.story(f"{cls.task_family} cannot be made: {type(error).__name__}: {hidden(str(error))}")
    return tasks, unasked


def _lines(
    call: Session,
    request: Request,
    tasks: Sequence[Task],
    planned: Sequence[PlannedTask],
    unasked: Sequence[documents.NeedsDocument],
    known: Lately,
) -> list[Line]:
    heading = f"  {asked_for(tasks)}      " if request.classes else "  "
    where = call.heading_of(one.task for one in planned)
    lines = [line(span("STATUS", Style.STRONG), heading, span(where, Style.DIM))]
    grid, undated = split(planned, tasks, known.state)
    if len(grid.days) > 1:
        lines.extend(_grid_lines(grid, known, width_of(call.streams), call.now))
    else:
        undated = list(planned)
    lines.extend(_list_lines(undated, known, call.now))
    if planned:
        lines.append(_legend([known.state(one) for one in planned]))
    elif not unasked:
        lines.append(line(no_tasks(call)))
    lines.extend(_running_lines(undated, known, call.now))
    behind = [one for one in planned if state_of(one.decision) != "done"]
    if behind and request.classes:
        lines.append(line("why: ", span(f"etlctl plan {request.words}{call.words}", Style.STRONG)))
    if unasked:
        lines.append(line("not asked, since they need parameters:"))
        rows = [[span(one["family"]), span(" ".join(f"--{name}" for name in one["needs"]))] for one in unasked]
        lines.extend(table(rows))
    return lines


def _legend(states: Sequence[Shown]) -> Line:
    parts: list[Span] = []
    for state, (sign, style) in SIGNS.items():
        number = states.count(state)
        if number or state in ("done", "missing"):
            parts.extend([span("   " if parts else ""), span(sign, style), span(f" {number:,} {state}")])
    return tuple(parts)


def _running_lines(listed: Sequence[PlannedTask], known: Lately, now: dt.datetime) -> list[Line]:
    """What runs now and is not told in the list above: of the grid, and of tasks that were not asked for."""
    told = {one.task.task_id for one in listed}
    rows = [
        [
            span(one.label),
            span(f"since {moment_text(one.since, now)}"),
            span(f"by {one.by}{f', run {one.run_id}' if one.run_id else ''}", Style.DIM),
        ]
        for task_id, one in known.running.items()
        if task_id not in told
    ]
    return [line("running now:"), *table(rows)] if rows else []


def _counts(planned: Iterable[PlannedTask]) -> dict[State, int]:
    states = [state_of(one.decision) for one in planned]
    return {state: states.count(state) for state in STATES}


# -- the grid


def _grid_lines(grid: Grid, known: Lately, width: int, now: dt.datetime) -> list[Line]:
    name_width = min(max(cells(row.name) for row in grid.rows), _MOST_NAME)
    room = max(width - name_width - _ROOM_BESIDES, _FEWEST_DAYS)
    blocks = [grid.days[start : start + room] for start in range(0, len(grid.days), room)]
    lines: list[Line] = []
    done = {row.name: moment_text(done_at(row.planned), now) for row in grid.rows}
    usually = {row.name: known.usually(row.planned) for row in grid.rows}
    done_width = max((cells(text) for text in done.values()), default=0)
    with_usual = any(text != "-" for text in usually.values())
    for number, days in enumerate(blocks):
        is_last = number == len(blocks) - 1
        indent = " " * (name_width + 3)
        months = _month_ruler(days)
        if len(grid.days) != len(days) or months.count("-") > 1:
            lines.append(line(span(indent + months, Style.DIM)))
        ruler = padded(_day_ruler(days), len(days) + 3)
        ends = "last done" + (" " * max(done_width - 6, 3) + "usually" if with_usual else "")
        lines.append(line(span(indent + ruler + (ends if is_last else ""), Style.DIM)))
        for row in grid.rows:
            usual = " " * (max(done_width, 9) + 3 - cells(done[row.name])) + usually[row.name] if with_usual else ""
            told = f"   {done[row.name]}{usual}" if is_last else ""
            name = padded(cut(row.name, name_width), name_width)
            lines.append((span(f" {name}  "), *_cells_of(row, days), span(told)))
    return lines


def _cells_of(row: Row, days: Sequence[dt.date]) -> list[Span]:
    """The days of a row; neighbours in one state are one span."""
    states = [row.days.get(day) for day in days]
    parts = []
    for state, group in groupby(states):
        sign, style = SIGNS[state] if state is not None else (" ", Style.PLAIN)
        parts.append(span(sign * len(list(group)), style))
    return parts


def _day_ruler(days: Sequence[dt.date]) -> str:
    """`01   05   10`: numbers of days over their columns."""
    text = ""
    for index, day in enumerate(days):
        if (day.day in _LABELLED_DAYS or index == 0) and len(text) + bool(text) <= index:
            text = f"{text:<{index}}{day.day:02}"
    return text


def _month_ruler(days: Sequence[dt.date]) -> str:
    """`2013-01` over the first day of each month, and over the first column where the next month leaves room."""
    text = ""
    for index, day in enumerate(days):
        is_first = index == 0 and not any(later.day == 1 for later in days[1:8])
        if (day.day == 1 or is_first) and len(text) + bool(text) <= index:
            text = f"{text:<{index}}{day:%Y-%m}"
    return text


# -- the list


def _list_lines(planned: Sequence[PlannedTask], known: Lately, now: dt.datetime) -> list[Line]:
    rows = []
    for one in planned:
        sign, style = SIGNS[known.state(one)]
        rows.append([span(sign, style), span(one.task.task_label), span(known.told(one, now), Style.DIM)])
    return table(rows)


def _document(
    planned: Sequence[PlannedTask],
    unasked: list[documents.NeedsDocument],
    known: Lately,
    paused: Sequence[Pause],
    code: int,
) -> documents.StatusDocument:
    return documents.StatusDocument(
        **documents.head("etlctl/status", code),
        counts={str(state): number for state, number in _counts(planned).items()},
        tasks=[
            documents.StatusTaskDocument(
                **documents.task_document(one.task),
                state=state_of(one.decision),
                reason=one.reason,
                done_at=instant(done_at([one])),
                running=running_document(known.running_of(one.task)),
                last=last_document(known.last_of(one.task)),
            )
            for one in planned
        ],
        unasked=unasked,
        paused=[pause_document(one) for one in paused],
    )


command = TaskCommand(
    "status",
    callback=click.pass_context(_status),
    needs_task=False,
    params=[
        click.Option(
            ["--exit-code"], is_flag=True, help="Exit 0 when all is done, 10 when something is missing, 3 when blocked."
        ),
    ],
    help="Tell what is done: for a range of dates as a grid of tasks over days, else task by task. Signs: █ is done, "
    "· is missing, > is being run, x is missing and failed last, ! is blocked by a missing input, ? cannot be asked.",
    examples=_EXAMPLES,
)
