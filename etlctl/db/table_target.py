"""TableTarget: a load's marker as a target, and the open door for loads written by hand. SQLAlchemy waits inside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from etlctl.core import context
from etlctl.core.target import Target
from etlctl.errors import EtlctlError, LoadError
from etlctl.settings.urls import is_in_memory
from etlctl.text import shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.connections import Database
    from etlctl.db.markers import Marker, MarkerKey


class TableTarget(Target):
    """The row of the marker table that says: this update of this table is in the database.

    `connection` is a name of the settings or a URL, None the default connection; the database is looked up when it is
    first needed, through the settings in place. `update_key` is compared where it is given: see `Task.update_key`.
    """

    absent = "not loaded"

    def __init__(
        self, table: str, update_id: str, connection: str | None = None, *, update_key: str | None = None
    ) -> None:
        self.table = _text(table, "table")
        self.update_id = _text(update_id, "update_id")
        self.connection = connection
        self.update_key = update_key

    def __str__(self) -> str:
        where = f" on {self.connection}" if self.connection and "://" not in self.connection else ""
        return f"marker {shortened(self.update_id, 120)} of table {shortened(self.table)}{where}"

    def __repr__(self) -> str:
        return f"TableTarget({self.table!r}, {self.update_id!r})"

    @property
    def target_table(self) -> str:
        """The table's name (Luigi's word)."""
        return self.table

    @property
    def database(self) -> Database:
        """Where the table is."""
        found: Database = context.current().database(self.connection)
        return found

    @property
    def is_in_memory(self) -> bool:
        """Whether its database is `sqlite://`, which each process has its own of."""
        return is_in_memory(self.database.url)

    @property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine of the database; what commits on it is no part of the load."""
        return self.database.engine

    @property
    def key(self) -> MarkerKey:
        """What the marker is known by."""
        from etlctl.db.markers import MarkerKey

        return MarkerKey(self.update_id, self.table, self.update_key)

    def exists(self) -> bool:
        """Whether the marker is there and done. Writes nothing and makes no file.

        Raises TornLoadError for a marker that was committed as `loading`, LoadError for one of another task,
        UnavailableError for a database that cannot be asked.
        """
        answer = self.exists_many([self])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @classmethod
    def exists_many(cls, targets: Sequence[Self]) -> Sequence[bool | Exception]:
        """One session and few questions for each database, however many the targets; one that is down fails alone."""
        answers: dict[int, bool | Exception] = {}
        by_connection: dict[str | None, list[Self]] = defaultdict(list)
        for target in targets:
            by_connection[target.connection].append(target)
        groups: dict[int, tuple[Database, list[Self]]] = {}
        for group in by_connection.values():
            try:
                database = group[0].database
            except Exception as error:  # noqa: BLE001  an unknown connection is the trouble of those that name it
                answers.update((id(target), error) for target in group)
                continue
            groups.setdefault(id(database), (database, []))[1].extend(group)
        for database, group in groups.values():
            answers.update(_ask(database, group))
        return [answers[id(target)] for target in targets]

    def updated_at(self) -> datetime | None:
        """When the marker was written (aware, UTC), or None where there is none."""
        try:
            marker = _read(self.database, [self], "reading markers").get((self.update_id, self.table))
        except EtlctlError:  # a hint for people; exists() is what tells that the database cannot be asked
            return None
        return marker.inserted_at if marker is not None else None

    def touch(self) -> None:
        """Writes the marker as done, in a transaction of its own or in the open one; nothing when it is there."""
        from etlctl.db.sessions import open_session

        with open_session(self.database, self.key.doing(self.database), stages=False) as session:
            session.ensure_markers()
            session.mark(self.key)

    @contextmanager
    def transaction(self, *, replaces: bool = False) -> Iterator[sa.Connection]:
        """The Connection of a load: what runs on it commits together with the marker, or not at all.

        `with self.output().transaction() as connection: frame.to_sql("flights", con=connection, if_exists="append")`

        Raises AlreadyLoaded on the way in when the marker is there; let it pass, the task counts as done. Committing
        inside is refused with CommitInsideError. Under `--force` the marker is taken away first; that is refused
        unless `replaces=True` says that the block takes the earlier rows of this load away itself.
        """
        forced = context.attempt().forced
        refusal = None
        if not replaces:
            refusal = (
                f"{self.key.doing(self.database)}: --force would load its rows a second time, since only its own code "
                "knows which rows it wrote. Delete them in the block and open it with transaction(replaces=True)."
            )
        with self._load(forced=forced, refusal=refusal) as connection:
            yield connection

    @contextmanager
    def _load(self, *, forced: bool, refusal: str | None) -> Iterator[sa.Connection]:
        from etlctl.db.sessions import open_session

        with open_session(self.database, self.key.doing(self.database)) as session:
            session.ensure_markers()
            with session.load(self.key, forced=forced, refusal=refusal) as load:
                yield load.connection


def _ask(database: Database, targets: Sequence[TableTarget]) -> dict[int, bool | Exception]:
    committed = context.attempt().committed
    unknown = [target for target in targets if (database, target.key) not in committed] if committed else targets
    known = {id(target) for target in targets} - {id(target) for target in unknown}
    try:
        found = _read(database, unknown, "reading markers") if unknown else {}
    except Exception as error:  # noqa: BLE001  a database that is down is the answer for its own targets
        return {id(target): error for target in unknown} | dict.fromkeys(known, True)
    return {id(target): _answer(database, target, found) for target in unknown} | dict.fromkeys(known, True)


def _answer(database: Database, target: TableTarget, found: dict[tuple[str, str], Marker]) -> bool | Exception:
    marker = found.get((target.update_id, target.table))
    if marker is None:
        return False
    if marker.answers_for(target.update_key):
        return True
    from etlctl.db import ambient

    session = ambient.session_of(database)
    if session is not None and session.is_loading((target.update_id, target.table)) and marker.state == "loading":
        return False  # our own, on its way
    return marker.problem(target.key, database) or True


def _read(database: Database, targets: Sequence[TableTarget], doing: str) -> dict[tuple[str, str], Marker]:
    from etlctl.db import ambient, markers

    if ambient.session_of(database) is None and database.is_absent:
        return {}
    place = f"{doing} in {database.marker_table} on {database.name}"
    with database.reading(place, is_ours=True) as connection:
        return markers.read(connection, database, {target.update_id for target in targets})


def _text(value: Any, what: str) -> str:
    """`value`, which both columns of the key can hold: text, not empty, valid Unicode, no NUL."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise LoadError(f"A TableTarget's {what} is a text that is not empty and holds no NUL; it got {value!r}.")
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError as error:
        raise LoadError(f"A TableTarget's {what} is no valid Unicode text: {value!r}.") from error
    return value
