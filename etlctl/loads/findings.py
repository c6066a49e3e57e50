"""What a check finds wrong, in words with a few examples and as data; asks nobody, and knows no check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from etlctl.text import shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

SHOWN = 5
"""Examples in a message, and in a sample."""

Plain = str | int | float | bool | None
"""What a sample holds of a value: itself where JSON has it, else its text, shortened."""


@dataclass(frozen=True)
class Finding:
    """What a check found wrong, in words and as data for whoever keeps it."""

    text: str
    """`2 duplicate keys: UA ×2, AA ×2`."""
    columns: tuple[str, ...] = ()
    """Of the sample: columns of the rows, and `count` behind them where each of the sample stands for several rows."""
    sample: tuple[tuple[Plain, ...], ...] = ()
    """At most five rows, keys or values that do not hold."""
    check: str = ""
    """`unique(carrier)`; filled in by `run_checks`."""

    def __str__(self) -> str:
        return self.text

    @property
    def told(self) -> str:
        """As a sentence about the load: `check unique(carrier): 2 duplicate keys: UA ×2, AA ×2`."""
        return f"check {self.check}: {self.text}"


def of_rows(text: str, rows: Sequence[sa.Row[Any]]) -> Finding:
    """`text`, and the first rows of a sample behind it."""
    shown = "; ".join(_row(row._mapping) for row in rows[:2])
    return Finding(f"{text}: {shown}", tuple(map(str, rows[0]._fields)), _plain(rows))


def of_values(text: str, columns: Sequence[str], found: Sequence[Sequence[Any]], total: int) -> Finding:
    """`text`, and behind it those `found`, a value or key of `columns` and its count each, of `total` there are."""
    shown = [f"{_key(row[:-1])} ×{row[-1]}" for row in found]
    if total > len(shown):
        shown.append(f"and {total - len(shown)} more")
    return Finding(f"{text}: {', '.join(shown)}", (*columns, "count"), _plain(found))


def plural(count: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _plain(rows: Iterable[Sequence[Any]]) -> tuple[tuple[Plain, ...], ...]:
    return tuple(tuple(_plain_value(value) for value in row) for row in rows)


def _plain_value(value: Any) -> Plain:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    return shortened(str(value), 200)


def _key(parts: Sequence[Any]) -> str:
    texts = [shortened(str(part), 40) for part in parts]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _row(row: Mapping[Any, Any]) -> str:
    shown = [f"{name}={'NULL' if value is None else shortened(str(value), 30)}" for name, value in row.items()]
    return ", ".join([*shown[:6], "…"] if len(shown) > 6 else shown)
