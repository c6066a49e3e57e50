"""How long a loop takes to end: `make torture-loop`, or a part of it.

    python tests/torture/loop_ends.py                       200 rounds, then the section of docs/reliability-figures.md
    python tests/torture/loop_ends.py --rounds 20 --seed 7 --no-page

Each round starts `etlctl loop`, as process 1 of a PID namespace where that is permitted, with PostgreSQL as warehouse
and as state database; sends it SIGTERM or SIGINT a random moment after it is idle, in a task, in COPY or in backoff;
and looks at what is left. Ends with 1 when a round was wrong: code, time, rows, marker, files, leases, transactions.
"""

from __future__ import annotations

import argparse
import math
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(REPOSITORY / "tests")

from looping import Ended, Looping, loop_of, looping, make_project, why_not_first  # noqa: E402  the path above comes first
from servers.postgres import PostgresServer  # noqa: E402  as above
from torture import figures  # noqa: E402  as above

PAGE = REPOSITORY / "docs" / "reliability-figures.md"
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


def rounds(number: int, seed: int) -> Iterator[Round]:
    """So many of them, the four places in turn."""
    rng = random.Random(seed)
    with PostgresServer() as server:
        for index in range(number):
            place = list(PLACES)[index % len(PLACES)]
            url = server.new_database()
            with tempfile.TemporaryDirectory(prefix="etlctl-loop-") as folder:
                project = make_project(Path(folder), url, state=url)
                yield _round(place, project, _Database(server, url), rng)


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


def _round(place: str, project: Path, database: _Database, rng: random.Random) -> Round:
    number = rng.choice(list(_CODES))
    command, port = loop_of(PLACES[place], grace_s=GRACE_S)
    with looping(command, project, port, is_first=not why_not_first()) as loop:
        _bring_to(place, loop, project, database)
        time.sleep(rng.uniform(0, 0.3))
        loop.send(number)
        ended = loop.ended()
    over_s = ended.took_s - (GRACE_S if place in _HAS_GRACE else 0)
    return Round(place, over_s, tuple(_wrong(place, ended, _CODES[number], project, database)))


def _bring_to(place: str, loop: Looping, project: Path, database: _Database) -> None:
    if place == "in a task":
        loop.wait_for((project / "started").exists, "the task")
    elif place == "in COPY":
        copied = "SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 0"
        loop.wait_for(lambda: database.ask(copied), "COPY")
    else:
        loop.wait_for_turn()


def _wrong(place: str, ended: Ended, code: int, project: Path, database: _Database) -> Iterator[str]:
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
    yield from database.left()


def section(found: Sequence[Round], seed: int, day: str) -> str:
    """What the page says of them."""
    rows = ["| when the signal comes | rounds | median | p99 | longest | wrong |", "|---|---:|---:|---:|---:|---:|"]
    for place in [*PLACES, ""]:
        some = [one for one in found if place in ("", one.place)]
        times = sorted(one.over_s for one in some)
        told = " | ".join(f"{one:.2f} s" for one in (_percentile(times, 50), _percentile(times, 99), times[-1]))
        rows.append(f"| {place or 'in all'} | {len(some)} | {told} | {sum(bool(one.wrong) for one in some)} |")
    how = "as process 1 of a PID namespace" if not why_not_first() else "as an ordinary process"
    return f"""{figures.ENDS}

`make torture-loop` starts `etlctl loop` {how}, with a grace of {GRACE_S:g} s and PostgreSQL
for warehouse and state, sends it SIGTERM or SIGINT, and looks at what is left. Times are those beyond the grace, which
a loop with nothing under way does not take; the promise is {MORE_S:g} s. *Wrong* is another exit code, more time, an
open transaction, a lease, rows, a marker or a file. Run on {day}, seed {seed}.

""" + "\n".join([*rows, ""])


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """By nearest rank."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def main() -> int:
    """Runs what is asked for; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, help="repeats a run's draws; a new one is taken and printed otherwise")
    parser.add_argument("--minutes", type=float, default=60, help="after so many no further round is begun")
    parser.add_argument("--no-page", action="store_true", help="print the section only")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"{given.rounds} rounds, seed {seed} …", flush=True)
    found: list[Round] = []
    until = time.monotonic() + given.minutes * 60
    for one in rounds(given.rounds, seed):
        found.append(one)
        for sentence in one.wrong:
            print(f"  WRONG {one.place}, round {len(found)}: {sentence}", flush=True)
        if time.monotonic() > until:
            break
    text = section(found, seed, datetime.now(UTC).date().isoformat())
    print(text)
    if not given.no_page:
        PAGE.write_text(figures.with_ends(PAGE.read_text(), text))
        print(f"written: {PAGE.relative_to(REPOSITORY)}")
    return int(any(one.wrong for one in found))


if __name__ == "__main__":
    sys.exit(main())
