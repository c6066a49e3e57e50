"""Schedules and notifiers of the settings, opened as the loop would open them; none runs, and nothing is sent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from etlctl.core.task import Task
from etlctl.doctor.findings import Finding, failed, ok, told_of
from etlctl.doctor.places import unwritable
from etlctl.errors import EtlctlError
from etlctl.settings import Settings
from etlctl.suggest import did_you_mean
from etlctl.text import printable

if TYPE_CHECKING:
    from etlctl.app import App
    from etlctl.settings import NotifySettings, ScheduleSettings


def operation_findings(app: App) -> list[Finding]:
    """What keeps a schedule, a notifier or the file of metrics from working."""
    settings = app.settings
    found = [one for told in settings.schedules.values() for one in _schedule(app, told)]
    found += [_notifier(settings, one) for one in settings.notify.values()]
    return [*found, *_textfile(settings)]


# -- schedules


def _schedule(app: App, told: ScheduleSettings) -> list[Finding]:
    from etlctl.schedule import check, schedule_of
    from etlctl.settings.mistakes import Mistakes

    def place_of(key: str) -> str:
        dotted = f"schedules.{told.name}.{key}"
        return f"{app.settings.origins.get(dotted, told.place)}: '{dotted}'"

    area = f"schedule {told.name}"
    mistakes = Mistakes(are_kept=True)
    check(told, place_of, mistakes)
    found = [told_of(area, error) for error in mistakes.found]
    found += _of_tasks(app, area, told)
    if found:
        return found
    times = schedule_of(told, place_of).times.text
    return [ok(area, f"{times} in {told.timezone}: {', '.join(map(printable, told.tasks))}")]


def _of_tasks(app: App, area: str, told: ScheduleSettings) -> list[Finding]:
    """What of its tasks and parameters is not there; nothing where pipelines cannot be imported, which is told."""
    try:
        classes = {cls.task_family: cls for cls in app.imported.classes()}
    except EtlctlError:
        return []
    unknown = [_unknown_task(area, told, task, classes) for task in told.tasks if task not in classes]
    if unknown:
        return unknown
    return [_unknown_param(area, told, name, classes) for name in told.params if not _is_param(name, told, classes)]


def _unknown_task(area: str, told: ScheduleSettings, task: str, classes: Mapping[str, type[Task]]) -> Finding:
    text = f"{told.place} names no task: '{printable(task)}'.{did_you_mean(task, classes)}"
    return failed(area, text, "`etlctl list` shows them all.")


def _is_param(name: str, told: ScheduleSettings, classes: Mapping[str, type[Task]]) -> bool:
    return any(name in dict(classes[task].get_params()) for task in told.tasks)


def _unknown_param(area: str, told: ScheduleSettings, name: str, classes: Mapping[str, type[Task]]) -> Finding:
    known = {one for task in told.tasks for one, _ in classes[task].get_params()}
    text = f"{told.place}: none of its tasks has a parameter '{printable(name)}'.{did_you_mean(name, known)}"
    return failed(area, text, f"its tasks have: {', '.join(sorted(known)) or 'none'}.")


# -- notifiers and metrics


def _notifier(settings: Settings, one: NotifySettings) -> Finding:
    from etlctl import notify

    area = f"notify {one.name}"
    try:
        notify.opened(
            {one.name: one}, project=settings.project, profile=settings.profile, secrets=settings.secrets()
        ).close()
    except EtlctlError as error:
        return told_of(area, error)
    program = _missing_program(settings, one)
    if program:
        text = f"{one.place}: there is no program {printable(program)} that this user may run."
        return failed(area, text, "install it, or give its path: it is run in the project's folder.")
    return ok(area, f"{one.kind}, told of {', '.join(one.on)}; whether it arrives was not tried")


def _missing_program(settings: Settings, one: NotifySettings) -> str:
    """The program of a notifier of the kind `command`, where there is none; empty otherwise."""
    if one.kind != "command":
        return ""
    given = one.options["command"]
    program: str = given if isinstance(given, str) else given[0]
    place = str(settings.project / program) if os.sep in program else program
    return "" if shutil.which(place) else program


def _textfile(settings: Settings) -> list[Finding]:
    """Its folder is made where it can be, so the nearest one that is there must be writable."""
    file = settings.metrics.textfile
    if file is None:
        return []
    folder, reason = unwritable(file)
    if not reason:
        return [ok("metrics", f"{printable(str(file))} can be written")]
    text = f"{printable(str(file))} cannot be written: nothing can be made in {printable(str(folder))}: {reason}."
    return [failed("metrics", text, "give this user the right to, or name another file: [metrics] textfile.")]
