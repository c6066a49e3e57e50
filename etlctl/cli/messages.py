"""Messages to notifiers at the end of a command: they are waited for behind all else that it has to say.

with sent(call) as messages:
    …                           the run, with messages.notifications, and its summary on the screen
# here all are sent, or given up
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlctl.cli.session import Session
from etlctl.core.interruption import heard, interrupt
from etlctl.core.signals import handled

if TYPE_CHECKING:
    from etlctl.notify import Notifications

_SILENT_S = 1.0
"""A wait that nobody is told of; and the longest for somebody in a hurry."""


@dataclass
class Messages:
    """Those of a command."""

    notifications: Notifications | None
    """None where the settings name none."""
    is_hurried: bool = False
    """Whether the command was told twice to end."""


@contextmanager
def sent(call: Session) -> Iterator[Messages]:
    """Notifiers for the block. SettingsError, UsageError for what cannot work."""
    messages = Messages(None)
    if call.settings.notify:
        from etlctl.runs import notifications

        messages.notifications = notifications(call.settings)
    try:
        yield messages
    except KeyboardInterrupt:
        messages.is_hurried = True
        raise
    finally:
        if messages.notifications is not None:
            _wait(call, messages.notifications, is_hurried=messages.is_hurried)


def _wait(call: Session, told: Notifications, *, is_hurried: bool) -> None:
    """Seconds at most; a signal ends it at once, and the command with the code that it has anyway."""
    from etlctl.notify import CLOSE_WAIT_S

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        with handled(dict.fromkeys(numbers, lambda number, frame: interrupt())):  # noqa: ARG005
            if not told.is_idle(_SILENT_S) and not is_hurried:
                left_s = CLOSE_WAIT_S - _SILENT_S
                call.streams.story(f"etlctl: messages are on their way, and waited for {left_s:g} s at most.")
                told.is_idle(left_s)
            told.close(0.0)
    except KeyboardInterrupt as error:
        heard(error)
        told.close(0.0)
