"""The descriptor itself: defaults, order, what may be set, kinds of one's own, the frozen dict."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import json
import pickle
import sys
from typing import Any, ClassVar

import pytest

from etlctl.core.parameters import (
    NO_VALUE,
    BoolParameter,
    DateHourParameter,
    DateMinuteParameter,
    DateParameter,
    DictParameter,
    FloatParameter,
    FrozenDict,
    IntParameter,
    ListParameter,
    MonthParameter,
    NumericalParameter,
    OptionalBoolParameter,
    OptionalDateParameter,
    OptionalIntParameter,
    OptionalOf,
    OptionalPathParameter,
    OptionalStrParameter,
    Parameter,
    ParameterVisibility,
    PathParameter,
    YearParameter,
)
from etlctl.core.task_parameter import TaskParameter
from etlctl.errors import MissingParameterError, ParameterError, ParameterValueError


class Fixed:
    """Stands for a task: values are put into `__dict__` when it is made."""

    date = DateParameter()

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Settings(Fixed):
    _parameters_are_mutable: ClassVar[bool] = True
    batch = IntParameter()
    password = Parameter(visibility=ParameterVisibility.PRIVATE)


def test_a_parameter_reads_as_itself_on_the_class_and_as_the_value_on_an_instance() -> None:
    day = dt.date(2013, 1, 1)

    assert Fixed(date=day).date is day
    assert isinstance(Fixed.date, DateParameter) and Fixed.date.name == "date"


def test_a_parameter_without_value_is_a_missing_attribute() -> None:
    """hasattr() and a forgotten super().__init__() both need an AttributeError."""
    assert not hasattr(Fixed(), "date")
    with pytest.raises(AttributeError, match=r"must call super\(\).__init__\(\)"):
        _ = Fixed().date


def test_a_parameter_is_fixed_on_a_task() -> None:
    task = Fixed(date=dt.date(2013, 1, 1))

    with pytest.raises(AttributeError, match=r"Fixed\.date is fixed when the task is made"):
        task.date = dt.date(2013, 1, 2)
    with pytest.raises(AttributeError):
        del task.date


def test_a_parameter_of_a_config_may_be_assigned_and_is_checked() -> None:
    settings = Settings()

    settings.date = dt.datetime(2013, 1, 1, 5)
    assert settings.date == dt.date(2013, 1, 1) and type(settings.date) is dt.date
    with pytest.raises(ParameterValueError, match=r"Settings\.batch cannot be set: a str is not an int"):
        settings.batch = "5"  # type: ignore[assignment]  # the mistake under test


def test_the_error_of_a_private_parameter_gives_no_reason() -> None:
    """A reason may quote the value."""
    with pytest.raises(ParameterValueError) as caught:
        Settings().password = 5  # type: ignore[assignment]  # the mistake under test

    assert str(caught.value) == "Settings.password cannot be set: text is accepted."


def test_creation_order_follows_the_source() -> None:
    first, second = Parameter(), IntParameter()

    assert first.creation_order < second.creation_order


def test_one_object_under_two_names_is_refused() -> None:
    """It has one name; the other attribute would read the wrong value."""
    shared = Parameter()
    shared.__set_name__(Fixed, "one")
    shared.__set_name__(Settings, "one")

    with pytest.raises(ParameterError, match=r"Fixed\.other is the same object as a parameter named one"):
        shared.__set_name__(Fixed, "other")


def test_a_default_is_normalised() -> None:
    assert DateParameter(default=dt.datetime(2013, 1, 1, 5)).default_value() == dt.date(2013, 1, 1)
    assert ListParameter(default=[[1], 2]).default_value() == ((1,), 2)
    assert DictParameter(default={"a": 1}).default_value() == {"a": 1}
    assert str(PathParameter(default="a//b").default_value()) == "a/b"
    with pytest.raises(TypeError):
        IntParameter(default="5").default_value()  # type: ignore[arg-type]  # the mistake under test


def test_a_callable_default_is_asked_each_time() -> None:
    """`default=today` must not freeze in a process that lives for days."""
    days = iter([dt.date(2013, 1, 1), dt.date(2013, 1, 2)])
    parameter = DateParameter(default=lambda: next(days))

    assert [parameter.default_value(), parameter.default_value()] == [dt.date(2013, 1, 1), dt.date(2013, 1, 2)]


def test_a_class_as_default_is_the_value() -> None:
    """A class is callable, but nobody means to call it."""
    assert TaskParameter(default=_Task).default_value() is _Task
    with pytest.raises(TypeError):
        ListParameter(default=list).default_value()


def test_defaults_nobody_gave() -> None:
    """Luigi's: False for a bool, None for what is optional, and none for the others."""
    assert BoolParameter().default_value() is False
    assert OptionalIntParameter().default_value() is None
    assert OptionalDateParameter(default=dt.date(2013, 1, 1)).default_value() == dt.date(2013, 1, 1)
    assert not Parameter().has_default and Parameter().default is NO_VALUE
    assert Parameter(default="").has_default
    with pytest.raises(MissingParameterError):
        Parameter().default_value()


def test_options_are_kept() -> None:
    parameter = IntParameter(
        default=1,
        significant=False,
        description="rows",
        positional=False,
        visibility=ParameterVisibility.HIDDEN,
        always_in_help=True,
        batch_method=max,
    )

    assert (parameter.significant, parameter.positional, parameter.always_in_help) == (False, False, True)
    assert (parameter.description, parameter.visibility) == ("rows", ParameterVisibility.HIDDEN)
    assert parameter.batch_method is max
    assert IntParameter(description=None).description == ""
    assert [member.serialize() for member in ParameterVisibility] == [0, 1, 2] and ParameterVisibility.has_value(2)


def test_bool_parsing_can_be_told_for_all_or_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BoolParameter().parsing == OptionalBoolParameter().parsing == BoolParameter.IMPLICIT_PARSING
    monkeypatch.setattr(BoolParameter, "parsing", BoolParameter.EXPLICIT_PARSING)
    assert BoolParameter().parsing == OptionalBoolParameter().parsing == BoolParameter.EXPLICIT_PARSING
    assert BoolParameter(parsing=BoolParameter.IMPLICIT_PARSING).parsing == "implicit"


@pytest.mark.parametrize(
    ("parameter", "value", "following"),
    [
        (IntParameter(), -1, 0),
        (DateParameter(), dt.date(2012, 2, 29), dt.date(2012, 3, 1)),
        (DateParameter(interval=7), dt.date(2013, 1, 3), dt.date(2013, 1, 10)),
        (DateParameter(), dt.date(9999, 12, 31), None),
        (MonthParameter(), dt.date(2013, 12, 1), dt.date(2014, 1, 1)),
        (MonthParameter(), dt.date(9999, 12, 1), None),
        (YearParameter(interval=2), dt.date(2013, 1, 1), dt.date(2015, 1, 1)),
        (YearParameter(), dt.date(9999, 1, 1), None),
        (DateHourParameter(), dt.datetime(2013, 1, 1, 23), dt.datetime(2013, 1, 2)),
        (DateHourParameter(), dt.datetime(9999, 12, 31, 23), None),
        (DateMinuteParameter(interval=15), dt.datetime(2013, 1, 1, 23, 45), dt.datetime(2013, 1, 2)),
        (NumericalParameter(var_type=int, min_value=0, max_value=2), 0, 1),
        (NumericalParameter(var_type=int, min_value=0, max_value=2), 1, None),
        (NumericalParameter(var_type=float, min_value=0.0, max_value=2.0), 1.0, None),
        (OptionalIntParameter(), 1, 2),
        (OptionalIntParameter(), None, None),
        (Parameter(), "a", None),
        (FloatParameter(), 1.0, None),
    ],
)
def test_next_in_enumeration_knows_the_order_and_its_end(parameter: Parameter[Any], value: Any, following: Any) -> None:
    assert parameter.next_in_enumeration(value) == following


class DecimalParameter(Parameter[decimal.Decimal]):
    """As it may stand in a Luigi code base: only `parse`."""

    def parse(self, text: str) -> decimal.Decimal:
        return decimal.Decimal(text)


class UpperParameter(Parameter[str]):
    def normalize(self, value: Any) -> str:
        return super().normalize(value).upper()


class WordsParameter(Parameter[list[str]]):
    def parse(self, text: str) -> list[str]:
        return text.split()


def test_a_kind_with_parse_alone_takes_any_value_that_can_be_found_again() -> None:
    parameter = DecimalParameter()

    assert parameter.normalize(parameter.parse("1.50")) == decimal.Decimal("1.5")
    assert parameter.serialize(decimal.Decimal("1.50")) == "1.50"
    assert parameter.accepts == "a value of DecimalParameter"
    with pytest.raises(ValueError, match="does not equal itself"):
        parameter.normalize(decimal.Decimal("NaN"))


def test_a_kind_whose_value_can_be_changed_is_told_to_make_it_immutable() -> None:
    with pytest.raises(TypeError, match=r"a list can be changed afterwards; WordsParameter needs a normalize\(\)"):
        WordsParameter().normalize(["a"])


def test_a_kind_of_text_keeps_the_check_of_text() -> None:
    assert UpperParameter().parse("a") == "A"
    with pytest.raises(TypeError):
        UpperParameter().normalize(5)


def test_a_kind_of_ones_own_can_be_optional() -> None:
    parameter = OptionalOf(DecimalParameter())

    assert parameter.parse("") is None and parameter.parse("1.5") == decimal.Decimal("1.5")
    assert parameter.accepts == "a value of DecimalParameter, or nothing"


def test_empty_text_is_none_for_an_optional_from_python_too() -> None:
    """Otherwise two values would share one text, and one task id."""
    assert OptionalStrParameter().normalize("") is None
    assert OptionalPathParameter().normalize("") is None


class _Task:
    task_family = "acme.Report"


def test_a_task_class_is_written_by_its_family() -> None:
    parameter = TaskParameter()

    assert parameter.serialize(parameter.normalize(_Task)) == "acme.Report"


def test_a_frozen_dict_is_an_immutable_mapping_with_an_order() -> None:
    frozen = FrozenDict({"b": [1, {"x": [2]}], "a": -0.0})

    assert list(frozen) == ["b", "a"] and len(frozen) == 2
    assert frozen["b"] == (1, {"x": (2,)})
    assert isinstance(frozen["b"][1], FrozenDict)
    assert frozen == {"a": 0.0, "b": (1, FrozenDict(x=(2,)))} == frozen
    assert repr(FrozenDict(a=1)) == "{'a': 1}"
    assert str(frozen["a"]) == "0.0"
    assert frozen.to_dict() == {"b": [1, {"x": [2]}], "a": 0.0}
    with pytest.raises(TypeError):
        frozen["c"] = 1  # type: ignore[index]  # the mistake under test


def test_equal_frozen_dicts_have_one_hash_and_survive_copies() -> None:
    one, other = FrozenDict(a=1, b=(2,)), FrozenDict(b=[2], a=1)

    assert one == other and hash(one) == hash(other)
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert twin == one and list(twin) == list(one)


def test_the_order_of_keys_is_part_of_the_text_unless_sorted() -> None:
    """Luigi's ids keep the order; `sort_keys=True` makes equal mappings one task."""
    one, other = {"b": {"d": 1, "c": [{"f": 1, "e": 2}]}, "a": 2}, {"a": 2, "b": {"c": [{"e": 2, "f": 1}], "d": 1}}
    plain, ordered = DictParameter(), DictParameter(sort_keys=True)

    assert plain.serialize(plain.normalize(one)) != plain.serialize(plain.normalize(other))
    texts = {ordered.serialize(ordered.normalize(value)) for value in (one, other)}
    assert texts == {json.dumps(other)}


class _AtMostTwo:
    """A validator of the user's: adds a default in place, as jsonschema's extended ones do."""

    def validate(self, value: Any) -> None:
        if len(value) > 2:
            raise RuntimeError("too many")
        value.setdefault("role", "web") if isinstance(value, dict) else None


def test_a_validator_is_asked_for_values_from_everywhere_and_may_complete_them() -> None:
    parameter = DictParameter(schema=_AtMostTwo())

    assert parameter.normalize({"a": 1}) == {"a": 1, "role": "web"} == parameter.parse('{"a": 1}')
    with pytest.raises(ValueError, match="the schema says: too many"):
        parameter.parse('{"a": 1, "b": 2, "c": 3}')


def test_a_json_schema_is_checked_by_jsonschema() -> None:
    pytest.importorskip("jsonschema")
    parameter = ListParameter(schema={"type": "array", "items": {"type": "number", "maximum": 10}})

    assert parameter.normalize([1, 8.7]) == (1, 8.7)
    with pytest.raises(ValueError, match=r"the schema says at \[1\]: 999 is greater than the maximum of 10"):
        parameter.parse("[1, 999]")


def test_a_schema_without_jsonschema_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when a value is checked: a pipeline can be listed without it."""
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    parameter = DictParameter(schema={"type": "object"})

    with pytest.raises(ParameterError, match="pip install jsonschema"):
        parameter.normalize({})
