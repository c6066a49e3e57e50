"""Every error that etlctl raises on purpose, as one tree; each class carries its exit code and nothing else.

EtlctlError
├── UsageError                    2  found before anything ran
│   ├── ParameterError
│   │   ├── MissingParameterError
│   │   ├── UnknownParameterError
│   │   ├── DuplicateParameterError
│   │   └── ParameterValueError
│   ├── SettingsError
│   ├── RegistryError
│   │   ├── TaskNotFoundError
│   │   ├── AmbiguousTaskError
│   │   └── PipelineImportError
│   ├── CycleError
│   └── NotMadeError                a task's own code raised while it was made
├── TaskError                     1  one task's own trouble; its siblings go on
│   ├── BrokenTaskError              requires() or output() cannot be used
│   ├── UnfulfilledError             a requirement is not complete when the task is about to run
│   ├── MissingOutputError           ran, but a declared output is not there
│   ├── BadDataError                 a row, a value, a file: names file, line and column
│   ├── CheckFailedError             a check on the loaded rows
│   ├── QueryError                   a statement that the database, or our tokenizer, refuses
│   ├── LoadError                    a load that cannot be carried out as it is declared
│   ├── CommitInsideError            user code tried to end the load's transaction
│   ├── FailedInWorkerError          stands for what was raised in another process
│   ├── WorkerDiedError              the process that ran the task ended before the task did
│   └── TaskTimeoutError             the task ran longer than its `timeout`
├── BlockedError                  3  an external input is missing
├── UnavailableError              4  a database or object store cannot be used
│   └── TransientError               the same may go well when it is tried again
│       ├── LockTimeoutError         another transaction held a lock for too long
│       └── UnknownCommitError       the connection was lost while COMMIT was on its way
├── HeldError                     5  another process has the work, or took it over
├── TornLoadError                 6  a load that was half committed by something else; needs a person
└── AlreadyLoaded                 0  no failure: the marker is there, so there is nothing to do

A message says what failed, where, and how to mend it; never a secret. Exit codes: docs/reference/exit-codes.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What the process tells its caller; `worst` picks one for several failures."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BLOCKED = 3
    UNAVAILABLE = 4
    HELD = 5
    TORN = 6
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143

    @classmethod
    def worst(cls, codes: set[ExitCode]) -> ExitCode:
        """The first that applies of 6, 4, 1, 5, 3; DONE when none does."""
        for code in (cls.TORN, cls.UNAVAILABLE, cls.FAILED, cls.HELD, cls.BLOCKED):
            if code in codes:
                return code
        return cls.DONE


class EtlctlError(Exception):
    """Root of everything etlctl raises on purpose; `str()` is the sentence for the user."""

    exit_code = ExitCode.FAILED


class UsageError(EtlctlError):
    """Found before anything ran: command line, settings, registry, graph."""

    exit_code = ExitCode.USAGE


class ParameterError(UsageError):
    """A parameter of a task cannot take what it was given."""


class MissingParameterError(ParameterError):
    """A parameter without default was given no value."""


class UnknownParameterError(ParameterError):
    """A name that the task has no parameter for."""


class DuplicateParameterError(ParameterError):
    """The same parameter by position and by name, or twice."""


class ParameterValueError(ParameterError):
    """A value that the parameter's kind refuses."""


class SettingsError(UsageError):
    """The settings file, an environment variable or a profile cannot be used."""


class RegistryError(UsageError):
    """The task asked for cannot be looked up."""


class TaskNotFoundError(RegistryError):
    """No task has this name."""


class AmbiguousTaskError(RegistryError):
    """Two classes share the name that was asked for."""


class PipelineImportError(RegistryError):
    """A pipelines module, or the folder itself, cannot be imported."""


class CycleError(UsageError):
    """Tasks that require each other in a circle."""


class NotMadeError(UsageError):
    """The code of a task's class, or of a parameter's, raised something while the task was made."""


class TaskError(EtlctlError):
    """One task's own trouble; its siblings go on."""


class BrokenTaskError(TaskError):
    """requires(), output() or complete() of a task raised, or returned what cannot be used."""


class UnfulfilledError(TaskError):
    """A requirement is not complete at the moment its dependent is about to run."""


class MissingOutputError(TaskError):
    """run() returned, but an output the task declares is not there."""


class BadDataError(TaskError):
    """A row, a value or a file that cannot be loaded; the message names file, line and column."""


class CheckFailedError(TaskError):
    """A check on the loaded rows did not hold; nothing was committed."""

    def __init__(self, message: str = "", findings: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)
        """One `loads.findings.Finding` for each check that failed: what it says, and its sample as data."""


class QueryError(TaskError):
    """A statement that the database, or our tokenizer, refuses."""


class LoadError(TaskError):
    """A load that cannot be carried out as it is declared."""


class CommitInsideError(TaskError):
    """User code tried to commit or roll back inside a load's transaction."""


class FailedInWorkerError(TaskError):
    """Stands for an exception that was raised in another process; its text is the reason told there."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind or type(self).__name__
        """The name of the exception's class there."""


class WorkerDiedError(TaskError):
    """The process that ran the task was killed, crashed or left before the task had ended."""


class TaskTimeoutError(TaskError):
    """The task ran longer than its `timeout` allows, and was ended."""


class BlockedError(EtlctlError):
    """An external input is missing."""

    exit_code = ExitCode.BLOCKED


class UnavailableError(EtlctlError):
    """A database or an object store cannot be used: unreachable, refused, read-only, locked past its timeout."""

    exit_code = ExitCode.UNAVAILABLE


class TransientError(UnavailableError):
    """A lost connection, a deadlock, a lock waited for too long: the whole transaction may go well another time."""


class LockTimeoutError(TransientError):
    """A lock was waited for as long as the settings allow."""


class UnknownCommitError(TransientError):
    """Nobody can tell yet whether a COMMIT took place; the marker tells, as soon as it can be asked."""


class HeldError(EtlctlError):
    """The work is held by, or was taken over by, another process."""

    exit_code = ExitCode.HELD


class TornLoadError(EtlctlError):
    """A marker that says `loading` was committed: something ended the load's transaction in the middle."""

    exit_code = ExitCode.TORN


class AlreadyLoaded(EtlctlError):
    """The marker of a load is there, so its body must not run; whoever runs tasks counts this one as done.

    Raised by `with self.output().transaction()` on the way in, since a `with` cannot skip its body. Our own loads catch
    it in `run()`; a hand-written `run()` lets it pass.
    """

    exit_code = ExitCode.DONE
