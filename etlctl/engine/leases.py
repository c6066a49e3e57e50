"""Leases without a store: every task is ours at once, and pools hold within this run alone.

Also leases whose store may go away without harm: that of one host, which nobody has chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from etlctl.core.leases import Answer, Ended, Full, Granted, Leases, Wanted
from etlctl.errors import UnavailableError

_logger = logging.getLogger("etlctl")


class ProcessLeases:
    """For a run that nobody shares a state database with. `pools` are the limits of the settings."""

    owner = "this process"

    def __init__(self, pools: Mapping[str, int] | None = None) -> None:
        self._limits = dict(pools or {})
        self._used: dict[str, int] = {}
        self._taken: dict[str, Mapping[str, int]] = {}
        """By key: what it takes of pools now."""
        self._parked: dict[str, Mapping[str, int]] = {}
        """By key: what it will take again."""

    def claim(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """Granted, or Full."""
        return [self._claimed(one) for one in wanted]

    def begin(self, key: str) -> bool:
        """Nobody else waits for what was claimed."""
        return True

    def end(self, ended: Ended) -> None:
        """Gives back what the task took."""
        self.park(ended.key)
        self._parked.pop(ended.key, None)

    def park(self, key: str) -> None:
        """Gives back what the task took, until `unpark`."""
        resources = self._taken.pop(key, None)
        if resources:
            self._parked[key] = resources
            for pool, amount in resources.items():
                self._used[pool] -= amount

    def unpark(self, key: str) -> Full | None:
        """Takes it again; Full when it cannot be had yet."""
        full = self._took(key, self._parked.get(key, {}))
        if full is None:
            self._parked.pop(key, None)
        return full

    def register(self, key: str, connection: str, backend: str) -> None:
        """Nothing: nobody takes a lease of this run over."""

    def lost(self) -> Mapping[str, str]:
        """Never any."""
        return {}

    def close(self) -> None:
        """Nothing to end."""

    def _claimed(self, one: Wanted) -> Answer:
        full = self._took(one.key, one.resources) if one.resources else None
        return full or Granted(1)

    def _took(self, key: str, resources: Mapping[str, int]) -> Full | None:
        for pool, amount in resources.items():
            limit = self._limits.get(pool, 1)
            if self._used.get(pool, 0) + amount > limit:
                return Full(pool, limit)
        for pool, amount in resources.items():
            self._used[pool] = self._used.get(pool, 0) + amount
        if resources:
            self._taken[key] = resources
        return None


class DispensableLeases:
    """Those of `store` until it cannot be asked any more; then, after a warning, those of this process alone."""

    def __init__(self, store: Leases, pools: Mapping[str, int]) -> None:
        self._leases = store
        self._pools = pools
        self.owner = store.owner

    def claim(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """See `Leases`; never raises UnavailableError."""
        try:
            return self._leases.claim(wanted)
        except UnavailableError as error:
            self._go_on_without(error)
            return self._leases.claim(wanted)

    def begin(self, key: str) -> bool:
        """See `Leases`."""
        return self._leases.begin(key)

    def end(self, ended: Ended) -> None:
        """See `Leases`."""
        self._leases.end(ended)

    def park(self, key: str) -> None:
        """See `Leases`."""
        self._leases.park(key)

    def unpark(self, key: str) -> Full | None:
        """See `Leases`; never raises UnavailableError."""
        try:
            return self._leases.unpark(key)
        except UnavailableError as error:
            self._go_on_without(error)
            return None

    def register(self, key: str, connection: str, backend: str) -> None:
        """See `Leases`."""
        self._leases.register(key, connection, backend)

    def lost(self) -> Mapping[str, str]:
        """None once the store is gone: nobody else can have taken them over either. Never raises UnavailableError."""
        try:
            return self._leases.lost()
        except UnavailableError as error:
            self._go_on_without(error)
            return {}

    def close(self) -> None:
        """See `Leases`."""
        self._leases.close()

    def _go_on_without(self, error: UnavailableError) -> None:
        _logger.warning("other builds are not heeded any more: %s", error)
        self._leases.close()
        self._leases = ProcessLeases(self._pools)
