"""One load or dump by etlctl, as a process to be measured: `with_etlctl.py WAY URL FILE`.

Prints seconds and CPU seconds from BEGIN to the end of COMMIT (of a dump: of its run()), and the peak of memory beyond
the imports.
"""

from __future__ import annotations

import datetime
import re
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# all that a load imports later: its memory is not the load's
import sqlalchemy.dialects.postgresql.psycopg2  # noqa: F401  as told

import etlctl.db.dialects.postgresql.dialect
import etlctl.db.sessions
import etlctl.loads.source
import etlctl.loads.writers  # noqa: F401  as told
from etlctl import DateParameter, DumpTable, ExternalTask, LoadTable, LocalTarget, Target, Task, build, faultpoints
from measured import flights

WAY, URL, FILE = sys.argv[1:]
MOMENTS: dict[str, tuple[float, float]] = {}
"""Clock and CPU time at which each fault point was passed."""


class Feed(ExternalTask):
    """The file."""

    def output(self) -> Target:
        return LocalTarget(FILE)


class Plain(LoadTable):
    """Columns as the table's."""

    table = "flights"
    connection = URL
    columns = flights.COLUMNS

    def requires(self) -> Task:
        return Feed()


class WithValues(Plain):
    """A column that the file does not carry."""

    date = DateParameter(default=datetime.date(2013, 1, 1))
    columns = {"date": "date", **flights.COLUMNS}
    values = {"date": "date"}


class TwoNulls(Plain):
    """NA is NULL besides the empty field."""

    null_values = ("", "NA")


class Texts(Plain):
    """rows() of texts."""

    def rows(self) -> Iterable[Any]:
        return flights.texts(FILE)


class Objects(Plain):
    """rows() of Python objects."""

    def rows(self) -> Iterable[Any]:
        return flights.objects(FILE)


class Dump(DumpTable):
    """The table as CSV."""

    connection = URL
    table = "flights"

    def output(self) -> Target:
        return LocalTarget(FILE)

    def run(self) -> None:
        note("load.begun")
        super().run()
        note("load.committed")


def note(name: str) -> None:
    """Remembers when a fault point was passed."""
    MOMENTS[name] = time.perf_counter(), time.process_time()


def peak_kib() -> int:
    """Of this program alone: what getrusage says begins with the peak of the process that started it."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = re.search(r"VmHWM:\s*(\d+)", status)
    assert found
    return int(found[1])


def main() -> None:
    """Builds the task of the way."""
    ways = {
        "plain": Plain,
        "values": WithValues,
        "nulls": TwoNulls,
        "texts": Texts,
        "objects": Objects,
        "dump": Dump,
    }
    faultpoints.point = note
    before = peak_kib()
    summary = build([ways[WAY]()])
    assert summary, summary.text
    (began, began_cpu), (ended, ended_cpu) = MOMENTS["load.begun"], MOMENTS["load.committed"]
    print("LOAD", ended - began, "CPU", ended_cpu - began_cpu, "KIB", peak_kib() - before)


if __name__ == "__main__":
    main()
