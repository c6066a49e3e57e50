"""The line of every key of a TOML text, which tomllib does not tell; nothing is parsed here beyond that.

It follows the grammar of https://toml.io/en/v1.0.0 as far as places need it: it is asked about text that tomllib has
read, or about the part before the place where tomllib stopped, and never decides whether a text is right.
"""

from __future__ import annotations

import re

_GRAMMAR = r'''
    (?P<text>"""(?:[^\\]|\\.)*?"{3,5} | \'\'\'.*?\'{3,5} | "(?:[^"\\\n]|\\[^\n])*" | '[^'\n]*')
    | (?P<comment>\#[^\n]*)
    | (?P<newline>\n)
    | (?P<blank>[ \t\r]+)
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+)
    | (?P<stray>.)
    '''


def key_lines(text: str) -> list[tuple[tuple[str, ...], int]]:
    """Each key and table as its full path with the line it stands in (from 1), in the order of the text.

    `a.b = 1` is found as `a` and as `a.b`; what lies within arrays is not found, inline tables are.
    """
    scan = _Scan()
    line = 1
    for match in re.finditer(_GRAMMAR, text, re.VERBOSE | re.DOTALL):
        scan.take(match.lastgroup or "stray", match[0], line)
        line += match[0].count("\n")
    return scan.found


class _Scan:
    """Walks over the tokens: a header or a key is collected in `parts` until `]` or `=` says that it is whole."""

    def __init__(self) -> None:
        self.found: list[tuple[tuple[str, ...], int]] = []
        self.table: tuple[str, ...] = ()
        self.key: tuple[str, ...] = ()
        self.parts: list[str] = []
        self.in_header = self.in_value = False
        self.open: list[tuple[str, tuple[str, ...]]] = []
        """Brackets of the value at hand, each with the path whose value it is."""

    def take(self, kind: str, token: str, line: int) -> None:
        if kind == "newline":
            self._end_line()
        elif kind == "mark":
            self._mark(token, line)
        elif kind in ("text", "bare") and not self.in_value:
            self.parts.append(_name(token) if kind == "text" else token)

    def _end_line(self) -> None:
        if not self.open:
            self.in_value = self.in_header = False
            self.parts.clear()

    def _mark(self, mark: str, line: int) -> None:
        if self.in_value:
            self._mark_in_value(mark)
        elif mark == "=":
            self.key = self._record(self._base(), line)
            self.in_value = True
        elif mark == "[":
            self.in_header = True
        elif mark == "]" and self.in_header and self.parts:
            self.table = self._record((), line)
        elif mark == "}" and self.open:
            self._close()

    def _mark_in_value(self, mark: str) -> None:
        if mark in "[{":
            self.open.append((mark, self.key))
            self.in_value = mark == "["
        elif mark in "]}" and self.open:
            self._close()
        elif mark == "," and self.open and self.open[-1][0] == "{":
            self.in_value = False

    def _close(self) -> None:
        _, self.key = self.open.pop()
        self.in_value = True
        self.parts.clear()

    def _base(self) -> tuple[str, ...]:
        return self.open[-1][1] if self.open else self.table

    def _record(self, base: tuple[str, ...], line: int) -> tuple[str, ...]:
        path = (*base, *self.parts)
        self.found.extend((path[:length], line) for length in range(len(base) + 1, len(path) + 1))
        self.parts.clear()
        return path


def _name(quoted: str) -> str:
    if quoted.startswith("'"):
        return quoted[1:-1]
    import tomllib  # for the escapes of a quoted key

    try:
        return str(tomllib.loads(f"key = {quoted}")["key"])
    except tomllib.TOMLDecodeError:
        return quoted[1:-1]
