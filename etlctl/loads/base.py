"""What every load is: a marker that says it is done, written in the transaction of its rows. Knows no rows, no table.

    MarkedLoad.run()
      output().exists()           done already: nothing to do
      open_session()              a connection of its own, or the open transaction's
      session.ensure_markers()    short transaction
      prepare(session)            short transactions, staging: the database is not locked
      session.load()              BEGIN, marker 'loading'
        load(load)                the rows
      marker 'done', COMMIT
      after_commit()

Imports SQLAlchemy inside functions only: pipelines that are merely listed must not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from etlctl.core import context
from etlctl.core.task import Task
from etlctl.db.table_target import TableTarget
from etlctl.errors import AlreadyLoaded, TornLoadError, UnknownCommitError
from etlctl.loads.connected import OnDatabase
from etlctl.text import shortened, snake_case

if TYPE_CHECKING:
    from etlctl.db.sessions import OpenLoad, Session


class _ClassName:
    """The default of `table`: the class name in snake case (`CarrierDelays`: carrier_delays)."""

    def __get__(self, instance: object, owner: type) -> str:
        return snake_case(owner.__name__)


class _Claim(NamedTuple):
    table: Any
    update_id: Any
    connection: Any

    def __str__(self) -> str:
        return f"{self.table}/{self.update_id} on {self.connection or 'the default connection'}"


class MarkedLoad(OnDatabase, Task):
    """A task whose result is in a database, and whose marker is committed together with it.

    A subclass implements `load()`, and `prepare()` where something must happen before the transaction.
    """

    table: Any = _ClassName()
    """The target's name, and the marker's target_table; the class name in snake case unless given."""

    @property
    def update_id(self) -> Any:
        """What the marker is known by, besides the table: the task_id. Override it for another notion of "the same"."""
        return self.task_id

    def output(self) -> Any:
        """The marker."""
        given = self._given_id
        key = self.update_key if given == self.task_id else None
        return TableTarget(self.table, given, self.connection, update_key=key)

    def claim(self) -> Any:
        """The marker, which two tasks must not share."""
        return _Claim(self.table, self._given_id, self.connection)

    @property
    def _given_id(self) -> Any:
        given = self.update_id
        return given() if callable(given) else given  # Luigi's sqla has a method

    def run(self) -> Any:
        """Loads once: returns without doing anything when the marker is there, here or by the time the lock is had."""
        from etlctl.db.sessions import open_session

        target = cast(TableTarget, self.output())
        attempt = context.attempt()
        if not attempt.forced and target.exists():
            return
        try:
            with open_session(self.database, self.doing) as session:
                session.ensure_markers()
                prepared = self.prepare(session)
                with session.load(target.key, forced=attempt.forced, refusal=self.force_refusal()) as load:
                    load.prepared = prepared
                    self.load(load)
                if load.rows is not None:
                    attempt.rows = load.rows
        except AlreadyLoaded as loaded:
            attempt.rows = None  # those counted so far were staged for nothing
            attempt.notes.append(str(loaded))
        except (TornLoadError, UnknownCommitError):
            raise
        except Exception as error:
            error.add_note(f"{self.doing}: nothing was loaded, the table is as it was")
            raise
        else:
            self.after_commit()

    def after_commit(self) -> None:
        """Called once the rows and the marker are there: by now nothing may fail, only be noted.

        In a load that has joined an open transaction they are there for that transaction alone.
        """

    @property
    def doing(self) -> str:
        """`flights on warehouse`: where it happens, the beginning of the sentences about it."""
        return f"{shortened(str(self.table))} on {self.database.name}"

    def prepare(self, session: Session) -> Any:
        """Called before the transaction, with no lock held; what it returns is `load.prepared`."""

    def load(self, load: OpenLoad) -> None:
        """Does the work on `load.connection`, inside the transaction, and sets `load.rows` where rows are counted."""
        raise NotImplementedError(f"{type(self).__name__} has no load()")

    def force_refusal(self) -> str | None:
        """Why --force must not repeat this load, as a sentence; None when running it again replaces what it wrote."""
        return None
