"""A cron line as `OnCalendar=` of systemd.time(7) takes it; nothing else of systemd is known here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from cronsim import CronSim

from etlctl.errors import UsageError
from etlctl.schedule.times import Cron

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_WEEK = 7
_SOME_DAY = dt.datetime(2026, 1, 1)
_ALL = "*"


def calendar_events(cron: Cron) -> list[str]:
    """Events that are due together when the line is: `Mon *-*-* 06:00:00 Europe/Berlin`. UsageError for a line that
    they cannot say."""
    line = CronSim(cron.fields, _SOME_DAY)
    at = f"{_listed(line.hours, range(24))}:{_listed(line.minutes, range(60))}:00 {cron.zone}"
    months = _listed(line.months, range(1, 13))
    days = _days(cron, line)
    weekdays = _weekdays(line)
    if not line.day_and:  # Debian's cron: with both restricted, either will do
        found = [("", day) for day in days] + weekdays
    else:
        found = [(names, _both(cron, day, nth)) for day in days for names, nth in weekdays]
    return [f"{f'{names} ' if names else ''}*-{months}{day} {at}" for names, day in found]


def _days(cron: Cron, line: CronSim) -> list[str]:
    """The ends of dates: `-*`, `-01,15`, `~01` for the last of a month."""
    if line.LAST_WEEKDAY in line.days:
        raise UsageError(f"systemd cannot say '{cron.fields}': it knows no last weekday of a month. Use etlctl loop.")
    plain = {day for day in line.days if day > 0}
    found = [f"-{_listed(plain, range(1, 32))}"] if plain else []
    return found + (["~01"] if line.LAST in line.days else [])


def _weekdays(line: CronSim) -> list[tuple[str, str]]:
    """Days of the week, and the end of the dates among which they are meant."""
    plain = {day % _WEEK for day in line.weekdays if isinstance(day, int)}
    if len(plain) == _WEEK:
        return [("", "-*")]
    found = [(",".join(_DAYS[day] for day in sorted(plain)), "-*")] if plain else []
    for special in sorted(one for one in line.weekdays if isinstance(one, tuple)):
        day, nth = special
        last = min(nth * _WEEK, 31)
        among = "~07/1" if nth == line.LAST else f"-{(nth - 1) * _WEEK + 1:02}..{last}"
        found.append((_DAYS[day % _WEEK], among))
    return found


def _both(cron: Cron, day: str, nth: str) -> str:
    if "-*" in (day, nth):
        return nth if day == "-*" else day
    raise UsageError(
        f"systemd cannot say '{cron.fields}': the day of month and the day of week at once. Use etlctl loop."
    )


def _listed(numbers: Iterable[int], of: range) -> str:
    """`*`, or `00,30`, or `09..17`."""
    found = sorted(numbers)
    if found == list(of):
        return _ALL
    if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
        return f"{found[0]:02}..{found[-1]:02}"
    return ",".join(f"{number:02}" for number in found)
