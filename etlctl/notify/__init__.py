"""Notifications: who is told how a run ended, and of what is late; never in the way of the work.

    with …: notifications = opened(settings.notify, project=…, profile=…, secrets=settings.secrets())
    observers=[notifications]            run_finished: one digest a run and notifier
    notifications.alert("deadline", …)   a message of its own
    notifications.trouble(Trouble(…))    what goes wrong in a loop itself, once; trouble_is_over(…)
    notifications.close()                waits CLOSE_WAIT_S at most

A notifier of one's own is an entry point of the group `etlctl.notifiers`; `Notifier` is what it gives.
"""

from __future__ import annotations

from etlctl.notify.channel import Notifier
from etlctl.notify.memory import LocalMemory, Memory
from etlctl.notify.message import Item, Message, NotSent
from etlctl.notify.notifications import CLOSE_WAIT_S, Notifications, opened
from etlctl.notify.troubles import Trouble

__all__ = [
    "CLOSE_WAIT_S",
    "Item",
    "LocalMemory",
    "Memory",
    "Message",
    "NotSent",
    "Notifications",
    "Notifier",
    "Trouble",
    "opened",
]
