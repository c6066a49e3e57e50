"""The runner: keeps the executor busy with what a walk over the graph finds ready, and hands it each end.

    Runner.run(roots)
      Walk.enter   nodes become entries: up to date, blocked, broken, waiting or ready
      loop:        _begin_ready -> executor.wait() -> _handle
                     ended well      Walk.settle: dependents wait for one less; at none they are ready
                     ended badly     once more where its `retries` allow it; else dependents are skipped, siblings not
                     needs tasks     the graph grows, the attempt waits for them and is resumed
      RunSummary

What follows from an end is engine/walk.py's; who of the ready runs next is decided in engine/admission.py: leases,
pools, delays. It prints nothing; observers do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from etlctl.core.conduct import told
from etlctl.core.context import Attempt, LeaseOfAttempt
from etlctl.core.graph import Graph, Node, cycle_sentence, path_to
from etlctl.core.interruption import heard
from etlctl.core.leases import EndState, FailedElsewhere, Granted, Leases
from etlctl.core.results import Observer, RunSummary, Status
from etlctl.core.target import exists_in_bulk
from etlctl.core.task import Completeness, Task, outputs_of
from etlctl.engine import parking
from etlctl.engine.admission import Admission, HeldTooLong, NeverFits, Verdict
from etlctl.engine.entries import Entry, Rank
from etlctl.engine.executors.base import Executor, Outcome
from etlctl.engine.failures import Failure, lines_of
from etlctl.engine.leases import ProcessLeases
from etlctl.engine.ledger import Ledger
from etlctl.engine.retry import delay_before
from etlctl.engine.walk import ENDED_WELL, Walk
from etlctl.errors import CycleError, ExitCode, TaskError, UnavailableError

_logger = logging.getLogger("etlctl")
_LOOK_S = 0.5
"""How long a wait goes on without a look at signals and leases."""


class Runner:
    """One run. `stop` is asked before each submission: an exit code ends the run gently. `hold` tells of a task that is
    not to begin why not: it ends HELD with that sentence; what has begun goes on, further attempts included.
    `stopped_by` says who it was that `stop` speaks for.

    `began` is when it began by the monotonic clock, where that was before: asking what is done may take its time.
    `log_path` says where the output of a task's attempt of this number is kept.
    """

    def __init__(
        self,
        graph: Graph,
        executor: Executor,
        *,
        run_id: str,
        project: Path,
        leases: Leases | None = None,
        wait_held_s: float = 0,
        is_nested: bool = False,
        fail_fast: bool = False,
        observers: Sequence[Observer] = (),
        stop: Callable[[], ExitCode | None] = lambda: None,
        hold: Callable[[Task], str] | None = None,
        stopped_by: Callable[[], str] = lambda: "",
        log_path: Callable[[Task, int], str] = lambda task, number: "",  # noqa: ARG005
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        began: float | None = None,
    ) -> None:
        self._graph = graph
        self._executor = executor
        self._run_id = run_id
        self._project = project
        self._leases: Leases = leases or ProcessLeases()
        self._admission = Admission(self._leases, wait_held_s=wait_held_s, is_nested=is_nested)
        self._ledger = Ledger(observers)
        self._walk = Walk(self._admission, self._ledger, executor, project=project, fail_fast=fail_fast, hold=hold)
        self._parking = self._walk.parking
        self._stop = stop
        self._stopped_by = stopped_by
        self._log_path = log_path
        self._now = now
        self._began = began
        self._running: dict[Task, Entry] = {}
        self._next_look = 0.0
        """For lost leases, by the monotonic clock: after each of many short tasks would be too often."""
        self._interrupted: ExitCode | None = None

    def run(self, roots: Sequence[Node]) -> RunSummary:
        """Runs what is missing behind `roots`. Never raises for what a task does."""
        started_at, began = self._now(), time.monotonic() if self._began is None else self._began
        try:
            to_run = self._walk.enter(roots, Rank.PLANNED)
            self._ledger.tell("run_started", self._run_id, [node.task for node in roots], to_run)
            self._walk.settle()
            while self._begin_ready():
                outcome = self._executor.wait(self._patience_s())
                if outcome is not None:
                    self._handle(outcome)
                self._cancel_lost()
            self._interrupted = self._interrupted or self._stop()  # during the last task
        except KeyboardInterrupt as error:
            heard(error)
            self._interrupted = self._code_of_interrupt()
        except UnavailableError as error:  # nothing that runs elsewhere can be had any more
            self._walk.given_up = Failure(str(error), exit_code=error.exit_code)
        self._walk.end_early(self._running, self._now(), is_interrupted=bool(self._interrupted))
        duration_s = time.monotonic() - began
        stopped = self._stopped_by() if self._interrupted else ""
        summary = RunSummary(self._run_id, self._ledger.results, started_at, duration_s, self._interrupted, stopped)
        self._ledger.tell("run_finished", summary)
        return summary

    def _code_of_interrupt(self) -> ExitCode:
        """The signal's, where `stop` knows of it: what it raised is a KeyboardInterrupt whichever it was."""
        return self._interrupted or self._stop() or ExitCode.INTERRUPTED

    # -- running

    def _begin_ready(self) -> bool:
        """Fills the executor; False when nothing is under way any more, and nothing will be by itself."""
        self._parking.fill()
        try:
            for entry, verdict in self._admission.admit(self._places, self._may_begin):
                if isinstance(verdict, Granted):
                    self._begin(entry, verdict)
                else:
                    self._end_unbegun(entry, verdict)
                self._walk.settle()
        except UnavailableError as error:  # the leases cannot be asked for: what runs goes on to its end
            self._walk.given_up = Failure(str(error), exit_code=error.exit_code)
        return bool(self._running) or (self._admission.is_waiting and not self._is_stopping)

    def _places(self) -> int:
        return 0 if self._is_stopping else self._executor.capacity - len(self._running)

    def _may_begin(self) -> bool:
        self._interrupted = self._interrupted or self._stop()
        return not self._is_stopping

    @property
    def _is_stopping(self) -> bool:
        return bool(self._interrupted or self._walk.given_up)

    def _patience_s(self) -> float | None:
        """Until when nothing begins by itself; never so long that a signal, or a lost lease, goes unheard."""
        patience_s = self._admission.patience_s()
        if patience_s is not None and not self._is_stopping:
            return min(patience_s, _LOOK_S)
        return None if isinstance(self._leases, ProcessLeases) else _LOOK_S

    def _begin(self, entry: Entry, granted: Granted) -> None:
        other = granted.done_by or granted.left_by
        if self._walk.is_kept_back(entry):
            return
        if other and not entry.node.forced and not entry.is_parked and self._is_done(entry, granted):
            entry.node.complete = True
            self._walk.end(entry, Status.UPTODATE, notes=(f"done by {other}",))
        elif self._parking.keeps_back(entry):
            self._admission.ended(entry, EndState.RELEASED)
            self._parking.keep_back(entry)
        elif entry.status is None:
            self._submit(entry)

    def _is_done(self, entry: Entry, granted: Granted) -> bool:
        """Whether what another process has done since we began is what we would do."""
        task = entry.node.task
        kind = type(task).completeness()
        try:
            if kind is Completeness.OUTPUTS:
                answers = exists_in_bulk(outputs_of(task)).values()
                # without outputs there is but the other's word; an error is met again by the attempt
                return bool(answers or granted.done_by) and all(answer is True for answer in answers)
            return kind is Completeness.OWN and bool(task.complete())
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's complete(): it fails its own task
            self._walk.fail(entry, error)
            return False

    def _end_unbegun(self, entry: Entry, verdict: Verdict) -> None:
        self._parking.drop(entry)
        if isinstance(verdict, HeldTooLong):
            self._walk.end(entry, Status.HELD, f"held by {verdict.holder}", exit_code=ExitCode.HELD)
        elif isinstance(verdict, FailedElsewhere):
            self._walk.end_badly(entry, Failure(f"failed in {verdict.holder}: {verdict.reason}"))
        elif isinstance(verdict, NeverFits):
            self._walk.fail(
                entry,
                TaskError(
                    f"takes {verdict.amount} of the pool {verdict.pool}, which has {verdict.limit}: give it more in "
                    "[pools] of the settings, or let the task take less."
                ),
            )

    def _submit(self, entry: Entry) -> None:
        task = entry.node.task
        self._running[task] = entry
        if entry.is_parked:
            self._parking.leave(entry)
            self._executor.resume(task)
            return
        entry.attempts += 1
        entry.active_s = 0.0
        entry.attempt = Attempt(
            run_id=self._run_id,
            forced=entry.node.forced,
            module=type(task).__module__,
            number=entry.attempts,
            log=self._log_path(task, entry.attempts),
            lease=self._lease_of(entry),
            met=[node.task for node in entry.node.requires],
        )
        if entry.failure is not None:
            entry.attempt.notes.append(f"attempt {entry.attempts}")
        entry.started_at = entry.started_at or self._now()
        self._ledger.tell("task_started", task, entry.attempt)
        self._executor.submit(task, entry.attempt)

    def _lease_of(self, entry: Entry) -> LeaseOfAttempt | None:
        if entry.granted is None or isinstance(self._leases, ProcessLeases):
            return None
        key = entry.wanted.key
        return LeaseOfAttempt(key, self._leases.owner, entry.granted.fence, partial(self._leases.register, key))

    def _handle(self, outcome: Outcome) -> None:
        entry = self._running.pop(outcome.task)
        entry.active_s += outcome.active_s
        if outcome.interrupted:
            self._interrupted = self._code_of_interrupt()
        if outcome.needs is not None:
            self._set_aside(entry, outcome.needs)
        elif outcome.failure is None:
            entry.node.complete = True
            self._admission.took(entry.active_s)
            self._walk.end(entry, Status.OK)
        elif outcome.is_unbegun:
            self._walk.given_up = self._walk.given_up or outcome.failure
            entry.attempt = None  # so that _end_early says so
        elif not self._tries_again(entry, outcome.failure):
            self._walk.end_badly(entry, outcome.failure)
        self._walk.settle()

    def _tries_again(self, entry: Entry, failure: Failure) -> bool:
        task = entry.node.task
        try:
            conduct = told(task)
            if not failure.can_retry or entry.attempts > conduct.retries or self._is_stopping:
                return False
            delay_s = delay_before(entry.attempts, conduct.retry_delay_s)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's property; the failure itself is told
            _logger.warning("%s is not tried again: %s", task.task_label, lines_of(error)[0])
            return False
        entry.failure = failure
        self._ledger.tell("task_retried", task, failure, entry.attempt, delay_s)
        entry.rank = Rank.RESUMED
        self._admission.put_off(entry, conduct.priority, delay_s)
        return True

    def _cancel_lost(self) -> None:
        """What another process has taken over, or could not be kept, is ended here: the marker decides who loads.

        Once in a while, as is a wish to end while nothing runs.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S / 2
        if not self._running:  # it waits for others: nothing is begun that would ask
            self._interrupted = self._interrupted or self._stop()
        lost = self._admission.lost()
        for entry in [one for one in self._walk.entries.values() if one.wanted.key in lost] if lost else ():
            entry.granted = None
            if entry.node.task in self._running:
                why = Failure(lost[entry.wanted.key], exit_code=ExitCode.HELD)
                self._executor.cancel(entry.node.task, why)
            elif entry.status is None:
                # it was set aside, claimed ahead, or waits for a further attempt: it begins anew under a new lease
                self._parking.drop(entry)
                if not entry.waiting and entry.failure is None:
                    self._walk.push(entry)
                    self._walk.settle()

    def _set_aside(self, entry: Entry, needs: tuple[Task, ...]) -> None:
        """The attempt waits for tasks: those it requires (usually all done) or yielded (perhaps new to the graph)."""
        self._parking.park(entry)
        try:
            nodes = self._graph.add(needs)
            way = path_to([node for node in nodes if not node.complete], entry.node)
            if way is not None:
                raise CycleError(cycle_sentence([entry.node, *way]))
        except CycleError as error:
            self._parking.drop(entry)
            self._walk.fail(entry, error)
            return
        self._walk.enter(nodes, Rank.YIELDED)
        self._walk.settle()
        for node in nodes:
            needed = self._walk.entries[node]
            if needed.status is None:
                self._walk.put_forward(needed)
                entry.waiting += 1
                entry.node.requires.append(node)
                node.dependents.append(entry.node)
            elif needed.status not in ENDED_WELL:
                self._walk.give_up(entry, needed)
                return
        if not entry.waiting:
            self._submit(entry)  # it goes on at once: it is running, and `stop` is about what is not
        elif self._parking.is_full:
            self._parking.drop(entry)
            self._walk.fail(entry, TaskError(parking.TOO_MANY))
        else:
            self._admission.set_aside(entry)
