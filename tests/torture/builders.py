"""Many `etlctl build` of one graph at once, on one state database: `python tests/torture/builders.py [--rounds 100]`.

First a round in peace, ten builders on 300 tasks of 100 ms: each task runs once, as the history and a counter that
tasks write to both say, and sooner than one builder alone. Then rounds with blows: builders are killed (kill -9) and
started again, or stopped and let go on later than their leases live. Each load is there exactly once, every other
task ran at least once, nothing stays held, nobody waits for ever. Loads take from a pool of two places: never more than
two are seen taken, sampled from the database all the while.

    Campaign.peace()   ten builders, then one on a graph of its own, by the clock
    Campaign.round()   builders and blows until one after the other has ended well
    Campaign.look()    what is in the warehouse, the counter, the leases

Builders are started from the shell, as in containers; state and warehouse are one PostgreSQL. `--control` takes the
leases away from the round in peace: it is good when tasks are then found to have run more than once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

REPOSITORY = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path[0] = str(REPOSITORY / "tests")

from servers.postgres import PostgresServer, postgres  # noqa: E402  the path above comes first

BUILDERS = 10
TASKS = 300
POOL = 2
LEASE_TTL_S = 3
"""Of rounds with blows, in which builders are stopped for longer than that."""
PEACE_TTL_S = 60
"""Where nobody is stopped: a machine that is busy for three seconds takes nothing from anybody."""
LONGEST_ROUND_S = 180
FLOWS = '''
    """Tasks in layers, each of 100 ms, each telling a counter that it ran; every sixth is a load."""

    import os
    import time

    from etlctl import IntParameter, LocalTarget, LoadTable, Task, WrapperTask

    WIDTH = 20
    COUNTER = os.environ["BUILDERS_COUNTER"]


    def count(task):
        """One line, written at once: lines of several processes do not run into each other."""
        file = os.open(COUNTER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{task.turn} {task.number}\\n".encode())
        os.close(file)


    def step(turn, number):
        return Load(turn, number) if number % 6 == 0 else Step(turn, number)


    class Layered:
        def requires(self):
            layer, place = divmod(self.number, WIDTH)
            if layer:
                before = (layer - 1) * WIDTH
                return [step(self.turn, before + place), step(self.turn, before + (place + 1) % WIDTH)]
            return []


    class Step(Layered, Task):
        turn = IntParameter()
        number = IntParameter()

        def output(self):
            return LocalTarget(f"out/{self.turn}/{self.number}")

        def run(self):
            count(self)
            time.sleep(0.1)
            with self.output().open("w") as file:
                file.write("done")


    class Load(Layered, LoadTable):
        turn = IntParameter()
        number = IntParameter()
        table = "loads"
        resources = {"warehouse": 1}
        columns = {"turn": "integer", "number": "integer", "row": "integer"}

        def rows(self):
            count(self)
            time.sleep(0.1)
            for row in range(20):
                yield self.turn, self.number, row


    class Whole(WrapperTask):
        turn = IntParameter()
        tasks = IntParameter(default=300)

        def requires(self):
            return [step(self.turn, number) for number in range(self.tasks)]
'''


@dataclass
class Tally:
    """What happened, and what was wrong."""

    rounds: int = 0
    builders: int = 0
    kills: int = 0
    pauses: int = 0
    exits: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    most_loading: int = 0
    """Places of the pool that were seen taken at one moment."""

    def __str__(self) -> str:
        return (
            f"{self.rounds:,} rounds, {self.builders:,} builders, {self.kills:,} kills, {self.pauses:,} pauses; "
            f"longest round {self.longest_s:.0f} s; exits {dict(self.exits)}; "
            f"pool of {POOL}: {self.most_loading} at most; {len(self.wrong)} wrong"
        )


class Campaign:
    """One project, one PostgreSQL."""

    def __init__(self, folder: Path, server: PostgresServer, seed: int, *, has_leases: bool = True) -> None:
        self.folder = folder
        self.server = server
        self.url = server.new_database()
        self.random = random.Random(seed)
        self.has_leases = has_leases
        self.counter = folder / "counter"
        self.tally = Tally()
        (folder / "pipelines").mkdir()
        (folder / "config").mkdir()
        (folder / "pipelines" / "flows.py").write_text(dedent(FLOWS).lstrip(), encoding="utf-8")

    def _settle(self, lease_ttl_s: int) -> None:
        """Settings for the builders that are started from now on."""
        state = self.url if self.has_leases else "sqlite:///.etlctl/state-${BUILDERS_OWN}.db"
        (self.folder / "config" / "etlctl.toml").write_text(
            f'[connections.warehouse]\nurl = "{self.url}"\n[state]\nurl = "{state}"\nlease_ttl = {lease_ttl_s}\n'
            f"[pools]\nwarehouse = {POOL}\n",
            encoding="utf-8",
        )

    def start(self, turn: int, tasks: int, number: int = 0, wait_held: str = "10m") -> subprocess.Popen[bytes]:
        """One builder, from the shell."""
        self.tally.builders += 1
        words = ["build", "Whole", "--turn", str(turn), "--tasks", str(tasks), "--wait-held", wait_held]
        with open(self.folder / f"builder-{turn}.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "etlctl", *words],
                cwd=self.folder,
                env={**os.environ, "BUILDERS_COUNTER": str(self.counter), "BUILDERS_OWN": str(number)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def together(self, turn: int, tasks: int, builders: int) -> float:
        """Builders in peace; seconds until the last has ended."""
        self._settle(PEACE_TTL_S)
        began = time.monotonic()
        alive = [self.start(turn, tasks, number) for number in range(builders)]
        while alive:
            self.sample(turn)
            for one in [one for one in alive if one.poll() is not None]:
                alive.remove(one)
                self.tally.exits[one.returncode] += 1
            time.sleep(0.02)
        return time.monotonic() - began

    def sample(self, turn: int) -> None:
        """How many places of the pool are taken at this moment."""
        if self.has_leases and self._knows_leases():
            ((taken,),) = self.server.ask(_LOADING, url=self.url)
            self.tally.most_loading = max(self.tally.most_loading, taken)
            if taken > POOL:
                self.tally.wrong.append(f"turn {turn}: {taken} of {POOL} places of the pool are taken")

    def peace(self, builders: int = BUILDERS, tasks: int = TASKS) -> tuple[float, float]:
        """Seconds of all of them together, and of one alone with as many tasks. Complains of what ran twice."""
        self.together(0, 1, 1)  # tables are there, byte code is compiled
        many_s = self.together(1, tasks, builders)
        self.look(1, tasks, exactly_once=True)
        one_s = self.together(2, tasks, 1)
        self.look(2, tasks, exactly_once=True)
        if many_s >= one_s:
            self.tally.wrong.append(f"{builders} builders took {many_s:.1f} s, one alone {one_s:.1f} s")
        return many_s, one_s

    def round(self, turn: int, tasks: int, builders: int) -> None:
        """Builders and blows. A killed builder is started again, as a container would be."""
        self._settle(LEASE_TTL_S)
        began = time.monotonic()
        alive = [self.start(turn, tasks) for _ in range(builders)]
        resume: list[tuple[float, subprocess.Popen[bytes]]] = []
        paused: set[int] = set()
        next_blow, blows = began + self.random.uniform(0.3, 1.5), self.random.randint(2, 6)
        while alive:
            now = time.monotonic()
            for one in [one for moment, one in resume if moment <= now]:
                one.send_signal(signal.SIGCONT)
            resume = [(moment, one) for moment, one in resume if moment > now]
            for one in [one for one in alive if one.poll() is not None]:
                alive.remove(one)
                self.tally.exits[one.returncode] += 1
                # one that was stopped may find its task taken over: 5
                if one.returncode not in (0, -signal.SIGKILL) and not (one.returncode == 5 and one.pid in paused):
                    said = (self.folder / f"builder-{turn}.log").read_text(errors="replace")
                    lines = [line for line in said.splitlines() if " OK " not in line and " SKIP " not in line]
                    self.tally.wrong.append("\n  ".join([f"turn {turn}: a builder left with {one.returncode}", *lines]))
            if blows and alive and now >= next_blow:
                blows -= 1
                next_blow = now + self.random.uniform(0.1, 1.0)
                victim = self.random.choice(alive)
                if self.random.random() < 0.6:
                    victim.kill()
                    self.tally.kills += 1
                    alive.append(self.start(turn, tasks))
                else:
                    victim.send_signal(signal.SIGSTOP)
                    self.tally.pauses += 1
                    paused.add(victim.pid)
                    resume.append((now + self.random.uniform(0.2, 2.5 * LEASE_TTL_S), victim))
            self.sample(turn)
            if now - began > LONGEST_ROUND_S:
                self.tally.wrong.append(f"turn {turn}: builders still run after {LONGEST_ROUND_S} s")
                for one in alive:
                    one.kill()
                    one.wait()
                break
            time.sleep(0.01)
        self.tally.rounds += 1
        self.tally.longest_s = max(self.tally.longest_s, time.monotonic() - began)
        self.look(turn, tasks, exactly_once=False)

    def look(self, turn: int, tasks: int, *, exactly_once: bool) -> None:
        """What is there after a round: rows, what was counted, leases, the history."""
        lines = self.counter.read_text(encoding="utf-8").splitlines()
        ran = Counter(int(line.split()[1]) for line in lines if line.split()[0] == str(turn))
        loads = {number for number in range(tasks) if number % 6 == 0}
        found = self.server.ask("SELECT number, count(*) FROM loads WHERE turn = %s GROUP BY 1", turn, url=self.url)
        wrong = [f"load {number} has {rows} rows of 20" for number, rows in found if rows != 20]
        wrong += [f"load {number} is not there" for number in loads - {number for number, _ in found}]
        wrong += [f"task {number} did not run" for number in set(range(tasks)) - set(ran)]
        if exactly_once:
            wrong += [f"task {number} ran {times} times" for number, times in ran.items() if times != 1]
        wrong += [f"a lease of {task_id} is still held" for (task_id,) in self._held()]
        self.tally.wrong.extend(f"turn {turn}: {one}" for one in wrong)

    def _held(self) -> list[tuple[str]]:
        return [(row[0],) for row in self.server.ask(_HELD, url=self.url)] if self._knows_leases() else []

    def _knows_leases(self) -> bool:
        return bool(self.server.ask("SELECT to_regclass('etlctl_leases')", url=self.url)[0][0])


_HELD = "SELECT task_id FROM etlctl_leases WHERE state = 'running'"
_LOADING = (
    "SELECT count(*) FROM etlctl_leases WHERE state = 'running' AND task_id LIKE 'Load%' "
    "AND expires_at > extract(epoch FROM clock_timestamp())"
)


@contextmanager
def campaign(seed: int, *, has_leases: bool = True) -> Iterator[Campaign]:
    """A project in a temporary folder, on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="etlctl-builders-") as folder, postgres() as server:
        yield Campaign(Path(folder), server, seed, has_leases=has_leases)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--tasks", type=int, default=60, help="of a round with blows")
    parser.add_argument("--builders", type=int, default=4, help="of a round with blows")
    parser.add_argument("--control", action="store_true", help="no shared leases: must be found out")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    with campaign(given.seed, has_leases=not given.control) as one:
        many_s, one_s = one.peace()
        print(f"peace: {BUILDERS} builders {many_s:.1f} s, one alone {one_s:.1f} s, of {TASKS} tasks of 100 ms")
        if given.control:
            twice = [line for line in one.tally.wrong if line.startswith("turn 1: task")]
            print(f"control: {len(twice)} of {TASKS} tasks ran more than once")
            return 0 if twice else 1
        for turn in range(10, 10 + given.rounds):
            before = len(one.tally.wrong)
            one.round(turn, given.tasks, given.builders)
            if len(one.tally.wrong) > before:
                break
            if turn % 10 == 9:
                print(one.tally, flush=True)
        print(one.tally)
        print("\n".join(one.tally.wrong[:20]))
        return 1 if one.tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
