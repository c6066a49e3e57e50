"""Project: one test's own copy of the project, with databases and files that nobody else sees. What `etl` is.

* `run(task, given)`: requirements are given rows or texts, or marked complete (Giver); then App.build runs the task
  alone, in this process; TaskFailed where it did not end well.
* `freeze(day)`: the present of the project's modules (Present).
* `assert_rows`, `assert_repeatable`: what is in tables and files (comparing).
"""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from etlctl.app import App
from etlctl.core import dates
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.core.task import Task
from etlctl.errors import UsageError
from etlctl.settings import Settings
from etlctl.suggest import did_you_mean
from etlctl.testing import comparing
from etlctl.testing.frozen import Present, Replace, below, instant_of
from etlctl.testing.giving import Given, Giver
from etlctl.text import shortened

_NOTHING: Given = MappingProxyType({})
_DONE = (Status.OK, Status.UPTODATE)


class TaskFailed(AssertionError):
    """A task of a test did not end as the test says."""


class Project:
    """The project of one test. Tasks made in the test find its settings, and relative paths start in its folder."""

    def __init__(self, app: App, origin: Path, replace: Replace) -> None:
        self._app = app
        self._replace = replace
        self._giver = Giver(replace)
        self._present: Present | None = None
        self.origin = origin
        """The real project's folder."""

    @property
    def folder(self) -> Path:
        """Its own folder, where all of its files are; the current one while the test runs."""
        return self.settings.project

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._app.settings

    # -- files

    def write(self, path: str, content: str | bytes) -> Path:
        """Writes a file of the project, with the folders it needs. UsageError for a path that leads out of it."""
        place = self._inside(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return place

    def read(self, path: str) -> str:
        """The text of a file of the project; of a .gz or .bz2 what is packed in it."""
        return _unpacked(self._inside(path)).decode()

    def copy(self, *paths: str) -> None:
        """Brings files or folders of the real project, such as `data/products.csv`, to the same place here."""
        for path in paths:
            source, place = self.origin / path, self._inside(path)
            if not source.exists():
                near = did_you_mean(source.name, os.listdir(source.parent) if source.parent.is_dir() else ())
                raise UsageError(f"The project {self.origin} has no {path}.{near}")
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True)
            else:
                shutil.copy2(source, place)

    # -- time

    def freeze(self, moment: dt.date | dt.datetime | str) -> dt.date:
        """Makes a day (its noon) or an instant the present of the project's modules; returns the day.

        `date.today()` and `datetime.now()` there say so, defaults of parameters and the words of `tasks()` too. The
        clock stands still, and can be set again. Databases, and modules outside of the project, have their own.
        """
        instant = instant_of(moment)
        if self._present is None:
            self._present = Present(instant)
        self._present.instant = instant
        registry = self._app.registry
        self._present.install(below(registry.packages), self._replace)
        for cls in registry.classes():
            for _, parameter in cls.get_params():
                stands_for = self._present.of(parameter.default)
                if stands_for is not None:
                    self._replace(parameter, "default", stands_for)
        return instant.astimezone().date()

    @property
    def today(self) -> dt.date:
        """The day of the present: the frozen one, or that of this machine."""
        return self._now.date()

    @property
    def _now(self) -> dt.datetime:
        return self._present.instant.astimezone() if self._present is not None else dt.datetime.now().astimezone()

    # -- tasks

    def task(self, cls: type[Task] | str, **values: Any) -> Task:
        """One task, by its class or name: texts mean what they do on the command line (`date="yesterday"`)."""
        found = self.tasks(cls, **values)
        if len(found) != 1:
            raise UsageError(f"{len(found):,} tasks are meant: make them with tasks().")
        return found[0]

    def tasks(self, cls: type[Task] | str, **values: Any) -> list[Task]:
        """The tasks that the values mean; a range `A..B` is every step of it, several are every combination."""
        found = self._app.registry.find(cls) if isinstance(cls, str) else cls
        known = dict(found.get_params())
        combinations: list[dict[str, Any]] = [{}]
        for name, value in values.items():
            if name in known and isinstance(value, str):
                try:
                    several = dates.expand(known[name], value, self._now)
                except ValueError as error:
                    raise UsageError(f"{found.task_family}.{name}: {shortened(repr(value))}: {error}.") from error
            else:
                several = [value]
            combinations = [{**one, name: each} for one in combinations for each in several]
        return [found(**one) for one in combinations]

    def run(self, task: Task, *, given: Given = _NOTHING, force: bool = False) -> TaskResult:
        """Runs this one task, its requirements being complete: by `given`, or by what the test did before.

        A task that is complete is not run (UPTODATE), unless by `force`. Raises TaskFailed with the reason, and what
        the task raised as its cause; UsageError for a requirement that is not complete, or given and not required.
        """
        __tracebackhide__ = True
        result = self._ran(task, given, force=force)
        if result.status not in _DONE:
            raise TaskFailed(_told(result)) from result.error
        return result

    def failure_of(self, task: Task, *, given: Given = _NOTHING, force: bool = False) -> TaskResult:
        """As `run`, for a task that is to fail; its `reason` and `error` say with what. TaskFailed if it does not."""
        __tracebackhide__ = True
        result = self._ran(task, given, force=force)
        if result.status in _DONE:
            raise TaskFailed(f"{task.task_label} was to fail, and it ended well: {result.status}.")
        return result

    def build(self, *tasks: Task, force: bool = False) -> RunSummary:
        """Builds the tasks with all they require, in this process; true when all is done, as `etlctl.build`'s."""
        from etlctl.runs import RunOptions

        options = RunOptions(wait_held_s=0, has_state=False, command="a test")
        return self._app.build(list(tasks), force=tasks if force else (), options=options)

    def assert_repeatable(self, task: Task, *, given: Given = _NOTHING) -> None:
        """Runs the task, builds it again, and runs it again by force: neither may change a table or a file.

        AssertionError with the rows or files that changed; TaskFailed where one of the runs fails, as a load does
        that cannot be forced.
        """
        __tracebackhide__ = True
        self.run(task, given=given)
        before = self._contents()
        for force, said in ((False, "again"), (True, "again by force")):
            self.run(task, force=force)
            changes = _changes(before, self._contents())
            if changes:
                raise AssertionError("\n".join([f"{task.task_label}: running it {said} changed", *changes]))

    # -- tables

    def rows(self, table_or_query: str, *, connection: str | None = None, **values: Any) -> list[dict[str, Any]]:
        """The rows of a table, or of a query whose `:name` are `values`, as the driver gives them."""
        import sqlalchemy as sa

        from etlctl.db.words import named_table

        database = self._app.context.database(connection)
        query: Any
        if len(table_or_query.split()) > 1:
            query = sa.text(table_or_query)
        else:
            query = sa.select(sa.text("*")).select_from(named_table(database.dialect.table_name(table_or_query), ()))
        with database.reading(f"reading {shortened(table_or_query)}") as found:
            return [dict(row) for row in found.execute(query, values).mappings()]

    def assert_rows(
        self,
        table_or_query: str,
        expected: Iterable[Mapping[str, Any]],
        *,
        connection: str | None = None,
        **values: Any,
    ) -> None:
        """The table, or query, has exactly these rows, in any order; columns that none of them names are passed over.

        The same on every database: a date is its ISO text, True is 1, `Decimal("4.50")` is 4.5, numbers have 12
        digits. AssertionError with the rows that are missing and those that are too many.
        """
        __tracebackhide__ = True
        wanted = [dict(row) for row in expected]
        found = self.rows(table_or_query, connection=connection, **values)
        columns = list(dict.fromkeys(name for row in wanted for name in row))
        said = shortened(table_or_query)
        for name in columns:
            lacking = [row for row in wanted if name not in row]
            if lacking:
                raise UsageError(f"The rows expected of {said} are not alike: {lacking[0]} has no {name}.")
            if found and name not in found[0]:
                raise AssertionError(
                    f"{said} has no column {name}.{did_you_mean(name, found[0])} It has: {', '.join(found[0])}."
                )
        lines = comparing.difference(found, wanted, columns or list(found[0] if found else ()))
        if lines:
            raise AssertionError("\n".join([f"{said} has not the rows that were expected: {lines[0]}", *lines[1:]]))

    # -- inside

    def _inside(self, path: str) -> Path:
        place = Path(os.path.normpath(self.folder / path))
        if not place.is_relative_to(self.folder) or place == self.folder:
            raise UsageError(f"{path} is no file of the test's project: give a path that begins in its folder.")
        return place

    def _ran(self, task: Task, given: Given, *, force: bool) -> TaskResult:
        if force or given or not task.complete():
            self._giver.give(task, given)
        summary = self.build(task, force=force)
        return next(result for result in reversed(summary.results) if result.task == task)

    def _contents(self) -> dict[str, Any]:
        """All tables but our own, and all files, by a name for a message."""
        import sqlalchemy as sa

        found: dict[str, Any] = {}
        for name in self.settings.connections:
            database = self._app.context.database(name)
            if database.is_absent:
                continue
            with database.reading("comparing") as connection:
                tables = sa.inspect(connection).get_table_names()
            ours = (str(database.marker_name.name), "etlctl_audit")
            for table in tables:
                if table not in ours:
                    found[f"table {table} of {name}"] = self.rows(table, connection=name)
        for file in sorted(self.folder.rglob("*")):
            path = file.relative_to(self.folder)
            if file.is_file() and path.parts[0] != ".etlctl":
                found[f"file {path}"] = _unpacked(file)
        return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        first, second = before.get(name), after.get(name)
        if isinstance(first, list) and isinstance(second, list):
            lines.extend(_changed_rows(name, first, second))
        elif first != second:
            lines.append(f"  {name}" + (" (it is new)" if first is None else " (it is gone)" if second is None else ""))
    return lines


def _changed_rows(name: str, first: Sequence[comparing.Row], second: Sequence[comparing.Row]) -> list[str]:
    if comparing.contents(first) == comparing.contents(second):
        return []
    columns = list((first or second)[0])
    return [f"  {name}:", *(f"    {line}" for line in comparing.difference(second, first, columns))]


def _unpacked(file: Path) -> bytes:
    opened: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(file.suffix.lower(), open)
    with opened(file, "rb") as packed:
        content: bytes = packed.read()
    return content


def _told(result: TaskResult) -> str:
    where = f"   {result.where}" if result.where else ""
    lines = [f"{result.status}  {result.task.task_label}{where}", f"  {result.reason}"]
    return "\n".join([*lines, *(f"  {one}" for one in result.details)])
