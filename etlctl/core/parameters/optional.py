"""Parameters that may also be None: each wraps the kind it makes optional."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Unpack

from etlctl.core.parameters.base import NoValue, Parameter, ParameterOptions, StrParameter
from etlctl.core.parameters.choices import ChoiceParameter
from etlctl.core.parameters.dates import DateParameter
from etlctl.core.parameters.frozen import FrozenDict
from etlctl.core.parameters.numeric import FloatParameter, IntParameter, N, NumericalParameter
from etlctl.core.parameters.plain import BoolParameter, PathParameter
from etlctl.core.parameters.structured import DictParameter, ListParameter, TupleParameter

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # shipped with the type checkers

    C = TypeVar("C", default=str)
else:
    from typing import TypeVar

    C = TypeVar("C")

T = TypeVar("T")


class OptionalOf(Parameter[T | None], Generic[T]):
    """A value of the kind `inner`, or None, which is written as empty text; None when nothing else is said.

    Make a kind of one's own optional with it: `OptionalOf(ColourParameter())`. Empty text is None from Python too.
    """

    def __init__(self, inner: Parameter[T], default: Any = None, **options: Unpack[ParameterOptions]) -> None:
        super().__init__(default, **options)
        self.inner = inner

    @property
    def accepts(self) -> str:
        return f"{self.inner.accepts}, or nothing"

    @property
    def suggestions(self) -> tuple[str, ...]:
        return self.inner.suggestions

    def parse(self, text: str) -> T | None:
        return self.inner.parse(text) if text else None

    def serialize(self, value: T | None) -> str:
        return "" if value is None else self.inner.serialize(value)

    def normalize(self, value: Any) -> T | None:
        if value is None or (isinstance(value, str) and not value):
            return None
        return self.inner.normalize(value)

    def next_in_enumeration(self, value: T | None) -> T | None:
        return None if value is None else self.inner.next_in_enumeration(value)


class OptionalParameter(OptionalOf[str]):
    """Text, or None."""

    def __init__(
        self, default: str | Callable[[], str | None] | NoValue | None = None, **options: Unpack[ParameterOptions]
    ) -> None:
        super().__init__(StrParameter(), default, **options)


class OptionalStrParameter(OptionalParameter):
    """Text, or None."""


class OptionalIntParameter(OptionalOf[int]):
    """A whole number, or None."""

    def __init__(
        self, default: int | Callable[[], int | None] | NoValue | None = None, **options: Unpack[ParameterOptions]
    ) -> None:
        super().__init__(IntParameter(), default, **options)


class OptionalFloatParameter(OptionalOf[float]):
    """A floating-point number, or None."""

    def __init__(
        self, default: float | Callable[[], float | None] | NoValue | None = None, **options: Unpack[ParameterOptions]
    ) -> None:
        super().__init__(FloatParameter(), default, **options)


class OptionalBoolParameter(OptionalOf[bool]):
    """True, False, or None. `parsing` as for BoolParameter."""

    def __init__(
        self,
        default: bool | Callable[[], bool | None] | NoValue | None = None,
        *,
        parsing: str | None = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        inner = BoolParameter(parsing=parsing)
        super().__init__(inner, default, **options)
        self.parsing = inner.parsing


class OptionalDateParameter(OptionalOf[dt.date]):
    """A day, or None. `interval` and `start` as for DateParameter."""

    def __init__(
        self,
        default: dt.date | Callable[[], dt.date | None] | NoValue | None = None,
        *,
        interval: int = 1,
        start: dt.date | None = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(DateParameter(interval=interval, start=start), default, **options)


class OptionalPathParameter(OptionalOf[Path]):
    """A path, or None. `absolute` and `exists` as for PathParameter."""

    def __init__(
        self,
        default: Path | str | Callable[[], Path | str | None] | NoValue | None = None,
        *,
        absolute: bool = False,
        exists: bool = False,
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(PathParameter(absolute=absolute, exists=exists), default, **options)


class OptionalDictParameter(OptionalOf[FrozenDict]):
    """A mapping, or None. `schema` and `sort_keys` as for DictParameter."""

    def __init__(
        self, default: Any = None, *, schema: Any = None, sort_keys: bool = False, **options: Unpack[ParameterOptions]
    ) -> None:
        super().__init__(DictParameter(schema=schema, sort_keys=sort_keys), default, **options)


class OptionalListParameter(OptionalOf[tuple[Any, ...]]):
    """A list, or None. `schema` as for ListParameter."""

    def __init__(self, default: Any = None, *, schema: Any = None, **options: Unpack[ParameterOptions]) -> None:
        super().__init__(ListParameter(schema=schema), default, **options)


class OptionalTupleParameter(OptionalOf[tuple[Any, ...]]):
    """A tuple, or None. `schema` as for ListParameter."""

    def __init__(self, default: Any = None, *, schema: Any = None, **options: Unpack[ParameterOptions]) -> None:
        super().__init__(TupleParameter(schema=schema), default, **options)


class OptionalNumericalParameter(OptionalOf[N], Generic[N]):
    """A number in a range, or None; the options of NumericalParameter."""

    def __init__(
        self,
        default: N | Callable[[], N | None] | NoValue | None = None,
        *,
        var_type: type[N] | None = None,
        min_value: N | None = None,
        max_value: N | None = None,
        left_op: Callable[[Any, Any], bool] = operator.le,
        right_op: Callable[[Any, Any], bool] = operator.lt,
        **options: Unpack[ParameterOptions],
    ) -> None:
        inner: NumericalParameter[N] = NumericalParameter(
            var_type=var_type, min_value=min_value, max_value=max_value, left_op=left_op, right_op=right_op
        )
        super().__init__(inner, default, **options)


class OptionalChoiceParameter(OptionalOf[C], Generic[C]):
    """One of `choices`, or None; the options of ChoiceParameter."""

    def __init__(
        self,
        default: C | Callable[[], C | None] | NoValue | None = None,
        *,
        choices: Iterable[C] | None = None,
        var_type: Callable[[Any], C] = str,  # type: ignore[assignment]  # the default goes with C's default
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(ChoiceParameter(choices=choices, var_type=var_type), default, **options)
