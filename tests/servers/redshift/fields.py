"""A field of a loaded file: from its text to what the server behind is told, or the load error that it is.

Codes: https://docs.aws.amazon.com/redshift/latest/dg/r_Load_Error_Reference.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from servers.redshift.options import Options

_TEXT = ("varchar", "bpchar")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_TIMESTAMP = re.compile(r"\d{4}-\d{1,2}-\d{1,2}( \d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?( ?[+-]\d{2}(:?\d{2})?)?")
_SURROGATE = re.compile("[\udc80-\udcff]")
_STRPTIME = (
    ("YYYY", "%Y"), ("YY", "%y"), ("MON", "%b"), ("MM", "%m"), ("DD", "%d"), ("HH24", "%H"), ("HH12", "%I"),
    ("HH", "%H"), ("MI", "%M"), ("SS", "%S"), ("OF", "%z"), ("AM", "%p"), ("PM", "%p"),
)  # fmt: skip
_REASONS = {
    "int2": (1207, "Invalid digit, Value '{first}', Pos {at}, Type: Short"),
    "int4": (1207, "Invalid digit, Value '{first}', Pos {at}, Type: Integer"),
    "int8": (1207, "Invalid digit, Value '{first}', Pos {at}, Type: Long"),
    "numeric": (1207, "Invalid digit, Value '{first}', Pos {at}, Type: Decimal"),
    "float4": (1208, "Invalid float format or value"),
    "float8": (1208, "Invalid double format or value"),
    "bool": (1210, "Unknown boolean format"),
    "date": (1205, "Invalid Date Format - length must be 10 or more"),
    "timestamp": (1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"),
    "timestamptz": (1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"),
}


@dataclass(frozen=True)
class Column:
    """`length` of a VARCHAR or CHAR in bytes, `scale` of a DECIMAL; -1 where there is none."""

    name: str
    kind: str
    length: int
    scale: int
    is_required: bool
    is_identity: bool

    @property
    def is_text(self) -> bool:
        return self.kind in _TEXT


@dataclass
class BadField(Exception):
    """A row that does not load: the error of one of its fields."""

    code: int
    reason: str
    column: Column | None = None
    value: str = ""
    position: int = 0


def column(values: Sequence[str | None]) -> Column:
    """Of a row of `COLUMNS`."""
    name, kind, modifier, required, identity = (value or "" for value in values)
    size = int(modifier)
    is_text = kind in _TEXT
    scale = (size - 4) & 0xFFFF if kind == "numeric" and size > 0 else -1
    return Column(name, kind, size - 4 if is_text and size > 0 else -1, scale, required == "t", identity in ("a", "d"))


COLUMNS = """SELECT a.attname, t.typname, a.atttypmod, a.attnotnull, a.attidentity
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = {table}::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""


class Fields:
    """Turns the fields of one command's rows."""

    def __init__(self, columns: Sequence[Column], options: Options) -> None:
        self.columns = columns
        self._null = "\\N" if options.null is None else options.null.replace("\\0", "\0")
        self._flags = options.flags
        self._replacement = options.values.get("acceptinvchars")
        self._dates = _reader(options.values.get("dateformat", ""), _DATE)
        self._times = _reader(options.values.get("timeformat", ""), _TIMESTAMP)

    def row(self, texts: Sequence[str | None]) -> list[str | None]:
        """Raises `BadField` for a field that does not load, and for too few or too many of them."""
        self._check_count(len(texts))
        padded = [*texts, *[None] * (len(self.columns) - len(texts))]
        values = []
        for column, text in zip(self.columns, padded, strict=True):
            value = None if text is None else self._value(column, text)
            if value is None and column.is_required:
                raise BadField(1213, "Missing data for not-null field", column, text or "")
            values.append(value)
        return values

    def _check_count(self, count: int) -> None:
        if count > len(self.columns):
            raise BadField(1202, "Extra column(s) found")
        if count < len(self.columns) and not (count and "fillrecord" in self._flags):
            raise BadField(1214, "Delimiter not found", self.columns[count])

    def _value(self, column: Column, text: str) -> str | None:
        if text == self._null or (not text and (not column.is_text or "emptyasnull" in self._flags)):
            return None
        if column.is_text:
            return self._characters(column, text)
        stripped = text.strip()
        if not stripped:
            return None
        if column.kind == "date":
            return self._dates(column, stripped)
        if column.kind in ("timestamp", "timestamptz"):
            return self._times(column, stripped)
        if column.kind == "numeric" and "roundec" not in self._flags:
            return _cut(stripped, column.scale)
        return stripped

    def _characters(self, column: Column, text: str) -> str | None:
        if "blanksasnull" in self._flags and text.isspace():
            return None
        if "trimblanks" in self._flags and column.kind == "varchar":
            text = text.rstrip(" ")
        text = self._valid(column, text)
        size = len(text.encode())
        if column.kind == "bpchar" and size != len(text):
            raise BadField(1215, "Multibyte character not supported for CHAR (Hint: try using VARCHAR)", column, text)
        if column.kind == "bpchar" and size > column.length >= 0:
            text = text.rstrip(" ")
            size = len(text)
        if 0 <= column.length < size:
            if "truncatecolumns" not in self._flags:
                raise BadField(1204, "String length exceeds DDL length", column, text)
            text = text.encode()[: column.length].decode(errors="ignore")
        return text

    def _valid(self, column: Column, text: str) -> str:
        bad = _SURROGATE.search(text)
        if bad and self._replacement is None:
            code = f"{ord(bad[0]) - 0xDC00:x}"
            reason = f"String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: {code} (error 1)"
            raise BadField(1220, reason, column, text.encode(errors="replace").decode(), bad.start())
        if "\0" in text:
            raise BadField(1218, "String contains a NUL in the middle of a field", column, text.replace("\0", ""))
        return _SURROGATE.sub(self._replacement or "?", text) if bad else text


def _cut(text: str, scale: int) -> str:
    """COPY cuts a decimal, where INSERT rounds it."""
    whole, point, digits = text.partition(".")
    if not point or scale < 0 or len(digits) <= scale or not digits.isdigit():
        return text
    return f"{whole}.{digits[:scale]}" if scale else whole or "0"


_Read = Callable[[Column, str], str]


def _reader(form: str, default: re.Pattern[str]) -> _Read:
    """How a date or timestamp is read: by a form's letters, by the server behind (`auto`) or in the default form."""
    if form.lower() == "auto":
        return lambda column, text: text
    if form.lower() in ("epochsecs", "epochmillisecs"):
        return _epoch(1000 if form.lower() == "epochmillisecs" else 1)

    def in_default(column: Column, text: str) -> str:
        if not default.fullmatch(text):
            raise unread(column, text)
        return text

    return _by_letters(form) if form else in_default


def _epoch(divisor: int) -> _Read:
    def read(column: Column, text: str) -> str:
        try:
            return datetime.fromtimestamp(float(text) / divisor, UTC).isoformat(sep=" ")
        except ValueError:
            raise unread(column, text) from None

    return read


def _by_letters(form: str) -> _Read:
    pattern = form
    for letters, directive in _STRPTIME:
        pattern = re.sub(f"(?<!%){letters}", directive, pattern, flags=re.IGNORECASE)

    def read(column: Column, text: str) -> str:
        try:
            return datetime.strptime(text, pattern).isoformat(sep=" ")
        except ValueError:
            raise unread(column, text) from None

    return read


def unread(column: Column, text: str) -> BadField:
    """The error of a text that is none of the column's type."""
    code, reason = _REASONS.get(column.kind, (1200, "Unknown parse error"))
    at = next((index for index, letter in enumerate(text) if not letter.isdigit() and letter not in "+-"), 0)
    return BadField(code, reason.format(first=text[at : at + 1], at=at), column, text, at)
