"""Processes that an attempt in this very process starts, and the end of those that it leaves running. Linux alone.

The building process has children of its own, and the program around it may: what is an attempt's is what this thread
has started while the attempt was at work, and no more is touched.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from etlctl.engine.executors.processes import has_children

_MOST_NAMED = 3


def of_this_thread() -> frozenset[int]:
    """The children that this thread has started, ended ones that nobody waited for among them."""
    if not has_children(of_this_thread=True):
        return frozenset()
    return frozenset(_listed(Path(f"/proc/self/task/{threading.get_native_id()}/children")))


def end(started: Iterable[int]) -> str:
    """Kills those of our children `started` that still run, and all below them; a sentence that tells of it, or "".

    Nobody is waited for: whoever has started a process may still ask what became of it.
    """
    left = {pid: name for pid in sorted(started) if (name := _name_of_running(pid))}
    if not left:
        return ""
    for pid in [one for root in left for one in _tree(root)]:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    shown = ", ".join(f"{name} (pid {pid})" for pid, name in list(left.items())[:_MOST_NAMED])
    more = ", …" if len(left) > _MOST_NAMED else ""
    which = "processes running, which were" if len(left) > 1 else "process running, which was"
    return f"run() left {len(left)} {which} ended: {shown}{more}"


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _listed(children):
            yield from _tree(child)


def _listed(file: Path) -> list[int]:
    try:
        return [int(word) for word in file.read_text().split()]
    except OSError:  # it has ended meanwhile; or a kernel without CONFIG_PROC_CHILDREN, which hardly any is
        return []


def _name_of_running(pid: int) -> str:
    """Empty for one that has ended."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return ""
    return "" if after.split()[0] in "ZX" else before.partition("(")[2]
