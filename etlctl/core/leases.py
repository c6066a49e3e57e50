"""Leases: who runs which task at the moment, here or in another process. The words that a runner and a store share.

A lease saves work and keeps pools small; that a load happens once is the marker's business (RELIABILITY.md 5), also
where every lease is wrong. Holds no clock and no database: those are in `db/state/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol


class Wanted(NamedTuple):
    """One task that is ready to run."""

    key: str
    """`Task.update_key`: the same in every process that computes the graph."""
    task_id: str
    resources: Mapping[str, int] = {}
    """What it takes of each pool."""


class Granted(NamedTuple):
    """The task is ours until it is ended or lost."""

    fence: int
    """Grows with each grant of this key; from 1."""
    done_by: str = ""
    """Who ended it well since our run began, so that its outputs must be asked for once more; empty for nobody."""
    left_by: str = ""
    """Who had it and is gone, perhaps with all of it done: its outputs must be asked for too; empty for nobody."""


class Held(NamedTuple):
    """Another process has it."""

    holder: str
    """`host:pid` or the name its owner gave itself, for people."""
    since: datetime | None
    """Aware, UTC, by the store's clock."""


class Full(NamedTuple):
    """A pool has too little left for it."""

    pool: str
    limit: int


class FailedElsewhere(NamedTuple):
    """Another process ran it since our run began, and it failed there, its retries included."""

    holder: str
    reason: str


Answer = Granted | Held | Full | FailedElsewhere


class EndState(StrEnum):
    """What a lease is ended with."""

    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"
    """Not run to its end: whoever wants it may begin at once."""


class Ended(NamedTuple):
    """The end of one lease of ours."""

    key: str
    state: EndState
    reason: str = ""
    """One line for those who wait for the task."""


class Leases(Protocol):
    """The claims of one run. Thread-safe. What is ours is kept alive from a thread of the implementation's own."""

    @property
    def owner(self) -> str:
        """Our own name, as others see it as a holder."""

    def claim(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """Answers each of `wanted`, in order, in one go; what was ended is written first. Ours stays ours.

        Raises UnavailableError when the store could not be asked for longer than a lease lives.
        """

    def begin(self, key: str) -> bool:
        """The task of a granted lease begins now. False where the lease was given back, or lost, meanwhile.

        What was claimed ahead and has not begun a second later is given back by itself: others may be waiting for it.
        """

    def end(self, ended: Ended) -> None:
        """Ends a lease of ours. Written with the next claim, or a fifth of a second later by the thread; does not wait.

        Ending one that is lost does nothing.
        """

    def park(self, key: str) -> None:
        """Gives back what the task takes of pools while it waits for others; the lease itself lives on."""

    def unpark(self, key: str) -> Full | None:
        """Takes it again; Full when it cannot be had yet."""

    def register(self, key: str, connection: str, backend: str) -> None:
        """Notes the database session that a load is about to open its transaction on.

        Whoever takes the lease over after it has expired ends that session first. `backend` is what the connection's
        dialect tells a session by.
        """

    def lost(self) -> Mapping[str, str]:
        """Keys of ours that were taken over, or could not be kept alive, since the last call; with a sentence why."""

    def close(self) -> None:
        """Ends what is still ours as RELEASED, and the thread."""
