"""etlctl: a command-line ETL runner. The public face: `from etlctl import Task, LoadTable, DateParameter, build`.

Names are handed on lazily, so that importing one of them costs no more than the module it lives in: a pipeline of
load tasks imports neither SQLAlchemy nor a driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etlctl.core.events import Event
    from etlctl.core.namespaces import auto_namespace, namespace
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
        OptionalChoiceParameter,
        OptionalDateParameter,
        OptionalDictParameter,
        OptionalFloatParameter,
        OptionalIntParameter,
        OptionalListParameter,
        OptionalNumericalParameter,
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
    from etlctl.core.parametrized import Config
    from etlctl.core.results import RunSummary, Status, TaskResult
    from etlctl.core.target import Target
    from etlctl.core.task import (
        DynamicRequirements,
        ExternalTask,
        Task,
        WrapperTask,
        externalize,
        flatten,
        inherits,
        requires,
    )
    from etlctl.core.task_parameter import TaskParameter
    from etlctl.db.table_target import TableTarget
    from etlctl.errors import EtlctlError, ExitCode
    from etlctl.loads.checks import accepted_values, no_rows, not_null, relationship, row_count, unique
    from etlctl.loads.copytable import CopyTable
    from etlctl.loads.dump import DumpTable
    from etlctl.loads.incremental import Incremental
    from etlctl.loads.modes import append, merge_on, replace, replace_where
    from etlctl.loads.query import QueryTable, RunSQL
    from etlctl.loads.redshift import Redshift
    from etlctl.loads.sequence import Sequence, transaction
    from etlctl.loads.table import LoadTable
    from etlctl.outside import build
    from etlctl.targets import formats as format  # noqa: F401  not in __all__: a builtin has the name
    from etlctl.targets.local import LocalTarget
    from etlctl.targets.mock import MockTarget
    from etlctl.targets.s3 import S3FlagTarget, S3Target
    from etlctl.targets.s3_client import S3Client

__version__ = "0.1.0"

_PARAMETERS = (
    "BoolParameter ChoiceListParameter ChoiceParameter DateHourParameter DateIntervalParameter DateMinuteParameter "
    "DateParameter DateRangeParameter DateSecondParameter DictParameter EnumListParameter EnumParameter FloatParameter "
    "IntParameter ListParameter MonthParameter NumericalParameter OptionalBoolParameter OptionalChoiceParameter "
    "OptionalDateParameter OptionalDictParameter OptionalFloatParameter OptionalIntParameter OptionalListParameter "
    "OptionalNumericalParameter OptionalParameter OptionalPathParameter OptionalStrParameter OptionalTupleParameter "
    "Parameter ParameterVisibility PathParameter StrParameter TimeDeltaParameter TupleParameter "
    "YearParameter"
)
_NAMES = {
    "etlctl.outside": "build",
    "etlctl.core.events": "Event",
    "etlctl.core.parameters": _PARAMETERS,
    "etlctl.core.parametrized": "Config",
    "etlctl.core.results": "RunSummary Status TaskResult",
    "etlctl.core.target": "Target",
    "etlctl.core.task": "DynamicRequirements ExternalTask Task WrapperTask externalize flatten inherits requires",
    "etlctl.core.namespaces": "auto_namespace namespace",
    "etlctl.core.task_parameter": "TaskParameter",
    "etlctl.db.table_target": "TableTarget",
    "etlctl.errors": "EtlctlError ExitCode",
    "etlctl.loads.checks": "accepted_values no_rows not_null relationship row_count unique",
    "etlctl.loads.copytable": "CopyTable",
    "etlctl.loads.dump": "DumpTable",
    "etlctl.loads.incremental": "Incremental",
    "etlctl.loads.modes": "append merge_on replace replace_where",
    "etlctl.loads.query": "QueryTable RunSQL",
    "etlctl.loads.redshift": "Redshift",
    "etlctl.loads.sequence": "Sequence transaction",
    "etlctl.loads.table": "LoadTable",
    "etlctl.targets.local": "LocalTarget",
    "etlctl.targets.mock": "MockTarget",
    "etlctl.targets.s3": "S3FlagTarget S3Target",
    "etlctl.targets.s3_client": "S3Client",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [  # spelled out for type checkers, which a computed list tells nothing; a test keeps it equal to _HOMES
    "BoolParameter",
    "ChoiceListParameter",
    "ChoiceParameter",
    "Config",
    "CopyTable",
    "DateHourParameter",
    "DateIntervalParameter",
    "DateMinuteParameter",
    "DateParameter",
    "DateRangeParameter",
    "DateSecondParameter",
    "DictParameter",
    "DumpTable",
    "DynamicRequirements",
    "EnumListParameter",
    "EnumParameter",
    "EtlctlError",
    "Event",
    "ExitCode",
    "ExternalTask",
    "FloatParameter",
    "Incremental",
    "IntParameter",
    "ListParameter",
    "LoadTable",
    "LocalTarget",
    "MockTarget",
    "MonthParameter",
    "NumericalParameter",
    "OptionalBoolParameter",
    "OptionalChoiceParameter",
    "OptionalDateParameter",
    "OptionalDictParameter",
    "OptionalFloatParameter",
    "OptionalIntParameter",
    "OptionalListParameter",
    "OptionalNumericalParameter",
    "OptionalParameter",
    "OptionalPathParameter",
    "OptionalStrParameter",
    "OptionalTupleParameter",
    "Parameter",
    "ParameterVisibility",
    "PathParameter",
    "QueryTable",
    "Redshift",
    "RunSQL",
    "RunSummary",
    "S3Client",
    "S3FlagTarget",
    "S3Target",
    "Sequence",
    "Status",
    "StrParameter",
    "TableTarget",
    "Target",
    "Task",
    "TaskParameter",
    "TaskResult",
    "TimeDeltaParameter",
    "TupleParameter",
    "WrapperTask",
    "YearParameter",
    "__version__",
    "accepted_values",
    "append",
    "auto_namespace",
    "build",
    "externalize",
    "flatten",
    "inherits",
    "merge_on",
    "namespace",
    "no_rows",
    "not_null",
    "relationship",
    "replace",
    "replace_where",
    "requires",
    "row_count",
    "transaction",
    "unique",
]


if not TYPE_CHECKING:  # a checker that saw it would take any misspelled name for one of ours

    def __getattr__(name: str) -> Any:
        if name == "format":  # Luigi's `luigi.format.Gzip`; not in __all__, since a builtin has this name
            return import_module("etlctl.targets.formats")
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'etlctl' has no attribute {name!r}")
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
