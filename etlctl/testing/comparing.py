"""Rows that are the same whatever the database, and what two sets of them differ in, as a person reads it."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from etlctl.text import shortened

Row = Mapping[str, Any]

_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?")
_MOST_SHOWN = 20
"""Rows of each kind in a message."""
_WIDEST = 40


def same(value: Any) -> Any:
    """`value` in the form in which equal ones are equal: SQLite has dates as text and truth as 1, a driver Decimals.

    A number is kept to 12 digits, an instant without its zone in UTC.
    """
    if isinstance(value, dt.datetime):
        value = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo is not None else value
        return _instant(value.isoformat(" "))
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, str):
        return _instant(value)
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, default=str)
    return value if value is None else str(value)


def difference(found: Sequence[Row], expected: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Lines that tell which rows are missing (`-`) and which too many (`+`), order aside; empty where none is."""
    there, wanted = _counted(found, columns), _counted(expected, columns)
    missing, surplus = list((wanted - there).elements()), list((there - wanted).elements())
    if not missing and not surplus:
        return []
    alike = (there & wanted).total()
    said = [f"{len(missing):,} missing (-)", f"{len(surplus):,} too many (+)", f"{alike:,} as expected"]
    marked = [("-", row) for row in _in_order(missing)] + [("+", row) for row in _in_order(surplus)]
    lines = _table(columns, marked)
    return [", ".join(said), *lines]


def contents(rows: Iterable[Row]) -> Counter[tuple[Any, ...]]:
    """The rows as a value that is equal for the same rows in another order."""
    return Counter(tuple((name, same(value)) for name, value in row.items()) for row in rows)


def _counted(rows: Iterable[Row], columns: Sequence[str]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(same(row[name]) for name in columns) for row in rows)


def _in_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [(value is not None, type(value).__name__, str(value)) for value in row])


def _table(columns: Sequence[str], marked: Sequence[tuple[str, tuple[Any, ...]]]) -> list[str]:
    shown: list[tuple[str, list[str]]] = []
    hidden: Counter[str] = Counter()
    for mark, row in marked:
        if sum(one == mark for one, _ in shown) < _MOST_SHOWN:
            shown.append((mark, [_shown(value) for value in row]))
        else:
            hidden[mark] += 1
    lines = [(" ", list(columns)), *shown]
    widths = [max(len(cells[index]) for _, cells in lines) for index in range(len(columns))]
    texts = [
        f"{mark} " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for mark, cells in lines
    ]
    return texts + [f"{mark} … and {number:,} more" for mark, number in hidden.items()]


def _shown(value: Any) -> str:
    return "NULL" if value is None else shortened(value if isinstance(value, str) and value else repr(value), _WIDEST)


def _instant(text: str) -> str:
    match = _INSTANT.fullmatch(text)
    if match is None:
        return text
    fraction = (match[3] or "").rstrip("0")
    return f"{match[1]} {match[2]}" + (f".{fraction}" if fraction else "")


def _number(value: float | Decimal) -> int | float | str:
    if isinstance(value, int):  # bool is one: True is 1, as SQLite and MySQL have it
        return int(value)
    if not math.isfinite(value):
        return str(float(value))
    return int(value) if value == int(value) else float(f"{value:.12g}")
