"""By when something must be done: a time of day such as `07:00`, on the clocks of a zone."""

from __future__ import annotations

import datetime as dt

from etlctl.core.daytime import parsed
from etlctl.schedule.zones import instant_of


def due(day: dt.date, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The instant, aware UTC, at which clocks in `zone` first show that time on that day."""
    return instant_of(dt.datetime.combine(day, parsed(text)), zone)


def next_due(instant: dt.datetime, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The first such instant later than `instant`: of a turn that is due at 22:00, 07:00 is that of the next day."""
    day = instant.astimezone(zone).date()
    found = due(day, text, zone)
    return found if found > instant else due(day + dt.timedelta(days=1), text, zone)
