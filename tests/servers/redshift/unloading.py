"""UNLOAD ('…') TO 's3://…': a COPY TO STDOUT of the client's own session behind, written to S3 in parts.

    unload()               in the client's transaction
      _Parts.row()         to the slices in turn, a part after another by MAXFILESIZE
      _Parts.finish()      the last parts, then the manifest

A query without rows writes nothing, not even a manifest (databricks/spark-redshift#446).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from servers.redshift import rules, wire
from servers.redshift.commands import Command, Place, unload_command
from servers.redshift.copying import opened
from servers.redshift.errors import Refusal, internal
from servers.redshift.options import Options
from servers.redshift.storage import SUFFIXES, Storage, compressed
from servers.redshift.words import Token, tokens

if TYPE_CHECKING:
    from servers.redshift.session import Session

SLICES = 2
DEFAULT_MOST = int(6.2 * (1 << 30))
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_TYPES = {
    16: "boolean", 20: "bigint", 21: "smallint", 23: "integer", 25: "character varying", 700: "real",
    701: "double precision", 1042: "character", 1043: "character varying", 1082: "date",
    1114: "timestamp without time zone", 1184: "timestamp with time zone", 1700: "numeric",
}  # fmt: skip

Row = Sequence[str | None]


@dataclass(frozen=True)
class Result:
    """A column of the query: its name and its type's number and modifier."""

    name: str
    type: int
    modifier: int


@dataclass
class _Part:
    """A file in the making."""

    slice: int
    number: int
    rows: list[Row] = field(default_factory=list)
    data: io.BytesIO = field(default_factory=io.BytesIO)
    count: int = 0


def unload(session: Session, words: Sequence[Token], sql: str) -> None:
    """Carries it out; raises `Refusal`."""
    command = unload_command(words)
    inner = tokens(command.query)
    rules.check(command.query, inner)
    rules.check_unloaded(inner)
    storage = opened(session.service, command)
    try:
        _make_room(storage, command)
        query = session.service.next_query()
        with session.block():
            columns = _described(session, command.query)
            parts = _Parts(session, command, storage, columns, sql)
            _stream(session, command.query, parts)
            parts.finish()
            session.ask(
                f"SELECT set_config('redshift_standin.unload_count', '{parts.count}', false), "
                f"set_config('redshift_standin.unload_id', '{query}', false), "
                f"set_config('redshift_standin.query_id', '{query}', false)"
            )
    finally:
        storage.close()
    session.info(f"UNLOAD completed, {parts.count} record(s) unloaded successfully.")
    session.answer("UNLOAD")


def _make_room(storage: Storage, command: Command) -> None:
    flags = command.options.flags
    if "cleanpath" in flags and "allowoverwrite" in flags:
        raise Refusal("CLEANPATH and ALLOWOVERWRITE cannot be used together", "42601")
    if "allowoverwrite" in flags:
        return
    found = storage.listed(command.place)
    if "cleanpath" in flags:
        for place, _ in found:
            storage.remove(place)
    elif found:
        raise internal(
            "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually "
            "removing the target files in S3, or using the ALLOWOVERWRITE option."
        )


def _described(session: Session, query: str) -> list[Result]:
    """Names and types of the query's columns, which COPY does not tell."""
    found: list[Result] = []

    def keep(kind: bytes, body: bytes) -> None:
        if kind == b"T":
            found.extend(_results(body))

    session.ask(f"SELECT * FROM ({query}\n) unloaded LIMIT 0", keep)
    return found


def _results(body: bytes) -> list[Result]:
    at, found = 2, []
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(b"\0", at)
        name = body[at:end].decode()
        kind = int.from_bytes(body[end + 7 : end + 11], "big")
        modifier = int.from_bytes(body[end + 13 : end + 17], "big", signed=True)
        found.append(Result(name, kind, modifier))
        at = end + 19
    return found


def _stream(session: Session, query: str, parts: _Parts) -> None:
    """Every row to the parts. An error of ours waits until the server has said all it has to say."""
    refused: list[Refusal] = []
    session.say(f"COPY ({query}\n) TO STDOUT")
    while True:
        kind, body = session.server_message()
        if kind == b"d" and not refused:
            try:
                parts.row(_texts(body))
            except Refusal as refusal:
                refused.append(refusal)
        elif kind == b"E":
            refused.append(session.translated(wire.error_fields(body)))
        elif kind == b"Z":
            session.status = body
            break
    if refused:
        raise refused[0]


def _texts(line: bytes) -> list[str | None]:
    """A row of PostgreSQL's text format."""
    return [
        None if text == "\\N" else _UNESCAPE.sub(lambda found: _LETTERS.get(found[1], found[1]), text)
        for text in line.decode().removesuffix("\n").split("\t")
    ]


class _Parts:
    """The files of one UNLOAD; `count` rows are in them."""

    def __init__(
        self, session: Session, command: Command, storage: Storage, columns: Sequence[Result], sql: str
    ) -> None:
        self._faults = session.service.faults
        self._sql = sql
        self._options = command.options
        self._place = command.place
        self._storage = storage
        self._columns = columns
        self._most = int(command.options.values.get("maxfilesize", DEFAULT_MOST))
        self._is_parallel = command.options.values.get("parallel", "on") == "on"
        self._parts = [_Part(number, 0) for number in range(SLICES if self._is_parallel else 1)]
        self._written: list[tuple[Place, int, int]] = []
        self.count = 0

    def row(self, row: Row) -> None:
        part = self._parts[self.count % len(self._parts)]
        if self._options.format == "parquet":
            part.rows.append(row)
        else:
            self._text_row(part, row)
            part = self._parts[self.count % len(self._parts)]
        part.count += 1
        self.count += 1

    def _text_row(self, part: _Part, row: Row) -> None:
        """A part that would grow too large is written, and the next of its slice begun."""
        line = rendered(row, self._columns, self._options)
        if part.count and part.data.tell() + len(line) > self._most:
            self._write(part)
            part = _Part(part.slice, part.number + 1)
            self._parts[self.count % len(self._parts)] = part
        if not part.count and self._options.header:
            part.data.write(header(self._columns, self._options))
        part.data.write(line)

    def finish(self) -> None:
        for part in self._parts:
            if part.count:
                self._write(part)
        if self._options.manifest and self._written:
            place = Place(self._place.bucket, f"{self._place.key}manifest")
            self._storage.write(place, json.dumps(self._manifest(), indent=1).encode())

    def _write(self, part: _Part) -> None:
        data = part.data.getvalue()
        if self._options.format == "parquet":
            data = parquet(part.rows, self._columns)
        data = compressed(data, self._options.compression)
        place = Place(self._place.bucket, self._place.key + self._name(part))
        self._storage.write(place, data)
        self._written.append((place, len(data), part.count))
        self._faults.part(self._sql, len(self._written))

    def _name(self, part: _Part) -> str:
        extension = self._options.values.get("extension")
        suffix = f".{extension}" if extension else SUFFIXES[self._options.compression]
        if self._options.format == "parquet" and not extension:
            suffix = ".parquet"
        if not self._is_parallel:
            return f"{part.number:03d}{suffix}"
        return f"{part.slice:04d}_part_{part.number:02d}{suffix}"

    def _manifest(self) -> dict[str, Any]:
        """See "Unload VENUE with a manifest file" in r_UNLOAD_command_examples."""
        if not self._options.verbose:
            short = [{"url": str(place), "meta": {"content_length": size}} for place, size, _ in self._written]
            return {"entries": short}
        entries = [
            {"url": str(place), "meta": {"content_length": size, "record_count": count}}
            for place, size, count in self._written
        ]
        total = sum(size for _, size, _ in self._written)
        return {
            "entries": entries,
            "schema": {"elements": [_element(column) for column in self._columns]},
            "meta": {"content_length": total, "record_count": self.count},
            "author": {"name": "Amazon Redshift", "version": "1.0.0"},
        }


def _element(column: Result) -> dict[str, Any]:
    base = _TYPES.get(column.type, "character varying")
    kind: dict[str, Any] = {"base": base}
    if base.startswith("character") and column.modifier > 4:
        kind["max_length"] = column.modifier - 4
    elif base == "numeric" and column.modifier > 4:
        kind |= {"precision": (column.modifier - 4) >> 16, "scale": (column.modifier - 4) & 0xFFFF}
    return {"name": column.name, "type": kind}


def header(columns: Sequence[Result], options: Options) -> bytes:
    return rendered([column.name for column in columns], columns, options, is_header=True)


def rendered(row: Row, columns: Sequence[Result], options: Options, *, is_header: bool = False) -> bytes:
    """A line of the file."""
    if options.format == "json":
        named = {column.name: _json(column, text) for column, text in zip(columns, row, strict=True)}
        return (json.dumps(named, ensure_ascii=False) + "\n").encode()
    texts = [_field(text, options, is_header=is_header) for text in row]
    return (options.separator.join(texts) + "\n").encode()


def _json(column: Result, text: str | None) -> Any:
    if text is None:
        return None
    if column.type == 16:
        return text == "t"
    return json.loads(text) if column.type in (20, 21, 23) else text


def _field(text: str | None, options: Options, *, is_header: bool) -> str:
    if text is None:
        return options.null or ""
    if options.format == "csv":
        return _csv_field(text, options)
    if "escape" in options.flags and not is_header:
        special = f"\\\n\r\"'{options.separator}" if "addquotes" in options.flags else f"\\\n\r{options.separator}"
        text = "".join(f"\\{letter}" if letter in special else letter for letter in text)
    if "addquotes" in options.flags:
        return '"' + (text if "escape" in options.flags else text.replace('"', '""')) + '"'
    return text


def _csv_field(text: str, options: Options) -> str:
    """Quoted when it must be; an empty text is quoted too, so that it is not read as NULL."""
    if text and not any(letter in text for letter in (options.separator, options.quote, "\n", "\r")):
        return text
    return options.quote + text.replace(options.quote, options.quote * 2) + options.quote


def parquet(rows: Sequence[Row], columns: Sequence[Result]) -> bytes:
    """A file of Parquet, its columns in the types of the query."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet

    held = list(zip(*rows, strict=True)) or [() for _ in columns]
    arrays = []
    for column, texts in zip(columns, held, strict=True):
        texts_only = pa.array(texts, pa.string())
        if column.type == 16:
            arrays.append(pc.equal(texts_only, "t"))
        else:
            arrays.append(texts_only.cast(_arrow_type(column)))
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(arrays, names=[column.name for column in columns]), sink)
    return sink.getvalue()


def _arrow_type(column: Result) -> Any:
    import pyarrow as pa

    plain = {
        20: pa.int64(), 21: pa.int16(), 23: pa.int32(), 700: pa.float32(), 701: pa.float64(), 1082: pa.date32(),
        1114: pa.timestamp("us"), 1184: pa.timestamp("us", "UTC"),
    }  # fmt: skip
    if column.type == 1700 and column.modifier > 4:
        size = column.modifier - 4
        return pa.decimal128(size >> 16, size & 0xFFFF)
    return plain.get(column.type, pa.string())
