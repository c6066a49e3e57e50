"""Dates as people type and read them: `today`, `-3d`, `A..B` into values, and values back into short text.

Pure functions: the present moment comes in as an argument. Nothing here prints or knows a command.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from os.path import commonprefix
from typing import Any

from etlctl.core.date_interval import DateRange, parse_date
from etlctl.core.parameters import DateParameter, DateRangeParameter, OptionalOf, Parameter
from etlctl.core.parameters.instants import InstantParameter
from etlctl.suggest import nearest

MOST_VALUES = 100_000
"""A range of more values than this is taken for a mistake."""

_WORDS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_AGO = re.compile("-([0-9]{1,9})([dwh])")
_DAY = re.compile("[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")
_TAIL = re.compile("[0-9]{2}[0-9T:-]*")


def is_date_like(parameter: Parameter[Any]) -> bool:
    """Does the parameter hold a day, month, year, hour, minute or second, so that it takes words and `A..B`?"""
    return isinstance(_inner(parameter), DateParameter | InstantParameter)


def is_instant(parameter: Parameter[Any]) -> bool:
    """Does the parameter hold an hour, minute or second, so that a day means its midnight, or a range of them?"""
    return isinstance(_inner(parameter), InstantParameter)


def accepts(parameter: Parameter[Any]) -> str:
    """`parameter.accepts` with the words and ranges that `expand` takes besides."""
    if not is_date_like(parameter):
        return parameter.accepts
    hour = ", -3h" if isinstance(_inner(parameter), InstantParameter) else ""
    return f"{parameter.accepts}, today, yesterday, tomorrow, -3d, -2w{hour}, or an inclusive range A..B"


def expand(parameter: Parameter[Any], text: str, now: dt.datetime) -> list[Any]:
    """The values that `text` means to the parameter, in order: several for `A..B`, both ends included, else one.

    Where a kind has hours, a day means its midnight, and its last step as the end of a range; `-3h` is three hours
    before `now`. The end may leave out what it shares with a written start: `2013-01-30..02-02`. Raises ValueError
    with a plain reason, also for an end before its start and for more than MOST_VALUES values.
    """
    if isinstance(_inner(parameter), DateRangeParameter) and text:
        start, dots, end = _ends(text)
        first = _day(start, now)
        return [DateRange(first, _day(_completed(end, start), now) if dots else first)]
    if not is_date_like(parameter) or not text:
        return [parameter.normalize(parameter.parse(text))]
    start, dots, end = _ends(text)
    first = _value(parameter, start, now)
    if not dots:
        return [first]
    return _steps(parameter, first, _value(parameter, _completed(end, start), now, is_end=True))


def without_words(parameter: Parameter[Any], text: str, now: dt.datetime) -> str:
    """`text` with `today`, `-3d` and the like as the dates that they are at `now`: it means the same tomorrow.

    Any other text comes back as it is, one that `expand` refuses too.
    """
    is_range = isinstance(_inner(parameter), DateRangeParameter)
    if not any(part in _WORDS or _AGO.fullmatch(part) for part in (one.strip() for one in text.split(".."))):
        return text
    if not is_range and not is_date_like(parameter):
        return text
    try:
        values = expand(parameter, text, now)
    except Exception:  # noqa: BLE001  a user's own kind may raise anything; whoever takes the value tells it
        return text
    ends = [parameter.serialize(value) for value in (values[0], values[-1])]
    return ends[0] if is_range or ".." not in text else "..".join(ends)


def collapse(parameter: Parameter[Any], values: Iterable[Any], *, limit: int | None = None) -> str:
    """Short text for values: runs as `2013-01-02..03` or `2013-01-30..2013-02-03`, divided by commas.

    Values without an order are listed as they come. Beyond `limit` runs it ends in "and 7 more" (values).
    """
    return _written(_runs(parameter, values), limit, is_shortened=is_date_like(parameter))


def collapse_short(
    parameter: Parameter[Any], values: Iterable[Any], within: Iterable[Any], *, limit: int | None = None
) -> str:
    """`collapse` without the beginning that all values in `within` share: `02..03` in a plan of one month.

    `within` is what the reader sees in the heading; the last part of a date is always kept.
    """
    runs = _runs(parameter, values)
    if is_date_like(parameter):
        texts = [parameter.serialize(value) for value in within if value is not None]
        shared = commonprefix(texts)  # noqa: RUF071  characters are meant, cut back to a boundary below
        cut = max(shared.rfind("-"), shared.rfind("T")) + 1
        runs = [(first[cut:], last[cut:], count) for first, last, count in runs]
    return _written(runs, limit, is_shortened=is_date_like(parameter))


def _inner(parameter: Parameter[Any]) -> Parameter[Any]:
    return parameter.inner if isinstance(parameter, OptionalOf) else parameter


def _ends(text: str) -> tuple[str, str, str]:
    start, dots, end = (part.strip() for part in text.partition(".."))
    if dots and not (start and end):
        raise ValueError("a range A..B needs both its ends")
    return start, dots, end


def _completed(end: str, start: str) -> str:
    """`end` with what it leaves out of `start`; only at a boundary between the parts of a date."""
    head = start[: -len(end)] if len(end) < len(start) else ""
    return head + end if head.endswith(("-", "T")) and _TAIL.fullmatch(end) and start[0] != "-" else end


def _value(parameter: Parameter[Any], text: str, now: dt.datetime, *, is_end: bool = False) -> Any:
    kind = _inner(parameter)
    if not isinstance(kind, InstantParameter):
        day = _word(text, now)
        return parameter.normalize(_parsed(parameter, text) if day is None else day)
    hours = _AGO.fullmatch(text)
    if hours and hours[2] == "h":
        return parameter.normalize(_ago(now.replace(tzinfo=None), hours=int(hours[1])))
    day = parse_date(text) if _DAY.fullmatch(text) else _word(text, now)
    if day is None:
        return parameter.normalize(_parsed(parameter, text))
    last = dt.timedelta(days=1) - kind.step if is_end else dt.timedelta()
    return parameter.normalize(dt.datetime.combine(day, dt.time()) + last)


def _day(text: str, now: dt.datetime) -> dt.date:
    day: dt.date = _value(DateParameter(), text, now)
    return day


def _word(text: str, now: dt.datetime) -> Any:
    """The date of a word or of `-3d`, or None for any other text."""
    if text in _WORDS:
        return _ago(now.date(), days=-_WORDS[text])
    match = _AGO.fullmatch(text)
    if match is None:
        return None
    if match[2] == "h":
        raise ValueError("it has no hours; -3d counts days and -2w weeks")
    return _ago(now.date(), days=int(match[1]) * (7 if match[2] == "w" else 1))


def _ago(moment: Any, *, days: int = 0, hours: int = 0) -> Any:
    try:
        return moment - dt.timedelta(days=days, hours=hours)
    except OverflowError:
        raise ValueError("that is outside the years 0001 to 9999") from None


def _parsed(parameter: Parameter[Any], text: str) -> Any:
    try:
        return parameter.parse(text)
    except ValueError as error:
        near = nearest(text, _WORDS) if text.isalpha() else None
        raise ValueError(f"{error} (did you mean '{near}'?)" if near is not None else str(error)) from error


def _steps(parameter: Parameter[Any], first: Any, last: Any) -> list[Any]:
    if last < first:
        raise ValueError(f"its end {parameter.serialize(last)} is before its start {parameter.serialize(first)}")
    values = [first]
    while (value := parameter.next_in_enumeration(values[-1])) is not None and value <= last:
        if len(values) == MOST_VALUES:
            raise ValueError(f"a range of more than {MOST_VALUES:,} values; give a shorter one")
        values.append(value)
    return values


def _runs(parameter: Parameter[Any], values: Iterable[Any]) -> list[tuple[str, str, int]]:
    """First text, last text and length of each run of consecutive values."""
    distinct: Sequence[Any] = list(dict.fromkeys(values))
    if distinct and None not in distinct and parameter.next_in_enumeration(distinct[0]) is not None:
        distinct = sorted(distinct)
    runs: list[list[Any]] = []
    following = None
    for value in distinct:
        if runs and following is not None and value == following:
            runs[-1].append(value)
        else:
            runs.append([value])
        following = parameter.next_in_enumeration(value)
    return [(parameter.serialize(run[0]), parameter.serialize(run[-1]), len(run)) for run in runs]


def _written(runs: list[tuple[str, str, int]], limit: int | None, *, is_shortened: bool) -> str:
    shown = runs if limit is None else runs[:limit]
    parts: list[str] = []
    before = ""
    for first, last, count in shown:
        text, end = (_tail(first, before), _tail(last, first)) if is_shortened else (first, last)
        parts.append(text if count == 1 else f"{text}..{end}")
        before = last
    hidden = sum(count for _, _, count in runs[len(shown) :])
    return ", ".join(parts) + (f" and {hidden:,} more" if hidden else "")


def _tail(text: str, before: str) -> str:
    """The last part of a date when the rest is as `before`, else all of it."""
    cut = max(text.rfind("-"), text.rfind("T")) + 1
    return text[cut:] if text[:cut] == before[:cut] and len(text) == len(before) else text
