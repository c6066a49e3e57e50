"""How rows get into a table that has rows already: what a task's `mode` is set to. The SQL of it is in db/rows.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etlctl.errors import LoadError
from etlctl.suggest import did_you_mean
from etlctl.text import shortened


@dataclass(frozen=True)
class Append:
    """Rows are added to those that are there."""

    def __call__(self) -> Append:
        """The same: `append()` reads as well as `append`."""
        return self

    def __repr__(self) -> str:
        return "append"


@dataclass(frozen=True)
class Replace:
    """All rows are replaced: DELETE and INSERT in one transaction, so that no reader sees the table empty."""

    recreate: bool = False
    """The table itself is made anew as well, with the columns of the rows that come."""

    def __call__(self, *, recreate: bool = False) -> Replace:
        """`replace(recreate=True)`."""
        return Replace(recreate=recreate)

    def __repr__(self) -> str:
        return "replace(recreate=True)" if self.recreate else "replace"


@dataclass(frozen=True)
class ReplaceWhere:
    """The rows of a partition are replaced: those that agree in these columns with the rows that come."""

    columns: tuple[str, ...]

    def __repr__(self) -> str:
        return f"replace_where({', '.join(map(repr, self.columns))})"


@dataclass(frozen=True)
class MergeOn:
    """Rows whose key is there are updated, the others added."""

    columns: tuple[str, ...]

    def __repr__(self) -> str:
        return f"merge_on({', '.join(map(repr, self.columns))})"


@dataclass(frozen=True)
class ReplaceWindow:
    """The rows between two values of a column are replaced: what an Incremental does that has no mode."""

    column: str

    def __repr__(self) -> str:
        return f"the window of {self.column} is replaced"


Mode = Append | Replace | ReplaceWhere | MergeOn | ReplaceWindow

append = Append()
replace = Replace()


def replace_where(*columns: str) -> ReplaceWhere:
    """Deletes the partition that these columns name, by the load's own values for them, and inserts the rows."""
    return ReplaceWhere(_names("replace_where", columns))


def merge_on(*columns: str) -> MergeOn:
    """Updates the rows that agree in these columns and inserts the others; the table must keep them unique."""
    return MergeOn(_names("merge_on", columns))


def default_mode(values: Mapping[str, Any]) -> Mode:
    """What a task without `mode` has: the partition of its `values` is replaced; without any, rows are appended."""
    return ReplaceWhere(tuple(values)) if values else append


def as_mode(value: Any, *, where: str) -> Mode:
    """`value` when it is a mode; LoadError that says what to write when it is not. `where` is the task class's name."""
    if isinstance(value, (Append, Replace, ReplaceWhere, MergeOn)):
        return value
    if value in (replace_where, merge_on):
        raise LoadError(f'{where}.mode = {value.__name__} names no columns; write {value.__name__}("column").')
    if isinstance(value, str):
        write = _WRITTEN.get(value.strip().lower().replace("-", "_"))
        hint = f" write mode = {write}, from etlctl import {write.partition('(')[0]}." if write else ""
        near = did_you_mean(value, _WRITTEN) if write is None else ""
        raise LoadError(
            f"{where}.mode is the text {shortened(repr(value))}; modes are objects:{hint or f' {_ALL}.'}{near}"
        )
    raise LoadError(f"{where}.mode is {shortened(repr(value))}, which is no mode; there are {_ALL}.")


_ALL = 'append, replace, replace_where("column", …) and merge_on("column", …)'
_WRITTEN = {
    "append": "append",
    "insert": "append",
    "replace": "replace",
    "overwrite": "replace",
    "truncate": "replace",
    "replace_where": 'replace_where("column")',
    "delete_insert": 'replace_where("column")',
    "merge": 'merge_on("column")',
    "merge_on": 'merge_on("column")',
    "upsert": 'merge_on("column")',
}


def _names(mode: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    if not columns or not all(isinstance(name, str) and name for name in columns):
        raise LoadError(f'{mode} takes names of columns, one text for each: {mode}("a", "b").')
    folded = [name.lower() for name in columns]
    doubled = [name for index, name in enumerate(columns) if name.lower() in folded[:index]]
    if doubled:
        raise LoadError(f"{mode} names the column {shortened(doubled[0])} twice.")
    return columns
