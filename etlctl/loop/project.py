"""What a loop works with until the next reload: an app, its schedules, what loops tell each other. And how it is
opened: at the first time, and anew when settings or pipelines have changed.

    project = opened(load, schedules_of)      settings -> app -> pipelines -> schedules -> their tasks, tried once
    project.build(schedule, due, …)           the turn; closes every connection at its end
    project.close()
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any

from etlctl.app import App
from etlctl.core.results import Observer, RunSummary
from etlctl.core.task import Task
from etlctl.db.state.operations import Operations
from etlctl.db.state.store import Store
from etlctl.errors import (
    EtlctlError,
    ExitCode,
    NotMadeError,
    PipelineImportError,
    SettingsError,
    TaskNotFoundError,
    UsageError,
)
from etlctl.loop.clock import Clock
from etlctl.loop.recorded import cause_of, reasons_of
from etlctl.loop.unfinished import are_complete, unfinished
from etlctl.loop.wanted import tasks_of
from etlctl.runs import RunOptions
from etlctl.schedule import Schedule
from etlctl.settings import Settings
from etlctl.settings.urls import is_elsewhere, is_sqlite

if TYPE_CHECKING:
    from etlctl.notify import Notifications

_logger = logging.getLogger("etlctl")
CLOSE_WAIT_S = 5.0
"""The longest wait for messages at the end of a loop."""
_LONGEST_LOOK_S = 5.0
_LEAST_LOOK_S = 0.2


class Project:
    """Settings, pipelines and schedules as they were when it was opened."""

    def __init__(
        self,
        app: App,
        schedules: Sequence[Schedule],
        options: RunOptions,
        observers: Sequence[Observer],
        clock: Clock,
    ) -> None:
        """`schedules` have been tried: their tasks can be made. `options` and `observers` are those of each build."""
        settings = app.settings
        self.app = app
        self.schedules = schedules
        self._options = options
        self._observers = observers
        self._store = Store(settings.state, silent_s=settings.lease_ttl_s / 4)
        self.operations = Operations(self._store, profile=settings.profile, lease_ttl_s=settings.lease_ttl_s)
        self._hold = self.operations.holding(clock=clock.monotonic)

    @property
    def notifications(self) -> Notifications | None:
        """Those whom `[notify]` names; None where there are none."""
        return self._options.notifications

    @property
    def backoff_max_s(self) -> float:
        """The longest wait between two tries."""
        return self.app.settings.loop.backoff_max_s

    @property
    def look_s(self) -> float:
        """Between two looks at a turn that another process is at: soon after that has died, it is ours."""
        return min(_LONGEST_LOOK_S, max(_LEAST_LOOK_S, self.app.settings.lease_ttl_s / 4))

    def build(
        self,
        schedule: Schedule,
        due: datetime,
        *,
        observers: Sequence[Observer],
        stop: Callable[[], ExitCode | None],
    ) -> RunSummary:
        """The turn that was due then: the whole window, oldest first. Raises as App.build, and UsageError."""
        with self.app as app:
            return app.build(
                self._tasks(schedule, due),
                observers=[*observers, *self._observers],
                stop=stop,
                hold=self._hold,
                options=replace(self._options, command=f"etlctl loop: {schedule.name}"),
            )

    def unfinished(
        self, schedule: Schedule, due: datetime, deadline: str, met: Sequence[Task]
    ) -> list[tuple[Task, str]]:
        """See `unfinished.unfinished`; of tasks that came up in the run, too. Raises UsageError too."""
        with self.app:
            return unfinished([*self._tasks(schedule, due), *met], deadline)

    def is_complete(self, schedule: Schedule, due: datetime) -> bool:
        """Whether nothing is left to do of the turn, whoever has done it; False where that cannot be asked."""
        try:
            with self.app:
                return are_complete(self._tasks(schedule, due))
        except EtlctlError:
            return False

    def recorded(self, tasks: Sequence[Task], since: datetime) -> dict[Task, str]:
        """See `recorded.reasons_of`."""
        return reasons_of(self._store, tasks, since) if self.app.settings.is_history_kept else {}

    def recorded_cause(self, run_id: str) -> str:
        """See `recorded.cause_of`."""
        return cause_of(self._store, run_id) if self.app.settings.is_history_kept else ""

    def record_of(self, schedule: Schedule) -> str:
        """The name by which the state database knows the schedule. Raises UnavailableError."""
        return self.operations.record_of(schedule.name, schedule.tasks)

    def held(self, schedule: Schedule, due: datetime) -> str:
        """Why nothing of the turn may begin, where pauses hold all its tasks; else empty."""
        if not self._hold.is_any():
            return ""
        try:
            with self.app:
                reasons = [self._hold(task) for task in self._tasks(schedule, due)]
        except EtlctlError:  # one of the user's own too
            return ""  # the turn itself says so
        return reasons[0] if reasons and all(reasons) else ""

    def heard(self, what: str, *told: Any) -> None:
        """Hands what the loop does on to the metrics."""
        if self._options.metrics is not None:
            getattr(self._options.metrics, what)(*told)

    def alert(self, kind: str, title: str, text: str, task: Task | None = None) -> None:
        """Tells those whom `[notify]` names."""
        if self._options.notifications is not None:
            self._options.notifications.alert(kind, title, text, task=task)

    def close(self, patience_s: float = CLOSE_WAIT_S) -> None:
        """Gives back what is claimed, and closes what is open; what is on its way to notifiers has so long."""
        try:
            if self.notifications is not None:
                self.notifications.close(patience_s)
        finally:
            self.operations.close()
            self._store.close()
            self.app.close()

    def replaced(self) -> Thread | None:
        """As close, where another has its place: a thread waits for what is on its way to notifiers, if anything is."""
        leaving = None
        if self.notifications is not None:
            close = self.notifications.close
            leaving = Thread(target=close, args=[CLOSE_WAIT_S], name="etlctl-notify-close", daemon=True)
            leaving.start()
        self.operations.close()
        self._store.close()
        self.app.close()
        return leaving

    def _tasks(self, schedule: Schedule, due: datetime) -> list[Task]:
        return tasks_of(schedule, self.app.registry, schedule.dates(due), due)


def opened(
    load: Callable[[], Settings],
    schedules_of: Callable[[Settings], Sequence[Schedule]],
    options_of: Callable[[Settings], RunOptions],
    *,
    is_reload: bool,
    app: App | None = None,
    observers: Sequence[Observer] = (),
    is_local_ok: bool = False,
    clock: Clock,
) -> Project:
    """The project as its files are now. UsageError where the settings, the pipelines or a schedule cannot be used; as
    tasks_of raises at a reload.

    With `is_reload` pipelines are imported once more, and where that fails those before stay imported. `app` is one
    that is open already; `is_local_ok` as check_state takes it.
    """
    with ExitStack() as stack:
        if app is None:
            settings = load()
            if is_reload:
                stack.enter_context(_imported_anew(_packages(settings)))
            app = App.open(settings)
        check_state(app.settings, is_local_ok=is_local_ok)
        if is_reload and app.registry.broken:
            raise PipelineImportError(str(app.registry.broken[0]))
        schedules = schedules_of(app.settings)
        if not schedules:
            raise UsageError(
                "etlctl loop needs a TASK with --every or --cron, or schedules in the settings: "
                '[schedules.nightly] with tasks = ["DailyReport"] and cron = "0 6 * * *".'
            )
        now = clock.now()
        with app:
            for schedule in schedules:
                _check_current([app.registry.find(name) for name in schedule.tasks])
                _try(schedule, app, now, is_reload=is_reload)
        return Project(app, schedules, options_of(app.settings), observers, clock)


def _try(schedule: Schedule, app: App, now: datetime, *, is_reload: bool) -> None:
    """Makes its tasks once. What a user's own code raises then is told, and no other schedule waits for it: a task may
    refuse this day and take the next. At a reload it is raised, since what was there before can stay."""
    try:
        tasks_of(schedule, app.registry, schedule.dates(now), now)
    except EtlctlError as error:
        is_ours = isinstance(error, UsageError) and not isinstance(error, NotMadeError)
        if is_reload or is_ours:
            raise
        _logger.warning("%s: %s Its turns are tried all the same.", schedule.name, error)


def _check_current(classes: Sequence[type[Task]]) -> None:
    """TaskNotFoundError for one that its module has no more: the class of before a reload is there for a while."""
    for cls in classes:
        name, module = cls.__qualname__, sys.modules.get(cls.__module__)
        if "." not in name and getattr(module, name, None) is not cls:
            raise TaskNotFoundError(f"No task is named {cls.task_family!r} any more: {cls.__module__} has none.")


def check_state(settings: Settings, *, is_local_ok: bool) -> None:
    """SettingsError where the warehouse is another machine's and the state a file of this one.

    A second loop elsewhere would know nothing of this one. The loads have their markers, but files would be made, and
    pauses heeded, by each loop for itself.
    """
    if is_local_ok or settings.loop.local_state_ok or not is_sqlite(settings.state_url.reveal()):
        return
    for connection in settings.connections.values():
        if is_elsewhere(connection.url.reveal()):
            raise SettingsError(
                f"the connection {connection.name} is {connection.shown_url}, and the state database is "
                f"{settings.state.shown_url}, a file of this machine: a loop on another machine would not know of this "
                "one. Name a database that both reach in [state] url, or say --local-state-ok (local_state_ok = true "
                "in [loop]) where there will never be a second loop."
            )


def kept_of_start(before: Settings, now: Settings) -> str:
    """What of the settings has changed and is not taken over by a reload, as the end of a sentence; empty for none."""
    told: dict[str, Callable[[Settings], object]] = {
        "[loop] grace": lambda one: one.loop.grace_s,
        "[loop] health_port": lambda one: one.loop.health_port,
        "[loop] health_host": lambda one: one.loop.health_host,
        "[loop] health_file": lambda one: one.loop.health_file,
        "[metrics] textfile": lambda one: one.metrics.textfile,
        "[logs] format": lambda one: one.logs.format,
    }
    changed = [name for name, of in told.items() if of(before) != of(now)]
    return f"{', '.join(changed)} as they were until it is started again" if changed else ""


def _packages(settings: Settings) -> list[str]:
    path = settings.pipelines_path
    return [*([path.name] if path is not None else []), *settings.pipelines_modules]


@contextmanager
def _imported_anew(packages: Sequence[str]) -> Iterator[None]:
    """In the block these packages are imported from their files again; where it fails, all is as it was before."""
    before = _taken_out(packages)
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        _taken_out(packages)
        sys.modules.update(before)
        raise
    finally:
        before = {}
        gc.collect()  # the classes before are found as subclasses of Task for as long as they are there


def _taken_out(packages: Sequence[str]) -> Mapping[str, ModuleType]:
    names = [one for one in sys.modules if any(one == name or one.startswith(f"{name}.") for name in packages)]
    return {name: sys.modules.pop(name) for name in names}
