"""What Redshift wrote down about a COPY that failed: file, line, column and reason, from its system tables.

`sys_load_error_detail` is there on clusters and on Serverless, `stl_load_errors` on provisioned clusters alone. Both
are asked over another connection, since the transaction of the COPY is broken.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psycopg2
import sqlalchemy as sa

from etlctl.db.dialects.postgresql.guard import driver_connection
from etlctl.text import shortened

_TABLES = (
    """
    SELECT file_name, line_number, column_name, error_message FROM sys_load_error_detail
    WHERE session_id = :session AND strpos(file_name, :place) = 1 ORDER BY start_time DESC LIMIT 1
    """,
    """
    SELECT filename, line_number, colname, err_reason FROM stl_load_errors
    WHERE session = :session AND strpos(filename, :place) = 1 ORDER BY starttime DESC LIMIT 1
    """,
)


@dataclass(frozen=True)
class ServerLoadError:
    """One line of a file that a COPY refused."""

    file: str
    """`s3://bucket/key`."""
    line: int
    """From 1; 0 where the server tells none."""
    column: str
    """Empty where the server tells none."""
    reason: str

    @property
    def column_and_reason(self) -> str:
        """For a sentence that has named the place."""
        return f"column {shortened(self.column)}: {self.reason}" if self.column else self.reason

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        return f"{shortened(self.file, 200)}{line}, {self.column_and_reason}"


def load_error(connection: sa.Connection, error: psycopg2.Error, place: str = "s3://") -> ServerLoadError | None:
    """The last one of this session about files whose names begin with `place`; None where there is none to be seen.

    Asked only for errors that the server itself speaks of as such: others have words of their own.
    """
    said = f"{error.diag.message_primary} {error.diag.message_detail} {error.diag.message_hint}".lower()
    if not any(name in said for name in ("stl_load_errors", "sys_load_error_detail", "load into table")):
        return None
    asked = {"place": place, "session": driver_connection(connection).info.backend_pid}
    for question in _TABLES:
        with suppress(sa.exc.SQLAlchemyError), connection.engine.connect() as other:
            found = other.execute(sa.text(question), asked).first()
            if found is not None:
                file, line, column, reason = found
                return ServerLoadError(file.strip(), int(line or 0), (column or "").strip(), _reason(reason))
    return None


def _reason(text: str | None) -> str:
    return shortened(" ".join((text or "no reason is told").split()), 300).rstrip(".")
