"""PostgreSQL's protocol 3 from both of its sides: messages, and the fields of some. It knows no SQL.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterable, Mapping

from servers.redshift.errors import Refusal

TLS_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL_3 = 196608
CHUNK = 1 << 16

Message = tuple[bytes, bytes]
"""Type and body."""


class Gone(Exception):
    """The other side has ended the connection."""


class Wire:
    """One connection, to a client or to the server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._in = bytearray()
        self._out = bytearray()

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def has_message(self) -> bool:
        """Has a whole message been read already?"""
        return len(self._in) >= 5 and len(self._in) >= 1 + struct.unpack_from("!I", self._in, 1)[0]

    def fill(self) -> None:
        """Reads what there is; waits for the first byte."""
        try:
            data = self.sock.recv(CHUNK)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._in += data

    def exactly(self, size: int) -> bytes:
        while len(self._in) < size:
            self.fill()
        taken = bytes(self._in[:size])
        del self._in[:size]
        return taken

    def message(self) -> Message:
        """The next message; waits for it."""
        while not self.has_message:
            self.fill()
        head = self.exactly(5)
        return head[:1], self.exactly(struct.unpack("!I", head[1:])[0] - 4)

    def startup(self) -> tuple[int, bytes]:
        """The code and the rest of a packet that has no type: a start, a request for TLS, a cancel."""
        size = struct.unpack("!I", self.exactly(4))[0]
        packet = self.exactly(size - 4)
        return struct.unpack("!I", packet[:4])[0], packet[4:]

    def put(self, kind: bytes, body: bytes = b"") -> None:
        """Lays a message ready; `flush` sends it."""
        self._out += kind + struct.pack("!I", len(body) + 4) + body
        if len(self._out) > CHUNK:
            self.flush()

    def flush(self) -> None:
        if self._out:
            self.raw(bytes(self._out))
            self._out.clear()

    def raw(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone from error

    @property
    def is_ended(self) -> bool:
        """Has the other side gone? Only asked when nothing is left to be read from it."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def reset(self) -> None:
        """The other side gets an RST."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


def readable(wires: Iterable[Wire], timeout_s: float | None = None) -> list[Wire]:
    """Those that can be read from without waiting; they have no whole message yet."""
    try:
        return select.select(list(wires), [], [], timeout_s)[0]
    except (OSError, ValueError) as error:  # one was closed by another thread
        raise Gone from error


def packet(code: int, body: bytes) -> bytes:
    """A packet without a type."""
    return struct.pack("!II", len(body) + 8, code) + body


def parameters(body: bytes) -> dict[str, str]:
    """Of a startup packet."""
    words = body.rstrip(b"\0").decode().split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def startup_body(values: Mapping[str, str]) -> bytes:
    return b"".join(f"{key}\0{value}\0".encode() for key, value in values.items()) + b"\0"


def error_fields(body: bytes) -> dict[str, str]:
    """Of an ErrorResponse or a NoticeResponse."""
    return {piece[:1].decode(): piece[1:].decode(errors="replace") for piece in body.split(b"\0") if piece}


def error_body(refusal: Refusal, severity: str = "ERROR") -> bytes:
    """Of an ErrorResponse as servers of 8.0 send it: without field V."""
    fields = {"S": severity, "C": refusal.code, "M": refusal.message, "D": refusal.detail, **refusal.fields}
    return b"".join(f"{key}{value}".encode() + b"\0" for key, value in fields.items() if value) + b"\0"


def query(sql: str) -> bytes:
    """Body of a Query."""
    return sql.encode() + b"\0"


def row_values(body: bytes) -> list[str | None]:
    """Of a DataRow in text."""
    count, at = struct.unpack_from("!H", body)[0], 2
    values: list[str | None] = []
    for _ in range(count):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return values
