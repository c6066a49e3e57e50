"""Text that is safe to show, since a user's may hold escape sequences that a terminal would obey; words of names."""

from __future__ import annotations

import re

_WORD = re.compile(r"(.)([A-Z][a-z]+)")
_CAPITAL = re.compile(r"([a-z0-9])([A-Z])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""`text` on one line, its control characters written out (`\n`, `\x1b`): no escape reaches the terminal."""
    # what isprintable() lets through holds none of them, and telling so takes a tenth of the time
    return text if text.isprintable() else _CONTROL.sub(_written_out, text)


def shortened(text: str, length: int = 60) -> str:
    """`printable(text)`, cut to `length` characters with an ellipsis."""
    shown = printable(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def snake_case(name: str) -> str:
    """`CarrierDelays` as `carrier_delays`: what a class's table, and the `.sql` file beside it, are called."""
    return _CAPITAL.sub(r"\1_\2", _WORD.sub(r"\1_\2", name)).lower()


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
