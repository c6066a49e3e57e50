"""Requirements that are complete without having run: their tables and files hold what a test gives them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from etlctl.core import context
from etlctl.core.task import Task, flatten, requirements_of
from etlctl.db.table_target import TableTarget
from etlctl.errors import UsageError
from etlctl.loads.modes import append
from etlctl.loads.table import LoadTable
from etlctl.suggest import did_you_mean
from etlctl.targets.s3 import S3Target
from etlctl.testing.frozen import Replace
from etlctl.testing.surroundings import NO_S3
from etlctl.text import shortened

Content: TypeAlias = str | bytes | Sequence[Mapping[str, Any]] | None
"""A file's text or bytes; rows of a table, or of a CSV, TSV or JSON lines file; None: it is complete, no more."""
Given: TypeAlias = Mapping[Any, Content]
"""What is given for each required task: its class, which stands for all tasks of it, or the task -> content. (The keys
of a Mapping are invariant, and a user's dict has more special ones.)"""

_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "bigint"),
    (float, "double precision"),
    (Decimal, "numeric(38,9)"),
    (dt.datetime, "timestamp"),
    (dt.date, "date"),
    (bytes, "bytes"),
)


class Giver:
    """What has been given in one test."""

    def __init__(self, replace: Replace) -> None:
        self._replace = replace
        self._done: set[Task] = set()
        self._classes: set[type[Task]] = set()
        self._tables: dict[Task, Content] = {}

    def give(self, task: Task, given: Given) -> None:
        """Makes the requirements of `task` complete with what is given for them.

        UsageError for a class that is none of a requirement's, for content that has no place in the requirement's
        output, and for a requirement that is neither given nor complete.
        """
        requirements = requirements_of(task)
        for key, content in given.items():
            for one in _meant(key, requirements, task):
                self._give_one(one, content)
        missing = [one for one in requirements if not one.complete()]
        if missing:
            labels = ", ".join(one.task_label for one in missing[:5])
            raise UsageError(
                f"{task.task_label} requires {labels}, which nothing was given for. Give a text, rows, or None for "
                f"done: given={{{type(missing[0]).__name__}: …}}."
            )

    def _give_one(self, task: Task, content: Content) -> None:
        if content is None:
            self._mark(task)
            return
        targets = flatten(task.output())
        if len(targets) != 1:
            raise UsageError(
                f"{task.task_label} has {len(targets)} outputs, so content for it has no one place. Give None, and "
                "write what it makes with etl.write()."
            )
        if isinstance(targets[0], S3Target) and context.current().settings.s3.endpoint_url == NO_S3:
            raise UsageError(
                f"{task.task_label} makes {targets[0]}, and there is no S3 in this test: give None, or name a server "
                "by etl_setup, Setup(s3_endpoint=…)."
            )
        if isinstance(targets[0], TableTarget):
            self._give_rows(task, targets[0], content)
        else:
            _write(targets[0], content, task)
        if not task.complete():
            self._mark(task)

    def _mark(self, task: Task) -> None:
        """`complete()` of its class says so from here on."""
        cls, done = type(task), self._done
        if cls not in self._classes:
            self._classes.add(cls)
            own = cls.complete

            def complete(self: Task) -> bool:
                return self in done or own(self)

            self._replace(cls, "complete", complete)
        done.add(task)

    def _give_rows(self, task: Task, target: TableTarget, content: Content) -> None:
        if content is None or isinstance(content, str | bytes):
            raise UsageError(f"{task.task_label} makes the table {target.table}: give it rows, a list of dicts.")
        rows = [dict(row) for row in content]
        if task in self._tables and self._tables[task] != rows:
            raise UsageError(f"{task.task_label} was given other rows before, which are in {target.table}.")
        if task not in self._tables:
            self._tables[task] = [dict(row) for row in rows]
            _load(task, target, rows)


class _GivenRows(LoadTable):
    """Puts rows into the table of another task, under that one's marker."""

    mode = append

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Those of the test."""
        found: list[dict[str, Any]] = self.__dict__["given_rows"]
        return found

    def output(self) -> Any:
        """The other task's marker."""
        return self.__dict__["given_target"]


def _load(task: Task, target: TableTarget, rows: list[dict[str, Any]]) -> None:
    columns = _columns_of(task, rows)
    for name in {name: None for row in rows for name in row}:
        if columns is not None and name not in columns:
            raise UsageError(
                f"{task.task_label} has no column {shortened(name)}.{did_you_mean(name, columns)} "
                f"Its columns: {', '.join(columns)}."
            )
    values: Mapping[str, Any] = getattr(task, "values", {})
    constant = {name: task._value_of(name, source) for name, source in values.items()}  # type: ignore[attr-defined]  # of loads
    if not rows and columns is None:
        target.touch()
        return
    load = _GivenRows()
    names = columns or {name: _type_of(name, rows) for name in rows[0]}
    load.__dict__.update(
        table=target.table,
        connection=target.connection,
        columns=names,
        given_rows=[{name: row.get(name, constant.get(name)) for name in names} for row in rows],
        given_target=target,
    )
    load.run()


def _columns_of(task: Task, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Those that the task declares, by name; without any, of a query, those of the rows; None where nothing is said."""
    declared = getattr(task, "columns", None)
    if isinstance(declared, Mapping):
        return dict(declared)
    if declared:
        return {column.name: column for column in declared}
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _type_of(name, rows) for name in names} or None


def _type_of(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    value = next((row[name] for row in rows if row.get(name) is not None), None)
    return next((words for kind, words in _TYPES if isinstance(value, kind)), "text")


def _meant(key: Any, requirements: Sequence[Task], task: Task) -> list[Task]:
    if isinstance(key, Task):
        return [key]  # also one that run() will yield
    found = [one for one in requirements if isinstance(key, type) and isinstance(one, key)]
    if not found:
        said = key.__name__ if isinstance(key, type) else shortened(repr(key))
        names = list(dict.fromkeys(type(one).__name__ for one in requirements))
        raise UsageError(
            f"{task.task_label} does not require {said}.{did_you_mean(said, names)} "
            f"It requires: {', '.join(names) or 'nothing'}."
        )
    return found


def _write(target: Any, content: Content, task: Task) -> None:
    if not callable(getattr(target, "open", None)):
        raise UsageError(f"{task.task_label} makes {target}, which is neither a file nor a table: give None.")
    if isinstance(content, bytes):
        if not hasattr(target, "path"):
            raise UsageError(f"{task.task_label} makes {target}, which takes text alone.")
        with type(target)(target.path, format=_as_it_is()).open("w") as file:
            file.write(content)
        return
    text = content if isinstance(content, str) else _text_of(content or (), str(getattr(target, "path", target)), task)
    with target.open("w") as file:
        file.write(text)


def _as_it_is() -> Any:
    from etlctl.targets import formats

    return formats.Nop


def _text_of(rows: Sequence[Mapping[str, Any]], path: str, task: Task) -> str:
    """The rows as lines of the file that its name says: CSV or TSV with a header, or JSON lines."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes if suffix.lower() not in (".gz", ".bz2")]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if suffixes[-1:] == [".jsonl"]:
        return "".join(f"{json.dumps(dict(row), default=str)}\n" for row in rows)
    if suffixes[-1:] not in ([".csv"], [".tsv"], [".tab"]):
        raise UsageError(f"{task.task_label} makes {path}: rows can be given for .csv, .tsv and .jsonl, else a text.")
    out = io.StringIO()
    writer = csv.writer(out, delimiter="," if suffixes[-1] == ".csv" else "\t", lineterminator="\n")
    writer.writerow(names)
    writer.writerows(_fields(rows, names))
    return out.getvalue()


def _fields(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> Iterator[list[Any]]:
    for row in rows:
        yield [str(row[name]).lower() if isinstance(row.get(name), bool) else row.get(name) for name in names]
