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
        self._refused: AlreadyLoaded | None = None

    def refused(self, error: AlreadyLoaded) -> AlreadyLoaded:
        """`error` itself, by which the innermost part is to be left: it has written nothing yet, so it does not fail.

        To a part around that one, it is a failure like any other.
        """
        if not self.has_savepoints:
            self._refused = error
        return error

    @contextmanager
    def part(self, connection: sa.Connection) -> Iterator[None]:
        """A savepoint around the block, or no more than the memory that it failed."""
        if self.has_savepoints:
            with connection.begin_nested():
                yield
            return
        try:
            yield
        except BaseException as error:
            if error is not self._refused:
                self._has_failed = True
            self._refused = None
            raise

    def check(self, doing: str) -> None:
        """Before COMMIT: LoadError when a part has failed that could not be rolled back alone."""
        if self._has_failed:
            raise LoadError(
                f"{doing}: a part of it failed and its error was passed over, but this database has no savepoints to "
                "take that part back alone, so nothing was kept. Let the error pass up, or run that load by itself."
            )
