"""What is told, as one value for every notifier: a digest of a run, or an alert. Sends nothing, knows no notifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from etlctl.errors import EtlctlError

VERSION = 1
"""Of the document; it grows when a field changes its meaning or goes, and not when one is added."""


class NotSent(EtlctlError):
    """A message did not reach its endpoint; `str()` says why, without the endpoint's address."""

    def __init__(self, message: str, *, can_retry: bool = True, retry_after_s: float = 0) -> None:
        super().__init__(message)
        self.can_retry = can_retry
        """Whether the same may go well in some seconds."""
        self.retry_after_s = retry_after_s
        """How long the endpoint has asked us to wait; 0 where it has not."""


class Item(NamedTuple):
    """One task that a message tells of. Texts are printable."""

    task: str
    """Its label: `LoadFlights(2013-01-02)`."""
    task_id: str
    family: str
    result: str
    """`fail`, `blocked`, `held`, `recovered`, `ok`: a word of `on` in the settings."""
    reason: str = ""
    where: str = ""
    """`pipelines/flights.py:41`, or empty."""
    error: str = ""
    """The name of the exception's class."""
    command: str = ""
    """What shows more of it, as one types it; empty where there is nothing to see."""

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return self._asdict()


@dataclass(frozen=True)
class Message:
    """One message. Every text in it is masked before a notifier sees it."""

    id: str
    """The same for each attempt to send it, so that a receiver can tell a repetition."""
    kind: str
    """`run` for the digest of one; `deadline` and the like for an alert."""
    at: datetime
    """When it was made; aware, UTC."""
    title: str
    """One printable line."""
    text: str
    """All of it for people: printable lines, the title not among them; empty where the title says all."""
    is_bad: bool
    """Whether something is wrong; False for news such as `recovered`."""
    project: str
    profile: str | None
    host: str
    run_id: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    duration_s: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many tasks of the run ended in each status, those that nobody asked to be told of too."""
    items: tuple[Item, ...] = ()
    left_out: int = 0
    """Tasks that `items` has no room for."""
    told_before: int = 0
    """Tasks that still fail as they did when they were told last, and are not told again yet."""

    def document(self) -> dict[str, Any]:
        """As JSON takes it: what a webhook and a command are given."""
        return {
            "version": VERSION,
            "id": self.id,
            "kind": self.kind,
            "at": self.at.isoformat(timespec="seconds"),
            "title": self.title,
            "text": self.text,
            "is_bad": self.is_bad,
            "project": self.project,
            "profile": self.profile,
            "host": self.host,
            "run_id": self.run_id or None,
            "exit_code": self.exit_code,
            "started_at": self.started_at.isoformat(timespec="milliseconds") if self.started_at else None,
            "duration_s": round(self.duration_s, 3) if self.duration_s is not None else None,
            "counts": dict(self.counts),
            "tasks": [item.document() for item in self.items],
            "left_out": self.left_out,
            "told_before": self.told_before,
        }

    def masked(self, mask: Callable[[str], str]) -> Message:
        """The same with every text of a user's or a database's handed through `mask`."""
        return replace(
            self,
            title=mask(self.title),
            text=mask(self.text),
            items=tuple(Item(*map(mask, item)) for item in self.items),
        )
