"""One line of the doctor: what was looked at, how it stands, and how to mend it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How it stands; the exit code is 1 where anything failed, and warnings leave it 0."""

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


def failed(area: str, text: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(area, Level.FAIL, text, mend)
