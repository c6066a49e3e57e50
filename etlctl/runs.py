"""What a run works with besides its graph: leases, history, logs and an executor, opened for it and closed after it.

    with opened(app, options, run_id) as run:      before the graph: the state database's clock is the run's begin
        graph = …
        with run.parts(to_run, observers) as parts:    Runner(graph, parts.executor, leases=parts.leases, …)

Knows each of them by name and none of what they do. The executor comes first: it forks, and what has a thread of its
own (leases, history, the screen) comes after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from etlctl.engine.leases import DispensableLeases, ProcessLeases
from etlctl.engine.observers import plugged_in
from etlctl.errors import EtlctlError, UnavailableError, UsageError

if TYPE_CHECKING:
    from etlctl.core.leases import Leases
    from etlctl.core.results import Observer
    from etlctl.core.task import Task
    from etlctl.db.state.logs import LogStore
    from etlctl.db.state.stopping import StopAsked
    from etlctl.db.state.store import Store
    from etlctl.engine.executors.base import Executor
    from etlctl.metrics import Metrics
    from etlctl.notify import Memory, Notifications
    from etlctl.settings import Settings

_logger = logging.getLogger("etlctl")
_LARGE = 2_000
"""Tasks to run from which on it pays to start a process that writes the history."""
_MEMORY_TIMEOUT_S = 2.0
"""How long a message may wait for the memory of what was told: without it, it is sent all the same."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; what is done does not depend on it."""

    jobs: int | None = None
    """Tasks at once. None: one in this process; on a Dask cluster as many as it takes."""
    executor: str = "local"
    """`local` or `dask`."""
    fail_fast: bool = False
    wait_held_s: float = 600
    """How long to wait for what another process holds."""
    show_output: Callable[[str], None] | None = None
    """Takes what tasks in other processes print, a line at a time; None for nobody."""
    command: str = ""
    """The words it was asked for with, for the history; without private values."""
    is_nested: bool = False
    """Whether a task of another build asks for it, in its run()."""
    has_state: bool = True
    """Whether the state database is used: False leaves no trace of the run, and knows of no other."""
    notifications: Notifications | None = None
    """Of a caller that has many runs, and closes them; None for those of the settings, closed at the run's end."""
    metrics: Metrics | None = None
    """As `notifications`."""

    @classmethod
    def of(cls, settings: Settings, **given: Any) -> Self:
        """What `[build]` of the settings says, and `given` over it."""
        told = settings.build
        jobs = None if settings.origins["build.jobs"] == "default" else told.jobs
        return replace(cls(jobs, told.executor, wait_held_s=told.wait_held_s), **given)


@dataclass(frozen=True)
class Parts:
    """What the runner is given."""

    executor: Executor
    leases: Leases
    observers: Sequence[Observer]
    log_path: Callable[[Task, int], str]
    stop_asked: Sequence[StopAsked]
    """Hears whoever asks through the state database that the run ends; none where no history is kept."""


class Run:
    """One run from before its graph is known to after its end."""

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        run_id: str,
        store: Store | None,
        *,
        database: Callable[[str | None], Any],
        disconnect: Callable[[], None],
        hearers: Sequence[Observer] = (),
        stop: Callable[[], object] = lambda: None,
    ) -> None:
        self._settings = settings
        self._hearers = hearers
        self._stop = stop
        self._options = options
        self._run_id = run_id
        self._store = store
        self._began_at = store.now() if store is not None else 0.0
        self._database = database
        self._disconnect = disconnect

    @contextmanager
    def parts(self, to_run: Sequence[Task], observers: Sequence[Observer]) -> Iterator[Parts]:
        """Everything that is needed to run `to_run`; closed at the end, the executor first and the history last."""
        with ExitStack() as stack:
            executor = self._executor(to_run)
            try:
                logs = self._logs(is_written=bool(to_run))
                history = self._history(stack, logs, len(to_run))
                leases = self._leases()
                stack.callback(leases.close)
                stop_asked = self._stop_asked(stack)
            finally:
                stack.callback(executor.close)
            yield Parts(
                executor,
                leases,
                [*observers, *history, *stop_asked, *self._hearers, *plugged_in()],
                lambda task, number: logs.path_for(self._run_id, task.task_id, number) if logs is not None else "",
                stop_asked,
            )

    def tell_pauses(self, to_run: Sequence[Task]) -> None:
        """Says in one line which of `to_run` are paused, for a run that does not heed it."""
        if self._store is None or self._options.is_nested or not to_run:
            return
        from etlctl.db.state.pauses import Pauses, active

        try:
            with self._store.transaction(write=False) as session:
                found = Pauses(active(session, self._settings.profile))
        except UnavailableError as error:  # the leases are about to tell
            _logger.debug("pauses could not be read", exc_info=error)
            return
        paused = {one.id: one for task in to_run if (one := found.of(task)) is not None}
        if paused:
            told = "; ".join(f"{one.shown} is {one.sentence}" for one in paused.values())
            _logger.warning("%s. Loops heed that, a build by hand goes on all the same.", told)

    def _stop_asked(self, stack: ExitStack) -> list[StopAsked]:
        if self._store is None or not self._settings.is_history_kept:
            return []
        from etlctl.db.state.stopping import StopAsked

        stop_asked = StopAsked(self._store, self._run_id)
        stack.callback(stop_asked.close)
        return [stop_asked]

    def _executor(self, to_run: Sequence[Task]) -> Executor:
        options, settings = self._options, self._settings
        show = options.show_output
        shown = (lambda task, line: show(f"{task.task_label}: {line}")) if show is not None else None
        if options.executor == "dask" and to_run:
            from etlctl.engine.executors.dask import DaskExecutor

            address, most = settings.build.dask_address, settings.logs.max_bytes
            return DaskExecutor(settings, address=address, jobs=options.jobs, shown=shown, max_log_bytes=most)
        from etlctl.engine.executors.workers import LocalExecutor

        return LocalExecutor(
            settings.project,
            jobs=options.jobs or 1,
            tasks=to_run,
            shown=shown,
            disconnect=self._disconnected,
            max_log_bytes=settings.logs.max_bytes,
        )

    def _disconnected(self) -> None:
        self._disconnect()
        if self._store is not None:
            self._store.close()

    def _leases(self) -> Leases:
        if self._store is None:
            return ProcessLeases(self._settings.pools)
        from etlctl.db.state import owners
        from etlctl.db.state.leases import StoreLeases

        leases = StoreLeases(
            self._store,
            owner=owners.this_process(),
            began_at=self._began_at,
            ttl_s=self._settings.lease_ttl_s,
            pools=self._settings.pools,
            profile=self._settings.profile,
            database=self._database,
            is_dispensable=not self._settings.is_state_chosen,
            stop=self._stop,
        )
        return leases if self._settings.is_state_chosen else DispensableLeases(leases, self._settings.pools)

    def _logs(self, *, is_written: bool) -> LogStore | None:
        """Where what tasks print is kept; None where no history is, which tells where to find it."""
        settings = self._settings
        if self._store is None or not settings.is_history_kept:
            return None
        from etlctl.db.state.logs import LogStore

        logs = LogStore(settings.logs.store, settings.project)
        if is_written and (said := logs.prepare()):
            _logger.warning("%s", said)
        return logs

    def _history(self, stack: ExitStack, logs: LogStore | None, planned: int) -> list[Observer]:
        if self._store is None or logs is None:
            return []
        from etlctl.db.state.history import About, History

        settings = self._settings
        beat_s = settings.lease_ttl_s / 4
        about = About(self._run_id, self._options.command, settings.project, settings.profile, beat_s=beat_s)
        kind: type[History] = History
        if planned >= _LARGE and self._store.opening is not None and logs.is_local:
            from etlctl.db.state.scribe import Scribe

            kind = Scribe
        history = kind(self._store, about, logs=logs)
        stack.callback(history.close)
        return [history]


@contextmanager
def opened(
    settings: Settings,
    options: RunOptions,
    run_id: str,
    *,
    database: Callable[[str | None], Any],
    disconnect: Callable[[], None],
    stop: Callable[[], object] = lambda: None,
) -> Iterator[Run]:
    """A run on the state database of the settings, whose tables are made or brought up to date here.

    `database` finds a connection's Database by name; `disconnect` closes all that are open; `stop` tells whether the
    run is to end, so that it waits for no database then. Raises UnavailableError
    where a state database that somebody has chosen cannot be used, UsageError where it is too new; without the default
    one (a folder that cannot be written to) the run goes on, and a warning says what is missing.
    """
    with ExitStack() as stack:
        hearers = _hearers(stack, settings, options, run_id)  # before any work: their settings may be wrong
        store = _store(settings) if options.has_state else None
        if store is not None:
            stack.callback(store.close)
        yield Run(
            settings, options, run_id, store, database=database, disconnect=disconnect, hearers=hearers, stop=stop
        )


def notifications(settings: Settings, *, has_state: bool = True, is_of_loop: bool = False) -> Notifications | None:
    """Those of the settings, opened for one run or for many; to be closed. None where there are none.

    What was told is remembered in the state database. Raises as `notify.opened`.
    """
    if not settings.notify:
        return None
    from etlctl import notify
    from etlctl.core.private import private_told

    def memory() -> Memory:
        from etlctl.db.state import schema
        from etlctl.db.state.notices import Notices
        from etlctl.db.state.store import Store

        # of its own: a run's is closed while messages are still on their way; and those do not wait for long
        most = _MEMORY_TIMEOUT_S
        store = Store(replace(settings.state, connect_timeout_s=most, lock_timeout_s=most))
        try:
            schema.ensure(store)
        except BaseException:
            store.close()
            raise
        return Notices(store)

    return notify.opened(
        settings.notify,
        project=settings.project,
        profile=settings.profile,
        secrets=settings.secrets(),
        private=lambda: private_told(settings.params, settings.given),
        memory=memory if has_state else None,
        is_of_loop=is_of_loop,
    )


def metrics_of(settings: Settings) -> Metrics | None:
    """Figures for the textfile of the settings; None where there is none. UsageError where the extra is missing."""
    if settings.metrics.textfile is None:
        return None
    from etlctl.metrics import Metrics

    return Metrics(textfile=settings.metrics.textfile)


def _hearers(stack: ExitStack, settings: Settings, options: RunOptions, run_id: str) -> list[Observer]:
    """Notifications and metrics of a run; of a build in a task's run() the build around it tells."""
    if options.is_nested:
        return []
    metrics = options.metrics or metrics_of(settings)
    told = options.notifications
    if told is None:
        told = notifications(settings, has_state=options.has_state)
        if told is not None:
            stack.callback(told.close)
    if told is not None:
        stack.push(_telling(told, run_id))
    return [one for one in (metrics, told) if one is not None]


def _telling(told: Notifications, run_id: str) -> Callable[..., None]:
    """The end of a `with` block: an error that the run ends with, and no summary of it does, is told."""

    def ended(kind: object, error: BaseException | None, trace: object) -> None:  # noqa: ARG001  as ExitStack calls it
        if isinstance(error, EtlctlError) and not isinstance(error, UsageError):
            told.given_up(run_id, error)

    return ended


def _store(settings: Settings) -> Store | None:
    from etlctl.db.state import schema
    from etlctl.db.state.store import Store

    store = Store(settings.state, silent_s=settings.lease_ttl_s / 4)
    try:
        schema.ensure(store)
    except UnavailableError as error:
        store.close()
        if settings.is_state_chosen:
            raise
        _logger.warning("no history is kept, and other builds are not heeded: %s", error)
        return None
    return store
