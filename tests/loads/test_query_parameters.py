"""What the queries of a task may name."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import Any

import pytest

from etlctl.core.parameters import (
    DateParameter,
    DictParameter,
    EnumParameter,
    IntParameter,
    ListParameter,
    TimeDeltaParameter,
)
from etlctl.core.task import Task
from etlctl.loads.parameters import query_values


class Colour(Enum):
    RED = 1


class Load(Task):
    date = DateParameter()
    count = IntParameter(default=3)
    names = ListParameter(default=["a", "b"])
    colour = EnumParameter(enum=Colour, default=Colour.RED)
    age = TimeDeltaParameter(default=dt.timedelta(days=1))
    options = DictParameter(default={"a": 1})
    table = "flights"
    _hidden = "no"

    @property
    def last_day(self) -> dt.date:
        return self.date + dt.timedelta(days=1)

    @property
    def broken(self) -> Any:
        raise RuntimeError("computed")

    def method(self) -> None:
        """No value."""


@pytest.fixture
def values() -> Any:
    return query_values(Load(dt.date(2013, 1, 1)))


def test_query_values_lists_parameters_alone(values: Any) -> None:
    """What an error sentence lists are the parameters, in their order."""
    assert list(values) == ["date", "count", "names", "colour", "age", "options"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date", dt.date(2013, 1, 1)),
        ("count", 3),
        ("names", ("a", "b")),
        ("last_day", dt.date(2013, 1, 2)),
        ("table", "flights"),
        ("colour", "RED"),
        ("age", "0 w 1 d 0 h 0 m 0 s"),
        ("options", '{"a": 1}'),
    ],
)
def test_query_values_gives_parameters_and_attributes(values: Any, name: str, value: Any) -> None:
    """Parameters as they are, or as their text where no database knows such a value; properties and attributes too."""
    assert name in values
    assert values[name] == value


def test_query_values_finds_what_was_set_on_the_task() -> None:
    """An attribute of the one task counts as well as one of its class."""
    task = Load(dt.date(2013, 1, 1))
    task.limit = 5  # type: ignore[attr-defined]  # declared nowhere, on purpose

    assert query_values(task)["limit"] == 5


@pytest.mark.parametrize("name", ["_hidden", "method", "run", "output", "nothing", "__class__"])
def test_query_values_has_no_methods_and_nothing_hidden(values: Any, name: str) -> None:
    """Methods, hidden names and names that are not there are unknown."""
    assert name not in values
    with pytest.raises(KeyError):
        values[name]


def test_query_values_computes_a_property_only_when_it_is_named(values: Any) -> None:
    """To ask whether a name is there computes nothing."""
    assert "broken" in values
    with pytest.raises(RuntimeError, match="computed"):
        values["broken"]
