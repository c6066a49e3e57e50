"""What SQLite's errors mean, as sentences with the exit code they deserve. Knows result codes, runs nothing.

Source of the codes: https://www.sqlite.org/rescode.html; Python gives them as `sqlite_errorcode` since 3.11.
"""

from __future__ import annotations

import sqlite3
import sys

from etlctl.errors import BadDataError, CommitInsideError, EtlctlError, LoadError, QueryError, UnavailableError
from etlctl.text import shortened

_PRIMARY = 0xFF  # the low byte of an extended code is the primary one
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "is locked by another process and stayed so past the timeout; look for a program that keeps "
    "a transaction open on it, or give more time with ?timeout=SECONDS in its URL",
    sqlite3.SQLITE_LOCKED: "is locked by another statement of this process",
    sqlite3.SQLITE_READONLY: "is read-only: file, folder and disk must be writable by this user",
    sqlite3.SQLITE_FULL: "has no room left: the disk is full (its own, or that of the temporary folder where rows are "
    "staged; SQLITE_TMPDIR names another). Nothing was kept",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database: the file holds something else, or is encrypted",
    sqlite3.SQLITE_CORRUPT: "is damaged (sqlite3 FILE 'PRAGMA integrity_check' tells more)",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: its folder must exist, and both must be accessible to this user",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error",
    sqlite3.SQLITE_PERM: "may not be accessed by this user",
    sqlite3.SQLITE_PROTOCOL: "cannot be locked: its file system has no working locks",
}
_DATA = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}


def translated(error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
    """See `Dialect.translated`. Raises KeyboardInterrupt for a statement that a signal's handler has ended."""
    alchemy = sys.modules.get("sqlalchemy.exc")  # not imported: the state database does without
    is_alchemys = alchemy is not None and isinstance(error, alchemy.SQLAlchemyError)
    cause = (getattr(error, "orig", None) or error) if is_alchemys else error
    if isinstance(cause, EtlctlError):
        return cause
    if isinstance(cause, sqlite3.Error):
        return _of_driver(cause, doing, shown_url)
    if isinstance(cause, OverflowError) and (is_alchemys or isinstance(error, OverflowError)):
        return BadDataError(f"{doing}: a number does not fit the 64 bits of SQLite's integers.")
    if is_alchemys:
        return QueryError(f"{doing}: {_first_line(error)}")
    return None


def _of_driver(error: sqlite3.Error, doing: str, shown_url: str) -> EtlctlError:
    code = getattr(error, "sqlite_errorcode", None)
    said = _first_line(error)
    if code is None:
        return _without_code(error, said, doing)
    primary = code & _PRIMARY
    if primary == sqlite3.SQLITE_INTERRUPT:
        raise KeyboardInterrupt from error
    if primary in _UNAVAILABLE:
        return UnavailableError(f"{doing}: {shown_url} {_UNAVAILABLE[primary]} (SQLite: {said}).")
    if primary == sqlite3.SQLITE_AUTH:
        return CommitInsideError(
            f"{doing}: a COMMIT, ROLLBACK or BEGIN was tried inside the load's transaction, which commits by itself, "
            "rows and marker together. Take it out (a part that may fail goes into connection.begin_nested())."
        )
    if primary in _DATA:
        return BadDataError(f"{doing}: the database refused a row: {said}.")
    return QueryError(f"{doing}: {said}.")


def _without_code(error: sqlite3.Error, said: str, doing: str) -> EtlctlError:
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in said:
        return LoadError(f"{doing}: its connection was closed before the load was over. Leave it open.")
    return QueryError(f"{doing}: {said}.")


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip() or type(cause).__name__
    return shortened(text.splitlines()[0], 300).rstrip(".")
