"""Records into a staging table of SQLite, several with each INSERT; makes no table and ends no transaction.

The time of a load is spent here, so what is done for each row is kept small: of a million rows of nine columns, an
INSERT of one row each takes 3.3 s, of sixteen 2 s (the bare insertion, without converting).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Protocol

import sqlalchemy as sa

from etlctl.db.columns import BadValueError
from etlctl.db.dialects.base import BadRecordError, Records
from etlctl.db.dialects.sqlite_values import TextConverter

STAGING = "etlctl_staging"
"""Name of the attached database."""

_ROWS = 16
"""Records of one INSERT."""
_PARAMETERS = 2000
"""Of one INSERT at most; SQLite takes 32,766."""
_CHUNK = 1250  # INSERTs between two looks at the progress: 20,000 records


class _Quotes(Protocol):
    def quote_identifier(self, value: str, /) -> str: ...


class Inserts:
    """The statements that put the Records into the table `staged`, and finding the record that one of them refused."""

    def __init__(self, raw: sqlite3.Connection, quotes: _Quotes, staged: sa.TableClause, records: Records) -> None:
        self._raw = raw
        self._columns = list(records.columns)
        self._converter: TextConverter | None = None
        if records.null_values is not None:
            self._converter = TextConverter(self._columns, records.null_values)
            self._converter.register(raw)
        constants = dict(records.constants or {})
        self._constants = tuple(constants.values())
        names = ", ".join(quotes.quote_identifier(column.name) for column in (*constants, *self._columns))
        self._table = f"{STAGING}.{quotes.quote_identifier(staged.name)}"
        self._into = f"INSERT INTO {self._table} ({names}) VALUES "  # noqa: S608  names are quoted
        self._at_once = max(1, min(_ROWS, _PARAMETERS // max(len(self._columns), 1)))
        self._batch: list[Sequence[Any]] = []

    def chunk(self, rows: Iterator[Sequence[Any]]) -> int:
        """Inserts the next records, some thousand; how many, 0 when there are no more. Raises BadRecordError."""
        try:
            wrote: int = self._raw.executemany(self._insert_of(self._at_once), self._full_batches(rows)).rowcount
            if 0 < len(self._batch) < self._at_once:
                wrote += self._execute(self._batch)
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            if self._bad_value(error) is not None:
                self._find_refused()
            raise
        return wrote

    def _full_batches(self, rows: Iterator[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
        """Parameters of one INSERT each; what is left at the end, fewer than it takes, stays in `_batch`."""
        for _ in range(_CHUNK):
            self._batch = list(islice(rows, self._at_once))
            if len(self._batch) < self._at_once:
                return
            yield (*self._constants, *chain.from_iterable(self._batch))

    def _execute(self, batch: list[Sequence[Any]]) -> int:
        values = (*self._constants, *chain.from_iterable(batch))
        return self._raw.execute(self._insert_of(len(batch)), values).rowcount

    def _insert_of(self, rows: int) -> str:
        """The constants are bound once, as the first parameters."""
        fixed = [f"?{number}" for number in range(1, len(self._constants) + 1)]
        first = len(fixed) + 1
        return self._into + ", ".join(
            f"({', '.join([*fixed, *self._expressions_from(first + row * len(self._columns))])})" for row in range(rows)
        )

    def _expressions_from(self, first: int) -> list[str]:
        if self._converter is not None:
            return self._converter.expressions_from(first)
        return [f"?{number}" for number in range(first, first + len(self._columns))]

    def _find_refused(self) -> None:
        """Inserts the records of the batch one by one, until the one that is refused: BadRecordError.

        An INSERT that fails has inserted nothing, so the table holds exactly the records before the batch.
        """
        before = self._raw.execute(f"SELECT count(*) FROM {self._table}").fetchone()[0]  # noqa: S608  quoted above
        for index, record in enumerate(self._batch):
            try:
                self._execute([record])
            except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
                bad = self._bad_value(error)
                if bad is None:
                    raise
                raise BadRecordError(before + index, bad) from error

    def _bad_value(self, error: sqlite3.Error) -> BadValueError | None:
        if self._converter is not None and self._converter.error is not None:
            return self._converter.error
        said = str(error)
        if not said.startswith("NOT NULL constraint failed: "):
            return None
        column = next((one for one in self._columns if said.endswith(f".{one.name}")), None)
        return None if column is None else BadValueError(None, "(NULL) where the table says NOT NULL", column)
