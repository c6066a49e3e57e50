"""`etlctl loop`: builds tasks again and again, by schedules, until a signal ends it; or lists what is due when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etlctl.cli import documents, loop_documents
from etlctl.cli.ages import wait_s
from etlctl.cli.asked_schedule import asked_schedule, schedule_options
from etlctl.cli.layout import Style, span, table
from etlctl.cli.loop_documents import Listed
from etlctl.cli.options import WholeNumber
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.tasks import Request, TaskCommand
from etlctl.core.interruption import heard
from etlctl.errors import ExitCode, UnavailableError, UsageError
from etlctl.settings.running import MOST_JOBS

if TYPE_CHECKING:
    from etlctl.loop.clock import Clock
    from etlctl.loop.ending import Ending
    from etlctl.loop.project import Project
    from etlctl.loop.vitals import Vitals
    from etlctl.metrics import Metrics
    from etlctl.runs import RunOptions
    from etlctl.schedule import Schedule
    from etlctl.settings import LoopSettings, Settings

_EXAMPLES = """
etlctl loop                                  # all [schedules] of the settings
etlctl loop --list
etlctl loop DailyReport --every 30m --date yesterday --window 7d
etlctl loop DailyReport --cron "0 6 * * *" --timezone Europe/Berlin --date yesterday --health-port 8080
"""


def _loop(ctx: click.Context, request: Request, is_list: bool, **given: Any) -> int:
    call = session(ctx)
    schedule = asked_schedule(request, given)

    def schedules_of(settings: Settings) -> Sequence[Schedule]:
        from etlctl.schedule import opened

        return [schedule] if schedule is not None else opened(settings)

    call.log()
    return _listed(call, schedules_of) if is_list else _run(call, schedules_of, given)


def _run(call: Session, schedules_of: Callable[[Settings], Sequence[Schedule]], given: dict[str, Any]) -> int:
    from etlctl.core.signals import tell
    from etlctl.loop import systemd
    from etlctl.loop.ending import Ending
    from etlctl.loop.vitals import Vitals

    told = _settings(call.settings.loop, given)
    vitals = Vitals()

    def end() -> None:
        vitals.ends()
        systemd.notify(systemd.STOPPING)

    says = call.json_log.told_at_once if call.json_log is not None else lambda text: tell(_dated(text))
    ending = Ending(told.grace_s, on_end=end, says=says, is_at_work=lambda: vitals.is_at_work)
    try:
        with ending:
            return _looped(call, schedules_of, given, told, ending, vitals)
    except KeyboardInterrupt as error:  # while the project is opened, or what is open is closed
        heard(error)
        return ending() or ExitCode.INTERRUPTED


def _looped(
    call: Session,
    schedules_of: Callable[[Settings], Sequence[Schedule]],
    given: dict[str, Any],
    told: LoopSettings,
    ending: Ending,
    vitals: Vitals,
) -> int:
    from etlctl.loop import health, systemd
    from etlctl.loop.clock import SystemClock
    from etlctl.loop.health_place import check_place
    from etlctl.loop.loop import Loop
    from etlctl.loop.pulse import Pulse

    if told.health_file is not None:
        check_place(told.health_file)
    metrics = _metrics(call.settings, is_served=told.health_port is not None)
    with ExitStack() as stack:
        if told.health_port is not None:
            text = metrics.text if metrics is not None else None
            stack.enter_context(health.serve(vitals, told.health_host, told.health_port, text))
        stack.enter_context(Pulse(vitals, told.health_file))
        clock = SystemClock(ending.wait)
        loop = Loop(
            _opener(call, schedules_of, metrics, given, clock),
            clock=clock,
            ending=ending,
            vitals=vitals,
            say=_saying(call),
            tells_tasks=call.json_log is None,
            patience=ending.patience_s,
        )
        systemd.notify(systemd.READY)
        code = loop.run()
    if call.asked.json:
        call.streams.result(documents.dump(loop_documents.loop_document(code, loop.turns)))
    return code


def _saying(call: Session) -> Callable[[str], None]:
    """Takes the lines of the loop: each with its instant, which a JSON log has anyway. They quote what users' code
    and databases say."""
    if call.json_log is not None:
        return lambda text: call.streams.story(call.streams.hidden(text))
    return lambda text: call.streams.story(_dated(call.streams.hidden(text)))


def _dated(text: str) -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {text}"


def _opener(
    call: Session,
    schedules_of: Callable[[Settings], Sequence[Schedule]],
    metrics: Metrics | None,
    given: dict[str, Any],
    clock: Clock,
) -> Callable[[], Project]:
    """Opens the project; a reload from the second time on."""
    from etlctl.loop.project import opened
    from etlctl.runs import RunOptions, notifications

    def options_of(settings: Settings) -> RunOptions:
        options = RunOptions.of(settings, notifications=notifications(settings, is_of_loop=True), metrics=metrics)
        return options if given["jobs"] is None else replace(options, jobs=given["jobs"])

    first = [call.app]

    def open_it() -> Project:
        app = first.pop() if first else None
        project = opened(
            call.load_settings,
            schedules_of,
            options_of,
            is_reload=app is None,
            app=app,
            observers=call.observers,
            is_local_ok=given["local_state_ok"],
            clock=clock,
        )
        call.works_with(project.app)
        return project

    return open_it


def _settings(told: LoopSettings, given: dict[str, Any]) -> LoopSettings:
    """What `[loop]` says, and the command line over it."""
    over: dict[str, Any] = {name: given[name] for name in ("health_port",) if given[name] is not None}
    if given["grace"] is not None:
        over["grace_s"] = wait_s(given["grace"], "--grace")
    if given["health_host"] is not None:
        over["health_host"] = given["health_host"]
    if given["health_file"] is not None:
        over["health_file"] = Path(given["health_file"]).absolute()
    if given["local_state_ok"]:
        over["local_state_ok"] = True
    return told._replace(**over)


def _metrics(settings: Settings, *, is_served: bool) -> Metrics | None:
    """Where somebody wants them: in a textfile, or from the page of health where the extra is installed."""
    file = settings.metrics.textfile
    if file is None and not is_served:
        return None
    from etlctl.metrics import Metrics

    try:
        return Metrics(file)
    except UsageError:
        if file is not None:
            raise
        return None


def _listed(call: Session, schedules_of: Callable[[Settings], Sequence[Schedule]]) -> int:
    from etlctl.db.state.operations import Operations
    from etlctl.db.state.store import Store
    from etlctl.loop.turns import due_after_start

    settings, now = call.settings, datetime.now(UTC)
    found: list[Listed] = []
    is_known = True
    with closing(Store(settings.state)) as store:
        operations = Operations(store, profile=settings.profile)
        for schedule in schedules_of(settings):
            last = None
            try:
                last = operations.last_turn(operations.record_of(schedule.name, schedule.tasks)) if is_known else None
            except UnavailableError as error:
                call.streams.story(f"etlctl: what was missed is not known: {error}")
                is_known = False  # nor is it by a further question, which may wait as long
            found.append(Listed(schedule, due_after_start(schedule, now, last), last, is_known))
    if call.asked.json:
        call.streams.result(documents.dump(loop_documents.schedules_document(found)))
    elif not found:
        call.streams.story('etlctl: there are no schedules: [schedules.nightly] with tasks = ["DailyReport"] is one.')
    else:
        _show(call, found, now)
    return 0


def _show(call: Session, found: Sequence[Listed], now: datetime) -> None:
    from etlctl.loop.story import moment_text

    rows = [[span(text, Style.STRONG) for text in ("schedule", "next", "when", "tasks", "last")]]
    for one in found:
        schedule = one.schedule
        rows.append(
            [
                span(schedule.name),
                span("now" if one.next_due <= now else moment_text(one.next_due, schedule.zone)),
                span(schedule.times.text),
                span(" ".join([*schedule.tasks, _dates(schedule)]).rstrip()),
                span(_last_text(one)),
            ]
        )
    show(call.streams, table(rows, indent=0))


def _last_text(one: Listed) -> str:
    if one.last is None:
        return "never" if one.is_last_known else "?"
    from etlctl.loop.story import moment_text

    return f"{moment_text(one.last.due, one.schedule.zone)}, {_code_text(one.last.code)}"


def _dates(schedule: Schedule) -> str:
    if schedule.date is None:
        return ""
    return f"{schedule.date}, {schedule.window_days} days" if schedule.window_days > 1 else schedule.date


def _code_text(code: int | None) -> str:
    return "no end" if code is None else f"exit {code}"


command = TaskCommand(
    "loop",
    needs_task=False,
    callback=click.pass_context(_loop),
    params=[
        *schedule_options(),
        click.Option(
            ["-j", "--jobs", "jobs"],
            type=WholeNumber(1, MOST_JOBS),
            metavar="N",
            help="Tasks at once, each in a process of its own. [default: 1; jobs in [build]]",
        ),
        click.Option(
            ["--grace"],
            metavar="AGE",
            help="How long running tasks may go on after a signal. [default: 30s; grace in [loop]]",
        ),
        click.Option(
            ["--health-port"],
            type=WholeNumber(1, 65535),
            metavar="PORT",
            help="Serve /live, /ready and /metrics there. [health_port in [loop]]",
        ),
        click.Option(
            ["--health-host"], metavar="HOST", help="On which address. [default: 127.0.0.1; health_host in [loop]]"
        ),
        click.Option(["--health-file"], metavar="FILE", help="Keep health in a file. [health_file in [loop]]"),
        click.Option(
            ["--local-state-ok"],
            is_flag=True,
            help="There is one loop only: a remote warehouse may have a local state database.",
        ),
        click.Option(["--list", "is_list"], is_flag=True, help="Show schedules and their next times, and exit."),
    ],
    help="Build TASKs again and again, or all [schedules] of the settings: one process, for a container or a service.",
    examples=_EXAMPLES,
)
