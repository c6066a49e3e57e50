"""Several `etlctl loop` of the same schedules on one state database, killed at random: a part of `make torture-loop`.

    python tests/torture/loops.py                        200 turns, then the section of docs/reliability-figures.md
    python tests/torture/loops.py --turns 20 --seed 7 --no-page
    python tests/torture/loops.py --control              known-bad variants, which must be found out

Two schedules, each with a window of dates that moves on with time; each date of each task is to be there once, and to
have run once, but for what a killed loop was just at. Loops are killed (kill -9) and started again, as containers are.
In the end every turn on record came to an end or was taken over by the next, each loop and each schedule had its share
(see fairness.py), and no lease is left: that of a loop which was killed when its task was done already is ended by the
next run that finds the task complete.

Loops are started from the shell; state and warehouse are one PostgreSQL. The controls: loops with a state of their own
each, so that nothing keeps them from doing the same, must be seen to run tasks twice; loops that are stopped (SIGSTOP)
but for one must be seen to starve.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path[0] = str(REPOSITORY / "tests")

from servers.postgres import PostgresServer, postgres  # noqa: E402  the path above comes first
from torture import fairness, sections  # noqa: E402  as above
from torture.fairness import Begun, Life, Ran  # noqa: E402  as above

LOOPS = 4
PAGE = REPOSITORY / sections.PAGE
LEASE_TTL_S = 3
EVERY_S = {"often": 1, "seldom": 4}
LONGEST_EXPIRY_S = 90.0
"""For what a killed loop held to be free for others: a lease's life, and some patience."""
TURN_AFTER_KILL_S = 30.0
"""After this a turn was begun, and ended, that finds what a killed loop had done."""
BLOWS_S = (4.0, 12.0)
"""Between two kills."""
CONTROL_TURNS = 70
"""Enough for an even share of each of the loops that says something."""
FLOWS = '''
    """What there is grows by a number every second second, or every eighth: the dates of these turns."""

    import os
    import time

    from etlctl import IntParameter, LoadTable, LocalTarget, StrParameter, Task, WrapperTask

    COUNTER = os.environ["LOOPS_COUNTER"]
    BEGAN = float(os.environ["LOOPS_BEGAN"])


    class Load(LoadTable):
        kind = StrParameter()
        number = IntParameter()
        table = "loads"
        columns = {"kind": "text", "number": "integer", "row": "integer"}

        def rows(self):
            for row in range(5):
                time.sleep(0.01)
                yield self.kind, self.number, row


    class Step(Task):
        kind = StrParameter()
        number = IntParameter()

        def requires(self):
            return Load(self.kind, self.number)

        def output(self):
            return LocalTarget(os.path.join(os.environ["LOOPS_OUT"], f"{self.kind} {self.number}"))

        def run(self):
            file = os.open(COUNTER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{os.getpid()} {self.kind} {self.number}\\n".encode())
            os.close(file)
            time.sleep(0.05)
            with self.output().open("w") as out:
                out.write("done")


    class Window(WrapperTask):
        kind = StrParameter()
        pace_s = IntParameter()

        def requires(self):
            last = int((time.time() - BEGAN) / self.pace_s)
            return [Step(self.kind, number) for number in range(max(0, last - 60), last + 1)]
'''


@dataclass
class Tally:
    """What happened, and what was wrong."""

    turns: int = 0
    kills: int = 0
    abandoned: int = 0
    """Turns whose loop was killed in them."""
    dates: int = 0
    """Of all tasks of both schedules."""
    shares: list[tuple[int, float]] = field(default_factory=list)
    """By loop: turns, and an even share."""
    schedules: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{had} of {even:.0f}" for had, even in self.shares)
        return (
            f"{self.turns:,} turns, {self.kills:,} kills, {self.abandoned:,} turns taken over; turns by loop, of an "
            f"even share: {told}; by schedule {dict(self.schedules)}; {self.dates:,} dates; {len(self.wrong)} wrong"
        )


class Campaign:
    """One project, one PostgreSQL, some loops; each has a state of its own where nothing `is_shared`."""

    def __init__(self, folder: Path, server: PostgresServer, seed: int, *, is_shared: bool = True) -> None:
        self.folder = folder
        self.server = server
        self.url = server.new_database()
        self.random = random.Random(seed)
        self.is_shared = is_shared
        self.blows_s = BLOWS_S
        self.most_kills = math.inf
        self.counter = folder / "counter"
        self.out = folder / "out"
        self.tally = Tally()
        self.lives: list[Life] = []
        self._running: list[tuple[Life, subprocess.Popen[bytes], Path]] = []
        self._began = time.time()
        (folder / "pipelines").mkdir()
        (folder / "pipelines" / "flows.py").write_text(dedent(FLOWS).lstrip(), encoding="utf-8")
        told = "".join(
            f'[schedules.{name}]\ntasks = ["Window"]\nevery = "{seconds}s"\n'
            f'params = {{ kind = "{name}", pace_s = {2 * seconds} }}\n'
            for name, seconds in EVERY_S.items()
        )
        (folder / "etlctl.toml").write_text(
            f'[connections.warehouse]\nurl = "{self.url}"\n'
            f'[state]\nurl = "${{LOOPS_STATE}}"\nlease_ttl = {LEASE_TTL_S}\n[loop]\nlocal_state_ok = true\n{told}',
            encoding="utf-8",
        )

    def start(self, seat: int) -> None:
        """One loop, from the shell, on that seat."""
        path = self.folder / f"loop-{seat}-{len(self.lives)}.log"
        state = self.url if self.is_shared else f"sqlite:///state-{seat}.db"
        given = {"COUNTER": self.counter, "BEGAN": self._began, "OUT": self.out, "STATE": state}
        with open(path, "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "etlctl", "loop"],
                cwd=self.folder,
                env={**os.environ, **{f"LOOPS_{name}": str(value) for name, value in given.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        life = Life(seat, process.pid)
        self.lives.append(life)
        self._running.append((life, process, path))

    def run(self, turns: int, loops: int, longest_s: float, *, kills: bool = True, stops: bool = False) -> None:
        """Until so many turns have ended, and with kills at least one has come; then the loops are asked to end."""
        try:
            for seat in range(loops):
                self.start(seat)
            if stops:
                self._stop_but_one()
            end = time.monotonic() + longest_s
            next_blow = time.monotonic() + self.random.uniform(*self.blows_s)
            while self._ended() < turns or (kills and not self.tally.kills):
                if time.monotonic() > end:
                    self.tally.wrong.append(f"{self._ended()} turns have ended after {longest_s:.0f} s")
                    break
                if kills and self.tally.kills < self.most_kills and time.monotonic() >= next_blow:
                    next_blow = time.monotonic() + self.random.uniform(*self.blows_s)
                    self._blow()
                if not self._are_there():
                    return
                time.sleep(0.05)
            self._end()
        finally:
            for _, process, _ in self._running:
                process.kill()
                process.wait()

    def _stop_but_one(self) -> None:
        """What a loop must never be: there, and never at work."""
        while not all(path.stat().st_size for _, _, path in self._running):
            time.sleep(0.05)
        self._are_there()
        for _, process, _ in self._running[1:]:
            process.send_signal(signal.SIGSTOP)

    def _blow(self) -> None:
        life, process, _ = self._running.pop(self.random.randrange(len(self._running)))
        process.kill()
        process.wait()
        life.was_killed, life.ended_at = True, time.time()
        self.tally.kills += 1
        self.start(life.seat)

    def _are_there(self) -> bool:
        """Notes which can begin turns by now, and those that left by themselves."""
        for life, process, path in self._running:
            if process.poll() is not None:
                self.tally.wrong.append(f"a loop left by itself with {process.returncode}: {path.read_text()[-500:]}")
                return False
            if life.ready_at is None and path.stat().st_size:
                life.ready_at = time.time()
        return True

    def _end(self) -> None:
        for life, process, _ in self._running:
            life.ended_at = time.time()
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        codes = Counter(process.wait(120) for _, process, _ in self._running)
        if not set(codes) <= {143, -signal.SIGTERM}:  # the latter: one that was just being started
            self.tally.wrong.append(f"loops left with {dict(codes)} after SIGTERM")

    def look(self) -> None:
        """Rows, what ran, leases, the record of turns."""
        self._look_at_rows()
        self.look_at_what_ran()
        self._look_at_record()

    def _look_at_rows(self) -> None:
        wrong = self.tally.wrong
        rows = {(kind, number): count for kind, number, count in self._ask(_ROWS)}
        self.tally.dates = len(rows)
        wrong += [f"load {kind} {number} has {count} rows of 5" for (kind, number), count in rows.items() if count != 5]
        for name in EVERY_S:
            last = max((number for kind, number in rows if kind == name), default=0)
            for number in range(last):
                if (name, number) not in rows:
                    wrong.append(f"load {name} {number} is not there")
                if not (self.out / f"{name} {number}").exists():
                    wrong.append(f"the file of {name} {number} is not there")

    def look_at_what_ran(self) -> None:
        """Whether a task ran twice."""
        lines = self.counter.read_text(encoding="utf-8").splitlines()
        ran = [Ran(task, int(pid)) for pid, _, task in (line.partition(" ") for line in lines)]
        self.tally.wrong += fairness.ran_twice(ran, self.lives)

    def _look_at_record(self) -> None:
        wrong, tally = self.tally.wrong, self.tally
        wrong += self._leases_left()
        turns = self._ask(_TURNS)
        tally.turns = sum(code is not None for _, _, _, _, code, _ in turns)
        tally.abandoned = sum(code is None and ended is not None for _, _, _, ended, code, _ in turns)
        tally.schedules = Counter(name for name, _, _, _, code, _ in turns if code is not None)
        for name in EVERY_S:
            due = [moment for one, moment, _, _, code, _ in turns if one == name and code is not None]
            if len(set(due)) != len(due) or due != sorted(due):
                wrong.append(f"a turn of {name} came to its end twice, or before an earlier one")
        bad = Counter(code for _, _, _, _, code, _ in turns if code not in (0, None))
        if bad:
            wrong.append(f"turns ended with {dict(bad)}")
        begun = [Begun(name, _pid_of(owner), began) for name, _, began, _, _, owner in turns]
        tally.shares = fairness.shares(begun, self.lives)
        wrong += fairness.starved_loops(begun, self.lives)
        wrong += fairness.starved_schedules(begun, EVERY_S)

    def _leases_left(self) -> Iterator[str]:
        """But what loops that were killed at the very end have let expire: no run has found their task complete."""
        last = max(life.ended_at or 0.0 for life in self.lives) - TURN_AFTER_KILL_S
        killed = {life.pid for life in self.lives if life.was_killed and (life.ended_at or 0.0) > last}
        end = time.monotonic() + LONGEST_EXPIRY_S
        held = self._ask(_HELD)
        while any(is_alive for _, _, is_alive in held) and time.monotonic() < end:
            time.sleep(0.1)
            held = self._ask(_HELD)
        for task_id, owner, is_alive in held:
            if is_alive or _pid_of(owner) not in killed:
                yield f"a lease of {task_id} is left by process {_pid_of(owner)}"

    def _ended(self) -> int:
        if not self.is_shared:  # each loop has its own record: dates in all stand for turns
            return len(self.counter.read_text().splitlines()) if self.counter.exists() else 0
        if not self._ask("SELECT to_regclass('etlctl_turns')")[0][0]:
            return 0
        return int(self._ask("SELECT count(*) FROM etlctl_turns WHERE code IS NOT NULL")[0][0])

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.ask(query, url=self.url)


_ROWS = "SELECT kind, number, count(*) FROM loads GROUP BY 1, 2"
_HELD = "SELECT task_id, owner, expires_at >= extract(epoch from now()) FROM etlctl_leases WHERE state = 'running'"
_TURNS = "SELECT schedule, due, began_at, ended_at, code, owner FROM etlctl_turns ORDER BY schedule, number"


def _pid_of(owner: str) -> int:
    return int(owner.split(":")[2])


@contextmanager
def campaign(seed: int, *, is_shared: bool = True) -> Iterator[Campaign]:
    """A project in a temporary folder, on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="etlctl-loops-") as folder, postgres() as server:
        yield Campaign(Path(folder), server, seed, is_shared=is_shared)


def found_out(seed: int) -> dict[str, int]:
    """By known-bad variant: how many complaints it was found out by."""
    with campaign(seed, is_shared=False) as apart:
        apart.run(CONTROL_TURNS, LOOPS, 10 * CONTROL_TURNS, kills=False)
        apart.tally.wrong.clear()
        apart.look_at_what_ran()
    with campaign(seed) as stopped:
        stopped.run(CONTROL_TURNS, LOOPS, 10 * CONTROL_TURNS, kills=False, stops=True)
        stopped.tally.wrong.clear()
        stopped.look()
    starved = [sentence for sentence in stopped.tally.wrong if "share" in sentence or "without one" in sentence]
    return {"a state of its own for each loop": len(apart.tally.wrong), "all but one stopped": len(starved)}


def section(tally: Tally, controls: Mapping[str, int], seed: int, day: str) -> str:
    """What the page says of a campaign."""
    told = " | ".join(str(one) for one in (tally.turns, tally.kills, tally.abandoned, tally.dates, len(tally.wrong)))
    rows = ["| turns | kills | taken over | dates | wrong |", "|---:|---:|---:|---:|---:|", f"| {told} |", ""]
    rows += ["| loop | turns | an even share |", "|---|---:|---:|"]
    rows += [f"| {number} | {had} | {even:.1f} |" for number, (had, even) in enumerate(tally.shares, 1)]
    rows += sections.controls(controls, "complaints")
    (low, high), without = BLOWS_S, fairness.LONGEST_WITHOUT
    paces = " and ".join(f"{seconds} s" for seconds in EVERY_S.values())
    return f"""{sections.LOOPS}

`make torture-loop` starts {LOOPS} loops of two schedules, due every {paces}, on one PostgreSQL; one of them is killed
every {low:g} to {high:g} s and started again. *Taken over* are turns whose loop was killed in them, *dates* are those
of both schedules. *Wrong* is a date that is missing or not once there, a task that ran again though no kill explains
it, a lease of another loop than one that was killed at the very end, a turn that ended twice, a loop with less than a
third of an even share of the turns that it lived through, one that lived through {without} turns without one of its
own, or a schedule with less than a third of the turns that were due. The harness must find known-bad variants out:
loops that each have a state of their own run tasks twice, and loops that are stopped (SIGSTOP) starve. Run on {day},
seed {seed}.

""" + "\n".join([*rows, ""])


def main() -> int:
    """Runs what is asked for; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--seed", type=int, help="repeats a run's draws; a new one is taken and printed otherwise")
    parser.add_argument("--control", action="store_true", help="known-bad variants alone: must be found out")
    parser.add_argument("--no-page", action="store_true", help="print only")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed} …", flush=True)
    tally = Tally()
    if not given.control:
        with campaign(seed) as one:
            one.run(given.turns, LOOPS, 15 * given.turns)
            one.look()
            tally = one.tally
        print(tally, *tally.wrong[:20], sep="\n", flush=True)
    controls: dict[str, int] = {}
    if given.control or not given.no_page:
        controls = found_out(seed)
        print(*sections.controls(controls, "complaints"), sep="\n", flush=True)
    if not given.no_page and not given.control:
        sections.write(PAGE, section(tally, controls, seed, datetime.now(UTC).date().isoformat()))
    return int(bool(tally.wrong) or not all(controls.values()))


if __name__ == "__main__":
    sys.exit(main())
