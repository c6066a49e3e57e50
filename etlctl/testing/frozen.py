"""A day that stands still for the user's modules: what `date.today()` and `datetime.now()` say there.

The names of those modules are what is replaced, and not the classes of Python, which drivers and pytest itself go by.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

Replace = Callable[[Any, str, Any], None]
"""Sets an attribute, and knows how to undo it: pytest's `monkeypatch.setattr`."""


def instant_of(moment: dt.date | dt.datetime | str) -> dt.datetime:
    """The aware instant of an ISO text, a day (its noon here) or an instant (here, where it has no zone).

    ValueError for a text that is neither.
    """
    if isinstance(moment, str):
        is_day = len(moment) == len("2026-11-21")
        moment = dt.date.fromisoformat(moment) if is_day else dt.datetime.fromisoformat(moment)
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time(12))
    return moment.astimezone()


class Present:
    """A moment that stands for now where it is installed; it can be moved."""

    def __init__(self, instant: dt.datetime) -> None:
        self.instant = instant
        """Aware."""
        self._stand_ins = _stand_ins(self)

    @property
    def local(self) -> dt.datetime:
        """What clocks on the wall say, without a zone."""
        return self.instant.astimezone().replace(tzinfo=None)

    def install(self, modules: Iterable[ModuleType], replace: Replace) -> None:
        """Makes it the present of the modules: of their names for datetime and its classes, however imported."""
        for module in modules:
            for name, value in list(vars(module).items()):
                if value is dt or (isinstance(value, type) and value in (dt.date, dt.datetime)):
                    replace(module, name, self._stand_ins[value])

    def of(self, function: Any) -> Callable[[], Any] | None:
        """What stands for `date.today`, `datetime.now` and the like; None for any other function."""
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if owner not in (dt.date, dt.datetime) or name not in ("today", "now", "utcnow"):
            return None
        found: Callable[[], Any] = getattr(self._stand_ins[owner], name)
        return found


def below(packages: Iterable[str]) -> list[ModuleType]:
    """The imported modules of these packages."""
    roots = tuple(packages)
    return [
        module
        for name, module in list(sys.modules.items())
        if module is not None and any(name == root or name.startswith(f"{root}.") for root in roots)
    ]


def _stand_ins(present: Present) -> dict[Any, Any]:
    """What stands for the two classes, and for the module that holds them."""

    class AnyDate(type):
        """Makes what was made by the real class an instance of the one that stands for it."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, cls.__mro__[1])

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, cls.__mro__[1])

    class Date(dt.date, metaclass=AnyDate):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return dt.date(*args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return present.local.date()

    class DateTime(dt.datetime, metaclass=AnyDate):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return dt.datetime(*args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return present.local

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return present.local if tz is None else present.instant.astimezone(tz)

        @classmethod
        def utcnow(cls) -> Any:
            return present.instant.astimezone(dt.UTC).replace(tzinfo=None)

    for kind, stands_for in ((Date, "date"), (DateTime, "datetime")):
        kind.__name__ = kind.__qualname__ = stands_for
    module = ModuleType("datetime", dt.__doc__)
    vars(module).update(vars(dt) | {"date": Date, "datetime": DateTime})
    return {dt.date: Date, dt.datetime: DateTime, dt: module}
