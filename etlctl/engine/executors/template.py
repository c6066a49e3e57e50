"""The template: a process forked early from the building one, which forks the workers, reaps them and ends what they
leave behind. It runs no task.

Forking from a process that has threads can copy a lock that nobody will ever open; starting Python anew costs each
worker a fifth of a second and the imports of all pipelines. So a process with one thread is kept to be forked from:
pipelines and settings are in its memory, the building process's connections are not. Where the building process has
threads all the same (a loop, a program that calls build()), the template has to answer, and to find no import under
way that nobody will end; else it is killed and forked once more, a moment later.

    building process                              template
    S number + three descriptors ------------->   forks worker `number`, which goes on in `work(channel, log, ledger)`
    T number signal              ------------->   sends the signal to the worker's process group
                                 <-------------   R 0 imports        it is ready; imports that hang in it
                                 <-------------   B number pid       the worker is there
                                 <-------------   F number errno     it could not be forked
                                 <-------------   D number status    it ended; its group and its orphans were killed

When the building process is gone the template kills every group and leaves. When the template is gone, Linux kills the
workers, and the building process their groups.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import _bootstrap
from types import FrameType
from typing import NamedTuple, NoReturn

from etlctl.engine.executors.processes import (
    adopt_orphans,
    die_with_parent,
    end_children,
    end_group,
    release_descriptors,
    take_standard_descriptors,
)
from etlctl.errors import UnavailableError

_logger = logging.getLogger("etlctl")
ANSWER_S = 10.0
"""For a template that was forked beside threads to say that it is ready, which takes it some hundredths of a second."""
_LONGEST_S = 60.0
"""After so long no further one is forked."""
_PAUSE_S = 0.1
"""Before it is: what a thread holds it may give back by then."""
_ORDER = struct.Struct("!cII")
_EVENT = struct.Struct("!cIi")
_LOOK_S = 1.0
"""Between two looks whether the building process still lives, should some child of its own keep the socket open."""
_LAST_PATIENCE_S = 5.0
_BROKEN = 70  # EX_SOFTWARE of sysexits.h

Work = Callable[[int, int, int], object]
"""What a worker does, given its channel, the pipe for its output and its ledger. It does not return."""


class Event(NamedTuple):
    """What the template tells: `kind` is R, B, F or D, `value` a count, a pid, an errno or a status of waitpid()."""

    kind: str
    number: int
    value: int


class Template:
    """The building process's end. Orders may come from any thread, one at a time."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.connection = connection
        self._read = b""

    @classmethod
    def forked(
        cls, work: Work, warm_up: Callable[[], object] = lambda: None, *, answer_s: float = ANSWER_S
    ) -> Template:
        """Forks it now. The fewer threads this process has, the better; what it has buffered is written first.

        `warm_up` is called in the template before any worker is forked: for imports that each would have to make.
        Where this process has other threads it waits until the template is ready. UnavailableError where none was
        within a minute: some thread holds on to what it needs.
        """
        if threading.active_count() == 1:
            return cls._forked(work, warm_up)
        until = time.monotonic() + _LONGEST_S
        while True:
            template = cls._forked(work, warm_up)
            why = template._why_not_ready(answer_s)
            if not why:
                return template
            template.kill()
            if time.monotonic() > until:
                raise UnavailableError(f"The process that workers are forked from could not be had: {why}.")
            _logger.warning("the process that workers are forked from is forked again: %s", why)
            time.sleep(_PAUSE_S)

    @classmethod
    def _forked(cls, work: Work, warm_up: Callable[[], object]) -> Template:
        take_standard_descriptors()
        ours, theirs = socket.socketpair()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()  # or the copies of its buffer would be written as well
        building = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: Python 3.12 does not know our reasons
            pid = os.fork()
        if pid == 0:
            _never_returning(lambda: _serve(theirs, building, work, warm_up))
        theirs.close()
        return cls(pid, ours)

    def _why_not_ready(self, answer_s: float) -> str:
        """Waits for its first word; empty once it is fit to be forked from."""
        ready, _, _ = select.select([self.connection], [], [], answer_s)
        if not ready:
            return f"it did not answer within {answer_s:g} s, so it waits for what a thread held when it was forked"
        first = next(iter(self.events() or ()), None)
        if first is None:
            return "it ended at once"
        return f"threads were importing {first.value} modules" if first.value else ""

    def spawn(self, number: int, channel: int, log: int, ledger: int) -> None:
        """Has a worker forked that gets the descriptors. Raises OSError when the template is gone."""
        socket.send_fds(self.connection, [_ORDER.pack(b"S", number, 0)], [channel, log, ledger])

    def signal(self, number: int, signum: int) -> None:
        """Sends a signal to a worker's group; nothing where worker or template are gone."""
        with suppress(OSError):
            self.connection.sendall(_ORDER.pack(b"T", number, signum))

    def events(self) -> list[Event] | None:
        """What it has told since the last call, once something can be read; None when it is gone."""
        try:
            data = self.connection.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            return None
        self._read += data
        whole = len(self._read) // _EVENT.size * _EVENT.size
        found = [Event(kind.decode(), number, value) for kind, number, value in _EVENT.iter_unpack(self._read[:whole])]
        self._read = self._read[whole:]
        return found

    def kill(self) -> None:
        """Ends one that no worker was forked from."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> int | None:
        """Lets it kill what is left and waits for its end: its status of waitpid(); None where another reaped it."""
        self.connection.close()
        try:
            return os.waitpid(self.pid, 0)[1]
        except ChildProcessError:
            return None


class _Server:
    """The template itself."""

    def __init__(self, control: socket.socket, building: int, work: Work) -> None:
        self._control = control
        self._building = building
        self._work = work
        self._pid = os.getpid()
        self._workers: dict[int, int] = {}
        self._woken, self._wakes = os.pipe()

    def serve(self) -> None:
        self._tell(b"R", 0, _hanging_imports())
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakes, False)
        signal.signal(signal.SIGCHLD, _noticed)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        while os.getppid() == self._building:
            ready, _, _ = select.select([self._control.fileno(), self._woken], [], [], _LOOK_S)
            if self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._obey():
                break
        self._end_all()

    def _obey(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _ORDER.size, 3)
            while data and len(data) < _ORDER.size:
                more = self._control.recv(_ORDER.size - len(data))
                data = data + more if more else b""
        except ConnectionError:
            data, descriptors = b"", []
        if not data:
            return False
        kind, number, value = _ORDER.unpack(data)
        if kind == b"S":
            self._spawn(number, *descriptors)
        elif number in self._workers:
            end_group(self._workers[number], value)
        return True

    def _spawn(self, number: int, channel: int, log: int, ledger: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until the worker can take it
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(b"F", number, error.errno or 0)
            return
        else:
            if pid == 0:
                _never_returning(lambda: self._become_worker(channel, log, ledger))
            with suppress(OSError):  # whoever of the two is first
                os.setpgid(pid, pid)
            self._workers[number] = pid
            self._tell(b"B", number, pid)
        finally:
            for descriptor in (channel, log, ledger):
                os.close(descriptor)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _become_worker(self, channel: int, log: int, ledger: int) -> None:
        with suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._woken)
        os.close(self._wakes)
        self._control.close()
        die_with_parent(self._pid)
        adopt_orphans()
        self._work(channel, log, ledger)

    def _reap(self) -> None:
        for number, pid in list(self._workers.items()):
            status = _ended(pid)
            if status is not None:
                del self._workers[number]
                end_children(frozenset(self._workers.values()))  # its own: those of living workers are theirs
                self._tell(b"D", number, status)

    def _tell(self, kind: bytes, number: int, value: int) -> None:
        with suppress(ConnectionError):  # the next look at the socket finds its end
            self._control.sendall(_EVENT.pack(kind, number, value))

    def _end_all(self) -> None:
        for pid in self._workers.values():
            end_group(pid, signal.SIGKILL)
        for pid in self._workers.values():
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        end_children(patience_s=_LAST_PATIENCE_S)


def _noticed(number: int, frame: FrameType | None) -> None:
    """Of SIGCHLD: that there is a handler is what has Python write to the wake-up descriptor."""


def _ended(pid: int) -> int | None:
    """The status of a child that has ended; its group is killed before its number can be anybody else's."""
    if hasattr(os, "waitid"):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        end_group(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]
    found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        return None
    end_group(pid, signal.SIGKILL)
    return status


def _serve(control: socket.socket, building: int, work: Work, warm_up: Callable[[], object]) -> None:
    os.setsid()  # no terminal: its Ctrl-C does not come here, and what asks for a password fails in place of waiting
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)
    adopt_orphans()
    release_descriptors(frozenset({control.fileno(), 2}))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nowhere, number)
    warm_up()
    _try_locks(nowhere)
    os.close(nowhere)
    gc.freeze()  # the graph is nothing that a worker's collections need look at, nor copy by looking
    _Server(control, building, work).serve()


def _try_locks(nowhere: int) -> None:
    """Takes and gives back what workers will need, and a thread of the building process may have held at the fork.

    Whoever waits for ever here does not answer, and is not forked from. Python itself renews those of logging. What a
    thread was just writing to a stream is the building process's to write.
    """
    kept = os.dup(2)
    os.dup2(nowhere, 2)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os.dup2(kept, 2)
    os.close(kept)
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _hanging_imports() -> int:
    """Modules that threads were importing at the fork: to import one of these here is to wait for ever."""
    locks: dict[str, Callable[[], object]] = getattr(_bootstrap, "_module_locks", {})
    found = [made() for made in list(locks.values())]
    return sum(getattr(lock, "owner", None) not in (None, threading.get_ident()) for lock in found)


def _never_returning(go_on: Callable[[], None]) -> NoReturn:
    """What a forked process does in place of going on with the program it is a copy of."""
    code = 0
    try:
        go_on()
    except BaseException:  # noqa: BLE001  it must not reach the frames below, which are another process's
        code = _BROKEN
        with suppress(BaseException):
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)
