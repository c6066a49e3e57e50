"""The documents that `--json` prints: their shapes, field by field, and how they are made. One document a call.

Each has `schema`, `version`, `exit_code` and `error`, so a reader can ask `.error` of any. A field that is added leaves
the version; one that is removed or changes its meaning raises it. docs/reference/json.md is written from these classes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Final, TypedDict

from etlctl.cli.classes import first_line, tags_of
from etlctl.cli.declared import Declared
from etlctl.cli.lately_documents import LastDocument, PauseDocument, RunningDocument
from etlctl.cli.parameters import default_text, option_text
from etlctl.cli.pitfalls import pitfall
from etlctl.cli.plain import instant, rounded
from etlctl.core import dates
from etlctl.core.parameters import Parameter
from etlctl.core.plan import PlannedTask
from etlctl.core.registry import Registry
from etlctl.core.results import RunSummary, Status, TaskResult, command_words
from etlctl.core.task import Task
from etlctl.errors import ExitCode, FailedInWorkerError
from etlctl.text import printable

VERSION: Final = 1


class ErrorDocument(TypedDict):
    """What went wrong, in `error`; of a task that failed, and of a call that could not begin."""

    type: Annotated[str, "name of the error's class, such as `TaskNotFoundError`"]
    message: Annotated[str, "the sentence that stderr shows"]


class Document(TypedDict):
    """What every document has."""

    schema: Annotated[str, "which document this is, `etlctl/build` and the like"]
    version: Annotated[int, "version of that schema"]
    exit_code: Annotated[int, "what the process exits with"]
    error: Annotated[ErrorDocument | None, "why the call could not begin; null when it did"]


class FailedDocument(Document):
    """`etlctl/error`: the call could not begin, whatever the command."""


class TaskDocument(TypedDict):
    """A task, wherever one is named."""

    task_id: Annotated[str, "the id in the marker table"]
    family: Annotated[str, "the task's name on the command line"]
    label: Annotated[str, "its short name on a screen, on one line"]
    params: Annotated[dict[str, str], "its public parameters as text"]
    command: Annotated[str, "its words on a command line: `LoadFlights --date 2013-01-02`"]


class ResultDocument(TaskDocument):
    """How one task ended."""

    status: Annotated[str, "OK, FAIL, SKIP, BLOCKED, HELD or UPTODATE"]
    reason: Annotated[str, "the error, the missing input, or what it waited for; empty when all is well"]
    rows: Annotated[int | None, "rows loaded or written; null when it counts none"]
    notes: Annotated[list[str], "sentences worth telling although nothing failed"]
    started_at: Annotated[str | None, "instant in ISO 8601, UTC; null when it did not run"]
    duration_s: Annotated[float | None, "seconds it ran; null when it did not run"]
    where: Annotated[str, "file and line of the code that failed, or empty"]
    details: Annotated[list[str], "more lines of the error"]
    exit_code: Annotated[int, "the exit code this task alone would give"]
    error: Annotated[ErrorDocument | None, "the error it failed with"]


class BuildDocument(Document):
    """`etlctl/build`: the end of a run."""

    run_id: Annotated[str, "id of the run"]
    started_at: Annotated[str, "instant in ISO 8601, UTC"]
    duration_s: Annotated[float, "seconds"]
    interrupted: Annotated[bool, "a signal, or `etlctl stop`, ended it early"]
    stopped: Annotated[str, "who asked for that end with `etlctl stop`, and why; empty when nobody did"]
    counts: Annotated[dict[str, int], "tasks by status; every status is a key"]
    tasks: Annotated[list[ResultDocument], "in the order in which they ended; those found complete come first"]


class PlannedDocument(TaskDocument):
    """What a build would do with one task."""

    decision: Annotated[str, "run, done, blocked, broken or unneeded"]
    reason: Annotated[str, "why, in plain words; empty for done"]
    requires: Annotated[list[str] | None, "task_ids of its direct requirements; null where requires() failed"]


class PlanDocument(Document):
    """`etlctl/plan`: what a build would do."""

    counts: Annotated[dict[str, int], "tasks by decision; every decision is a key"]
    roots: Annotated[list[str], "task_ids of the tasks asked for"]
    tasks: Annotated[list[PlannedDocument], "requirements before what requires them; done ones too"]
    command: Annotated[str, "the command that runs it"]


class StatusTaskDocument(TaskDocument):
    """How one task stands."""

    state: Annotated[str, "done, missing, blocked or unknown"]
    reason: Annotated[str, "why it is not done, in plain words"]
    done_at: Annotated[str | None, "when its outputs were last written (ISO 8601, UTC); null when that is not known"]
    running: Annotated[RunningDocument | None, "who is at it now; null for nobody"]
    last: Annotated[LastDocument | None, "its last result by the history; null for none"]


class NeedsDocument(TypedDict):
    """A task that cannot be asked without more words."""

    family: Annotated[str, "the task's name on the command line"]
    needs: Annotated[list[str], "names of the parameters that have no default"]


class StatusDocument(Document):
    """`etlctl/status`: what is done."""

    counts: Annotated[dict[str, int], "tasks by state; every state is a key"]
    tasks: Annotated[list[StatusTaskDocument], "requirements before what requires them"]
    unasked: Annotated[list[NeedsDocument], "tasks that need parameters; only without a TASK"]
    paused: Annotated[list[PauseDocument], "what loops do not begin, whether asked for or not"]


class ParameterDocument(TypedDict):
    """One parameter of a task."""

    name: Annotated[str, "its name in Python"]
    option: Annotated[str, "how the command line gives it: `--date`, or `-p force=` where a built-in has the name"]
    kind: Annotated[str, "class of the parameter, such as `DateParameter`"]
    accepts: Annotated[str, "what it takes, in words"]
    default: Annotated[str | None, "its value when none is given, as text, `***` when private; null when required"]
    description: Annotated[str, "what its author says of it"]
    significant: Annotated[bool, "part of the task's identity"]
    visibility: Annotated[str, "public, hidden or private"]


class ClassDocument(TypedDict):
    """One task class."""

    family: Annotated[str, "the task's name on the command line"]
    doc: Annotated[str, "first line of its docstring"]
    module: Annotated[str, "the module it is written in"]
    tags: Annotated[list[str], "its tags"]
    parameters: Annotated[list[ParameterDocument], "in positional order"]
    pitfall: Annotated[str | None, "what would lose rows without an error, and how to mend it; null for nothing"]


class BrokenModuleDocument(TypedDict):
    """A module of the pipelines that fails to import."""

    module: Annotated[str, "dotted name"]
    path: Annotated[str, "its file"]
    line: Annotated[int | None, "line of the error"]
    message: Annotated[str, "the error on one line"]


class ListDocument(Document):
    """`etlctl/list`: the tasks of the project."""

    tasks: Annotated[list[ClassDocument], "by name"]
    broken: Annotated[list[BrokenModuleDocument], "modules whose tasks are not listed"]


class ShownDocument(ClassDocument):
    """A task class with all that can be told of it."""

    place: Annotated[str, "file and line of the class"]
    docstring: Annotated[str, "all of its docstring"]
    bases: Annotated[list[str], "names of the classes it is derived from, nearest first"]
    table: Annotated[str | None, "the table it loads; null when it loads none"]
    connection: Annotated[str | None, "name of the connection it uses; null when it uses none"]
    mode: Annotated[str | None, "how it writes: append, replace(), …; null when it loads no table"]
    columns: Annotated[dict[str, str], "the columns it declares, with their types"]
    values: Annotated[dict[str, str], "columns it fills itself: with which parameter or attribute, or which value"]
    null_values: Annotated[list[str] | None, "texts that mean NULL; null when it loads no table"]
    deadline: Annotated[str | None, "time of day by which loops want it done; null without one"]
    checks: Annotated[list[str], "what must hold for the rows of a load"]
    redshift: Annotated[str | None, "how Redshift keeps its table, as the class says it; null when it does not"]
    query: Annotated[str | None, "the text of its query; null when it has none"]
    query_place: Annotated[str | None, "the file of the query, or the class it stands in; null without one"]
    reads: Annotated[list[str], "tables that its query reads"]
    requires: Annotated[list[str] | None, "families it requires; null when that cannot be told without parameters"]
    outputs: Annotated[list[str] | None, "what it makes; null when that cannot be told without parameters"]


class ShowDocument(Document):
    """`etlctl/show`: everything about one task."""

    task: Annotated[ShownDocument, "the task"]


class TableDocument(Document):
    """`etlctl/table`: who writes and who reads a table."""

    table: Annotated[str, "its name as it was asked for"]
    writers: Annotated[list[str], "families that load it"]
    readers: Annotated[list[str], "families whose query reads it"]


class NodeDocument(TaskDocument):
    """One task of the graph."""

    state: Annotated[str, "done, missing, blocked or unknown"]
    requires: Annotated[list[str] | None, "task_ids of its direct requirements; null where requires() failed"]


class GraphDocument(Document):
    """`etlctl/graph`: tasks and what they require."""

    roots: Annotated[list[str], "task_ids of the tasks asked for"]
    tasks: Annotated[list[NodeDocument], "requirements before what requires them"]


class ShellDocument(TypedDict):
    """How one shell is set up."""

    shell: Annotated[str, "bash, zsh or fish"]
    file: Annotated[str, "the file it reads at its start"]
    line: Annotated[str, "the line to add there"]


class CompletionDocument(Document):
    """`etlctl/completion`: how completion is set up."""

    shells: Annotated[list[ShellDocument], "every shell that is known"]
    script: Annotated[str | None, "the script of the shell that was named; null without one"]


SCHEMAS: Final[dict[str, type[Any]]] = {
    "etlctl/error": FailedDocument,
    "etlctl/build": BuildDocument,
    "etlctl/plan": PlanDocument,
    "etlctl/status": StatusDocument,
    "etlctl/list": ListDocument,
    "etlctl/show": ShowDocument,
    "etlctl/table": TableDocument,
    "etlctl/graph": GraphDocument,
    "etlctl/completion": CompletionDocument,
}
"""The documents of this file, by their `schema`; all there are: schemas.py."""


def dump(document: Any) -> str:
    """The document as text. ASCII alone: an escape sequence in a name cannot reach a terminal."""
    return json.dumps(document, indent=2)


def head(schema: str, exit_code: int = 0) -> Document:
    """What every document begins with."""
    return Document(schema=schema, version=VERSION, exit_code=int(exit_code), error=None)


def error_document(error: BaseException, exit_code: ExitCode, message: str) -> FailedDocument:
    """The document of a call that could not begin."""
    told = problem(error, message)
    return FailedDocument(schema="etlctl/error", version=VERSION, exit_code=int(exit_code), error=told)


def problem(error: BaseException | None, message: str | None = None) -> ErrorDocument | None:
    """An error, with its own words or `message`; None for none."""
    if error is None:
        return None
    return ErrorDocument(type=_kind_of(error), message=str(error) if message is None else message)


def task_document(task: Task) -> TaskDocument:
    """A task by its names."""
    return TaskDocument(
        task_id=task.task_id,
        family=task.task_family,
        label=task.task_label,
        params=task.to_str_params(only_public=True),
        command=command_words(task),
    )


def build_document(summary: RunSummary) -> BuildDocument:
    """The end of a run."""
    return BuildDocument(
        **head("etlctl/build", summary.exit_code),
        run_id=summary.run_id,
        started_at=summary.started_at.isoformat(),
        duration_s=round(summary.duration_s, 3),
        interrupted=summary.interrupted is not None,
        stopped=summary.stopped,
        counts={str(status): summary.counts[status] for status in Status},
        tasks=[_result_document(result) for result in summary.results],
    )


def _result_document(result: TaskResult) -> ResultDocument:
    error = result.error
    return ResultDocument(
        **task_document(result.task),
        status=str(result.status),
        reason=result.reason,
        rows=result.rows,
        notes=list(result.notes),
        started_at=instant(result.started_at),
        duration_s=rounded(result.duration_s),
        where=printable(result.where),
        details=list(result.details),
        exit_code=int(result.exit_code),
        error=problem(error, result.reason),
    )


def _kind_of(error: BaseException) -> str:
    return error.kind if isinstance(error, FailedInWorkerError) else type(error).__name__


def planned_document(planned: PlannedTask) -> PlannedDocument:
    """What a build would do with one task."""
    requires = None if planned.requires is None else [task.task_id for task in planned.requires]
    return PlannedDocument(
        **task_document(planned.task), decision=str(planned.decision), reason=planned.reason, requires=requires
    )


def list_document(registry: Registry, classes: Iterable[type[Task]]) -> ListDocument:
    """Tasks of a project."""
    return ListDocument(
        **head("etlctl/list"),
        tasks=[class_document(cls) for cls in classes],
        broken=[
            BrokenModuleDocument(module=one.module, path=one.path, line=one.line, message=one.message)
            for one in registry.broken
        ],
    )


def class_document(cls: type[Task], taken: Collection[str] = ()) -> ClassDocument:
    """A task class as `list` names it; `taken` are the spellings of built-in options."""
    return ClassDocument(
        family=cls.task_family,
        doc=first_line(cls),
        module=cls.__module__,
        tags=tags_of(cls),
        parameters=[_parameter_document(cls, name, parameter, taken) for name, parameter in cls.get_params()],
        pitfall=pitfall(cls),
    )


def show_document(told: Declared, taken: Collection[str]) -> ShowDocument:
    """Everything about one task class."""
    return ShowDocument(
        **head("etlctl/show"),
        task=ShownDocument(
            **class_document(told.cls, taken),
            place=told.place,
            docstring=told.docstring,
            bases=list(told.bases),
            table=told.table,
            connection=told.connection,
            mode=told.mode,
            columns=dict(told.columns),
            values=dict(told.values),
            null_values=None if told.null_values is None else list(told.null_values),
            deadline=told.deadline,
            checks=list(told.checks),
            redshift=told.redshift,
            query=told.query,
            query_place=told.query_place,
            reads=list(told.reads),
            requires=None if told.requires is None else list(told.requires),
            outputs=None if told.outputs is None else list(told.outputs),
        ),
    )


def _parameter_document(
    cls: type[Task], name: str, parameter: Parameter[Any], taken: Collection[str]
) -> ParameterDocument:
    return ParameterDocument(
        name=name,
        option=option_text(name, taken),
        kind=type(parameter).__name__,
        accepts=dates.accepts(parameter),
        default=default_text(cls, name, parameter),
        description=parameter.description,
        significant=parameter.significant,
        visibility=parameter.visibility.name.lower(),
    )
