"""Records into a staging table of SQLite, several with each INSERT; makes no table and ends no transaction.

    insert_all()
      _blocks()            some records at a time, as columns
      _full_inserts()      some dozen records each
        _looked_at()       known texts as their values, fields in the common form as they are; sqlite/quick.py
      executemany()        what is not in the common form is converted by SQL; sqlite/values.py

The time of a load is spent here, so what is done for each field is kept small: it is looked at together with others,
and bound. `python tools/bench_load.py` tells what it comes to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from etlctl.db.columns import BadValueError, Column
from etlctl.db.dialects.base import BadRecordError, Records, TextsByColumns
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


class _Block(NamedTuple):
    """Some records, as the fields of each column."""

    rows: int
    columns: Sequence[Sequence[Any]]

    def part(self, start: int, stop: int) -> _Block:
        """The records from `start` to before `stop`, as far as there are any."""
        if start == 0 and stop >= self.rows:
            return self
        rows = max(min(stop, self.rows) - start, 0)
        return _Block(rows, [column[start:stop] for column in self.columns])

    def behind(self, first: _Block) -> _Block:
        """These records, with others before them."""
        if not first.rows:
            return self
        columns = [[*before, *column] for before, column in zip(first.columns, self.columns, strict=True)]
        return _Block(first.rows + self.rows, columns)

    def records(self) -> list[Sequence[Any]]:
        return list(zip(*self.columns, strict=True)) if self.columns else [()] * self.rows


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
        self._told = 0  # records of the last report
        self._block = _Block(0, [])
        """The records at hand; those that the last INSERTs were made of, and behind them some for the next."""
        self._begins = 0
        """Records before the block, all of which are in the table."""
        self._is_held = False
        """No INSERT was made of the block yet: a column in it needed another look."""

    def insert_all(self, rows: Iterable[Sequence[Any]]) -> int:
        """Inserts the records; how many. Raises BadRecordError.

        One statement for all of them, but for one more whenever a column turns out to need another look.
        """
        wrote = 0
        blocks = self._blocks(rows)
        try:
            while True:
                insert = self._insert_of(self._at_once, self._looks)
                wrote += self._raw.executemany(insert, self._full_inserts(blocks)).rowcount
                if not self._is_held:
                    break
            if self._block.rows:
                wrote += self._execute(self._block.records(), [None] * len(self._columns))
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            if self._bad_value(error) is not None:
                self._find_refused()
            raise
        if self._progress is not None:
            self._progress(wrote)
        return wrote

    def _blocks(self, rows: Iterable[Sequence[Any]]) -> Iterator[_Block]:
        if isinstance(rows, TextsByColumns) and self._columns:
            for columns in rows.text_columns():
                yield _Block(len(columns[0]), columns)
            return
        left = iter(rows)
        while batch := list(islice(left, self._at_once)):  # no more: records may be large
            yield _Block(len(batch), list(zip(*batch, strict=True)))

    def _full_inserts(self, blocks: Iterator[_Block]) -> Iterator[list[Any]]:
        """Parameters of one INSERT each; what is left at the end, fewer than it takes, stays in `_block`."""
        constants, at_once = self._constants, self._at_once
        while True:
            if not self._is_held:
                block = next(blocks, None)
                if block is None:
                    return
                self._block = block.behind(self._block)
            self._is_held = False
            whole = self._block.rows - self._block.rows % at_once
            fields = self._looked_at(list(self._block.part(0, whole).columns))
            if fields is None:
                self._is_held = True
                return
            for start in range(0, whole, at_once):
                parameters = [*constants]
                for column in fields:
                    parameters += column[start : start + at_once]
                yield parameters
            self._begins += whole  # asked for the next: these are in the table
            self._block = self._block.part(whole, self._block.rows)
            if self._begins - self._told >= _TOLD_EVERY and self._progress is not None:
                self._told = self._begins
                self._progress(self._begins)

    def _looked_at(self, fields: list[Sequence[Any]]) -> list[Sequence[Any]] | None:
        """The columns' values; None when one needs another INSERT from now on, since it failed its look."""
        is_common = True
        for index, look in enumerate(self._looks):
            if look is None or not fields[index]:
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
        return self._converter.expression(index, parameter) if looks[index] is None else parameter

    def _first_look(self, column: Column) -> Look | None:
        words = self._null_values or ()
        return known_texts(column.type, words, len(self._columns)) or look_for(column.type, words)

    def _next_look(self, index: int) -> Look | None:
        is_first = isinstance(self._looks[index], KnownTexts)
        return look_for(self._columns[index].type, self._null_values or ()) if is_first else None

    def _find_refused(self) -> None:
        """Inserts the records of the block one by one, until the one that is refused: BadRecordError.

        An INSERT that fails has inserted nothing, so the table holds exactly the records before those it was made of.
        """
        before = self._raw.execute(f"SELECT count(*) FROM {self._table}").fetchone()[0]  # noqa: S608  quoted above
        start = before - self._begins
        for index, record in enumerate(self._block.part(start, start + self._at_once).records()):
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
