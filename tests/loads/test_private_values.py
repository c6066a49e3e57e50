"""A private parameter's value stands in no error of a load; rows() that gives nothing is told as that."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

import etlctl
from etlctl import LoadTable, Parameter, ParameterVisibility, RunSQL, Status, replace_where

SECRET = "hunter2-canary"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is an empty project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Refused(LoadTable):
    word = Parameter(default=SECRET, visibility=ParameterVisibility.PRIVATE)
    columns = {"n": "integer", "a": "integer"}
    values = {"a": "word"}

    def rows(self) -> Any:
        return [(1,)]


class Outside(LoadTable):
    word = Parameter(default=SECRET, visibility=ParameterVisibility.PRIVATE)
    columns = {"word": "text", "n": "integer"}
    mode = replace_where("word")

    def rows(self) -> Any:
        return [("another", 1)]


@pytest.mark.parametrize("task", [Refused, Outside])
def test_load_error_shows_no_private_value(task: type[LoadTable]) -> None:
    """Neither the sentence nor the traceback of --debug; what column it is about is told."""
    result = etlctl.build([task()]).results[0]

    assert result.status is Status.FAIL
    assert result.error is not None
    assert "column a" in result.reason or "word = ***" in result.reason
    assert SECRET not in "\n".join([result.reason, *result.details, *traceback.format_exception(result.error)])


def test_load_whose_rows_returns_none_is_told_so() -> None:
    """The commonest slip of a hand-written rows(): the return is forgotten."""

    class Forgot(LoadTable):
        columns = {"n": "integer"}

        def rows(self) -> Any:
            [(1,)]  # noqa: B018  the mistake under test

    result = etlctl.build([Forgot()]).results[0]

    assert result.reason == "Forgot.rows() returned None. Yield rows, or return a list of them."


def test_script_outside_a_transaction_is_forced_only_when_repeatable() -> None:
    """`repeatable` decides for both kinds of RunSQL."""

    class Counted(RunSQL):
        transactional = False
        query = "CREATE TABLE IF NOT EXISTS runs (n integer); INSERT INTO runs VALUES (1)"

    class Repeated(Counted):
        repeatable = True

    for task in (Counted(), Repeated()):
        assert etlctl.build([task])

    assert "repeatable = True" in etlctl.build([Counted()], force=[Counted()]).results[0].reason
    assert etlctl.build([Repeated()], force=[Repeated()])
