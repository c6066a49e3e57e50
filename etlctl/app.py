"""The composition root: settings become connections, a registry, a graph, an executor and a runner.

App.open(settings) -> .registry          pipelines are imported when first asked for
                      .plan(tasks)       graph -> plan; writes nothing
                      .build(tasks)      graph -> runner -> summary

What only a plan or a build needs is imported there: `etlctl list` opens an app too, and is to be instant.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from etlctl import settings as settings_module
from etlctl.core import context
from etlctl.core.context import Context
from etlctl.core.registry import Registry
from etlctl.core.task import Task
from etlctl.core.text import shortened
from etlctl.errors import ExitCode, UsageError
from etlctl.settings import Settings

if TYPE_CHECKING:
    from etlctl.core.plan import Plan
    from etlctl.core.results import Observer, RunSummary


class App:
    """One project, opened. Within its `with` block tasks and targets find its settings and databases."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.context = Context(settings.project, settings.params, settings.place_of_param, self._database)
        self._entered = ExitStack()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The app of these settings; nothing is read or connected to before it is asked for."""
        return cls(settings)

    def __enter__(self) -> Self:
        self._entered.enter_context(context.use(self.context))
        return self

    def __exit__(self, *exception: object) -> None:
        self._entered.close()
        self.close()

    def close(self) -> None:
        """Closes every database connection that was opened."""
        databases = vars(self).pop("_databases", None)
        if databases is not None:
            databases.close()

    @cached_property
    def registry(self) -> Registry:
        """The project's tasks; its pipelines are imported at the first look.

        Raises PipelineImportError for a folder that cannot be a package, SettingsError for `[params]` of no task.
        """
        with context.use(self.context):
            registry = Registry.load(self.settings.pipelines_path, self.settings.pipelines_modules)
        registry.check_params(self.settings.params, self.settings.place_of_param)
        return registry

    def plan(self, tasks: Sequence[Task], *, force: Collection[Task] = ()) -> Plan:
        """What `build` would do and why; walks the whole graph, complete tasks too, and writes nothing."""
        from etlctl.core.graph import Graph
        from etlctl.core.plan import make_plan

        with context.use(self.context):
            graph = Graph(deep=True, forced=force)
            roots = graph.add(_checked(tasks))
            graph.check_settings()
            return make_plan(graph, roots)

    def build(
        self,
        tasks: Sequence[Task],
        *,
        deep: bool = False,
        force: Collection[Task] = (),
        observers: Sequence[Observer] = (),
        stop: Callable[[], ExitCode | None] = lambda: None,
    ) -> RunSummary:
        """Runs what is missing behind `tasks`, requirements first; raises only for what is found before anything runs.

        `deep` asks behind complete tasks too; `force` names tasks that run although they are complete; `stop` is
        asked before each task and ends the run gently with the exit code it returns.
        """
        from etlctl.core.graph import Graph
        from etlctl.engine.executors.in_process import InProcessExecutor  # `list` and `show` run nothing
        from etlctl.engine.runner import Runner

        with context.use(self.context):
            graph = Graph(deep=deep, forced=force)
            roots = graph.add(_checked(tasks))
            graph.check_settings()
            runner = Runner(
                graph,
                InProcessExecutor(),
                run_id=_new_run_id(),
                project=self.settings.project,
                observers=observers,
                stop=stop,
            )
            return runner.run(roots)

    @cached_property
    def _databases(self) -> Any:
        from etlctl.db.connections import Databases  # SQLAlchemy is imported when the first database is asked for

        return Databases(self.settings.connections, self.settings.default_connection, self.settings.project)

    def _database(self, name: str | None) -> Any:
        return self._databases.get(name)


def build(
    tasks: Iterable[Task] | Task,
    *,
    jobs: int = 1,
    deep: bool = False,
    force: Collection[Task] = (),
    observers: Sequence[Observer] = (),
    settings: Settings | None = None,
    local_scheduler: bool = True,
) -> RunSummary:
    """Builds `tasks` from Python: a script, a notebook, a test. True when all is done.

    Settings are those of the current folder unless given. `local_scheduler` is taken for Luigi's callers: there is no
    other kind. Raises UsageError (CycleError, SettingsError, …) for what is found before anything ran; what a task
    does ends in the summary.
    """
    if jobs != 1 or not local_scheduler:
        raise UsageError("build() runs one job in this process: jobs=1 and local_scheduler=True are all it takes.")
    found = settings or _settings_here()
    with App.open(found) as app:
        wanted = [tasks] if isinstance(tasks, Task) else list(tasks)
        return app.build(wanted, deep=deep, force=force, observers=observers)


def _checked(tasks: Iterable[Any]) -> list[Task]:
    found = list(tasks)
    for one in found:
        if not isinstance(one, Task):
            kind = f"the class {one.__name__}" if isinstance(one, type) else shortened(repr(one))
            raise UsageError(f"Tasks are built, and {kind} is none: give tasks such as LoadFlights(date=…).")
    return found


def default_context() -> Context:
    """The Context of the current folder's settings, for targets used outside any app; one per folder."""
    # asked for each task that is made outside an app, hence no Path here
    return _app_of(os.getcwd(), os.environ.get("ETLCTL_CONFIG")).context


@functools.lru_cache(maxsize=1)
def _app_of(folder: str, config: str | None) -> App:  # noqa: ARG001  the arguments are what the cache goes by
    return App.open(_settings_here())


def _settings_here() -> Settings:
    path = settings_module.find(None, os.environ, Path.cwd())
    return settings_module.load(path, profile=None, environ=os.environ, cwd=Path.cwd())


def _new_run_id() -> str:
    import secrets  # draws in random, hmac and more, which only a run needs

    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
