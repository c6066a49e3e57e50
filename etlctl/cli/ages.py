"""Ages and waits of the command line's options: as the settings take them, with the option's name in the error."""

from __future__ import annotations

import datetime as dt

from etlctl.errors import UsageError
from etlctl.settings import ages
from etlctl.text import shortened

_FORM = "a whole number and one of s, m, h, d and w, as in 6h or 1d"


def age(text: str, option: str) -> dt.timedelta:
    """What `text`, given to `option`, means. Raises UsageError."""
    return dt.timedelta(seconds=_known(ages.age_s(text), text, option, f"it is {_FORM}, and a hundred years at most"))


def wait_s(text: str, option: str) -> float:
    """The seconds that `text`, given to `option`, means. Raises UsageError."""
    return _known(ages.wait_s(text), text, option, f"it is a number of seconds, or {_FORM}")


def _known(found: float | None, text: str, option: str, takes: str) -> float:
    if found is None:
        raise UsageError(f"{option} cannot take {shortened(text)!r}: {takes}.")
    return found
