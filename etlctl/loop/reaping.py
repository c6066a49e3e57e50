"""The first process of a container: a small init that hands signals on and reaps what nobody waits for.

Orphans become children of process 1, which has to wait for them or they stay as zombies. The process that runs tasks
cannot: waiting for any child takes from whoever started one what became of it (subprocess then says 0, which is
success), and nothing tells an orphan from a child that somebody will ask for later. So process 1 forks the command as
its one child of its own, and whatever else it is given is an orphan. As tini does: <https://github.com/krallin/tini>.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

_HANDED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCONT,
        signal.SIGWINCH,
    }
)
_BLOCKED = _HANDED_ON | {signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU}
"""The kernel keeps blocked signals for process 1 too, whatever handlers there are; SIGTTOU would stop the child when it
takes the terminal."""


def stand_before() -> None:
    """Called in process 1: returns in a child that has it for its init, and never in the caller.

    The child is an ordinary process, to which signals do what they do everywhere. Its exit code becomes that of
    process 1, 128 + N for a signal N; with process 1 the kernel kills whatever is left in the container. Where threads
    run, which a fork would lose, it returns in the caller: some program around it is process 1.
    """
    if threading.active_count() > 1:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    child = os.fork()
    if child:
        os._exit(_attended(child))
    _take_terminal()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_terminal() -> None:
    """A group of its own: the Ctrl-C of a terminal goes to it alone, in place of once directly and once handed on."""
    os.setpgid(0, 0)
    with suppress(OSError):  # there is no terminal, as is usual
        os.tcsetpgrp(0, os.getpgrp())


def _attended(child: int) -> int:
    """The exit code of `child`."""
    while True:
        number = signal.sigwait(_BLOCKED)
        if number in _HANDED_ON:
            os.kill(child, number)
        elif number == signal.SIGCHLD:
            code = _reaped(child)
            if code is not None:
                return code


def _reaped(child: int) -> int | None:
    """Waits for all that has ended; the exit code of `child` once that is among it."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)  # `child` is there, so there is something to wait for
        if not pid:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
