"""Stretches of time as settings and options take them: `90m`, `6h`, `1d`, `2w`, `0`; and waits, also as seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping

_UNITS_S: Mapping[str, int] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
MOST_AGE_S = 36_600 * 86_400.0
"""A hundred years: a moment that long ago can still be written as a date."""


def age_s(text: str) -> float | None:
    """The seconds of a whole number and its unit; None for any other text, and for more than a hundred years."""
    match = re.fullmatch("([0-9]{1,6})([smhdw])", "0s" if text == "0" else text)
    found = int(match[1]) * float(_UNITS_S[match[2]]) if match is not None else None
    return found if found is not None and found <= MOST_AGE_S else None


def wait_s(told: object) -> float | None:
    """The seconds that a wait may last: a number of them, as one or as a text, or an age. None for anything else."""
    if isinstance(told, str):
        if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,9})?", told):
            return age_s(told)
        told = float(told)
    if not isinstance(told, (int, float)) or isinstance(told, bool):
        return None
    return float(told) if 0 <= told <= MOST_AGE_S else None  # nor nan
