"""`etlctl build`: runs what is missing behind the tasks named, shows it as it goes, and tells how it ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from etlctl.cli import documents
from etlctl.cli.ages import wait_s
from etlctl.cli.grouping import asked_for, groups_of
from etlctl.cli.interrupts import watched
from etlctl.cli.layout import Line, Style, line, span, table, text_of
from etlctl.cli.messages import Messages, sent
from etlctl.cli.options import WholeNumber
from etlctl.cli.progress import Progress, state_lines
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.tasks import Request, TaskCommand, make_tasks
from etlctl.core.interruption import heard
from etlctl.core.plan import Decision, PlannedTask
from etlctl.core.results import RunSummary, Status, failure_lines, total_line
from etlctl.core.signals import Interrupts
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from etlctl.settings.running import MOST_JOBS
from etlctl.text import printable

if TYPE_CHECKING:
    from etlctl.runs import RunOptions

_EXAMPLES = """
etlctl build DailyReport --date 2013-01-02
etlctl build DailyReport --date 2013-01-01..2013-01-31
etlctl build LoadFlights LoadWeather --date yesterday
etlctl build MonthlyReport --month 2013-01 -j 4
etlctl build LoadFlights --help          # its parameters
"""

_DONE = (Status.OK, Status.UPTODATE)


def _build(ctx: click.Context, request: Request, deep: bool, force: bool, blocked_ok: bool, **given: Any) -> int:
    call = session(ctx)
    tasks = make_tasks(request, call)
    options, option_words = _run_options(call, given), _words_of(given)
    words = f"{request.words}{' --deep' if deep else ''}{' --force' if force else ''}{option_words}"
    words += " --blocked-ok" if blocked_ok else ""
    asked = _Asked(tasks, words, deep=deep, force=force, blocked_ok=blocked_ok)
    with sent(call) as messages:
        return _built(call, asked, replace(options, notifications=messages.notifications), messages)


class _Asked(NamedTuple):
    """What was asked for, besides how to run it."""

    tasks: list[Task]
    words: str
    """All of it, as it was typed."""
    deep: bool
    force: bool
    blocked_ok: bool


def _built(call: Session, asked: _Asked, options: RunOptions, messages: Messages) -> int:
    """Builds, shows what came of it, and returns the exit code."""
    tasks, words = asked.tasks, asked.words
    with watched() as interrupts:
        if call.json_log is not None:
            interrupts.says = call.json_log.told_at_once
        try:
            with _shown(call, tasks, interrupts) as progress:
                summary = call.app.build(
                    tasks,
                    deep=asked.deep,
                    force=tasks if asked.force else (),
                    observers=[progress, *call.observers],
                    stop=interrupts,
                    options=replace(options, command=f"etlctl build {words}{call.words}"),
                )
        except KeyboardInterrupt as error:  # the second signal while no task ran: there is no summary
            heard(error)
            messages.is_hurried = True
            if interrupts.code is None:
                raise
            call.streams.story("etlctl: interrupted.")
            return interrupts.code
        messages.is_hurried = interrupts.is_cut_short
        if interrupts.code is not None:
            summary = replace(summary, interrupted=interrupts.code)
    summary = replace(summary, is_blocked_ok=asked.blocked_ok)
    if call.asked.json:
        call.streams.result(documents.dump(documents.build_document(summary)))
    else:
        again = f"etlctl build {words}{call.words}"
        show(call.streams, _ending(summary, tasks, again, options=call.words, not_started=progress.not_started))
    return summary.exit_code


def _words_of(given: Mapping[str, Any]) -> str:
    """How it is to run, as it was typed, for whoever repeats the command; a blank before each word."""
    jobs, executor, wait_held = given["jobs"], given["executor"], given["wait_held"]
    parts = [f"-j {jobs}" if jobs else "", f"--executor {executor}" if executor else ""]
    parts += ["--fail-fast" if given["fail_fast"] else "", f"--wait-held {wait_held}" if wait_held else ""]
    return "".join(f" {part}" for part in parts if part)


def _run_options(call: Session, given: Mapping[str, Any]) -> RunOptions:
    """What the settings say, where the command line does not say otherwise."""
    from etlctl.runs import RunOptions

    told = {name: value for name, value in given.items() if value is not None}
    if "wait_held" in told:
        told["wait_held_s"] = wait_s(told.pop("wait_held"), "--wait-held")
    if told.pop("show_output", False):
        told["show_output"] = call.streams.story
    return RunOptions.of(call.settings, **told)


@contextmanager
def _shown(call: Session, tasks: list[Task], interrupts: Interrupts) -> Iterator[Progress]:
    """The observer of a run: with a live display where a person watches, as plain lines elsewhere."""
    streams = call.streams
    terminal = streams.out if streams.is_terminal and not call.asked.json else streams.err
    watches = streams.is_terminal or streams.story_is_terminal
    is_plain = call.asked.debug or call.json_log is not None or os.environ.get("TERM", "") in ("dumb", "")
    if is_plain or not watches or terminal is None or not terminal.isatty():
        yield Progress(_plain(call))
        return

    from etlctl.cli.render import LiveScreen

    def state() -> list[Line]:
        return state_lines(progress, asked_for(tasks), is_stopping=interrupts.code is not None, now=time.monotonic())

    screen = LiveScreen(terminal, state, colours=not os.environ.get("NO_COLOR"))
    with ExitStack() as shown:

        def begin() -> None:  # not before the run: its thread must not be there when workers are forked
            interrupts.speaks = False
            streams.diverted = screen.say_text
            shown.callback(setattr, streams, "diverted", None)
            shown.enter_context(screen)

        say = screen.say if streams.is_terminal or call.asked.json else _plain(call)
        progress = Progress(say, begin=begin)
        yield progress


def _plain(call: Session) -> Callable[[Line], None]:
    """Takes the lines of tasks where no display does; what stdout is, is asked once and not for each of them."""
    streams = call.streams
    if call.asked.json:
        return lambda one: None  # noqa: ARG005
    if streams.is_terminal:
        return lambda one: show(streams, [one])
    return lambda one: streams.result(text_of(one))


def _ending(summary: RunSummary, tasks: Sequence[Task], again: str, *, options: str, not_started: int) -> list[Line]:
    """What stays below the lines of the tasks: failures once more, what is missing, what to do next, the counts.

    `tasks` are those asked for, `again` is the command itself; `options` of it say where its settings are.
    """
    lines: list[Line] = []
    for text in failure_lines(summary, options):
        lines.append(_failure_line(text))
    lines.extend(_missing_lines(summary))
    cut_off = sum(one.status is Status.SKIP and one.reason.startswith("stopped") for one in summary.results)
    left = ((cut_off, "while at work"), (not_started, "not started"))
    if told := [f"{number:,} {what}" for number, what in left if number]:
        lines.append(line(span("stopped", Style.WARN), f"  {', '.join(told)}"))
    if why := _given_up(summary):
        lines.extend([line(f"  {why}"), line("next  when that is mended  ", again)])
    if summary.counts[Status.HELD]:
        lines.append(line("next  see who has it: etlctl status; when it is done, again  ", again))
    if summary.exit_code is ExitCode.BLOCKED or (summary.counts[Status.BLOCKED] and not summary.exit_code):
        lines.append(line("next  bring the missing input, then again  ", again))
    if summary.stopped:
        lines.append(line(f"  {printable(summary.stopped)}"))
    if summary.interrupted and any(result.status not in _DONE for result in summary.results):
        lines.append(line("next  go on where it stopped  ", again))
    counts = summary.counts
    if counts[Status.UPTODATE] == len(summary.results) and summary.results:
        said = " ".join(asked_for(tasks).split())
        lines = [line(f"nothing to do: {said} {'is' if len(tasks) == 1 else 'are'} complete")]
    style = Style.GOOD if summary.exit_code is ExitCode.DONE else Style.BAD
    lines.append((span(total_line(summary), style),))
    return lines


def _given_up(summary: RunSummary) -> str:
    """Why nothing more was begun: what all tasks need could not be used any more; empty where that is not so."""
    skipped = (one for one in summary.results if one.status is Status.SKIP and one.exit_code is ExitCode.UNAVAILABLE)
    return next((one.reason.partition(": ")[2] for one in skipped), "")


def _missing_lines(summary: RunSummary) -> list[Line]:
    """The external inputs that are missing, folded: a line for all days of one feed."""
    missing = [
        PlannedTask(result.task, Decision.BLOCKED, result.reason, ())
        for result in summary.results
        if result.status is Status.BLOCKED and result.task.is_external
    ]
    rows = [
        [
            span("missing", Style.WARN),
            span(group.name),
            span(group.values),
            span(group.reason.removesuffix(" is missing")),
        ]
        for group in groups_of(missing, ())
    ]
    return table(rows, indent=0)


def _failure_line(text: str) -> Line:
    if text.startswith("FAIL  "):
        return line(span("FAIL", Style.BAD), text.removeprefix("FAIL"))
    return line(text)


command = TaskCommand(
    "build",
    callback=click.pass_context(_build),
    params=[
        click.Option(["--deep"], is_flag=True, help="Ask behind complete tasks too, and run what is missing there."),
        click.Option(["--force"], is_flag=True, help="Run the tasks named although they are complete."),
        click.Option(
            ["-j", "--jobs", "--workers", "jobs"],
            type=WholeNumber(1, MOST_JOBS),
            metavar="N",
            help="Tasks at once, each in a process of its own. [default: 1, in this process; jobs in [build]]",
        ),
        click.Option(
            ["--executor"],
            type=click.Choice(["local", "dask"]),
            help="Where tasks run: on this machine, or on a Dask cluster. [default: local; executor in [build]]",
        ),
        click.Option(["--blocked-ok"], is_flag=True, help="Exit 0, not 3, when only external input is missing."),
        click.Option(["--fail-fast"], is_flag=True, help="Begin nothing more after the first failure."),
        click.Option(
            ["--wait-held"],
            metavar="AGE",
            help="How long to wait for tasks that another process runs: 30s, 10m, 0, or seconds. [default: 10m; "
            "wait_held in [build]]",
        ),
        click.Option(["--show-output"], is_flag=True, help="Show what tasks print, line by line, as it comes."),
    ],
    help="Run what is missing for the TASKs: works backwards from them, and runs only what is not done yet.",
    examples=_EXAMPLES,
)
