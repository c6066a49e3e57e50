"""The lock of the marker table, which every write transaction on Redshift begins with; and the making of that table."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg2
import sqlalchemy as sa

from etlctl.db.dialects.base import Options
from etlctl.db.dialects.postgresql.guard import Connection, driver_connection
from etlctl.db.dialects.redshift import catalog as redshift_catalog
from etlctl.db.dialects.redshift.connection import options_of
from etlctl.errors import LockTimeoutError
from etlctl.text import shortened

_TRIES = 20
"""To make the marker table, where others do so at the same moment."""
_NO_TABLE = ("42P01", "3F000")
_NO_RIGHT = "42501"
_CANCELLED = "57014"


def lock_markers(connection: sa.Connection, markers: sa.Table) -> None:
    """See `Dialect.lock_markers`; made outside the transaction where it is missing, which then begins anew."""
    raw, options = driver_connection(connection), options_of(connection)
    place = redshift_catalog.marker_place(connection, markers)
    for number in range(_TRIES):
        try:
            _lock(raw, place, options)
        except psycopg2.Error as error:
            raw.rollback()
            if error.pgcode == _CANCELLED:
                raise _held(f"the marker table {shortened(markers.name)}", options) from error
            if error.pgcode not in _NO_TABLE or number == _TRIES - 1:
                raise
        else:
            return
        _make(raw, redshift_catalog.marker_statements(connection, markers))


@contextmanager
def bounded_wait(connection: sa.Connection) -> Iterator[None]:
    """See `Dialect.bounded_wait`."""
    raw, options = driver_connection(connection), options_of(connection)
    _set(raw, f"SET statement_timeout TO {round(options.lock_timeout_s * 1000)}")
    try:
        yield
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "pgcode", None) == _CANCELLED:
            raise _held("the marker table", options) from error
        raise
    _set(raw, _back(options))


def _lock(raw: Connection, place: str, options: Options) -> None:
    """LOCK, for lock_timeout at most: Redshift has no such setting, so statement_timeout is lent to it.

    Neither SET nor LOCK takes the transaction's snapshot; they are its first statements.
    """
    _set(raw, f"SET statement_timeout TO {round(options.lock_timeout_s * 1000)}", f"LOCK TABLE {place}", _back(options))


def _set(raw: Connection, *statements: str) -> None:
    with raw.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _back(options: Options) -> str:
    if options.statement_timeout_s is None:
        return "RESET statement_timeout"
    return f"SET statement_timeout TO {round(options.statement_timeout_s * 1000)}"


def _held(what: str, options: Options) -> LockTimeoutError:
    return LockTimeoutError(
        f"another load held {what} for longer than lock_timeout ({options.lock_timeout_s:g} s). svv_transactions tells "
        "which session."
    )


def _make(raw: Connection, statements: Sequence[str]) -> None:
    """Runs them outside any transaction. Of several processes that do so at once some may meet an error of the catalog;
    whether the table is there is seen by who locks it."""
    for statement in statements:
        try:
            raw.run_alone(statement)
        except psycopg2.Error as error:
            if error.pgcode == _NO_RIGHT or not error.pgcode:
                raise
            time.sleep(random.uniform(0.01, 0.2))  # noqa: S311  no secret
