"""Who runs a build, and of which commit; read from this process and from files alone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from etlctl.db.state.owners import this_process
from etlctl.db.state.records import clean


class Process(NamedTuple):
    """Whose run it is."""

    owner: str
    """As `owners.this_process` gave it."""
    pid: int
    began_s: float
    """When the run began, by the monotonic clock."""


def this_one() -> Process:
    """This process, with a run that begins now."""
    return Process(this_process(), os.getpid(), time.monotonic())


def user_name() -> str:
    """Who runs it: the login name, or the number of a user without one (a container)."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def code_version(project: Path) -> str | None:
    """The commit that the project's git repository is at, read from its files; None outside of one."""
    for folder in (project, *project.parents):
        place = folder / ".git"
        try:
            if place.is_file():  # a worktree: "gitdir: PATH"
                place = folder / place.read_text(encoding="utf-8").partition(":")[2].strip()
            elif not place.is_dir():
                continue
            return _commit(place)
        except (OSError, UnicodeDecodeError):
            return None
    return None


def _commit(place: Path) -> str | None:
    head = (place / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref:"):
        return clean(head, 64) or None
    name = head.partition(":")[2].strip()
    common = place / "commondir"
    shared = place / common.read_text(encoding="utf-8").strip() if common.exists() else place
    for folder in (place, shared):
        loose = folder / name
        if loose.is_file():
            return clean(loose.read_text(encoding="utf-8").strip(), 64) or None
    for line in (shared / "packed-refs").read_text(encoding="utf-8").splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return clean(commit, 64)
    return None
