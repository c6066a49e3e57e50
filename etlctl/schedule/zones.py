"""Time zones by name, and what a clock on the wall means in one, also where it is put forward or back."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, available_timezones

from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

_MINUTE = dt.timedelta(minutes=1)
_OF_THE_MACHINE = ("localtime", "posixrules", "Factory")
"""Files beside those of the zones, which say what this machine was set to, or nothing."""
_OTHER_CLOCKS = ("posix/", "right/")
"""Folders that hold all zones once more; by those in the second, leap seconds are counted."""
_ABBREVIATED = {
    "AEDT": "Australia/Sydney",
    "AEST": "Australia/Sydney",
    "BST": "Europe/London",
    "CDT": "America/Chicago",
    "CEST": "Europe/Berlin",
    "CST": "America/Chicago",
    "EDT": "America/New_York",
    "EEST": "Europe/Athens",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MDT": "America/Denver",
    "MSK": "Europe/Moscow",
    "PDT": "America/Los_Angeles",
    "PST": "America/Los_Angeles",
    "WEST": "Europe/Lisbon",
}
"""What people write who mean one zone, most often this."""


def zone_of(name: str) -> dt.tzinfo:
    """The zone of a name such as Europe/Berlin; ValueError, as the end of a sentence, when there is none."""
    if name == "UTC":
        return dt.UTC
    shown = printable(shortened(name, 40))
    if name in _OF_THE_MACHINE:
        raise ValueError(f"'{shown}' differs from machine to machine: name a zone such as Europe/Berlin.")
    try:
        if not name.startswith(_OTHER_CLOCKS):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not known, no relative name, the name of a folder
        pass
    hint = _hint(name)
    raise ValueError(f"'{shown}' is no time zone of the IANA's list, as in Europe/Berlin.{hint}")


def _hint(name: str) -> str:
    if name.upper() in _ABBREVIATED:
        return f" Letters such as these name no place: did you mean '{_ABBREVIATED[name.upper()]}'?"
    zones = available_timezones()
    area = f"{name.rstrip('/').casefold()}/"
    cities = sorted(zone for zone in zones if zone.casefold().startswith(area))
    if cities:
        return f" It is an area: name a city of it, as in {', '.join(cities[:3])}."
    return did_you_mean(name, zones)


def instant_of(wall: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """The instant, aware UTC, at which clocks in `zone` show `wall` (without a zone) for the first time.

    A time that they skip is the next minute that they show: 02:30 is 03:00 where they go from 02:00 to 03:00. Debian's
    cron, and cronsim after it, have that rule.
    """
    found = wall.replace(tzinfo=zone, fold=0)
    while not _is_shown(found):
        found += _MINUTE
    return found.astimezone(dt.UTC)


def _is_shown(wall: dt.datetime) -> bool:
    return wall.astimezone(dt.UTC).astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None)
