"""Text that is safe to show: a user's text may hold escape sequences and newlines that a terminal would obey."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""`text` on one line, its control characters written out (`\n`, `\x1b`): no escape reaches the terminal."""
    return _CONTROL.sub(_written_out, text)


def shortened(text: str, length: int = 60) -> str:
    """`printable(text)`, cut to `length` characters with an ellipsis."""
    shown = printable(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
