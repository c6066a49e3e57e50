"""`etlctl history`: the runs there were; what one of them did; what became of one task over time. Writes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

import click

from etlctl.cli import documents, history_documents, runs
from etlctl.cli.layout import Line, Span, Style, line, span, table
from etlctl.cli.options import CLASSES, limit_option
from etlctl.cli.paused import operations_of
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.since import instant_of, since_option
from etlctl.cli.standing import moment_text
from etlctl.cli.tasks import Request, TaskCommand, texts_of
from etlctl.core.results import seconds
from etlctl.errors import UsageError
from etlctl.text import printable

if TYPE_CHECKING:
    from etlctl.db.state.records import AttemptRecord, RunRecord

RUN_WORD = "etlctl.run_word"
"""Where `ctx.meta` holds the RUN of the command line."""
_MOST = 20
_ENDED_BADLY = ("failed", "killed", "interrupted")
_EXAMPLES = """
etlctl history                                   # the newest runs
etlctl history last                              # what the newest run did
etlctl history LoadFlights --date 2013-01-02     # one task over time
etlctl history --failed --since 7d --json | jq '.runs[].run_id'
"""


def _history(ctx: click.Context, request: Request, failed: bool, since: str | None, limit: int) -> int:
    call = session(ctx)
    begin = None if since is None else instant_of(since, call.now)
    word: str | None = ctx.meta.get(RUN_WORD)
    if word is not None:
        _tell_run(call, word, is_failed=failed, since=begin, limit=limit)
    elif request.classes:
        _tell_tasks(call, request, is_failed=failed, since=begin, limit=limit)
    else:
        _tell_runs(call, is_failed=failed, since=begin, limit=limit)
    return 0


# -- the runs


def _tell_runs(call: Session, *, is_failed: bool, since: dt.datetime | None, limit: int) -> None:
    statuses = _ENDED_BADLY if is_failed else ()
    found = call.history.runs(limit=limit + 1 if limit else None, since=since, statuses=statuses)
    shown = found[:limit] if limit else found
    if call.asked.json:
        call.streams.result(documents.dump(history_documents.history_document(shown, ())))
        return
    lines = [line(span("HISTORY", Style.STRONG), "  runs      ", span(call.state_heading, Style.DIM))]
    lines += table([runs.run_cells(run, call.now) for run in shown])
    narrowed = is_failed or since is not None
    if not shown:
        lines += _no_runs(call, narrowed=narrowed)
    else:
        more = ", the newest shown (--limit 0 shows all)" if len(found) > len(shown) else ""
        counted = f"{len(shown):,} run{'' if len(shown) == 1 else 's'}{more}"
        worst = next((run for run in shown if run.status in _ENDED_BADLY), shown[0])
        lines.append(line(f"{counted}      what one did: ", _command(call, f"history {worst.run_id}")))
    show(call.streams, lines)


def _no_runs(call: Session, *, narrowed: bool) -> list[Line]:
    if narrowed:
        return [line(" no run like that; all there are: ", _command(call, "history"))]
    if (why := runs.not_kept(call)) is not None:
        return [line(f" {why}")]
    return [
        line(" nothing has run yet: ", _command(call, "build TASK"), ", and ", _command(call, "list"), " the tasks")
    ]


# -- one run


def _tell_run(call: Session, word: str, *, is_failed: bool, since: dt.datetime | None, limit: int) -> None:
    if since is not None:
        raise UsageError("--since goes with runs and tasks; a RUN is one.")
    run = runs.found_run(call, word)
    attempts = call.history.attempts_of_run(run.run_id)
    wanted = [one for one in attempts if not is_failed or one.status in ("failed", "lost")]
    if call.asked.json:
        call.streams.result(documents.dump(history_documents.history_document([run], wanted)))
        return
    shown = _shortest(wanted, limit)
    lines = [*_run_lines(call, run), *table(runs.attempt_rows(shown, call.now, with_run=False))]
    if len(shown) < len(wanted):
        lines.append(line(f" {len(wanted) - len(shown):,} more (--limit 0 shows all)"))
    lines.append(line(runs.counted(run), *_ending(call, run)))
    failure = runs.first_failed(attempts)
    if failure is not None:
        lines += _failure_lines(call, failure, attempts)
    elif any(one.log for one in attempts):
        lines.append(line("output  ", _command(call, f"logs {run.run_id}")))
    show(call.streams, lines)


def _shortest(attempts: Sequence[AttemptRecord], limit: int) -> Sequence[AttemptRecord]:
    """At most `limit`, what went wrong first among them where all would be too many; 0 is all."""
    if not limit or len(attempts) <= limit:
        return attempts
    bad = [one for one in attempts if one.status in ("failed", "lost", "running")]
    chosen = {id(one) for one in (*bad, *attempts)[:limit]} if len(bad) < limit else {id(one) for one in bad[:limit]}
    return [one for one in attempts if id(one) in chosen]


def _run_lines(call: Session, run: RunRecord) -> list[Line]:
    is_silent = run.status in ("running", "killed")
    ended = "" if run.ended_at is None or is_silent else f" to {moment_text(run.ended_at, call.now)}"
    heard = f", last heard of {moment_text(run.heartbeat_at, call.now)}" if is_silent else ""
    lasted = "" if run.status == "killed" else f", {runs.lasted(run, call.now)}"
    code = f"   code {run.code_version[:9]}" if run.code_version else ""
    profile = f"   profile {run.profile}" if run.profile else ""
    return [
        line(
            span("RUN", Style.STRONG),
            f"  {run.run_id}  ",
            span(run.status, runs.STYLES[run.status]),
            "" if run.exit_code is None else f", exit {run.exit_code}",
            "      ",
            span(run.command, Style.DIM),
        ),
        line(
            span(
                f"{moment_text(run.started_at, call.now)}{ended}{lasted}{heard}   "
                f"{runs.place_of(run)}   etlctl {run.etlctl_version}{code}{profile}",
                Style.DIM,
            )
        ),
    ]


def _ending(call: Session, run: RunRecord) -> list[str]:
    if run.status == "killed":
        return ["      it ended without a word: what it was at is done again by the next build, unless it is complete"]
    if run.status == "interrupted":
        with operations_of(call) as operations:
            stop = operations.stop_of(run.run_id)
        return [] if stop is None else [f"      {printable(stop.sentence)}"]
    return []


def _failure_lines(call: Session, failure: AttemptRecord, attempts: Sequence[AttemptRecord]) -> list[Line]:
    lines: list[Line] = [line("")]
    lines.append(line(span("FAIL", Style.BAD), f"  {failure.label}", f"   {failure.where}" if failure.where else ""))
    lines += [line(f"  {text}") for text in failure.error.splitlines()[:_MOST]]
    if failure.log:
        is_alone = all(one.label == failure.label for one in attempts if one.name == failure.name)
        task = quote(failure.name if is_alone else failure.label)
        lines.append(line("  log   ", _command(call, f"logs {failure.run_id} {task}")))
    return lines


# -- one task over time


def _tell_tasks(call: Session, request: Request, *, is_failed: bool, since: dt.datetime | None, limit: int) -> None:
    from etlctl.db.state.queries import FAILED, TRIED

    found: list[AttemptRecord] = []
    for cls in request.classes:
        found += call.history.attempts_at(
            cls.task_family,
            texts_of(cls, request, call),
            since=since,
            statuses=FAILED if is_failed else TRIED,
            limit=limit + 1 if limit else None,
        )
    if len(request.classes) > 1:
        found.sort(
            key=lambda one: one.started_at or one.ended_at or dt.datetime.min.replace(tzinfo=dt.UTC), reverse=True
        )
    shown = found[:limit] if limit else found
    if call.asked.json:
        call.streams.result(documents.dump(history_documents.history_document((), shown)))
        return
    heading = f"  {request.words}      "
    lines = [line(span("HISTORY", Style.STRONG), heading, span(call.state_heading, Style.DIM))]
    lines += table(runs.attempt_rows(shown, call.now, with_run=True))
    if not shown:
        lines += _never_ran(call, request, narrowed=is_failed or since is not None)
    else:
        more = ", the newest shown (--limit 0 shows all)" if len(found) > len(shown) else ""
        counted = f"{len(shown):,} attempt{'' if len(shown) == 1 else 's'}{more}"
        usual = runs.usual_s(shown)
        lines.append(line(counted, "" if usual is None else f"      usually {seconds(usual)}"))
        lines.append(line("output  ", _command(call, f"logs {shown[0].run_id} {quote(shown[0].label)}")))
    show(call.streams, lines)


def _never_ran(call: Session, request: Request, *, narrowed: bool) -> list[Line]:
    if narrowed:
        return [line(" no attempt like that; all there are: ", _command(call, f"history {request.words}"))]
    if (why := runs.not_kept(call)) is not None:
        return [line(f" {why}")]
    return [
        line(" no run has tried it; whether it is done all the same: ", _command(call, f"status {request.words}")),
        line(" run it: ", _command(call, f"build {request.words}")),
    ]


def _command(call: Session, words: str) -> Span:
    return span(f"etlctl {words}{call.words}", Style.STRONG)


class HistoryCommand(TaskCommand):
    """A TaskCommand whose first word may be a RUN."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for index, word in enumerate(args):
            before = args[index - 1] if index else ""
            is_value = before.startswith("-") and "=" not in before and before not in _FLAGS
            if runs.looks_like_run(word) and not is_value:
                ctx.meta[RUN_WORD] = word
                args = [*args[:index], *args[index + 1 :]]
                break
        rest = super().parse_args(ctx, args)
        if ctx.meta.get(RUN_WORD) and ctx.meta.get(CLASSES):
            raise click.UsageError("give a RUN or TASKs; `etlctl history RUN` tells all that it did.", ctx)
        return rest


_FLAGS = ("--failed", "--json", "--debug")

command = HistoryCommand(
    "history",
    callback=click.pass_context(_history),
    needs_task=False,
    params=[
        click.Option(["--failed"], is_flag=True, help="Those alone that ended badly."),
        since_option("Those begun"),
        limit_option(_MOST),
    ],
    help="Tell what ran: without a word the newest runs; with a RUN (its id, the last four letters of it, or `last`) "
    "what it did; with TASKs every attempt at them and how long it took.",
    examples=_EXAMPLES,
)
