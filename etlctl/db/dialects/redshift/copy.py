"""Rows into a staging table of Redshift: as packed CSV by way of S3, and one COPY. Makes no target table.

    stage_records()
      stage_file()         a file that lies in S3 already, redshift/straight.py; else, and where that is in doubt:
      Attempt.upload()     parts of some million bytes, then the manifest that names them
      COPY … MANIFEST      into a temporary table; the rows are counted
      Attempt.remove()     however it ended; what a killed process leaves, a lifecycle rule of the bucket takes

Each attempt has a folder of its own under the connection's `s3_staging`, with a random name.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import sqlalchemy as sa

from etlctl.db.columns import BadValueError, Column
from etlctl.db.dialects.base import BadRecordError, Records, Staged
from etlctl.db.dialects.redshift import staging as redshift_staging
from etlctl.db.dialects.redshift.access import access_of, region_option
from etlctl.db.dialects.redshift.connection import own_transaction, run_bare
from etlctl.db.dialects.redshift.encode import CsvEncoder
from etlctl.db.dialects.redshift.folder import AttemptFolder, new_folder
from etlctl.db.dialects.redshift.loaderrors import ServerLoadError, load_error
from etlctl.db.dialects.redshift.statements import Form, copy_statement, identifier
from etlctl.db.dialects.redshift.straight import stage_file
from etlctl.errors import BadDataError, LoadError

if TYPE_CHECKING:
    from etlctl.s3.address import S3Address

_PART_BYTES = 64 << 20
"""Of a part, unpacked: Redshift wants 1 MB to 1 GB packed, and several files to work at them side by side."""
_LEVEL = 1
"""Of gzip: the network is not what is waited for."""


def stage_records(connection: sa.Connection, name: str, columns: Sequence[Column], records: Records) -> Staged:
    """See `Dialect.stage_records`."""
    straight = stage_file(connection, name, columns, records)
    if straight is not None:
        return straight
    access = access_of(connection)
    attempt = Attempt(new_folder(connection))
    encoder = CsvEncoder(records.columns, nulls=records.null_values, constants=records.constants or {})
    order = [*records.columns, *(records.constants or {})]
    try:
        attempt.upload(encoder, records)
        form = Form(
            "csv",
            options=region_option()
            | {"manifest": True, "compression": "gzip", "null_as": encoder.null}
            | {"dateformat": "auto", "timeformat": "auto", "compupdate": False, "statupdate": False},
        )
        into = identifier(redshift_staging.staged_name(name).name)
        statement = copy_statement(into, [identifier(one.name) for one in order], str(attempt.manifest), access, form)
        try:
            with own_transaction(connection):
                staged = redshift_staging.create_staging(connection, name, columns)
                if encoder.rows:
                    run_bare(connection, statement)
                count_rows(connection, staged, encoder.rows)
        except psycopg2.Error as error:
            told = load_error(connection, error, str(attempt.folder))
            if told is None:
                raise
            raise attempt.refused(told, order) from error
    finally:
        attempt.remove()
    return Staged(staged, tuple(column.name for column in columns), encoder.rows)


def count_rows(connection: sa.Connection, staged: sa.TableClause, sent: int | None) -> int:
    """How many rows a staging table holds; LoadError where others were sent."""
    there = int(connection.execute(sa.select(sa.func.count()).select_from(staged)).scalar_one())
    if sent is not None and there != sent:
        raise LoadError(f"{sent} rows were sent to Redshift, and its COPY brought {there}; nothing was kept.")
    return there


class _Part(NamedTuple):
    address: S3Address
    first: int
    """The number of its first record."""
    has_longer_records: bool
    """Whether a record may take more than one line."""


class Attempt(AttemptFolder):
    """The rows of one attempt, in parts."""

    def __init__(self, folder: S3Address) -> None:
        super().__init__(folder)
        self._parts: list[_Part] = []

    def upload(self, encoder: CsvEncoder, records: Records) -> None:
        """All rows in parts; the manifest comes last, and only where there are rows. Memory does not grow with them."""
        blocks = _told(encoder, records)
        block = next(blocks, None)
        while block is not None:
            place, first = self.part(len(self._parts)), block.first
            block, has_longer = _write_part(place, block, blocks)
            self._parts.append(_Part(place, first, has_longer))
        if self._parts:
            self.put_manifest([str(part.address) for part in self._parts])

    def refused(self, told: ServerLoadError, columns: Sequence[Column]) -> BadRecordError | BadDataError:
        """What the server says of a line of ours, as a record where every line is one."""
        part = next((part for part in self._parts if str(part.address) == told.file), None)
        if part is None or part.has_longer_records or told.line < 1:
            return BadDataError(f"Redshift refused a row: {told.column_and_reason}.")
        column = next((one for one in columns if one.name.lower() == told.column.lower()), None)
        return BadRecordError(part.first + told.line - 1, _RefusedError(told.reason, column))


class _RefusedError(BadValueError):
    """A value that is not shown: the server tells its place alone."""

    def __init__(self, reason: str, column: Column | None) -> None:
        super().__init__(None, f"is refused by Redshift: {reason}", column)
        self.args = (f"the row is refused by Redshift: {reason}",)


class _Block(NamedTuple):
    lines: bytes
    first: int
    """The number of its first record."""


def _told(encoder: CsvEncoder, records: Records) -> Iterator[_Block]:
    first = 0
    for lines in encoder.blocks(records.rows):
        if records.progress is not None:
            records.progress(encoder.rows)
        yield _Block(lines, first)
        first = encoder.rows


def _write_part(place: S3Address, begin: _Block, blocks: Iterator[_Block]) -> tuple[_Block | None, bool]:
    """Writes `begin` and the blocks after it until the part is large enough.

    The block that begins the next part, and whether a record may take more than one line.
    """
    from etlctl.s3.writer import ObjectWriter

    packer = zlib.compressobj(_LEVEL, wbits=31)
    size, has_longer = 0, False
    block: _Block | None = begin
    with ObjectWriter(place) as out:
        while block is not None and size < _PART_BYTES:
            size += len(block.lines)
            has_longer = has_longer or b'"' in block.lines
            out.write(packer.compress(block.lines))
            block = next(blocks, None)
        out.write(packer.flush())
    return block, has_longer
