"""Parameters whose value is a JSON structure: a dict, a list or a tuple, frozen all the way down."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from etlctl.core.parameters.base import NO_VALUE, NoValue, Parameter, ParameterOptions, named_type
from etlctl.core.parameters.frozen import FrozenDict, freeze, from_json, in_order, thaw, to_json
from etlctl.errors import ParameterError


class Schema:
    """A JSON schema, or any object with `validate(value)`; jsonschema is imported when it is first needed."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._validator: Any = schema if hasattr(schema, "validate") else None

    def checked(self, value: Any) -> Any:
        """`value` thawed and validated; raises ValueError with the first complaint. A validator may change it."""
        plain = thaw(value)
        if self._validator is None:
            self._validator = _validator(self._schema)
        try:
            self._validator.validate(plain)
        except Exception as error:  # the validator is the user's; jsonschema's own error is no ValueError
            where = "".join(f"[{step!r}]" for step in getattr(error, "absolute_path", ()))
            complaint = getattr(error, "message", None) or str(error)
            raise ValueError(f"the schema says{f' at {where}' if where else ''}: {complaint}") from error
        return plain


class DictParameter(Parameter[FrozenDict]):
    """A mapping, written as a JSON object; its value is an immutable FrozenDict that keeps the order of its keys.

    The order is part of the task's identity, as it is in Luigi; `sort_keys=True` puts the keys of all levels in
    alphabetical order, so that equal mappings are one task. `schema` is a JSON schema (needs jsonschema) or a
    validator, applied wherever the value comes from.
    """

    def __init__(
        self,
        default: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | NoValue = NO_VALUE,
        *,
        schema: Any = None,
        sort_keys: bool = False,
        **options: Unpack[ParameterOptions],
    ) -> None:
        declared: Any = default
        super().__init__(declared, **options)
        self.schema = schema
        self.sort_keys = sort_keys
        self._schema = Schema(schema) if schema is not None else None

    @property
    def accepts(self) -> str:
        return 'a JSON object like {"role": "web"}'

    def parse(self, text: str) -> FrozenDict:
        return self.normalize(from_json(text))

    def serialize(self, value: FrozenDict) -> str:
        return to_json(value)

    def normalize(self, value: Any) -> FrozenDict:
        if not isinstance(value, Mapping):
            raise TypeError(f"{named_type(value)} is not a dict")
        frozen: FrozenDict = freeze(self._schema.checked(value) if self._schema else value)
        if self.sort_keys:
            frozen = in_order(frozen)
        return frozen


class ListParameter(Parameter[tuple[Any, ...]]):
    """A list, written as a JSON array; its value is a tuple. `schema` as for DictParameter."""

    def __init__(
        self,
        default: Iterable[Any] | Callable[[], Iterable[Any]] | NoValue = NO_VALUE,
        *,
        schema: Any = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        declared: Any = default
        super().__init__(declared, **options)
        self.schema = schema
        self._schema = Schema(schema) if schema is not None else None

    @property
    def accepts(self) -> str:
        return "a JSON list like [1, 2]"

    def parse(self, text: str) -> tuple[Any, ...]:
        return self.normalize(from_json(text))

    def serialize(self, value: tuple[Any, ...]) -> str:
        return to_json(value)

    def normalize(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            hint = "; a set has no order, give sorted(…)" if isinstance(value, set | frozenset) else ""
            raise TypeError(f"{named_type(value)} is not a list{hint}")
        frozen: tuple[Any, ...] = freeze(self._schema.checked(value) if self._schema else value)
        return frozen


class TupleParameter(ListParameter):
    """A tuple, written as a JSON array or as a Python literal: `((12, 3), (4, 15))`."""

    @property
    def accepts(self) -> str:
        return "a list like [1, 2] or a tuple like (1, 2)"

    def parse(self, text: str) -> tuple[Any, ...]:
        try:
            value = from_json(text)
        except ValueError:
            value = _literal(text)
        return self.normalize(value)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("it is neither JSON nor a Python tuple") from None


def _validator(schema: Any) -> Any:
    try:
        jsonschema = importlib.import_module("jsonschema")
    except ImportError:
        raise ParameterError("A parameter with a schema needs the jsonschema package: pip install jsonschema") from None
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)
