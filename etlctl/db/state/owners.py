"""Names of processes that hold something: who is meant, for people, and whether it is dead for certain.

An owner is `host:machine:pid:start:chance`. `machine` stands for the boot of the system and for the processes that see
each other there (a container has its own numbers of processes on the same boot); `start` is when the process began, as
the system counts, so that another one with its number later is not taken for it.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MOST_HOST = 100


class Owner(NamedTuple):
    """An owner's parts."""

    host: str
    machine: str
    """Empty where the system does not tell."""
    pid: int
    start: str
    """Empty where the system does not tell."""


def this_process() -> str:
    """A new owner's name for this process; two calls give two owners."""
    pid = os.getpid()
    host = re.sub(r"[:\s]", "-", os.uname().nodename)[:_MOST_HOST] or "localhost"
    return f"{host}:{_machine()}:{pid}:{_start_of(pid) or ''}:{os.urandom(6).hex()}"


def parsed(owner: str) -> Owner | None:
    """The parts of a name that `this_process` made somewhere; None for any other text."""
    parts = owner.split(":")
    if len(parts) != 5 or not parts[2].isdecimal():
        return None
    return Owner(parts[0], parts[1], int(parts[2]), parts[3])


def holder(owner: str) -> str:
    """`host:pid`, for people."""
    found = parsed(owner)
    return f"{found.host}:{found.pid}" if found is not None else owner


def is_dead(owner: str) -> bool:
    """Whether it was a process of this machine, and is no more; False wherever that cannot be told for certain."""
    found = parsed(owner)
    if found is None or not found.machine or found.machine != _machine():
        return False
    start = _start_of(found.pid)
    if start is None:
        return not _has_process(found.pid)
    return start == "" or (found.start != "" and start != found.start)


def _start_of(pid: int) -> str | None:
    """When the process began, in ticks since the boot; empty for one that has ended and is not yet taken notice of.

    None where there is no such process, or the system does not tell. Field 22 of proc_pid_stat(5), behind the name,
    which may hold anything.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


def _has_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _machine() -> str:
    """What this boot of the system and this numbering of processes are known by."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        numbering = os.stat("/proc/self/ns/pid").st_ino
        return f"{boot[:16]}.{numbering:x}"
    return _boot_of_macos() if sys.platform == "darwin" else ""


def _boot_of_macos() -> str:
    """kern.bootsessionuuid of sysctl(3), which changes with each boot."""
    import ctypes  # elsewhere nobody needs it

    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(ctypes.sizeof(text))
    try:
        failed = ctypes.CDLL(None).sysctlbyname(
            b"kern.bootsessionuuid", text, ctypes.byref(size), None, ctypes.c_size_t(0)
        )
    except (AttributeError, OSError):
        return ""
    return "" if failed else text.value.decode("ascii", "replace").replace("-", "")[:16].lower()
