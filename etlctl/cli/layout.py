"""Lines of a screen as values: spans of printable text with a style each. How wide they are, how they fold.

No control character gets into a span: what is shown of users' names is written out by `printable`. It must not know
rich, which render.py alone does: a pipe gets these lines as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from unicodedata import category, east_asian_width

from etlctl.core.text import printable

WIDE_OPEN = 1_000_000
"""The width of what has no width: a pipe, a file."""

_TOKENS = re.compile(r" +|[^ ]+")


class Style(StrEnum):
    """What a span says, which render.py gives a colour."""

    PLAIN = "plain"
    STRONG = "strong"
    DIM = "dim"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Span:
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
    """The line in pieces of at most `width` columns, broken at blanks; all but the first are indented."""
    if width >= WIDE_OPEN or cells(text_of(one)) <= width:
        return [one]
    width = max(width, indent + 10)
    done: list[Line] = []
    current: list[Span] = []
    used = 0
    for style, token in _tokens(one):
        for piece in _pieces(token, width - indent):
            wide = cells(piece)
            if used + wide > width and current:
                done.append(tuple(current))
                current, used = [Span(" " * indent)], indent
                if piece.isspace():
                    continue
            if piece.isspace() and used == indent and done:
                continue
            current.append(Span(piece, style))
            used += wide
    return [*done, tuple(current)]


def _tokens(one: Line) -> Iterable[tuple[Style, str]]:
    for part in one:
        for match in _TOKENS.finditer(part.text):
            yield part.style, match[0]


def _pieces(token: str, width: int) -> Iterable[str]:
    """A word that is wider than the screen, in parts that fit."""
    if token.isspace() or cells(token) <= width:
        return [token]
    pieces, current, used = [], "", 0
    for character in token:
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
