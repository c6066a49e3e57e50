"""Read by mypy and pyright in test_inferred_types.py, never run: what a parameter is on a task, without annotation."""

from __future__ import annotations

import datetime as dt
import enum
from pathlib import Path
from typing import Any, assert_type

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
    FrozenDict,
    IntParameter,
    ListParameter,
    MonthParameter,
    NumericalParameter,
    OptionalBoolParameter,
    OptionalChoiceParameter,
    OptionalDateParameter,
    OptionalDictParameter,
    OptionalFloatParameter,
    OptionalIntParameter,
    OptionalListParameter,
    OptionalNumericalParameter,
    OptionalOf,
    OptionalParameter,
    OptionalPathParameter,
    OptionalStrParameter,
    OptionalTupleParameter,
    Parameter,
    ParameterVisibility,
    PathParameter,
    StrParameter,
    TimeDeltaParameter,
    TupleParameter,
    YearParameter,
)
from etlctl.core.task import Task
from etlctl.core.task_parameter import TaskParameter


class Colour(enum.Enum):
    RED = 1


class Celsius(Parameter[float]):
    def parse(self, text: str) -> float:
        return float(text.removesuffix("°C"))


def last_sunday() -> dt.date:
    return dt.date(2013, 1, 6)


class Everything(Task):
    date = DateParameter()
    documented = DateParameter(description="day to load", significant=False, visibility=ParameterVisibility.HIDDEN)
    defaulted = DateParameter(default=last_sunday, interval=7)
    given = DateParameter(dt.date(2013, 1, 1))
    month = MonthParameter()
    year = YearParameter()
    hour = DateHourParameter()
    minute = DateMinuteParameter(interval=15)
    second = DateSecondParameter()
    interval = DateIntervalParameter()
    range = DateRangeParameter()
    patience = TimeDeltaParameter()
    text = Parameter()
    described = Parameter(description="carrier")
    text_given = Parameter(default="EWR")
    string = StrParameter()
    number = IntParameter(default=5)
    share = FloatParameter()
    bounded = NumericalParameter(var_type=int, min_value=0, max_value=5)
    ratio = NumericalParameter(var_type=float, min_value=0.0, max_value=1.0)
    force = BoolParameter()
    task_class = TaskParameter()
    colour = EnumParameter(enum=Colour)
    colours = EnumListParameter(enum=Colour, default=(Colour.RED,))
    choice = ChoiceParameter(choices=("a", "b"))
    level = ChoiceParameter(choices=(1, 2), var_type=int)
    choices = ChoiceListParameter(choices=["a", "b"])
    labels = DictParameter(default={"role": "web"})
    items = ListParameter(default=[1, 2])
    pair = TupleParameter()
    path = PathParameter(default="data")
    own = Celsius()
    maybe_text = OptionalParameter()
    maybe_string = OptionalStrParameter(default="a")
    maybe_number = OptionalIntParameter()
    maybe_share = OptionalFloatParameter()
    maybe_bounded = OptionalNumericalParameter(var_type=int)
    maybe_force = OptionalBoolParameter()
    maybe_date = OptionalDateParameter()
    maybe_path = OptionalPathParameter()
    maybe_labels = OptionalDictParameter()
    maybe_items = OptionalListParameter()
    maybe_pair = OptionalTupleParameter()
    maybe_choice = OptionalChoiceParameter(choices=("a", "b"))
    maybe_hour = OptionalOf(DateHourParameter())

    def run(self) -> None:
        assert_type(self.date, dt.date)
        assert_type(self.documented, dt.date)
        assert_type(self.defaulted, dt.date)
        assert_type(self.given, dt.date)
        assert_type(self.month, dt.date)
        assert_type(self.year, dt.date)
        assert_type(self.hour, dt.datetime)
        assert_type(self.minute, dt.datetime)
        assert_type(self.second, dt.datetime)
        assert_type(self.interval, DateInterval)
        assert_type(self.range, DateRange)
        assert_type(self.patience, dt.timedelta)
        assert_type(self.text, str)
        assert_type(self.described, str)
        assert_type(self.text_given, str)
        assert_type(self.string, str)
        assert_type(self.number, int)
        assert_type(self.share, float)
        assert_type(self.bounded, int)
        assert_type(self.ratio, float)
        assert_type(self.force, bool)
        assert_type(self.task_class, type[Any])
        assert_type(self.colour, Colour)
        assert_type(self.colours, tuple[Colour, ...])
        assert_type(self.choice, str)
        assert_type(self.level, int)
        assert_type(self.choices, tuple[str, ...])
        assert_type(self.labels, FrozenDict)
        assert_type(self.items, tuple[Any, ...])
        assert_type(self.pair, tuple[Any, ...])
        assert_type(self.path, Path)
        assert_type(self.own, float)
        assert_type(self.maybe_text, str | None)
        assert_type(self.maybe_string, str | None)
        assert_type(self.maybe_number, int | None)
        assert_type(self.maybe_share, float | None)
        assert_type(self.maybe_bounded, int | None)
        assert_type(self.maybe_force, bool | None)
        assert_type(self.maybe_date, dt.date | None)
        assert_type(self.maybe_path, Path | None)
        assert_type(self.maybe_labels, FrozenDict | None)
        assert_type(self.maybe_items, tuple[Any, ...] | None)
        assert_type(self.maybe_pair, tuple[Any, ...] | None)
        assert_type(self.maybe_choice, str | None)
        assert_type(self.maybe_hour, dt.datetime | None)


assert_type(Everything.date, DateParameter)
assert_type(Everything(dt.date(2013, 1, 1)).date, dt.date)
