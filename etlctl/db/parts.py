"""Parts of an open transaction, each of which may fail by itself where the database has savepoints. Ends none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from etlctl.errors import AlreadyLoaded, LoadError

if TYPE_CHECKING:
    import sqlalchemy as sa


class Parts:
    """Those of one transaction. Without savepoints, what fails in one part fails all of them."""

    def __init__(self, *, has_savepoints: bool) -> None:
        self.has_savepoints = has_savepoints
        self._has_failed = False

    @contextmanager
    def part(self, connection: sa.Connection) -> Iterator[None]:
        """A savepoint around the block, or no more than the memory that it failed."""
        if self.has_savepoints:
            with connection.begin_nested():
                yield
            return
        try:
            yield
        except AlreadyLoaded:  # said before anything was written
            raise
        except BaseException:
            self._has_failed = True
            raise

    def check(self, doing: str) -> None:
        """Before COMMIT: LoadError when a part has failed that could not be rolled back alone."""
        if self._has_failed:
            raise LoadError(
                f"{doing}: a part of it failed and its error was passed over, but this database has no savepoints to "
                "take that part back alone, so nothing was kept. Let the error pass up, or run that load by itself."
            )
