"""Temporary files that nobody will ever publish, as a killed process leaves them: found by their names, and removed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from etlctl.targets.temporaries import parse_temporary, this_host
from etlctl.text import printable

_PASSED_OVER = frozenset({".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"})
"""Folders in which no target is looked for."""


@dataclass(frozen=True)
class Leftover:
    """One temporary file, or folder, of a process that is gone."""

    path: str
    size_bytes: int
    written_at: datetime
    """Aware UTC."""


@dataclass(frozen=True)
class SweptFolder:
    """What became of the temporary files below one folder."""

    folder: str
    files: tuple[Leftover, ...]
    """Those that were removed, or only found."""
    errors: tuple[str, ...] = ()
    """What could not be looked at or removed, and why."""


def swept(folders: Iterable[str], *, older_than: datetime, is_dry: bool) -> list[SweptFolder]:
    """Removes temporary files below each folder that were last written before `older_than` (aware).

    Those of a process of this machine that lives are left, however old; `is_dry` tells them, no more. Symbolic links
    are not followed. What cannot be looked at or removed is told, and the others go on.
    """
    return [_sweep(folder, older_than.timestamp(), is_dry) for folder in dict.fromkeys(folders)]


def _sweep(folder: str, before_s: float, is_dry: bool) -> SweptFolder:
    removed: list[Leftover] = []
    errors: list[str] = []
    for path in _temporaries_in(folder, errors):
        try:
            told = os.lstat(path)
            if told.st_mtime >= before_s:
                continue
            size = _size_of(path) if stat.S_ISDIR(told.st_mode) else told.st_size
            if not is_dry:
                shutil.rmtree(path) if stat.S_ISDIR(told.st_mode) else os.remove(path)
        except FileNotFoundError:
            continue  # published, or removed by somebody else
        except OSError as error:
            errors.append(_told(path, error))
            continue
        removed.append(Leftover(path, size, datetime.fromtimestamp(told.st_mtime, UTC)))
    return SweptFolder(folder, tuple(removed), tuple(errors))


def _temporaries_in(folder: str, errors: list[str]) -> Iterator[str]:
    """Paths with a temporary name whose process is not known to live."""
    stack = [folder]
    while stack:
        here = stack.pop()
        try:
            with os.scandir(here) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            errors.append(_told(here, error))
            continue
        for entry in entries:
            name = parse_temporary(entry.name)
            if name is not None:
                if not (name.host == this_host() and _lives(name.pid)):
                    yield entry.path
            elif entry.is_dir(follow_symlinks=False) and entry.name not in _PASSED_OVER:
                stack.append(entry.path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _size_of(folder: str) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)


def _told(path: str, error: OSError) -> str:
    return f"{printable(path)}: {error.strerror or error}"
