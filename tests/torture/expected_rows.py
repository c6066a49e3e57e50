"""How many rows a committed data file holds, counted without any code of etlctl."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path


def rows_of(path: Path) -> int:
    """Rows of a csv or csv.gz file with a header."""
    opening = gzip.open if path.suffix == ".gz" else open
    with opening(path, "rt", newline="") as lines:
        return sum(1 for _ in csv.DictReader(lines))
