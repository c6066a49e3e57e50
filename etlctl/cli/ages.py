"""Stretches of time as options take them: `90m`, `6h`, `1d`, `2w`, and `0`."""

from __future__ import annotations

import datetime as dt
import re

from etlctl.errors import UsageError
from etlctl.text import shortened

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST = dt.timedelta(days=3660)


def age(text: str, option: str) -> dt.timedelta:
    """What `text`, given to `option`, means. Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", "0s" if text == "0" else text)
    found = dt.timedelta(seconds=int(match[1]) * _UNITS[match[2]]) if match is not None else None
    if found is None or found > _MOST:
        raise UsageError(
            f"{option} cannot take {shortened(text)!r}: it is a whole number and one of s, m, h, d and w, as in "
            "6h or 1d, and ten years at most."
        )
    return found
