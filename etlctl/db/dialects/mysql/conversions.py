"""How PyMySQL writes values into a statement and reads them, so that each keeps its type; sends nothing.

The driver writes parameters into the text, so what the server says of a statement may hold them: that is cut out here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from pymysql import converters
from pymysql.constants import FIELD_TYPE


def _day(value: date, _: Any = None) -> str:
    return f"DATE'{value.isoformat()}'"


def _moment(value: datetime, _: Any = None) -> str:
    return f"TIMESTAMP'{value.isoformat(' ')}'"


def _clock(value: time, _: Any = None) -> str:
    return f"TIME'{value.isoformat()}'"


def _decimal(value: Decimal, _: Any = None) -> str:
    digits = format(value, "f")  # with an exponent it would be a float
    return digits if "." in digits else f"{digits}."


def _truth(value: bool, _: Any = None) -> str:
    return "TRUE" if value else "FALSE"


def _time_of_day(text: str) -> time | timedelta | str:
    """TIME goes from -838 to 838 hours: what is no time of day stays PyMySQL's timedelta."""
    found: timedelta | str = converters.convert_timedelta(text)
    if isinstance(found, timedelta) and timedelta() <= found < timedelta(days=1):
        return (datetime.min + found).time()
    return found


CONVERSIONS: dict[Any, Callable[..., Any]] = {
    **converters.conversions,
    date: _day,
    datetime: _moment,
    time: _clock,
    Decimal: _decimal,
    bool: _truth,
    FIELD_TYPE.TIME: _time_of_day,
}
"""PyMySQL's, but that a value keeps its type in the statement: `SELECT :date AS date` is a date, and no text."""


_EXCERPT = re.compile(r" near '(?P<begins>[^'\"0-9]*)(?P<rest>.*)' at line", re.DOTALL)
_VALUE = re.compile(r"(?P<what> value(?: is out of range)?)(?: in|:) '.*'(?P<where> for |$)", re.DOTALL)


def without_values(said: tuple[Any, ...]) -> tuple[Any, ...]:
    """What the server says of a statement, without the values in it: parameters are written into what it is sent."""
    if len(said) < 2 or not isinstance(said[1], str):
        return said
    text = _EXCERPT.sub(lambda found: f" near '{found['begins']}{'…' if found['rest'] else ''}' at line", said[1])
    return (said[0], _VALUE.sub(r"\g<what>\g<where>", text), *said[2:])
