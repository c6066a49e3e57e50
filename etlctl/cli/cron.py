"""`etlctl cron`: schedules as lines of crontab, or as units of systemd, for those who start builds by these."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etlctl.cli import cron_documents, documents
from etlctl.cli.asked_schedule import asked_schedule, schedule_options
from etlctl.cli.session import Session, session
from etlctl.cli.tasks import Request, TaskCommand
from etlctl.core.dates import is_instant
from etlctl.core.parameters import ParameterVisibility
from etlctl.core.results import BUILD_OPTIONS
from etlctl.core.task import Task
from etlctl.errors import UsageError
from etlctl.settings.keys import dotted
from etlctl.settings.load import searched

if TYPE_CHECKING:
    from etlctl.schedule import Schedule
    from etlctl.schedule.jobs import Job
    from etlctl.settings import Settings

_EXAMPLES = """
etlctl cron                                  # all [schedules] of the settings
etlctl cron DailyReport --cron "0 6 * * *" --timezone Europe/Berlin --date yesterday --window 7d
etlctl cron DailyReport --every 30m --systemd
(crontab -l; etlctl cron) | crontab -
"""
_NEEDED = r"\$\{(\w+)\}|\bfrom env:(\w+)|^environment variable (ETLCTL_\w+)"
"""What the origin of a setting tells of variables."""


def _cron(ctx: click.Context, request: Request, systemd: bool, **given: Any) -> int:
    from etlctl.schedule import opened
    from etlctl.schedule.crontab import crontab
    from etlctl.schedule.units import units

    call = session(ctx)
    asked = asked_schedule(request, given)
    schedules = [asked] if asked is not None else opened(call.settings)
    if not schedules:
        raise UsageError("there is no TASK, and no [schedules.NAME] in the settings: etlctl cron TASK --cron LINE.")
    jobs = [_job(call, schedule, is_asked=asked is not None) for schedule in schedules]
    lines = [] if systemd else [crontab(job) for job in jobs]
    files = [unit for job in jobs for unit in units(job)] if systemd else []
    if call.asked.json:
        call.streams.result(documents.dump(cron_documents.cron_document(lines, files)))
        return 0
    for text in (*lines, *(f"# /etc/systemd/system/{unit.file}\n{unit.text}" for unit in files)):
        call.streams.result(text)
    return 0


def _job(call: Session, schedule: Schedule, *, is_asked: bool) -> Job:
    from etlctl.loop.wanted import tasks_of
    from etlctl.schedule.jobs import Job, job_name

    registry = call.app.registry
    due = schedule.times.latest(call.now)
    tasks_of(schedule, registry, schedule.dates(due), due)  # what cannot be made is told now, and not at night
    classes = [registry.find(name) for name in schedule.tasks]
    words = [
        *(cls.task_family for cls in classes),
        *_date_words(schedule, classes, due),
        *_params(schedule, classes, call.settings),
    ]
    settings = call.settings
    is_left_out = {"deadline": schedule.deadline is not None, "overlap": schedule.overlap != "skip"}
    return Job(
        name=job_name("-".join(schedule.tasks) if is_asked else schedule.name),
        title=" ".join(schedule.tasks),
        command=(*_program(), "build", *words, "--blocked-ok", *_settings_words(settings)),
        folder=str(settings.project),
        times=schedule.times,
        zone=getattr(schedule.zone, "key", "UTC") if schedule.date is not None else None,
        jitter_s=schedule.jitter_s,
        variables=_variables(settings),
        left_out=tuple(name for name, is_asked_for in is_left_out.items() if is_asked_for),
    )


def _program() -> list[str]:
    """This very etlctl, by its full path."""
    beside = Path(sys.executable).with_name("etlctl")
    return [str(beside)] if os.access(beside, os.X_OK) else [sys.executable, "-m", "etlctl"]


def _date_words(schedule: Schedule, classes: Sequence[type[Task]], due: datetime) -> list[str]:
    """The window as options: `--date=-7d..yesterday`, which means the same on any day."""
    if schedule.date is None:
        return []
    from etlctl.loop.wanted import day_parameter
    from etlctl.schedule.dates import window_words

    window = window_words(schedule.date, schedule.window_days, due, schedule.zone)
    words: dict[str, list[str]] = {}
    for cls in classes:
        name = day_parameter(cls, schedule)
        if name is not None:
            has_hours = is_instant(dict(cls.get_params())[name])
            if has_hours and schedule.dates(due)[-1] >= due.astimezone(schedule.zone).date():
                raise UsageError(
                    f"{schedule.place}: {cls.task_family}.{name} has hours, and those of a day that is not over are "
                    "not there yet. Let its date be yesterday, or use etlctl loop, which asks for those that are over."
                )
            # a day alone would be its midnight; as a range it is all its hours
            words[name] = _option(name, f"{window}..{window}" if has_hours and ".." not in window else window)
    return [word for several in words.values() for word in several]


def _params(schedule: Schedule, classes: Sequence[type[Task]], settings: Settings) -> list[str]:
    for name in schedule.params:
        if " from " in settings.origins.get(dotted(("schedules", schedule.name, "params", name)), ""):
            raise _unspeakable(name, "comes from a variable", classes)
    return [word for name, value in schedule.params.items() for word in _option(name, _text(name, value, classes))]


def _text(name: str, value: Any, classes: Sequence[type[Task]]) -> str:
    parameters = [dict(cls.get_params())[name] for cls in classes if name in dict(cls.get_params())]
    if any(one.visibility is ParameterVisibility.PRIVATE for one in parameters):
        raise _unspeakable(name, "is private", classes)
    return value if isinstance(value, str) else str(parameters[0].serialize(parameters[0].normalize(value)))


def _unspeakable(name: str, why: str, classes: Sequence[type[Task]]) -> UsageError:
    """What all the machine's users can read in a crontab, or in the list of processes."""
    return UsageError(
        f"{name} {why}: no command line may hold it. Write it in the settings, as in "
        f'[params.{classes[0].task_family}] {name} = "${{VARIABLE}}".'
    )


def _option(name: str, text: str) -> list[str]:
    option = name.replace("_", "-")
    return ["-p", f"{name}={text}"] if option in BUILD_OPTIONS else [f"--{option}={text}"]


def _settings_words(settings: Settings) -> list[str]:
    """The options by which the command finds these settings from the project's folder, without any variable."""
    found = next((file for file in searched(settings.project) if file.exists()), None)
    config = ["--config", str(settings.file)] if settings.file is not None and settings.file != found else []
    return [*config, *(["--profile", settings.profile] if settings.profile is not None else [])]


def _variables(settings: Settings) -> tuple[str, ...]:
    origins = (origin for key, origin in settings.origins.items() if key != "profile")  # which is an option by now
    found = (match for origin in origins for match in re.finditer(_NEEDED, origin))
    return tuple(sorted({name for match in found for name in match.groups() if name}))


command = TaskCommand(
    "cron",
    needs_task=False,
    callback=click.pass_context(_cron),
    params=[
        *schedule_options(),
        click.Option(["--systemd"], is_flag=True, help="Units of systemd: a service and its timer for each schedule."),
    ],
    help="Print the schedules of the settings, or one of TASKs, as lines of crontab that run etlctl build.",
    examples=_EXAMPLES,
)
