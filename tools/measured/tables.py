"""What several benches print and need alike; runs no bench."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from servers.process import MEMORY, has_memory


def print_medians(costs: Mapping[str, Sequence[tuple[float, ...]]], heads: Sequence[str]) -> None:
    """A line for each way with the medians of its turns; the last of the columns is a whole number, such as MiB."""
    print(f"{'':<34}" + "".join(f"{head:>12}" for head in heads))
    for way, found in costs.items():
        *medians, last = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{way:<34}" + "".join(f"{value:>12.2f}" for value in medians) + f"{last:>12.0f}")


def roomy() -> str | None:
    """Where a bench's files go: into memory where there is room, else where temporary files go."""
    return str(MEMORY) if has_memory() else None
