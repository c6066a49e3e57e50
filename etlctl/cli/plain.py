"""Values of the documents that `--json` prints, as JSON has them; knows no document."""

from __future__ import annotations

from datetime import datetime


def instant(moment: datetime | None) -> str | None:
    """An instant as ISO 8601."""
    return None if moment is None else moment.isoformat()


def rounded(duration_s: float | None) -> float | None:
    """Seconds to the millisecond."""
    return None if duration_s is None else round(duration_s, 3)
