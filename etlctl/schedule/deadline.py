"""By when something must be done: a time of day such as `07:00`, on the clocks of a zone; and which turn that is about.

The deadline of a turn is the first such instant after it was due. A day on which no turn is due has none.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from etlctl.core.daytime import parsed
from etlctl.schedule.times import Times
from etlctl.schedule.zones import instant_of

_DAY = dt.timedelta(days=1)
_TICK = dt.timedelta(microseconds=1)


class Expected(NamedTuple):
    """A turn, and by when it must be done. Instants are aware, UTC."""

    due: dt.datetime
    """Of several with the same deadline, the last."""
    by: dt.datetime


def due(day: dt.date, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The instant, aware UTC, at which clocks in `zone` first show that time on that day."""
    return instant_of(dt.datetime.combine(day, parsed(text)), zone)


def next_due(instant: dt.datetime, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The first such instant later than `instant`: of a turn that is due at 22:00, 07:00 is that of the next day."""
    day = instant.astimezone(zone).date()
    found = due(day, text, zone)
    return found if found > instant else due(day + _DAY, text, zone)


def last_due(instant: dt.datetime, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The last such instant that is not later than `instant`."""
    day = instant.astimezone(zone).date()
    found = due(day, text, zone)
    return found if found <= instant else due(day - _DAY, text, zone)


def passed(times: Times, instant: dt.datetime, text: str, zone: dt.tzinfo) -> Expected:
    """The newest turn whose deadline was at `instant` or before."""
    latest = times.latest(last_due(instant, text, zone) - _TICK)
    return Expected(latest, next_due(latest, text, zone))


def upcoming(times: Times, instant: dt.datetime, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The first deadline later than `instant` that a turn has."""
    return next_due(times.after(last_due(instant, text, zone) - _TICK), text, zone)
