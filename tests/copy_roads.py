"""Files on their way into PostgreSQL in tests: by the file's own bytes, and by values; and which road was taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from etlctl.db.columns import Column, parse_type
from etlctl.db.dialects.base import BadRecordError, DelimitedFile, Options, Records
from etlctl.db.dialects.postgresql import copy as postgresql_copy
from etlctl.db.dialects.postgresql.dialect import PostgreSQLDialect
from etlctl.db.dialects.postgresql.encode import LineEncoder
from etlctl.errors import BadDataError
from etlctl.loads.source import SourceFile

DIALECT = PostgreSQLDialect()


@dataclass
class Loaded:
    """What became of a file."""

    rows: list[tuple[Any, ...]] | None
    """In the table's order; None when it was refused."""
    refusal: str
    is_as_it_is: bool
    """Whether the server read the file's own bytes."""
    told: list[int]
    """By `progress`."""


def columns(**types: str) -> list[Column]:
    """Columns by their words; `not null` may end them."""
    return [
        Column(name, parse_type(words.removesuffix(" not null")), nullable=not words.endswith(" not null"))
        for name, words in types.items()
    ]


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """An engine of the dialect's, closed at the end."""
    engine = DIALECT.make_engine(url, Options())
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


class Loader:
    """Loads files into the table `t`, made for each anew in a transaction that is rolled back."""

    def __init__(self, connection: sa.Connection, folder: Path) -> None:
        self.connection = connection
        self._path = folder / "t.csv"

    def load(
        self,
        data: bytes,
        declared: Sequence[Column],
        *,
        nulls: Sequence[str] = ("",),
        constants: Mapping[Column, Any] | None = None,
        delimiter: str = ",",
        header: bool = True,
        ddl: str | None = None,
        as_values: bool = False,
        stage: bool = False,
    ) -> Loaded:
        """`ddl` makes the table; default: the columns and constants. `as_values` gives the records alone."""
        self._path.write_bytes(data)
        told: list[int] = []
        with self.connection.begin() as transaction, pytest.MonkeyPatch.context() as patch:
            self.connection.exec_driver_sql(ddl or self._ddl([*declared, *(constants or ())]))
            taken = _watched(patch)
            try:
                source = SourceFile(
                    self._path, wanted=[one.name for one in declared], header=header, delimiter=delimiter, shown="t.csv"
                )
                file = DelimitedFile(source.opened_bytes, delimiter, header, source.header_names())
                records = Records(declared, source, nulls, constants, told.append, None if as_values else file)
                wrote = self._store(records, [*declared, *(constants or ())], stage=stage)
                found = [_plain(row) for row in self.connection.exec_driver_sql("SELECT * FROM t").fetchall()]
                assert wrote == len(found)
                return Loaded(found, "", not taken, told)
            except BadRecordError as error:
                return Loaded(None, f"record {error.number}, {error.error.column}: {error.error}", not taken, told)
            except BadDataError as error:
                return Loaded(None, str(error), not taken, told)
            finally:
                transaction.rollback()

    def _store(self, records: Records, every: Sequence[Column], *, stage: bool) -> int:
        if not stage:
            return postgresql_copy.insert_records(self.connection, DIALECT.table_name("t"), records)
        staged = postgresql_copy.stage_records(self.connection, "rows_1", every, records)
        assert staged.columns == tuple(one.name for one in every)
        return DIALECT.insert_staged(self.connection, "t", staged)

    @staticmethod
    def _ddl(declared: Sequence[Column]) -> str:
        body = ", ".join(
            f'"{one.name}" {DIALECT.type_ddl(one.type)}{"" if one.nullable else " NOT NULL"}' for one in declared
        )
        return f"CREATE TABLE t ({body})"


def _plain(row: Sequence[Any]) -> tuple[Any, ...]:
    """Comparable to the last digit: Decimal 1.0 is equal to 1.00 and is another text."""
    return tuple(bytes(value) if isinstance(value, memoryview) else repr(value) for value in row)


def _watched(patch: pytest.MonkeyPatch) -> list[int]:
    taken: list[int] = []
    blocks = LineEncoder.blocks

    def watched(self: LineEncoder, rows: Any) -> Iterator[bytes]:
        taken.append(1)
        return blocks(self, rows)

    patch.setattr(LineEncoder, "blocks", watched)
    return taken
