"""The form of COPY and UNLOAD: table or query, address in S3, then options (options.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from servers.redshift.errors import Refusal, internal, syntax
from servers.redshift.options import COPY, CREDENTIALS, UNLOAD, Keys, Options, Reader, Take, check_format, check_keys
from servers.redshift.words import Token, closing, table_at

_PLACE = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """`s3://bucket/key`: the key as it was written."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass
class Command:
    """A COPY or an UNLOAD."""

    table: list[str]
    columns: list[str]
    query: str
    place: Place
    keys: Keys
    options: Options


def copy_command(words: Sequence[Token]) -> Command:
    reader = Reader(words)
    reader.expect("copy")
    table, reader.at = table_at(words, reader.at)
    columns: list[str] = []
    if reader.low == "(":
        close = closing(words, reader.at)
        columns = [token.name for token in words[reader.at + 1 : close] if token.text != ","]
        reader.at = close + 1
    reader.expect("from")
    place = _place(reader.string())
    keys, options = Keys(), Options()
    while not reader.is_done:
        _option(reader, keys, options, COPY)
    check_keys(keys)
    check_format(options)
    return Command(table, columns, "", place, keys, options)


def unload_command(words: Sequence[Token]) -> Command:
    reader = Reader(words)
    reader.expect("unload")
    reader.expect("(")
    query = reader.take()
    if query.kind not in ("string", "dollar"):
        raise syntax(query.text)
    text = query.value if query.kind == "string" else query.text[2:-2]
    reader.expect(")")
    reader.expect("to")
    place = _place(reader.string())
    keys, options = Keys(), Options()
    while not reader.is_done:
        _option(reader, keys, options, UNLOAD)
    check_keys(keys)
    check_format(options)
    return Command([], [], text.strip().rstrip(";"), place, keys, options)


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if not found:
        if text.startswith("s3://"):
            raise internal(f"Invalid S3 path: {text}")
        raise Refusal("LOAD source is not supported. (Hint: only S3 or DynamoDB or EMR based load is allowed)")
    return Place(found[1], found[2])


def _option(reader: Reader, keys: Keys, options: Options, known: Mapping[str, Take]) -> None:
    token = reader.take()
    take = known.get(token.low) or CREDENTIALS.get(token.low)
    if take is None or token.kind != "word":
        raise syntax(token.text)
    take(reader, keys, options, token.low)
