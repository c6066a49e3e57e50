"""`etlctl stop`: asks a running build, on whichever host, to end as it does after a first SIGTERM."""

from __future__ import annotations

import datetime as dt
from shlex import quote
from typing import TYPE_CHECKING

import click

from etlctl.cli import documents, runs
from etlctl.cli.layout import Line, Style, line, span
from etlctl.cli.operation_documents import stop_document
from etlctl.cli.options import Command
from etlctl.cli.paused import operations_of, this_person
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.standing import moment_text
from etlctl.errors import UsageError
from etlctl.suggest import nearest
from etlctl.text import printable, shortened

if TYPE_CHECKING:
    from etlctl.db.state.operations import Stop
    from etlctl.db.state.records import RunRecord

_RUNNING = "running"
_MOST = 5
_EXAMPLES = """
etlctl stop last                                          # the newest run
etlctl stop 4f1c --reason "the warehouse is being upgraded"
"""


def _stop(ctx: click.Context, run: str | None, reason: str) -> int:
    call = session(ctx)
    found = _running(call, run)
    with operations_of(call) as operations:
        asked = operations.request_stop(found.run_id, by=this_person(), reason=reason)
    if call.asked.json:
        call.streams.result(documents.dump(stop_document(found, asked)))
    else:
        show(call.streams, _lines(call, found, asked))
    return 0


def _running(call: Session, word: str | None) -> RunRecord:
    """The run that `word` names, which is under way as far as anybody knows."""
    alive = call.history.runs(statuses=[_RUNNING])
    alive = [run for run in alive if run.status == _RUNNING]  # a process of this host may be gone
    if word is None:
        raise UsageError(f"`etlctl stop` needs a RUN. {_told(alive)}")
    if word == runs.LAST and alive:
        return alive[0]
    if word != runs.LAST and not call.history.runs_named(word):
        near = nearest(word, [run.run_id for run in alive])
        meant = f" Did you mean {near}?" if near is not None else ""
        raise UsageError(f"no run {shortened(word)} is in the history.{meant} {_told(alive)}")
    found = runs.found_run(call, word)
    if found.status == _RUNNING:
        return found
    when = moment_text(found.ended_at or found.heartbeat_at, call.now)
    if found.status == "killed":
        raise UsageError(f"run {found.run_id} ended without a word, last heard of {when}: its process is gone.")
    code = "" if found.exit_code is None else f", exit {found.exit_code}"
    raise UsageError(f"run {found.run_id} has ended: {found.status}{code}, {when}. {_told(alive)}")


def _told(alive: list[RunRecord]) -> str:
    if not alive:
        return "No run is under way."
    more = " …" if len(alive) > _MOST else ""
    return f"Under way: {', '.join(run.run_id for run in alive[:_MOST])}{more}."


def _lines(call: Session, run: RunRecord, asked: Stop) -> list[Line]:
    why = f": {shortened(asked.reason)}" if asked.reason else ""
    lines = [
        line(span("STOP", Style.STRONG), f"  {run.run_id}      ", span(run.command, Style.DIM)),
        line(f" asked by {printable(asked.by)} {moment_text(asked.at, call.now)}{why}"),
        line(f" within 2 s {runs.place_of(run)} begins nothing more, and ends when what it is at has ended"),
    ]
    if _is_silent(run, asked.at):
        heard = moment_text(run.heartbeat_at, call.now)
        lines.append(line(span(f" it was last heard of {heard}: it may be gone, and nobody there to hear", Style.WARN)))
    lines.append(line("then  ", span(f"etlctl history {quote(run.run_id)}{call.words}", Style.STRONG)))
    return lines


def _is_silent(run: RunRecord, now: dt.datetime) -> bool:
    from etlctl.db.state.queries import SILENT_S

    return (now - run.heartbeat_at).total_seconds() > SILENT_S


command = Command(
    "stop",
    callback=click.pass_context(_stop),
    params=[
        click.Argument(["run"], required=False, metavar="RUN"),
        click.Option(["--reason"], metavar="TEXT", default="", help="Why; the run's last line tells it."),
    ],
    help="Ask the RUN (its id, the last four letters of it, or `last`: the newest that runs) to end gently, on "
    "whichever host of this state database it runs: it begins nothing more, what it is at ends first, and it exits "
    "with 143. A loop goes on with its next turn.",
    examples=_EXAMPLES,
)
