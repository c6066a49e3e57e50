"""The supervisor: one thread of the building process that reads all that workers send and write, and keeps their time.

    worker's channel    tells, needs, ends            -> the live attempt, the queue of the pool
    worker's pipe       output                        -> the attempt's log, the screen
    template            born, not forked, died        -> the queue of the pool
    time                timeouts                      -> SIGTERM to the group, SIGKILL 5 s later

It never waits for anything but these, so that no worker ever waits for it. Calls no code of a task's. What follows from
what it reads is the crew's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from signal import SIGKILL

from etlctl.engine.executors.crew import LEAVE_S, Crew
from etlctl.engine.executors.jobs import Came

_logger = logging.getLogger("etlctl")
CLOSE_GRACE_S = 2.0
"""Between SIGTERM and SIGKILL for all that runs at the end of a run."""


class Supervisor:
    """`lock` is held by whoever calls the crew, and by the thread while it is at work."""

    def __init__(self, put: Callable[[Came | None], object], capacity: int) -> None:
        self.lock = threading.Lock()
        self.crew = Crew(put, capacity, self._count)
        self._thread: threading.Thread | None = None
        self._all_gone = threading.Condition(self.lock)

    def close(self) -> None:
        """Ends all workers, the template and the thread. Called without the lock."""
        crew = self.crew
        try:
            with self.lock:
                crew.end_gently()
                if not self._all_gone.wait_for(lambda: not crew.workers, CLOSE_GRACE_S):
                    for worker in crew.workers.values():
                        crew.signal(worker, SIGKILL)
                    self._all_gone.wait_for(lambda: not crew.workers, LEAVE_S)
        finally:  # an impatient user comes by here at once
            self._tear_down()

    def _tear_down(self) -> None:
        crew = self.crew
        with self.lock:
            template, crew.template = crew.template, None
            crew.is_over = True
            crew.watch.wake()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        if template is not None:
            template.close()  # which kills what is left
        with self.lock:
            crew.bury_all()
            crew.watch.close()

    def _count(self) -> None:
        """The thread starts with the first worker; who waits for the end of the last is told of it."""
        if not self.crew.workers:
            self._all_gone.notify_all()
        elif self._thread is None and not self.crew.is_over:
            self._thread = threading.Thread(target=self._serve, name="etlctl-workers", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        try:
            self._take_turns()
        except Exception as error:
            _logger.exception("the workers cannot be watched any longer")
            with self.lock:
                self.crew.give_up(error)

    def _take_turns(self) -> None:
        crew = self.crew
        while True:
            with self.lock:
                crew.act_in_time()
                if crew.is_over and crew.template is None:
                    return
                crew.watch.prepare()
                patience_s = crew.moments.patience_s()
            ready = crew.watch.wait(patience_s)
            with self.lock:
                crew.moments.awake()
                crew.watch.call(ready)
