"""A small project in a temporary folder, and `etlctl` run in it: in this process, or as a process of its own."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from etlctl.cli.main import main

FLOWS = '''
"""Flights, delays and a report, made of files."""

from etlctl import BoolParameter, ChoiceParameter, DateParameter, ExternalTask, IntParameter, LocalTarget
from etlctl import Parameter, ParameterVisibility, Task, WrapperTask, requires


class WeatherFile(ExternalTask):
    """The day's weather, delivered from elsewhere."""

    date = DateParameter(description="local day")

    def output(self):
        return LocalTarget(f"data/{self.date}.csv")


class Flights(Task):
    """One day of flights.

    They are counted at the gate.
    """

    date = DateParameter(description="local day of departure")
    batch = IntParameter(default=500, description="rows at once", significant=False)
    dry_run = BoolParameter(significant=False)
    kind = ChoiceParameter(default="all", choices=("all", "late"), significant=False)
    password = Parameter(default="hunter2", visibility=ParameterVisibility.PRIVATE)
    tags = ("daily", "gate")

    def output(self):
        return LocalTarget(f"out/flights/{self.date}.txt")

    def run(self):
        print("counting at the gate")
        with self.output().open("w") as file:
            file.write(f"{self.batch} {self.dry_run} {self.kind}")


class Delays(Task):
    """Delays by the weather."""

    date = DateParameter()

    def requires(self):
        return [Flights(self.date), WeatherFile(self.date)]

    def output(self):
        return LocalTarget(f"out/delays/{self.date}.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")


class Report(Task):
    """The report of a day; that of the 13th fails."""

    date = DateParameter()

    def requires(self):
        return Delays(self.date)

    def output(self):
        return LocalTarget(f"out/report/{self.date}.txt")

    def run(self):
        if self.date.day == 13:
            raise ValueError("the 13th is unlucky\\nand always was")
        with self.output().open("w") as file:
            file.write("x")


class Seats(Task):
    """A small table without a date."""

    def output(self):
        return LocalTarget("out/seats.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")
'''


@dataclass(frozen=True)
class Ran:
    """What came of one call."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class Project:
    """The folder of a project; its pipelines are a package of its own name, so that tests do not meet."""

    def __init__(self, folder: Path, package: str) -> None:
        self.folder = folder
        self.package = package
        self.write("config/etlctl.toml", f'[pipelines]\npath = "{package}"\n')
        (folder / package).mkdir()

    def write(self, path: str, text: str = "x") -> Path:
        """A file of the project."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        return place

    def pipeline(self, text: str, module: str = "flows") -> Path:
        """A module of the pipelines."""
        return self.write(f"{self.package}/{module}.py", dedent(text))

    def weather(self, *days: str) -> None:
        """Delivers the weather of these days."""
        for day in days:
            self.write(f"data/{day}.csv")

    def run(self, *words: str) -> Ran:
        """`etlctl words` in this process; the streams are no terminal."""
        out, err = io.StringIO(), io.StringIO()
        before, threshold = Path.cwd(), gc.get_threshold()
        os.chdir(self.folder)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main(words)
        finally:
            os.chdir(before)
            gc.set_threshold(*threshold)  # a command may set it for the rest of its process
        return Ran(int(code), out.getvalue(), err.getvalue())

    def spawn(self, *words: str, env: dict[str, str] | None = None, **more: Any) -> Ran:
        """`etlctl words` as a process."""
        found = subprocess.run(
            [sys.executable, "-m", "etlctl", *words],
            cwd=self.folder,
            env=environment(env),
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            **more,
        )
        return Ran(found.returncode, found.stdout, found.stderr)

    def spawn_without(self, library: str, *words: str) -> Ran:
        """As `spawn`, where that library is not installed."""
        hidden = self.write(f"hidden/{library}/__init__.py", "raise ImportError('not here')\n")
        return self.spawn(*words, env={"PYTHONPATH": os.fspath(hidden.parent.parent)})


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would change a screen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ETLCTL", "COLUMNS", "NO_COLOR"))}
    return {**kept, **(more or {})}
