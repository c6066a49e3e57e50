"""Asking for many targets at once: by class, in order, and with errors that stay with their own targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl import Parameter, Target, Task
from etlctl.core.target import exists_in_bulk
from running import Shelf, plan, run, statuses


class Row(Target):
    """Answers in bulk; counts the questions."""

    there: ClassVar[set[str]] = set()
    questions: ClassVar[list[int]] = []

    def __init__(self, key: str) -> None:
        self.key = key

    def exists(self) -> bool:
        return type(self).exists_many([self])[0] is True

    @classmethod
    def exists_many(cls, targets: Sequence[Self]) -> Sequence[bool | Exception]:
        cls.questions.append(len(targets))
        return [ValueError(one.key) if one.key == "bad" else one.key in cls.there for one in targets]


@pytest.fixture(autouse=True)
def emptied() -> None:
    Row.there = {"a", "c"}
    Row.questions.clear()


def test_bulk_asks_each_class_once() -> None:
    """However many targets of a class there are, its exists_many is called once."""
    rows = [Row(key) for key in "abcd"]
    assert list(exists_in_bulk(rows).values()) == [True, False, True, False]
    assert Row.questions == [4]


@given(st.lists(st.sampled_from(["a", "b", "c", "bad", "file"])))
def test_bulk_answers_are_each_targets_own(keys: list[str]) -> None:
    """In whatever order kinds are mixed, each target gets the answer exists() would give, or its error."""
    shelf = Shelf("file")
    targets: list[Any] = [shelf.target("file") if key == "file" else Row(key) for key in keys]

    found = exists_in_bulk(targets)

    for key, target in zip(keys, targets, strict=True):
        answer = found[id(target)]
        if key == "bad":
            assert isinstance(answer, ValueError)
        else:
            assert answer is (key in {"a", "c", "file"})


def test_bulk_does_not_pass_an_own_exists_by() -> None:
    """A subclass that overrides exists() alone is asked one by one."""

    class Always(Row):
        def exists(self) -> bool:
            return True

    target = Always("zzz")
    assert exists_in_bulk([target]) == {id(target): True}
    assert Row.questions == []


def test_bulk_takes_targets_of_other_breeding() -> None:
    """Anything with exists() is a target; a truthy answer is a yes."""

    class Plain:
        def exists(self) -> int:
            return 7

    target = Plain()
    assert exists_in_bulk([target]) == {id(target): True}


class Needs(Task):
    key = Parameter()

    def output(self) -> Any:
        return Row(self.key)

    def run(self) -> Any:
        Row.there.add(self.key)


def test_bulk_question_that_fails_leaves_other_kinds_alone() -> None:
    """exists_many that raises, exits or answers too little breaks the tasks of its class and no sibling."""

    class Down(Row):
        @classmethod
        def exists_many(cls, targets: Sequence[Self]) -> Sequence[bool | Exception]:
            raise ConnectionError("the store is down")

    class Leaving(Row):
        @classmethod
        def exists_many(cls, targets: Sequence[Self]) -> Sequence[bool | Exception]:
            raise SystemExit(0)

    class Short(Row):
        @classmethod
        def exists_many(cls, targets: Sequence[Self]) -> Sequence[bool | Exception]:
            return [True]

    class Kept(Task):
        kind = Parameter()

        def output(self) -> Any:
            return [{"Down": Down, "Leaving": Leaving, "Short": Short}[self.kind](key) for key in "ab"]

    summary = run(Kept("Down"), Kept("Leaving"), Kept("Short"), Needs("new"))

    assert statuses(summary) == {
        "Kept(Down)": "FAIL",
        "Kept(Leaving)": "FAIL",
        "Kept(Short)": "FAIL",
        "Needs(new)": "OK",
    }
    reasons = {result.task.task_label: result.reason for result in summary.results}
    assert reasons["Kept(Down)"] == "ConnectionError: the store is down"
    assert "sys.exit(0)" in reasons["Kept(Leaving)"]
    assert "Short.exists_many() gave 1 answers for 2 targets" in reasons["Kept(Short)"]


def test_bulk_error_of_one_target_fails_its_task_alone() -> None:
    """An error as an answer belongs to the one target."""
    summary = run(Needs("bad"), Needs("new"), Needs("a"))
    assert statuses(summary) == {"Needs(bad)": "FAIL", "Needs(new)": "OK", "Needs(a)": "UPTODATE"}


def test_bulk_asks_a_level_of_the_graph_at_a_time() -> None:
    """A fan-in of 50 rows is one question for the root and one for the 50, then one for each that ran."""

    class Fan(Task):
        def requires(self) -> Any:
            return [Needs(str(number)) for number in range(50)]

        def output(self) -> Any:
            return Row("fan")

    plan(Fan())

    assert Row.questions == [1, 50]
