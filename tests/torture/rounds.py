"""kill -9 and SIGSTOP at fault points and at random times, two racers for each load, round after round.

A round begins with an empty database, so that the making of tables is raced for too, and ends when each of its loads is
done, with a look at all of them.
"""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from etlctl import faultpoints
from etlctl.app import App
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from torture import controls, loads, racers
from torture.checker import Ledger, Reader, Tally
from torture.controls import Protocol
from torture.places import Place
from torture.racers import Blow, Plan, Racer

LOADS_A_ROUND = 21
POINTS = (*faultpoints.POINTS, loads.HALF, loads.INSIDE)
"""Where a load can be hit by name."""
MOST_TRIES = 12
"""Pairs of racers that are tortured for one load; those after them are left in peace."""
RACERS = 2


@dataclass(frozen=True)
class Mix:
    """How the blows of a campaign are drawn: shares of racers, the rest goes in peace."""

    kill_at_point: float = 0.5
    kill_at_random: float = 0.35
    stop_at_point: float = 0.0
    stop_at_random: float = 0.0
    longest_pause_s: float = 0.3


KILLS = Mix()
PAUSES = Mix(kill_at_point=0.1, kill_at_random=0.1, stop_at_point=0.4, stop_at_random=0.3)


class Times:
    """How long a racer lives that nobody kills, by kind of load; drawn from for blows at random times."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def draw(self, kind: str, rng: random.Random) -> float:
        return rng.uniform(0, 1.1 * self._known.get(kind, 0.05))

    def learn(self, kind: str, seconds: float) -> None:
        self._known[kind] = 0.8 * self._known.get(kind, seconds) + 0.2 * seconds


def product(app: App, task: Task) -> int:
    """The load as `etlctl build` does it; in a child process."""
    with app:
        summary = app.build([task])
        for result in summary.results:
            if result.exit_code == ExitCode.FAILED and not isinstance(result.error, racers.PlannedError):
                print(f"{result.task.label}: {result.reason}", file=sys.stderr)
        return int(summary.exit_code)


def torture_product(place: Place, rng: random.Random, mix: Mix, is_enough: Callable[[Tally], bool]) -> Tally:
    """Rounds of the product's loads until `is_enough`, or until something is wrong."""
    app = place.app()
    warm_up(place, app)

    def work(task: Task) -> int:
        return product(app, task)

    return _torture(place, rng, mix, is_enough, work, place.prepare, loads.load)


def torture_control(place: Place, name: str, rng: random.Random, loads_: int) -> Tally:
    """The same of an order that is known to be wrong, for `loads_` loads, whatever comes out wrong."""
    protocol, has_key = controls.CONTROLS[name]
    prepare = partial(controls.prepare, place, has_key=has_key)

    def is_enough(tally: Tally) -> bool:
        return tally.loads >= loads_

    work = partial(_controlled, protocol, place)
    return _torture(place, rng, KILLS, is_enough, work, prepare, loads.RowsLoad, stops_when_wrong=False)


def _controlled(protocol: Protocol, place: Place, task: Task) -> int:
    return protocol(place, task)


def warm_up(place: Place, app: App) -> None:
    """Does every kind of load once in this process, so that racers forked from it have nothing left to import."""
    place.prepare()
    with app:
        for number in range(len(loads.KINDS)):
            summary = app.build([loads.load(number)])
            assert summary, summary.text
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page it looks at


def _torture(
    place: Place,
    rng: random.Random,
    mix: Mix,
    is_enough: Callable[[Tally], bool],
    work: Callable[[Task], int],
    prepare: Callable[[], None],
    load: Callable[[int], Task],
    *,
    stops_when_wrong: bool = True,
) -> Tally:
    tally = Tally()
    times = Times()
    began = time.monotonic()
    while not is_enough(tally) and not (stops_when_wrong and not tally.is_clean):
        prepare()
        tasks = {number: load(number) for number in range(LOADS_A_ROUND)}
        ledger = Ledger(tasks)
        reader = Reader(place, ledger)
        done: set[int] = set()
        for number, task in tasks.items():
            _one_load(place, ledger, number, partial(work, task), rng, mix, times, tally, done)
            tally.loads += 1
            if tally.wrong or is_enough(tally):
                break
        reader.end(tally)
        look(place, ledger, tally, done)
    tally.seconds = time.monotonic() - began
    return tally


def look(place: Place, ledger: Ledger, tally: Tally, done: set[int]) -> None:
    """All loads of a round, when nothing runs any more."""
    with contextlib.closing(place.connect()) as connection:
        tally.found(ledger.judge(place, connection, done))
        if place.integrity:
            said = place.ask(connection, place.integrity)[0][0]
            if said != "ok":
                tally.wrong.append(f"{place.integrity}: {said}")


def _one_load(
    place: Place,
    ledger: Ledger,
    number: int,
    work: Callable[[], int],
    rng: random.Random,
    mix: Mix,
    times: Times,
    tally: Tally,
    done: set[int],
) -> None:
    """Races for one load until it is done, and once more to see that nobody repeats it."""
    kind = str(number % len(loads.KINDS))
    for attempt in range(MOST_TRIES + 8):
        peaceful = attempt >= MOST_TRIES
        pair = [_start(work, kind, rng, mix, times, peaceful) for _ in range(RACERS)]
        racers.watch(pair)
        for racer in pair:
            count(racer, tally)
            if racer.status == 0 and not racer.pauses:
                times.learn(kind, racer.duration_s)
        if any(racer.status == 0 for racer in pair):
            done.add(number)
            return
    tally.wrong.append(f"load {number} is not done after {MOST_TRIES + 8} tries, 8 of them in peace")


def _start(work: Callable[[], int], kind: str, rng: random.Random, mix: Mix, times: Times, peaceful: bool) -> Racer:
    drawn, point, seconds = rng.random(), rng.choice(POINTS), rng.uniform(0.02, mix.longest_pause_s)
    moment = times.draw(kind, rng)
    if peaceful:
        return racers.start(work)
    for share, plan, blow in (
        (mix.kill_at_point, Plan(point), None),
        (mix.kill_at_random, None, Blow(moment)),
        (mix.stop_at_point, Plan(point, "stop", seconds=seconds), None),
        (mix.stop_at_random, None, Blow(moment, seconds)),
    ):
        if drawn < share:
            return racers.start(work, plan, blow)
        drawn -= share
    return racers.start(work)


def count(racer: Racer, tally: Tally) -> None:
    """What became of one racer."""
    tally.points.update(racer.points)
    tally.pauses += racer.pauses
    if racer.was_killed:
        tally.kills += 1
        tally.kills_inside += racer.is_inside
        tally.at[racer.points[-1] if racer.points else "(before any point)"] += 1
    else:
        tally.exits[str(racer.status)] += 1
        if racer.status == racers.CRASHED:
            tally.wrong.append("a racer ended with a traceback")
