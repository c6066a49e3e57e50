"""What comes of a Dask cluster, as plain values; what one worker tells comes before its end does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """What the far side of an order tells while it goes on."""

    order: str
    worker: str
    """Its address."""
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of an order: its answer, or why there is none."""

    order: str
    answer: str | None = None
    lost_on: str | None = None
    """The address of the worker it was lost with, at it or not; empty where the cluster has just forgotten it."""
    is_gone: bool = False
    """The scheduler is gone."""
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A worker is not there any more: what it was at, or had in its queue, is sent to others by Dask, or Ended."""

    worker: str


@dataclass(frozen=True, slots=True)
class Down:
    """Nothing that is under way will end any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The cluster has another number of threads."""


Event = Told | Ended | Left | Down | Changed
