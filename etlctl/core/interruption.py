"""The exception by which a person ends what runs, made so that it cannot be lost on its way.

A signal's handler raises wherever the program happens to be: also in compiled code that clears errors (SQLAlchemy has
some), in a finalizer, or in a callback of a C library. Python then says "Exception ignored" at best, and goes on.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

_AGAIN = signal.SIGURG
"""Wakes the main thread from whatever it waits in. Does nothing where it has no handler, and is used for next to
nothing; the signal that was sent ends the process by now."""
_PAUSE_S = 0.05
"""Between a loss and the next try: what lost it is left by then, and what follows a broken statement has raised."""


class Interruption(KeyboardInterrupt):
    """What the second signal raises. Freed before anybody has `heard` of it, it is raised in the main thread again.

    A kind of its own for another reason too: a plain KeyboardInterrupt that passes through `exec("...")` makes Python
    end the process by SIGINT, whatever exit code the program has chosen.
    """

    is_heard = False
    """Whether the last one has come to where it was to come."""
    is_under_way = False
    """Whether one was raised, and nobody has heard of it yet."""

    def __init__(self) -> None:
        super().__init__()
        Interruption.is_heard, Interruption.is_under_way = False, True
        self._pid = os.getpid()

    def __del__(self) -> None:
        if not Interruption.is_heard and os.getpid() == self._pid and not sys.is_finalizing():
            _thread.start_new_thread(_raise_again, ())  # threading's own lock may be held where this runs


def heard(error: BaseException | None) -> bool:
    """Whether `error` is a user's wish to end: it is obeyed now, and does not come again."""
    is_wish = isinstance(error, KeyboardInterrupt)
    if is_wish:
        Interruption.is_heard, Interruption.is_under_way = True, False
    return is_wish


def wish_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """What a signal raised, where `error` is that or came of it; None for whatever a program raises by itself.

    A plain KeyboardInterrupt counts while an Interruption is under way: SQLite loses the one and gives the other.
    """
    if not Interruption.is_under_way:
        return None
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # a chain made by hand may be a ring
        if isinstance(error, KeyboardInterrupt):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def interrupt() -> NoReturn:
    """Raises an Interruption; called by a signal's handler, thus in the main thread."""
    signal.signal(_AGAIN, _received_again)
    raise Interruption


def _received_again(_number: int, _frame: FrameType | None) -> None:
    if not Interruption.is_heard:
        raise Interruption


def _raise_again() -> None:
    time.sleep(_PAUSE_S)
    ident = threading.main_thread().ident
    if not Interruption.is_heard and ident is not None:
        signal.pthread_kill(ident, _AGAIN)
