"""What a kind refuses, from text and from Python alike, and the reason it gives."""

from __future__ import annotations

import datetime as dt
import enum
import operator
from pathlib import Path
from typing import Any

import pytest

from etlctl.core import date_interval
from etlctl.core.date_interval import DateRange
from etlctl.core.parameters import (
    BoolParameter,
    ChoiceListParameter,
    ChoiceParameter,
    DateHourParameter,
    DateIntervalParameter,
    DateMinuteParameter,
    DateParameter,
    DateRangeParameter,
    DateSecondParameter,
    DictParameter,
    EnumListParameter,
    EnumParameter,
    FloatParameter,
    IntParameter,
    ListParameter,
    MonthParameter,
    NumericalParameter,
    Parameter,
    PathParameter,
    StrParameter,
    TimeDeltaParameter,
    TupleParameter,
    YearParameter,
)
from etlctl.core.task_parameter import TaskParameter
from etlctl.errors import ParameterError


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Word(enum.StrEnum):
    ONE = "one"


TEXTS: list[tuple[Parameter[Any], str, str]] = [
    (DateParameter(), "2013-02-29", "February 2013 has 28 days, so there is no day 29"),
    (DateParameter(), "2012-02-30", "February 2012 has 29 days, so there is no day 30"),
    (DateParameter(), "1900-02-29", "February 1900 has 28 days, so there is no day 29"),
    (DateParameter(), "2013-13-01", "months go from 01 to 12, not 13"),
    (DateParameter(), "2013-00-01", "months go from 01 to 12, not 00"),
    (DateParameter(), "2013-04-45", "April 2013 has 30 days, so there is no day 45"),
    (DateParameter(), "13/45", "it is not written as year-month-day"),
    (DateParameter(), "10000-01-01", "a year is written with four digits, from 0001 to 9999"),
    (DateParameter(), "13-01-01", "a year is written with four digits, from 0001 to 9999"),
    (DateParameter(), "0000-01-01", "years go from 0001 to 9999"),
    (DateParameter(), "20130102", "it is not written as year-month-day"),
    (DateParameter(), " 2013-01-02", "it is not written as year-month-day"),
    (DateParameter(), "2013-01-02\n", "it is not written as year-month-day"),
    (DateParameter(), "٢٠١٣-01-02", "it is not written as year-month-day"),
    (DateParameter(), "", "it is not written as year-month-day"),
    (MonthParameter(), "2013-13", "months go from 01 to 12, not 13"),
    (MonthParameter(), "2013-01-01", "it is not written as year-month"),
    (YearParameter(), "13", "a year is written with four digits"),
    (YearParameter(), "0000", "years go from 0001 to 9999"),
    (YearParameter(), "2013-01", "it is not a year"),
    (DateHourParameter(), "2013-01-02T24", "hours go from 00 to 23, not 24"),
    (DateHourParameter(), "2013-01-02", "it does not give the hour after a T"),
    (DateHourParameter(), "2013-02-29T03", "February 2013 has 28 days"),
    (DateMinuteParameter(), "2013-01-02T0360", "minutes go from 00 to 59, not 60"),
    (DateMinuteParameter(), "2013-01-02T34", "it does not give the hour and the minute after a T"),
    (DateSecondParameter(), "2013-01-02T030460", "seconds go from 00 to 59, not 60"),
    (DateIntervalParameter(), "2015-W54", "2015 has 53 weeks, so there is no week 54"),
    (DateIntervalParameter(), "2014-W53", "2014 has 52 weeks, so there is no week 53"),
    (DateIntervalParameter(), "9999", "an interval must end before 9999-12-31"),
    (DateIntervalParameter(), "9999-12-31", "an interval must end before 9999-12-31"),
    (DateIntervalParameter(), "2015-12-04-2015-11-04", "2015-11-04 is before 2015-12-04"),
    (DateIntervalParameter(), "May 2015", "it is written in none of the ways"),
    (DateRangeParameter(), "2013-02-01..2013-01-01", "the end 2013-01-01 is before the start 2013-02-01"),
    (DateRangeParameter(), "2013-02-01..", "it is not written as year-month-day"),
    (TimeDeltaParameter(), "1 d 3 w", "it is not a duration"),
    (TimeDeltaParameter(), "1 day junk", "it is not a duration"),
    (TimeDeltaParameter(), "P", "it is not a duration"),
    (TimeDeltaParameter(), "P1Y", "it is not a duration"),
    (TimeDeltaParameter(), "", "it is not a duration"),
    (TimeDeltaParameter(), "nan", "NaN is no duration"),
    (TimeDeltaParameter(), "inf", "it is longer than 999999999 days"),
    (TimeDeltaParameter(), "1e300", "it is longer than 999999999 days"),
    (TimeDeltaParameter(), "999999999999 w", "it is longer than 999999999 days"),
    (IntParameter(), "1.0", "it is not a whole number"),
    (IntParameter(), "9" * 5000, "it is not a whole number"),
    (FloatParameter(), "nan", "NaN does not equal itself"),
    (FloatParameter(), "1,5", "it is not a number"),
    (NumericalParameter(var_type=int, min_value=-3, max_value=7), "7", "it is above the permitted range"),
    (NumericalParameter(var_type=int, min_value=-3, max_value=7), "-4", "it is below the permitted range"),
    (BoolParameter(), "yes", "it is neither true nor false"),
    (BoolParameter(), "", "it is neither true nor false"),
    (EnumParameter(enum=Colour), "red", "Colour has no member of that name; it has RED, BLUE"),
    (EnumParameter(enum=Access), "READ|RUN", "Access has no member of that name"),
    (EnumListParameter(enum=Colour), "RED, BLUE", "Colour has no member of that name"),
    (ChoiceParameter(choices=("a", "b")), "c", "it is none of the choices"),
    (ChoiceParameter(choices=(1, 2), var_type=int), "x", "it is none of the choices"),
    (ChoiceListParameter(choices=("a", "b")), "a,,b", "it is none of the choices"),
    (DictParameter(), "{'a': 1}", "it is not JSON"),
    (DictParameter(), "", "it is not JSON"),
    (DictParameter(), '{"a": NaN}', "it holds NaN"),
    (ListParameter(), "[" * 100_000, "it is nested too deeply"),
    (TupleParameter(), "(1, 2", "it is neither JSON nor a Python tuple"),
    (TupleParameter(), "__import__('os')", "it is neither JSON nor a Python tuple"),
    (PathParameter(), "a\0b", "a path cannot hold a NUL character"),
    (PathParameter(exists=True), "/no/such/path", "there is nothing at this path"),
]


@pytest.mark.parametrize(("parameter", "text", "reason"), TEXTS)
def test_text_is_refused_with_a_reason_one_understands(parameter: Parameter[Any], text: str, reason: str) -> None:
    """Always a ValueError, whatever went wrong inside."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the reason is compared below
        parameter.normalize(parameter.parse(text))

    assert reason in str(caught.value)


@pytest.mark.parametrize("parameter", [ListParameter(), TupleParameter(), DictParameter()])
@pytest.mark.parametrize("text", ['"abc"', "1", "null", "true"])
def test_json_of_the_wrong_shape_is_refused(parameter: Parameter[Any], text: str) -> None:
    """Luigi takes "abc" apart into three letters."""
    with pytest.raises(TypeError, match="is not a"):
        parameter.parse(text)


aware = dt.datetime(2013, 1, 2, tzinfo=dt.UTC)
selfish: list[Any] = []
selfish.append(selfish)

VALUES: list[tuple[Parameter[Any], Any, str]] = [
    (Parameter(), 5, "an int was given where text is held; use the kind made for it"),
    (StrParameter(), None, "None was given where text is held"),
    (Parameter(), Path("a"), "Path was given where text is held"),
    (IntParameter(), "5", "a str is not an int, without the quotes"),
    (IntParameter(), True, "a bool is not an int"),
    (IntParameter(), 5.0, "a float is not an int"),
    (FloatParameter(), float("nan"), "NaN does not equal itself"),
    (FloatParameter(), True, "a bool is not a float"),
    (FloatParameter(), "1.5", "a str is not a float"),
    (NumericalParameter(var_type=int, min_value=0, max_value=5), 100, "it is above the permitted range"),
    (NumericalParameter(var_type=float, min_value=0, max_value=5), float("nan"), "NaN"),
    (BoolParameter(), 1, "an int is not a bool; give True or False"),
    (BoolParameter(), None, "None is not a bool"),
    (BoolParameter(), "true", "a str is not a bool"),
    (DateParameter(), "2013-01-31", "text is not a date; give datetime.date(2013, 1, 31)"),
    (DateParameter(), "31 Jan", "text is not a date; give datetime.date(2013, 1, 31) or date.fromisoformat(text)"),
    (DateParameter(), None, "None is not a date"),
    (DateParameter(), 20130131, "an int is not a date"),
    (MonthParameter(), date_interval.Year(2013), "a Year is not a date"),
    (DateParameter(interval=400), dt.date(1, 1, 1), "its interval begins before the year 0001"),
    (YearParameter(interval=30), dt.date(1, 1, 1), "years go from 0001 to 9999"),
    (DateHourParameter(), "2013-02-28T19", "text is not a datetime; give datetime.datetime(2013, 2, 28, 19, 0)"),
    (DateHourParameter(), aware, "it has a time zone and the parameter has none"),
    (DateHourParameter(interval=7), dt.datetime(1, 1, 1), "its interval begins before the year 0001"),
    (TimeDeltaParameter(), 5, "an int is not a timedelta; give datetime.timedelta(hours=3)"),
    (DateIntervalParameter(), "2015", "a str is not a date interval"),
    (DateRangeParameter(), "2013-01-01..2013-01-02", "a str is not a range of dates"),
    (DateRangeParameter(), (dt.date(2013, 1, 2), dt.date(2013, 1, 1)), "the end 2013-01-01 is before the start"),
    (EnumParameter(enum=Colour), "RED", "a str is not a member of Colour; give Colour.RED"),
    (EnumParameter(enum=Access), Access(0), "has no name, so no text could say it"),
    (EnumListParameter(enum=Colour), Colour.RED, "a Colour is not a list"),
    (ChoiceParameter(choices=(1, 2), var_type=int), "1", "a str of this value is none of the choices"),
    (ChoiceParameter(choices=("a",)), ["a"], "is none of the choices"),
    (ChoiceListParameter(choices=("a", "b")), "ab", "a str is not a list"),
    (ChoiceListParameter(choices=("a", "b")), {"a"}, "a set is not a list; a set has no order, give sorted(…)"),
    (DictParameter(), [("a", 1)], "a list is not a dict"),
    (DictParameter(), {1: 2}, "it holds a key of type int; the keys of JSON are text"),
    (DictParameter(), {"a": {1, 2}}, "it holds a set, which has no order; give sorted(…)"),
    (DictParameter(), {"a": dt.date(2013, 1, 1)}, "it holds an object of type date"),
    (DictParameter(), {"a": [float("nan")]}, "it holds NaN"),
    (ListParameter(), "abc", "a str is not a list"),
    (ListParameter(), {"a": 1}, "a dict is not a list"),
    (ListParameter(), {1, 2}, "a set is not a list; a set has no order"),
    (ListParameter(), (n for n in "ab"), "a generator is not a list"),
    (ListParameter(), selfish, "it is nested too deeply, or holds itself"),
    (PathParameter(), 5, "an int is not a path"),
    (TaskParameter(), "LoadFlights", "a str is not a task class; give the class, not its name"),
    (TaskParameter(), int, "int is a class, but not of a task"),
]


@pytest.mark.parametrize(("parameter", "value", "reason"), VALUES)
def test_a_python_value_is_refused_with_a_reason(parameter: Parameter[Any], value: Any, reason: str) -> None:
    """F59: The same checks as for text: nothing slips in because it came from code."""
    with pytest.raises((ValueError, TypeError)) as caught:
        parameter.normalize(value)

    assert reason in str(caught.value)


def test_numbers_too_long_to_be_written_are_refused() -> None:
    """Python turns no integer of more than 4300 digits into text, so such a task could have no id."""
    with pytest.raises(ValueError, match="it has more than 4,200 digits"):
        IntParameter().normalize(10**5000)
    with pytest.raises(ValueError, match="it holds a number of more than 4,200 digits"):
        DictParameter().normalize({"a": -(10**5000)})
    with pytest.raises(ValueError, match="it is too large for a float"):
        FloatParameter().normalize(10**400)


@pytest.mark.parametrize(
    "declare",
    [
        lambda: EnumParameter(),
        lambda: EnumListParameter(enum=int),  # type: ignore[type-var]  # the mistake under test
        lambda: ChoiceParameter(),
        lambda: ChoiceParameter(choices=(1, 2)),
        lambda: ChoiceListParameter(choices=("a,b",)),
        lambda: ChoiceListParameter(choices=("",)),
        lambda: NumericalParameter(min_value=1, max_value=2),
        lambda: DateParameter(interval=0),
        lambda: DateHourParameter(interval=-1),
        lambda: DateHourParameter(start=dt.datetime(2013, 1, 1, 1, 30)),
        lambda: BoolParameter(parsing="loose"),
        lambda: Parameter(visibility=2),  # type: ignore[arg-type]  # the mistake under test
    ],
)
def test_a_declaration_that_cannot_work_is_refused_at_once(declare: Any) -> None:
    """Where the class is written, not when the first task is made."""
    with pytest.raises(ParameterError):
        declare()


def test_numerical_ends_belong_to_it_as_their_operators_say() -> None:
    half_open = NumericalParameter(var_type=int, min_value=-3, max_value=7)
    turned = NumericalParameter(var_type=int, min_value=-3, max_value=7, left_op=operator.lt, right_op=operator.le)

    assert half_open.normalize(-3) == -3 and turned.normalize(7) == 7
    assert half_open.accepts == "a whole number at least -3 and below 7"
    assert turned.accepts == "a whole number above -3 and at most 7"
    with pytest.raises(ValueError, match="above"):
        half_open.normalize(7)
    with pytest.raises(ValueError, match="below"):
        turned.normalize(-3)


def test_equal_values_of_different_types_become_one() -> None:
    """One value, one id: an Enum of text is its text, a choice is the declared one, a range is made of plain dates."""
    assert type(Parameter().normalize(Word.ONE)) is str
    assert type(ChoiceParameter(choices=(1, 2), var_type=int).normalize(True)) is int
    assert type(DateParameter().normalize(dt.datetime(2013, 1, 1, 5))) is dt.date
    assert DateRangeParameter().normalize(DateRange(dt.datetime(2013, 1, 1, 5), dt.datetime(2013, 1, 2))) == DateRange(
        dt.date(2013, 1, 1), dt.date(2013, 1, 2)
    )
    assert type(DictParameter().normalize({Word.ONE: Word.ONE})["one"]) is str


def test_pandas_and_numpy_values_become_plain_ones() -> None:
    """A Timestamp is a date, numpy's numbers are numbers; NaT and datetime64 are refused."""
    np = pytest.importorskip("numpy")
    pd = pytest.importorskip("pandas")

    assert type(DateParameter().normalize(pd.Timestamp("2013-01-02 03:04"))) is dt.date
    assert type(DateHourParameter().normalize(pd.Timestamp("2013-01-02 03:04"))) is dt.datetime
    assert type(TimeDeltaParameter().normalize(pd.Timedelta("1h"))) is dt.timedelta
    assert type(IntParameter().normalize(np.int64(5))) is int
    assert type(FloatParameter().normalize(np.float32(0.5))) is float
    assert ListParameter().normalize([np.int64(5), np.float64(0.5)]) == (5, 0.5)
    for parameter in (DateParameter(), DateHourParameter(), TimeDeltaParameter()):
        with pytest.raises((ValueError, TypeError)):
            parameter.normalize(pd.NaT)
    with pytest.raises(TypeError, match="datetime64 is not a date"):
        DateParameter().normalize(np.datetime64("2013-01-02"))
