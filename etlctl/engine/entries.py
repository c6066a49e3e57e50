"""Entry: one node of the graph on its way through a run."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

from etlctl.core.context import Attempt
from etlctl.core.graph import Node
from etlctl.core.leases import Granted, Held, Wanted
from etlctl.core.results import Status
from etlctl.engine.failures import Failure

_NOT_ASKED = Wanted("", "")


class Rank(IntEnum):
    """Order among the ready: what was set aside first, then what somebody waits for, then the rest."""

    RESUMED = 0
    """Also a further attempt: its lease is ours already."""
    YIELDED = 1
    PLANNED = 2


class Entry:
    """What a run knows of one task besides its node."""

    __slots__ = (
        "active_s",
        "attempt",
        "attempts",
        "cause",
        "failure",
        "gave_back",
        "granted",
        "held_by",
        "held_since",
        "is_kept_back",
        "is_parked",
        "node",
        "rank",
        "reason",
        "started_at",
        "status",
        "ticket",
        "waiting",
        "wanted",
    )

    def __init__(self, node: Node, rank: Rank) -> None:
        self.node = node
        self.rank = rank
        self.wanted = _NOT_ASKED
        """What it needs besides its requirements; set when these are there."""
        self.waiting = 0
        """Requirements, or needs of the attempt that was set aside, that have not ended yet."""
        self.status: Status | None = None
        self.reason = ""
        """Of its end."""
        self.cause: Entry = self
        """The entry whose end decided this one's: itself, or what failed or is missing further up."""
        self.attempt: Attempt | None = None
        """The attempt under way, or the last one."""
        self.attempts = 0
        """How many were begun in this run."""
        self.failure: Failure | None = None
        """Of the attempt before, while a further one is waited for."""
        self.started_at: datetime | None = None
        self.active_s = 0.0
        self.ticket = 0
        """Of its place in the admission: what stands there with an older one counts no more."""
        self.granted: Granted | None = None
        """Its lease, while we have it."""
        self.gave_back = False
        """What it takes of pools, while it waits; its lease is ours all the same."""
        self.held_by: Held | None = None
        """Who had it when we asked last."""
        self.held_since: float | None = None
        """When it was first found held by this one, by the monotonic clock."""
        self.is_kept_back = False
        """Somebody does not want it to begin: see `hold` of the runner."""
        self.is_parked = False
        """Its attempt has been set aside until what it needs is there."""
