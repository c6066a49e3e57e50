"""The rows of a query as lines of CSV, written by PostgreSQL itself (COPY TO), in the form of `loads/writers.py`.

Where PostgreSQL's own text of a type is not that form, a SELECT around the query makes it so; text, integers, dates,
moments and numerics with a scale are alike already.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg2

from etlctl.db.columns import ColumnType, Kind
from etlctl.db.dialects.postgresql.guard import driver_connection

if TYPE_CHECKING:
    import sqlalchemy as sa

_BLOCK = 1 << 18
_OLDEST = 130000
"""The first version with trim_scale()."""
_SESSION = (
    "SELECT pg_catalog.set_config('datestyle', 'ISO, YMD', true), pg_catalog.set_config('timezone', 'UTC', true), "
    "pg_catalog.set_config('bytea_output', 'hex', true), pg_catalog.set_config('extra_float_digits', '1', true)"
)
_IN_ORDER = "SELECT pg_catalog.set_config('max_parallel_workers_per_gather', '0', true)"
_ORDERED = re.compile(r"\border\b", re.IGNORECASE)
_EXPRESSIONS = {
    Kind.BOOLEAN: "{0}::text",
    Kind.NUMERIC: "trim_scale({0})",
    Kind.TIMESTAMPTZ: "{0} AT TIME ZONE 'UTC'",
    # its digits are those of Python's repr, but for a number half-way between two floats, which is none of its own: of
    # 1e23 it makes 9.999999999999999e+22. Such a number has at most 17 digits, so it lies between 2^53 and 1e40.
    Kind.FLOAT: (
        "CASE WHEN {0} >= 1e-4 AND {0} < 1e6 OR {0} <= -1e-4 AND {0} > -1e6 THEN {0}::text "
        "WHEN {0} = 'NaN' THEN 'nan' WHEN {0} = 'Infinity' THEN 'inf' WHEN {0} = '-Infinity' THEN '-inf' "
        "WHEN abs({0}) >= 9007199254740992 AND abs({0}) < 1e40 THEN COALESCE((SELECT rounded::text "
        "FROM generate_series(1, 17) digits, "
        "round({0}::text::numeric, digits - length(trunc(abs({0}::text::numeric))::text)) rounded "
        "WHERE rounded::double precision = {0} ORDER BY digits LIMIT 1), trim_scale({0}::text::numeric)::text) "
        "ELSE trim_scale({0}::text::numeric)::text END"
    ),
}


def can_copy(connection: sa.Connection, types: Sequence[ColumnType | None]) -> bool:
    """Whether COPY gives the form for each type; None is one that only the driver's value tells."""
    return bool(types) and None not in types and driver_connection(connection).server_version >= _OLDEST


def copy_rows(
    connection: sa.Connection,
    query: str,
    parameters: Any,
    types: Sequence[ColumnType | None],
    write: Callable[[bytes], object],
    *,
    delimiter: str,
    null: str,
) -> int:
    """See `CopiesOut.copy_rows`."""
    raw: Any = driver_connection(connection)
    out = _Out(write, raw.cancel)
    with raw.cursor() as cursor:
        cursor.execute(_SESSION)
        bound: bytes = cursor.mogrify(query, parameters)
        statement = _formed(bound, types)
        if statement != bound and _ORDERED.search(query):
            # workers that run parts of the query inside would hand its rows over in any order
            cursor.execute(_IN_ORDER)
        options = f"(FORMAT csv, ENCODING 'UTF8', DELIMITER {_literal(delimiter)}, NULL {_literal(null)})"
        buffered = io.BufferedWriter(out, _BLOCK)
        try:
            cursor.copy_expert(b"COPY (\n" + statement + b"\n) TO STDOUT " + options.encode(), buffered)
        except psycopg2.Error as error:
            if out.error is not None:
                raise out.error from error
            raise
        buffered.flush()
        if out.error is not None:
            raise out.error
        return int(cursor.rowcount)


class _Out(io.RawIOBase):
    """Takes the blocks. After an error of `write` the server is told to stop, and what still comes is let go: a COPY
    that is left in the middle would take the connection with it."""

    def __init__(self, write: Callable[[bytes], object], cancel: Callable[[], object]) -> None:
        self._write = write
        self._cancel = cancel
        self.error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        if self.error is None:
            try:
                self._write(bytes(block))
            except BaseException as error:  # noqa: BLE001  raised when the COPY has ended
                self.error = error
                self._cancel()
        return len(block)


def _formed(query: bytes, types: Sequence[ColumnType | None]) -> bytes:
    """The query itself where every column has the form already; its columns are named anew, as they may be alike."""
    names = [f"c{number}" for number in range(len(types))]
    forms = [_expression(type_).format(f"q.{name}") for name, type_ in zip(names, types, strict=True)]
    if all(form == f"q.{name}" for form, name in zip(forms, names, strict=True)):
        return query
    head = f"SELECT {', '.join(forms)} FROM (\n"  # noqa: S608  names of ours
    return head.encode() + query + f"\n) AS q ({', '.join(names)})".encode()


def _expression(type_: ColumnType | None) -> str:
    if type_ is None or (type_.kind is Kind.NUMERIC and type_.scale is not None):
        return "{0}"
    return _EXPRESSIONS.get(type_.kind, "{0}")


def _literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
