"""A memory that is opened at its first use, and stood in for by one of this process while it cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock

from etlctl.errors import EtlctlError
from etlctl.notify.memory import LocalMemory, Memory

_logger = logging.getLogger("etlctl")


class Recalling:
    """See Memory; raises nothing. Better a failure told twice than one that nobody hears of."""

    def __init__(self, open_: Callable[[], Memory]) -> None:
        self._open = open_
        self._lock = Lock()
        self._shared: Memory | None = None
        self._here = LocalMemory()

    def first(self, keys: Sequence[str], *, again_after_s: float) -> set[str]:
        """See Memory; what was told while the shared one was gone is not fresh when it is back."""
        here = self._here.told(keys, within_s=again_after_s)
        left = [key for key in keys if key not in here]
        return self._asked(lambda memory: memory.first(left, again_after_s=again_after_s)) if left else set()

    def open(self, prefix: str) -> set[str]:
        """See Memory; what was told while the shared one was gone is there as well."""
        return self._asked(lambda memory: memory.open(prefix)) | self._here.open(prefix)

    def settle(self, keys: Sequence[str]) -> set[str]:
        """See Memory."""
        return self._asked(lambda memory: memory.settle(keys)) | self._here.settle(keys)

    def close(self) -> None:
        """See Memory."""
        with self._lock:
            if self._shared is not None:
                self._shared.close()
                self._shared = None

    def _asked(self, ask: Callable[[Memory], set[str]]) -> set[str]:
        try:
            with self._lock:
                if self._shared is None:
                    self._shared = self._open()
            return ask(self._shared)
        except EtlctlError as error:
            _logger.debug("what was told already is remembered in this process alone for now: %s", error)
            return ask(self._here)
