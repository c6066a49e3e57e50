"""Several loads in one transaction: the `transaction()` block, and Sequence, which is one as a task."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.core.task import Task, outputs_of, requirements_of, tasks_in
from etlctl.db.table_target import TableTarget
from etlctl.errors import AlreadyLoaded, LoadError, MissingOutputError
from etlctl.loads.base import MarkedLoad

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.sessions import OpenLoad, Session


@contextmanager
def transaction(connection: str | None = None) -> Iterator[sa.Connection]:
    """One transaction around everything that is loaded inside: all of it is committed at the end, or none.

    `with transaction("warehouse"): Load(a).run(); Load(b).run()`. `connection` is a name of the settings or a URL, None
    the default connection. Each load inside is a savepoint: one whose error is caught leaves the others as they are; on
    Redshift, which has none, all of it is refused then. Its markers, and whatever runs on the SQLAlchemy Connection
    handed out, belong to the transaction; committing it is refused with CommitInsideError. Inside an open one it joins
    that.
    """
    from etlctl.db.sessions import open_session

    database = context.current().database(connection)
    with open_session(database, f"transaction() on {database.name}") as session:
        session.ensure_markers()
        with session.transaction() as opened:
            yield opened


class Sequence(MarkedLoad):
    """Steps that run in order in one transaction, all or nothing.

    `steps()` returns loads, or hand-written tasks whose outputs are TableTargets of the same database. Each step's own
    marker is written besides the Sequence's, so a step that is needed elsewhere does not load again; one whose marker
    is there already is passed over. What the steps require from outside, the Sequence requires.
    """

    def steps(self) -> Iterable[Task]:
        """The tasks to run, in order."""
        raise NotImplementedError(f"{type(self).__name__} has no steps()")

    def requires(self) -> Any:
        """What the steps require, the steps themselves left out."""
        steps = self._steps()
        outside: dict[Task, None] = {}
        for step in steps:
            outside.update((required, None) for required in requirements_of(step) if required not in steps)
        return list(outside)

    def prepare(self, session: Session) -> Any:
        """Refuses, before anything is written, steps that cannot be part of the transaction."""
        steps = self._steps()
        for index, step in enumerate(steps):
            self._check_step(step)
            later = [required for required in requirements_of(step) if required in steps[index:]]
            if later:
                raise LoadError(
                    f"{self.task_label}: the step {step.task_label} requires {later[0].task_label}, which comes "
                    "after it."
                )
        return steps

    def load(self, load: OpenLoad) -> None:
        """Every step in order, on the one connection."""
        total = 0
        for step in load.prepared:
            total += self._run_step(step)
            context.attempt().rows = total
        load.rows = total

    def _steps(self) -> list[Task]:
        return tasks_in(self.steps(), self, "steps() returned")

    def _check_step(self, step: Task) -> None:
        targets = outputs_of(step)
        if not targets:
            raise LoadError(
                f"{self.task_label}: the step {step.task_label} has no marker, so nothing would tell that it is "
                "done. Give it an output() that is a TableTarget."
            )
        for target in targets:
            if not isinstance(target, TableTarget):
                raise LoadError(
                    f"{self.task_label}: the step {step.task_label} makes {target}, which no transaction can take "
                    "back. Make it in a task that requires this one."
                )
            if target.database is not self.database:
                raise LoadError(
                    f"{self.task_label}: the step {step.task_label} loads into {target.database.name}, and the "
                    f"Sequence into {self.database.name}; one transaction has one database. Set connection alike."
                )

    def _run_step(self, step: Task) -> int:
        """Rows of one step; 0 for one that was done before."""
        around = context.attempt()
        attempt = Attempt(run_id=around.run_id, forced=around.forced, module=type(step).__module__)
        with context.attempting(attempt):
            if not attempt.forced and step.complete():
                return 0
            try:
                running = step.run()
            except AlreadyLoaded:
                return 0
            if inspect.isgenerator(running):
                running.close()
                raise LoadError(
                    f"{self.task_label}: the step {step.task_label} yields tasks in run(), which would run inside the "
                    "open transaction. Name them in its requires()."
                )
            if not step.complete():
                missing = ", ".join(str(target) for target in outputs_of(step) if not target.exists())
                raise MissingOutputError(f"the step {step.task_label} ran, but its output {missing} is missing")
        around.notes.extend(attempt.notes)
        return attempt.rows or 0
