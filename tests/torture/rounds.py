"""Campaigns: two racers for each load, hit by plan, round after round.

Campaign.run(is_enough)
  prepare                an empty database, so that the making of tables is raced for too
  Reader                 looks at markers and rows all the time
  for each load          pairs of racers, hit by blows and troubles, until one of them reports success
  look                   at all loads of the round, when nothing runs any more
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from etlctl import faultpoints
from etlctl.app import App
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from etlctl.runs import RunOptions
from torture import controls, loads, racers
from torture.checker import Ledger, Reader, Tally
from torture.places import Place
from torture.racers import Blow, Plan, Racer

LOADS_A_ROUND = 24
POINTS = (*faultpoints.POINTS, loads.HALF, loads.INSIDE)
"""Where a load can be hit by name."""
MOST_TRIES = 12
"""Pairs of racers that are tortured for one load; those after them are left in peace."""
IN_PEACE = 8
RACERS = 2
Between = Callable[[float], float | None]
"""Called while racers run; returns when it wants to be called again at the latest."""


class Trouble(Protocol):
    """What happens around the racers: to their sessions, their server, their way to it."""

    def __call__(self, moment_s: float) -> AbstractContextManager[Between]:
        """A block in which one pair runs; `moment_s` from now is a good moment for a blow."""


@contextmanager
def no_trouble(moment_s: float) -> Iterator[Between]:
    """Nothing happens but what the Mix says."""
    yield lambda now: None


@dataclass(frozen=True)
class Mix:
    """How the blows of a campaign are drawn: shares of racers, the rest goes unharmed."""

    kill_at_point: float = 0.0
    kill_at_random: float = 0.0
    stop_at_point: float = 0.0
    stop_at_random: float = 0.0
    longest_pause_s: float = 0.3


KILLS = Mix(kill_at_point=0.55, kill_at_random=0.4)
PAUSES = Mix(kill_at_point=0.1, kill_at_random=0.1, stop_at_point=0.4, stop_at_random=0.3)
NOTHING = Mix()


class Times:
    """How long a racer lives that nobody harms, by kind of load; blows at random times are drawn from it."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def draw(self, kind: str, rng: random.Random) -> float:
        return rng.uniform(0, 1.1 * self._known.get(kind, 0.05))

    def learn(self, kind: str, seconds: float) -> None:
        self._known[kind] = 0.8 * self._known.get(kind, seconds) + 0.2 * seconds


@dataclass
class Campaign:
    """One part of the torture; see the module."""

    place: Place
    rng: random.Random
    mix: Mix
    start: Callable[[Task, Plan | None, Blow | None], Racer]
    """Starts a process that does a load and ends with the exit code that its user would see."""
    prepare: Callable[[], None]
    load: Callable[[int], Task] = loads.load
    trouble: Trouble = no_trouble
    stops_when_wrong: bool = True
    most_tries: int = MOST_TRIES
    tally: Tally = field(default_factory=Tally)
    _times: Times = field(default_factory=Times)

    def run(self, is_enough: Callable[[Tally], bool]) -> Tally:
        """Rounds until `is_enough`, or until something is wrong."""
        began = time.monotonic()
        while not is_enough(self.tally) and (self.tally.is_clean or not self.stops_when_wrong):
            self._round(is_enough)
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def _round(self, is_enough: Callable[[Tally], bool]) -> None:
        self.prepare()
        tasks = {number: self.load(number) for number in range(LOADS_A_ROUND)}
        ledger = Ledger(tasks)
        reader = Reader(self.place, ledger)
        done: set[int] = set()
        for number, task in tasks.items():
            if self._is_loaded(task):
                done.add(number)
            self.tally.loads += 1
            if is_enough(self.tally) or (self.stops_when_wrong and not self.tally.is_clean):
                break
        reader.end(self.tally)
        self._look(ledger, done)

    def _look(self, ledger: Ledger, done: set[int]) -> None:
        with contextlib.closing(self.place.connect()) as connection:
            self.tally.found(ledger.judge(self.place, connection, done))
            if self.place.integrity:
                said = self.place.ask(connection, self.place.integrity)[0][0]
                if said != "ok":
                    self.tally.wrong.append(f"{self.place.integrity}: {said}")

    def _is_loaded(self, task: Task) -> bool:
        """Races for one load until somebody reports success."""
        kind = task.task_family
        for attempt in range(self.most_tries + IN_PEACE):
            is_peaceful = attempt >= self.most_tries
            trouble = no_trouble if is_peaceful else self.trouble
            with trouble(self._times.draw(kind, self.rng)) as between:
                pair = [self.start(task, *self._harm(kind, is_peaceful)) for _ in range(RACERS)]
                racers.watch(pair, between)
            for racer in pair:
                count(racer, self.tally)
                if racer.status == 0 and not racer.pauses:
                    self._times.learn(kind, racer.duration_s)
            if any(racer.status == 0 for racer in pair):
                return True
        self.tally.wrong.append(f"{task.task_label} is not done after {self.most_tries} tries and {IN_PEACE} in peace")
        return False

    def _harm(self, kind: str, is_peaceful: bool) -> tuple[Plan | None, Blow | None]:
        """What one racer meets."""
        mix, drawn, point = self.mix, self.rng.random(), self.rng.choice(POINTS)
        seconds, moment = self.rng.uniform(0.02, mix.longest_pause_s), self._times.draw(kind, self.rng)
        shares: tuple[tuple[float, Plan | None, Blow | None], ...] = (
            (mix.kill_at_point, Plan(point), None),
            (mix.kill_at_random, None, Blow(moment)),
            (mix.stop_at_point, Plan(point, "stop", seconds=seconds), None),
            (mix.stop_at_random, None, Blow(moment, seconds)),
        )
        for share, plan, blow in () if is_peaceful else shares:
            if drawn < share:
                return plan, blow
            drawn -= share
        return None, None


def count(racer: Racer, tally: Tally) -> None:
    """Adds what became of one racer."""
    tally.points.update(racer.points)
    tally.pauses += racer.pauses
    if racer.was_killed:
        tally.kills += 1
        tally.kills_inside += racer.is_inside
        tally.at[racer.points[-1] if racer.points else "(before any point)"] += 1
        return
    tally.exits[str(racer.status)] += 1
    if racer.status not in (ExitCode.DONE, ExitCode.UNAVAILABLE, ExitCode.HELD):
        tally.wrong.append(f"a racer ended with exit code {racer.status}")


# -- who does the loads


def of_product(place: Place, rng: random.Random, mix: Mix, trouble: Trouble = no_trouble) -> Campaign:
    """A campaign of etlctl's own loads, in processes forked from this one, which has everything imported."""
    app = place.app()
    _warm_up(place, app)

    def start(task: Task, plan: Plan | None, blow: Blow | None) -> Racer:
        return racers.start(partial(product, app, task), plan, blow)

    return Campaign(place, rng, mix, start, place.prepare, trouble=trouble)


def product(app: App, task: Task) -> int:
    """The load as `etlctl build` does it; in a child process. Without leases, which would keep racers apart."""
    with app:
        summary = app.build([task], options=RunOptions(has_state=False))
        for result in summary.results:
            if result.exit_code not in (ExitCode.DONE, ExitCode.UNAVAILABLE):
                print(f"{result.task.task_label}: {result.reason}", file=sys.stderr)
        return int(summary.exit_code)


def of_command_line(place: Place, rng: random.Random, mix: Mix) -> Campaign:
    """The same through the real command line, each process from the very start of Python on."""

    def start(task: Task, plan: Plan | None, blow: Blow | None) -> Racer:
        words = ["build", task.task_family, "--part", str(task.param_kwargs["part"])]
        return racers.start_command(words, place.project, plan, blow)

    return Campaign(place, rng, mix, start, place.prepare)


def of_control(place: Place, name: str, rng: random.Random) -> Campaign:
    """An order that is known to be wrong; it goes on whatever comes out."""
    protocol, has_key = controls.CONTROLS[name]

    def start(task: Task, plan: Plan | None, blow: Blow | None) -> Racer:
        return racers.start(partial(protocol, place, task), plan, blow)

    prepare = partial(controls.prepare, place, has_key=has_key)
    return Campaign(place, rng, KILLS, start, prepare, loads.RowsLoad, stops_when_wrong=False)


def _warm_up(place: Place, app: App) -> None:
    """Does every kind of load once in this process, so that racers forked from it have nothing left to import."""
    place.prepare()
    with app:
        for number in range(len(loads.KINDS)):
            summary = app.build([loads.load(number)], options=RunOptions(has_state=False))
            assert summary, summary.text
