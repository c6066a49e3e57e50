"""By when a task must be done: what a class may say, and that a mistake is found before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from etlctl import DateParameter, Parameter, Task
from etlctl.core.daytime import deadline_of
from etlctl.core.graph import Graph
from etlctl.errors import ExitCode, SettingsError, UsageError


class Plain(Task):
    pass


class Morning(Task):
    deadline = "7:00"


class Own(Task):
    """`deadline` is a parameter of its own, as other pipelines have had it."""

    deadline = DateParameter()


class Told(Task):
    name = Parameter()

    @property
    def deadline(self) -> Any:
        return {"late": "23:59", "wrong": "soon"}[self.name]


def test_a_deadline_is_a_time_of_day_in_one_spelling() -> None:
    """Of a class, of its tasks, of a property; None where there is none, or where the name is a parameter's."""
    import datetime as dt

    assert (deadline_of(Plain()), deadline_of(Morning), deadline_of(Morning())) == (None, "07:00", "07:00")
    assert (deadline_of(Told), deadline_of(Told("late"))) == (None, "23:59")
    assert (deadline_of(Own), deadline_of(Own(dt.date(2026, 5, 8)))) == (None, None)


@pytest.mark.parametrize("said", ["25:00", "7", "07:00:00", "", 7, ("07:00",)])
def test_a_class_whose_deadline_is_no_time_of_day_is_refused(said: Any) -> None:
    """With its name and the mend, when it is made: exit 2."""
    with pytest.raises(UsageError, match=r'^Wrong: its deadline is .* as in deadline = "07:00"\.$') as refused:
        type("Wrong", (Task,), {"deadline": said})

    assert refused.value.exit_code is ExitCode.USAGE


def test_a_property_that_is_no_time_of_day_is_found_before_anything_runs() -> None:
    """With the task that it is of."""
    graph = Graph()
    graph.add([Told("late"), Told("wrong")])

    with pytest.raises(SettingsError, match=r"^Told\(wrong\): its deadline is 'soon'"):
        graph.check_settings()
