"""How long a loop takes to end: a part of `make torture-loop`.

    python tests/torture/loop_ends.py                       200 rounds, then the section of docs/reliability-figures.md
    python tests/torture/loop_ends.py --rounds 20 --seed 7 --no-page
    python tests/torture/loop_ends.py --control             loops that end wrongly, which must be found out

Each round starts `etlctl loop`, as process 1 of a PID namespace where that is permitted, with PostgreSQL as warehouse
and as state database; sends it SIGTERM or SIGINT a random moment after it is idle, in a task, in COPY or in backoff;
and looks at what is left. Ends with 1 when a round was wrong: code, time, rows, marker, files, leases, transactions.
The controls: loops that are killed (kill -9), and loops with a longer grace than the one they are judged by.
"""

from __future__ import annotations

import argparse
import math
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(REPOSITORY / "tests")

from looping import Ended, Looping, loop_of, looping, make_project, why_not_first  # noqa: E402  the path above comes first
from servers.postgres import PostgresServer  # noqa: E402  as above
from torture import sections  # noqa: E402  as above

PAGE = REPOSITORY / sections.PAGE
GRACE_S = 1.0
MORE_S = 2.0
PLACES = {"idle": "Quick", "in a task": "Slow", "in COPY": "Copying", "in backoff": "Failing"}
"""Where the signal finds it, and the task that brings it there."""
_HAS_GRACE = ("in a task", "in COPY")
_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Round:
    """What came of one round."""

    place: str
    over_s: float
    """Beyond the grace, which only work under way is given."""
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """How a loop is started and ended."""

    signals: tuple[signal.Signals, ...] = tuple(_CODES)
    grace_s: float = GRACE_S


PROPER = Variant()
KILLED = Variant(signals=(signal.SIGKILL,))
LATE = Variant(grace_s=GRACE_S + 2 * MORE_S)


def rounds(number: int, seed: int, variant: Variant = PROPER) -> Iterator[Round]:
    """So many of them, the four places in turn."""
    rng = random.Random(seed)
    with PostgresServer() as server:
        for index in range(number):
            place = list(PLACES)[index % len(PLACES)]
            url = server.new_database()
            with tempfile.TemporaryDirectory(prefix="etlctl-loop-") as folder:
                project = make_project(Path(folder), url, state=url)
                yield _round(place, project, _Database(server, url), rng, variant)


class _Database:
    """One round's."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self._url = url

    def ask(self, query: str) -> object:
        """One value."""
        return self._server.ask(query, url=self._url)[0][0]

    def left(self) -> Iterator[str]:
        """What should not be there after the end."""
        mine = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if self.ask(f"SELECT count(*) FROM {mine} AND state <> 'idle'"):
            yield "an open transaction"
        if self.ask("SELECT count(*) FROM etlctl_leases WHERE state = 'running'"):
            yield "a lease"
        for table in ("copying", "table_updates"):
            if self.ask(f"SELECT to_regclass('{table}') IS NOT NULL") and self.ask(f"SELECT count(*) FROM {table}"):
                yield f"rows in {table}"


def _round(place: str, project: Path, database: _Database, rng: random.Random, variant: Variant) -> Round:
    number = rng.choice(variant.signals)
    command, port = loop_of(PLACES[place], grace_s=variant.grace_s)
    with looping(command, project, port, is_first=not why_not_first()) as loop:
        _bring_to(place, loop, project, database)
        time.sleep(rng.uniform(0, 0.3))
        loop.send(number)
        ended = loop.ended()
    over_s = ended.took_s - (GRACE_S if place in _HAS_GRACE else 0)
    code = _CODES.get(number, _CODES[signal.SIGTERM])
    return Round(place, over_s, tuple(wrong(place, ended, code, project, database.left())))


def _bring_to(place: str, loop: Looping, project: Path, database: _Database) -> None:
    if place == "in a task":
        loop.wait_for((project / "started").exists, "the task")
    elif place == "in COPY":
        copied = "SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 0"
        loop.wait_for(lambda: database.ask(copied), "COPY")
    else:
        loop.wait_for_turn()


def wrong(place: str, ended: Ended, code: int, project: Path, left: Iterable[str]) -> Iterator[str]:
    """What is to be said against that end; `left` is what the database has of it."""
    if ended.code != code:
        yield f"exit {ended.code}, and not {code}"
    if ended.took_s > GRACE_S + MORE_S:
        yield f"{ended.took_s:.2f} s"
    if place in _HAS_GRACE and ended.took_s < GRACE_S:
        yield f"no grace: {ended.took_s:.2f} s"
    if "Traceback" in ended.err:
        yield f"a traceback: {ended.err}"
    if place == "in a task":
        yield from (f"the file {path.name}" for path in project.iterdir() if "slow" in path.name.lower())
    yield from left


def found_out(seed: int) -> dict[str, int]:
    """By known-bad variant: how many of its rounds were found wrong, as they must be."""
    killed = list(rounds(len(PLACES), seed, KILLED))
    late = list(rounds(len(PLACES), seed, LATE))
    return {
        "killed, so that its lease is left": sum("a lease" in one.wrong for one in killed),
        "killed, so that it has another exit code": sum(bool(one.wrong) for one in killed),
        f"a grace of {LATE.grace_s:g} s": sum(bool(one.wrong) for one in late if one.place in _HAS_GRACE),
    }


def section(found: Sequence[Round], controls: Mapping[str, int], seed: int, day: str) -> str:
    """What the page says of them."""
    rows = ["| when the signal comes | rounds | median | p99 | longest | wrong |", "|---|---:|---:|---:|---:|---:|"]
    for place in [*PLACES, ""]:
        some = [one for one in found if place in ("", one.place)]
        times = sorted(one.over_s for one in some)
        told = " | ".join(f"{one:.2f} s" for one in (_percentile(times, 50), _percentile(times, 99), times[-1]))
        rows.append(f"| {place or 'in all'} | {len(some)} | {told} | {sum(bool(one.wrong) for one in some)} |")
    how = "as process 1 of a PID namespace" if not why_not_first() else "as an ordinary process"
    return f"""{sections.ENDS}

`make torture-loop` starts `etlctl loop` {how}, with a grace of {GRACE_S:g} s and PostgreSQL
for warehouse and state, sends it SIGTERM or SIGINT, and looks at what is left. Times are those beyond the grace, which
a loop with nothing under way does not take; the promise is {MORE_S:g} s. *Wrong* is another exit code, more time, an
open transaction, a lease, rows, a marker or a file. The harness must find known-bad variants out. Run on {day},
seed {seed}.

""" + "\n".join([*rows, *sections.controls(controls, "rounds found wrong"), ""])


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """By nearest rank."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def main() -> int:
    """Runs what is asked for; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, help="repeats a run's draws; a new one is taken and printed otherwise")
    parser.add_argument("--minutes", type=float, default=60, help="after so many no further round is begun")
    parser.add_argument("--control", action="store_true", help="known-bad variants alone: must be found out")
    parser.add_argument("--no-page", action="store_true", help="print the section only")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"{0 if given.control else given.rounds} rounds, seed {seed} …", flush=True)
    found = [] if given.control else list(_told(given.rounds, seed, given.minutes))
    controls = found_out(seed) if given.control or not given.no_page else {}
    if not found:
        print(*sections.controls(controls, "rounds found wrong"), sep="\n")
    else:
        text = section(found, controls, seed, datetime.now(UTC).date().isoformat())
        print(text)
        if not given.no_page:
            sections.write(PAGE, text)
    return int(any(one.wrong for one in found) or not all(controls.values()))


def _told(number: int, seed: int, minutes: float) -> Iterator[Round]:
    """Rounds, their mistakes told as they come; none is begun after so many minutes."""
    until = time.monotonic() + minutes * 60
    for index, one in enumerate(rounds(number, seed), 1):
        for sentence in one.wrong:
            print(f"  WRONG {one.place}, round {index}: {sentence}", flush=True)
        yield one
        if time.monotonic() > until:
            return


if __name__ == "__main__":
    sys.exit(main())
