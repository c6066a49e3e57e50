"""What cannot be used at the moment, told once when it goes and once when it is back. Knows no database."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from etlctl.core.results import seconds
from etlctl.text import printable

_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/@]*@)?[^\s/,;]*")
"""In a sentence: `postgresql://etl:***@wh-1:5432`. Of two databases of one server that falls one line is enough."""

_STATE = "the state database: "
_GONE = re.compile("cannot be reached|was lost|is not ready")


@dataclass
class _Outage:
    began: float
    asked_by: set[str] = field(default_factory=set)
    """Who has met it and not yet seen its end."""


class Outages:
    """What is gone now, by the server that the sentences about it name."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float]) -> None:
        self._say = say
        self._monotonic = monotonic
        self._lock = Lock()
        self._gone: dict[str, _Outage] = {}

    def gone(self, asker: str, sentence: str) -> None:
        """`asker` could not use something, for the reason of `sentence`."""
        with self._lock:
            if any(asker in outage.asked_by for outage in self._gone.values()):
                return  # the words for it change while a server goes down and comes up: still one change of state
            key = _server_in(sentence)
            if key not in self._gone:
                self._gone[key] = _Outage(self._monotonic())
                self._say(f"{printable(sentence).rstrip('.')}; the loop goes on, and tries again until it can be used")
            self._gone[key].asked_by.add(asker)

    def is_gone(self, asker: str) -> bool:
        """Whether `asker` has met one whose end it has not seen."""
        with self._lock:
            return any(asker in outage.asked_by for outage in self._gone.values())

    def back(self, asker: str) -> None:
        """`asker` could use all that it needs."""
        with self._lock:
            self._back(asker)

    def _back(self, asker: str) -> None:
        for key in [name for name, outage in self._gone.items() if asker in outage.asked_by]:
            self._over(key, asker)

    def _over(self, key: str, asker: str) -> None:
        outage = self._gone[key]
        outage.asked_by.discard(asker)
        if not outage.asked_by:
            del self._gone[key]
            self._say(f"{printable(key)} can be used again after {seconds(self._monotonic() - outage.began)}")


class StateWarnings(logging.Filter):
    """What leases and the history of a run warn of while the state database is gone becomes the one line about that."""

    def __init__(self, outages: Outages, asker: str) -> None:
        super().__init__()
        self._outages = outages
        self._asker = asker

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        _, named, sentence = record.getMessage().partition(_STATE)
        if not (named and _GONE.search(sentence)):
            return True
        self._outages.gone(self._asker, named + sentence)
        return False


def _server_in(sentence: str) -> str:
    found = _SERVER.search(sentence)
    return found[0] if found is not None else sentence.partition(": ")[0]
