"""Where a class's parameters take their values from, and what is said when one cannot be taken."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from etlctl import Config, DateParameter, IntParameter, Parameter, ParameterVisibility, Task
from etlctl.core import context
from etlctl.errors import DuplicateParameterError, ParameterValueError, UnknownParameterError

PRIVATE = ParameterVisibility.PRIVATE


class Load(Task):
    date = DateParameter(description="local day")
    batch = IntParameter(default=1000)
    note = Parameter(default="", positional=False)


def with_settings(params: Mapping[str, Mapping[str, Any]]) -> Any:
    return context.use(context.Context(project=Path.cwd(), params=params))


def test_values_come_by_position_and_by_name() -> None:
    """Positions go to the positional parameters in order; the rest are named."""
    assert Load(dt.date(2013, 1, 2), 5).param_kwargs == {"date": dt.date(2013, 1, 2), "batch": 5, "note": ""}
    assert Load(batch=5, date=dt.date(2013, 1, 2)) == Load(dt.date(2013, 1, 2), 5)


def test_values_too_many_twice_or_unknown_are_named() -> None:
    """Each of the three mistakes of a call has its own sentence."""
    day = dt.date(2013, 1, 2)
    with pytest.raises(UnknownParameterError, match=r"Load was given 3 values by position.*takes 2 .*date, batch"):
        Load(day, 5, "x")
    with pytest.raises(DuplicateParameterError, match="date twice"):
        Load(day, date=day)
    with pytest.raises(UnknownParameterError, match=r"no parameter 'bach'. Did you mean 'batch'\? .*date, batch, note"):
        Load(day, bach=1)


def test_values_refused_name_task_parameter_value_and_what_is_accepted() -> None:
    """From Python and from text alike."""
    with pytest.raises(ParameterValueError, match=r"Load\.batch: cannot take 'many'.*accepted"):
        Load.parse_param("batch", "many")
    with pytest.raises(ParameterValueError, match=r"Load\.date: cannot take 7.*give datetime\.date"):
        Load(7)


def test_a_private_value_is_not_quoted_when_it_is_refused() -> None:
    """Neither the value nor the kind's own text, which may quote it; and no default's either."""

    def broken() -> int:
        raise ValueError("hunter2 is no number")

    class Secretive(Task):
        pin = IntParameter(visibility=PRIVATE, default=broken)

    for make in (lambda: Secretive(pin="hunter2"), lambda: Secretive.parse_param("pin", "hunter2"), Secretive):
        with pytest.raises(ParameterValueError, match=r"Secretive\.pin") as caught:
            make()
        assert "hunter2" not in str(caught.value)


def test_settings_give_values_between_call_and_default() -> None:
    """`[params.Load] batch = 500`: stronger than the default, weaker than the call; text is parsed."""
    with with_settings({"Load": {"batch": 500, "date": "2013-01-02"}}):
        assert Load().batch == 500
        assert Load().date == dt.date(2013, 1, 2)
        assert Load(batch=7).batch == 7
    assert Load(dt.date(2013, 1, 2)).batch == 1000


def test_value_from_python_is_refused_in_one_way_to_give_it() -> None:
    """Where the kind says what to give from Python, the text that the command line takes would contradict it."""
    with pytest.raises(ParameterValueError) as caught:
        Load("2013-02-28")

    assert str(caught.value) == (
        "Load.date: cannot take '2013-02-28': text is not a date; give datetime.date(2013, 2, 28)."
    )


def test_settings_with_a_bad_or_unknown_value_say_where_it_stands() -> None:
    """The sentence names the section of the settings."""
    with (
        with_settings({"Load": {"batch": "many"}}),
        pytest.raises(ParameterValueError, match=r"Load\.batch.*from \[params\.Load\]"),
    ):
        Load(dt.date(2013, 1, 2))
    with (
        with_settings({"Load": {"bach": 5}}),
        pytest.raises(UnknownParameterError, match=r"'bach', named in \[params\.Load\]\. Did you mean 'batch'"),
    ):
        Load(dt.date(2013, 1, 2))


class Level(Parameter[str]):
    """A kind of one's own, written carelessly: an unknown word is a KeyError."""

    def parse(self, text: str) -> str:
        return {"low": "L", "high": "H"}[text]

    def normalize(self, value: Any) -> str:
        return {"L": "L", "H": "H"}[value]


class Alarm(Task):
    level = Level()


def test_a_users_kind_that_raises_anything_is_still_a_sentence() -> None:
    """A KeyError out of parse() or normalize() is a refused value like any other, with the error's kind."""
    assert Alarm.from_str_params({"level": "low"}).level == "L"
    with pytest.raises(ParameterValueError, match=r"Alarm\.level: cannot take 'medium': KeyError: 'medium'"):
        Alarm.parse_param("level", "medium")
    with pytest.raises(ParameterValueError, match=r"Alarm\.level: cannot take 'M': KeyError"):
        Alarm("M")
    with (
        with_settings({"Alarm": {"level": "medium"}}),
        pytest.raises(ParameterValueError, match=r"from \[params\.Alarm\].*KeyError"),
    ):
        Alarm()


def test_a_default_that_raises_names_the_parameter() -> None:
    """Also when what it raises is no ValueError."""

    class Late(Task):
        day = DateParameter(default=lambda: dict[str, dt.date]()["today"])

    with pytest.raises(ParameterValueError, match=r"Late\.day: its default cannot be used: KeyError: 'today'"):
        Late()


def test_get_param_names_leaves_the_insignificant_out_unless_asked() -> None:
    """`include_significant` is Luigi's word for it."""

    class Quiet(Task):
        a = Parameter()
        b = Parameter(significant=False, default="")

    assert Quiet.get_param_names() == ["a"]
    assert Quiet.get_param_names(include_significant=True) == ["a", "b"]
    assert [name for name, _ in Quiet.get_params()] == ["a", "b"]


# -- Config


class Counters(Config):
    count = IntParameter(default=1)
    secret = Parameter(default="hunter2", visibility=PRIVATE)


def test_config_is_one_object_per_process_and_mutable() -> None:
    """`g.count += 1` in one place is seen everywhere; values are checked on the way in."""
    first = Counters()
    first.count += 4

    assert Counters() is first
    assert Counters().count == 5
    with pytest.raises(ParameterValueError, match=r"Counters\.count cannot be set"):
        first.count = "many"  # type: ignore[assignment]  # the mistake under test
    first.count = 1


def test_config_of_a_subclass_is_an_object_of_its_own() -> None:
    """The one object is kept on the class itself and never inherited."""

    class Base(Config):
        count = IntParameter(default=1)

    class Derived(Base):
        pass

    Base().count = 9

    assert Derived().count == 1
    assert Base().count == 9


def test_config_takes_its_values_from_the_settings_and_shows_no_private_one() -> None:
    """`[params.Section]` fills it when it is first made."""

    class Section(Config):
        size = IntParameter()
        secret = Parameter(default="hunter2", visibility=PRIVATE)

    with with_settings({"Section": {"size": 3}}):
        assert Section().size == 3
        assert repr(Section()) == "Section(size=3)"
