"""How a session of a load is told apart from all others, and ended from outside; asked of the database by its kind.

A mark is text. No mark: the database ends the session of a dead or stopped process by itself, or cannot be asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.connections import Database


def session_mark(database: Database, connection: sa.Connection) -> str | None:
    """What the session of `connection`, in its transaction, is known by; None where sessions are not ended."""
    match database.dialect.name:
        case "postgresql":
            from etlctl.db.dialects.postgresql import ending as postgresql_ending

            return postgresql_ending.mark(connection)
        case "mysql":
            from etlctl.db.dialects.mysql import ending as mysql_ending

            return mysql_ending.mark(connection)
    return None


def end_session(database: Database, mark: str) -> bool:
    """Ends the session with this mark, whose transaction is rolled back; False where it is there no more.

    Only a session of etlctl, of our own user, is ended. Raises what the database says where that is not allowed.
    """
    match database.dialect.name:
        case "postgresql":
            from etlctl.db.dialects.postgresql import ending as postgresql_ending

            end = postgresql_ending.end
        case "mysql":
            from etlctl.db.dialects.mysql import ending as mysql_ending

            end = mysql_ending.end
        case _:
            return False
    with database.reading("ending the session of a load that was given up") as connection:
        return end(connection, mark)
