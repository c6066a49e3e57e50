"""By when something must be done: a time of day such as `07:00`, on the clocks of a zone."""

from __future__ import annotations

import datetime as dt
import re

from etlctl.schedule.zones import instant_of
from etlctl.text import printable, shortened


def parsed(text: str) -> dt.time:
    """The time of day that `text` is; ValueError, as the end of a sentence, when it is none."""
    found = re.fullmatch("([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if found is None:
        raise ValueError(f"'{printable(shortened(text, 40))}' is no time of day from 00:00 to 23:59, as in 07:00.")
    return dt.time(int(found[1]), int(found[2]))


def due(day: dt.date, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The instant, aware UTC, at which clocks in `zone` first show that time on that day."""
    return instant_of(dt.datetime.combine(day, parsed(text)), zone)


def next_due(instant: dt.datetime, text: str, zone: dt.tzinfo) -> dt.datetime:
    """The first such instant later than `instant`: of a turn that is due at 22:00, 07:00 is that of the next day."""
    day = instant.astimezone(zone).date()
    found = due(day, text, zone)
    return found if found > instant else due(day + dt.timedelta(days=1), text, zone)
