"""Lines on their way to a server that reads text: what the encoders of dialects, each with its own form of a line, and
whoever makes the rows say to each other. Knows no form itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class FieldForm:
    """How the values that a database stores are written as the fields of a text that it reads."""

    null: str
    """The field that is NULL; no value is written so."""
    text_of: Callable[[Any], str]
    """The field of any value but None. Integers are written as Python does it."""
    separator: str
    """What stands between the fields of a line: one character, one of the marks."""
    marks: str
    """A text that holds none of these characters is its own field; the line end is one of them."""


class Lines(list[str]):
    """Rows, each of them its fields with the separator between, without a line end."""


@runtime_checkable
class RowsAsText(Protocol):
    """Rows that are converted some at a time anyway: who sends them as text need not take them apart again."""

    def as_text(self, form: FieldForm, required: Collection[str]) -> Iterator[Lines | Sequence[Sequence[str]]]:
        """Some rows at a time, as lines or as the fields of each column, of which there is one at least.

        Lines hold no NULL in a column that is one of the `required`; the fields may.
        """


def in_blocks(lines: Iterable[str], size: int) -> Iterator[bytes]:
    """The texts in UTF-8, put together into blocks of `size` characters at least, but for the last; none is cut."""
    held: list[str] = []
    characters = 0
    for text in lines:
        held.append(text)
        characters += len(text)
        if characters >= size:
            yield "".join(held).encode()
            held, characters = [], 0
    if held:
        yield "".join(held).encode()
