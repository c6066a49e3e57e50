"""COPY … FROM 's3://…': objects of S3, cut into fields, into a COPY FROM STDIN of the client's own session behind.

copy()                 in the client's transaction, under the table's write lock
  _Load.run()          one object after another
    _Load._file()      its records, each a line of PostgreSQL's text format
  _Load.located()      the server's error, back at its file, line and column
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from servers.redshift import fields, records
from servers.redshift.commands import Command, Place, copy_command
from servers.redshift.errors import INTERNAL, UNDEFINED_TABLE, Refusal, internal
from servers.redshift.fields import BadField, Column, Fields, unread
from servers.redshift.options import Keys
from servers.redshift.records import Record, Unreadable
from servers.redshift.storage import Storage, decompressed
from servers.redshift.words import Token, identifier, quoted, relation

if TYPE_CHECKING:
    from servers.redshift.service import Service
    from servers.redshift.session import Session

_BATCH_BYTES = 1 << 16
_WHERE = re.compile(r"^COPY .*?, line (\d+)(?:, column (.*?))?(?:: (.*))?$", re.DOTALL)
_CLASS_DATA = "22"
_UNSAFE = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy(session: Session, words: Sequence[Token], sql: str) -> None:
    """Carries it out; raises `Refusal`, with the load error noted for the system tables."""
    command = copy_command(words)
    storage = opened(session.service, command)
    try:
        query = session.service.next_query()
        with session.block():
            table = relation(command.table)
            if session.rows(f"SELECT to_regclass({quoted(table)})") == [[None]]:
                raise Refusal(f"Cannot COPY into nonexistent table {command.table[-1]}", UNDEFINED_TABLE)
            session.lock(table)
            load = _Load(session, command, storage, query, sql)
            load.run()
            session.ask(
                f"SELECT set_config('redshift_standin.copy_count', '{load.count}', false), "
                f"set_config('redshift_standin.copy_id', '{query}', false), "
                f"set_config('redshift_standin.query_id', '{query}', false)"
            )
    finally:
        storage.close()
    session.info(f"Load into table '{command.table[-1]}' completed, {load.count} record(s) loaded successfully.")
    session.answer("COPY")


def opened(service: Service, command: Command) -> Storage:
    """The command's S3, when its role may go there."""
    if service.s3 is None:
        raise internal("S3CurlException: the stand-in was started without an S3")
    _check_role(service, command.keys)
    return Storage(service.s3, command.keys, command.options.region)


def _check_role(service: Service, keys: Keys) -> None:
    for role in filter(None, keys.role.split(",")):
        if role != "default" and service.roles is not None and role not in service.roles:
            user = "arn:aws:redshift:us-east-1:123456789012:dbuser:etlctl-standin/postgres"
            raise internal(f"User {user} is not authorized to assume IAM Role {role}")


class _Load:
    """One COPY. `count` rows went to the server; the first of each file is remembered, and every row's line."""

    def __init__(self, session: Session, command: Command, storage: Storage, query: int, sql: str) -> None:
        self.session = session
        self.command = command
        self.storage = storage
        self.query = query
        self.sql = sql
        self.count = 0
        self.started = datetime.now(UTC).replace(tzinfo=None)
        self.columns = self._columns()
        self._first_rows: list[int] = []
        self._files: list[Place] = []
        self._kept: list[tuple[int, str]] = []
        self._out: list[str] = []
        self._out_size = 0

    def run(self) -> None:
        options = self.command.options
        sources = self.storage.sources(self.command.place, options.manifest)
        paths = self._json_paths()
        reader = Fields(self.columns, options)
        names = ", ".join(identifier(column.name) for column in self.columns)
        self.session.say(f"COPY {relation(self.command.table)} ({names}) FROM STDIN")
        kind, body = self.session.server_message()
        if kind != b"G":
            self.session.server.put(b"f", b"\0")
            raise internal(f"COPY was not begun: {body!r}")
        try:
            for done, source in enumerate(sources):
                self.session.service.faults.part(self.sql, done)
                self._file(source, reader, paths)
            self._flush()
        except Refusal:
            self._give_up()
            raise
        except _Stopped:
            pass
        self.session.server.put(b"c")
        self.session.server.flush()
        try:
            self.session.until_ready()
        except Refusal as refusal:
            raise self.located(refusal) from None

    def _columns(self) -> list[Column]:
        """Those of the list; without one all but the identity columns."""
        table = quoted(relation(self.command.table))
        found = [fields.column(row) for row in self.session.rows(fields.COLUMNS.format(table=table))]
        explicit = "explicit_ids" in self.command.options.flags
        if not self.command.columns:
            return [column for column in found if explicit or not column.is_identity]
        by_name = {column.name: column for column in found}
        for name in self.command.columns:
            if name not in by_name:
                raise Refusal(f'column "{name}" of relation "{self.command.table[-1]}" does not exist', "42703")
            if by_name[name].is_identity and not explicit:
                raise Refusal(f'cannot set an identity column to a value: "{name}"')
        return [by_name[name] for name in self.command.columns]

    def _json_paths(self) -> list[str] | None:
        """Those of a jsonpaths file; None for the names of the columns."""
        paths = self.command.options.paths
        if self.command.options.format not in ("json", "avro") or paths in ("auto", "auto ignorecase"):
            return None
        if not paths.startswith("s3://"):
            raise Refusal(f"{self.command.options.format.upper()} '{paths}' is unknown to the tests' stand-in")
        bucket, _, key = paths.removeprefix("s3://").partition("/")
        found = records.json_paths(self.storage.read(Place(bucket, key)))
        if len(found) != len(self.columns):
            raise internal("Number of jsonpaths and the number of columns should match")
        return found

    def _file(self, source: Place, reader: Fields, paths: Sequence[str] | None) -> None:
        options = self.command.options
        data = decompressed(self.storage.read(source), options.compression, source)
        self._first_rows.append(self.count)
        self._files.append(source)
        record = Record(0, [], "")
        try:
            for record in records.records(data, options, [column.name for column in self.columns], paths):
                self._row(record, reader.row(record.fields))
        except BadField as error:
            raise self._failed(source, record, error) from None
        except Unreadable as unreadable:
            raise self._failed(source, unreadable.record, unreadable.error) from None

    def _row(self, record: Record, values: Sequence[str | None]) -> None:
        self._kept.append((record.line, record.raw))
        self.count += 1
        text = "\t".join("\\N" if value is None else value.translate(_UNSAFE) for value in values) + "\n"
        self._out.append(text)
        self._out_size += len(text)
        if self._out_size >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._out and "noload" not in self.command.options.flags:
            self.session.server.put(b"d", "".join(self._out).encode())
            self.session.server.flush()
        self._out.clear()
        self._out_size = 0
        if self.session.client.is_ended:
            raise Refusal("the client is gone", "57014")
        if self.session.server_speaks:
            raise _Stopped

    def _give_up(self) -> None:
        """Ends the server's COPY by an error, which breaks the transaction as ours does."""
        self.session.server.put(b"f", b"given up\0")
        self.session.server.flush()
        try:
            self.session.until_ready()
        except Refusal:
            return

    def located(self, refusal: Refusal) -> Refusal:
        """A load error for what the server said of one of the rows; other errors as they are."""
        where = _WHERE.match(refusal.fields.get("W", ""))
        if not refusal.code.startswith(_CLASS_DATA) or not where:
            return refusal
        row = int(where[1]) - 1
        line, raw = self._kept[row]
        source = self._files[bisect_right(self._first_rows, row) - 1]
        column = next((column for column in self.columns if column.name == (where[2] or "").strip('"')), None)
        value = (where[3] or "").strip().removeprefix('"').removesuffix('"')
        error = unread(column, value) if column else BadField(1200, refusal.message[:100])
        if refusal.code == "22003":
            error = BadField(1204, f"Overflow, {refusal.message}"[:100], column, value)
        return self._failed(source, Record(line, [], raw), error)

    def _failed(self, source: Place, record: Record, error: BadField) -> Refusal:
        """Notes it for the system tables; what the client is told only points there."""
        session, column = self.session, error.column
        table = session.service.table_id(session.database, relation(self.command.table))
        values: dict[str, object] = {
            "userid": 100, "slice": 0, "tbl": table, "starttime": self.started, "session": session.pid,
            "query": self.query, "xid": self.query, "filename": str(source)[:256],
            "line_number": record.line, "colname": column.name if column else "",
            "type": _type_name(column), "col_length": str(column.length) if column and column.length >= 0 else "",
            "position": error.position, "raw_line": _clean(record.raw), "raw_field_value": _clean(error.value),
            "err_code": error.code, "err_reason": error.reason,
        }  # fmt: skip
        session.service.note_load_error(session.database, values)
        view = "sys_load_error_detail" if session.service.is_serverless else "stl_load_errors"
        text = f"Load into table '{self.command.table[-1]}' failed.  Check '{view}' system table for details."
        return Refusal(text, INTERNAL)


class _Stopped(Exception):
    """The server behind has ended the COPY by an error, which is to be read."""


def _type_name(column: Column | None) -> str:
    names = {"bpchar": "char", "int2": "int2", "timestamptz": "timestampt"}
    return names.get(column.kind, column.kind)[:10] if column else ""


def _clean(text: str) -> str:
    """As far as a text of the system tables can hold it."""
    return text.replace("\0", ".").encode(errors="replace").decode()[:1024]
