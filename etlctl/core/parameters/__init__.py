"""Parameters: the typed values that a task is told. This file only names what the package offers."""

from etlctl.core.parameters.base import (
    NO_VALUE,
    NoValue,
    Parameter,
    ParameterOptions,
    ParameterVisibility,
    StrParameter,
)
from etlctl.core.parameters.choices import ChoiceListParameter, ChoiceParameter, EnumListParameter, EnumParameter
from etlctl.core.parameters.dates import DateParameter, MonthParameter, YearParameter
from etlctl.core.parameters.durations import DateIntervalParameter, DateRangeParameter, TimeDeltaParameter
from etlctl.core.parameters.frozen import FrozenDict
from etlctl.core.parameters.instants import DateHourParameter, DateMinuteParameter, DateSecondParameter
from etlctl.core.parameters.numeric import FloatParameter, IntParameter, NumericalParameter
from etlctl.core.parameters.optional import (
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
)
from etlctl.core.parameters.plain import BoolParameter, PathParameter
from etlctl.core.parameters.structured import DictParameter, ListParameter, TupleParameter

__all__ = [
    "NO_VALUE",
    "BoolParameter",
    "ChoiceListParameter",
    "ChoiceParameter",
    "DateHourParameter",
    "DateIntervalParameter",
    "DateMinuteParameter",
    "DateParameter",
    "DateRangeParameter",
    "DateSecondParameter",
    "DictParameter",
    "EnumListParameter",
    "EnumParameter",
    "FloatParameter",
    "FrozenDict",
    "IntParameter",
    "ListParameter",
    "MonthParameter",
    "NoValue",
    "NumericalParameter",
    "OptionalBoolParameter",
    "OptionalChoiceParameter",
    "OptionalDateParameter",
    "OptionalDictParameter",
    "OptionalFloatParameter",
    "OptionalIntParameter",
    "OptionalListParameter",
    "OptionalNumericalParameter",
    "OptionalOf",
    "OptionalParameter",
    "OptionalPathParameter",
    "OptionalStrParameter",
    "OptionalTupleParameter",
    "Parameter",
    "ParameterOptions",
    "ParameterVisibility",
    "PathParameter",
    "StrParameter",
    "TimeDeltaParameter",
    "TupleParameter",
    "YearParameter",
]
