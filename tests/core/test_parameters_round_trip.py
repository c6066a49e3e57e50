"""`parse(serialize(x)) == x` for every kind, and equal values have equal text."""

from __future__ import annotations

import datetime as dt
import enum
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from etlctl.core import date_interval
from etlctl.core.date_interval import DateInterval, DateRange
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
    OptionalBoolParameter,
    OptionalDateParameter,
    OptionalListParameter,
    OptionalOf,
    OptionalParameter,
    Parameter,
    PathParameter,
    StrParameter,
    TimeDeltaParameter,
    TupleParameter,
    YearParameter,
)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2
    GREEN = "green"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


def returns(parameter: Parameter[Any], value: Any) -> None:
    normal = parameter.normalize(value)
    text = parameter.serialize(normal)
    back = parameter.normalize(parameter.parse(text))

    assert type(text) is str
    assert back == normal
    assert type(back) is type(normal)
    assert parameter.serialize(back) == text
    assert parameter.normalize(normal) == normal
    assert hash(back) == hash(normal)


any_text = st.text(st.characters(codec=None))  # lone surrogates too
floats = st.floats(allow_nan=False)
json_leaf = st.none() | st.booleans() | st.integers() | floats | st.text()
json_values = st.recursive(json_leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
intervals: st.SearchStrategy[DateInterval] = st.one_of(
    st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 30)).map(date_interval.Date.from_date),
    st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 1)).map(date_interval.Week.from_date),
    st.dates(dt.date(1, 1, 1), dt.date(9999, 11, 30)).map(date_interval.Month.from_date),
    st.dates(dt.date(1, 1, 1), dt.date(9998, 12, 31)).map(date_interval.Year.from_date),
    st.lists(st.dates(), min_size=2, max_size=2).map(lambda ends: date_interval.Custom(*sorted(ends))),
)
days = st.dates(dt.date(100, 1, 1))
steps = st.integers(1, 1000)


@given(any_text)
def test_text_returns_unchanged(text: str) -> None:
    """No kind of text is trimmed or recomposed: NFC and NFD stay two values."""
    returns(Parameter(), text)
    returns(StrParameter(), text)
    returns(OptionalParameter(), text)
    assert Parameter().normalize(text) == text


@given(st.integers() | st.integers(10**300, 10**301) | st.integers(-(10**301), -(10**300)))
def test_int_returns(number: int) -> None:
    """Any size and sign."""
    returns(IntParameter(), number)
    returns(NumericalParameter(var_type=int, min_value=None), number)


@given(floats | st.integers(-(2**60), 2**60))
def test_float_returns(number: float) -> None:
    """Every float but NaN, with its last bit; whole numbers become floats."""
    returns(FloatParameter(), number)
    returns(NumericalParameter(var_type=float), number)


@given(st.booleans())
def test_bool_returns(value: bool) -> None:
    returns(BoolParameter(), value)
    returns(OptionalBoolParameter(), value)


@given(st.dates())
def test_date_returns_for_every_year(day: dt.date) -> None:
    """From 0001-01-01 to 9999-12-31."""
    returns(DateParameter(), day)
    returns(MonthParameter(), day)
    returns(YearParameter(), day)
    returns(OptionalDateParameter(), day)
    assert DateParameter().normalize(day) == day


@given(days, steps, st.dates(dt.date(1900, 1, 1)))
def test_date_with_an_interval_returns(day: dt.date, interval: int, start: dt.date) -> None:
    """The value lies on a step from the start, not after the day."""
    returns(DateParameter(interval=interval, start=start), day)
    returns(MonthParameter(interval=interval, start=start), day)
    returns(YearParameter(interval=min(interval, 90), start=start), day)


@given(st.datetimes())
def test_instant_returns(instant: dt.datetime) -> None:
    returns(DateHourParameter(), instant)
    returns(DateMinuteParameter(), instant)
    returns(DateSecondParameter(), instant)


@given(st.datetimes(dt.datetime(100, 1, 1)), steps, st.dates(dt.date(1900, 1, 1)))
def test_instant_with_an_interval_returns(instant: dt.datetime, interval: int, start: dt.date) -> None:
    returns(DateHourParameter(interval=interval, start=start), instant)
    returns(DateMinuteParameter(interval=interval, start=start), instant)
    returns(DateSecondParameter(interval=interval, start=start), instant)


@given(st.timedeltas())
def test_duration_returns(duration: dt.timedelta) -> None:
    """Negative ones and microseconds too."""
    returns(TimeDeltaParameter(), duration)


@given(intervals)
def test_date_interval_returns(interval: DateInterval) -> None:
    returns(DateIntervalParameter(), interval)


@given(st.dates(), st.dates())
def test_date_range_returns(one: dt.date, other: dt.date) -> None:
    returns(DateRangeParameter(), DateRange(min(one, other), max(one, other)))


@given(st.sampled_from(Colour), st.lists(st.sampled_from(Colour)))
def test_enum_returns(member: Colour, members: list[Colour]) -> None:
    returns(EnumParameter(enum=Colour), member)
    returns(EnumListParameter(enum=Colour), members)


@given(st.lists(st.sampled_from(Access).filter(bool), min_size=1))
def test_combined_flags_return(members: list[Access]) -> None:
    combined = members[0]
    for member in members:
        combined |= member

    returns(EnumParameter(enum=Access), combined)


@given(st.dictionaries(st.text(), json_values))
def test_dict_returns_with_its_order(value: dict[str, Any]) -> None:
    """Nested to any depth, any text as key, in the order given."""
    parameter = DictParameter()

    returns(parameter, value)
    assert list(parameter.parse(parameter.serialize(parameter.normalize(value)))) == list(value)


@given(st.lists(json_values))
def test_list_and_tuple_return(value: list[Any]) -> None:
    returns(ListParameter(), value)
    returns(TupleParameter(), tuple(value))
    returns(OptionalListParameter(), value)


@given(st.lists(st.integers(), min_size=1, unique=True), st.data())
def test_choices_return(choices: list[int], data: st.DataObject) -> None:
    returns(ChoiceParameter(choices=choices, var_type=int), data.draw(st.sampled_from(choices)))
    returns(ChoiceListParameter(choices=choices, var_type=int), data.draw(st.lists(st.sampled_from(choices))))


def test_choices_of_bool_return() -> None:
    """bool("False") is True: the text of a choice is looked up before the type is asked."""
    returns(ChoiceParameter(choices=(True, False), var_type=bool), False)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_path_returns(text: str) -> None:
    returns(PathParameter(), text)
    returns(PathParameter(), Path(text))
    returns(PathParameter(absolute=True), text)


def test_none_returns_for_every_optional() -> None:
    """None is empty text, whatever the kind."""
    for inner in (IntParameter(), DateHourParameter(), DictParameter(), BoolParameter(), StrParameter()):
        returns(OptionalOf(inner), None)
