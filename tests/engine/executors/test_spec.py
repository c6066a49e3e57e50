"""Tasks and attempts as plain data: what comes out is what was sent, or is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from etlctl import DateParameter, IntParameter, MockTarget, Parameter, ParameterVisibility, Task, externalize
from etlctl.core.context import Attempt, LeaseOfAttempt
from etlctl.engine.executors.spec import attempt_of, spec_of, spec_of_attempt, task_of, why_bound_here
from etlctl.errors import BrokenTaskError, PipelineImportError, TaskNotFoundError


class Load(Task):
    date = DateParameter()
    batch = IntParameter(default=3, significant=False)
    password = Parameter(default="", visibility=ParameterVisibility.PRIVATE)


class _Forgetful(Parameter[Any]):
    """A kind whose text leaves something out."""

    def serialize(self, value: Any) -> str:
        return str(value)[:2]


class _Growing(Parameter[Any]):
    """A kind that does not parse what it serializes."""

    def parse(self, text: str) -> str:
        return text + "!"


class _Unreadable(Parameter[Any]):
    """A kind that cannot read what it writes."""

    def parse(self, text: str) -> str:
        raise ValueError(text)


class Lossy(Task):
    word = _Growing()


class Unreadable(Task):
    word = _Unreadable()


class Weak(Task):
    word = _Forgetful(significant=False)


class InMemory(Task):
    def output(self) -> Any:
        return {"a": [MockTarget("spec/a")]}


class Fails(Task):
    def output(self) -> Any:
        raise SystemExit(3)


def _sent(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_spec_of_a_task_makes_an_equal_one_with_all_its_parameters() -> None:
    """Insignificant and private parameters travel too, though identity knows nothing of them."""
    task = Load.from_str_params({"date": "2013-01-02", "batch": "7", "password": "päss\n"})

    again = task_of(_sent(spec_of(task)))

    assert again == task
    assert again.param_kwargs == task.param_kwargs


def test_task_of_refuses_what_is_not_the_task_that_was_sent() -> None:
    """Another id, a class that is not there, a module that cannot be imported: each is a sentence."""
    spec = spec_of(Load.from_str_params({"date": "2013-01-02"}))

    with pytest.raises(BrokenTaskError, match="has another id"):
        task_of({**spec, "task_id": "Load_other"})
    with pytest.raises(TaskNotFoundError, match="no task class Unload"):
        task_of({**spec, "class": "Unload"})
    with pytest.raises(TaskNotFoundError, match="no task class _sent"):
        task_of({**spec, "class": "_sent"})
    with pytest.raises(PipelineImportError, match="cannot import its module no_such_pipelines"):
        task_of({**spec, "module": "no_such_pipelines.flights"})


def test_attempt_of_its_spec_is_the_attempt_in_the_other_process() -> None:
    """Run, number, force and lease; the lease registers through what the other process is given."""
    told: list[tuple[str, str]] = []
    lease = LeaseOfAttempt("key", "host:1", 4, lambda connection, backend: None)
    attempt = Attempt(run_id="r1", number=3, forced=True, module="pipelines.flights", lease=lease)

    def register(connection: str, backend: str) -> None:
        told.append((connection, backend))

    again = attempt_of(_sent(spec_of_attempt(attempt)), register)

    assert again == attempt
    assert again.lease is not None
    again.lease.register("warehouse", "17")
    assert told == [("warehouse", "17")]
    assert attempt_of(_sent(spec_of_attempt(Attempt(run_id="r2"))), register).lease is None


def test_why_bound_here_names_what_cannot_be_sent() -> None:
    """A class made in a function, a twin, a lossy parameter, an output in memory; all else can be sent."""

    class Inner(Task):
        pass

    class Main(Task):
        __module__ = "__main__"

    task = Load.from_str_params({"date": "2013-01-02"})
    assert why_bound_here(task) == ""
    assert why_bound_here(Fails()) == ""
    assert "has no test_why_bound" in why_bound_here(Inner())
    assert "__main__" in why_bound_here(Main())
    assert "that is its class" in why_bound_here(externalize(Load)(task.param_kwargs["date"]))
    assert "does not come back" in why_bound_here(Lossy(word="abc"))
    assert "cannot be made again" in why_bound_here(Unreadable(word="abc"))
    assert "does not come back" in why_bound_here(Weak(word="abc"))
    assert why_bound_here(Weak(word="ab")) == ""
    assert why_bound_here(InMemory()) == "its output is in memory"
