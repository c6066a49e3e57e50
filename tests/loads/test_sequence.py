from __future__ import annotations

from typing import Any, ClassVar

import pytest

from etlctl import faultpoints
from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import IntParameter
from etlctl.core.task import ExternalTask, Task, WrapperTask
from etlctl.db.table_target import TableTarget
from etlctl.errors import BadDataError, LoadError, MissingOutputError
from etlctl.loads.modes import replace
from etlctl.loads.sequence import Sequence
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget
from warehouse import Warehouse, die_at, ended, forked


class Feed(ExternalTask):
    def output(self) -> LocalTarget:
        return LocalTarget("feed.csv")


class First(LoadTable):
    number = IntParameter(default=1)
    table = "first"
    columns = {"x": "integer"}
    lineage = True

    def requires(self) -> Any:
        return Feed()

    def rows(self) -> Any:
        return [(self.number,), (self.number,)]


class Second(Task):
    """Written by hand; needs what First has loaded."""

    def requires(self) -> Any:
        return First()

    def output(self) -> TableTarget:
        return TableTarget("second", self.task_id)

    def run(self) -> None:
        with self.output().transaction(replaces=True) as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS second")
            connection.exec_driver_sql("CREATE TABLE second AS SELECT sum(x) AS x FROM first")


class Third(LoadTable):
    columns = {"x": "integer"}
    mode = replace
    given: ClassVar[Any] = 3

    def rows(self) -> Any:
        return [(self.given,)]


class Star(Sequence):
    """All three or none."""

    def steps(self) -> Any:
        return [First(), Second(), Third()]


def test_sequence_commits_its_steps_and_all_markers(warehouse: Warehouse) -> None:
    """Each step's own marker besides the Sequence's, in one transaction, with the rows of all."""
    with attempting(Attempt()) as attempt:
        Star().run()

    assert warehouse.markers() == [
        (First().task_id, "first", "done", 2),
        (Second().task_id, "second", "done", None),
        (Star().task_id, "star", "done", 3),
        (Third().task_id, "third", "done", 1),
    ]
    assert warehouse.ask("SELECT x FROM second") == [(2,)]
    assert Star().complete() and First().complete() and attempt.rows == 3


def test_sequence_with_a_failing_step_leaves_nothing(warehouse: Warehouse) -> None:
    """The steps before it are taken back, with tables and markers."""

    class Broken(Third):
        given = "three"

    class Failing(Sequence):
        def steps(self) -> Any:
            return [First(), Second(), Broken()]

    with pytest.raises(BadDataError, match="row 1, column x: 'three'"):
        Failing().run()

    assert warehouse.markers() == []
    assert warehouse.ask("SELECT name FROM sqlite_schema WHERE name IN ('first', 'second', 'broken')") == []


@pytest.mark.parametrize("point", ["load.marker", "load.copied", "load.rowcount"])
def test_sequence_killed_then_run_again_loads_once(warehouse: Warehouse, point: str) -> None:
    """kill -9 in the middle of the first step."""

    def work() -> None:
        die_at(point)
        Star().run()

    assert ended(forked(work)) == -9
    assert warehouse.markers() == []

    Star().run()

    assert warehouse.count("first") == 2 and len(warehouse.markers()) == 4


def test_sequence_killed_after_commit_is_done(warehouse: Warehouse) -> None:
    """One COMMIT for all of it."""

    def work() -> None:
        die_at("load.committed")
        Star().run()

    assert ended(forked(work)) == -9

    assert len(warehouse.markers()) == 4 and Star().complete()


def test_sequence_commits_once(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps pass their points, COMMIT is passed at the end alone."""
    passed: list[str] = []
    monkeypatch.setattr(faultpoints, "point", passed.append)

    Star().run()

    assert passed.count("load.committed") == 1 and passed[-1] == "load.committed"
    assert passed.count("load.marker") == 4


def test_a_step_that_is_done_is_passed_over(warehouse: Warehouse) -> None:
    """It was loaded elsewhere, and does not load again."""
    First().run()

    Star().run()

    assert warehouse.count("first") == 2 and Star().complete()


def test_sequence_requires_what_its_steps_require_from_outside(warehouse: Warehouse) -> None:
    """The file; not the steps themselves."""
    assert Star().requires() == [Feed()]


def test_force_on_a_sequence_forces_its_steps(warehouse: Warehouse) -> None:
    """Rows are replaced, in one transaction, one marker each."""
    Star().run()

    with attempting(Attempt(forced=True)):
        Star().run()

    assert warehouse.count("first") == 2 and warehouse.count("third") == 1 and len(warehouse.markers()) == 4


class MakesFile(Task):
    def output(self) -> LocalTarget:
        return LocalTarget("report.csv")


class NoOutput(Task):
    pass


class Wrapper(WrapperTask):
    pass


class Elsewhere(Third):
    connection = "sqlite:///other.db"


class Yields(Second):
    def requires(self) -> Any:
        return []

    def run(self) -> Any:
        yield First()


class WritesNothing(Second):
    def requires(self) -> Any:
        return []

    def run(self) -> None:
        pass


@pytest.mark.parametrize(
    ("step", "error", "said"),
    [
        (MakesFile(), LoadError, "the step MakesFile.* makes .*report.csv, which no transaction can take back"),
        (NoOutput(), LoadError, "the step NoOutput.* has no marker"),
        (Wrapper(), LoadError, "the step Wrapper.* has no marker"),
        (Elsewhere(), LoadError, r"loads into sqlite:///.*other\.db, and the Sequence into warehouse"),
        (Yields(), LoadError, "the step Yields.* yields tasks"),
        (WritesNothing(), MissingOutputError, "the step WritesNothing.* ran, but its output marker .* is missing"),
        (Second(), LoadError, "the step Second.* requires First.*, which comes after it"),
    ],
)
def test_steps_that_cannot_be_part_of_it(warehouse: Warehouse, step: Task, error: type[Exception], said: str) -> None:
    """Refused with a sentence, and nothing is written."""

    class Refused(Sequence):
        def steps(self) -> Any:
            return [step, First()]

    with pytest.raises(error, match=said):
        Refused().run()

    assert warehouse.markers() == []


def test_a_sequence_in_a_sequence(warehouse: Warehouse) -> None:
    """It joins, with its own marker."""

    class Outer(Sequence):
        def steps(self) -> Any:
            return [Star(), First(number=2)]

    Outer().run()

    assert [row[1] for row in warehouse.markers()] == ["first", "first", "outer", "second", "star", "third"]
    assert warehouse.count("first") == 4
