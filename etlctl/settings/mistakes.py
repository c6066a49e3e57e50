"""What becomes of a setting that cannot be used: the first one ends the reading, or all are kept and it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from etlctl.errors import SettingsError


class Mistakes:
    """What was refused while one file, profile and environment were read.

    As it is made, the first mistake is raised. Where they are kept, each reader takes the default in place of what it
    refuses, and what cannot be without it is left out: such settings are to be looked at, never to be worked with.
    """

    def __init__(self, *, are_kept: bool = False) -> None:
        self._are_kept = are_kept
        self.found: list[SettingsError] = []
        """Those that were kept, in the order in which they were met, each sentence once."""

    def tell(self, error: SettingsError) -> None:
        """Raises the mistake, or keeps it."""
        if not self._are_kept:
            raise error
        if str(error) not in map(str, self.found):
            self.found.append(error)

    @contextmanager
    def told(self) -> Iterator[None]:
        """A block whose mistake ends the block alone where mistakes are kept."""
        try:
            yield
        except SettingsError as error:
            self.tell(error)
