"""The keys of a notifier's settings that only its kind knows, read with a sentence for each that cannot be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from etlctl.errors import SettingsError
from etlctl.settings import NotifySettings, Secret
from etlctl.suggest import did_you_mean
from etlctl.text import printable


def wrong(settings: NotifySettings, name: str, complaint: str) -> SettingsError:
    """The error about one key: `config/etlctl.toml:7: 'notify.ops.port' must be …`."""
    place = settings.place.removesuffix("'")
    return SettingsError(f"{place}.{printable(name)}' {complaint}")


def check_names(settings: NotifySettings, known: Collection[str]) -> None:
    """Refuses options that the kind does not take."""
    for name in settings.options:
        if name not in known:
            takes = ", ".join(sorted(known))
            hint = did_you_mean(name, known)
            raise wrong(settings, name, f"is nothing that kind {settings.kind} takes.{hint} It takes: {takes}.")


def text(settings: NotifySettings, name: str, default: str | None = None) -> str:
    """A text that is not empty; a Secret is revealed. Without a default it must be there."""
    value = settings.options.get(name, default)
    if isinstance(value, Secret):
        value = value.reveal()
    if value is None:
        raise wrong(settings, name, f"is missing: kind {settings.kind} needs it.")
    if not isinstance(value, str) or not value.strip():
        raise wrong(settings, name, "must be a text that is not empty.")
    return value


def texts(settings: NotifySettings, name: str) -> tuple[str, ...]:
    """A list of texts, one at least; a text by itself is a list of one."""
    value = settings.options.get(name)
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(one, str) and one for one in found):
        raise wrong(settings, name, f"must be a list of texts in quotes: kind {settings.kind} needs it.")
    return tuple(found)


def number(settings: NotifySettings, name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    value = settings.options.get(name, default)
    if type(value) is not int or not 1 <= value <= most:
        raise wrong(settings, name, f"must be a whole number from 1 to {most}.")
    return value


def switch(settings: NotifySettings, name: str, *, default: bool) -> bool:
    """True or false."""
    value = settings.options.get(name, default)
    if not isinstance(value, bool):
        raise wrong(settings, name, "must be true or false.")
    return value


def table(settings: NotifySettings, name: str) -> Mapping[str, str]:
    """A table of texts; a Secret in it is revealed."""
    value: Any = settings.options.get(name, {})
    if not isinstance(value, Mapping):
        raise wrong(settings, name, 'must be a table of texts, as in { Authorization = "Bearer ${TOKEN}" }.')
    found = {key: one.reveal() if isinstance(one, Secret) else one for key, one in value.items()}
    if not all(isinstance(one, str) for one in found.values()):
        raise wrong(settings, name, "must hold texts alone.")
    return found


def url(settings: NotifySettings, name: str = "url") -> str:
    """The address that the kind needs."""
    value = settings.url if name == "url" else settings.options.get(name)
    if isinstance(value, Secret):
        value = value.reveal()
    if not isinstance(value, str) or not value:
        raise wrong(settings, name, f"is missing: kind {settings.kind} needs it.")
    return value
