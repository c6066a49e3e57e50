"""What the system offers for processes that are looked after: whose child is whose, what dies with whom, in words.

Linux has more of it than macOS, where a process group is all there is: what leaves its group there is left alone.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

_IS_LINUX = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2), <linux/prctl.h>."""
_LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
"""CONFIG_PROC_CHILDREN, which nearly every kernel has."""
_TICK_S = 0.01
_NOT_OF_OTHERS = 0x20000000 if _IS_LINUX else 0
"""__WNOTHREAD of waitpid(2)."""


def die_with_parent(parent: int) -> None:
    """This process is killed when its parent, the process `parent`, ends. Linux alone."""
    if _IS_LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def adopt_orphans() -> None:
    """Processes below this one whose parent ends become its children, in place of init's. Linux alone."""
    if _IS_LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def has_children(*, of_this_thread: bool = False) -> bool:
    """Whether this process has any child, dead ones that nobody waited for among them; False where it cannot tell.

    `of_this_thread` leaves those out that other threads have started, where the system tells them apart.
    """
    if not hasattr(os, "waitid"):
        return False
    try:
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        os.waitid(os.P_ALL, 0, look | _NOT_OF_OTHERS if of_this_thread else look)
    except ChildProcessError:
        return False
    except OSError:  # before Linux 4.7
        return True
    return True


def end_children(keep: frozenset[int] = frozenset(), patience_s: float = 1.0) -> int:
    """Kills this process's children but those to `keep`, and theirs as they become ours; how many were alive.

    Those that the kernel cannot end within `patience_s` (a disk that does not answer) are left to it.
    """
    killed: set[int] = set()
    until = time.monotonic() + patience_s
    while found := [pid for pid in _children() if pid not in keep]:
        for pid in found:
            if _is_reaped(pid):
                continue
            if pid not in killed:
                killed.add(pid)
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            break
        time.sleep(_TICK_S if any(pid in killed for pid in found) else 0)
    return len(killed)


def end_group(leader: int, number: int) -> None:
    """Sends a signal to a process group; a group that is gone is no error."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(leader, number)


def release_descriptors(keep: frozenset[int]) -> None:
    """Points this process's copies of descriptors that another process works with at /dev/null, but those to `keep`.

    Sockets, pipes, terminals: two processes must not talk over one connection, and a pipe's reader waits until the last
    writer is gone. Their numbers stay taken, so that what still holds one cannot close what has come in its place.
    Files stay open.
    """
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/dev/fd"):
        number = int(name)
        if number in keep or number == nowhere:
            continue
        with suppress(OSError):  # what listed the folder
            mode = os.fstat(number).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (stat.S_ISCHR(mode) and not os.isatty(number))):
                os.dup2(nowhere, number, inheritable=False)
    os.close(nowhere)


def take_standard_descriptors() -> None:
    """Opens 0, 1 and 2 on /dev/null where the caller closed them: a socket of ours would take their number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def end_in_words(status: int) -> str:
    """What became of a process, from the status that waitpid() gave: `was killed by signal 9 (SIGKILL); …`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"left by os._exit({code}), or a library's exit(), before the task had ended"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a real-time signal"
    return f"was killed by signal {-code} ({name}){_HINTS.get(-code, '')}"


_HINTS = {
    int(signal.SIGKILL): "; the kernel's OOM killer does that when memory runs out",
    int(signal.SIGSEGV): ": a library it uses crashed; its log holds where",
    int(signal.SIGBUS): ": a library it uses crashed; its log holds where",
    int(signal.SIGABRT): ": a library it uses gave up; its log may hold why",
}


def _children() -> list[int]:
    if not _LISTS_CHILDREN:
        return []
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # a thread that has ended meanwhile
            found.extend(map(int, Path(f"/proc/self/task/{thread}/children").read_text().split()))
    return found


def _is_reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _prctl(option: int, value: int) -> None:
    import ctypes  # 5 ms that the building process need not wait for

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        if number != errno.EINVAL:  # a kernel that lacks it: then it is as on macOS
            raise OSError(number, os.strerror(number))
