"""What a build tells while it goes on: each end of a task as a line, and the state that a live display draws."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from etlctl.cli.interrupts import STOPPING
from etlctl.cli.layout import Line, Span, Style, cells, span
from etlctl.core.context import Attempt
from etlctl.core.private import hidden
from etlctl.core.results import RunSummary, Status, TaskResult, result_line, seconds
from etlctl.core.task import Task
from etlctl.engine.failures import Failure
from etlctl.text import printable, shortened

STYLES = {
    Status.OK: Style.GOOD,
    Status.FAIL: Style.BAD,
    Status.SKIP: Style.WARN,
    Status.BLOCKED: Style.WARN,
    Status.HELD: Style.WARN,
    Status.UPTODATE: Style.DIM,
}
_BAR = 16
_LEAST_LABEL = 24  # tasks that a run() yields may be longer than those known before
_MOST_LABEL = 44
_LONG_REASON = 60
_LABELS_LOOKED_AT = 200
_MOST_RUNNING = 12
"""Lines of the display for tasks that run now: it must fit below what is said meanwhile."""


class Running(NamedTuple):
    """A task that runs now."""

    label: str
    attempt: Attempt
    began: float
    """By `time.monotonic()`."""


class Progress:
    """The Observer of a command line: hands each end on as a line, and keeps what is needed to draw the state."""

    def __init__(
        self,
        say: Callable[[Line], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """`begin` is called when the run begins: all that is forked has been by then."""
        self._say = say
        self._begin = begin
        self._clock = clock
        self._width = _LEAST_LABEL
        self.began = clock()
        self.total = 0
        self.done = 0
        self.failed = 0
        self.running: dict[Task, Running] = {}
        self.not_started = 0
        """Tasks that an interrupt left behind; they are counted and not named."""
        self._said: dict[str, str] = {}
        """Long reasons that failed tasks gave so far, and the task that gave each first."""

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        self.total = len(to_run)
        self._begin()
        self._width = min(max([self._width, *(cells(task.task_label) for task in _some_of_each(to_run))]), _MOST_LABEL)

    def task_started(self, task: Task, attempt: Attempt) -> None:
        self.running[task] = Running(task.task_label, attempt, self._clock())

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        self.running.pop(result.task, None)
        self.total = total
        self.failed += result.status is Status.FAIL
        if result.status is Status.SKIP and result.reason.startswith("not started"):
            self.not_started += 1
            return
        self.done = number - self.not_started
        self._width = max(self._width, min(cells(result.task.task_label), _MOST_LABEL))
        self._say(line_of(self._shortened(result), number, total, self._width))

    def task_retried(self, task: Task, failure: Failure, attempt: Attempt, delay_s: float) -> None:
        self.running.pop(task, None)
        label = f"{task.task_label:<{self._width}}"
        self._say(
            (
                span(" " * (2 * len(str(self.total)) + 4)),
                span("RETRY", Style.WARN),
                span(f"    {label}  attempt {attempt.number} failed, the next in {seconds(delay_s)}: "),
                span(shortened(failure.reason, _LONG_REASON)),
            )
        )

    def run_finished(self, summary: RunSummary) -> None:
        self.running.clear()

    def _shortened(self, result: TaskResult) -> TaskResult:
        """A long reason is told once: a database that is down is not told again with each of its tasks."""
        if result.status is not Status.FAIL or len(result.reason) <= _LONG_REASON:
            return result
        first = self._said.setdefault(result.reason, result.task.task_label)
        return result if first == result.task.task_label else result._replace(reason=f"the same as {first}")


def _some_of_each(tasks: Iterable[Task]) -> Iterator[Task]:
    """The first tasks of each class: a hundred thousand labels would take a second, and are much alike."""
    seen: Counter[type[Task]] = Counter()
    for task in tasks:
        if seen[type(task)] < _LABELS_LOOKED_AT:
            seen[type(task)] += 1
            yield task


def line_of(result: TaskResult, number: int, total: int, width: int = 0) -> Line:
    """The end of a task as a line, its status in colour; the label is padded to `width` columns."""
    label = result.task.task_label
    text = result_line(result, number, total, width - (cells(label) - len(label)))
    before, status, after = text.partition(str(result.status))
    return (Span(before), Span(status, STYLES[result.status]), span(after))


def state_lines(progress: Progress, title: str, *, is_stopping: bool, now: float) -> list[Line]:
    """The live part: how far the run is, and what runs now."""
    filled = _BAR * progress.done // max(progress.total, 1)
    bar = "[" + "#" * filled + "-" * (_BAR - filled) + "]"
    count = f"{progress.done}/{progress.total}"
    parts = [span("BUILD", Style.STRONG), span(f"  {title}   {bar} {count}   {_clock_text(now - progress.began)}")]
    if progress.failed:
        parts.append(span(f"   {progress.failed} failed", Style.BAD))
    if is_stopping:
        parts.append(span(f"   {STOPPING}", Style.WARN))
    running = list(progress.running.values())
    lines = [tuple(parts), *(_running_line(one, now) for one in running[:_MOST_RUNNING])]
    if len(running) > _MOST_RUNNING:
        lines.append((span(f"       and {len(running) - _MOST_RUNNING} more"),))
    return lines


def _running_line(one: Running, now: float) -> Line:
    elapsed = now - one.began
    told = "".join(f"{part}   " for part in _told(one.attempt, elapsed))
    label = span(f"{shortened(one.label, 60)}   ")
    if one.attempt.waiting:  # a rate would be that of the time before
        return (span(" WAIT  ", Style.WARN), label, span(f"for {one.attempt.waiting}   "), Span(seconds(elapsed)))
    return (span(" RUN   ", Style.STRONG), label, span(told), Span(seconds(elapsed)))


def _told(attempt: Attempt, elapsed: float) -> Iterator[str]:
    """How far it is: in units of its own, in rows, in words."""
    if attempt.progress is not None:
        done, total = attempt.progress
        yield f"{done:,.10g}/{total:,.10g}"
    if attempt.rows is not None:
        yield f"{attempt.rows:,} rows"
        if elapsed >= 1:
            yield f"{int(attempt.rows / elapsed):,}/s"
    if attempt.status:
        yield shortened(printable(attempt.status), _LONG_REASON)


def _clock_text(elapsed: float) -> str:
    minutes, rest = divmod(int(elapsed), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def traceback_lines(error: BaseException, *tasks: Task) -> str:
    """The traceback as printable text, without the values of variables: they may be secret. Nor are secrets in it that
    the settings name, or private values of `tasks`."""
    import traceback

    text = hidden("".join(traceback.format_exception(error)).rstrip("\n"), *tasks)
    return "\n".join(printable(one) for one in text.split("\n"))
