"""What the tests of the loop share: a project on SQLite, a clock that jumps and does not wait, an end at an instant."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

from etlctl.app import load_settings
from etlctl.errors import ExitCode
from etlctl.loop.clock import Clock, SystemClock
from etlctl.loop.loop import Ending, Loop
from etlctl.loop.project import Project, opened
from etlctl.loop.vitals import Vitals
from etlctl.runs import RunOptions, notifications
from etlctl.schedule import opened as schedules_of

FLOWS = '''
    """Each day comes from a feed, and tells the journal that it ran."""

    from pathlib import Path

    from etlctl import DateParameter, ExternalTask, LocalTarget, Task


    class Feed(ExternalTask):
        date = DateParameter()

        def output(self):
            return LocalTarget(f"feed/{self.date}")


    class Day(Task):
        date = DateParameter()

        def output(self):
            return LocalTarget(f"days/{self.date}")

        def run(self):
            with open("journal", "a") as journal:
                journal.write(f"{self.date}\\n")
            with self.output().open("w") as file:
                file.write("done")


    class Fed(Day):
        def requires(self):
            return Feed(self.date)
'''


class JumpingClock:
    """Starts at an instant; waiting takes no time but its own. `at` holds what happens at an instant, once."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic = 1000.0
        self.at: list[tuple[datetime, Callable[[], object]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def wait(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        for one in [one for one in self.at if one[0] <= self._now]:
            self.at.remove(one)
            one[1]()

    def set_back(self, seconds: float) -> None:
        """Somebody has set the clock on the wall."""
        self._now -= timedelta(seconds=seconds)


class Until:
    """The ending of a loop that a signal ends at an instant of its clock."""

    def __init__(self, clock: Clock, end: datetime) -> None:
        self._clock = clock
        self._end = end
        self.reloads = 0

    def __call__(self) -> ExitCode | None:
        return ExitCode.TERMINATED if self._clock.now() >= self._end else None

    def take_reload(self) -> bool:
        found, self.reloads = self.reloads, 0
        return found > 0


_NUMBERS = itertools.count(1)


class House:
    """A project of its own, with a package of pipelines that no other test has."""

    def __init__(self, folder: Path, name: str, settings: str, flows: str = FLOWS) -> None:
        self.folder = folder
        self.package = f"flows_{name}_{next(_NUMBERS)}"
        self.lines: list[str] = []
        self.vitals = Vitals()
        (folder / self.package).mkdir()
        (folder / "config").mkdir()
        self.write(settings, flows)

    def write(self, settings: str, flows: str = FLOWS) -> None:
        """Settings and pipelines anew."""
        (self.folder / self.package / "days.py").write_text(dedent(flows).lstrip(), encoding="utf-8")
        told = f'[pipelines]\npath = "{self.package}"\n{dedent(settings)}'
        (self.folder / "config" / "etlctl.toml").write_text(told, encoding="utf-8")

    def opener(self, clock: JumpingClock | None = None) -> Callable[[], Project]:
        """Opens the project; from the second call on as a reload."""
        calls = [0]

        def open_it() -> Project:
            calls[0] += 1
            return opened(
                lambda: load_settings(self.folder / "config" / "etlctl.toml", environ={}, cwd=self.folder),
                schedules_of,
                lambda told: RunOptions.of(told, notifications=notifications(told, is_of_loop=True)),
                is_reload=calls[0] > 1,
                clock=clock or SystemClock(),
            )

        return open_it

    def loop(self, clock: JumpingClock, ending: Ending, **given: Any) -> Loop:
        return Loop(
            self.opener(clock),
            clock=clock,
            ending=ending,
            vitals=self.vitals,
            say=self.lines.append,
            chance=lambda: 0.5,
            **given,
        )

    def run(self, begin: datetime, end: datetime, *, at: Sequence[tuple[datetime, Callable[[], object]]] = ()) -> Loop:
        """A loop from one instant to another."""
        clock = JumpingClock(begin)
        clock.at.extend(at)
        loop = self.loop(clock, Until(clock, end))
        assert loop.run() is ExitCode.TERMINATED
        return loop

    def journal(self) -> list[str]:
        """What ran, in order; emptied."""
        file = self.folder / "journal"
        if not file.exists():
            return []
        found = file.read_text(encoding="utf-8").split()
        file.unlink()
        return found

    def turns(self, schedule: str) -> list[datetime]:
        """The turns on record, oldest first."""
        project = self.opener()()
        try:
            return [turn.due for turn in reversed(project.operations.turns(schedule, 1000))]
        finally:
            project.close()
