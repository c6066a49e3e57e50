"""What came of a run, as values: one TaskResult a task, one RunSummary a run, and the text both are shown as."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Protocol

from etlctl.core.context import Attempt
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from etlctl.text import printable, shortened

_LONGEST_REASON = 160
_MOST_LABELS = 5
_WIDEST_LABEL = 44
BUILD_OPTIONS = frozenset(
    {"config", "debug", "deep", "executor", "fail-fast", "force", "help", "jobs", "json", "param", "profile"}
    | {"blocked-ok", "show-output", "wait-held", "workers"}
)
"""Names that mean something else on the command line of `etlctl build`; a test of the command keeps this true."""


class Status(StrEnum):
    """How one task stands at the end of a run."""

    OK = "OK"
    """It ran (or all its requirements did) and its outputs are there."""
    FAIL = "FAIL"
    SKIP = "SKIP"
    """Not run, because something it requires failed."""
    BLOCKED = "BLOCKED"
    """An external input is missing, its own or one it requires."""
    HELD = "HELD"
    """Another process has it."""
    UPTODATE = "UPTODATE"
    """Found complete; nothing was run."""


class TaskResult(NamedTuple):  # a frozen dataclass takes four times as long to make, and each task has one
    """How one task ended, and why."""

    task: Task
    status: Status
    reason: str = ""
    """One printable line: the error, the missing input, or what it waited for; empty for OK and UPTODATE."""
    rows: int | None = None
    """Rows loaded or written; None for a task that counts none."""
    notes: tuple[str, ...] = ()
    """Sentences worth telling although nothing failed."""
    started_at: datetime | None = None
    """Aware, UTC; None for a task that did not run."""
    duration_s: float | None = None
    error: BaseException | None = None
    where: str = ""
    """`file.py:41` of the user's code that failed."""
    details: tuple[str, ...] = ()
    """More printable lines for the end of the summary: the rest of the error's text, what on_failure() returned."""
    exit_code: ExitCode = ExitCode.DONE
    forced: bool = False
    """It was asked for by --force."""
    log: str = ""
    """Of a task that failed: the file that its last attempt's output went to; empty when there is none."""


@dataclass(frozen=True)
class RunSummary:
    """The end of a run; true when everything asked for is done."""

    run_id: str
    results: tuple[TaskResult, ...]
    """In the order in which the tasks ended; those found complete come first."""
    started_at: datetime
    duration_s: float
    interrupted: ExitCode | None = None
    """INTERRUPTED, TERMINATED or HANGUP when a signal, or `etlctl stop`, ended the run early."""
    stopped: str = ""
    """`stopped by ann@etl-1: an upgrade`, when somebody asked for the end with `etlctl stop`; else empty."""
    is_blocked_ok: bool = False
    """Whether external input that is missing is no reason for another code than DONE."""

    def __bool__(self) -> bool:
        return self.exit_code is ExitCode.DONE

    @cached_property
    def exit_code(self) -> ExitCode:
        """What `etlctl build` exits with; see `ExitCode.worst` for several failures."""
        codes = {result.exit_code for result in self.results} - ({ExitCode.BLOCKED} if self.is_blocked_ok else set())
        return self.interrupted or ExitCode.worst(codes)

    @cached_property
    def counts(self) -> dict[Status, int]:
        """How many tasks ended in each status; every status is a key."""
        found = Counter(result.status for result in self.results)
        return {status: found[status] for status in Status}

    @cached_property
    def found_complete(self) -> frozenset[str]:
        """The ids of tasks that had nothing to do."""
        return frozenset(one.task.task_id for one in self.results if one.status is Status.UPTODATE)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order of `results`."""
        return tuple(result.task for result in self.results)

    @property
    def text(self) -> str:
        """The whole summary as plain lines, as a pipe gets it."""
        shown = [result for result in self.results if result.status is not Status.UPTODATE]
        width = min(max((len(result.task.task_label) for result in shown), default=0), _WIDEST_LABEL)
        lines = [result_line(result, number, len(shown), width) for number, result in enumerate(shown, 1)]
        return "\n".join([*lines, *failure_lines(self), total_line(self)])

    @property
    def one_line_summary(self) -> str:
        """The counts, the time and the exit code on one line."""
        return total_line(self)


class Observer(Protocol):
    """What is told as a run goes on: the screen, and later history and notifications. It must not raise."""

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """`tasks` are those asked for; `to_run` all that are not up to date, requirements first."""

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """`attempt` is live: its `rows` grow while the task runs."""

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """The `number`-th of `total` has ended; `total` grows when a task yields further ones."""

    def run_finished(self, summary: RunSummary) -> None:
        """The last call."""


def result_line(result: TaskResult, number: int, total: int, width: int = 0) -> str:
    """` 1/4  OK       LoadFlights(2013-01-02)      943 rows     0.8 s`; the label is padded to `width`."""
    count = f"{number}/{total}".rjust(2 * len(str(total)) + 1)
    parts = [f" {count}  {result.status:<8} {result.task.task_label:<{width}}"]
    if result.reason:
        parts.append(shortened(result.reason, _LONGEST_REASON))  # whole among the failures at the end
    elif result.rows is not None:
        parts.append(f"{result.rows:,} row{'s' if result.rows != 1 else ''}".rjust(13))
    elif result.duration_s is not None:
        parts.append(" " * 13)  # durations stay below each other
    if result.duration_s is not None:
        parts.append(seconds(result.duration_s).rjust(8))
    parts.extend(result.notes)
    return "  ".join(parts).rstrip()


def failure_lines(summary: RunSummary, options: str = "") -> list[str]:
    """The failures once more, with where they happened and the command that shows more; after the run.

    What several tasks failed with is told once. `options` are those that the command needs besides, a blank first.
    """
    lines: list[str] = []
    for alike in _alike([result for result in summary.results if result.status is Status.FAIL]):
        first = alike[0]
        labels = ", ".join(result.task.task_label for result in alike[:_MOST_LABELS])
        more = f" and {len(alike) - _MOST_LABELS:,} more" if len(alike) > _MOST_LABELS else ""
        places = {result.where for result in alike}
        head = [f"FAIL  {labels}{more}", printable(first.where) if len(places) == 1 else ""]
        lines.extend(["", "   ".join(part for part in head if part), f"  {first.reason}"])
        others = [set(result.details) for result in alike[1:]]
        lines.extend(f"  {line}" for line in first.details if all(line in details for details in others))
        forced = " --force" if first.forced else ""
        words = command_words(first.task)
        if first.exit_code is ExitCode.TORN:
            lines.append(f"  next  etlctl markers resolve {words}{options}")
        if first.log:  # what it printed, and its traceback
            lines.append(f"  more  etlctl logs {summary.run_id} {words}{options}")
        else:
            lines.append(f"  more  etlctl build {words}{forced}{options} --debug")
    return [*lines, ""] if lines else [""]


def _alike(failures: Sequence[TaskResult]) -> list[list[TaskResult]]:
    """The failures in groups that read the same; for a database that cannot be used it matters not who asked it."""
    found: dict[tuple[object, ...], list[TaskResult]] = {}
    for result in failures:
        is_shared = result.exit_code is ExitCode.UNAVAILABLE
        key = (result.reason,) if is_shared else (result.reason, result.details, result.where)
        found.setdefault(key, []).append(result)
    return list(found.values())


def total_line(summary: RunSummary) -> str:
    """`OK=2 FAIL=1 SKIP=1 BLOCKED=0 HELD=0 UPTODATE=0 TOTAL=4     1.2 s     exit 1`."""
    counts = " ".join(f"{status}={number}" for status, number in summary.counts.items())
    code = summary.exit_code
    is_idle = not summary.counts[Status.OK] and not summary.counts[Status.BLOCKED]
    verdict = f"exit {code}" if code or not is_idle else "nothing to do"
    return f"{counts} TOTAL={len(summary.results)}     {seconds(summary.duration_s)}     {verdict}"


def command_words(task: Task) -> str:
    """The task as words of a command line: `LoadFlights --date 2013-01-02`; private values are left out."""
    words = [task.task_family]
    for name, text in task.to_str_params(only_public=True).items():
        if not _is_default(task, name):
            option = name.replace("_", "-")
            # -p reaches a parameter whose name is an option of the command; click takes the value apart at the first =
            words.extend(
                ["-p", _quoted(f"{name}={text}")] if option in BUILD_OPTIONS else [f"--{option}", _quoted(text)]
            )
    return " ".join(words)


def seconds(duration_s: float) -> str:
    """`0.8 s`, `31.4 s`, then `2:14` and `1:02:14`."""
    if round(duration_s, 1) < 60:
        return f"{duration_s:.1f} s"
    minutes, rest = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _is_default(task: Task, name: str) -> bool:
    parameter = task._parameters[name]
    try:
        return parameter.has_default and bool(parameter.default_value() == getattr(task, name))
    except Exception:  # noqa: BLE001  a callable default of the user's, asked once more only to shorten a line
        return False


def _quoted(text: str) -> str:
    """`text` as one word of a shell; with control characters in the form $'…' that bash and zsh read."""
    shown = printable(text)
    if shown != text:
        return "$'" + printable(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"
    return shlex.quote(text)
