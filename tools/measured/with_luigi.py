"""One load by Luigi's contrib.postgres, as a process to be measured: `with_luigi.py WAY HOST PORT DATABASE FILE`.

Runs in Luigi's environment. Prints seconds and CPU seconds of run().
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import luigi
from luigi.contrib import postgres

from measured import flights

WAY, HOST, PORT, DATABASE, FILE = sys.argv[1:]


class Feed(luigi.ExternalTask):  # type: ignore[misc]  # luigi is untyped
    """The file."""

    def output(self) -> Any:
        return luigi.LocalTarget(FILE)


class Plain(postgres.CopyToTable):  # type: ignore[misc]  # as above
    """Lines split at tabs, which is Luigi's own rows()."""

    host, port, database, user, password = HOST, PORT, DATABASE, "postgres", ""
    table = "flights"
    columns = list(flights.COLUMNS.items())
    null_values = (None, "")

    def requires(self) -> Any:
        return Feed()


class Texts(Plain):
    """rows() of texts."""

    def rows(self) -> Iterable[Any]:
        return flights.texts(FILE)


class Objects(Plain):
    """rows() of Python objects."""

    def rows(self) -> Iterable[Any]:
        return flights.objects(FILE)


def main() -> None:
    """Runs the task of the way."""
    task = {"plain": Plain, "texts": Texts, "objects": Objects}[WAY]()
    began, began_cpu = time.perf_counter(), time.process_time()
    task.run()
    print("LOAD", time.perf_counter() - began, "CPU", time.process_time() - began_cpu, "KIB", 0)


if __name__ == "__main__":
    main()
