"""What a service manager is told: sd_notify(3), without a library. Nothing happens where none listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def notify(text: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Sends `text` to $NOTIFY_SOCKET; whether it was sent. Never waits and never raises."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address[0] == "@":  # unix(7): abstract
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), address)
    except OSError:
        return False
    return True


def watchdog_s(*, environ: Mapping[str, str] = os.environ) -> float | None:
    """How often WATCHDOG has to be sent: half of what $WATCHDOG_USEC allows, as sd_watchdog_enabled(3) asks for; None
    where nobody waits for it."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or not int(microseconds) or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 2_000_000
