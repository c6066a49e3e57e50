"""`etlctl graph`: tasks and what they require, as a tree, Mermaid, DOT or JSON. Writes nothing."""

from __future__ import annotations

import click

from etlctl.cli import documents, drawing
from etlctl.cli.options import WholeNumber
from etlctl.cli.screen import show
from etlctl.cli.session import session
from etlctl.cli.states import SIGNS, state_of
from etlctl.cli.tasks import Request, TaskCommand, make_tasks
from etlctl.core.plan import Plan

_EXAMPLES = """
etlctl graph DailyReport --date 2013-01-02
etlctl graph DailyReport --date 2013-01-02 --format dot | dot -Tsvg > graph.svg
etlctl graph DailyReport --date 2013-01-02 --format mermaid
"""


def _graph(ctx: click.Context, request: Request, format_: str, depth: int) -> int:
    call = session(ctx)
    plan = call.app.plan(make_tasks(request, call))
    if call.asked.json or format_ == "json":
        call.streams.result(documents.dump(_document(plan)))
    elif format_ == "tree":
        show(call.streams, drawing.tree(plan, SIGNS, depth))
    else:
        draw = drawing.mermaid if format_ == "mermaid" else drawing.dot
        call.streams.result("\n".join(draw(plan)))
    return 0


def _document(plan: Plan) -> documents.GraphDocument:
    return documents.GraphDocument(
        **documents.head("etlctl/graph"),
        roots=[task.task_id for task in plan.roots],
        tasks=[
            documents.NodeDocument(
                **documents.task_document(one.task),
                state=state_of(one.decision),
                requires=None if one.requires is None else [task.task_id for task in one.requires],
            )
            for one in plan.tasks
        ],
    )


command = TaskCommand(
    "graph",
    callback=click.pass_context(_graph),
    params=[
        click.Option(
            ["--format", "format_"],
            type=click.Choice(["tree", "mermaid", "dot", "json"]),
            default="tree",
            show_default=True,
            help="How to draw it.",
        ),
        click.Option(
            ["--depth"],
            type=WholeNumber(0),
            metavar="N",
            default=drawing.DEEPEST,
            show_default=True,
            help="Levels of the tree.",
        ),
    ],
    help="Draw what the TASKs require. In the tree and by colour: █ is done, · is missing, ! is blocked by a missing "
    "input, ? cannot be asked.",
    examples=_EXAMPLES,
)
