"""The pulse of a loop: a thread that writes the health file and feeds the service manager's watchdog while it lives.

A loop that is stuck has no pulse: the file gets older, and the watchdog bites.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from etlctl.loop import health, systemd
from etlctl.loop.vitals import Vitals

EVERY_S = 10.0
_logger = logging.getLogger("etlctl")


class Pulse:
    """Beats within the block. `file` is removed at its end: a loop that has ended is not one that is stuck."""

    def __init__(
        self,
        vitals: Vitals,
        file: Path | None = None,
        *,
        every_s: float = EVERY_S,
        notify: Callable[[str], bool] = systemd.notify,
    ) -> None:
        watchdog_s = systemd.watchdog_s()
        self._vitals = vitals
        self._file = file
        self._notify = notify
        self._has_watchdog = watchdog_s is not None
        self._every_s = min(every_s, watchdog_s or every_s)
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""

    def __enter__(self) -> Pulse:
        self.beat()
        if self._file is not None or self._has_watchdog:
            self._thread = threading.Thread(target=self._serve, name="etlctl-pulse", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        if self._file is not None:
            with suppress(OSError):  # it is gone, or the disk is: nobody can be told more than by its age
                self._file.unlink()

    def beat(self) -> None:
        """Once, as the thread does; nothing where the loop is stuck."""
        if self._vitals.why_not_live():
            return
        if self._has_watchdog:
            self._notify(systemd.WATCHDOG)
        if self._file is not None:
            self._write(self._file)

    def _serve(self) -> None:
        while not self._is_over.wait(self._every_s):
            self.beat()

    def _write(self, file: Path) -> None:
        """A disk that is full is told once, and once more when it is not."""
        try:
            health.write_file(self._vitals, file)
        except OSError as error:
            trouble = error.strerror or str(error)
            if trouble != self._trouble:
                _logger.warning("the health file %s cannot be written: %s", file, trouble)
            self._trouble = trouble
        else:
            if self._trouble:
                _logger.warning("the health file %s is written again", file)
            self._trouble = ""
