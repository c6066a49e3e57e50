"""Schedules and notifiers of the settings, opened as the loop would open them; none runs, and nothing is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from etlctl.core.task import Task
from etlctl.doctor.findings import Finding, failed, ok
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
    from etlctl.schedule import schedule_of

    def place_of(key: str) -> str:
        dotted = f"schedules.{told.name}.{key}"
        return f"{app.settings.origins.get(dotted, told.place)}: '{dotted}'"

    area = f"schedule {told.name}"
    try:
        opened = schedule_of(told, place_of)
        classes = {cls.task_family: cls for cls in app.registry.classes()}
    except EtlctlError as error:
        return [failed(area, str(error), f"mend it there ({told.place}).")]
    unknown = [_unknown_task(area, told, task, classes) for task in told.tasks if task not in classes]
    if unknown:
        return unknown
    found = [_unknown_param(area, told, name, classes) for name in told.params if not _is_param(name, told, classes)]
    return found or [ok(area, f"{opened.times.text} in {told.timezone}: {', '.join(map(printable, told.tasks))}")]


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
        return failed(area, str(error), f"mend it there ({one.place}).")
    return ok(area, f"{one.kind}, told of {', '.join(one.on)}; whether it arrives was not tried")


def _textfile(settings: Settings) -> list[Finding]:
    """Its folder is made where it can be, so the nearest one that is there must be writable."""
    file = settings.metrics.textfile
    if file is None:
        return []
    folder = next((one for one in file.parents if one.exists()), file.parent)
    if folder.is_dir() and os.access(folder, os.W_OK):
        return [ok("metrics", f"{printable(str(file))} can be written")]
    text = f"{printable(str(file))} cannot be written: {printable(str(folder))} is no folder this user can write."
    return [failed("metrics", text, "give this user the right to, or name another file: [metrics] textfile.")]
