"""Records into a table of MySQL, many with each INSERT; makes no table and ends no transaction.

The statements are written by us and not by `executemany`, which would hold all records of a call: so memory stays flat,
a statement stays under the server's `max_allowed_packet`, and a field of a file is turned into SQL once. LOAD DATA
LOCAL is not used: the server decides which file it asks the client for, which is why many forbid it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any

from etlctl.db.columns import BadValueError
from etlctl.db.dialects.base import BadRecordError, Records
from etlctl.db.dialects.mysql.connection import LoadConnection, MySQLError
from etlctl.db.dialects.mysql.conversions import CONVERSIONS
from etlctl.db.dialects.mysql.limits import Limit
from etlctl.db.dialects.mysql.values import check, literals
from etlctl.errors import LoadError
from etlctl.text import shortened

_BYTES = 1 << 20
"""Of one INSERT, about; larger ones gain nothing."""
_ROWS = 5_000
"""Of one INSERT at most, so that the progress moves and a refused row is found soon."""
_BY_TYPE: dict[type, Callable[[Any], str]] = {
    int: str,
    type(None): lambda _: "NULL",
    **{kind: CONVERSIONS[kind] for kind in (bool, date, datetime, time, Decimal)},
}
"""What makes SQL of a value, where it is not the driver's `escape`, which is slower."""
_REASONS = {
    1048: "(NULL) where the table says NOT NULL",
    1264: "is out of range for the column",
    1406: "is too long for the column",
}
_BAD_VALUES = (*_REASONS, 1265, 1292, 1366, 3140)
"""The server's words for one value: https://mariadb.com/kb/en/mariadb-error-code-reference/"""
_BAD_ROWS = (1062, 1452, 3819, 4025)
"""And for a row: a key that is there already, one that is missing, a CHECK."""
_COLUMN = re.compile(r"[Cc]olumn (?:'(?P<name>.+)'|(?:`.+`\.)?`(?P<quoted>.+)`) (?:at row \d+|cannot be null)\Z")
_CHECKED = re.compile(r"CONSTRAINT `[^`]*?(?P<name>[^`.]+)` failed")
"""MariaDB calls the CHECK of a column by it, as it does with json."""
_AT_ROW = re.compile(r" (?:for column \S+ )?at row \d+\Z")


def insert_all(raw: LoadConnection, into: str, records: Records, limits: Mapping[str, Limit] | None = None) -> int:
    """Inserts the records into the table `into` (quoted); how many. Raises BadRecordError and LoadError.

    `limits` are those of the table's columns. `raw` is in a transaction, which goes on.
    """
    return _Inserts(raw, into, records, limits or {}).insert_all()


def quoted(name: str) -> str:
    """An identifier in backticks, for a statement that is sent without parameters."""
    return f"`{name.replace('`', '``')}`"


_Row = tuple[str, Sequence[Any]]
"""A record as SQL, and as it came."""


class _Inserts:
    def __init__(self, raw: LoadConnection, into: str, records: Records, limits: Mapping[str, Limit]) -> None:
        self._raw = raw
        self._records = records
        self._columns = list(records.columns)
        self._refusals = {name: limit.refusal for name, limit in limits.items()}
        constants = dict(records.constants or {})
        for column, value in constants.items():
            refusal = self._refusals.get(column.name)
            reason = None if refusal is None else refusal(value)
            if reason is not None:  # which may be private
                raise LoadError(f"the value that every row gets for column {shortened(column.name)} {reason}.")
        names = ", ".join(quoted(column.name) for column in (*self._columns, *constants))
        self._head = f"INSERT INTO {into} ({names}) VALUES "  # noqa: S608  names are quoted
        self._end = "".join(f",{raw.escape(value)}" for value in constants.values())
        self._most_bytes = min(_BYTES, _packet_limit(raw) // 2)
        self._written = 0

    def insert_all(self) -> int:
        rows = self._as_sql()
        while batch := self._batch(rows):
            self._send(batch)
        return self._written

    def _batch(self, rows: Iterator[_Row]) -> list[_Row]:
        """Rows for one statement: as many as it takes, one at least."""
        batch: list[_Row] = []
        size = len(self._head)
        for row in islice(rows, _ROWS):
            batch.append(row)
            size += len(row[0])
            if size >= self._most_bytes:
                break
        return batch

    def _as_sql(self) -> Iterator[_Row]:
        make = self._from_values if self._records.null_values is None else self._from_text(self._records.null_values)
        end = self._end if self._columns else self._end[1:]
        for number, record in enumerate(self._records.rows):
            try:
                yield f"({make(record)}{end})", record
            except BadValueError as error:
                raise BadRecordError(number, error) from error

    def _from_values(self, record: Sequence[Any]) -> str:
        if self._refusals:
            for column, value in zip(self._columns, record, strict=True):
                check(column, value, self._refusals.get(column.name))
        known: Mapping[type, Callable[[Any], str]] = _BY_TYPE
        escape: Callable[[Any], str] = self._raw.escape
        return ",".join([known.get(type(value), escape)(value) for value in record])

    def _from_text(self, null_values: Sequence[str]) -> Callable[[Sequence[str]], str]:
        makers = literals(self._columns, null_values, self._raw.escape, self._refusals)
        return lambda record: ",".join([make(field) for make, field in zip(makers, record, strict=True)])

    def _send(self, batch: list[_Row]) -> None:
        try:
            wrote = self._raw.query(self._head + ",".join([sql for sql, _ in batch]))
        except MySQLError as error:
            if error.args[:1] and error.args[0] in (*_BAD_VALUES, *_BAD_ROWS):
                self._find_refused(batch, error)
            raise
        if wrote != len(batch):
            raise LoadError(f"{len(batch)} rows were sent, and the database wrote {wrote}; nothing was kept.")
        self._written += wrote
        if self._records.progress is not None:
            self._records.progress(self._written)

    def _find_refused(self, batch: Sequence[_Row], error: MySQLError) -> None:
        """BadRecordError for the row that the server refused; an INSERT that fails has inserted nothing."""
        for index, (sql, record) in enumerate(batch):
            try:
                self._raw.query(self._head + sql)
            except MySQLError as one:
                bad = self._bad_value(one, record)
                if bad is None:
                    raise
                raise BadRecordError(self._written + index, bad) from error

    def _bad_value(self, error: MySQLError, record: Sequence[Any]) -> BadValueError | None:
        code, said = (*error.args, "", "")[:2]
        if code not in (*_BAD_VALUES, *_BAD_ROWS):
            return None
        said = str(said)
        reason = _REASONS.get(code, f"was refused by the database: {_AT_ROW.sub('', said)}")
        found = _COLUMN.search(said)
        name = (found["name"] or found["quoted"].replace("``", "`")) if found else None
        if found is None and (checked := _CHECKED.search(said)):
            name = checked["name"]
        for column, value in zip(self._columns, record, strict=True):
            if name is not None and column.name.lower() == name.lower():
                return BadValueError(None if code == _BAD_NULL else value, reason, column)
        return BadValueError(tuple(record), reason) if code in _BAD_ROWS else None


_BAD_NULL = 1048


def _packet_limit(raw: LoadConnection) -> int:
    with raw.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        row: Any = cursor.fetchone()
    return int(row[0])
