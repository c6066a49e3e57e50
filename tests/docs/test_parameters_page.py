"""docs/reference/parameters.md and the parameter kinds say the same."""

from __future__ import annotations

import datetime as dt
import inspect
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import etlctl
from docs.walkthrough import ROOT
from etlctl.core import parameters
from etlctl.core.date_interval import DateRange, Week
from etlctl.core.parameters import FrozenDict, Parameter
from etlctl.errors import ParameterValueError

PAGE = (ROOT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")


class Cut(etlctl.Task):
    date = etlctl.DateParameter()


NAMES: dict[str, Any] = {
    **{name: getattr(parameters, name) for name in parameters.__all__},
    "Colour": Enum("Colour", "RED BLUE"),
    "Cut": Cut,
    "DateRange": DateRange,
    "FrozenDict": FrozenDict,
    "Path": Path,
    "TaskParameter": etlctl.TaskParameter,
    "Week": Week,
    "dt": dt,
}


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading, without the header."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


KINDS = rows("The kinds")


def test_every_kind_has_a_row_and_every_row_is_a_kind() -> None:
    """What `from etlctl import …Parameter` offers, in both directions."""
    offered = {name for name in etlctl.__all__ if name.endswith("Parameter")}

    assert {row[0].partition("(")[0] for row in KINDS} == offered


@pytest.mark.parametrize("row", KINDS, ids=[row[0].partition("(")[0] for row in KINDS])
def test_the_row_of_a_kind_tells_its_text_value_default_and_what_it_accepts(row: list[str]) -> None:
    """The text means the value, the value is written as the text, and the other cells are the parameter's own words."""
    made_with, text, value_text, default_text, accepted = row
    parameter: Parameter[Any] = eval(made_with, NAMES)
    value = eval(value_text, NAMES)

    if not isinstance(parameter, etlctl.TaskParameter):  # which asks the registry of the project
        assert parameter.parse(text) == value
    assert parameter.normalize(value) == value
    assert parameter.serialize(value) == text
    assert parameter.has_default == bool(default_text)
    assert not default_text or parameter.default_value() == eval(default_text, NAMES)
    assert parameter.accepts == accepted


def test_every_option_is_documented_with_its_default() -> None:
    """The keyword options of Parameter itself, which every kind takes."""
    options = {
        name: one.default for name, one in inspect.signature(Parameter.__init__).parameters.items() if name != "self"
    }
    documented = {row[0]: row[1] for row in rows("Options of every kind")}

    assert documented.keys() == options.keys()
    for name, default in options.items():
        if name == "default":
            assert documented[name] == "none"
        else:
            assert eval(documented[name], vars(parameters)) == default


@pytest.mark.parametrize("row", rows("What a bad value is told"), ids=lambda row: row[1])
def test_a_bad_value_is_told_what_the_page_says(row: list[str]) -> None:
    """The reason, the value and what would be accepted, in one sentence."""
    made_with, text, reason = row
    parameter: Parameter[Any] = eval(made_with, NAMES)
    cls: Any = type("Cut", (etlctl.Task,), {"value": parameter})

    with pytest.raises(ParameterValueError) as caught:
        cls.parse_param("value", text)

    assert reason in str(caught.value) and text in str(caught.value) and parameter.accepts in str(caught.value)
