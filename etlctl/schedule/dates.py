"""The dates that a turn asks for, on the calendar of its schedule's zone."""

from __future__ import annotations

import datetime as dt

from etlctl.core.dates import expand
from etlctl.core.parameters import DateParameter


def turn_dates(word: str, window_days: int, instant: dt.datetime, zone: dt.tzinfo) -> list[dt.date]:
    """The `window_days` dates that end with the one that `word` means at `instant`, oldest first.

    `word` is `yesterday`, `today`, `-3d` or a date; what it means is fixed by the instant at which the turn began, so
    that a midnight in the middle of it changes nothing. ValueError with a plain reason for any other text.
    """
    found = expand(DateParameter(), word, instant.astimezone(zone))
    if len(found) != 1:
        raise ValueError("it is a range; a date is its last day, and window says how many days end with it")
    last: dt.date = found[0]
    if (last - dt.date.min).days < window_days:
        raise ValueError(f"{window_days} days before it there is no calendar")
    return [last - dt.timedelta(days=back) for back in range(window_days - 1, -1, -1)]


def window_words(word: str, window_days: int, instant: dt.datetime, zone: dt.tzinfo) -> str:
    """The same dates as words of a command line, which mean them on any other day too: `-7d..yesterday`."""
    found = turn_dates(word, window_days, instant, zone)
    if window_days == 1:
        return word
    ago = (instant.astimezone(zone).date() - found[0]).days
    if word[:1].isdigit():
        return f"{found[0]}..{word}"
    return f"{'today' if ago == 0 else f'-{ago}d'}..{word}"
