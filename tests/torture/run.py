"""The long torture: `make torture`, or a part of it.

    python tests/torture/run.py                                    all parts, then docs/reliability-figures.md
    python tests/torture/run.py --only kills --database mysql --number 5000 --seed 7
    python tests/torture/run.py --figures                          the page again from the results there are

Each part adds one JSON line to build/torture.jsonl, so parts may run apart and be put together. Ends with 1 when
anything was lost, doubled, partial or half-visible, or when a control was not caught.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(REPOSITORY / "tests")

from sqlalchemy import make_url  # noqa: E402  the path above comes first

from servers.mariadb import MariadbServer  # noqa: E402  as above
from servers.postgres import PostgresServer  # noqa: E402  as above
from servers.proxy import Proxy  # noqa: E402  as above
from torture import figures, outages, rounds, sections  # noqa: E402  as above
from torture.checker import Tally  # noqa: E402  as above
from torture.places import MysqlPlace, Place, PostgresPlace, SqlitePlace  # noqa: E402  as above
from torture.rounds import Campaign  # noqa: E402  as above

RESULTS = REPOSITORY / "build" / "torture.jsonl"
PAGE = REPOSITORY / sections.PAGE
DATABASES = ("sqlite", "postgresql", "mysql")
MORE = "lock_timeout = 30\nconnect_timeout = 5\n"
LONGEST_S = 3600


@dataclass(frozen=True)
class Part:
    """One kind of fault: what is counted, and how many of it on each database."""

    counted: str
    numbers: dict[str, int]
    is_durable: bool = False
    """Whether the server must write to the disk, since it is going to be killed."""


PARTS = {
    "kills": Part("kills", {"sqlite": 3500, "postgresql": 4000, "mysql": 3500}),
    "command line kills": Part("kills", {"sqlite": 60, "postgresql": 60, "mysql": 60}),
    "pauses": Part("pauses", {"sqlite": 150, "postgresql": 250, "mysql": 200}),
    "terminated sessions": Part("terminations", {"postgresql": 300, "mysql": 300}),
    "server crashes": Part("crashes", {"postgresql": 70, "mysql": 50}, is_durable=True),
    "cut commits": Part("cuts", {"postgresql": 600, "mysql": 500}),
    "control: two transactions": Part("loads", {"sqlite": 60, "postgresql": 60, "mysql": 60}),
    "control: no key": Part("loads", {"postgresql": 60, "mysql": 60}),
}


def run_part(name: str, database: str, number: int, seed: int) -> dict[str, Any]:
    """Runs one part on a database of its own; the line of its results."""
    part = PARTS[name]
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, _place(database, Path(folder), part, name, seed) as (place, make):
        campaign = make(rng)
        gc.collect()
        gc.freeze()  # a collection in a racer would copy every page it looks at
        deadline = time.monotonic() + LONGEST_S

        def is_enough(tally: Tally) -> bool:
            return getattr(tally, part.counted) >= number or time.monotonic() > deadline

        tally = campaign.run(is_enough)
        version = place.version()
        if campaign.stops_when_wrong and not tally.is_clean:
            kept = RESULTS.parent / f"torture {name} {database} {seed}".replace(" ", "-")
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            tally.wrong.append(f"the project is kept in {kept}")
    missed = sorted(set(rounds.POINTS) - set(tally.points)) if name == "kills" else []
    tally.wrong.extend(f"the point {point} was never passed" for point in missed)
    return {
        "part": name,
        "database": database,
        "version": version,
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        **tally.as_json(),
    }


@contextmanager
def _place(
    database: str, folder: Path, part: Part, name: str, seed: int
) -> Iterator[tuple[Place, Callable[[random.Random], Campaign]]]:
    """A fresh server and database, and what makes the campaign on it."""
    if database == "sqlite":
        place: Place = SqlitePlace(folder, more=MORE)
        yield place, lambda rng: _campaign(name, place, rng, None, None)
        return
    server = (
        PostgresServer(durable=part.is_durable) if database == "postgresql" else MariadbServer(durable=part.is_durable)
    )
    with server:
        url = server.new_database()
        kind = PostgresPlace if database == "postgresql" else MysqlPlace
        if part.counted != "cuts":
            place = kind(url, folder, more=MORE)
            yield place, lambda rng: _campaign(name, place, rng, server, None)
            return
        with Proxy("127.0.0.1", server.port, seed) as proxy:
            seen = make_url(url).set(port=proxy.port).render_as_string(hide_password=False)
            place = kind(url, folder, seen_url=seen, more=MORE)
            yield place, lambda rng: _campaign(name, place, rng, server, proxy)


def _campaign(
    name: str, place: Place, rng: random.Random, server: PostgresServer | MariadbServer | None, proxy: Proxy | None
) -> Campaign:
    if name.startswith("control: "):
        return rounds.of_control(place, name.removeprefix("control: "), rng)
    if name == "command line kills":
        return rounds.of_command_line(place, rng, rounds.KILLS)
    mix = {"kills": rounds.KILLS, "pauses": rounds.PAUSES}.get(name, rounds.NOTHING)
    campaign = rounds.of_product(place, rng, mix)
    if name == "terminated sessions":
        campaign.trouble = outages.Terminations(place, rng, campaign.tally)
    if name == "server crashes" and server is not None:
        campaign.trouble = outages.Crashes(server, rng, campaign.tally)
    if proxy is not None:
        campaign.trouble = outages.Cuts(proxy, campaign.tally)
    return campaign


def is_bad(line: Mapping[str, Any]) -> bool:
    """A part of the product that is not clean, or a control that is."""
    has_faults = any(line[fault] for fault in ("lost", "doubled", "partial", "half_visible"))
    if str(line["part"]).startswith("control: "):
        return not line["doubled"]
    return has_faults or bool(line["wrong"])


def main() -> int:
    """Runs what is asked for; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(PARTS), action="append", help="a part; may be given again")
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--number", type=int, help="how many kills, pauses, crashes …, instead of the usual")
    parser.add_argument("--seed", type=int, help="repeats a run's draws; a new one is taken and printed otherwise")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--figures", action="store_true", help="run nothing, write the page")
    given = parser.parse_args()
    everything = not (given.only or given.database or given.figures)
    if everything:
        given.results.unlink(missing_ok=True)
    bad = 0
    if not given.figures:
        for name in given.only or PARTS:
            for database in [one for one in given.database or DATABASES if one in PARTS[name].numbers]:
                bad += _run(name, database, given)
    if everything or given.figures:
        lines = [json.loads(line) for line in given.results.read_text().splitlines()]
        others = sections.of(PAGE.read_text()) if PAGE.exists() else {}
        PAGE.write_text(sections.replaced(figures.page(lines), *others.values()))
        print(f"written: {PAGE.relative_to(REPOSITORY)}")
        bad += sum(is_bad(line) for line in lines) if given.figures else 0
    return int(bad > 0)


def _run(name: str, database: str, given: argparse.Namespace) -> bool:
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"{name} on {database}, seed {seed} …", flush=True)
    line = run_part(name, database, given.number or PARTS[name].numbers[database], seed)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    with given.results.open("a") as results:
        results.write(json.dumps(line) + "\n")
    shown = {word: line[word] for word in ("loads", "kills", "pauses", "crashes", "cuts", "terminations", "looks")}
    faults = {word: line[word] for word in ("lost", "doubled", "partial", "half_visible")}
    print(
        "  "
        + "  ".join(f"{word} {number:,}" for word, number in {**shown, **faults}.items() if number or word in faults)
    )
    print(f"  exits {line['exits']}, {line['seconds']:.0f} s", flush=True)
    wrong = is_bad(line)
    if wrong:
        for sentence in line["wrong"] or ["the control was not caught"]:
            print(f"  WRONG {sentence}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
