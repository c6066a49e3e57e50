"""When a turn is due: `Cron` lines in a time zone, and `Every` so many seconds. Instants are aware, answers UTC.

Both are sets of instants that depend on nothing but the line: hosts whose clocks agree find the same turns due.
"""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from cronsim import CronSim, CronSimError

from etlctl.schedule.zones import zone_of
from etlctl.text import printable, shortened

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)
_HOUR = dt.timedelta(hours=1)
_FIELDS = 5
_LEAST_S = 1
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@annually": "0 0 1 1 *",
    "@yearly": "0 0 1 1 *",
}
"""crontab(5)."""


class Times(Protocol):
    """The instants at which something is due."""

    @property
    def text(self) -> str:
        """As a person would write it."""

    def after(self, instant: dt.datetime) -> dt.datetime:
        """The first one later than `instant`."""

    def latest(self, instant: dt.datetime) -> dt.datetime:
        """The last one that is not later than `instant`."""


class Every:
    """Each multiple of `seconds` since 1970-01-01T00:00Z; ValueError for less than a second."""

    def __init__(self, seconds: float) -> None:
        if not seconds >= _LEAST_S:  # nor nan
            raise ValueError(f"every {seconds:g} s is too often: once a second is the most.")
        self.seconds = seconds
        self._step = dt.timedelta(microseconds=round(seconds * 1_000_000))
        self.text = f"every {_length(self._step)}"

    def after(self, instant: dt.datetime) -> dt.datetime:
        """The first one later than `instant`."""
        return self.latest(instant) + self._step

    def latest(self, instant: dt.datetime) -> dt.datetime:
        """The last one that is not later than `instant`."""
        return _EPOCH + (_utc(instant) - _EPOCH) // self._step * self._step


class Cron:
    """The five fields of crontab(5), or a word such as `@daily`, read in the zone of that name, by Debian's rules.

    A time of day that clocks skip is due once, at the next minute that they show; one that they show twice is due
    once, the first time. Where minute or hour begins with `*`, a line means stretches of time: it is due in each hour
    that passes, the doubled one too, and not in one that does not exist. ValueError, as the end of a sentence, for a
    line or a zone that cannot be read.
    """

    def __init__(self, line: str, zone: str = "UTC") -> None:
        self.fields = " ".join(_NAMED.get(line.strip().lower(), line).split())
        """The line with its five fields, divided by single blanks."""
        self.zone = zone
        self.text = f"cron {self.fields} ({zone})"
        self._zone = zone_of(zone)
        shown = printable(shortened(line, 60))
        if len(self.fields.split()) != _FIELDS:
            words = ", ".join(_NAMED)
            raise ValueError(
                f"'{shown}' is no cron line: minute, hour, day of month, month, day of week, as in 0 6 * * *, "
                f"or one of {words}."
            )
        try:
            self.after(_EPOCH)
        except CronSimError as error:
            what = str(error).removeprefix("Bad ")
            raise ValueError(f"'{shown}' is a cron line whose {what} cannot be: see crontab(5).") from None
        except StopIteration:
            raise ValueError(f"'{shown}' is a cron line that is never due.") from None

    def after(self, instant: dt.datetime) -> dt.datetime:
        """The first one later than `instant`."""
        line = CronSim(self.fields, instant.astimezone(self._zone))
        found = _utc(next(line))
        while found <= instant:  # in an hour that clocks show twice, cronsim goes on from the first one
            found = _utc(next(line))
        return found

    def latest(self, instant: dt.datetime) -> dt.datetime:
        """The last one that is not later than `instant`."""
        back = _HOUR
        while (found := self.after(instant - back)) > instant:
            back *= 2
        too_late = instant  # what is looked for is `found`, or later and not due after `too_late`
        while (following := self.after(found)) <= instant:
            middle = following + (too_late - following) / 2
            halfway = self.after(middle)
            if halfway <= instant:
                found = halfway
            else:
                found, too_late = following, middle
        return found


def missed(times: Times, last: dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
    """The one turn that makes up for all that were due since `last`, the newest on record; None when none was.

    A clock that was set back finds nothing, as `last` is later than whatever was due by then. Without a record there
    is nothing to make up for.
    """
    if last is None:
        return None
    found = times.latest(now)
    return found if found > last else None


def _utc(instant: dt.datetime) -> dt.datetime:
    return instant.astimezone(dt.UTC)


def _length(step: dt.timedelta) -> str:
    """`30m`, `36h`, `90s`, `1.5s`: in the largest unit of which it is a whole number."""
    for unit, letter in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if not step % dt.timedelta(seconds=unit):
            return f"{step // dt.timedelta(seconds=unit)}{letter}"
    return f"{step / _SECOND:g}s"
