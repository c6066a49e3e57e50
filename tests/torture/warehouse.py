"""The demo's way through a warehouse, killed and raced: `python tests/torture/warehouse.py [--kills 200] [--seed N]`.

With `--control` the marker table is not locked, and nobody is killed: the run is good when a day is found doubled.

Campaign.run()
  a round        an empty PostgreSQL, an empty database of Redshift's stand-in, an empty lake in S3
    a day        pairs of racers build the same `Warehouse(day)`; most are killed, at a point or at a time, until one
                 reports success; what can be seen is looked at after each pair
    again        once more in peace: nothing may be done

What is looked for: each table has all rows of a day and one marker for each load, or none of them; the object in the
lake is whole or absent; a manifest is absent, or names whole parts with all rows. The stand-in keeps no key unique.
Rounds take turns between SNAPSHOT, the isolation of new clusters, where nothing but the lock stops a double, and
SERIALIZABLE.
"""

from __future__ import annotations

import argparse
import csv
import gc
import gzip
import io
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import get_args

REPOSITORY = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path[0] = str(REPOSITORY / "tests")

import psycopg2  # noqa: E402  the path above comes first

from etlctl import faultpoints  # noqa: E402  as above
from etlctl import settings as settings_module  # noqa: E402  as above
from etlctl.app import App  # noqa: E402  as above
from etlctl.core.task import Task  # noqa: E402  as above
from etlctl.db.dialects.redshift import lock  # noqa: E402  as above
from etlctl.errors import ExitCode  # noqa: E402  as above
from servers.postgres import Postgres, PostgresServer  # noqa: E402  as above
from servers.redshift.standin import Isolation, Standin  # noqa: E402  as above
from servers.redshift.storage import S3Access  # noqa: E402  as above
from servers.s3 import S3Service, moto  # noqa: E402  as above
from torture import racers  # noqa: E402  as above
from torture.racers import Blow, Plan, Racer  # noqa: E402  as above
from torture.rounds import Times, product  # noqa: E402  as above

ROLE = "arn:aws:iam::123456789012:role/etlctl-tests"
FIRST_DAY, *DAYS = [f"2013-01-{day:02}" for day in range(1, 6)]
POINTS = (*faultpoints.POINTS, *faultpoints.S3_POINTS)
OPEN = {*POINTS} - {"load.committed", "s3.published"}
"""Points behind which a load or an upload is open."""
MOST_NTH = {"load": 5, "s3": 3}
"""How often a build passes the points of a load, and those of an upload, about."""
MOST_TRIES = 40
CONTROL_DAYS = 24
"""After which a control that has shown nothing has failed."""


@dataclass
class Tally:
    """What happened, and what was wrong."""

    builds: int = 0
    kills: int = 0
    kills_inside: int = 0
    """Of `kills`, those with a load or an upload open."""
    looks: int = 0
    days: int = 0
    at: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.builds:,} builds of {self.days:,} days, {self.kills:,} kills, {self.kills_inside:,} of them with a "
            f"load or an upload open; {self.looks:,} looks, {len(self.wrong)} wrong; exits {dict(self.exits)}; "
            f"{self.seconds:.0f} s"
        )


class Warehouse:
    """The servers of one run, and one round's places in them."""

    def __init__(self, folder: Path, postgres: Postgres, redshift: Standin, s3: S3Service) -> None:
        self.folder, self.postgres, self.redshift, self.s3 = folder, postgres, redshift, s3
        for name in ("pipelines", "config", "data"):
            shutil.copytree(REPOSITORY / name, folder / name)

    def begin(self, isolation: Isolation = "snapshot") -> None:
        """New databases, a new bucket."""
        self.redshift.isolate(isolation)
        self.postgres_url, self.redshift_url = self.postgres.new_database(), self.redshift.new_database()
        self.bucket = self.s3.new_bucket()
        shutil.rmtree(self.folder / ".etlctl", ignore_errors=True)

    def end(self) -> None:
        """Gives them back."""
        self.postgres.drop_database(self.postgres_url)
        self.redshift.drop_database(self.redshift_url)
        self.s3.drop_bucket(self.bucket)

    @property
    def environ(self) -> dict[str, str]:
        return {
            **self.s3.environ(),
            "DEMO_POSTGRES_URL": self.postgres_url,
            "DEMO_REDSHIFT_URL": self.redshift_url,
            "DEMO_REDSHIFT_ROLE": ROLE,
            "DEMO_STAGING": f"s3://{self.bucket}/staging/",
        }

    def app(self) -> App:
        """The product on the demo's settings."""
        path = self.folder / "config" / "etlctl.toml"
        return App.open(settings_module.load(path, environ=self.environ, cwd=self.folder, profile="warehouse"))

    # -- what can be seen

    def faults(self, day: str, *, is_done: bool) -> list[str]:
        """What is wrong with a day, whatever is at work; `is_done` where somebody has reported success."""
        whole = flights_of(day)
        return [
            f"{day}: {fault}" for fault in (*self._of_tables(day, whole, is_done), *self._of_lake(day, whole, is_done))
        ]

    def _of_tables(self, day: str, whole: list[dict[str, str]], is_done: bool) -> list[str]:
        loads = {
            (self.redshift_url, "lake_flights"): len(whole),
            (self.redshift_url, "route_delays"): len({(row["origin"], row["dest"]) for row in whole}),
            (self.redshift_url, "destination_totals"): len({row["dest"] for row in whole}),
            (self.postgres_url, "flights"): len(whole),
        }
        wrong = []
        for (url, table), expected in loads.items():
            rows, states = self._seen(url, table, day)
            if rows > expected or len(states) > 1:
                wrong.append(f"doubled: {table} has {rows} rows of {expected}, markers {states}")
            elif rows not in (0, expected):
                wrong.append(f"partial: {table} has {rows} rows of {expected}, markers {states}")
            elif states != (["done"] if rows else []) or (is_done and not rows):
                wrong.append(f"lost: {table} has {rows} rows of {expected}, markers {states}")
        return wrong

    def _seen(self, url: str, table: str, day: str) -> tuple[int, list[str]]:
        """The rows of a day and the states of its markers, in one snapshot."""
        with closing(psycopg2.connect(self._behind(url))) as connection, connection.cursor() as cursor:
            connection.set_session(isolation_level="REPEATABLE READ")
            cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r'")
            there = {name for (name,) in cursor.fetchall()}
            rows, states = 0, []
            if table in there:
                cursor.execute(f"SELECT count(*) FROM {table} WHERE date = %s", (day,))
                rows = cursor.fetchone()[0]  # type: ignore[index]  # count() has one row
            if "table_updates" in there:
                cursor.execute(
                    "SELECT state FROM table_updates WHERE target_table = %s AND strpos(update_id, %s) > 0",
                    (table, day.replace("-", "_")),
                )
                states = [state for (state,) in cursor.fetchall()]
            return rows, states

    def _behind(self, url: str) -> str:
        return self.redshift.behind(url) if url == self.redshift_url else url

    def _of_lake(self, day: str, whole: list[dict[str, str]], is_done: bool) -> list[str]:
        keys = set(self.s3.keys(self.bucket, "lake/"))
        flights, manifest = f"lake/flights/{day}.csv.gz", f"lake/routes/{day}.csv.gz.manifest"
        wrong = []
        if flights in keys and len(rows_in(self.s3.get(self.bucket, flights))) != len(whole):
            wrong.append(f"torn object: {flights} has not the day's {len(whole)} flights")
        if manifest in keys:
            entries = json.loads(self.s3.get(self.bucket, manifest))["entries"]
            parts = [self.s3.get(self.bucket, entry["url"].removeprefix(f"s3://{self.bucket}/")) for entry in entries]
            told = [row for part in parts for row in rows_in(part)]
            if len(told) != len({(row["origin"], row["dest"]) for row in whole}):
                wrong.append(f"torn object: {manifest} names {len(told)} routes")
        wrong += [f"lost: {key} is not there" for key in (flights, manifest) if is_done and key not in keys]
        return wrong


def rows_in(packed: bytes) -> list[dict[str, str]]:
    """The records of a gzipped CSV; a torn one raises."""
    return list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))


def flights_of(day: str) -> list[dict[str, str]]:
    """What the feed has of a day."""
    return rows_in((REPOSITORY / f"data/flights/{day}.csv.gz").read_bytes())


@dataclass
class Campaign:
    """See the module."""

    warehouse: Warehouse
    rng: random.Random
    kills: int
    """With a load or an upload open."""
    days: list[str] = field(default_factory=lambda: list(DAYS))
    tally: Tally = field(default_factory=Tally)
    is_control: bool = False
    _times: Times = field(default_factory=Times)

    def run(self) -> Tally:
        """Rounds until there were enough kills, or something is wrong."""
        began = time.monotonic()
        for isolation in cycle(get_args(Isolation)):
            if self._is_enough():
                break
            self.warehouse.begin(isolation)
            self._round()
            self.warehouse.end()
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def _round(self) -> None:
        app = self.warehouse.app()
        if self.is_control:  # the tables are there then: they too are made under the lock
            racers.watch([racers.start(partial(product, app, self._task(app, FIRST_DAY)))])
        for day in self.days:
            if not self._is_enough():
                self._day(app, day)

    def _is_enough(self) -> bool:
        if self.is_control:
            return bool(self.tally.wrong) or self.tally.days >= CONTROL_DAYS
        return self.tally.kills_inside >= self.kills or bool(self.tally.wrong)

    def _day(self, app: App, day: str) -> None:
        self.tally.days += 1
        for attempt in range(MOST_TRIES):
            pair = [self._start(app, day, is_peaceful=attempt > MOST_TRIES // 2) for _ in range(2)]
            racers.watch(pair)
            for racer in pair:
                self._count(racer)
            is_done = any(racer.status == 0 for racer in pair)
            self._look(day, is_done=is_done)
            if self.tally.wrong:
                return
            if is_done:
                break
        else:
            self.tally.wrong.append(f"{day} is not done after {MOST_TRIES} pairs of builds")
            return
        again = self._start(app, day, is_peaceful=True)
        racers.watch([again])
        self._count(again)
        if again.status != 0 or {"load.begun", "s3.written"} & {*again.points}:
            self.tally.wrong.append(f"{day}, built again: exit {again.status}, passed {again.points}")
        self._look(day, is_done=True)

    def _start(self, app: App, day: str, *, is_peaceful: bool) -> Racer:
        plan, blow = (None, None) if is_peaceful or self.is_control else self._harm()
        self.tally.builds += 1
        return racers.start(partial(unlocked if self.is_control else product, app, self._task(app, day)), plan, blow)

    def _task(self, app: App, day: str) -> Task:
        lake = f"s3://{self.warehouse.bucket}/lake"
        return app.registry.find("Warehouse")(date=date.fromisoformat(day), lake=lake)

    def _harm(self) -> tuple[Plan | None, Blow | None]:
        """What a racer meets: death at a point, or at a time, or nothing."""
        drawn, point = self.rng.random(), self.rng.choice(POINTS)
        moment, nth = self._times.draw("build", self.rng), self.rng.randint(1, MOST_NTH[point.partition(".")[0]])
        if drawn < 0.7:
            return Plan(point, nth=nth), None
        return (None, Blow(moment)) if drawn < 0.92 else (None, None)

    def _count(self, racer: Racer) -> None:
        if racer.was_killed:
            self.tally.kills += 1
            self.tally.kills_inside += bool(racer.points) and racer.points[-1] in OPEN
            self.tally.at[racer.points[-1] if racer.points else "(before any point)"] += 1
            return
        self._times.learn("build", racer.duration_s)
        self.tally.exits[str(racer.status)] += 1
        if racer.status not in (ExitCode.DONE, ExitCode.HELD, ExitCode.UNAVAILABLE) and not self.is_control:
            self.tally.wrong.append(f"a build ended with exit code {racer.status}")

    def _look(self, day: str, *, is_done: bool) -> None:
        self.tally.looks += 1
        self.tally.wrong += self.warehouse.faults(day, is_done=is_done)


def unlocked(app: App, task: Task) -> int:
    """`product` as it must not be: Redshift's marker table is not locked. In a child process."""
    lock._lock = lambda raw, place, options: lock._set(raw, "SET statement_timeout TO 60000")  # it does nothing else
    return product(app, task)


def main() -> int:
    """Runs one campaign on servers of its own; 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="builds to kill with a load or an upload open")
    parser.add_argument("--control", action="store_true", help="without the lock, which must be found out")
    parser.add_argument("--seed", type=int, help="repeats a run's draws; a new one is taken and printed otherwise")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"the warehouse demo, seed {seed} …", flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        PostgresServer() as server,
        moto() as s3,
        Standin(server, S3Access(s3.url or "", s3.key_id or "", s3.secret or "", s3.region or "")) as redshift,
    ):
        warehouse = Warehouse(Path(folder), server, redshift, s3)
        gc.collect()
        gc.freeze()  # a collection in a racer would copy every page it looks at
        campaign = Campaign(warehouse, random.Random(seed), given.kills, is_control=given.control)
        tally = campaign.run()
    print(f"  {tally}\n  killed at {dict(tally.at)}")
    for sentence in tally.wrong:
        print(f"  {'found' if given.control else 'WRONG'} {sentence}")
    if given.control:
        return int(not any("doubled" in sentence for sentence in tally.wrong))
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
