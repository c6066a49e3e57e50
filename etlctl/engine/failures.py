"""What is told of an exception that came out of a task: its lines, where in the user's code, what it means.

A Failure is plain data, so that one from a worker process reads like one from here.
"""

from __future__ import annotations

import functools
import inspect
import os
import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import etlctl
from etlctl.core.conduct import kinds_of
from etlctl.core.private import hidden
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, ExitCode, FailedInWorkerError, TaskError, TornLoadError
from etlctl.text import shortened

_OURS = f"{Path(etlctl.__file__).parent}{os.sep}"
_LIBRARIES = tuple({f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "purelib", "platlib")})
_MOST_LINES = 20
_MOST_TRACEBACK = 20_000
"""Characters of a traceback that travel between processes: its end, which is where the error is."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt ended badly."""

    reason: str
    """One printable line."""
    details: tuple[str, ...] = ()
    """More printable lines: the rest of the error's text, what on_failure() returned."""
    exit_code: ExitCode = ExitCode.FAILED
    where: str = ""
    """`pipelines/flights.py:41`, or empty."""
    can_retry: bool = False
    """Whether its kind is one that the task's `retry_on` names."""
    traceback: str = ""
    """As Python prints it, not made printable; for logs alone."""
    error: BaseException | None = None
    """The exception itself, where it was raised in this process."""
    kind: str = ""
    """The name of its class."""

    @classmethod
    def of(cls, error: BaseException, task: Task, project: Path, said: tuple[str, ...] = ()) -> Self:
        """Of what `task` raised; `said` are lines to be told below the error's own."""
        reason, *details = lines_of(error, task)
        try:
            may_retry = can_retry(task, error)
        except TaskError as wrong:  # the failure itself matters more
            may_retry = False
            details.extend(lines_of(wrong, task))
        return cls(
            reason,
            (*details, *(hidden(line, task) for line in said)),
            exit_code_of(error),
            place_of(error, task, project),
            may_retry,
            hidden("".join(traceback.format_exception(error)), task)[-_MOST_TRACEBACK:],
            error,
            type(error).__name__,
        )

    def as_document(self) -> dict[str, Any]:
        """As JSON takes it; the exception itself stays here."""
        return {
            "reason": self.reason,
            "details": list(self.details),
            "exit_code": int(self.exit_code),
            "where": self.where,
            "can_retry": self.can_retry,
            "traceback": self.traceback,
            "kind": self.kind,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """What `as_document` made in another process, with an error that carries its reason."""
        found = cls(
            document["reason"],
            tuple(document["details"]),
            ExitCode(document["exit_code"]),
            document["where"],
            document["can_retry"],
            document["traceback"],
            kind=document["kind"],
        )
        return replace(found, error=FailedInWorkerError(found.reason, found.kind))


def can_retry(task: Task, error: BaseException) -> bool:
    """Whether `retry_on` of the task names the error's kind; never a load that is half committed, nor an interrupt.

    Raises TaskError for a `retry_on` that names no kinds of errors.
    """
    if isinstance(error, (TornLoadError, KeyboardInterrupt)):
        return False
    return isinstance(error, kinds_of(task))


def lines_of(error: BaseException, *tasks: Task) -> tuple[str, ...]:
    """The error's text and notes as printable lines, the first of them the reason; the kind's name where it helps.

    Secrets, private values of `tasks` among them, are taken out.
    """
    text = hidden(_text_of(error), *tasks)
    if isinstance(error, SystemExit):
        text = hidden(f"its code called sys.exit({error.code!r})", *tasks)
    elif isinstance(error, KeyboardInterrupt):
        text = "interrupted by a signal, or by a KeyboardInterrupt that its code raised"
    elif not isinstance(error, EtlctlError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    lines = [shortened(line, 500) for line in text.splitlines() if line.strip()]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"… {len(lines) - _MOST_LINES} more lines"]
    notes = [shortened(hidden(str(note), *tasks), 500) for note in getattr(error, "__notes__", ())]
    return (*(lines or [type(error).__name__]), *notes)


def _text_of(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # noqa: BLE001  a user's exception class: its name is told then
        return ""


def exit_code_of(error: BaseException) -> ExitCode:
    """What the error means for the exit code: what would be a usage error up front is a failure of the one task."""
    code = error.exit_code if isinstance(error, EtlctlError) else ExitCode.FAILED
    return ExitCode.FAILED if code is ExitCode.USAGE else code


def place_of(error: BaseException, task: Task, project: Path) -> str:
    """`pipelines/flights.py:41`: the deepest line of the user's own code, or the task's class; empty if unknown."""
    cls: Any = type(task)  # mypy looks for __hash__ on the instances when a class is handed to a cache
    place = _deepest_frame(error) or _definition(cls)
    if place is None:
        return ""
    file, line = place
    path = Path(file)
    return f"{path.relative_to(project) if path.is_relative_to(project) else path}:{line}"


def _deepest_frame(error: BaseException) -> tuple[str, int] | None:
    found = None
    frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith((_OURS, *_LIBRARIES, "<")):
            found = (file, frame.tb_lineno)
        frame = frame.tb_next
    return found


@functools.lru_cache(maxsize=256)  # Python reads the whole file to find a class: 35 ms for each of its failed tasks
def _definition(cls: type[Task]) -> tuple[str, int] | None:
    try:
        file = inspect.getsourcefile(cls)
        return (file, inspect.findsource(cls)[1] + 1) if file and not file.startswith(_OURS) else None
    except (OSError, TypeError):  # a class without a file: a notebook, an interactive session
        return None
