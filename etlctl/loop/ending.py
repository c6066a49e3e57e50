"""How a loop ends: gently at the first signal, for `grace` seconds; then at once; and in any case it does end.

    a signal        the handler (main thread)             the watch (a thread)
    the first       no new task; the loop's wait ends     the grace begins
    the second, or
    grace is over   raises an Interruption in the task    LEAVE_S until the process leaves by itself
    SIGHUP          the loop's wait ends: reload          -

A handler of Python runs when the main thread comes to Python code, which a driver's call in C may put off for long. So
the watch does not count on handlers: it reads what signals came from the descriptor that Python's own handler in C
writes to (signal.set_wakeup_fd), and keeps the time. A process that leaves by os._exit() does no harm: the server rolls
back what a lost connection had open, and the leases of a dead process are free.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType

from etlctl.core.interruption import Interruption
from etlctl.core.signals import CODES, Interrupts, handled, obey, tell
from etlctl.errors import ExitCode

_logger = logging.getLogger("etlctl")
HEARD_S = 1.0
"""How long an Interruption may take to come to where it ends a task."""
LEAVE_S = 1.7
"""How long what follows from it may take: rollback, leases, workers, the summary."""
_OWN_S = 0.2
"""How long the main thread has to come to a second signal by itself, before it is pushed."""
_PUSH = signal.SIGURG
"""Wakes the main thread from what it waits in. Without a handler it does nothing, so one too late does no harm."""
_LONGEST_WAIT_S = 86_400.0
_AT_ONCE = 4096
_NEVER = 1_000_000
_MARGIN_S = 0.4
"""Between the end of what somebody closes and the end that is forced."""
_ASKED = 0
_CLOSED = 255
"""What the watch is told beside the numbers of signals: end() was called, the block is left."""


class Ending:
    """A context manager of the main thread: within it SIGTERM, SIGINT and SIGHUP do what the module says.

    As a function it is the `stop` of a build. Without any signal it leaves nothing behind. Was there one, then the
    process has LEAVE_S after the block: a thread that a task has left may not keep it.
    """

    def __init__(
        self,
        grace_s: float,
        *,
        on_end: Callable[[], object] = lambda: None,
        leave: Callable[[int], object] = os._exit,
        says: Callable[[str], object] = tell,
        is_at_work: Callable[[], bool] = lambda: True,
    ) -> None:
        """`on_end` is called once when the first signal has come, in the thread of the watch; `says` takes what is
        said of it, in a handler. `is_at_work` tells whether there are tasks that an end leaves."""
        self._interrupts = Interrupts(f"stopping; what runs has {grace_s:g} s to end; once more stops it now")
        self._interrupts.says = self.says = says
        self.is_at_work = is_at_work
        self._reloads = self._reloads_taken = 0
        self._wakes_up = _Pipe()
        self._watch = _Watch(self, grace_s, on_end, leave)
        self._block = ExitStack()

    def __enter__(self) -> Ending:
        self._block.enter_context(
            handled(
                {
                    signal.SIGTERM: self._received,
                    signal.SIGINT: self._received,
                    signal.SIGHUP: self._hung_up,
                    _PUSH: self._pushed,
                },
                always=[signal.SIGHUP],  # nohup means the terminal's end, which is none of a loop; reloads are
            )
        )
        self._watch.start()
        self._block.callback(self._watch.close)
        return self

    def __exit__(self, *exception: object) -> None:
        self._block.close()
        self._wakes_up.close()

    def __call__(self) -> ExitCode | None:
        """The exit code of the first signal; None while there was none."""
        return self._interrupts.code

    @property
    def is_cut_short(self) -> bool:
        """Whether what runs was ended: by a second signal, or since its grace was over."""
        return self._interrupts.is_cut_short

    def end(self, code: ExitCode = ExitCode.TERMINATED) -> None:
        """As the first signal does. From any thread."""
        self._interrupts.end(code)
        self._watch.told(_ASKED)
        self.wake()

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or earlier: at a signal, at wake(), after a day; at once when the end was asked for.

        What came since the last wait counts: no wake-up is lost between two of them.
        """
        if self() is None:
            self._wakes_up.wait(min(max(seconds, 0.0), _LONGEST_WAIT_S))

    def wake(self) -> None:
        """Ends the wait under way, or else the next one. From any thread, and from handlers."""
        self._wakes_up.write(b"\0")

    def take_reload(self) -> bool:
        """Whether SIGHUP came since the last call; never when the end was asked for."""
        seen, before = self._reloads, self._reloads_taken
        self._reloads_taken = seen
        return seen != before and self() is None

    def patience_s(self) -> float:
        """How long what is closed at the end may take before it is ended; without a signal for ever."""
        return math.inf if self() is None else self._watch.patience_s()

    def _received(self, number: int, frame: FrameType | None) -> None:
        if not self._interrupts.is_copy:
            self._watch.handled(number)
        self._interrupts.received(number, frame)
        self.wake()

    def _hung_up(self, number: int, _frame: FrameType | None) -> None:
        if self._interrupts.is_copy:
            obey(number)
        else:
            self._reloads += 1
            self.wake()

    def _pushed(self, _number: int, _frame: FrameType | None) -> None:
        if not self._interrupts.is_copy and not self.is_cut_short and self() is not None:
            self._interrupts.cut_short()


class _Watch:
    """The thread that keeps the time of an end. It touches nothing of what it ends."""

    def __init__(
        self, ending: Ending, grace_s: float, on_end: Callable[[], object], leave: Callable[[int], object]
    ) -> None:
        self._ending = ending
        self._grace_s = grace_s
        self._on_end = on_end
        self._leave = leave
        self._news = _Pipe()
        self._before = -1
        self._main = threading.get_ident()
        self._asks: list[ExitCode] = []
        """What each signal came to so far; handlers may know less."""
        self._asked_at = math.inf
        """When the grace began, by the monotonic clock."""
        self._leaves_at: float | None = None
        """Once it is over."""
        self._is_closed = False
        self._masks = threading.local()
        self._thread = threading.Thread(target=self._serve, name="etlctl-ending", daemon=True)

    def start(self) -> None:
        self._before = signal.set_wakeup_fd(self._news.descriptor, warn_on_full_buffer=False)
        os.register_at_fork(
            before=self._hold_signals, after_in_parent=self._release_signals, after_in_child=self._forget
        )
        self._thread.start()

    def close(self) -> None:
        """The block is left. Without a signal the thread ends here."""
        signal.set_wakeup_fd(self._before)
        self.told(_CLOSED)
        if self._ending() is None:
            self._thread.join()
            self._news.close()

    def handled(self, number: int) -> None:
        """In a signal's handler: an event loop of a task may have kept the signal from the watch. asyncio's takes the
        descriptor, and leaves none."""
        ours = self._news.descriptor
        now = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if now != ours:
            self.told(number)
            if now != -1:
                signal.set_wakeup_fd(now, warn_on_full_buffer=False)

    def told(self, what: int) -> None:
        self._news.write(bytes([what]))

    def patience_s(self) -> float:
        """See Ending; in the main thread. A second signal may be known here before it is there."""
        now = time.monotonic()
        if self._ending.is_cut_short:
            until = min(self._leaves_at or math.inf, now + LEAVE_S)
        else:
            until = min(self._asked_at, now) + self._grace_s
        return max(0.0, until - now - _MARGIN_S)

    def _hold_signals(self) -> None:
        """Before a fork: a signal that comes to the new process before _forget() would be written to our descriptor,
        and end the loop; multiprocessing's Pool.terminate() sends one to processes that may not have run yet."""
        self._masks.before = None if self._is_closed else signal.pthread_sigmask(signal.SIG_BLOCK, CODES)

    def _release_signals(self) -> None:
        if self._masks.before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _forget(self) -> None:
        """In a forked process: its signals are not ours."""
        now = signal.set_wakeup_fd(-1)
        if now != self._news.descriptor:
            signal.set_wakeup_fd(now)
        self._release_signals()

    def _serve(self) -> None:
        self._await(1, None)
        if self._asks:
            self._asked_at = time.monotonic()
            self._begin_end()
            self._await(2, self._grace_s)
            began = time.monotonic()
            self._leaves_at = began + LEAVE_S
            if not self._is_closed:
                self._push()
                self._await_hearing(began)
            time.sleep(max(0.0, self._leaves_at - time.monotonic()))
            self._leave_now()

    def _await(self, asks: int, patience_s: float | None) -> None:
        """Returns when so many signals have come, or the block is left, or the time is over."""
        until = None if patience_s is None else time.monotonic() + patience_s
        while len(self._asks) < asks and not self._is_closed:
            left_s = None if until is None else until - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            for one in self._news.wait(left_s):
                self._note(one)

    def _note(self, one: int) -> None:
        if one == _CLOSED:
            self._is_closed = True
        elif one in (signal.SIGINT, signal.SIGTERM):
            self._asks.append(CODES[one])
        elif one == _ASKED and not self._asks:
            self._asks.append(self._ending() or ExitCode.TERMINATED)

    def _begin_end(self) -> None:
        try:
            self._on_end()
        except Exception:
            _logger.exception("the end of the loop could not be told")

    def _push(self) -> None:
        """Has the Interruption raised, where a second signal has not done so."""
        if len(self._asks) > 1:
            time.sleep(_OWN_S)
        if not self._ending.is_cut_short:
            signal.pthread_kill(self._main, _PUSH)

    def _await_hearing(self, began: float) -> None:
        """Leaves where nothing comes of the Interruption."""
        self._await(_NEVER, HEARD_S - (time.monotonic() - began))
        if not self._is_closed and not Interruption.is_heard:
            self._leave_now()

    def _leave_now(self) -> None:
        """Says what is left: without a task at work it is something at the end itself, or a thread of a task's."""
        what = "what runs" if self._ending.is_at_work() and not self._is_closed else "what was still open"
        self._ending.says(f"etlctl: {what} did not end in time; left without it.")
        self._leave(self._ending() or self._asks[0])


class _Pipe:
    """Wakes a thread. Writing never waits; what came while nobody read is there later; after close() nothing is."""

    def __init__(self) -> None:
        self._reads, self._writes = socket.socketpair()
        self._reads.setblocking(False)
        self._writes.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._reads, select.POLLIN)

    @property
    def descriptor(self) -> int:
        """Where bytes may be written to."""
        return self._writes.fileno()

    def write(self, data: bytes) -> None:
        with suppress(OSError):  # full, then whoever reads is woken by what is there; or closed
            self._writes.send(data)

    def wait(self, seconds: float | None) -> bytes:
        """What was written since the last call, for which it waits so long."""
        self._poll.poll(None if seconds is None else math.ceil(seconds * 1000))
        try:
            return self._reads.recv(_AT_ONCE)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self._reads.close()
        self._writes.close()
