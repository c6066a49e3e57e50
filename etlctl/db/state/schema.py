"""The version of the state's tables: made at the first use, brought up to date later, refused when they are too new.

ensure(store)
├── read the version row             right: that is all
└── under a lock of all processes    tables, columns and indexes that are missing are added; the version row last

A newer release only ever adds, so that the one before it works on beside it during a rolling upgrade; the version row
tells the oldest release that may. Each step does nothing where it was done, since MySQL commits every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from etlctl.db.state import catalog, tables
from etlctl.db.state.catalog import Found
from etlctl.db.state.store import Session, Store
from etlctl.db.state.tables import Table
from etlctl.db.state.words import Words
from etlctl.errors import TaskError, UnavailableError, UsageError

_LOCK = "etlctl:state"


class Schema(NamedTuple):
    """What one release of etlctl keeps its state in."""

    version: int
    made_by: str
    """The first etlctl that has this version."""
    usable_from: int
    """The oldest version whose releases can work with these tables."""
    usable_by: str
    """The first etlctl of those."""
    tables: tuple[Table, ...]


CURRENT = Schema(version=3, made_by="0.1.0", usable_from=1, usable_by="0.1.0", tables=tables.ALL)
_VERSIONS = Table(
    "etlctl_schema",
    {
        "id": tables.INTEGER,
        "version": tables.INTEGER,
        "made_by": 32,
        "usable_from": tables.INTEGER,
        "usable_by": 32,
        "used_at": tables.DOUBLE,
    },
    key=("id",),
    required=frozenset({"version", "usable_from"}),
)
_READ = "SELECT version, made_by, usable_from, usable_by FROM etlctl_schema WHERE id = 1"


class _Version(NamedTuple):
    version: int
    made_by: str
    usable_from: int
    usable_by: str


def ensure(store: Store, schema: Schema = CURRENT) -> None:
    """The tables are there and can be written; safe however many processes begin at once.

    UsageError where a newer release has changed them so that this one cannot go on; UnavailableError where the
    database cannot be used or written.
    """
    with _as_unavailable(store):
        found = _used(store)
        if found is not None and found.version >= schema.version:
            _check(found, store, schema)
            return
        _bring_up_to_date(store, schema)


def check(store: Store, schema: Schema = CURRENT) -> None:
    """For those who only read: UsageError as for `ensure`; writes nothing, and takes a database that has no version."""
    if not store.tables(_VERSIONS.name):
        return
    with _as_unavailable(store), store.transaction(write=False) as session:
        found = _read(session)
    if found is not None:
        _check(found, store, schema)


def version_of(store: Store) -> int | None:
    """The version of the tables there are; None where there are none, or a Luigi's alone. Writes nothing."""
    if not store.tables(_VERSIONS.name):
        return None
    with _as_unavailable(store), store.transaction(write=False) as session:
        found = _read(session)
    return None if found is None else found.version


def _used(store: Store) -> _Version | None:
    """The version, noting that it was used: what cannot be written is found out here, before anything runs."""
    if not store.tables(_VERSIONS.name):
        return None
    with store.transaction() as session:
        session.run(f"UPDATE etlctl_schema SET used_at = {store.words.now} WHERE id = 1")
        return _read(session)


def _read(session: Session) -> _Version | None:
    rows = session.run(_READ)
    return _Version(*rows[0]) if rows else None


def _check(found: _Version, store: Store, schema: Schema) -> None:
    if found.usable_from > schema.version:
        raise UsageError(
            f"The state database {store.shown_url} is of etlctl {found.made_by} (schema {found.version}), which this "
            f"etlctl {schema.made_by} (schema {schema.version}) cannot use: it takes {found.usable_by} or "
            "newer. Upgrade etlctl here, or name another state database in [state] url."
        )


@contextmanager
def _as_unavailable(store: Store) -> Iterator[None]:
    """What a database refuses here (rights, names that are taken) concerns no task: nothing can be kept in it."""
    try:
        yield
    except TaskError as error:
        raise UnavailableError(
            f"The tables of the state cannot be made or used in {store.shown_url}: {error} Mend that, or name another "
            "state database in [state] url."
        ) from error


# -- making and changing


def _bring_up_to_date(store: Store, schema: Schema) -> None:
    with store.transaction() as session:
        session.lock(_LOCK)
        found = _read(session) if catalog.found(session, _VERSIONS.name) is not None else None
        if found is not None and found.version >= schema.version:  # another process was quicker
            _check(found, store, schema)
            return
        for table in (*schema.tables, _VERSIONS):
            _complete(session, store, table)
        _write(session, store, schema)


def _complete(session: Session, store: Store, table: Table) -> None:
    """Makes the table, or adds to it what it lacks: one of an older release, or an older Luigi's."""
    words = store.words
    found = catalog.found(session, table.name)
    if found is None:
        session.run(tables.create(table, words))
        found = Found(dict.fromkeys(table.columns, ""), frozenset())
    for column in table.columns:
        if column not in found.columns:
            session.run(f"ALTER TABLE {table.name} ADD COLUMN {tables.declared(table, column, words)}")
    if table.is_luigis and found.columns.get("value", "").startswith(("varchar", "character varying")):
        _make_text(session, table, words)
    for index, column in table.indexes.items():
        if column not in found.led_by:
            session.run(f"CREATE INDEX {index} ON {table.name} ({column})")


def _make_text(session: Session, table: Table, words: Words) -> None:
    """task_parameters.value was VARCHAR(256) in Luigi before 2.8."""
    if session.kind == "postgresql":
        session.run(f"ALTER TABLE {table.name} ALTER COLUMN value TYPE TEXT")
    elif session.kind == "mysql":
        session.run(f"ALTER TABLE {table.name} MODIFY COLUMN value TEXT")
    else:  # SQLite changes no type; nothing refers to this table
        session.run(f"ALTER TABLE {table.name} RENAME TO etlctl_old_parameters")
        names = ", ".join(table.columns)
        session.run(tables.create(table, words))
        session.run(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM etlctl_old_parameters")
        session.run("DROP TABLE etlctl_old_parameters")


def _write(session: Session, store: Store, schema: Schema) -> None:
    session.run("DELETE FROM etlctl_schema WHERE id = 1")
    session.run(
        "INSERT INTO etlctl_schema (id, version, made_by, usable_from, usable_by, used_at) "
        f"VALUES (1, :version, :made_by, :usable_from, :usable_by, {store.words.now})",
        {key: getattr(schema, key) for key in ("version", "made_by", "usable_from", "usable_by")},
    )
