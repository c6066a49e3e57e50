"""The walk over the graph: which tasks a run has, from when each may run, how it ended and what follows for others.

    Walk.enter(nodes)    nodes become entries: up to date, blocked, broken, waiting or ready
        .push(entry)     what is ready goes to the admission, unless `hold` is against it
        .end(entry, …)   its result, its lease back
        .settle()        ended well: dependents wait for one less; at none they are ready
                         ended badly: dependents are skipped, siblings not

It begins nothing and waits for nothing: that is the runner's. O(edges) in all: a counter per waiting entry, no rescans.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from etlctl.core.conduct import told
from etlctl.core.graph import Node
from etlctl.core.leases import EndState, Wanted
from etlctl.core.plan import missing_line
from etlctl.core.results import Status
from etlctl.core.task import Task
from etlctl.engine.admission import Admission
from etlctl.engine.attempt import told_failure
from etlctl.engine.entries import Entry, Rank
from etlctl.engine.executors.base import Executor
from etlctl.engine.failures import Failure
from etlctl.engine.ledger import Ledger
from etlctl.engine.parking import Parking
from etlctl.errors import ExitCode

ENDED_WELL = (Status.OK, Status.UPTODATE)
_END_STATES = {Status.OK: EndState.DONE, Status.UPTODATE: EndState.DONE, Status.FAIL: EndState.FAILED}


class Walk:
    """The entries of one run. What is ready goes to `admission`, what has ended to `ledger`."""

    def __init__(
        self,
        admission: Admission,
        ledger: Ledger,
        executor: Executor,
        *,
        project: Path,
        fail_fast: bool,
        hold: Callable[[Task], str] | None,
    ) -> None:
        self._admission = admission
        self._ledger = ledger
        self._project = project
        self._fail_fast = fail_fast
        self._hold = hold
        self.entries: dict[Node, Entry] = {}
        self.parking = Parking(executor, self.push)
        self.given_up: Failure | None = None
        """Why nothing more is begun, besides an interrupt; with what that means for tasks that were not."""

    def enter(self, roots: Iterable[Node], rank: Rank) -> list[Task]:
        """Makes entries of what the roots reach and is not entered yet, requirements first; those not up to date."""
        fresh: list[Node] = []
        stack = [node for node in roots if node not in self.entries]
        while stack:
            node = stack.pop()
            if node not in self.entries:
                self.entries[node] = Entry(node, rank)
                fresh.append(node)
                stack.extend(one for one in node.requires if one not in self.entries)
        fresh.sort(key=attrgetter("order"))
        to_run = [node.task for node in fresh if not node.complete or node.error is not None]
        self._ledger.total += len(to_run)
        for node in fresh:
            self._place(self.entries[node])
        if rank is Rank.YIELDED:
            for node in fresh:
                for requirement in node.requires:
                    self.put_forward(self.entries[requirement])
        return to_run

    def _place(self, entry: Entry) -> None:
        node = entry.node
        if node.error is not None:  # also of a complete one: only a deep build asks that for its requires()
            self.fail(entry, node.error)
        elif node.complete:
            self._ledger.found_complete(entry)
        elif node.task.is_external:
            self.end(entry, Status.BLOCKED, missing_line(node), exit_code=ExitCode.BLOCKED)
        else:
            # a requirement may have ended long ago: one that a run() yielded now can require what failed before
            requirements = [self.entries[one] for one in node.requires]
            ended_badly = [one for one in requirements if one.status is not None and one.status not in ENDED_WELL]
            if ended_badly:
                self.give_up(entry, min(ended_badly, key=lambda one: one.status is Status.BLOCKED))
                return
            entry.waiting = sum(one.status is None for one in requirements)
            if not entry.waiting:
                self.push(entry)

    def push(self, entry: Entry) -> None:
        """It may run from now on, as far as the graph goes."""
        task = entry.node.task
        try:
            conduct = told(task)
            if entry.granted is None:
                entry.wanted = Wanted(task.update_key, task.task_id, conduct.resources)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's property: it fails its own task
            self.parking.drop(entry)
            self.fail(entry, error)
            return
        if not self.is_kept_back(entry):
            self._admission.push(entry, conduct.priority)

    def is_kept_back(self, entry: Entry) -> bool:
        """Whether `hold` is against it: asked when all it requires is there, and once more when it is to begin."""
        if self._hold is None or entry.attempts:
            return False
        why = self._hold(entry.node.task)
        if why:
            entry.is_kept_back = True
            self.end(entry, Status.HELD, why, exit_code=ExitCode.HELD)
        return bool(why)

    def put_forward(self, entry: Entry) -> None:
        """Somebody waits for `entry`: it and what it still needs go before what nobody waits for yet."""
        stack = [entry]
        while stack:
            one = stack.pop()
            if one.status is None and one.rank is Rank.PLANNED:
                one.rank = Rank.YIELDED
                if not one.waiting and one.attempt is None:
                    self.push(one)  # a second time, with its new rank
                stack.extend(self.entries[requirement] for requirement in one.node.requires)

    def _resume(self, entry: Entry) -> None:
        entry.rank = Rank.RESUMED
        self.push(entry)

    def fail(self, entry: Entry, error: BaseException) -> None:
        """It failed here, in no attempt: before it ran, or while it waited."""
        self.end_badly(entry, told_failure(entry.node.task, error, self._project))

    def end_badly(self, entry: Entry, failure: Failure) -> None:
        """With what the failure says; what another process has is held, not failed."""
        self.end(
            entry,
            Status.HELD if failure.exit_code is ExitCode.HELD else Status.FAIL,
            failure.reason,
            error=failure.error,
            where=failure.where,
            details=failure.details,
            exit_code=failure.exit_code,
        )

    def give_up(self, entry: Entry, cause: Entry) -> None:
        """`cause` did not end well, so `entry` will not run (again)."""
        self.parking.drop(entry)
        entry.cause = cause.cause
        root = entry.cause.node.task.task_label
        if cause.status is Status.BLOCKED:
            self.end(entry, Status.BLOCKED, f"blocked by {root}", exit_code=ExitCode.BLOCKED)
        elif cause.status is Status.HELD:
            why = f": {entry.cause.reason}" if entry.cause.is_kept_back else ", which another process has"
            self.end(entry, Status.HELD, f"waits for {root}{why}", exit_code=ExitCode.HELD)
        else:
            self.end(entry, Status.SKIP, f"{root} failed")

    def end(self, entry: Entry, status: Status, reason: str = "", notes: Sequence[str] = (), **more: Any) -> None:
        """Gives the entry its result, and its lease back; `_settle` carries it to its dependents."""
        self._admission.ended(entry, _END_STATES.get(status, EndState.RELEASED), reason)
        if status is Status.FAIL and self._fail_fast:
            self.given_up = self.given_up or Failure(f"{entry.node.task.task_label} failed", exit_code=ExitCode.DONE)
        self._ledger.end(entry, status, reason, notes, **more)

    def settle(self) -> None:
        """Carries each end on to those that wait for it: a loop, since a chain of skips may be long."""
        for entry in self._ledger.settled():
            for node in entry.node.dependents:
                dependent = self.entries.get(node)
                if dependent is None or dependent.status is not None:
                    continue
                if entry.status not in ENDED_WELL:
                    self.give_up(dependent, entry)
                    continue
                dependent.waiting -= 1
                if not dependent.waiting:
                    self._resume(dependent) if dependent.is_parked else self.push(dependent)

    def end_early(self, running: Collection[Task], now: datetime, *, is_interrupted: bool) -> None:
        """Accounts for what was not reached: an interrupt leaves some, and so does --fail-fast."""
        why, code = "the run was interrupted", ExitCode.DONE
        if self.given_up is not None and not is_interrupted:
            why, code = self.given_up.reason, self.given_up.exit_code
        for entry in self.entries.values():
            if entry.status is None:
                is_begun = entry.node.task in running or entry.is_parked
                if entry.failure is not None and not is_begun:
                    self.end_badly(entry, entry.failure)  # a further attempt was waited for
                    continue
                self.parking.drop(entry)
                begun = "stopped" if entry.attempt is not None else "not started"
                if entry.node.task in running and entry.started_at is not None:
                    entry.active_s = (now - entry.started_at).total_seconds()
                self.end(entry, Status.SKIP, f"{begun}: {why}", exit_code=code)
        for _ in self._ledger.settled():
            pass  # nothing waits for them any more
