"""Several `etlctl loop` of one schedule on one state database, killed at random: `python tests/torture/loops.py`.

Each turn asks for a window of dates that moves on with the turns; each date of each task is to be there once. Loops
are killed (kill -9) and started again, as containers are. In the end no lease is left, every turn on record came to an
end or was taken over by the next, and each loop had its share.

Loops are started from the shell; state and warehouse are one PostgreSQL.
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

LOOPS = 4
LEASE_TTL_S = 3
FLOWS = '''
    """What there is grows by a number every second second: the dates of these turns."""

    import os
    import time

    from etlctl import IntParameter, LoadTable, Task, LocalTarget, WrapperTask

    COUNTER = os.environ["LOOPS_COUNTER"]
    BEGAN = float(os.environ["LOOPS_BEGAN"])


    class Load(LoadTable):
        number = IntParameter()
        table = "loads"
        columns = {"number": "integer", "row": "integer"}

        def rows(self):
            for row in range(5):
                time.sleep(0.01)
                yield self.number, row


    class Step(Task):
        number = IntParameter()

        def requires(self):
            return Load(self.number)

        def output(self):
            return LocalTarget(f"out/{self.number}")

        def run(self):
            file = os.open(COUNTER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{self.number}\\n".encode())
            os.close(file)
            with self.output().open("w") as out:
                out.write("done")


    def now():
        return int((time.time() - BEGAN) / 2)


    class Window(WrapperTask):
        last = IntParameter(default=now)

        def requires(self):
            return [Step(number) for number in range(max(0, self.last - 60), self.last + 1)]
'''


@dataclass
class Tally:
    """What happened, and what was wrong."""

    turns: int = 0
    kills: int = 0
    abandoned: int = 0
    """Turns whose loop was killed in them."""
    shares: Counter[str] = field(default_factory=Counter)
    """Turns by process."""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shares = sorted(self.shares.values(), reverse=True)
        return (
            f"{self.turns:,} turns, {self.kills:,} kills, {self.abandoned:,} turns taken over; turns by process "
            f"{shares}; {len(self.wrong)} wrong"
        )


class Campaign:
    """One project, one PostgreSQL, some loops."""

    def __init__(self, folder: Path, server: PostgresServer, seed: int) -> None:
        self.folder = folder
        self.server = server
        self.url = server.new_database()
        self.random = random.Random(seed)
        self.counter = folder / "counter"
        self.tally = Tally()
        self.began = time.time()
        (folder / "pipelines").mkdir()
        (folder / "pipelines" / "flows.py").write_text(dedent(FLOWS).lstrip(), encoding="utf-8")
        (folder / "etlctl.toml").write_text(
            f'[connections.warehouse]\nurl = "{self.url}"\n[state]\nurl = "{self.url}"\nlease_ttl = {LEASE_TTL_S}\n'
            '[schedules.often]\ntasks = ["Window"]\nevery = "1s"\n',
            encoding="utf-8",
        )

    def start(self) -> subprocess.Popen[bytes]:
        """One loop, from the shell."""
        with open(self.folder / "loops.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "etlctl", "loop"],
                cwd=self.folder,
                env={**os.environ, "LOOPS_COUNTER": str(self.counter), "LOOPS_BEGAN": str(self.began)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self, turns: int, loops: int, longest_s: float) -> None:
        """Until so many turns have ended; then the loops are asked to end, and all is looked at."""
        alive = [self.start() for _ in range(loops)]
        end = time.monotonic() + longest_s
        next_blow = time.monotonic() + self.random.uniform(4, 9)
        try:
            while self._ended() < turns:
                if time.monotonic() > end:
                    self.tally.wrong.append(f"{self._ended()} turns have ended after {longest_s:.0f} s")
                    break
                if time.monotonic() >= next_blow:
                    next_blow = time.monotonic() + self.random.uniform(4, 12)
                    victim = self.random.randrange(len(alive))
                    alive[victim].kill()
                    alive[victim].wait()
                    self.tally.kills += 1
                    alive[victim] = self.start()
                for one in alive:
                    if one.poll() is not None:
                        self.tally.wrong.append(f"a loop left by itself with {one.returncode}")
                        return
                time.sleep(0.05)
            for one in alive:
                one.send_signal(signal.SIGTERM)
            codes = Counter(one.wait(60) for one in alive)
            if not set(codes) <= {143, -signal.SIGTERM}:  # the latter: one that was just being started
                self.tally.wrong.append(f"loops left with {dict(codes)} after SIGTERM")
        finally:
            for one in alive:
                one.kill()
                one.wait()
        self.look()

    def look(self) -> None:
        """Rows, what ran, leases, the record of turns."""
        wrong = self.tally.wrong
        rows = self.server.ask("SELECT number, count(*) FROM loads GROUP BY 1", url=self.url)
        wrong += [f"load {number} has {count} rows of 5" for number, count in rows if count != 5]
        there = {number for number, _ in rows}
        ran = Counter(int(line) for line in self.counter.read_text(encoding="utf-8").split())
        last = max(there)
        wrong += [f"load {number} is not there" for number in set(range(last)) - there]
        done = [number for number in range(last) if not (self.folder / "out" / str(number)).exists()]
        wrong += [f"the file of {number} is not there" for number in done]
        # one that was killed between its line and its file ran again: no more often than there were kills
        again = sum(times - 1 for times in ran.values())
        if again > self.tally.kills:
            wrong.append(f"files were made {again} times too often, with {self.tally.kills} kills")
        held = self.server.ask("SELECT task_id FROM etlctl_leases WHERE state = 'running'", url=self.url)
        wrong += [f"a lease of {task_id} is still held" for (task_id,) in held]
        turns = self.server.ask("SELECT due, ended_at, code, owner FROM etlctl_turns ORDER BY number", url=self.url)
        self.tally.turns = sum(code is not None for _, _, code, _ in turns)
        self.tally.abandoned = sum(code is None and ended is not None for _, ended, code, _ in turns)
        self.tally.shares = Counter(owner for _, _, code, owner in turns if code is not None)
        due = [moment for moment, _, code, _ in turns if code is not None]
        if len(set(due)) != len(due) or due != sorted(due):
            wrong.append("a turn came to its end twice, or before an earlier one")
        bad = Counter(code for _, _, code, _ in turns if code not in (0, None))
        if bad:
            wrong.append(f"turns ended with {dict(bad)}")

    def _ended(self) -> int:
        if not self.server.ask("SELECT to_regclass('etlctl_turns')", url=self.url)[0][0]:
            return 0
        return int(self.server.ask("SELECT count(*) FROM etlctl_turns WHERE code IS NOT NULL", url=self.url)[0][0])


@contextmanager
def campaign(seed: int) -> Iterator[Campaign]:
    """A project in a temporary folder, on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="etlctl-loops-") as folder, postgres() as server:
        yield Campaign(Path(folder), server, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    with campaign(given.seed) as one:
        one.run(given.turns, LOOPS, 10 * given.turns)
        print(one.tally)
        print("\n".join(one.tally.wrong[:20]))
        if one.tally.wrong:
            print((one.folder / "loops.log").read_text(encoding="utf-8")[-3000:])
        return 1 if one.tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
