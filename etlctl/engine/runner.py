"""The runner: walks a resolved graph, keeps the executor busy with what is ready, settles what follows from each end.

    Runner.run(roots)
      _enter       nodes become entries: up to date, blocked, broken, waiting or ready
      loop:        _submit_ready -> executor.wait() -> _handle
                     ended well      dependents wait for one less; at none they are ready
                     ended badly     dependents are skipped, siblings are not touched
                     needs tasks     the graph grows, the attempt waits for them and is resumed
      RunSummary

O(edges) in all: a heap of ready entries, a counter per waiting one, no rescans. It prints nothing; observers do.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.graph import Graph, Node, cycle_sentence, path_to
from etlctl.core.plan import missing_line
from etlctl.core.results import Observer, RunSummary, Status, TaskResult
from etlctl.core.task import Task
from etlctl.engine.attempt import told_failure
from etlctl.engine.executors.base import Executor, Outcome
from etlctl.engine.failures import Failure
from etlctl.errors import CycleError, ExitCode
from etlctl.text import printable

_logger = logging.getLogger("etlctl")
_ENDED_WELL = (Status.OK, Status.UPTODATE)


class _Rank(IntEnum):
    """Order among the ready: what was set aside first, then what somebody waits for, then the rest."""

    RESUMED = 0
    YIELDED = 1
    PLANNED = 2


class _Entry:
    """One node on its way through the run."""

    __slots__ = ("active_s", "attempt", "cause", "node", "rank", "started_at", "status", "waiting")

    def __init__(self, node: Node, rank: _Rank) -> None:
        self.node = node
        self.rank = rank
        self.waiting = 0
        """Requirements, or needs of the attempt that was set aside, that have not ended yet."""
        self.status: Status | None = None
        self.cause: _Entry = self
        """The entry whose end decided this one's: itself, or what failed or is missing further up."""
        self.attempt: Attempt | None = None
        self.started_at: datetime | None = None
        self.active_s = 0.0


class Runner:
    """One run. `stop` is asked before each submission: an exit code ends the run gently.

    `began` is when it began by the monotonic clock, where that was before: asking what is done may take its time.
    """

    def __init__(
        self,
        graph: Graph,
        executor: Executor,
        *,
        run_id: str,
        project: Path,
        observers: Sequence[Observer] = (),
        stop: Callable[[], ExitCode | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        began: float | None = None,
    ) -> None:
        self._graph = graph
        self._executor = executor
        self._run_id = run_id
        self._project = project
        self._observers = list(observers)
        self._stop = stop
        self._now = now
        self._began = began
        self._entries: dict[Node, _Entry] = {}
        self._ready: list[tuple[int, float, int, _Entry]] = []
        self._running: dict[Task, _Entry] = {}
        self._results: list[TaskResult] = []
        self._up_to_date: list[TaskResult] = []
        self._settled: deque[tuple[_Entry, TaskResult]] = deque()
        self._total = 0
        self._interrupted: ExitCode | None = None

    def run(self, roots: Sequence[Node]) -> RunSummary:
        """Runs what is missing behind `roots`. Never raises for what a task does."""
        started_at, began = self._now(), time.monotonic() if self._began is None else self._began
        try:
            to_run = self._enter(roots, _Rank.PLANNED)
            self._tell("run_started", self._run_id, [node.task for node in roots], to_run)
            self._settle()
            while self._submit_ready():
                outcome = self._executor.wait()
                if outcome is not None:
                    self._handle(outcome)
        except KeyboardInterrupt:
            self._interrupted = ExitCode.INTERRUPTED
        self._end_early()
        results = (*self._up_to_date, *self._results)
        summary = RunSummary(self._run_id, results, started_at, time.monotonic() - began, self._interrupted)
        self._tell("run_finished", summary)
        return summary

    # -- entering

    def _enter(self, roots: Iterable[Node], rank: _Rank) -> list[Task]:
        """Makes entries of what the roots reach and is not entered yet, requirements first; those not up to date."""
        fresh: list[Node] = []
        stack = [node for node in roots if node not in self._entries]
        while stack:
            node = stack.pop()
            if node not in self._entries:
                self._entries[node] = _Entry(node, rank)
                fresh.append(node)
                stack.extend(one for one in node.requires if one not in self._entries)
        fresh.sort(key=lambda node: node.order)
        to_run = [node.task for node in fresh if not node.complete or node.error is not None]
        self._total += len(to_run)
        for node in fresh:
            self._place(self._entries[node])
        if rank is _Rank.YIELDED:
            for node in fresh:
                for requirement in node.requires:
                    self._put_forward(self._entries[requirement])
        return to_run

    def _place(self, entry: _Entry) -> None:
        node = entry.node
        if node.error is not None:  # also of a complete one: only a deep build asks that for its requires()
            self._fail(entry, node.error)
        elif node.complete:
            entry.status = Status.UPTODATE
            self._up_to_date.append(TaskResult(node.task, Status.UPTODATE))
        elif node.task.is_external:
            self._end(entry, Status.BLOCKED, missing_line(node), exit_code=ExitCode.BLOCKED)
        else:
            # a requirement may have ended long ago: one that a run() yielded now can require what failed before
            requirements = [self._entries[one] for one in node.requires]
            ended_badly = [one for one in requirements if one.status is not None and one.status not in _ENDED_WELL]
            if ended_badly:
                self._give_up(entry, min(ended_badly, key=lambda one: one.status is Status.BLOCKED))
                return
            entry.waiting = sum(one.status is None for one in requirements)
            if not entry.waiting:
                self._push(entry)

    def _push(self, entry: _Entry) -> None:
        try:
            priority = float(entry.node.task.priority)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's property: it fails its own task
            if entry.attempt is not None:
                self._executor.abandon(entry.node.task)
            self._fail(entry, error)
            return
        heapq.heappush(self._ready, (entry.rank, -priority, entry.node.order, entry))

    # -- running

    def _submit_ready(self) -> bool:
        """Fills the executor; False when nothing is under way any more."""
        while self._ready and len(self._running) < self._executor.capacity:
            self._interrupted = self._interrupted or self._stop()
            if self._interrupted:
                break
            rank, *_, entry = heapq.heappop(self._ready)
            if entry.status is None and rank == entry.rank:  # else it has been put forward and stands there twice
                self._submit(entry)
                self._settle()
        return bool(self._running)

    def _submit(self, entry: _Entry) -> None:
        task = entry.node.task
        self._running[task] = entry
        if entry.attempt is not None:
            self._executor.resume(task)
            return
        entry.attempt = Attempt(run_id=self._run_id, forced=entry.node.forced, module=type(task).__module__)
        entry.started_at = self._now()
        self._tell("task_started", task, entry.attempt)
        self._executor.submit(task, entry.attempt)

    def _handle(self, outcome: Outcome) -> None:
        entry = self._running.pop(outcome.task)
        entry.active_s += outcome.active_s
        if outcome.interrupted:
            self._interrupted = ExitCode.INTERRUPTED
        if outcome.needs is not None:
            self._set_aside(entry, outcome.needs)
        elif outcome.failure is None:
            entry.node.complete = True
            self._end(entry, Status.OK)
        else:
            self._end_badly(entry, outcome.failure)
        self._settle()

    def _set_aside(self, entry: _Entry, needs: tuple[Task, ...]) -> None:
        """The attempt waits for tasks: those it requires (usually all done) or yielded (perhaps new to the graph)."""
        try:
            nodes = self._graph.add(needs)
            way = path_to([node for node in nodes if not node.complete], entry.node)
            if way is not None:
                raise CycleError(cycle_sentence([entry.node, *way]))
        except CycleError as error:
            self._executor.abandon(entry.node.task)
            self._fail(entry, error)
            return
        self._enter(nodes, _Rank.YIELDED)
        self._settle()
        for node in nodes:
            needed = self._entries[node]
            if needed.status is None:
                self._put_forward(needed)
                entry.waiting += 1
                entry.node.requires.append(node)
                node.dependents.append(entry.node)
            elif needed.status not in _ENDED_WELL:
                self._give_up(entry, needed)
                return
        if not entry.waiting:
            self._submit(entry)  # it goes on at once: it is running, and `stop` is about what is not

    def _put_forward(self, entry: _Entry) -> None:
        """Somebody waits for `entry`: it and what it still needs go before what nobody waits for yet."""
        stack = [entry]
        while stack:
            one = stack.pop()
            if one.status is None and one.rank is _Rank.PLANNED:
                one.rank = _Rank.YIELDED
                if not one.waiting and one.attempt is None:
                    self._push(one)
                stack.extend(self._entries[requirement] for requirement in one.node.requires)

    def _resume(self, entry: _Entry) -> None:
        entry.rank = _Rank.RESUMED
        self._push(entry)

    # -- ends

    def _fail(self, entry: _Entry, error: BaseException) -> None:
        """It failed here, in no attempt: before it ran, or while it waited."""
        self._end_badly(entry, told_failure(entry.node.task, error, self._project))

    def _end_badly(self, entry: _Entry, failure: Failure) -> None:
        self._end(
            entry,
            Status.FAIL,
            failure.reason,
            error=failure.error,
            where=failure.where,
            details=failure.details,
            exit_code=failure.exit_code,
        )

    def _give_up(self, entry: _Entry, cause: _Entry) -> None:
        """`cause` did not end well, so `entry` will not run (again)."""
        if entry.attempt is not None:
            self._executor.abandon(entry.node.task)
        entry.cause = cause.cause
        root = entry.cause.node.task.task_label
        if cause.status is Status.BLOCKED:
            self._end(entry, Status.BLOCKED, f"blocked by {root}", exit_code=ExitCode.BLOCKED)
        else:
            self._end(entry, Status.SKIP, f"{root} failed")

    def _end(self, entry: _Entry, status: Status, reason: str = "", **more: Any) -> None:
        """Gives the entry its result; `_settle` carries it to its dependents."""
        entry.status = status
        attempt = entry.attempt
        result = TaskResult(
            entry.node.task,
            status,
            reason,
            rows=attempt.rows if attempt and status is Status.OK else None,  # what failed has loaded none
            notes=tuple(printable(note) for note in attempt.notes) if attempt else (),
            started_at=entry.started_at,
            duration_s=entry.active_s if attempt else None,
            forced=entry.node.forced,
            **more,
        )
        self._settled.append((entry, result))

    def _settle(self) -> None:
        """Tells the observers of each end, in order, and carries it on: a loop, since a chain of skips may be long."""
        while self._settled:
            entry, result = self._settled.popleft()
            self._results.append(result)
            self._tell("task_finished", result, len(self._results), self._total)
            for node in entry.node.dependents:
                dependent = self._entries.get(node)
                if dependent is None or dependent.status is not None:
                    continue
                if entry.status is not Status.OK:
                    self._give_up(dependent, entry)
                    continue
                dependent.waiting -= 1
                if not dependent.waiting:
                    self._push(dependent) if dependent.attempt is None else self._resume(dependent)

    def _end_early(self) -> None:
        """Accounts for what was not reached; only an interrupt leaves any."""
        for entry in self._entries.values():
            if entry.status is None:
                task = entry.node.task
                if entry.attempt is not None and task not in self._running:
                    self._executor.abandon(task)
                begun = "stopped" if entry.attempt is not None else "not started"
                self._end(entry, Status.SKIP, f"{begun}: the run was interrupted")
        while self._settled:
            _, result = self._settled.popleft()
            self._results.append(result)
            self._tell("task_finished", result, len(self._results), self._total)

    def _tell(self, call: str, *arguments: Any) -> None:
        """An observer that raises is dropped: the work does not depend on who watches."""
        for observer in list(self._observers):
            try:
                getattr(observer, call)(*arguments)
            except Exception:
                self._observers.remove(observer)
                _logger.exception("an observer of the run raised and is told no more")
