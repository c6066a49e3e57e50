"""What the settings say about operations: schedules, the loop, notifiers, metrics. Reads nothing itself.

Names, types and what belongs together are looked at here; cron lines, zones, words for dates and the keys of a kind of
notifier are the business of those who know them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from etlctl.errors import SettingsError
from etlctl.settings import ages, keys
from etlctl.settings.keys import Key, KeyPath, dotted
from etlctl.settings.model import LoopSettings, MetricsSettings, NotifySettings, ScheduleSettings
from etlctl.settings.resolver import Resolver, one_of, path_of, place_of
from etlctl.settings.running import is_on, wait_s

OVERLAPS = ("skip", "queue")
LEAST_EVERY_S = 1
_DAY_S = 86_400
_MOST_NAME = 100
"""The state database keeps names of schedules in its columns."""


def schedules(resolver: Resolver) -> Mapping[str, ScheduleSettings]:
    """Each `[schedules.NAME]` by its name."""
    made = ((name, _schedule(resolver, name)) for name in _names(resolver, "schedules"))
    return MappingProxyType({name: schedule for name, schedule in made if schedule is not None})


def loop(resolver: Resolver) -> LoopSettings:
    """The table `[loop]`."""
    port = keys.LOOP_HEALTH_PORT.path
    return LoopSettings(
        grace_s=wait_s(resolver, keys.LOOP_GRACE),
        backoff_max_s=wait_s(resolver, keys.LOOP_BACKOFF_MAX),
        health_port=int(resolver.entry(port, None).value) if port in resolver.entries else None,
        health_host=resolver.text(keys.LOOP_HEALTH_HOST.path, str(keys.LOOP_HEALTH_HOST.default)),
        health_file=_file(resolver, keys.LOOP_HEALTH_FILE),
        local_state_ok=is_on(resolver, keys.LOOP_LOCAL_STATE_OK),
    )


def notifiers(resolver: Resolver) -> Mapping[str, NotifySettings]:
    """Each `[notify.NAME]` by its name."""
    made = ((name, _notifier(resolver, name)) for name in _names(resolver, "notify"))
    return MappingProxyType({name: notifier for name, notifier in made if notifier is not None})


def metrics(resolver: Resolver) -> MetricsSettings:
    """The table `[metrics]`."""
    return MetricsSettings(textfile=_file(resolver, keys.METRICS_TEXTFILE))


def _schedule(resolver: Resolver, name: str) -> ScheduleSettings | None:
    """The schedule; None for one that cannot be told without what was refused in it."""
    place = _place(resolver, ("schedules", name))
    tasks = _texts(resolver, path_of(keys.SCHEDULE_TASKS, name))
    every_s = _wait(resolver, keys.SCHEDULE_EVERY, name)
    cron = resolver.optional(path_of(keys.SCHEDULE_CRON, name))
    date = resolver.optional(path_of(keys.SCHEDULE_DATE, name))
    window_s = _window(resolver, name)
    for said in _lacking(resolver, name, place):
        resolver.mistakes.tell(SettingsError(said))
    if not tasks or (every_s is None) == (cron is None):
        return None
    return ScheduleSettings(
        name=name,
        tasks=tasks,
        every_s=every_s,
        cron=cron,
        timezone=resolver.text(path_of(keys.SCHEDULE_TIMEZONE, name), str(keys.SCHEDULE_TIMEZONE.default)),
        date=date,
        window_s=window_s,
        params=_values(resolver, path_of(keys.SCHEDULE_PARAMS, name)[:-1]),
        jitter_s=_wait(resolver, keys.SCHEDULE_JITTER, name) or 0,
        overlap=one_of(resolver, keys.SCHEDULE_OVERLAP, OVERLAPS, name=name),
        deadline=resolver.optional(path_of(keys.SCHEDULE_DEADLINE, name)),
        place=place,
    )


def _lacking(resolver: Resolver, name: str, place: str) -> Iterator[str]:
    """What does not go together in a schedule, each with how to mend it."""

    def has(key: Key) -> bool:
        return path_of(key, name) in resolver.entries

    tasks = path_of(keys.SCHEDULE_TASKS, name)
    if not has(keys.SCHEDULE_TASKS) or not resolver.entries[tasks].value:
        yield f'{place} names no tasks. Name them: tasks = ["DailyReport"].'
    if has(keys.SCHEDULE_EVERY) == has(keys.SCHEDULE_CRON):
        both = "every and cron both" if has(keys.SCHEDULE_CRON) else "neither every nor cron"
        yield f'{place} has {both}. Give it one of them: every = "30m", or cron = "0 6 * * *".'
    if has(keys.SCHEDULE_WINDOW) and not has(keys.SCHEDULE_DATE):
        yield f'{place} has a window without a date, which is its last day. Give it one: date = "yesterday".'


def _notifier(resolver: Resolver, name: str) -> NotifySettings | None:
    """The notifier; None for one without a kind, which is told."""
    place = _place(resolver, ("notify", name))
    kind = resolver.optional(path_of(keys.NOTIFY_KIND, name))
    if kind is None:
        if path_of(keys.NOTIFY_KIND, name) not in resolver.entries:
            resolver.mistakes.tell(SettingsError(f'{place} has no kind. Give it one: kind = "webhook".'))
        return None
    on = path_of(keys.NOTIFY_ON, name)
    return NotifySettings(
        name=name,
        kind=kind,
        on=_texts(resolver, on) if on in resolver.entries else tuple(str(keys.NOTIFY_ON.default).split(",")),
        tasks=_texts(resolver, path_of(keys.NOTIFY_TASKS, name)),
        tags=_texts(resolver, path_of(keys.NOTIFY_TAGS, name)),
        url=resolver.secret(path_of(keys.NOTIFY_URL, name)),
        timeout_s=_wait(resolver, keys.NOTIFY_TIMEOUT, name) or 0,
        retries=int(resolver.entry(path_of(keys.NOTIFY_RETRIES, name), keys.NOTIFY_RETRIES.default).value),
        repeat_s=ages.age_s(resolver.entry(path_of(keys.NOTIFY_REPEAT, name), keys.NOTIFY_REPEAT.default).value) or 0,
        options=_options(resolver, name),
        place=place,
    )


def _options(resolver: Resolver, name: str) -> Mapping[str, Any]:
    """The table of options, and the keys of single kinds as if they stood in it."""
    path = path_of(keys.NOTIFY_OPTIONS, name)[:-1]
    options = dict(_values(resolver, path))
    own = {key.path[-1]: _value_of_kind(resolver, path_of(key, name), key) for key in keys.OF_ONE_KIND}
    headers = path_of(keys.NOTIFY_HEADERS, name)[:-1]
    own["headers"] = {
        at[-1]: resolver.secret(at, is_key=False) for at in resolver.entries if at[:-1] == headers
    } or None
    for option, value in own.items():
        if value is None:
            continue
        if option in options:
            at = _place(resolver, (*path[:-1], option))
            resolver.mistakes.tell(SettingsError(f"{at} stands in '{dotted(path)}' too. Keep one of them."))
        options[option] = value
    return MappingProxyType(options)


def _value_of_kind(resolver: Resolver, path: KeyPath, key: Key) -> Any:
    if path not in resolver.entries:
        return None
    if key.kind is keys.Kind.SECRET:
        return resolver.secret(path, is_key=False)
    entry = resolver.entry(path, None)
    return resolver.expand(entry, entry.value, path)


def _names(resolver: Resolver, table: str) -> list[str]:
    names = list(dict.fromkeys(path[1] for path in resolver.entries if path[0] == table))
    for name in names:
        if len(name) > _MOST_NAME:
            said = f"{_place(resolver, (table, name))}: a name has {_MOST_NAME} letters at most. Rename it."
            resolver.mistakes.tell(SettingsError(said))
    return names


def _place(resolver: Resolver, table: KeyPath) -> str:
    first = next(path for path in resolver.entries if path[: len(table)] == table)
    entry = resolver.entries[first]
    # of a key in a table below, such as params, the table's own line is not known: the key's is near it
    origin = entry.table_origin if len(first) == len(table) + 1 else entry.origin
    return f"{origin}: '{dotted(table)}'"


def _texts(resolver: Resolver, path: KeyPath) -> tuple[str, ...]:
    if path not in resolver.entries:
        return ()
    entry = resolver.entry(path, None)
    texts = tuple(resolver.expand(entry, entry.value, path))
    if not all(text.strip() for text in texts):
        resolver.refuse(path, f"{place_of(entry, path)} holds an empty text. Take it out.")
    return texts


def _values(resolver: Resolver, table: KeyPath) -> Mapping[str, Any]:
    values = {}
    for path in resolver.entries:
        if path[:-1] == table:
            entry = resolver.entry(path, None)
            values[path[-1]] = resolver.expand(entry, entry.value, path)
    return MappingProxyType(values)


def _wait(resolver: Resolver, key: Key, name: str) -> float | None:
    """The wait at `key`, or its default; what must not be nothing lasts a second at least."""
    path = path_of(key, name)
    if path not in resolver.entries and key.default is None:
        return None
    entry = resolver.entry(path, key.default)
    found = ages.wait_s(entry.value)
    if key in (keys.SCHEDULE_EVERY, keys.NOTIFY_TIMEOUT) and (found is None or found < LEAST_EVERY_S):
        resolver.refuse(path, f"{place_of(entry, path)} must be {LEAST_EVERY_S} second at least.")
    return found


def _window(resolver: Resolver, name: str) -> float | None:
    path = path_of(keys.SCHEDULE_WINDOW, name)
    if path not in resolver.entries:
        return None
    entry = resolver.entry(path, None)
    found = ages.age_s(entry.value) or 0
    if found < _DAY_S or found % _DAY_S:
        resolver.refuse(path, f"{place_of(entry, path)} must be whole days, 1d at least, as in 7d.")
        return None
    return found


def _file(resolver: Resolver, key: Key) -> Path | None:
    text = resolver.optional(key.path)
    return Path(os.path.abspath(resolver.project / text)) if text is not None else None
