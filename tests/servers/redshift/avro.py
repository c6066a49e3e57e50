"""Records of Avro's object container files, read by their own schema: what COPY … FORMAT AVRO needs, no more.

https://avro.apache.org/docs/1.11.1/specification/ (object container files, binary encoding). Codecs null and deflate.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from servers.redshift.errors import Refusal, internal

MAGIC = b"Obj\x01"
_SYNC_BYTES = 16


class _Bytes:
    """Goes through encoded bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def is_done(self) -> bool:
        return self.at >= len(self.data)

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise EOFError
        self.at += size
        return self.data[self.at - size : self.at]

    def long(self) -> int:
        """Zigzag, seven bits a byte."""
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7

    def bytes(self) -> bytes:
        return self.take(self.long())

    def blocks(self) -> Iterator[None]:
        """Once for every item of an array or a map."""
        while count := self.long():
            if count < 0:
                self.long()  # the size of the block, for readers that skip it
            for _ in range(abs(count)):
                yield


_PLAIN: dict[str, Callable[[_Bytes], Any]] = {
    "null": lambda source: None,
    "boolean": lambda source: source.take(1) == b"\x01",
    "int": _Bytes.long,
    "long": _Bytes.long,
    "float": lambda source: struct.unpack("<f", source.take(4))[0],
    "double": lambda source: struct.unpack("<d", source.take(8))[0],
    "bytes": lambda source: source.bytes().decode(errors="surrogateescape"),
    "string": lambda source: source.bytes().decode(errors="surrogateescape"),
}


def read(data: bytes) -> Iterator[dict[str, Any]]:
    """The records of a file in its order. Raises `Refusal` for one that is no Avro or is damaged."""
    try:
        yield from _records(_Bytes(data))
    except (EOFError, ValueError, KeyError, IndexError, TypeError, zlib.error) as error:
        raise internal(f"Invalid AVRO file: {type(error).__name__}", code=8001) from None


def _records(source: _Bytes) -> Iterator[dict[str, Any]]:
    if source.take(len(MAGIC)) != MAGIC:
        raise ValueError("no magic")
    meta = {source.bytes().decode(): source.bytes() for _ in source.blocks()}
    schema, codec = json.loads(meta["avro.schema"]), meta.get("avro.codec", b"null")
    if codec not in (b"null", b"deflate"):
        raise Refusal(f"AVRO's codec {codec.decode()} is unknown to the tests' stand-in")
    sync = source.take(_SYNC_BYTES)
    while not source.is_done:
        count, block = source.long(), source.bytes()
        held = _Bytes(zlib.decompress(block, -15) if codec == b"deflate" else block)
        named: dict[str, Any] = {}
        for _ in range(count):
            yield _value(schema, held, named)
        if source.take(_SYNC_BYTES) != sync:
            raise ValueError("no sync marker")


def _value(schema: Any, source: _Bytes, named: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return _value(schema[source.long()], source, named)
    if isinstance(schema, str):
        return _PLAIN[schema](source) if schema in _PLAIN else _value(named[schema], source, named)
    if "name" in schema:
        named[schema["name"]] = schema
    match schema["type"]:
        case "record":
            return {field["name"]: _value(field["type"], source, named) for field in schema["fields"]}
        case "enum":
            return schema["symbols"][source.long()]
        case "fixed":
            return source.take(schema["size"]).decode(errors="surrogateescape")
        case "array":
            return [_value(schema["items"], source, named) for _ in source.blocks()]
        case "map":
            return {source.bytes().decode(): _value(schema["values"], source, named) for _ in source.blocks()}
        case inner:
            return _value(inner, source, named)
