"""History: an observer that writes a run down, from a thread of its own; a run neither waits for it nor fails by it.

    run_started …        each call appends to a queue and returns
      thread:            what was told until now -> Ledger -> one transaction; again after a moment
                         besides: the heartbeat of the run, the ends of logs that grow, once: runs that were killed
    close()              waits for the last transaction, and says in one sentence when something is missing

A database that goes away is asked again; what was told meanwhile is kept, up to a bound.
"""

from __future__ import annotations

import contextvars
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from etlctl import __version__
from etlctl.core.context import Attempt
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.core.task import Task
from etlctl.db.state import schema
from etlctl.db.state.aftermath import close_killed, close_left, end_left, mark_found
from etlctl.db.state.ledger import Begun, Ended, Failed, Ledger, Moment, Retried, Row
from etlctl.db.state.logs import LogStore, tail_of
from etlctl.db.state.provenance import Process, code_version, this_one, user_name
from etlctl.db.state.queries import SILENT_S
from etlctl.db.state.records import RunStatus, clean
from etlctl.db.state.store import RemovedError, Session, Store
from etlctl.errors import EtlctlError

_GATHER_S: Final = 0.02
"""Between two transactions: a kill takes no more along than this."""
_GATHER_MANY_S: Final = 0.25
"""The same for a run of quick tasks, where each transaction costs a part of their time."""
_MANY: Final = 40
"""Moments in a transaction that make it such a run."""
_LOG_S: Final = 2.0
"""How often the ends of logs that grow are written."""
_ASLEEP_S: Final = 1.0
_BEAT_ANYWAY_S: Final = 1.0
"""A sign of life so long after the last one, where there is a transaction for something else."""
_AGAIN_S: Final = 1.0
"""After a transaction that failed."""
_AT_ONCE: Final = 500
"""Tasks that have not begun, of one transaction."""
_MOST_AT_ONCE: Final = 5_000
"""Moments of one transaction."""
_logger = logging.getLogger("etlctl")


@dataclass(frozen=True)
class About:
    """What is known of a run before it begins."""

    run_id: str
    command: str
    """As a person would type it, without private values."""
    project: Path
    profile: str | None = None
    beat_s: float = 15.0
    """How often the run says that it lives."""
    silent_s: float = SILENT_S
    """A run of another host that has not said so for this long is told as killed."""
    most: int = 100_000
    """Moments that wait to be written; beyond that the run is not written down any further."""
    process: Process | None = None
    """Whose run it is; None for this process."""


class History:
    """Writes one run down; an Observer. Private parameters never get here (see ledger.py)."""

    def __init__(
        self,
        store: Store,
        about: About,
        *,
        logs: LogStore | None = None,
        warn: Callable[[str], None] = _logger.warning,
    ) -> None:
        self._store = store
        self._about = about
        self._logs = logs
        self._warn = warn
        self._process = about.process or this_one()
        self._host = clean(os.uname().nodename, 128)
        self._ledger = Ledger(about.run_id, self._host, self._process.pid)
        self._told: deque[Moment] = deque()
        self._planned: deque[Task] = deque()
        self._plan_count = 0
        self._moments = 0
        """Of the last transaction."""
        self._planned_s = 0.0
        self._summary: RunSummary | None = None
        self._wake = Event()
        self._closing = Event()
        self._thread: Thread | None = None
        self._is_begun = False
        """Whether the row of the run is committed."""
        self._is_over = False
        """Whether its end is."""
        self._is_given_up = False
        self._failure = ""
        self._offset_s: float | None = None
        self._beaten_s = self._looked_s = self._process.began_s
        self._sizes: dict[Row, int] = {}
        """Of logs whose end is in the database."""
        self._tails: dict[Row, int] = {}
        self._over: list[Row] = []

    # -- what the runner tells; on its thread, so as little as can be

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """The run begins."""
        self.plan(to_run, time.monotonic())
        self.begin(len(to_run))

    def plan(self, tasks: Iterable[Task], at_s: float) -> None:
        """These are to run; `at_s` is when that was known, by the monotonic clock."""
        self._planned_s = at_s
        self._planned.extend(tasks)

    def begin(self, planned: int) -> None:
        """The run begins, with so many tasks to run; what is told is written from here on."""
        self._plan_count = planned
        here = contextvars.copy_context()
        self._thread = Thread(target=here.run, args=(self._write_all,), name="etlctl-history", daemon=True)
        self._thread.start()

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """An attempt begins."""
        self.tell(Begun(task, time.monotonic(), attempt))

    def task_retried(self, task: Task, failure: Failed, attempt: Attempt, delay_s: float) -> None:
        """An attempt has failed, and another one follows."""
        error = "\n".join((failure.reason, *failure.details))
        self.tell(Retried(task, time.monotonic(), attempt, error, failure.where))

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """A task has its result."""
        self.tell(Ended(result.task, time.monotonic(), result))

    def run_finished(self, summary: RunSummary) -> None:
        """The run is over; `close()` waits until that is written."""
        self._summary = summary
        self._wake.set()

    def tell(self, moment: Moment) -> None:
        """Something has happened to a task."""
        if len(self._told) < self._about.most:
            self._told.append(moment)
        else:
            self._give_up("the state database takes it in too slowly")
        if not self._wake.is_set():
            self._wake.set()

    @property
    def missing(self) -> str:
        """After `close()`: why not all of it is written; empty where it is."""
        return "" if self._is_over else self._failure

    def close(self, patience_s: float = 10) -> None:
        """Ends the writing: waits for at most `patience_s`, then warns of what is missing. Can be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.set()
            self._wake.set()
            thread.join(patience_s)
            if not self._is_over:
                self._failure = self._failure or f"it took longer than {patience_s:.0f} s"
                self._warn(
                    f"the history of run {self._about.run_id} is not complete: {_sentence(self._failure)} "
                    "The work itself is not touched by that."
                )
        if self._logs is not None:
            self._logs.close()
            if self._logs.failure:
                self._warn(
                    f"logs of run {self._about.run_id} stay in {self._logs.folder}: {_sentence(self._logs.failure)}"
                )

    # -- the thread

    def _write_all(self) -> None:
        while not self._is_over and not self._is_given_up:
            is_last = self._closing.is_set()
            self._wake.clear()
            failed = not self._write_once()
            if failed and is_last:
                return
            if failed:
                self._closing.wait(_AGAIN_S)
            elif not self._planned and not self._told and (self._summary is None or self._is_over):
                if is_last:
                    return
                self._wake.wait(min(self._about.beat_s, _LOG_S if self._ledger.running else self._about.beat_s))
            self._closing.wait(_GATHER_MANY_S if self._moments > _MANY else _GATHER_S)

    def _write_once(self) -> bool:
        """One transaction of what there is to write; False when the database did not take it."""
        summary = self._summary  # before what it ends is taken from the queue
        self._moments = 0
        for moment in self._taken():
            self._ledger.note(moment)
            self._moments += 1
        is_whole = not self._planned and not self._told
        is_end = is_whole and (summary is not None or self._closing.is_set())
        if not is_end and not self._is_due():
            return True
        try:
            self._transact(summary, is_end=is_end)
        except EtlctlError as error:
            self._failure = str(error)
            if isinstance(error, RemovedError) or self._ledger.waiting > self._about.most:
                self._give_up(str(error))
            return False
        except Exception as error:
            _logger.debug("the history of run %s could not be written", self._about.run_id, exc_info=error)
            self._give_up(f"{type(error).__name__}: {error}")
            return False
        self._settle(is_end=is_end)
        return True

    def _taken(self) -> Iterator[Moment]:
        """What was told; where that is nothing, tasks that have not begun: a run of quick ones gets there first, and
        each is written once."""
        if self._summary is not None:
            self._planned.clear()  # the end of each is told
        elif not self._told:
            for _ in range(min(len(self._planned), _AT_ONCE)):
                self._note_planned(self._planned.popleft())
        for _ in range(min(len(self._told), _MOST_AT_ONCE)):
            yield self._told.popleft()

    def _note_planned(self, task: Task) -> None:
        self._ledger.plan(task, self._planned_s)

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        return (
            not self._is_begun
            or self._ledger.waiting > 0
            or now_s >= self._beaten_s + self._about.beat_s
            or (bool(self._ledger.running) and now_s >= self._looked_s + _LOG_S)
        )

    def _transact(self, summary: RunSummary | None, *, is_end: bool) -> None:
        if not self._is_begun:
            schema.ensure(self._store)
        with self._store.transaction() as session:
            now = session.now()
            offset_s = self._offset_s = self._clock(now - time.monotonic())
            if self._failure:
                self._ledger.reread(session)
            if not self._is_begun:
                self._begin(session, now, offset_s)
                close_killed(session, self._about.run_id, now - self._about.silent_s)
            written = self._written()
            self._ledger.log_of = lambda path: self._logs.address_of(path) if self._logs and path in written else ""
            self._ledger.write(session, offset_s)
            self._write_tails(session, now, written)
            if is_end:
                self._end(session, now, summary)
            else:
                self._beat(session, now)

    def _written(self) -> set[str]:
        return set() if self._logs is None else self._logs.written(self._about.run_id)

    def _clock(self, offset_s: float) -> float:
        """What takes our clock to the database's: the same for all moments, or they would change places; another one
        when this machine has slept, or the other clock was set."""
        known = self._offset_s
        return offset_s if known is None or abs(offset_s - known) > _ASLEEP_S else known

    def _settle(self, *, is_end: bool) -> None:
        """It is committed."""
        over, self._over = self._over, []
        self._sizes.update(self._tails)
        self._tails = {}
        self._ledger.settle()
        self._failure = ""
        self._is_begun = True
        self._is_over = is_end
        for row in over:
            has_log = self._sizes.pop(row, None) is not None
            if has_log and self._logs is not None and row.attempt is not None:
                self._logs.kept(row.attempt.log)

    def _give_up(self, why: str) -> None:
        """The run goes on and is not written down any further; `close()` says so."""
        self._is_given_up = True
        self._failure = self._failure or why
        self._told.clear()
        self._planned.clear()
        self._wake.set()

    # -- rows of the run

    def _begin(self, session: Session, now: float, offset_s: float) -> None:
        session.run("DELETE FROM etlctl_runs WHERE run_id = :run_id", {"run_id": self._about.run_id})
        session.run(
            "INSERT INTO etlctl_runs (run_id, command, profile, host, user_name, pid, owner, code_version, "
            "etlctl_version, status, started_at, heartbeat_at, planned) VALUES (:run_id, :command, :profile, :host, "
            ":user_name, :pid, :owner, :code_version, :etlctl_version, :status, :started_at, :heartbeat_at, :planned)",
            {
                "run_id": self._about.run_id,
                "command": clean(self._about.command, 4_000),
                "profile": self._about.profile,
                "host": self._host,
                "user_name": clean(user_name(), 128),
                "pid": self._process.pid,
                "owner": self._process.owner,
                "code_version": code_version(self._about.project),
                "etlctl_version": __version__,
                "status": RunStatus.RUNNING,
                "started_at": self._process.began_s + offset_s,
                "heartbeat_at": now,
                "planned": self._plan_count,
            },
        )

    def _beat(self, session: Session, now: float) -> None:
        """It lives; also where somebody has told it as killed meanwhile, since it was stopped for long."""
        now_s = time.monotonic()
        if now_s < self._beaten_s + min(self._about.beat_s, _BEAT_ANYWAY_S):
            return
        self._beaten_s = now_s
        session.run(
            "UPDATE etlctl_runs SET heartbeat_at = :now, status = :running, ended_at = NULL "
            "WHERE run_id = :run_id AND status IN :alive",
            {
                "now": now,
                "running": RunStatus.RUNNING,
                "run_id": self._about.run_id,
                "alive": [RunStatus.RUNNING, RunStatus.KILLED],
            },
        )

    def _end(self, session: Session, now: float, summary: RunSummary | None) -> None:
        if summary is None and self._about.process is not None:  # the process whose run it is has ended, or is about to
            close_left(session, self._about.run_id, now - self._about.silent_s)
            return
        if summary is None:  # it was left by an error of the program's own
            session.run(
                "UPDATE etlctl_runs SET status = :status, ended_at = :now, heartbeat_at = :now WHERE run_id = :run_id",
                {"status": RunStatus.INTERRUPTED, "now": now, "run_id": self._about.run_id},
            )
            return
        code = int(summary.exit_code)
        status = RunStatus.INTERRUPTED if summary.interrupted else RunStatus.FAILED if code else RunStatus.DONE
        counts = {f"{one.value.lower()}_count": summary.counts[one] for one in Status}
        changed = ", ".join(f"{name} = :{name}" for name in counts)
        session.run(
            "UPDATE etlctl_runs SET status = :status, exit_code = :exit_code, ended_at = :now, heartbeat_at = :now, "
            f"{changed} WHERE run_id = :run_id",
            {"status": status, "exit_code": code, "now": now, "run_id": self._about.run_id, **counts},
        )
        complete = summary.found_complete
        if complete:
            mark_found(session, self._about.run_id, complete, now)
            end_left(session, self._about.run_id, complete)

    # -- ends of logs

    def _write_tails(self, session: Session, now: float, written: Container[str]) -> None:
        self._looked_s = time.monotonic()
        ended = [row for row in self._ledger.changed if row.ended_s is not None]
        rows = []
        for row in (*ended, *self._ledger.running):
            path = row.attempt.log if row.attempt is not None else ""
            told = tail_of(path) if path in written else None
            if told is not None and self._sizes.get(row) != told[0]:
                rows.append((row, *told))
        self._over = ended
        if not rows:
            return
        self._tails = {row: size for row, size, _ in rows}
        keys = [{"record": row.entry.id, "number": row.number} for row, _, _ in rows]
        session.run_many("DELETE FROM etlctl_logs WHERE task_record = :record AND number = :number", keys)
        session.run_many(
            "INSERT INTO etlctl_logs (task_record, number, size_bytes, tail, updated_at) "
            "VALUES (:record, :number, :size, :tail, :now)",
            [
                {"record": row.entry.id, "number": row.number, "size": size, "tail": tail, "now": now}
                for row, size, tail in rows
            ],
        )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
