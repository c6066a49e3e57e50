"""The records of a loaded object: delimited text, CSV and JSON with their lines; Avro, Parquet.

Nothing here knows the types of the table: a record is a list of texts, None for what is null by the format itself.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from servers.redshift import avro
from servers.redshift.errors import internal
from servers.redshift.fields import BadField
from servers.redshift.options import Options

_ESCAPED_RECORD = re.compile(r"(?:[^\\\n]|\\.)*(?:\n|\Z)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\['([^']*)'\]|\[(\d+)\]")
_MOST_RAW = 1024


@dataclass
class Record:
    """`line` counts from 1 in its file; of a JSON object it is the last one."""

    line: int
    fields: Sequence[str | None]
    raw: str


@dataclass
class Unreadable(Exception):
    """A record that cannot be cut into fields."""

    record: Record
    error: BadField


def records(data: bytes, options: Options, columns: Sequence[str], paths: Sequence[str] | None) -> Iterator[Record]:
    """Of one object, decompressed. `paths` are those of a jsonpaths file."""
    if options.format == "parquet":
        yield from _parquet(data, len(columns))
        return
    if options.format == "avro":
        yield from _avro(data, columns, paths, ignores_case="ignorecase" in options.paths)
        return
    text = _text(data, options)
    if options.format == "json":
        yield from _json(text, columns, paths, ignores_case="ignorecase" in options.paths)
        return
    skipped = int(options.values.get("ignoreheader", 0))
    found = _delimited(text, options)
    for record in found:
        if record.line <= skipped:
            continue
        if not record.raw.strip("\r\n") and "ignoreblanklines" in options.flags:
            continue
        yield record


def _text(data: bytes, options: Options) -> str:
    encoding = options.values.get("encoding", "utf8").replace("utf16", "utf-16").replace("utf8", "utf-8")
    try:
        text = data.decode(encoding, errors="surrogateescape" if encoding == "utf-8" else "strict")
    except (UnicodeDecodeError, LookupError):
        raise internal("The encoding of the file is not the one of ENCODING", code=1221) from None
    return text.removeprefix("\ufeff")


def _delimited(text: str, options: Options) -> Iterator[Record]:
    if options.format == "csv":
        return _quoted(text, options.separator, options.quote, escape=None)
    escapes = "escape" in options.flags
    if "removequotes" in options.flags:
        return _quoted(text, options.separator, '"', escape="\\" if escapes else None)
    return _escaped(text, options.separator, options.null) if escapes else _plain(text, options.separator)


def _plain(text: str, delimiter: str) -> Iterator[Record]:
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        yield Record(number, line.split(delimiter), line[:_MOST_RAW])


def _escaped(text: str, delimiter: str, null: str | None) -> Iterator[Record]:
    """ESCAPE: a backslash takes the meaning from what follows it, a newline too. `\\N` stays what NULL AS looks for."""
    field = re.compile(rf"((?:[^\\{re.escape(delimiter)}]|\\.)*)({re.escape(delimiter)}|\Z)", re.DOTALL)
    line, at = 1, 0
    while at < len(text):
        found = _ESCAPED_RECORD.match(text, at)
        if found is None or found.end() == at:  # a backslash at the very end
            raise Unreadable(Record(line, [], text[at:][:_MOST_RAW]), BadField(1216, "Invalid input line"))
        raw = found[0].removesuffix("\n").removesuffix("\r")
        yield Record(line, [_unescaped(part, null) for part in _split(field, raw)], raw[:_MOST_RAW])
        line += found[0].count("\n")
        at = found.end()


def _split(field: re.Pattern[str], raw: str) -> Iterator[str]:
    at = 0
    while found := field.match(raw, at):
        yield found[1]
        if not found[2]:
            return
        at = found.end()


def _unescaped(part: str, null: str | None) -> str:
    return part if part == ("\\N" if null is None else null) else _ESCAPE.sub(r"\1", part)


def _quoted(text: str, delimiter: str, quote: str, escape: str | None) -> Iterator[Record]:
    source = io.StringIO(text, newline="")
    seen: list[str] = []

    def lines() -> Iterator[str]:
        for line in source:
            seen.append(line)
            yield line

    reader = csv.reader(
        lines(), delimiter=delimiter, quotechar=quote, escapechar=escape, doublequote=escape is None, strict=True
    )
    while True:
        begin = reader.line_num + 1
        seen.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(Record(begin, [], "".join(seen)[:_MOST_RAW]), _csv_error(str(error))) from None
        raw = "".join(seen).rstrip("\r\n")
        yield Record(begin, fields or [""], raw[:_MOST_RAW])


def _csv_error(text: str) -> BadField:
    if "field larger" in text:
        return BadField(1204, "String length exceeds DDL length")
    if "unexpected end" in text:
        return BadField(1216, "Invalid quote formatting for CSV. Unterminated quote")
    return BadField(1216, "Invalid quote formatting for CSV")


def _json(text: str, columns: Sequence[str], paths: Sequence[str] | None, *, ignores_case: bool) -> Iterator[Record]:
    """Objects one after another, with or without line ends between them."""
    decoder = json.JSONDecoder(parse_float=_Raw, parse_int=_Raw)
    at, line = _skip(text, 0), 1
    counted = 0
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError as error:
            line += text.count("\n", counted, at)
            raw = text[at : at + _MOST_RAW].split("\n")[0]
            raise Unreadable(Record(line, [], raw), BadField(1216, f"Invalid JSON: {error}")) from None
        line += text.count("\n", counted, end)
        counted = end
        raw = text[at:end][:_MOST_RAW]
        yield Record(line, _json_fields(value, columns, paths, ignores_case), raw)
        at = _skip(text, end)


class _Raw(str):
    """A number as it was written."""

    __slots__ = ()


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _json_fields(
    value: Any, columns: Sequence[str], paths: Sequence[str] | None, ignores_case: bool
) -> list[str | None]:
    if paths is not None:
        return [_json_text(_at_path(value, path)) for path in paths]
    if not isinstance(value, dict):
        raise internal("Invalid JSONPath format: Member is not an object.")
    held = {key.lower(): item for key, item in value.items()} if ignores_case else value
    return [_json_text(held.get(column)) for column in columns]


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    return _dumped(value)


def _dumped(value: Any) -> str:
    """JSON again, with the numbers as they were."""
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_dumped(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dumped, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _at_path(value: Any, path: str) -> Any:
    for name, quoted, index in _STEP.findall(path.removeprefix("$")):
        if index:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        else:
            value = value.get(name or quoted) if isinstance(value, dict) else None
    return value


def json_paths(data: bytes) -> list[str]:
    """Of a jsonpaths file."""
    try:
        paths = json.loads(data)["jsonpaths"]
        if not paths or not all(isinstance(path, str) and path.startswith("$") for path in paths):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise internal("Invalid JSONPath format: the file needs an array `jsonpaths`") from None
    return list(paths)


def _avro(data: bytes, columns: Sequence[str], paths: Sequence[str] | None, *, ignores_case: bool) -> Iterator[Record]:
    for number, value in enumerate(avro.read(data), 1):
        yield Record(number, _json_fields(value, columns, paths, ignores_case), json.dumps(value)[:_MOST_RAW])


def _parquet(data: bytes, width: int) -> Iterator[Record]:
    """By position, as Redshift does."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(io.BytesIO(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise internal(f"Spectrum Scan Error. File is not Parquet: {str(error)[:100]}", code=15001) from None
    if table.num_columns != width:
        raise internal(
            "Spectrum Scan Error. Unmatched number of columns between table and file. "
            f"Table columns: {width}, Data columns: {table.num_columns}",
            code=15007,
        )
    number = 0
    for batch in table.to_batches(max_chunksize=10_000):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            yield Record(number, [_parquet_text(value) for value in row], "")


def _parquet_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str)
    return str(value)
