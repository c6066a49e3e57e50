"""`etlctl pause`: loops begin no more of a task, or of anything, until it is resumed."""

from __future__ import annotations

import click

from etlctl.cli import documents
from etlctl.cli.layout import Style, line, span, table
from etlctl.cli.operation_documents import pauses_document
from etlctl.cli.paused import named, operations_of, rows, this_person
from etlctl.cli.screen import show
from etlctl.cli.session import session
from etlctl.cli.tasks import Request, TaskCommand

_EXAMPLES = """
etlctl pause --reason "the warehouse is being upgraded"      # everything
etlctl pause LoadFlights --reason "the feed is being moved"
etlctl pause LoadFlights --date 2013-01-02                   # this one day
"""


def _pause(ctx: click.Context, request: Request, reason: str) -> int:
    call = session(ctx)
    wanted = named(call, request)
    by = this_person()
    with operations_of(call) as operations:
        paused = [operations.pause(task, reason=reason, by=by, label=label) for task, label in wanted]
    if call.asked.json:
        call.streams.result(documents.dump(pauses_document(paused)))
        return 0
    words = f" {request.words}" if request.words else ""
    show(
        call.streams,
        [
            line(span("PAUSED", Style.STRONG), "      ", span(call.state_heading, Style.DIM)),
            *table(rows(paused, call.now)),
            line(
                "loops begin none of it; what runs goes on to its end. again: ",
                span(f"etlctl resume{words}{call.words}", Style.STRONG),
            ),
        ],
    )
    return 0


command = TaskCommand(
    "pause",
    callback=click.pass_context(_pause),
    needs_task=False,
    params=[click.Option(["--reason"], metavar="TEXT", default="", help="Why; every loop and `status` tell it.")],
    help="Keep loops from beginning TASKs until `etlctl resume`, on every host of this state database; without a TASK "
    "everything. A TASK without parameters means all of its kind. What runs goes on to its end; a build by hand says "
    "what is paused and goes on. Given with --profile it holds in that profile alone.",
    examples=_EXAMPLES,
)
