"""By when a task must be done: the time of day that its class names. On whose clocks, and what then, is the loop's."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from etlctl.errors import SettingsError, UsageError
from etlctl.text import printable, shortened

_NAME = "deadline"


def parsed(text: str) -> dt.time:
    """The time of day that `text` is; ValueError, as the end of a sentence, when it is none."""
    found = re.fullmatch("([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if found is None:
        raise ValueError(f"'{printable(shortened(text, 40))}' is no time of day from 00:00 to 23:59, as in 07:00.")
    return dt.time(int(found[1]), int(found[2]))


def deadline_of(of: Any) -> str | None:
    """The `deadline` of a task, or of a class, as `07:00`; None without one. A parameter of that name is none.

    Of a class whose deadline is a property None too. Raises SettingsError for what is no time of day, and what a
    property raises.
    """
    said = of.deadline
    if said is None:
        return None
    cls: Any = of if isinstance(of, type) else type(of)
    if _NAME in cls._parameters or (cls is of and hasattr(said, "__get__")):
        return None
    try:
        return f"{parsed(said):%H:%M}"
    except (TypeError, ValueError):
        raise SettingsError(
            f"its deadline is {shortened(repr(said))}: it must be a time of day from 00:00 to 23:59 as a text, as in "
            'deadline = "07:00".'
        ) from None


def check_class(cls: type[Any]) -> None:
    """Raises UsageError for a class whose own deadline is no time of day."""
    if _NAME in vars(cls):
        try:
            deadline_of(cls)
        except SettingsError as error:
            raise UsageError(f"{cls.__name__}: {error}") from None
