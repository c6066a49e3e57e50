"""A text that must not be shown; no printing of it, in a traceback, a log or a repr, gives it away."""

from __future__ import annotations


class Secret:
    """Holds a text that only `reveal()` hands out; equal to another Secret of the same text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, exactly as it was given; for the driver, never for a message."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))
