"""How often Python looks for cycles of objects to free, while many are made that all stay; and at the very end."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_RARELY = 500_000
"""New containers between two looks, in place of Python's 700: some 50 MB of cycles may lie about meanwhile. Planning
10,000 tasks makes 150,000 that stay, importing SQLAlchemy as many, and hardly a cycle that could go, so the looks at
all of them were a tenth of the time."""

_MANY = 10_000
"""Not worth a search: two megabytes."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """For a block that imports or plans; never around a task's run(), whose cycles may hold far more than a graph's."""
    before = gc.get_threshold()
    _collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Apart:
    """How many objects may be there before garbage is sought among the old ones.

    Python does so when a quarter has been added to them, and does not count what comes back from being set apart: one
    build after the other would leave its graph behind.
    """

    def __init__(self) -> None:
        self.is_begun = False
        self._most = 0

    def begin(self) -> None:
        self.is_begun = True
        gc.collect(1)
        gc.freeze()
        if self._most and gc.get_freeze_count() > self._most:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._most = 0
        self._most = self._most or gc.get_freeze_count() * 5 // 4 + _MANY

    def end(self) -> None:
        gc.unfreeze()
        self.is_begun = False


_apart = _Apart()


@contextmanager
def set_apart() -> Iterator[None]:
    """For a block that makes cycles of its own: what is there at its begin is not looked through again and again."""
    # else whoever has set things apart, a build around this one, ends it too; counting takes 10 ms where there are many
    is_ours = not (_apart.is_begun or gc.get_freeze_count())
    if is_ours:
        _apart.begin()
    try:
        yield
    finally:
        if is_ours:
            _apart.end()


def left_to_the_system() -> None:
    """From here on cycles are sought rarely, and at the end the system takes the memory back as a whole.

    Only for a process that runs no task: its cycles may hold far more, and a file that one left open in a cycle would
    not be flushed.
    """
    _collect_rarely()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def _collect_rarely() -> None:
    often, *rest = gc.get_threshold()
    gc.set_threshold(max(often, _RARELY) if often else 0, *rest)  # 0: somebody has switched it off
