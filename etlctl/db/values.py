"""What a value becomes in a column: one meaning for text from a file and for Python values, on every database.

Holds no SQL; how a database keeps the value is its dialect's matter. Where databases differ the narrower is followed,
so that a pipeline that loads on one loads on all: an integer column takes no `12.0`, a varchar no longer text, and
no number is infinite.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from math import isfinite
from typing import Any, TypeVar

from etlctl.db.columns import BadValueError, ColumnType, Kind

Value = int | float | Decimal | str | bytes | bool | date | datetime | time
"""What a conversion gives, besides None."""

_T = TypeVar("_T")


def to_value(type_: ColumnType, value: Any) -> Value | None:
    """`value` as the type's Python value: timestamps naive, in UTC; those with time zone aware; numerics as Decimal.

    None, NaN, pandas' NaT and NA are NULL. Text is read alike wherever it comes from; numpy's scalars count as the
    Python values they hold. BadValueError when the type refuses it.
    """
    if is_missing(value):
        return None
    return _CONVERSIONS[type_.kind](type_, _plain(value))


def is_missing(value: Any) -> bool:
    """Whether a Python value stands for NULL: None, a NaN of any kind, pandas' NaT and NA."""
    if value is None:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, (float, datetime)):
        return bool(value != value)  # noqa: PLR0124  true for NaN and NaT alone
    return type(value).__name__ == "NAType"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "dtype") and hasattr(value, "item") else value


# --- numbers ----------------------------------------------------------------------------------------------------

_SPACES = " \t\n\r\f\v"
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_EXACT = Context(prec=2000)
_LARGEST_EXPONENT = 307
"""Of a number in any column, that of an eight-byte float: so a numeric is never too large for another database."""


def _to_integer(type_: ColumnType, value: Any) -> int:
    if isinstance(value, str):
        stripped = value.strip(_SPACES)
        if not _WHOLE.fullmatch(stripped):
            hint = "; a column with fractions is numeric" if _NUMBER.fullmatch(stripped) else ""
            raise BadValueError(value, f"is no integer{hint}")
        if len(stripped) > 40:  # int() of a long text takes quadratic time, and no such number fits
            raise BadValueError(value, f"does not fit {type_}")
        whole = int(stripped)
    elif isinstance(value, int) or (isinstance(value, (float, Decimal)) and isfinite(value) and value == int(value)):
        whole = int(value)
    else:
        raise BadValueError(value, "is no integer")
    limit = 1 << (type_.bits - 1)
    if not -limit <= whole < limit:
        larger = "; declare the column bigint" if type_.bits < 64 and abs(whole) < 1 << 63 else ""
        raise BadValueError(value, f"does not fit {type_} ({-limit} to {limit - 1}){larger}")
    return whole


def _to_numeric(type_: ColumnType, value: Any) -> Decimal:
    number = _to_decimal(value)
    if number and abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise BadValueError(value, f"does not fit {type_}")
    if type_.precision is None or type_.scale is None:
        return number
    rounded = number.quantize(Decimal(1).scaleb(-type_.scale), rounding=ROUND_HALF_UP, context=_EXACT)
    if rounded and rounded.adjusted() >= type_.precision - type_.scale:
        raise BadValueError(value, f"does not fit {type_}")
    return rounded


def _to_decimal(value: Any) -> Decimal:
    if isinstance(value, str):
        stripped = value.strip(_SPACES)
        if not _NUMBER.fullmatch(stripped):
            raise BadValueError(value, "is no number")
        return Decimal(stripped)
    if isinstance(value, int):
        return Decimal(int(value))
    if isinstance(value, float) and isfinite(value):
        return Decimal(repr(float(value)))
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise BadValueError(value, "is no number")


def _to_float(type_: ColumnType, value: Any) -> float:
    number = float(value) if type(value) is float else float(_to_decimal(value))
    if not isfinite(number):
        raise BadValueError(value, f"does not fit {type_}")
    return number


# --- text and truth ---------------------------------------------------------------------------------------------

_TRUE = frozenset(("t", "true", "1", "yes", "y", "on"))
_FALSE = frozenset(("f", "false", "0", "no", "n", "off"))


def _to_boolean(_: ColumnType, value: Any) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    word = value.strip(_SPACES).lower() if isinstance(value, str) else None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise BadValueError(value, "is no boolean (true, false, t, f, yes, no, y, n, on, off, 1, 0)")


def _to_text(type_: ColumnType, value: Any) -> str:
    text = value if isinstance(value, str) else _as_text(value)
    if "\0" in text:
        raise BadValueError(value, "holds a NUL character, which no text column can hold")
    if type_.length is not None and len(text) > type_.length:
        raise BadValueError(value, f"is longer than {type_} ({len(text)} characters)")
    if not text.isascii():
        _refuse_surrogates(text)
    return str.__str__(text)  # the characters that were looked at: str() of a member of an Enum is its name


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (int, float, Decimal)) or type(value).__name__ == "UUID":
        return str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    raise BadValueError(value, f"is a {type(value).__name__} and no text")


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadValueError(text, "holds half a surrogate pair, which UTF-8 cannot hold") from error


def _to_json(_: ColumnType, value: Any) -> str:
    if isinstance(value, str):
        try:
            json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise BadValueError(value, f"is no JSON ({error})") from error
        _refuse_surrogates(value)
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValueError(value, f"cannot be written as JSON ({error})") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not in JSON")


def _to_bytes(_: ColumnType, value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str) and value.startswith("\\x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError as error:
            raise BadValueError(value, "is no hexadecimal text") from error
    raise BadValueError(value, r"are no bytes; in text they are written \x and hexadecimal digits")


# --- dates and times (ISO 8601, the part of it that every database reads) -----------------------------------------

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,12}))?)?"
_TIME = re.compile(_CLOCK)
_TIMESTAMP = re.compile(
    rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:[Tt ]{_CLOCK} ?([Zz]|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)?)?"
)

# What datetime.fromisoformat reads alike in every Python, ten times as fast as we can.
_COMMON_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3}(?:[0-9]{3})?)?"
_COMMON_TIME = re.compile(_COMMON_CLOCK)
_COMMON_TIMESTAMP = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_COMMON_CLOCK}(?:Z|[+-][01][0-9]:[0-5][0-9])?")
_NO_MOMENT = "is no timestamp: there is no such day or time"


def _to_date(_: ColumnType, value: Any) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value.strip(_SPACES)):
        return _built(value, "is no date: there is no such day", lambda: date.fromisoformat(value.strip(_SPACES)))
    if isinstance(value, (str, datetime)):
        try:
            moment = _moment(value)
        except BadValueError as error:
            raise BadValueError(value, "is no date (YYYY-MM-DD)") from error
        if moment.time() != time() or moment.tzinfo is not None:
            raise BadValueError(value, "is a timestamp and no date; the time of day would be lost")
        return moment.date()
    if isinstance(value, date):
        return value
    raise BadValueError(value, "is no date (YYYY-MM-DD)")


def _to_timestamp(_: ColumnType, value: Any) -> datetime:
    moment = _moment(value)
    return moment if moment.tzinfo is None else _in_utc(moment, value).replace(tzinfo=None)


def _to_timestamptz(_: ColumnType, value: Any) -> datetime:
    moment = _moment(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else _in_utc(moment, value)


def _in_utc(moment: datetime, value: Any) -> datetime:
    return _built(value, "is out of range in UTC", lambda: moment.astimezone(UTC))


def _moment(value: Any) -> datetime:
    """A datetime, aware when the value says its offset; always a plain one, since pandas' has nanoseconds."""
    if isinstance(value, datetime):
        return datetime.combine(value.date(), value.timetz())
    if isinstance(value, date):
        return datetime.combine(value, time())
    text = value.strip(_SPACES) if isinstance(value, str) else ""
    if _COMMON_TIMESTAMP.fullmatch(text):
        return _built(value, _NO_MOMENT, lambda: datetime.fromisoformat(text))
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise BadValueError(value, "is no timestamp (YYYY-MM-DD HH:MM:SS, with Z or an offset or without)")
    day, hour, minute, second, fraction, zone = match.groups()
    if hour is None:
        return _built(value, "is no timestamp: there is no such day", lambda: datetime.fromisoformat(day))
    return _built(
        value,
        _NO_MOMENT,
        lambda: _combined(date.fromisoformat(day), hour, minute, second, fraction).replace(tzinfo=_zone(zone)),
    )


def _combined(day: date, hour: str, minute: str, second: str | None, fraction: str | None) -> datetime:
    """Fractions finer than a microsecond are rounded to the nearest, as PostgreSQL does."""
    clock = time(int(hour), int(minute), int(second or 0))
    return datetime.combine(day, clock) + timedelta(microseconds=round(Decimal(f"0.{fraction or 0}") * 1_000_000))


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in ("Z", "z"):
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:]) if len(text) > 3 else 0
    if minutes > 59:
        raise ValueError("an offset has at most 59 minutes")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _to_time(_: ColumnType, value: Any) -> time:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    text = value.strip(_SPACES) if isinstance(value, str) else ""
    if _COMMON_TIME.fullmatch(text):
        return time.fromisoformat(text)
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadValueError(value, "is no time of day (HH:MM:SS)")
    moment = _built(value, "is no time of day", lambda: _combined(date.min, *match.groups()))
    if moment.date() != date.min:
        raise BadValueError(value, "is no time of day: rounded to microseconds it is midnight")
    return moment.time()


def _built(value: Any, reason: str, build: Callable[[], _T]) -> _T:
    try:
        return build()
    except (ValueError, OverflowError) as error:
        raise BadValueError(value, reason) from error


_CONVERSIONS: dict[Kind, Callable[[ColumnType, Any], Value]] = {
    Kind.INTEGER: _to_integer,
    Kind.NUMERIC: _to_numeric,
    Kind.FLOAT: _to_float,
    Kind.TEXT: _to_text,
    Kind.BOOLEAN: _to_boolean,
    Kind.DATE: _to_date,
    Kind.TIMESTAMP: _to_timestamp,
    Kind.TIMESTAMPTZ: _to_timestamptz,
    Kind.TIME: _to_time,
    Kind.JSON: _to_json,
    Kind.BYTES: _to_bytes,
}
