"""What is private is known in all its forms, whatever users' own kinds of parameters do."""

from __future__ import annotations

from typing import Any

from etlctl.core.parameters import ListParameter, Parameter, ParameterVisibility
from etlctl.core.private import private_given, private_told
from etlctl.core.task import Task


class _Refuses(Parameter):
    def serialize(self, value: Any) -> str:
        raise SystemExit(value)


class PrivateKeys(Task):
    keys = ListParameter(default=(), visibility=ParameterVisibility.PRIVATE)
    other = _Refuses(default="x", visibility=ParameterVisibility.PRIVATE)
    public = Parameter(default="y")


def test_private_given_has_each_part_of_a_value() -> None:
    """An error may quote one key of several; parts of a letter or two would be found everywhere."""
    found = private_given(PrivateKeys, {"keys": ["first-key", "second-key", "eu"], "public": "shown"})

    assert {"first-key", "second-key"} <= found
    assert found.isdisjoint({"eu", "shown"})


def test_private_given_outlives_a_kind_that_cannot_write_its_value() -> None:
    assert private_given(PrivateKeys, {"other": "word"}) == {"word"}


def test_private_told_knows_what_params_and_schedules_give() -> None:
    """By family, to those of them that say so."""
    found = private_told(
        {"PrivateKeys": {"other": "of params", "public": "a"}}, [(("PrivateKeys",), {"other": "given"})]
    )

    assert found == {"of params", "given"}
