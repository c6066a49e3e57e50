"""Lines of a screen as values: spans of printable text with a style each. How wide they are, how they fold.

No control character gets into a span: what is shown of users' names is written out by `printable`. It must not know
rich, which render.py alone does: a pipe gets these lines as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple
from unicodedata import category, east_asian_width

from etlctl.text import printable

WIDE_OPEN = 1_000_000
"""The width of what has no width: a pipe, a file."""

_PHRASES = re.compile(r" {2,}|(?:[^ ]| (?! ))+")
_WORDS = re.compile(r" +|[^ ]+")


class Style(StrEnum):
    """What a span says, which render.py gives a colour."""

    PLAIN = "plain"
    STRONG = "strong"
    DIM = "dim"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Span(NamedTuple):  # a frozen dataclass with slots costs `etlctl list` two milliseconds
    """A piece of one line in one style; made by `span()`."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]


def span(text: str, style: Style = Style.PLAIN) -> Span:
    """`text` made printable, in `style`."""
    return Span(printable(text), style)


def line(*parts: str | Span) -> Line:
    """A line of spans and plain texts."""
    return tuple(span(part) if isinstance(part, str) else part for part in parts)


def text_of(one: Line) -> str:
    """The line as plain text, without blanks at its end."""
    return "".join(part.text for part in one).rstrip(" ")


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def padded(text: str, width: int) -> str:
    """`text` with blanks up to `width` columns."""
    return text + " " * (width - cells(text))


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, an ellipsis at its end when something was left out."""
    if cells(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        wide = _cells_of(character)
        if used + wide > width - 1:
            break
        kept.append(character)
        used += wide
    return "".join(kept) + "…" if width > 0 else ""


def table(rows: Sequence[Sequence[Span]], *, gap: int = 2, indent: int = 1) -> list[Line]:
    """Rows as lines whose columns begin at the same place; the last column is not padded."""
    if not rows:
        return []
    columns = max(len(row) for row in rows)
    widths = [max((cells(row[n].text) for row in rows if n < len(row) - 1), default=0) for n in range(columns)]
    lines = []
    for row in rows:
        parts = [Span(" " * indent)]
        for n, part in enumerate(row):
            last = n == len(row) - 1
            parts.append(part if last else Span(padded(part.text, widths[n]) + " " * gap, part.style))
        lines.append(tuple(parts))
    return lines


def fold(one: Line, width: int, indent: int = 4) -> list[Line]:
    """The line in pieces of at most `width` columns; all but the first are indented.

    Broken between columns (two blanks and more) where it can be, so that `0.8 s` stays together, else between words.
    """
    if width >= WIDE_OPEN or cells(text_of(one)) <= width:
        return [one]
    width = max(width, indent + 10)
    done: list[Line] = []
    current: list[Span] = []
    used = 0
    for part in one:
        for piece in _pieces(part.text, width - indent):
            wide = cells(piece)
            if used + wide > width and current:
                done.append(tuple(current))
                current, used = [Span(" " * indent)], indent
            if piece.isspace() and used == indent and done:
                continue
            current.append(Span(piece, part.style))
            used += wide
    return [*done, tuple(current)]


def _pieces(text: str, width: int) -> Iterable[str]:
    """The text in parts of at most `width` columns that are best kept whole."""
    for phrase in _PHRASES.findall(text):
        if cells(phrase) <= width:
            yield phrase
            continue
        for word in _WORDS.findall(phrase):
            yield from _hard_pieces(word, width)


def _hard_pieces(word: str, width: int) -> Iterable[str]:
    pieces, current, used = [], "", 0
    for character in word:
        wide = _cells_of(character)
        if used + wide > width:
            pieces.append(current)
            current, used = "", 0
        current += character
        used += wide
    return [*pieces, current]


def _cells_of(character: str) -> int:
    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in ("W", "F") else 1
