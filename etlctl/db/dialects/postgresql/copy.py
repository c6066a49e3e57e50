"""Records into a table of PostgreSQL by COPY, on the fastest road that is sure to mean the same; makes no target table.

    insert_records()
      _file_as_it_is()         a savepoint; the server reads the file, postgresql/stream.py looks at it on the way
        _through_staging()     a file with further columns: into a temporary table with all of them first
      _values()                else, or after a rollback to the savepoint: values converted by us, postgresql/encode.py

A file is given to the server in good hope: whatever it refuses, and whatever it might read otherwise than
`db/values.py`, is read again by us from the beginning. So only the last road says what is wrong, with its record; and
what all of them put into a table is the same.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO

import psycopg2
from psycopg2.extensions import quote_ident

from etlctl.db.columns import BadValueError, Column
from etlctl.db.dialects.base import BadRecordError, DelimitedFile, Records, Staged, TableColumn, TableName
from etlctl.db.dialects.postgresql import catalog as postgresql_catalog
from etlctl.db.dialects.postgresql import staging as postgresql_staging
from etlctl.db.dialects.postgresql.encode import LineEncoder, text_of
from etlctl.db.dialects.postgresql.forms import is_read_alike
from etlctl.db.dialects.postgresql.guard import driver_connection
from etlctl.db.dialects.postgresql.stream import ByteSource, DelimitedStream, InDoubtError, header_of, start_of
from etlctl.db.dialects.postgresql.values import ddl
from etlctl.db.words import table_name
from etlctl.errors import LoadError

if TYPE_CHECKING:
    import sqlalchemy as sa

_READ = 1 << 18
_SESSION = "SELECT pg_catalog.set_config('datestyle', 'ISO, YMD', true), pg_catalog.set_config('timezone', 'UTC', true)"
"""Until the transaction ends: how COPY reads dates hangs on it."""
_DATA, _NOT_NULL, _CHECK = "22", "23502", "23514"
"""The server's codes, https://www.postgresql.org/docs/current/errcodes-appendix.html: all of class 22, and two more."""
_NO_BACKSLASH_DOT = 180000
"""The first version in which such a line is data."""
_AT_FAULT = re.compile(r', line (?P<line>\d+)(?:, column (?P<column>.*?))?(?:: (?:"(?P<value>.*)"|.*))?$', re.DOTALL)


def insert_records(connection: sa.Connection, table: TableName, records: Records) -> int:
    """See `Dialect.insert_records`."""
    return _Copy(connection, table, postgresql_catalog.table_columns(connection, table) or [], records).run()


def stage_records(connection: sa.Connection, name: str, columns: Sequence[Column], records: Records) -> Staged:
    """See `Dialect.stage_records`; the table is a temporary one, dropped at the latest when the transaction ends."""
    staged = postgresql_staging.create_staging(connection, name, columns)
    made = [
        TableColumn(one.name, one.type, ddl(one.type), nullable=one.nullable and not one.primary_key) for one in columns
    ]
    copy = _Copy(connection, table_name(name, postgresql_staging.STAGING), made, records)
    copy.hold_required()
    return Staged(staged, tuple(column.name for column in columns), copy.run())


class _Copy:
    def __init__(
        self, connection: sa.Connection, table: TableName, there: Sequence[TableColumn], records: Records
    ) -> None:
        self._connection = connection
        self._raw: Any = driver_connection(connection)
        self._table = self._quoted(*table)
        self._records = records
        self._constants: Mapping[Column, Any] = records.constants or {}
        self._constant_texts = [None if value is None else text_of(value) for value in self._constants.values()]
        self._columns = {column.name: column for column in there}
        self._required = [column.name for column in there if not column.nullable]

    def hold_required(self) -> None:
        """Lets the table, which is ours, take no NULL where it should not: it is then found here, with its record."""
        if self._required:
            changes = (f"ALTER COLUMN {self._quoted(name)} SET NOT NULL" for name in self._required)
            self._execute(f"ALTER TABLE {self._table} {', '.join(changes)}")

    def run(self) -> int:
        """How many rows, all of them in the table."""
        self._execute(_SESSION)
        file, nulls = self._records.file, self._records.null_values
        wrote = None
        if file is not None and nulls is not None and self._is_worth_trying(file, nulls):
            wrote = self._tried(file, nulls)
        if wrote is None:
            wrote = self._values()
        if self._records.progress is not None:
            self._records.progress(wrote)
        return wrote

    # -- the file's own bytes

    def _is_worth_trying(self, file: DelimitedFile, nulls: Sequence[str]) -> bool:
        if self._raw.get_parameter_status("server_encoding") == "SQL_ASCII":  # would take bytes that are no text
            return False
        if any(mark in word for word in nulls for mark in (file.delimiter, *'"\r\n\0')):
            return False
        return len(file.delimiter.encode()) == 1 and all(
            column.name in self._columns and is_read_alike(column, self._columns[column.name])
            for column in self._records.columns
        )

    def _tried(self, file: DelimitedFile, nulls: Sequence[str]) -> int | None:
        """How many rows; None where they must be converted by us, and then nothing was written."""
        try:
            with self._connection.begin_nested(), _opened(file) as source:
                return self._from_file(file, source, nulls)
        except InDoubtError:
            return None
        except psycopg2.Error as error:
            if not _is_about_values(error):
                raise
            return None

    def _from_file(self, file: DelimitedFile, source: ByteSource, nulls: Sequence[str]) -> int:
        header, start = header_of(source, file.delimiter) if file.has_header else (file.names, start_of(source))
        if header is None:
            return 0
        wanted = {column.name: column.type for column in self._records.columns}
        if len({*header}) < len(header) or not wanted.keys() <= {*header} or not all(name.strip() for name in header):
            raise InDoubtError("the header")
        is_whole = len(wanted) == len(header)
        stream = DelimitedStream(
            source,
            start,
            [wanted.get(name) for name in header],
            delimiter=file.delimiter,
            nulls=sorted(dict.fromkeys(nulls), key=len),  # the empty word first, which others can become
            constants=self._constant_texts if is_whole else (),
            obeys_backslash_dot=self._raw.server_version < _NO_BACKSLASH_DOT,
        )
        if is_whole:
            return self._copy_file(stream, self._table, header, [column.name for column in self._constants])
        return self._through_staging(stream, header, wanted)

    def _copy_file(self, stream: DelimitedStream, into: str, header: Sequence[str], further: Sequence[str]) -> int:
        null = stream.nulls[0] if stream.nulls else ""
        wrote = self._copy(
            f"COPY {into} ({self._list(*header, *further)}) FROM STDIN (FORMAT csv, ENCODING 'UTF8', "
            f"DELIMITER {_literal(stream.delimiter)}, NULL {_literal(null)}, "
            f"{'FORCE_NULL' if stream.nulls else 'FORCE_NOT_NULL'} ({self._list(*header)}))",
            self._telling(stream.blocks(), lambda: stream.records),
        )
        if wrote != stream.records:  # by a trigger, say; whether that is an error the other road finds out
            raise InDoubtError(f"{wrote} of {stream.records} rows")
        return wrote

    def _through_staging(self, stream: DelimitedStream, header: Sequence[str], wanted: Collection[str]) -> int:
        """COPY cannot pass over a column: all go into a temporary table, whose wanted columns are the target's."""
        staged = f"etlctl_{secrets.token_hex(6)}"
        place = self._quoted(postgresql_staging.STAGING, staged)
        surplus = (name for number in count() if (name := f"surplus_{number}") not in wanted)
        columns = [name if name in wanted else next(surplus) for name in header]
        made = (self._quoted(name) if name in wanted else f"NULL::text AS {self._quoted(name)}" for name in columns)
        self._execute(
            f"CREATE TEMPORARY TABLE {self._quoted(staged)} ON COMMIT DROP AS "  # noqa: S608  all names are quoted
            f"SELECT {', '.join(made)} FROM {self._table} WITH NO DATA"
        )
        copied = self._copy_file(stream, place, columns, ())
        into = self._list(*wanted, *(column.name for column in self._constants))
        constants = ("NULL" if text is None else _literal(text) for text in self._constant_texts)  # as COPY has them
        values = ", ".join([*map(self._quoted, wanted), *constants])
        wrote = self._execute(f"INSERT INTO {self._table} ({into}) SELECT {values} FROM {place}")  # noqa: S608  quoted
        self._execute(f"DROP TABLE {place}")
        if wrote != copied:
            raise InDoubtError(f"{wrote} of {copied} rows")
        return wrote

    # -- values converted by us

    def _values(self) -> int:
        encoder = LineEncoder(
            self._records.columns,
            nulls=self._records.null_values,
            constants=self._constants,
            required=self._required,
        )
        names = self._list(*(column.name for column in (*self._records.columns, *self._constants)))
        blocks = self._telling(encoder.blocks(self._records.rows), lambda: encoder.rows)
        try:
            wrote = self._copy(f"COPY {self._table} ({names}) FROM STDIN (FORMAT text, ENCODING 'UTF8')", blocks)
        except psycopg2.Error as error:
            bad = self._refused(error)
            if bad is None:
                raise
            raise bad from error
        if wrote != encoder.rows:
            raise LoadError(
                f"{encoder.rows} rows were sent to {self._table} and the database says that it has written {wrote}: "
                "a trigger or a rule of the table keeps some back or adds some. Nothing was kept."
            )
        return wrote

    def _refused(self, error: psycopg2.Error) -> BadRecordError | None:
        """What the server says of one record; None where it does not tell which, or speaks another language."""
        at = _AT_FAULT.search(error.diag.context or "") if _is_about_values(error) else None
        if at is None:
            return None
        by_name = {column.name: column for column in (*self._records.columns, *self._constants)}
        column = by_name.get(at["column"] or error.diag.column_name or "")
        reason = f"is refused by the database: {error.diag.message_primary}"
        number = int(at["line"]) - 1
        if at["column"] is not None:
            return BadRecordError(number, BadValueError(at["value"], reason, column))
        if column is not None:
            return BadRecordError(number, BadValueError(None, "(NULL) where the table says NOT NULL", column))
        return BadRecordError(number, _BadRowError(reason))

    # -- what all of them do

    def _telling(self, blocks: Iterator[bytes], rows: Callable[[], int]) -> Iterator[bytes]:
        for block in blocks:
            yield block
            if self._records.progress is not None:
                self._records.progress(rows())

    def _copy(self, statement: str, blocks: Iterator[bytes]) -> int:
        source = _Read(blocks)
        with self._raw.cursor() as cursor:
            try:
                cursor.copy_expert(statement, source, _READ)
            except psycopg2.Error as error:
                if source.error is not None:
                    raise source.error from error
                raise
            return int(cursor.rowcount)

    def _execute(self, statement: str) -> int:
        with self._raw.cursor() as cursor:
            cursor.execute(statement)  # without parameters no % is one
            return int(cursor.rowcount)

    def _list(self, *names: str) -> str:
        return ", ".join(map(self._quoted, names))

    def _quoted(self, *names: str | None) -> str:
        return ".".join(quote_ident(str(name), self._raw) for name in names if name is not None)


class _BadRowError(BadValueError):
    """A row that is refused as a whole, by a constraint on several columns. It is not shown: a value may be private."""

    def __init__(self, reason: str) -> None:
        super().__init__(None, reason)
        self.args = (f"the row {reason}",)


class _Read:
    """What psycopg2 reads a COPY from; keeps the exception of the source, which the driver may turn into its own."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.error: BaseException | None = None

    def read(self, _: int = -1) -> bytes:
        """The next bytes, as many as there are at a time; none at the end."""
        try:
            return next(filter(None, self._blocks), b"")
        except BaseException as error:
            self.error = error
            raise


class _Source:
    """The bytes of a file; whatever is wrong with them, the road that reads its records tells it with the line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as error:
            raise InDoubtError("the file cannot be read") from error


@contextmanager
def _opened(file: DelimitedFile) -> Iterator[ByteSource]:
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(file.open())
        except Exception as error:
            raise InDoubtError("the file cannot be opened") from error
        yield _Source(stream)


def _is_about_values(error: psycopg2.Error) -> bool:
    code = error.pgcode or ""
    return code.startswith(_DATA) or code in (_NOT_NULL, _CHECK)


def _literal(text: str) -> str:
    """A string constant, whatever standard_conforming_strings says."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
