"""Schedules and notifiers of the settings, opened as the loop would open them; none runs, and nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlctl.doctor.findings import Finding, failed
from etlctl.errors import EtlctlError
from etlctl.suggest import did_you_mean

if TYPE_CHECKING:
    from etlctl.app import App


def operation_findings(app: App) -> list[Finding]:
    """What keeps a schedule or a notifier from working."""
    return [*_schedules(app)]


def _schedules(app: App) -> list[Finding]:
    settings = app.settings
    if not settings.schedules:
        return []
    try:
        families = {cls.task_family for cls in app.registry.classes()}
    except EtlctlError:
        return []  # told already
    return [
        failed(
            f"schedule {one.name}", f"{one.place} names no task: {task!r}.{did_you_mean(task, families)}", "mend it."
        )
        for one in settings.schedules.values()
        for task in one.tasks
        if task not in families
    ]
