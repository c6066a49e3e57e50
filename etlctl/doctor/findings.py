"""One line of the doctor: what was looked at, how it stands, and how to mend it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

SETTINGS = "settings"
"""The area of what no command could work with: where anything of it failed, the exit code is 2."""


class Level(StrEnum):
    """How it stands; the exit code is 1 where anything failed (2: see SETTINGS), and warnings leave it 0."""

    OK = "ok"
    WARN = "warning"
    FAIL = "failed"


class Finding(NamedTuple):
    """One thing that was looked at. No secret is in it."""

    area: str
    """`connection warehouse`, `state`, `files`."""
    level: Level
    text: str
    mend: str = ""
    """What to do about it; never empty unless it is ok."""


def ok(area: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(area, Level.OK, text)


def warning(area: str, text: str, mend: str) -> Finding:
    """It works, and may not for long, or not as it is meant."""
    return Finding(area, Level.WARN, text, mend)


def told_of(area: str, error: Exception) -> Finding:
    """What a sentence of ours says: its first part is what is wrong, the rest how to mend it."""
    text, _, mend = str(error).partition(". ")
    return failed(area, f"{text.removesuffix('.')}.", mend or "correct it there.")


def failed(area: str, text: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(area, Level.FAIL, text, mend)
