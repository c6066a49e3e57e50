"""docs/reliability-figures.md, made of the lines that run.py has kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
UNITS = {
    "kills": ("kills", "`kill -9` of forked racers, at named points and at random times"),
    "command line kills": ("kills", "`kill -9` of `etlctl build`, from the start of Python on"),
    "pauses": ("pauses", "SIGSTOP, then SIGCONT; the other racer goes on"),
    "terminated sessions": ("terminations", "sessions ended by the server: `pg_terminate_backend`, `KILL`"),
    "server crashes": (
        "crashes",
        "the server dies and comes back: SIGQUIT (`-m immediate`) on PostgreSQL, SIGKILL on MariaDB",
    ),
    "cut commits": ("cuts", "COMMIT or its reply cut by a proxy"),
}
FAULTS = ("lost", "doubled", "partial", "half_visible")
HEAD = """# Reliability in figures

Written by `make torture`, the sections on loops by `make torture-loop`; [reliability.md](reliability.md) says what is
promised and how it is tested. Two processes race for each load, eight kinds of loads in turn, while faults hit them; a
load is tried until one of them reports success. Then every load is counted: *lost* is a report of success or a marker
without rows, *doubled* is rows more than once, *partial* some of the rows. A reader takes markers and rows in one
snapshot all the time: *half-visible* is a look that saw the one without the other.

"""
LIMITS = """
## What these figures do not say

* A killed process or server is not a power cut: what was written to the operating system stays. Losing that would need
  a file system that forgets (LazyFS, dm-log-writes), which is not part of this.
* Servers are those named above, on one machine. MySQL itself was not run; MariaDB stands for its protocol and InnoDB.
  Redshift was not run either, but [the path through a warehouse](warehouse.md#measured) on what stands for it.
* An asynchronous replica that takes over may lack the last commits. Rows and marker are then missing together, and the
  load runs again; files that were made from it stay.
* Two of the eight kinds, a merge and a replaced partition, would by their nature hide a load that ran twice; the other
  six append.
* {bound}
* The proof is not here but in the protocol: rows and marker are one transaction, and the marker's key is unique. The
  torture looks for mistakes in carrying it out.
"""


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    product = [line for line in lines if line["part"] in UNITS]
    controls = [line for line in lines if line["part"] not in UNITS]
    kills = sum(line["kills"] for line in product)
    faults = sum(line[fault] for line in product for fault in FAULTS)
    versions = sorted({line["version"] for line in lines})
    dates = sorted({line["date"] for line in lines})
    days = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    told = [HEAD, f"Run on {days}: {', '.join(versions)}. {kills:,} kills in all, {faults} faults.\n\n"]
    told += [_product_table(product), "\n", _total_table(product), "\n", _control_table(controls)]
    return "".join(told) + LIMITS.format(bound=_bound(kills, faults))


def _bound(kills: int, faults: int) -> str:
    if faults or not kills:
        return "There were faults: these figures bound nothing."
    return (
        f"No fault in {kills:,} kills bounds the failures per kill at {300 / kills:.3f} % with 95 % confidence\n"
        "  (the rule of three), and says nothing of what the kills did not reach."
    )


def _product_table(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| fault | database | seed | faults | loads | looks | lost | doubled | partial | half-visible |"]
    rows.append("|---|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for line in sorted(lines, key=lambda line: (list(UNITS).index(line["part"]), list(NAMES).index(line["database"]))):
        unit = UNITS[line["part"]][0]
        faults = " | ".join(f"{line[fault]:,}" for fault in FAULTS)
        head = f"| {line['part']} | {NAMES[line['database']]} | {line['seed']} | {line[unit]:,}"
        rows.append(f"{head} | {line['loads']:,} | {line['looks']:,} | {faults} |")
    return "\n".join(rows) + "\n"


def _total_table(lines: Sequence[Mapping[str, Any]]) -> str:
    totals: dict[str, int] = defaultdict(int)
    for line in lines:
        totals[line["part"]] += line[UNITS[line["part"]][0]]
    inside = sum(line["kills_inside"] for line in lines)
    rows = ["| in all | | what it is |", "|---|---:|---|"]
    rows += [f"| {name} | {totals[name]:,} | {UNITS[name][1]} |" for name in UNITS if name in totals]
    rows.append(f"| kills inside an open load | {inside:,} | between BEGIN and the return of COMMIT |")
    return "\n".join(rows) + "\n"


def _control_table(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        "The same harness on two orders that are known to be wrong; did it not see their faults, the zeros above would",
        "mean nothing. *Two transactions* commits the rows first and their marker after (luigi.contrib.sqla); *no key*",
        "does both in one, with no unique key and no lock (luigi.contrib.redshift).",
        "",
        "| control | database | seed | kills | loads | loads doubled | half-visible looks |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for line in sorted(lines, key=lambda line: (line["part"], list(NAMES).index(line["database"]))):
        name = line["part"].removeprefix("control: ")
        head = f"| {name} | {NAMES[line['database']]} | {line['seed']} | {line['kills']:,} | {line['loads']:,}"
        rows.append(f"{head} | {line['doubled']:,} | {line['half_visible']:,} |")
    return "\n".join(rows) + "\n"
