"""Luigi's events: who is called, with what, and that a handler cannot harm a task."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from etlctl import Event, ExternalTask, Parameter, Task
from etlctl.errors import BrokenTaskError
from running import Shelf, result_of, run, statuses

shelf = Shelf()


@pytest.fixture(autouse=True)
def emptied() -> None:
    shelf.names.clear()


class Base(Task):
    name = Parameter(default="a")
    goes_wrong = Parameter(default="")

    def output(self) -> Any:
        return shelf.target(self.task_label)

    def run(self) -> Any:
        if self.goes_wrong:
            raise ValueError(self.goes_wrong)
        self.output().put()


class Derived(Base):
    pass


class Unrelated(Base):
    pass


class Feed(ExternalTask):
    def output(self) -> Any:
        return shelf.target("feed")


@pytest.fixture
def heard(request: pytest.FixtureRequest) -> Iterator[Any]:
    """`heard(cls, event, …)` registers a listener; what it heard is in `heard.calls`."""

    class Heard:
        def __init__(self) -> None:
            self.calls: list[tuple[Any, ...]] = []
            self.registered: list[tuple[Any, Event, Any]] = []

        def __call__(self, cls: Any, *events: Event) -> None:
            for event in events:

                def listener(*arguments: Any, _event: Event = event) -> None:
                    self.calls.append((_event.name, *arguments))

                cls.event_handler(event)(listener)
                self.registered.append((cls, event, listener))

    found = Heard()
    yield found
    for cls, event, listener in found.registered:
        cls.remove_event_handler(event, listener)


def test_event_handlers_fire_for_the_class_and_its_subclasses(heard: Any) -> None:
    """A handler of Base hears Base and Derived; one of Derived hears Derived alone."""
    heard(Base, Event.SUCCESS)
    heard(Derived, Event.START)

    assert run(Base(), Derived("b"))

    assert heard.calls == [("SUCCESS", Base()), ("START", Derived("b")), ("SUCCESS", Derived("b"))]


def test_events_of_a_good_run_come_in_luigis_order(heard: Any) -> None:
    """START, PROCESSING_TIME with seconds, SUCCESS."""
    heard(Base, Event.START, Event.SUCCESS, Event.PROCESSING_TIME, Event.FAILURE)

    assert run(Base())

    assert [call[0] for call in heard.calls] == ["START", "PROCESSING_TIME", "SUCCESS"]
    assert heard.calls[1][1] == Base()
    assert heard.calls[1][2] >= 0


def test_event_failure_carries_the_error(heard: Any) -> None:
    """FAILURE is called with the task and what it raised."""
    heard(Base, Event.FAILURE, Event.SUCCESS)

    assert not run(Base(goes_wrong="no disk"))

    ((name, task, error),) = heard.calls
    assert (name, task) == ("FAILURE", Base(goes_wrong="no disk"))
    assert isinstance(error, ValueError)


def test_events_of_dependencies(heard: Any) -> None:
    """DISCOVERED for each requirement, PRESENT for what is complete, MISSING for an external input."""

    class Report(Base):
        def requires(self) -> Any:
            return [Base("there"), Feed()]

    shelf.target(Base("there").task_label).put()
    heard(Task, Event.DEPENDENCY_DISCOVERED, Event.DEPENDENCY_PRESENT, Event.DEPENDENCY_MISSING)

    run(Report())

    assert heard.calls == [
        ("DEPENDENCY_DISCOVERED", Report(), Base("there")),
        ("DEPENDENCY_DISCOVERED", Report(), Feed()),
        ("DEPENDENCY_PRESENT", Base("there")),
        ("DEPENDENCY_MISSING", Feed()),
    ]


@pytest.mark.parametrize("method", ["requires", "output", "complete"])
def test_event_broken_task_when_it_cannot_be_asked(method: str, heard: Any) -> None:
    """BROKEN_TASK with the error when requires(), output() or complete() raises."""

    def raising(self: Any) -> Any:
        raise ValueError("cannot be asked")

    broken = type("Broken", (Task,), {method: raising, "__module__": __name__})
    heard(broken, Event.BROKEN_TASK)

    assert run(broken()).exit_code == 1

    ((name, task, error),) = heard.calls
    assert (name, task, str(error)) == ("BROKEN_TASK", broken(), "cannot be asked")


@pytest.mark.parametrize("raised", [ValueError("x"), SystemExit(3)])
def test_event_handler_that_raises_is_logged_and_changes_nothing(
    raised: BaseException, heard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception, sys.exit() too, in a handler: the task is done, the next handler is called, the log says whose,
    of what and where."""

    def bad(task: Task) -> None:
        raise raised

    Base.event_handler(Event.SUCCESS)(bad)
    heard(Base, Event.SUCCESS)
    try:
        with caplog.at_level(logging.ERROR, logger="etlctl"):
            summary = run(Base())
    finally:
        Base.remove_event_handler(Event.SUCCESS, bad)

    assert statuses(summary) == {Base().task_label: "OK"}
    assert heard.calls == [("SUCCESS", Base())]
    (line,) = [record.getMessage() for record in caplog.records]
    said = f"bad, a handler of Event.SUCCESS, raised {type(raised).__name__}: "
    assert re.fullmatch(rf"{said}\w \(\S+test_events.py:\d+\); the task goes on", line)


def test_event_handler_may_take_itself_back_while_it_is_called() -> None:
    """A one-time handler that removes itself does not make the next one be passed over."""
    heard: list[str] = []

    def once(task: Task) -> None:
        heard.append("once")
        Base.remove_event_handler(Event.SUCCESS, once)

    def always(task: Task) -> None:
        heard.append("always")

    Base.event_handler(Event.SUCCESS)(once)
    Base.event_handler(Event.SUCCESS)(always)
    try:
        run(Base("1"), Base("2"))
    finally:
        Base.remove_event_handler(Event.SUCCESS, always)

    assert heard == ["once", "always", "always"]


def test_event_handler_is_a_decorator_that_leaves_the_function_as_it_is() -> None:
    """`@LoadFlights.event_handler(Event.SUCCESS)`; removing twice is a ValueError."""

    @Unrelated.event_handler(Event.SUCCESS)
    def told(task: Task) -> str:
        return "told"

    assert told(Unrelated()) == "told"
    Unrelated.remove_event_handler(Event.SUCCESS, told)
    with pytest.raises(ValueError, match="not in list"):
        Unrelated.remove_event_handler(Event.SUCCESS, told)


def test_events_may_be_users_own(heard: Any) -> None:
    """Any text is an event: trigger_event("rows.bad", …) reaches its handlers."""
    calls: list[Any] = []
    Base.event_handler("rows.bad")(calls.append)

    Derived().trigger_event("rows.bad", 17)

    assert calls == [17]


def test_event_broken_task_is_told_for_a_target_that_exits(heard: Any) -> None:
    """sys.exit() in a target's exists() is that task's error, not the end of the program."""

    class Leaving(Base):
        def output(self) -> Any:
            target = shelf.target("x")
            target.exists = lambda: (_ for _ in ()).throw(SystemExit(0))  # type: ignore[method-assign]  # of one target
            return target

    summary = run(Leaving(), Base("sibling"))

    assert statuses(summary) == {"Leaving()": "FAIL", "Base(sibling)": "OK"}
    assert isinstance(result_of(summary, Leaving()).error, BrokenTaskError)
