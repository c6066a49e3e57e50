"""Records into a staging table of SQLite, several with each INSERT; makes no table and ends no transaction.

    insert_all()
      _full_batches()      some dozen records, turned into columns
        _looked_at()       known texts as their values, fields in the common form as they are; sqlite/quick.py
      executemany()        one INSERT a batch; what is not in the common form is converted by SQL; sqlite/values.py

The time of a load is spent here, so what is done for each field is kept small: it is bound, looked at together with
others, and compared with the null words. `python tools/bench_load.py` tells what it comes to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Protocol

import sqlalchemy as sa

from etlctl.db.columns import BadValueError, Column
from etlctl.db.dialects.base import BadRecordError, Records
from etlctl.db.dialects.sqlite.quick import KnownTexts, Look, known_texts, look_for
from etlctl.db.dialects.sqlite.values import TextConverter

STAGING = "etlctl_staging"
"""Name of the attached database."""

_ROWS = 32
"""Records of one INSERT; with more of them it gains nothing."""
_PARAMETERS = 2000
"""Of one INSERT at most; SQLite takes 32,766."""
_SQL_LENGTH = 250_000
"""Characters of one INSERT, about; SQLite takes a million."""
_TOLD_EVERY = 20_000
"""Records between two reports of the progress."""


class _Quotes(Protocol):
    def quote_identifier(self, value: str, /) -> str: ...


class Inserts:
    """The statements that put the Records into the table `staged`, and finding the record that one of them refused."""

    def __init__(self, raw: sqlite3.Connection, quotes: _Quotes, staged: sa.TableClause, records: Records) -> None:
        self._raw = raw
        self._columns = list(records.columns)
        self._converter: TextConverter | None = None
        self._null_values = records.null_values
        self._looks: list[Look | None] = [None] * len(self._columns)
        """Of the columns that are not converted by SQL, so far."""
        if records.null_values is not None:
            self._converter = TextConverter(self._columns, records.null_values)
            self._converter.register(raw)
            self._looks = [self._first_look(column) for column in self._columns]
        constants = dict(records.constants or {})
        self._constants = tuple(constants.values())
        names = ", ".join(quotes.quote_identifier(column.name) for column in (*constants, *self._columns))
        self._table = f"{STAGING}.{quotes.quote_identifier(staged.name)}"
        self._into = f"INSERT INTO {self._table} ({names}) VALUES "  # noqa: S608  names are quoted
        widest = len(self._insert_of(1, [None] * len(self._columns))) - len(self._into)
        most = min(_ROWS, _PARAMETERS // max(len(self._columns), 1), _SQL_LENGTH // max(widest, 1))
        self._at_once = max(1, most)
        self._progress = records.progress
        self._staged = self._told = 0  # records in the table, as far as full batches go; those of the last report
        self._batch: list[Sequence[Any]] = []
        self._is_held = False
        """`_batch` was taken and not inserted: a column in it needs another look."""

    def insert_all(self, rows: Iterator[Sequence[Any]]) -> int:
        """Inserts the records; how many. Raises BadRecordError.

        One statement for all of them, but for one more whenever a column turns out to need another look.
        """
        wrote = 0
        try:
            while True:
                insert = self._insert_of(self._at_once, self._looks)
                wrote += self._raw.executemany(insert, self._full_batches(rows)).rowcount
                if not self._is_held:
                    break
            if self._batch:
                wrote += self._execute(self._batch, [None] * len(self._columns))
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            if self._bad_value(error) is not None:
                self._find_refused()
            raise
        if self._progress is not None:
            self._progress(wrote)
        return wrote

    def _full_batches(self, rows: Iterator[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
        """Parameters of one INSERT each; what is left at the end, fewer than it takes, stays in `_batch`."""
        constants, at_once = self._constants, self._at_once
        while True:
            if not self._is_held:
                self._batch = list(islice(rows, at_once))
            self._is_held = False
            if len(self._batch) < at_once:
                return
            fields = self._looked_at(self._batch)
            if fields is None:
                self._is_held = True
                return
            yield (*constants, *chain.from_iterable(fields))
            self._staged += at_once  # asked for the next batch: this one is in the table
            if self._staged - self._told >= _TOLD_EVERY and self._progress is not None:
                self._told = self._staged
                self._progress(self._staged)

    def _looked_at(self, batch: list[Sequence[Any]]) -> list[Sequence[Any]] | None:
        """The columns of the records; None when one needs another INSERT from now on, since it failed its look."""
        fields: list[Sequence[Any]] = list(zip(*batch, strict=True))
        is_common = True
        for index, look in enumerate(self._looks):
            if look is None:
                continue
            found = look(fields[index])
            if found is None:
                self._looks[index], is_common = self._next_look(index), False
            else:
                fields[index] = found
        return fields if is_common else None

    def _execute(self, batch: list[Sequence[Any]], looks: Sequence[Look | None]) -> int:
        values = (*self._constants, *chain.from_iterable(zip(*batch, strict=True)))
        return self._raw.execute(self._insert_of(len(batch), looks), values).rowcount

    def _insert_of(self, rows: int, looks: Sequence[Look | None]) -> str:
        """The constants are bound once, as the first parameters; behind them all fields of a column, then the next."""
        fixed = [f"?{number}" for number in range(1, len(self._constants) + 1)]
        first = len(fixed) + 1
        values = []
        for row in range(rows):
            own = [self._value(index, f"?{first + index * rows + row}", looks) for index in range(len(looks))]
            values.append(f"({', '.join([*fixed, *own])})")
        return self._into + ", ".join(values)

    def _value(self, index: int, parameter: str, looks: Sequence[Look | None]) -> str:
        if self._converter is None:
            return parameter
        look = looks[index]
        if look is None:
            return self._converter.expression(index, parameter)
        return parameter if isinstance(look, KnownTexts) else self._converter.null_or_kept(parameter)

    def _first_look(self, column: Column) -> Look | None:
        words = self._null_values or ()
        return known_texts(column.type, words, len(self._columns)) or look_for(column.type, words)

    def _next_look(self, index: int) -> Look | None:
        is_first = isinstance(self._looks[index], KnownTexts)
        return look_for(self._columns[index].type, self._null_values or ()) if is_first else None

    def _find_refused(self) -> None:
        """Inserts the records of the batch one by one, until the one that is refused: BadRecordError.

        An INSERT that fails has inserted nothing, so the table holds exactly the records before the batch.
        """
        before = self._raw.execute(f"SELECT count(*) FROM {self._table}").fetchone()[0]  # noqa: S608  quoted above
        for index, record in enumerate(self._batch):
            try:
                self._execute([record], [None] * len(self._columns))
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
