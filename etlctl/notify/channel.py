"""One notifier at work: a queue, a thread while there is something in it, retries, and a warning when it fails.

offer(job)                      returns at once, whatever the endpoint does
└── thread                      begins with the first job and ends with the last
    ├── job()                   makes the message; may ask the memory
    ├── notifier.send(…)        again after a while, `retries` times
    └── told or given back      what could not be sent is off the memory's record again
finish(until)                   waits that long at most; what is under way then is given up, and said
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Protocol, TypeAlias

from etlctl.errors import EtlctlError
from etlctl.notify.digest import Told
from etlctl.notify.memory import Memory
from etlctl.notify.message import Message, NotSent
from etlctl.settings.masks import Mask
from etlctl.text import shortened

MOST_WAITING = 100
"""Messages that wait for one notifier; the oldest is dropped for a newer one."""
_LONGEST_DELAY_S = 60.0
_logger = logging.getLogger("etlctl")


class Notifier(Protocol):
    """What a kind of notifier is, our own and those of entry points. Used by one thread at a time, but for abort."""

    def send(self, message: Message) -> None:
        """Hands the message to its endpoint, within `timeout` of the settings; returns when it has it.

        Raises NotSent; whatever else it raises is taken for one that can be tried again.
        """

    def abort(self) -> None:
        """Called from another thread when nobody waits for `send` any more: ends processes that it has begun. May be
        missing."""


Job: TypeAlias = Callable[[], Told | None]
"""Makes a message, masked; None where there is nothing to tell."""


class Channel:
    """What stands between a run and one notifier."""

    def __init__(self, name: str, notifier: Notifier, *, retries: int, memory: Memory, mask: Mask) -> None:
        self.name = name
        self._notifier = notifier
        self._retries = retries
        self._memory = memory
        self._mask = mask
        self._changed = Condition()
        self._waiting: deque[Job] = deque()
        self._thread: Thread | None = None
        self._at_work: Told | None = None
        self._given_up = Event()
        self._fails = False
        self._dropped = 0
        self._why = ""
        """Why the last attempt failed, while the next is waited for."""
        self.on_idle: Callable[[], None] = lambda: None
        """Called by its thread when that is about to end."""

    def offer(self, job: Job) -> None:
        """Takes a job; never waits, raises nothing."""
        with self._changed:
            if self._given_up.is_set():
                return
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(job)
            if self._thread is not None:
                return
            self._thread = Thread(target=self._work, name=f"etlctl-notify-{self.name}", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # no thread can be begun any more
                self._thread = None
                self._waiting.clear()
                self._warn(str(error))

    def is_done(self, until: float) -> bool:
        """Whether nothing is on its way any more, for which it waits until `until` of time.monotonic()."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout=max(0.0, until - time.monotonic()))

    def finish(self, until: float) -> bool:
        """Waits for what is on its way, until `until` of time.monotonic(); False where it was given up."""
        with self._changed:
            if self.is_done(until):
                return True
            left, at_work = len(self._waiting), self._at_work
            self._waiting.clear()
            self._given_up.set()
        self._abort()
        if at_work is not None:
            self._give_back(at_work)
        why = f" ({self._why})" if self._why else ""
        behind = f", nor what came behind it ({left:,})" if left else ""
        self._warn(f"a message was not sent in time{why}{behind}, and nobody waits for it any longer")
        return False

    def _abort(self) -> None:
        abort = getattr(self._notifier, "abort", None)
        if abort is not None:
            try:
                abort()
            except Exception as error:  # noqa: BLE001  code of somebody else's
                self._warn(_sentence(error))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._thread is None

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._at_work = told = job()
                if told is not None and self._given_up.is_set():
                    self._give_back(told)
                elif told is not None:
                    self._send(told)
            except Exception as error:  # noqa: BLE001  a run must not feel what happens in here
                self._warn(_sentence(error))
            finally:
                self._at_work = None
        self.on_idle()

    def _next(self) -> Job | None:
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            self._changed.notify_all()
            return None

    def _send(self, told: Told) -> None:
        attempt = 0
        while (failure := self._failure_of(told.message)) is not None:
            if self._given_up.is_set():
                return  # finish() has said it
            if not failure.can_retry or attempt == self._retries:
                break
            self._why = _sentence(failure)
            if self._given_up.wait(_delay_s(attempt, failure)):
                return
            attempt += 1
        self._why = ""
        if failure is None:
            self._works_again()
            return
        self._give_back(told)
        tries = f" (tried {attempt + 1} times)" if attempt else ""
        self._warn(f"{_sentence(failure).removesuffix('.')}{tries}")

    def _failure_of(self, message: Message) -> NotSent | None:
        try:
            self._notifier.send(message)
        except NotSent as error:
            return error
        except (Exception, SystemExit) as error:  # noqa: BLE001  code of somebody else's
            return NotSent(_sentence(error))
        return None

    def _give_back(self, told: Told) -> None:
        """The next run tells it again, since nobody has heard it."""
        try:
            if told.recorded:
                self._memory.settle(list(told.recorded))
            if told.settled:
                self._memory.first(list(told.settled), again_after_s=0)
        except EtlctlError as error:
            _logger.debug("notify %s: what was not sent stays on record as told: %s", self.name, error)

    def _works_again(self) -> None:
        if self._fails:
            self._fails = False
            _logger.warning("notify %s: messages are sent again", self.name)

    def _warn(self, why: str) -> None:
        """One line when it begins to fail; the next when it works again."""
        if not self._fails:
            dropped = f"; {self._dropped:,} older messages were dropped" if self._dropped else ""
            _logger.warning("notify %s: %s%s. The work itself goes on.", self.name, self._mask(why), dropped)
        self._fails = True
        self._dropped = 0


def _delay_s(attempt: int, failure: NotSent) -> float:
    """1, 2, 4 … s, half of it by chance so that ten hosts do not come back together; longer where it was asked for."""
    return min(_LONGEST_DELAY_S, max(failure.retry_after_s, 2.0**attempt * (0.5 + random.random() / 2)))  # noqa: S311


def _sentence(error: BaseException) -> str:
    text = str(error)
    return shortened(text if isinstance(error, EtlctlError) else f"{type(error).__name__}: {text}".rstrip(": "), 300)
