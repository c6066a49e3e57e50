"""Target: where a task's result is, and whether it is there. The kinds live in etlctl/targets and etlctl/db."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from etlctl.errors import BrokenTaskError


class Target(ABC):
    """Something a task makes: a file, a marker row, an object in a store.

    A subclass gives `exists()`, and `exists_many()` where asking for many at once is cheaper; `str()` of it is what
    a person reads in a message.
    """

    absent: ClassVar[str] = "output is missing"
    """Plain words for a task whose target is not there, as `plan` shows them."""

    @property
    def is_in_memory(self) -> bool:
        """Whether it is nowhere but in the process that made it, so that no other can look for it."""
        return False

    @abstractmethod
    def exists(self) -> bool:
        """Whether the result is there, whole. Writes nothing and leaves no connection open."""

    @classmethod
    def exists_many(cls, targets: Sequence[Any]) -> Sequence[bool | Exception]:
        """`exists()` of each, in order. Override where one question answers for many.

        An answer may be an error: it then belongs to that target alone, so one database that is down says nothing
        about the targets of another.
        """
        return [_exists_or_error(target) for target in targets]

    def updated_at(self) -> datetime | None:
        """When the result was last written (aware, UTC), or None where that is not known."""
        return None


def exists_in_bulk(targets: Iterable[Any]) -> dict[int, bool | Exception]:
    """Existence of many targets of any kinds, by `id(target)`; an error is a value, so that one never hides another.

    Asked class by class with `exists_many`; a class that overrides `exists` below its `exists_many` is asked one by
    one, since the bulk question would pass its own answer by.
    """
    targets = list(targets)
    if len(targets) == 1:  # asked for after each task; the rest is for many
        return {id(targets[0]): _asked(type(targets[0]), targets)[0]}
    by_class: dict[type[Any], list[Any]] = defaultdict(list)
    for target in targets:
        by_class[type(target)].append(target)

    answers: dict[int, bool | Exception] = {}
    for kind, group in by_class.items():
        answers.update(zip(map(id, group), _asked(kind, group), strict=True))
    return answers


def _asked(kind: type[Any], group: list[Any]) -> Sequence[bool | Exception]:
    return _asked_in_bulk(kind, group) if _has_own_bulk(kind) else [_exists_or_error(target) for target in group]


def _has_own_bulk(kind: type[Any]) -> bool:
    for base in kind.__mro__:
        if "exists_many" in vars(base):
            return True
        if "exists" in vars(base):
            return False
    return False


def _asked_in_bulk(kind: type[Any], group: list[Any]) -> Sequence[bool | Exception]:
    """The bulk answers; a bulk question that fails as a whole is the error of each target of its class."""
    try:
        found = list(kind.exists_many(group))
    except (Exception, SystemExit) as error:  # noqa: BLE001  user code, as below
        return [_as_answer(error)] * len(group)
    if len(found) != len(group):
        said = f"{kind.__name__}.exists_many() gave {len(found)} answers for {len(group)} targets"
        return [BrokenTaskError(f"{said}; it must give one for each.")] * len(group)
    return found


def _exists_or_error(target: Any) -> bool | Exception:
    try:
        return bool(target.exists())
    except (Exception, SystemExit) as error:  # noqa: BLE001  user code: the graph gives it to the one task it belongs to
        return _as_answer(error)


def _as_answer(error: Exception | SystemExit) -> Exception:
    if isinstance(error, Exception):
        return error
    told = BrokenTaskError(f"its code called sys.exit({error.code!r}) when asked whether an output exists")
    told.__cause__ = error
    return told
