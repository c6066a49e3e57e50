"""A `Schedule` made of what the settings or a command line say: every text in it read, or refused with its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from etlctl.core import daytime
from etlctl.errors import SettingsError
from etlctl.schedule.dates import turn_dates
from etlctl.schedule.times import Cron, Every, Times
from etlctl.schedule.zones import zone_of
from etlctl.settings import ScheduleSettings, Settings
from etlctl.settings.mistakes import Mistakes
from etlctl.text import printable, shortened

_DAY_S = 86_400
_SOME_DAY = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)


class Schedule(NamedTuple):
    """What is built when, and for which dates."""

    name: str
    tasks: tuple[str, ...]
    times: Times
    zone: dt.tzinfo
    """Of its cron line, its dates and its deadline."""
    date: str | None
    """A word that `turn_dates` takes; None for a schedule without dates."""
    window_days: int
    params: Mapping[str, Any]
    jitter_s: float
    overlap: str
    """`skip` or `queue`."""
    deadline: str | None
    """A time of day that `deadline.passed` takes; None for one without."""
    place: str
    """To begin a sentence about it."""

    def dates(self, began_at: dt.datetime) -> list[dt.date]:
        """The dates of a turn that began at this instant, oldest first; none for a schedule without dates."""
        return turn_dates(self.date, self.window_days, began_at, self.zone) if self.date is not None else []


def opened(settings: Settings) -> list[Schedule]:
    """Each `[schedules.NAME]`, in the file's order; SettingsError for the first that cannot be used."""

    def place_of(name: str, key: str) -> str:
        dotted = f"schedules.{name}.{key}"
        return f"{settings.origins[dotted]}: '{dotted}'"

    return [schedule_of(told, partial(place_of, told.name)) for told in settings.schedules.values()]


def schedule_of(told: ScheduleSettings, place_of: Callable[[str], str]) -> Schedule:
    """The schedule of these texts; `place_of("cron")` begins the sentence of the SettingsError about that one."""
    check(told, place_of, Mistakes())
    zone = zone_of(told.timezone)
    window_days = _window_days(told)
    return Schedule(
        name=told.name,
        tasks=told.tasks,
        times=_times(told, told.timezone),
        zone=zone,
        date=told.date,
        window_days=window_days,
        params=told.params,
        jitter_s=told.jitter_s,
        overlap=told.overlap,
        deadline=told.deadline,
        place=told.place,
    )


def check(told: ScheduleSettings, place_of: Callable[[str], str], mistakes: Mistakes) -> None:
    """Tells which of these texts no schedule can be made of; see `schedule_of`."""
    for key, read in _readings(told):
        wrong = _wrong(read)
        if wrong is not None:
            mistakes.tell(SettingsError(f"{place_of(key)}: {wrong}"))
    if told.every_s is not None and told.jitter_s >= told.every_s:
        said = f"{place_of('jitter')} would move a turn beyond the one after it: give it less than every."
        mistakes.tell(SettingsError(said))


def _readings(told: ScheduleSettings) -> Iterator[tuple[str, Callable[[], object]]]:
    """What reads each text, by its key; the line of cron whatever its zone, which is read by itself."""
    yield "timezone", partial(zone_of, told.timezone)
    yield "every" if told.cron is None else "cron", partial(_times, told, "UTC")
    if told.date is not None:
        yield "date", partial(_check_date, told.date, _window_days(told))
    if told.deadline is not None:
        yield "deadline", partial(daytime.parsed, told.deadline)


def _wrong(read: Callable[[], object]) -> str | None:
    try:
        read()
    except ValueError as error:
        return str(error)
    return None


def _window_days(told: ScheduleSettings) -> int:
    return int(told.window_s or _DAY_S) // _DAY_S


def _times(told: ScheduleSettings, zone: str) -> Times:
    if told.cron is not None:
        return Cron(told.cron, zone=zone)
    if told.every_s is None:  # settings and command line have looked
        raise AssertionError(f"{told.place} has neither every nor cron")
    return Every(told.every_s)


def _check_date(word: str, window_days: int) -> None:
    try:
        turn_dates(word, window_days, _SOME_DAY, dt.UTC)
    except ValueError as error:
        shown = printable(shortened(word, 40))
        raise ValueError(f"'{shown}' is no date for a turn: {error}. Write yesterday, today or -3d.") from None
