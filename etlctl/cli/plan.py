"""`etlctl plan`: what a build would do and why. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etlctl.cli.grouping import asked_for, groups_of
from etlctl.cli.layout import Line, Style, line, span, table
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.tasks import Request, TaskCommand, make_tasks
from etlctl.core import garbage
from etlctl.core.plan import Decision, Plan, PlannedTask
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, ExitCode

if TYPE_CHECKING:
    from etlctl.cli import documents

WORK_PENDING = 10
"""What `--detailed-exitcode` says when a build would run something."""

_EXAMPLES = """
etlctl plan DailyReport --date 2013-01-01..2013-01-31
etlctl plan DailyReport --date yesterday --all
etlctl plan DailyReport --date today --detailed-exitcode || echo "something is to be done"
"""
_SIGNS = {
    Decision.RUN: ("+", Style.GOOD),
    Decision.DONE: (" ", Style.DIM),
    Decision.BLOCKED: ("!", Style.WARN),
    Decision.BROKEN: ("x", Style.BAD),
    Decision.UNNEEDED: ("·", Style.DIM),
}
_COUNTED = {
    Decision.RUN: "to run",
    Decision.BLOCKED: "blocked",
    Decision.BROKEN: "broken",
    Decision.UNNEEDED: "not needed",
    Decision.DONE: "done",
}


def _plan(ctx: click.Context, request: Request, all_: bool, force: bool, detailed_exitcode: bool) -> int:
    call = session(ctx)
    garbage.left_to_the_system()
    tasks = make_tasks(request, call)
    plan = call.app.plan(tasks, force=tasks if force else ())
    code = exit_code_of(plan.tasks) if detailed_exitcode else 0
    command = f"etlctl build {request.words}{' --force' if force else ''}{call.words}"
    if call.asked.debug:
        from etlctl.cli.progress import traceback_lines  # what a build tells, which only this needs of it

        for one in plan.tasks:
            if one.error is not None:
                call.streams.story(traceback_lines(one.error, one.task))
    if call.asked.json:
        from etlctl.cli import documents  # the shapes of all documents cost as much as a small plan

        call.streams.result(documents.dump(_document(plan, code, command)))
    else:
        show(call.streams, _lines(call, plan, tasks, command, all_=all_))
    return code


def exit_code_of(planned: tuple[PlannedTask, ...] | list[PlannedTask]) -> int:
    """0 up to date, 10 work pending, 3 something blocked; what a build would say of tasks that cannot be asked."""
    errors = [one.error for one in planned if one.error is not None and one.decision is Decision.BROKEN]
    codes = {error.exit_code if isinstance(error, EtlctlError) else ExitCode.FAILED for error in errors}
    if codes:
        return ExitCode.worst(codes)
    decisions = {one.decision for one in planned}
    if Decision.BLOCKED in decisions:
        return ExitCode.BLOCKED
    return WORK_PENDING if Decision.RUN in decisions else ExitCode.DONE


def _lines(call: Session, plan: Plan, tasks: list[Task], command: str, *, all_: bool) -> list[Line]:
    heading = call.heading_of(one.task for one in plan.tasks)
    lines: list[Line] = [line(span("PLAN", Style.STRONG), f"  {asked_for(tasks)}      ", span(heading, Style.DIM))]
    hidden = () if all_ else (Decision.DONE, Decision.UNNEEDED)
    shown = [one for one in plan.tasks if one.decision not in hidden]
    rows = []
    for group in groups_of(shown, plan.roots):
        sign, style = _SIGNS[group.decision]
        rows.append([span(sign, style), span(group.name), span(group.values), span(group.reason, _said_in(style))])
    lines.extend(table(rows))
    counts = {decision: plan.count(decision) for decision in _COUNTED}
    told = [f"{counts[one]:,} {word}" for one, word in _COUNTED.items() if counts[one] or one is Decision.RUN]
    more = " (--all shows them)" if not all_ and (counts[Decision.DONE] or counts[Decision.UNNEEDED]) else ""
    lines.append(line(" · ".join(told) + more))
    lines.append(_next(counts, command))
    return lines


def _said_in(style: Style) -> Style:
    return Style.BAD if style is Style.BAD else Style.DIM


def _next(counts: dict[Decision, int], command: str) -> Line:
    if counts[Decision.RUN]:
        return line("run it: ", span(command, Style.STRONG))
    if counts[Decision.BROKEN]:
        return line("nothing can run: mend what is marked x (--debug shows where)")
    if counts[Decision.BLOCKED]:
        return line("nothing can run until the missing input is there")
    return line(span("nothing to do", Style.GOOD))


def _document(plan: Plan, code: int, command: str) -> documents.PlanDocument:
    from etlctl.cli import documents

    return documents.PlanDocument(
        **documents.head("etlctl/plan", code),
        counts={str(decision): plan.count(decision) for decision in Decision},
        roots=[task.task_id for task in plan.roots],
        tasks=[documents.planned_document(one) for one in plan.tasks],
        command=command,
    )


command = TaskCommand(
    "plan",
    callback=click.pass_context(_plan),
    params=[
        click.Option(["--all", "all_"], is_flag=True, help="Show what is done too."),
        click.Option(["--force"], is_flag=True, help="Plan as `build --force` would run."),
        click.Option(
            ["--detailed-exitcode"], is_flag=True, help="Exit 0 when all is done, 10 with work pending, 3 when blocked."
        ),
    ],
    help="Tell what `etlctl build` would run for the TASKs, and why. Writes nothing. Signs: + runs, ! is blocked by a "
    "missing input, x cannot be asked what it needs.",
    examples=_EXAMPLES,
)
