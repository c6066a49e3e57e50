"""A task that works on a database of the settings: which one, and that it can be used. Opens nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etlctl.core import context

if TYPE_CHECKING:
    from etlctl.db.connections import Database


class OnDatabase:
    """Beside Task, of a class that reads or writes tables."""

    connection: Any = None
    """A connection's name in the settings, or a URL; None is the default connection."""

    def check_settings(self) -> None:
        """The connection is one of the settings', or a URL that this version can use. Opens nothing."""
        context.current().database(self.connection)

    @property
    def database(self) -> Database:
        """Where its rows go, or come from."""
        found: Database = context.current().database(self.connection)
        return found
