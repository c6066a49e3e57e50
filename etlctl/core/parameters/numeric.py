"""Parameters whose value is a number."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Generic, TypeVar, Unpack, cast

from etlctl.core.parameters.base import NO_VALUE, NoValue, Parameter, ParameterOptions, named_type
from etlctl.errors import ParameterError

N = TypeVar("N", bound=float)  # to type checkers an int is a float

_MAX_BITS = 14_000  # Python refuses to turn integers of more than 4300 digits into text


def whole_number(value: Any) -> int:
    """`value` as a plain int: numpy's integers are taken, bool, float and text are not."""
    if type(value) is not int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            hint = ", without the quotes" if isinstance(value, str) else ""
            raise TypeError(f"{named_type(value)} is not an int{hint}")
        value = operator.index(value)
    if value.bit_length() > _MAX_BITS:
        raise ValueError("it has more than 4,200 digits")
    return int(value)


def real_number(value: Any) -> float:
    """`value` as a plain float; NaN is refused and -0.0 becomes 0.0, so that equal values have one text."""
    import numbers  # 2 ms that a list of tasks need not wait for

    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        hint = ", without the quotes" if isinstance(value, str) else ""
        raise TypeError(f"{named_type(value)} is not a float{hint}")
    try:
        found = float(value)
    except OverflowError:
        raise ValueError("it is too large for a float") from None
    if math.isnan(found):
        raise ValueError("NaN does not equal itself, so no task could be found again by it")
    return found + 0.0


def _parse_whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("it is not a whole number") from None


def _parse_real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("it is not a number") from None


class IntParameter(Parameter[int]):
    """A whole number."""

    @property
    def accepts(self) -> str:
        return "a whole number like 42"

    def parse(self, text: str) -> int:
        return whole_number(_parse_whole(text))

    def normalize(self, value: Any) -> int:
        return whole_number(value)

    def next_in_enumeration(self, value: int) -> int | None:
        return value + 1


class FloatParameter(Parameter[float]):
    """A floating-point number; a whole number given from Python becomes one too."""

    @property
    def accepts(self) -> str:
        return "a number like 0.5"

    def parse(self, text: str) -> float:
        return real_number(_parse_real(text))

    def normalize(self, value: Any) -> float:
        return real_number(value)


class NumericalParameter(Parameter[N], Generic[N]):
    """A number of `var_type` (int or float) between `min_value` and `max_value`, checked wherever it comes from.

    `left_op` and `right_op` say whether the ends belong to it: `operator.le` (the default on the left) includes the
    end, `operator.lt` (the default on the right) does not. An end that is left out is open.
    """

    def __init__(
        self,
        default: N | Callable[[], N] | NoValue = NO_VALUE,
        *,
        var_type: type[N] | None = None,
        min_value: N | None = None,
        max_value: N | None = None,
        left_op: Callable[[Any, Any], bool] = operator.le,
        right_op: Callable[[Any, Any], bool] = operator.lt,
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(default, **options)
        if var_type is not int and var_type is not float:
            raise ParameterError("NumericalParameter needs var_type=int or var_type=float.")
        self._is_whole = var_type is int
        self._min, self._max = min_value, max_value
        self._left, self._right = left_op, right_op

    @property
    def accepts(self) -> str:
        noun = "a whole number" if self._is_whole else "a number"
        ends = []
        if self._min is not None:
            ends.append(f"{'at least' if self._left is operator.le else 'above'} {self._min}")
        if self._max is not None:
            ends.append(f"{'at most' if self._right is operator.le else 'below'} {self._max}")
        return " ".join([noun, " and ".join(ends)]).rstrip()

    def parse(self, text: str) -> N:
        return self.normalize(_parse_whole(text) if self._is_whole else _parse_real(text))

    def normalize(self, value: Any) -> N:
        number = cast("N", whole_number(value) if self._is_whole else real_number(value))
        if self._min is not None and not self._left(self._min, number):
            raise ValueError("it is below the permitted range")
        if self._max is not None and not self._right(number, self._max):
            raise ValueError("it is above the permitted range")
        return number

    def next_in_enumeration(self, value: N) -> N | None:
        if not self._is_whole:
            return None
        try:
            return self.normalize(value + 1)
        except ValueError:
            return None
