"""What cannot be used at the moment, told once when it goes and once when it is back. Knows no database."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from etlctl.core.results import seconds
from etlctl.text import printable

_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/@]*@)?[^\s/,;]*")
"""In a sentence: `postgresql://etl:***@wh-1:5432`. Of two databases of one server that falls one line is enough."""


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
        self._gone: dict[str, _Outage] = {}

    def __bool__(self) -> bool:
        return bool(self._gone)

    def gone(self, asker: str, sentence: str, *, then: str) -> None:
        """`asker` could not use something, for the reason of `sentence`; `then` says what is done about it."""
        if any(asker in outage.asked_by for outage in self._gone.values()):
            return  # the words for it change while a server goes down and comes up: still one change of state
        key = _server_in(sentence)
        if key not in self._gone:
            self._gone[key] = _Outage(self._monotonic())
            self._say(f"{printable(sentence).rstrip('.')}; {then}")
        self._gone[key].asked_by.add(asker)

    def back(self, asker: str) -> None:
        """`asker` could use all that it needs."""
        for key in [name for name, outage in self._gone.items() if asker in outage.asked_by]:
            self._over(key, asker)

    def _over(self, key: str, asker: str) -> None:
        outage = self._gone[key]
        outage.asked_by.discard(asker)
        if not outage.asked_by:
            del self._gone[key]
            self._say(f"{printable(key)} can be used again after {seconds(self._monotonic() - outage.began)}")


def _server_in(sentence: str) -> str:
    found = _SERVER.search(sentence)
    return found[0] if found is not None else sentence.partition(": ")[0]
