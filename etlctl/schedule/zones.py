"""Time zones by name, and what a clock on the wall means in one, also where it is put forward or back."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, available_timezones

from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

_MINUTE = dt.timedelta(minutes=1)


def zone_of(name: str) -> dt.tzinfo:
    """The zone of a name such as Europe/Berlin; ValueError, as the end of a sentence, when there is none."""
    if name == "UTC":
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not known, no relative name, the name of a folder
        hint = did_you_mean(name, available_timezones())
        raise ValueError(
            f"'{printable(shortened(name, 40))}' is no time zone of the IANA's list, as in Europe/Berlin.{hint}"
        ) from None


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
