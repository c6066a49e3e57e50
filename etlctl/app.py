"""The composition root: settings become connections, a registry, a graph, an executor and a runner.

App.open(settings) -> .registry          pipelines are imported when first asked for
                      .plan(tasks)       graph -> plan; writes nothing
                      .build(tasks)      graph -> runner -> summary
                      .list_markers() …  what the databases hold, asked and mended without any task run

What only a plan or a build needs is imported there: `etlctl list` opens an app too, and is to be instant.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from etlctl import settings as settings_module
from etlctl.core import context
from etlctl.core.context import Context
from etlctl.core.garbage import collected_rarely, set_apart
from etlctl.core.registry import Registry
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, ExitCode, PipelineImportError, TaskError, UsageError
from etlctl.settings import S3Settings, Secret, Settings
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.core.graph import Graph, Node
    from etlctl.core.plan import Plan
    from etlctl.core.results import Observer, RunSummary
    from etlctl.db.dialects.redshift.remains import SweptStaging
    from etlctl.db.inventory import Adoption, Listing, Wanted
    from etlctl.db.state.stopping import StopAsked
    from etlctl.db.torn import Torn
    from etlctl.runs import RunOptions
    from etlctl.s3.leftovers import Swept


class App:
    """One project, opened. Within its `with` block tasks and targets find its settings and databases."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.context = Context(
            settings.project,
            settings.params,
            settings.place_of_param,
            self._database,
            settings,
            mask=self._mask,
            given=settings.given,
        )
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

    def _mask(self, text: str, values: Collection[str]) -> str:
        from etlctl.settings.masks import Mask  # an error is at hand

        return Mask([*self.settings.secrets(), *map(Secret, values)])(text)

    def hidden(self, text: str) -> str:
        """`text` without what the settings keep secret; see `core.private.hidden`."""
        from etlctl.core.private import hidden

        with context.use(self.context):
            return hidden(text)

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
        self.imported.check_params(self.settings.params, self.settings.place_of_param)
        return self.imported

    @cached_property
    def imported(self) -> Registry:
        """The project's tasks, whatever `[params]` says: for those who look at both. Raises PipelineImportError."""
        self._check_not_below_a_project()
        with context.use(self.context), collected_rarely():
            return Registry.load(self.settings.pipelines_path, self.settings.pipelines_modules)

    def plan(self, tasks: Sequence[Task], *, force: Collection[Task] = ()) -> Plan:
        """What `build` would do and why; walks the whole graph, complete tasks too, and writes nothing."""
        from etlctl.core.plan import make_plan

        with context.use(self.context), collected_rarely():
            graph, roots = self._resolved(tasks, deep=True, force=force)
            return make_plan(graph, roots)

    def build(
        self,
        tasks: Sequence[Task],
        *,
        deep: bool = False,
        force: Collection[Task] = (),
        observers: Sequence[Observer] = (),
        stop: Callable[[], ExitCode | None] = lambda: None,
        hold: Callable[[Task], str] | None = None,
        options: RunOptions | None = None,
    ) -> RunSummary:
        """Runs what is missing behind `tasks`, requirements first; raises only for what is found before anything runs.

        `deep` asks behind complete tasks too; `force` names tasks that run although they are complete; `stop` is
        asked before each task and ends the run gently with the exit code it returns; `hold` tells of a task that is
        not to begin why not, and it ends HELD with that. Without a `hold` pauses are told of, and not heeded.
        """
        from etlctl.engine.runner import Runner  # `list` and `show` run nothing
        from etlctl.runs import RunOptions, opened

        began = time.monotonic()
        options = options or RunOptions.of(self.settings)
        run_id = _new_run_id()
        asked: list[StopAsked] = []

        def any_stop() -> ExitCode | None:
            return stop() or (asked[0]() if asked else None)

        with (
            context.use(replace(self.context, has_state=options.has_state, stop=any_stop)),
            opened(
                self.settings, options, run_id, database=self._database, disconnect=self._disconnect, stop=any_stop
            ) as run,
        ):
            with collected_rarely():
                graph, roots = self._resolved(tasks, deep=deep, force=force)
            to_run = [node.task for node in graph.nodes.values() if not node.complete]
            if hold is None:
                run.tell_pauses(to_run)
            with set_apart(), run.parts(to_run, observers) as parts:
                asked.extend(parts.stop_asked)
                runner = Runner(
                    graph,
                    parts.executor,
                    run_id=run_id,
                    project=self.settings.project,
                    leases=parts.leases,
                    wait_held_s=options.wait_held_s,
                    is_nested=options.is_nested,
                    fail_fast=options.fail_fast,
                    observers=parts.observers,
                    stop=any_stop,
                    stopped_by=lambda: asked[0].sentence if asked else "",
                    hold=hold,
                    log_path=parts.log_path,
                    began=began,
                )
                return runner.run(roots)

    def _resolved(self, tasks: Sequence[Task], *, deep: bool, force: Collection[Task]) -> tuple[Graph, list[Node]]:
        from etlctl.core.graph import Graph

        graph = Graph(deep=deep, forced=force)
        roots = graph.add(checked(tasks))
        graph.check_settings()
        return graph, roots

    def list_markers(self, connections: Sequence[str], wanted: Wanted) -> list[Listing | EtlctlError]:
        """What each connection's marker table holds, in their order; all of the settings when none is named.

        A connection that cannot be asked is an error in its place; UsageError for a name that was given and is none.
        Writes nothing.
        """
        from etlctl.db.inventory import listed

        def listing(name: str) -> Listing | EtlctlError:
            try:
                return listed(self._database(name), wanted)
            except EtlctlError as error:
                if connections and isinstance(error, UsageError):
                    raise
                return error

        return [listing(name) for name in connections or self.settings.connections]

    def adopt_markers(self, connection: str | None) -> Adoption:
        """Makes the marker table of a connection, or gives an older one our columns and key, before any load does."""
        from etlctl.db.inventory import adopted

        return adopted(self._database(connection))

    def resolve_torn(self, tasks: Sequence[Task], *, as_loaded: bool | None) -> list[Torn]:
        """The torn markers of `tasks` as they were; done from now on, or deleted, or (None) only looked at.

        UsageError where a task has none, LoadError where somebody else was quicker.
        """
        from etlctl.db import torn

        with context.use(self.context):
            found = torn.torn_of(checked(tasks))
            if as_loaded is not None:
                torn.resolve(found, as_loaded=as_loaded)
        return found

    def sweep_uploads(self, places: Sequence[str], *, older_than: datetime, is_dry: bool) -> list[Swept]:
        """Ends what killed uploads have left in S3, begun before `older_than`; `is_dry` changes nothing.

        Looks in `places` (`s3://bucket/prefix`); where none is given, in those of the settings: `gc` of `[s3]` and the
        connections' `s3_staging`. A place that cannot be asked has its error in it. UsageError for one that is no
        address, and where there is none at all.
        """
        from etlctl.s3 import address, leftovers

        known = [*self.settings.s3.gc, *(one.s3_staging for one in self.settings.connections.values())]
        wanted = list(places) or [place for place in known if place is not None]
        if not wanted:
            raise UsageError(
                "no place is known to look in: name one (s3://BUCKET/PREFIX), or set gc in [s3] of the settings, as in "
                'gc = ["s3://BUCKET/PREFIX"].'
            )
        try:
            found = [address.parse(place, needs_key=False) for place in wanted]
        except TaskError as error:
            raise UsageError(f"{error}.") from error
        with context.use(self.context):
            return leftovers.swept(found, older_than=older_than, is_dry=is_dry)

    def sweep_staging(self, places: Sequence[str], *, older_than: datetime, is_dry: bool) -> list[SweptStaging]:
        """Removes what killed loads have left in the connections' `s3_staging`, written before `older_than`.

        With `places` only in those that lie in one of them, which `sweep_uploads` has taken for addresses.
        """
        from etlctl.s3 import address

        known = [one.s3_staging for one in self.settings.connections.values() if one.s3_staging is not None]
        found = [address.parse(staging) for staging in dict.fromkeys(known)]
        within = [address.parse(place, needs_key=False) for place in places]
        wanted = [
            staging
            for staging in found
            if not within or any(staging.bucket == one.bucket and staging.key.startswith(one.key) for one in within)
        ]
        if not wanted:
            return []
        from etlctl.db.dialects.redshift import remains  # SQLAlchemy comes with it

        with context.use(self.context):
            return [remains.swept(staging, older_than=older_than, is_dry=is_dry) for staging in wanted]

    def _check_not_below_a_project(self) -> None:
        path = self.settings.pipelines_path
        if self.settings.file is not None or path is None or path.exists():
            return
        for folder in self.settings.project.parents:
            found = settings_module.find_project(folder)
            if found is not None:
                config = "" if found.is_dir() else f", or give --config {found}"
                raise PipelineImportError(f"There is no pipelines folder {path}. {found} exists: cd {folder}{config}.")

    @cached_property
    def _databases(self) -> Any:
        from etlctl.db.connections import Databases  # SQLAlchemy is imported when the first database is asked for

        return Databases(self.settings.connections, self.settings.default_connection, self.settings.project)

    def _database(self, name: str | None) -> Any:
        return self._databases.get(name)

    def _disconnect(self) -> None:
        """Closes connections and keeps what is in memory alone; a connection must not be there at a fork."""
        databases = vars(self).get("_databases")
        if databases is not None:
            databases.disconnect()


def load_settings(path: Path | None, *, environ: Mapping[str, str], cwd: Path, profile: str | None = None) -> Settings:
    """As `settings.load`, with what `aws-sm:` references need: they are fetched when they are first asked for."""
    return settings_module.load(path, environ=environ, cwd=cwd, profile=profile, fetch=fetched_secret)


def fetched_secret(reference: str, s3: S3Settings, at: str) -> str:
    """See `s3.secrets.fetched`."""
    from etlctl.s3.secrets import fetched  # what has no such reference waits for nothing

    return fetched(reference, s3, at)


def checked(tasks: Iterable[Any]) -> list[Task]:
    """`tasks` as a list; UsageError where one of them is none."""
    found = list(tasks)
    for one in found:
        if not isinstance(one, Task):
            kind = f"the class {one.__name__}" if isinstance(one, type) else shortened(repr(one))
            raise UsageError(f"Tasks are built, and {kind} is none: give tasks such as LoadFlights(date=…).")
    return found


def _new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(2).hex()}"
