"""How often Python looks for cycles of objects to free, while many are made that all stay; and at the very end."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_RARELY = 50_000
"""New containers between two looks, in place of Python's 700: some 10 MB of cycles may lie about meanwhile. Planning
10,000 tasks, or importing SQLAlchemy, makes hundreds of thousands of objects and hardly a cycle that could go, so the
looks at all of them were a tenth of the time."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """For a block that imports or plans; never around a task's run(), whose cycles may hold far more than a graph's."""
    often, *rest = gc.get_threshold()
    gc.set_threshold(max(often, _RARELY) if often else 0, *rest)  # 0: somebody has switched it off
    try:
        yield
    finally:
        gc.set_threshold(often, *rest)


def left_at_exit() -> None:
    """The interpreter ends without taking its cycles apart one by one: the system takes the memory back as a whole.

    Only for a process that has run no task: a file that a task left open in a cycle would not be flushed.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
