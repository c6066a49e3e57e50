"""SQL text as Redshift reads it: tokens, statements, literals. It knows no statement.

A backslash in a literal escapes, as in PostgreSQL 8.0 (and as `standard_conforming_strings = off` still has it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<string>'(?:[^'\\]|\\.|'')*')
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
  | (?P<sign>::|<>|<=|>=|!=|\|\||.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)|''", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Token:
    """`kind` is string, quoted, dollar, word, number or sign; `low` is the text in lower case."""

    kind: str
    text: str
    start: int

    @property
    def low(self) -> str:
        return self.text.lower()

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def name(self) -> str:
        """Of an identifier: folded to lower case unless it was quoted."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.low

    @property
    def value(self) -> str:
        """Of a literal."""
        return literal(self.text)


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def tokens(sql: str) -> list[Token]:
    """All but blanks and comments."""
    found = (Token(str(match.lastgroup), match.group(), match.start()) for match in _matches(sql))
    return [token for token in found if token.kind != "space"]


def _matches(sql: str) -> Iterator[re.Match[str]]:
    for match in _TOKEN.finditer(sql):
        if match.lastgroup != "tag":
            yield match


def literal(text: str) -> str:
    """What a literal with its quotes says."""
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]) if found[1] else "'", text[1:-1])


def quoted(value: str) -> str:
    """A literal for the server behind, which reads backslashes as Redshift does."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted name."""
    return '"' + name.replace('"', '""') + '"'


def statements(sql: str) -> list[str]:
    """The statements of a text, without their semicolons; none that is empty."""
    pieces, begin = [], 0
    for token in tokens(sql):
        if token.text == ";":
            pieces.append(sql[begin : token.start])
            begin = token.end
    pieces.append(sql[begin:])
    return [piece for piece in pieces if tokens(piece)]


def depth_0(all_of: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """Tokens outside of every pair of brackets, with their positions in the list; the brackets themselves too."""
    depth = 0
    for index, token in enumerate(all_of):
        depth -= token.text == ")"
        if depth == 0:
            yield index, token
        depth += token.text == "("


def closing(all_of: Sequence[Token], opening: int) -> int:
    """Position of the bracket that closes the one at `opening`."""
    depth = 0
    for index in range(opening, len(all_of)):
        depth += (all_of[index].text == "(") - (all_of[index].text == ")")
        if depth == 0:
            return index
    return len(all_of) - 1


def table_at(all_of: Sequence[Token], index: int) -> tuple[list[str], int]:
    """The parts of the name `a`, `s.a` or `d.s.a` that begins at a position, and the position after it."""
    parts = []
    while index < len(all_of) and all_of[index].kind in ("word", "quoted"):
        parts.append(all_of[index].name)
        index += 1
        if index >= len(all_of) or all_of[index].text != ".":
            break
        index += 1
    return parts, index


def relation(parts: Sequence[str]) -> str:
    """The parts of a name as SQL."""
    return ".".join(map(identifier, parts))


def starts(all_of: Sequence[Token], *words: str) -> bool:
    """Do these words open the statement?"""
    return len(all_of) >= len(words) and all(
        token.low == word for token, word in zip(all_of[: len(words)], words, strict=True)
    )


def position_of(all_of: Sequence[Token], *words: str, begin: int = 0) -> int | None:
    """Where these words stand one after another, brackets or not."""
    for index in range(begin, len(all_of) - len(words) + 1):
        if all(token.low == word for token, word in zip(all_of[index : index + len(words)], words, strict=True)):
            return index
    return None
