"""The judge: what one snapshot of markers and rows says about lost, doubled, partial and half-visible loads.

A set model: each load is there with all its rows and one marker, or not at all; one that was reported as done is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from etlctl.core.task import Task
from torture import racers
from torture.loads import expected
from torture.places import MARKERS, Place, read_state

PAUSE_S = 0.02
"""Between two looks of the parallel reader, which would else take half of the machine."""
FAULTS = ("lost", "doubled", "partial", "half_visible")
"""Lost: a marker, or a report of success, without rows. Doubled: rows more than once. Partial: some of the rows.
Half-visible: at one moment rows without their marker or the other way round."""


@dataclass
class Tally:
    """What happened in a part of the torture, and what was wrong."""

    loads: int = 0
    kills: int = 0
    kills_inside: int = 0
    """Of `kills`, those between load.begun and load.committed."""
    pauses: int = 0
    crashes: int = 0
    cuts: int = 0
    terminations: int = 0
    looks: int = 0
    lost: int = 0
    doubled: int = 0
    partial: int = 0
    half_visible: int = 0
    seconds: float = 0
    at: Counter[str] = field(default_factory=Counter)
    """The point that a killed process had passed last."""
    points: Counter[str] = field(default_factory=Counter)
    """How often each point was passed."""
    exits: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Sentences, the first ones."""

    def found(self, faults: Mapping[str, Collection[str]]) -> None:
        """Adds what a snapshot showed."""
        for fault, sentences in faults.items():
            setattr(self, fault, getattr(self, fault) + len(sentences))
            self.wrong.extend(f"{fault}: {sentence}" for sentence in list(sentences)[: max(0, 20 - len(self.wrong))])

    @property
    def is_clean(self) -> bool:
        """Nothing lost, doubled, partial or half-visible, and nothing else wrong."""
        return not self.wrong and not any(getattr(self, fault) for fault in FAULTS)

    def as_json(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def __str__(self) -> str:
        numbers = {name: value for name, value in self.as_json().items() if isinstance(value, int) and value}
        faults = " ".join(f"{fault}={getattr(self, fault)}" for fault in FAULTS)
        rest = ", ".join(f"{value:,} {name}" for name, value in numbers.items() if name not in FAULTS)
        return f"{rest}; {faults}; {self.seconds:.1f} s"


class Ledger:
    """The loads of a round and what each of them should come to."""

    def __init__(self, tasks: Mapping[int, Task]) -> None:
        self.pairs = {number: expected(task) for number, task in tasks.items()}
        self.tables = sorted({table for pairs in self.pairs.values() for (_, table), rows in pairs.items() if rows})

    def judge(self, place: Place, connection: Any, done: Collection[int]) -> dict[str, list[str]]:
        """What is wrong in one snapshot, by kind of fault; each load in `done` must be there."""
        with read_state(place, connection) as tables:
            markers = _markers(place, connection, tables)
            counts = {table: _counts(place, connection, table) for table in self.tables if table in tables}
        faults: dict[str, list[str]] = {fault: [] for fault in FAULTS}
        for number, pairs in self.pairs.items():
            states = {pair: markers.get(pair, []) for pair in pairs}
            for (update_id, table), rows in pairs.items():
                found = counts.get(table, {}).get(number, 0)
                fault = _fault(found, rows, states[update_id, table], number in done, _all_alike(states))
                if fault is not None:
                    told = f"load {number} in {table}: {found} rows of {rows}, markers {states[update_id, table]}"
                    faults[fault].append(f"{told}, {'reported as done' if number in done else 'not reported'}")
        return faults

    def is_done(self, place: Place, connection: Any, number: int) -> bool:
        """Whether the markers of a load are there."""
        with read_state(place, connection) as tables:
            markers = _markers(place, connection, tables)
        return all(pair in markers for pair in self.pairs[number])


def _all_alike(states: Mapping[Any, list[str]]) -> bool:
    return len({tuple(found) for found in states.values()}) == 1


def _fault(found: int, rows: int, states: list[str], reported: bool, alike: bool) -> str | None:
    """What is wrong with one table of one load."""
    if found > rows:
        return "doubled"
    if states not in ([], ["done"]) or not alike:
        return "half_visible"
    if found not in (0, rows):
        return "partial"
    if (reported or states) and found != rows:
        return "lost"
    if reported and not states:
        return "lost"
    return "half_visible" if found and not states else None


def _markers(place: Place, connection: Any, tables: set[str]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    if MARKERS in tables:
        for update_id, table, state in place.ask(connection, f"SELECT update_id, target_table, state FROM {MARKERS}"):
            found.setdefault((update_id, table), []).append(state)
    return found


def _counts(place: Place, connection: Any, table: str) -> dict[int, int]:
    return dict(place.ask(connection, f"SELECT part, count(*) FROM {table} GROUP BY part"))


class Reader:
    """A process that takes markers and rows in one snapshot all the time, and counts what is half-visible."""

    def __init__(self, place: Place, ledger: Ledger) -> None:
        reading, self._stop = os.pipe()
        self._answer, writing = os.pipe()

        def work() -> int:
            os.close(self._stop)
            os.write(writing, json.dumps(_look(place, ledger, reading)).encode())
            return 0

        self._racer = racers.start(work)
        os.close(reading)
        os.close(writing)

    def end(self, tally: Tally) -> None:
        """Stops it and adds what it has seen."""
        os.close(self._stop)
        racers.watch([self._racer])
        with open(self._answer, "rb") as answer:
            seen = json.loads(answer.read() or b"{}")
        if not seen:
            tally.wrong.append("the parallel reader died")
            return
        tally.looks += seen["looks"]
        tally.half_visible += seen["faults"]
        tally.wrong.extend(f"seen by the reader: {sentence}" for sentence in seen["sentences"])


def _look(place: Place, ledger: Ledger, stop: int) -> dict[str, Any]:
    """Looks until the other end of `stop` is closed, and once more then; a server that is down is asked again."""
    looks, faults = 0, 0
    sentences: list[str] = []
    connection = None
    is_last = False
    while not is_last:
        is_last = bool(select.select([stop], [], [], PAUSE_S)[0])
        try:
            connection = connection or place.connect()
            found = ledger.judge(place, connection, ())
        except Exception as error:
            if not place.is_passing(error) and not place.is_down(error):
                raise
            if place.is_down(error):
                _close(connection)
                connection = None
            continue
        looks += 1
        said = [sentence for one in found.values() for sentence in one]
        faults += len(said)
        sentences.extend(said[: max(0, 5 - len(sentences))])
    _close(connection)
    return {"looks": looks, "faults": faults, "sentences": sentences}


def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):  # its server may be gone
        if connection is not None:
            connection.close()
    time.sleep(0.02)
