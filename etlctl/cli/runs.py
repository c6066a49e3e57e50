"""Runs and attempts on a screen: how a run is named on the command line, and the words that every screen uses."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from etlctl.cli.layout import Span, Style, span
from etlctl.cli.standing import moment_text
from etlctl.core.results import seconds
from etlctl.errors import UsageError
from etlctl.text import printable, shortened

if TYPE_CHECKING:
    from etlctl.cli.session import Session
    from etlctl.db.state.records import AttemptRecord, RunRecord

LAST = "last"
_RUN = re.compile(r"last|[0-9a-f]{4}|\d{8}T\d{0,6}(-[0-9a-f]*)?")
STYLES = {
    "running": Style.STRONG,
    "done": Style.GOOD,
    "found": Style.GOOD,
    "failed": Style.BAD,
    "killed": Style.BAD,
    "lost": Style.BAD,
    "interrupted": Style.WARN,
    "blocked": Style.WARN,
    "held": Style.WARN,
    "skipped": Style.DIM,
    "pending": Style.DIM,
}
"""How the words for runs and attempts look."""
_LONGEST = 160


def looks_like_run(word: str) -> bool:
    """Whether a word of a command line names a run: its id, the begin or the last four letters of it, or `last`."""
    return _RUN.fullmatch(word) is not None


def not_kept(call: Session) -> str | None:
    """Why no run is written down, where the settings say so."""
    if call.settings.is_history_kept:
        return None
    return f"nothing is written down: history.enabled is false ({call.settings.origins['history.enabled']})"


def found_run(call: Session, word: str) -> RunRecord:
    """The run that `word` names. UsageError where there is none, or several."""
    reader = call.history
    runs = reader.runs(limit=1) if word == LAST else reader.runs_named(word)
    if len(runs) == 1:
        return runs[0]
    if runs:
        ids = ", ".join(run.run_id for run in runs[:5])
        raise UsageError(f"{shortened(word)} may be any of these runs: {ids}{' …' if len(runs) > 5 else ''}.")
    if word == LAST or not reader.runs(limit=1):
        why = not_kept(call) or "no run has been written down yet: etlctl build TASK, then etlctl history"
        raise UsageError(f"{why}.")
    raise UsageError(f"no run {shortened(word)} is in the history; `etlctl history` lists them, `last` is the newest.")


def run_cells(run: RunRecord, now: dt.datetime) -> list[Span]:
    """A run on one line: status, id, begin, duration, counts, command."""
    return [
        span(run.status, STYLES[run.status]),
        span(run.run_id),
        span(moment_text(run.started_at, now)),
        span(lasted(run, now).rjust(8)),
        span(counted(run)),
        span(shortened(run.command, _LONGEST), Style.DIM),
    ]


def lasted(run: RunRecord, now: dt.datetime) -> str:
    """`0:34`; of one that runs until now; nobody knows when one was killed."""
    if run.status == "running":
        return seconds(max((now - run.started_at).total_seconds(), 0))
    return "-" if run.duration_s is None or run.status == "killed" else seconds(max(run.duration_s, 0))


def counted(run: RunRecord) -> str:
    """`OK=2 FAIL=1 SKIP=1`: what is not zero; of one without an end what it had before it."""
    told = " ".join(f"{name}={number:,}" for name, number in run.counts.items() if number)
    if run.counts:
        return told or "nothing"
    return f"{run.planned:,} to run" if run.planned != 1 else "1 to run"


def attempt_rows(attempts: Sequence[AttemptRecord], now: dt.datetime, *, with_run: bool) -> list[list[Span]]:
    """Attempts, each on one line: status, task, begin, duration, rows where any has some, its run, and why."""
    with_rows = any(one.rows is not None for one in attempts)
    return [_attempt_cells(one, now, with_rows=with_rows, with_run=with_run) for one in attempts]


def _attempt_cells(attempt: AttemptRecord, now: dt.datetime, *, with_rows: bool, with_run: bool) -> list[Span]:
    again = f"attempt {attempt.number}" if attempt.number > 1 else ""
    said = "  ".join(part for part in (again, said_of(attempt)) if part)
    return [
        span(attempt.status, STYLES[attempt.status]),
        span(attempt.label),
        span(moment_text(attempt.started_at, now)),
        span(("-" if attempt.duration_s is None else seconds(attempt.duration_s)).rjust(8)),
        *([span(("" if attempt.rows is None else rows_text(attempt.rows)).rjust(10))] if with_rows else []),
        *([span(attempt.run_id)] if with_run else []),
        span(said, Style.DIM),
    ]


def said_of(attempt: AttemptRecord) -> str:
    """Why it is as it is: the first line of its error, or its notes."""
    notes = (note for note in attempt.notes if note != f"attempt {attempt.number}")  # which has a place of its own
    return shortened(attempt.error.partition("\n")[0] or "; ".join(notes), _LONGEST)


def rows_text(rows: int) -> str:
    """`943 rows`."""
    return f"{rows:,} row{'s' if rows != 1 else ''}"


def usual_s(attempts: Iterable[AttemptRecord]) -> float | None:
    """The median of the durations of those that ended well; None for none."""
    times = sorted(one.duration_s for one in attempts if one.status == "done" and one.duration_s is not None)
    return times[len(times) // 2] if times else None


def place_of(run: RunRecord) -> str:
    """`root@etl-1:4711`."""
    return f"{printable(run.user)}@{printable(run.host)}:{run.pid}"


def first_failed(attempts: Sequence[AttemptRecord]) -> AttemptRecord | None:
    """The one to look at first."""
    return next((one for one in attempts if one.status in ("failed", "lost")), None)
