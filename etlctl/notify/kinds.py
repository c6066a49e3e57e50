"""From the settings of a notifier to the notifier: our own kinds, and those of installed distributions."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from etlctl.errors import EtlctlError, SettingsError
from etlctl.notify.channel import Notifier
from etlctl.settings import NotifySettings
from etlctl.settings.masks import Mask
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

GROUP = "etlctl.notifiers"
_OURS = {
    "webhook": ("etlctl.notify.webhook", "Webhook"),
    "slack": ("etlctl.notify.webhook", "Slack"),
    "email": ("etlctl.notify.mail", "Mail"),
    "sentry": ("etlctl.notify.sentry", "Sentry"),
}
"""Kind -> module and class; imported when a notifier of the kind is opened. `command` needs more than its settings."""
KINDS = (*_OURS, "command")


def made(settings: NotifySettings, project: Path, mask: Mask) -> Notifier:
    """The notifier; nothing is connected to. SettingsError, or UsageError for what is not installed."""
    if settings.kind == "command":
        from etlctl.notify.command import Command

        return Command(settings, project, mask)
    if settings.kind in _OURS:
        module, name = _OURS[settings.kind]
        notifier: Notifier = getattr(import_module(module), name)(settings)
        return notifier
    return _plugged_in(settings)


def _plugged_in(settings: NotifySettings) -> Notifier:
    from importlib.metadata import entry_points  # 30 ms that our own kinds need not pay

    points = entry_points(group=GROUP)
    point = next((one for one in points if one.name == settings.kind), None)
    if point is None:
        known = [*KINDS, *sorted(one.name for one in points)]
        raise SettingsError(
            f"{settings.place} has the kind '{printable(shortened(settings.kind))}', and there is none of this name."
            f"{did_you_mean(settings.kind, known)} There are: {', '.join(known)}; others are entry points of the "
            f"group {GROUP} in an installed package."
        )
    try:
        found: Any = point.load()(settings)
    except EtlctlError:
        raise
    except (Exception, SystemExit) as error:  # code of somebody else's
        raise SettingsError(
            f"{settings.place}: the kind '{settings.kind}' ({point.value}) cannot be used: {type(error).__name__}: "
            f"{shortened(str(error), 200)}"
        ) from error
    if not callable(getattr(found, "send", None)):
        raise SettingsError(
            f"{settings.place}: the kind '{settings.kind}' ({point.value}) gives no object with send()."
        )
    notifier: Notifier = found
    return notifier
