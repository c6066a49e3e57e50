"""`etlctl resume`: ends what `etlctl pause` has begun; its record stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etlctl.cli import documents
from etlctl.cli.layout import Line, Style, line, span, table
from etlctl.cli.operation_documents import resume_document
from etlctl.cli.paused import named, operations_of, rows, this_person
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.tasks import Request, TaskCommand
from etlctl.errors import UsageError

if TYPE_CHECKING:
    from etlctl.db.state.operations import Pause

_EXAMPLES = """
etlctl resume                       # what `etlctl pause` without a TASK has begun
etlctl resume LoadFlights
etlctl resume --all                 # every pause there is
"""


def _resume(ctx: click.Context, request: Request, all_: bool) -> int:
    call = session(ctx)
    if all_ and request.classes:
        raise UsageError("give TASKs or --all, which ends every pause there is.")
    wanted = None if all_ else {task for task, _ in named(call, request)}
    by = this_person()
    with operations_of(call) as operations:
        before = operations.pauses()
        ours = [one for one in before if wanted is None or one.task in wanted]
        resumed = [one for one in ours if operations.resume(one.task, by=by)]
        left = operations.pauses() if before else []
    if call.asked.json:
        call.streams.result(documents.dump(resume_document(resumed, left)))
    else:
        show(call.streams, _lines(call, request, resumed, left))
    return 0


def _lines(call: Session, request: Request, resumed: list[Pause], left: list[Pause]) -> list[Line]:
    heading = line(span("RESUMED", Style.STRONG), "      ", span(call.state_heading, Style.DIM))
    lines = [heading, *table(rows(resumed, call.now))]
    if not resumed:
        what = request.words or "everything"
        lines.append(line(f" {what} was not paused" if left else " nothing was paused"))
    if left:
        lines += [line("paused all the same:"), *table(rows(left, call.now))]
        lines.append(line("end them too: ", span(f"etlctl resume --all{call.words}", Style.STRONG)))
    return lines


command = TaskCommand(
    "resume",
    callback=click.pass_context(_resume),
    needs_task=False,
    params=[click.Option(["--all", "all_"], is_flag=True, help="End every pause there is, whatever it is of.")],
    help="Let loops begin TASKs again that were paused with the same words; without a TASK, everything. What was "
    "paused by itself stays so when everything is resumed.",
    examples=_EXAMPLES,
)
