"""Code outside any app: a script, a notebook, a test that calls `build()`, or uses a task or a target just so.

Its settings are those of the current folder, looked at anew each time: whoever changes folder or settings meets them at
the next use. What an app does is etlctl/app.py's.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from etlctl import settings as settings_module
from etlctl.app import App, checked, load_settings
from etlctl.core import context
from etlctl.core.context import Context
from etlctl.core.task import Task
from etlctl.errors import UsageError
from etlctl.settings import Settings
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.core.results import Observer, RunSummary


def build(
    tasks: Iterable[Task] | Task,
    *,
    jobs: int | None = None,
    workers: int | None = None,
    executor: str | None = None,
    fail_fast: bool = False,
    wait_held: float | str | None = None,
    deep: bool = False,
    force: Collection[Task] = (),
    observers: Sequence[Observer] = (),
    settings: Settings | None = None,
    local_scheduler: bool = True,
) -> RunSummary:
    """Builds `tasks` from Python: a script, a notebook, a test. True when all is done.

    Settings are those given; else, in a task's run(), those of the build around it; else those of the current folder.
    `jobs` tasks run at once, `workers` is Luigi's word for it; `wait_held` is in seconds, or `"10m"`; what is None is
    as `[build]` of the settings says. `local_scheduler` is taken for Luigi's callers: there is no other kind. Raises
    UsageError (CycleError, SettingsError, …) for what is found before anything ran; what a task does ends in the
    summary.
    """
    from etlctl.runs import RunOptions

    if not local_scheduler:
        raise UsageError("build() has no central scheduler: local_scheduler=True is all it takes.")
    told = _told(jobs=jobs, workers=workers, executor=executor, wait_held=wait_held)
    around = context.in_place()
    found = settings or (around.settings if around is not None else None) or _settings_here()
    with App.open(found) as app:
        wanted = [tasks] if isinstance(tasks, Task) else list(tasks)
        labels = ", ".join(task.task_label for task in checked(wanted[:3])) + (", …" if len(wanted) > 3 else "")
        told["command"] = f"etlctl.build({labels})"
        # a script that has no project leaves no folder behind
        has_state = found.file is not None or found.is_state_chosen or (around is not None and around.has_state)
        options = RunOptions.of(found, fail_fast=fail_fast, has_state=has_state, is_nested=around is not None, **told)
        stop = around.stop if around is not None else lambda: None
        return app.build(wanted, deep=deep, force=force, observers=observers, stop=stop, options=options)


def _told(*, jobs: object, workers: object, executor: object, wait_held: object) -> dict[str, Any]:
    """What a call says of how to run, by the names of RunOptions. UsageError for what cannot be."""
    from etlctl.settings import ages, running

    takes = f"whole numbers from 1 to {running.MOST_JOBS}"
    for name, value in (("jobs", jobs), ("workers", workers)):
        if value is not None and (type(value) is not int or not 1 <= value <= running.MOST_JOBS):
            raise UsageError(f"build() takes {takes} for {name}, and not {shortened(repr(value))}.")
    if None not in (jobs, workers) and jobs != workers:
        raise UsageError(f"build() was told jobs={jobs} and workers={workers}, which mean the same: give one of them.")
    if executor is not None and executor not in running.EXECUTORS:
        known = " or ".join(f'"{one}"' for one in running.EXECUTORS)
        raise UsageError(f"build() takes {known} for executor, and not {shortened(repr(executor))}.")
    wait_held_s = ages.wait_s(wait_held)
    if wait_held is not None and wait_held_s is None:
        said = shortened(repr(wait_held))
        raise UsageError(f'build() takes seconds or a text such as "10m" for wait_held, and not {said}.')
    given = {"jobs": workers if jobs is None else jobs, "executor": executor, "wait_held_s": wait_held_s}
    return {name: value for name, value in given.items() if value is not None}


def default_context() -> Context:
    """The Context of the current folder's settings as they are now, for targets and tasks used outside any app."""
    return _outside.app().context


def stand_for(folder: Path, project: Path) -> None:
    """Makes `project` the one of code outside any app while `folder`, an absolute path, is the current folder."""
    _outside.stands_for[os.fspath(folder)] = os.fspath(project)


class _Outside:
    """The app of code outside any app: that of the current folder, opened anew when its settings have changed.

    It is asked for each task that is made outside an app, hence no Path here, and no look at variable after variable.
    """

    def __init__(self) -> None:
        self.stands_for: dict[str, str] = {}
        self._lock = Lock()
        self._app: App | None = None
        self._seen: tuple[str, dict[Any, Any], list[str], object] = ("", {}, [], None)
        """Of the settings at hand: folder, environment, where their file may lie, and how it was found."""

    def folder(self) -> str:
        """The folder whose project it is."""
        here = os.getcwd()
        return self.stands_for.get(here, here)

    def app(self) -> App:
        """The app, with the settings as they are now."""
        folder, variables, places, stamp = self._seen
        if self._app is None or folder != self.folder() or variables != _variables() or stamp != _stamp(places):
            with self._lock:
                return self._renewed()
        return self._app

    def _renewed(self) -> App:
        folder, variables = self.folder(), dict(_variables())
        named = settings_module.find(None, os.environ, Path(folder)) if "ETLCTL_CONFIG" in os.environ else None
        places = [os.fspath(path) for path in ([named] if named else settings_module.searched(Path(folder)))]
        stamp = _stamp(places)  # before it is read: a change while it is being read is seen at the next look
        settings = _settings_here()
        if self._app is None or settings != self._app.settings:
            if self._app is not None:
                self._app.close()
            self._app = App.open(settings)
        self._seen = (folder, variables, places, stamp)
        return self._app


_outside = _Outside()  # outside any app there is nobody to hand it down


def _variables() -> Any:
    """What os.environ holds, as one dict where there is one: comparing it takes a twentieth of the time."""
    return getattr(os.environ, "_data", os.environ)


def _stamp(places: Iterable[str]) -> object:
    """What changes with the first file there is; None for none."""
    for place in places:
        try:
            status = os.stat(place)
        except OSError:
            continue
        return place, status.st_mtime_ns, status.st_size, status.st_ino
    return None


def _settings_here() -> Settings:
    folder = Path(_outside.folder())
    path = settings_module.find(None, os.environ, folder)
    return load_settings(path, environ=os.environ, cwd=folder)
