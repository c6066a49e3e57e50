"""Immutable JSON values: FrozenDict, and the ways into and out of it. It knows no parameters."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any


class FrozenDict(Mapping[str, Any]):
    """An immutable, hashable mapping of JSON values that keeps its order; equal to any mapping with the same items.

    What is in it is frozen too: lists become tuples, mappings FrozenDicts. Raises TypeError or ValueError for what
    JSON cannot hold and give back: keys that are not text, sets, dates, NaN.
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._items: dict[str, Any] = {_key(key): freeze(value) for key, value in dict(*args, **kwargs).items()}
        self._hash: int | None = None

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._items.items()))
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (self._items.copy(),)

    def to_dict(self) -> dict[str, Any]:
        """A dict of one's own, its contents thawed: tuples are lists again."""
        return {key: thaw(value) for key, value in self._items.items()}


def freeze(value: Any) -> Any:
    """`value` with mappings as FrozenDict and lists as tuple, all the way down; raises as FrozenDict does."""
    try:
        return _frozen(value)
    except RecursionError:
        raise ValueError("it is nested too deeply, or holds itself") from None


def thaw(value: Any) -> Any:
    """`value` with FrozenDict as dict and tuple as list, all the way down."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value


def in_order(value: Any) -> Any:
    """Frozen `value` with the keys of every mapping in it in alphabetical order."""
    if isinstance(value, FrozenDict):
        return FrozenDict({key: in_order(value[key]) for key in sorted(value)})
    if isinstance(value, tuple):
        return tuple([in_order(item) for item in value])
    return value


def to_json(value: Any) -> str:
    """Frozen `value` as Luigi writes it: json.dumps with its own separators, ASCII, keys in their order."""
    return json.dumps(value, default=_items_of)


def from_json(text: str) -> Any:
    """The value of a JSON text, not yet frozen; raises ValueError with a plain reason."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg.lower()} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _frozen(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None or kind is FrozenDict:
        return value
    if isinstance(value, Mapping):
        return FrozenDict(value)
    if isinstance(value, list | tuple):
        return tuple([_frozen(item) for item in value])
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("it holds NaN, which does not equal itself")
        return float(value) + 0.0
    if hasattr(value, "__index__"):
        number = operator.index(value)
        if number.bit_length() > 14_000:
            raise ValueError("it holds a number of more than 4,200 digits")
        return int(number)
    if isinstance(value, set | frozenset):
        raise TypeError("it holds a set, which has no order; give sorted(…)")
    raise TypeError(
        f"it holds an object of type {kind.__name__}; JSON has text, numbers, true, false, null, lists, dicts"
    )


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise TypeError(f"it holds a key of type {type(key).__name__}; the keys of JSON are text")


def _items_of(value: Any) -> Any:
    if isinstance(value, FrozenDict):
        return value._items
    raise TypeError(f"an object of type {type(value).__name__} is not JSON")
