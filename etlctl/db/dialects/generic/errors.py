"""What an error of a database without a dialect of its own means: told by SQLAlchemy's classes and a few words."""

from __future__ import annotations

import re

from sqlalchemy import exc

from etlctl.errors import (
    BadDataError,
    EtlctlError,
    LockTimeoutError,
    QueryError,
    TransientError,
    UnavailableError,
)
from etlctl.text import shortened

_DEADLOCK = re.compile(r"deadlock|could not serialize|serialization failure", re.IGNORECASE)
_LOCKED = re.compile(r"lock.*time-?d? ?out|time-?d? ?out.*lock|database is locked", re.IGNORECASE | re.DOTALL)


def translated(error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
    """See `Dialect.translated`."""
    if not isinstance(error, exc.SQLAlchemyError):
        return None
    if not isinstance(error, exc.DBAPIError):
        return QueryError(f"{doing}: {_first_line(str(error))}.")
    if isinstance(error.orig, EtlctlError):
        return error.orig
    said = _first_line(str(error.orig))
    if _DEADLOCK.search(said):
        return TransientError(f"{doing}: {shown_url} rolled the transaction back: {said}.")
    if _LOCKED.search(said):
        return LockTimeoutError(f"{doing}: {shown_url} is locked by another transaction: {said}.")
    if error.connection_invalidated:
        return TransientError(f"{doing}: the connection to {shown_url} was lost: {said}.")
    if error.statement is None:
        return UnavailableError(f"{doing}: {shown_url} cannot be used: {said}.")
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return BadDataError(f"{doing}: the database refused a row: {said}.")
    return QueryError(f"{doing}: {said}.")


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return shortened(lines[0] if lines else "it gave no reason", 300).rstrip(".")
