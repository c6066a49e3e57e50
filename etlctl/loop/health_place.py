"""Whether the health file may be where it is wanted: it is replaced every few seconds, and removed at the end."""

from __future__ import annotations

import json
import os
from pathlib import Path

from etlctl.errors import UsageError

_MOST_BYTES = 1 << 20
_MARK = "written_at"
"""What every document of health has."""
_BY = "by --health-file, or by health_file in [loop] of the settings"


def check_place(file: Path) -> None:
    """Before anything is written. Raises UsageError for a folder that is not there, and for anything at that place that
    is no health file: a slip, or a device, would be gone."""
    if not file.parent.is_dir():
        raise UsageError(
            f"The health file {file} would be in {file.parent}, which is no folder. Make it, or name another one {_BY}."
        )
    if not os.path.lexists(file):
        return
    try:
        ours = file.is_file() and _is_health(file)
    except OSError as error:
        raise UsageError(
            f"The health file {file} is there and cannot be read: {error.strerror}. Name another one {_BY}."
        ) from error
    if not ours:
        raise UsageError(
            f"{file} is there and is no health file: it would be replaced, and removed at the end. Name another one "
            f"{_BY}."
        )


def _is_health(file: Path) -> bool:
    """A document of a loop's health, or nothing at all: what mktemp makes."""
    with file.open("rb") as found:
        data = found.read(_MOST_BYTES)
    if not data:
        return True
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and _MARK in document
