"""How the main thread waits for PostgreSQL so that a person can stop it: signals are seen while libpq blocks.

Python runs signal handlers between byte codes of the main thread, and libpq gives it none while a query computes or
waits for a lock. So each connection has a thread that makes the call, and the main thread waits for its answer in
Python, where a handler runs at once. What a handler raises cancels the statement. psycopg2's own way, a wait callback,
is one for the whole process and cannot COPY.

Python code that a call asks for (the `read()` of a file that is copied in) is run by the main thread all the same: a
generator of a user may hold things that are bound to its thread, such as a SQLite connection.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from psycopg2 import InterfaceError

_PATIENCE_S = 5.0
"""How long a statement that was cancelled may take to end; a server out of reach is not waited for."""

_T = TypeVar("_T")


class _Done:
    """What something came to."""

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self.result = result
        self.error = error

    def unpacked(self) -> Any:
        """The result; raises the error."""
        if self.error is None:
            return self.result
        try:
            raise self.error
        finally:
            self.error = None  # or its traceback would hold itself


class _Call:
    """One call on its way; what it wants done meanwhile goes over `messages` and `answers`."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function: Callable[[], Any] | None = function
        self.messages: SimpleQueue[_Done | Callable[[], Any]] = SimpleQueue()
        self.answers: SimpleQueue[_Done] = SimpleQueue()
        self.has_ended = False

    def make(self) -> None:
        """In the connection's thread."""
        function, self._function = self._function, None
        try:
            done = _Done(function() if function is not None else None)
        except BaseException as error:  # noqa: BLE001  raised in the main thread
            done = _Done(error=error)
        del function
        self.has_ended = True
        self.messages.put(done)

    def served(self) -> _Done:
        """In the main thread: waits for the end, doing what is wanted; an error of that is what the call came to."""
        failed: BaseException | None = None
        while True:
            message = self.messages.get()
            if isinstance(message, _Done):
                return message if failed is None else _Done(error=failed)
            try:
                answer = _Done(message())
            except Exception as error:  # noqa: BLE001  raised when the call has ended
                failed, answer = error, _Done(error=error)
            self.answers.put(answer)
            if failed is None and isinstance(message, _Reading):
                message.look_ahead()  # while the server works at what it was given

    def ended_within(self, seconds: float) -> bool:
        """In the main thread, after it was cancelled: waits, doing nothing that is wanted; whether it ended."""
        self.answers.put(_stopped())  # what the handler has interrupted may be the making of an answer
        while not self.has_ended and seconds > 0:
            try:
                message = self.messages.get(timeout=0.1)
            except Empty:
                seconds -= 0.1
                continue
            if not isinstance(message, _Done):
                self.answers.put(_stopped())
        return self.has_ended


def _stopped() -> _Done:
    return _Done(error=InterruptedError("the load is being stopped"))


class Waiter:
    """Makes the blocking calls of one connection. The thread begins with the first of them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._current: _Call | None = None
        self.is_given_up = False
        """A call was stopped and never came back: the connection is in the hands of libpq for good."""

    def __del__(self) -> None:
        self._let_end()

    def close(self) -> None:
        """Ends the thread, so that none is left when a process is forked after it."""
        thread = self._let_end()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE_S)

    def _let_end(self) -> threading.Thread | None:
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            self._calls.put(None)
            return thread
        return None

    def call(self, cancel: Callable[[], object] | None, function: Callable[..., _T], *args: Any, **options: Any) -> _T:
        """`function(*args, **options)`; where a signal's handler raises, `cancel()` is called from another thread.

        Without `cancel` such a call is left to end by itself. What it gives then is lost.
        Raises what the function raises, or the handler; InterfaceError while another call is under way.
        """
        if self._pid != os.getpid():
            raise InterfaceError("the connection was opened by the process that this one was forked from")
        if threading.current_thread() is not threading.main_thread():
            return function(*args, **options)
        if self._current is not None:
            what = (
                "was stopped, and its server gives no answer" if self.is_given_up else "is busy with another statement"
            )
            raise InterfaceError(f"the connection {what}")
        context = copy_context()
        call = _Call(lambda: context.run(function, *args, **options))
        try:
            self._current = call
            self._start()
            self._calls.put(call)
            done = call.served()
        except BaseException:
            if not call.has_ended:
                self._stop(call, cancel)
            raise
        finally:
            if not self.is_given_up:
                self._current = None
        result: _T = done.unpacked()
        return result

    def here(self, work: Callable[[], _T]) -> _T:
        """From inside a call: `work()` in the thread that made it."""
        call = self._current
        if call is None or threading.current_thread() is not self._thread:
            return work()
        call.messages.put(work)
        result: _T = call.answers.get().unpacked()
        return result

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._calls,), name="etlctl-postgresql", daemon=True)
            self._thread.start()

    def _stop(self, call: _Call, cancel: Callable[[], object] | None) -> None:
        self.is_given_up = True  # also if the handler raises a second time in the wait
        if cancel is None:
            return
        # libpq knows no time limit for a cancellation; a late one would end the next statement
        cancelling = threading.Thread(target=_suppressed, args=(cancel,), name="etlctl-cancel", daemon=True)
        cancelling.start()
        ended = call.ended_within(_PATIENCE_S)
        cancelling.join(_PATIENCE_S)
        self.is_given_up = not ended or cancelling.is_alive()


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        call.make()
        del call


def _suppressed(cancel: Callable[[], object]) -> None:
    with suppress(Exception):  # the connection may have ended meanwhile, which is all that is wanted
        cancel()


class HeardFile:
    """A file that is copied in, read by the thread that asked for the COPY, one block ahead of what libpq asks for."""

    def __init__(self, file: Any, waiter: Waiter) -> None:
        self._file = file
        self._waiter = waiter
        self.ahead: _Done | None = None

    def read(self, size: int = -1) -> Any:
        """See the file."""
        return self._waiter.here(_Reading(self, size))

    def read_here(self, size: int) -> Any:
        """In the main thread: the next block, which may have been read by now."""
        ahead, self.ahead = self.ahead, None
        return self._file.read(size) if ahead is None else ahead.unpacked()

    def look_ahead(self, size: int) -> None:
        """In the main thread: reads the next block; its error is raised when it is asked for."""
        try:
            self.ahead = _Done(self._file.read(size))
        except Exception as error:  # noqa: BLE001  as told
            self.ahead = _Done(error=error)


class _Reading:
    """What libpq's thread wants done: one read."""

    def __init__(self, file: HeardFile, size: int) -> None:
        self._file = file
        self._size = size

    def __call__(self) -> Any:
        return self._file.read_here(self._size)

    def look_ahead(self) -> None:
        """See `HeardFile.look_ahead`."""
        self._file.look_ahead(self._size)
