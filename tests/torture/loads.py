"""The loads that are tortured: one class for each way of the product into a table. Each writes ROWS rows of its own
number, so that lost, doubled and partial loads can be told by counting.

They are the pipelines of the project that `places.Project` makes, for `etlctl build` too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from etlctl import faultpoints
from etlctl.core.parameters import IntParameter
from etlctl.core.task import ExternalTask, Task
from etlctl.core.task import requires as required
from etlctl.db.table_target import TableTarget
from etlctl.loads.modes import append, merge_on, replace_where
from etlctl.loads.query import QueryTable
from etlctl.loads.sequence import Sequence
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget

ROWS = 300
COLUMNS = {"part": "integer", "number": "integer", "payload": "varchar(40)"}
HALF = "rows.half"
"""A point of the harness: half of the rows of a `rows()` have been asked for."""
INSIDE = "hand.half"
"""A point of the harness: half of the rows of a hand-written load are in the table."""
NUMBERS = "numbers.csv"
PACKED = "numbers.csv.gz"
SOURCE = "numbers"
"""The table that queries read; `places` makes and fills it."""


def numbers() -> Iterator[tuple[int, str]]:
    """What every load consists of, besides its own number."""
    for number in range(ROWS):
        yield number, f"payload {number}, quoted" if number % 97 == 0 else f"payload-{number}"


class NumbersFile(ExternalTask):
    """The file that file loads read."""

    def output(self) -> LocalTarget:
        return LocalTarget(NUMBERS)


class PackedFile(ExternalTask):
    """The same, packed."""

    def output(self) -> LocalTarget:
        return LocalTarget(PACKED)


class RowsLoad(LoadTable):
    """rows() of Python, appended."""

    part = IntParameter()
    table = "t_rows"
    columns = COLUMNS
    mode = append

    def rows(self) -> Iterator[tuple[Any, ...]]:
        for number, payload in numbers():
            if number == ROWS // 2:
                faultpoints.point(HALF)
            yield self.part, number, payload


@required(NumbersFile)
class FileLoad(LoadTable):
    """A file as it is, with a constant beside it, appended."""

    part = IntParameter()
    table = "t_file"
    columns = COLUMNS
    values = {"part": "part"}
    mode = append


@required(PackedFile)
class MergeLoad(LoadTable):
    """A file merged by its key."""

    part = IntParameter()
    table = "t_merge"
    columns = COLUMNS
    values = {"part": "part"}
    mode = merge_on("part", "number")


class QueryLoad(QueryTable):
    """A query of the database itself, appended."""

    part = IntParameter()
    table = "t_query"
    columns = COLUMNS
    mode = append
    query = f"SELECT :part AS part, number, payload FROM {SOURCE}"


class PartitionLoad(QueryTable):
    """A query into one partition, which it replaces."""

    part = IntParameter()
    table = "t_partition"
    columns = COLUMNS
    mode = replace_where("part")
    query = f"SELECT :part AS part, number, payload FROM {SOURCE}"


class HandLoad(Task):
    """Hand-written: whatever runs on the connection of `transaction()`. Its table is there before."""

    part = IntParameter()

    def output(self) -> TableTarget:
        return TableTarget("t_hand", self.task_id)

    def run(self) -> None:
        with self.output().transaction() as connection:
            insert = f"INSERT INTO t_hand SELECT {int(self.part)}, number, payload FROM {SOURCE} WHERE number "
            connection.exec_driver_sql(insert + f"< {ROWS // 2}")
            faultpoints.point(INSIDE)
            connection.exec_driver_sql(insert + f">= {ROWS // 2}")


class FrameLoad(Task):
    """Hand-written: pandas' to_sql on the connection of `transaction()`."""

    part = IntParameter()

    def output(self) -> TableTarget:
        return TableTarget("t_frame", self.task_id)

    def run(self) -> None:
        import pandas

        rows = [(self.part, number, payload) for number, payload in numbers()]
        frame = pandas.DataFrame(rows, columns=list(COLUMNS))
        with self.output().transaction() as connection:
            frame.to_sql("t_frame", con=connection, if_exists="append", index=False)


class StepA(LoadTable):
    """First step of BothLoad."""

    part = IntParameter()
    table = "t_step_a"
    columns = COLUMNS
    mode = append

    def rows(self) -> Iterator[tuple[Any, ...]]:
        return ((self.part, number, payload) for number, payload in numbers())


class StepB(QueryTable):
    """Second step of BothLoad, from what the first has written."""

    part = IntParameter()
    table = "t_step_b"
    columns = COLUMNS
    mode = append
    query = "SELECT part, number, payload FROM t_step_a WHERE part = :part"


class BothLoad(Sequence):
    """Two loads in one transaction."""

    part = IntParameter()
    table = "t_both"

    def steps(self) -> list[Task]:
        return [StepA(self.part), StepB(self.part)]


KINDS: tuple[type[Task], ...] = (RowsLoad, FileLoad, MergeLoad, QueryLoad, PartitionLoad, HandLoad, FrameLoad, BothLoad)
"""Every kind once; the n-th load is of the kind n modulo their number."""
TABLES_BEFORE = ("t_hand", "t_frame", "t_step_a", "t_step_b")
"""Targets that are there before the loads: of hand-written code, and on MySQL of a Sequence, where DDL would commit."""


def load(number: int) -> Task:
    """The load of this number."""
    return KINDS[number % len(KINDS)](part=number)


def expected(task: Task) -> dict[tuple[str, str], int]:
    """The (update_id, table) pairs that a load marks, with the rows it writes into each table."""
    if isinstance(task, BothLoad):
        steps = [step.output() for step in task.steps()]
        return {(task.task_id, "t_both"): 0} | {(target.update_id, target.table): ROWS for target in steps}
    target = task.output()
    return {(target.update_id, target.table): ROWS}
