"""Troubles around the racers: sessions ended by the server, crashes of the server, COMMITs cut by a proxy."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from servers.process import ServerProcess
from servers.proxy import KINDS, Proxy
from torture.checker import Tally
from torture.places import Place
from torture.rounds import Between


class Terminations:
    """Each pair has sessions ended by the server: pg_terminate_backend, KILL."""

    def __init__(self, place: Place, rng: random.Random, tally: Tally) -> None:
        self.place = place
        self.rng = rng
        self.tally = tally

    @contextmanager
    def __call__(self, moment_s: float) -> Iterator[Between]:
        yield _at(time.monotonic() + moment_s, self._end_one)

    def _end_one(self) -> None:
        with contextlib.closing(self.place.connect()) as connection:
            sessions = self.place.sessions(connection)
            if sessions:
                self.place.end_session(connection, self.rng.choice(sessions))
                self.tally.terminations += 1


class Crashes:
    """A share of the pairs has its server die and come back at once."""

    def __init__(self, server: ServerProcess, rng: random.Random, tally: Tally, share: float = 0.6) -> None:
        self.server = server
        self.rng = rng
        self.tally = tally
        self.share = share

    @contextmanager
    def __call__(self, moment_s: float) -> Iterator[Between]:
        yield _at(time.monotonic() + moment_s, self._crash) if self.rng.random() < self.share else _nothing

    def _crash(self) -> None:
        self.server.crash()
        self.tally.crashes += 1
        self.server.start()


class Cuts:
    """Some COMMITs of loads are cut off: swallowed, sent without waiting, or their replies swallowed."""

    def __init__(self, proxy: Proxy, tally: Tally, share: float = 0.75) -> None:
        self.proxy = proxy
        self.tally = tally
        self.share = share

    @contextmanager
    def __call__(self, moment_s: float) -> Iterator[Between]:
        before = self.proxy.set(commit="any", share=self.share)
        yield _nothing
        counts = self.proxy.set(commit=None)
        for kind in KINDS:
            self.tally.cuts += counts[kind] - before[kind]
            self.tally.at[f"COMMIT cut {kind}"] += counts[kind] - before[kind]


def _nothing(now: float) -> None:
    return None


def _at(moment: float, act: Callable[[], None]) -> Between:
    """Calls `act` once, when it is time."""
    is_over = False

    def between(now: float) -> float | None:
        nonlocal is_over
        if not is_over and now >= moment:
            is_over = True
            act()
        return None if is_over else moment

    return between
