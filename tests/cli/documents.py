"""Checks a JSON document against the class of its schema."""

from __future__ import annotations

import types
import typing
from typing import Any, get_args, get_origin


def check(value: Any, kind: Any, where: str = "document") -> None:
    """`value` is of the type: fields, lists and texts all the way down."""
    origin, arguments = get_origin(kind), get_args(kind)
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        assert isinstance(value, dict) and set(value) == set(hints), where
        for name, inner in hints.items():
            check(value[name], inner, f"{where}.{name}")
    elif origin in (types.UnionType, typing.Union):
        assert any(_fits(value, one, where) for one in arguments), f"{where} is {value!r}"
    elif origin is list:
        assert isinstance(value, list), where
        for index, one in enumerate(value):
            check(one, arguments[0], f"{where}[{index}]")
    elif origin is dict:
        assert isinstance(value, dict), where
        for name, one in value.items():
            check(one, arguments[1], f"{where}.{name}")
    else:
        assert isinstance(value, kind) or (kind is float and isinstance(value, int)), f"{where} is {value!r}"
        assert kind is not int or not isinstance(value, bool), where


def _fits(value: Any, kind: Any, where: str) -> bool:
    try:
        check(value, kind, where)
    except AssertionError:
        return False
    return True
