"""Whether a file that is not there could be made: tried with a folder, which is removed at once."""

from __future__ import annotations

import tempfile
from pathlib import Path


def unwritable(file: Path) -> tuple[Path, str]:
    """The nearest folder above `file` that is there, and why nothing can be made in it; an empty text where it can.

    Rights alone do not tell: a disk may be full or read-only, and nobody makes a folder in /proc.
    """
    folder = next((one for one in file.parents if one.exists()), file.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".etlctl-doctor-", dir=folder):
            return folder, ""
    except OSError as error:
        return folder, error.strerror or type(error).__name__
