"""The wire between the building process and a worker: one JSON document a line, over a socket pair. Never a pickle.

to the worker       {"run": spec, "attempt": spec, "met": [task_id, …], "log": 0 | 1, "is_batched": …, "is_timed": …}
                    {"equipped": true}                       with two descriptors: a socket, the second pipe
                    {"resume": true}    {"abandon": true}    {"registered": null or why not}
                    {"stop": sentence, "kind": "timeout" | "cancel"}    sent just before SIGTERM
ahead, a datagram   {"run": …}                               for later; taken back where the worker has not taken it
from the worker     {"begun": true}                          where there is a timeout
                    {"tell": {"rows": …, "status": …, …}}
                    {"needs": [spec, …], "active_s": …}      it waits for {"resume"} or {"abandon"}
                    {"bound": why}                           it can only run in the building process
                    {"register": [connection, backend]}      it waits for {"registered"}
                    {"end": null or failure, "active_s": …, "told": {…}, "is_stopped": …, "retires": …, "next": …}
                                                             and it has taken the `next`, or none
                    {"unbegun": true}                        which it gives back, since it was told to end meanwhile
                    {"idle": true}                           after {"abandon"}
                    {"ended": true}                          look into the ledger: of a batch, the ends stand there

The ledger is a file without a name that both have open: what a worker has written into it is there when it dies, and
several ends cost one message.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from typing import Any

Message = dict[str, Any]
_AT_ONCE = 1 << 16
_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(separators=(",", ":"), default=lambda value: _plain(value)).encode


def encoded(message: Message) -> bytes:
    """One line of the wire. What JSON has no form for (numbers of NumPy, a Decimal) becomes a number or its text."""
    return _encode(message).encode("ascii") + b"\n"


class Lines:
    """Puts what is read from a socket together to messages."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def fed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises ValueError for what is none."""
        if b"\n" not in data:
            self._begun.append(data)
            return []
        *whole, rest = b"".join([*self._begun, data]).split(b"\n")
        self._begun = [rest] if rest else []
        return [decoded(line) for line in whole]


class Ledger:
    """The building process's view of a ledger: what was not read yet."""

    def __init__(self) -> None:
        self.number = _nameless_file()
        """The descriptor."""
        self._read = 0
        self._lines = Lines()
        self._fresh: deque[Message] = deque()

    def begin(self) -> None:
        """The worker, which waits, begins the file anew."""
        if self._read:
            os.ftruncate(self.number, 0)
            self._read = 0
            self._lines = Lines()
            self._fresh.clear()

    def next(self) -> Message | None:
        """The next end; None where there is none yet. One at a time: between two may be one that is told otherwise."""
        while not self._fresh and (data := os.pread(self.number, _AT_ONCE, self._read)):
            self._read += len(data)
            self._fresh.extend(self._lines.fed(data))
        return self._fresh.popleft() if self._fresh else None

    def close(self) -> None:
        """This process's descriptor."""
        os.close(self.number)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("etlctl-ledger", os.MFD_CLOEXEC)
    import tempfile  # with all of shutil

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Channel:
    """The worker's end: blocking, one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = Lines()
        self._read: list[Message] = []
        self.descriptors: list[int] = []
        """That came with the messages."""

    def send(self, message: Message) -> None:
        """Raises OSError when the building process is gone."""
        self._connection.sendall(encoded(message))

    def receive(self) -> Message | None:
        """The next message; None when there will be no more."""
        while not self._read:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._connection, _AT_ONCE, 2)
            except ConnectionError:
                return None
            self.descriptors.extend(descriptors)
            if not data:
                return None
            self._read.extend(self._lines.fed(data))
        return self._read.pop(0)

    def glance(self) -> Message | None:
        """The next message where it is there already; looked at, not taken when it is not for a stop."""
        try:
            data = self._connection.recv(_AT_ONCE, socket.MSG_DONTWAIT)
        except OSError:
            data = b""
        self._read.extend(self._lines.fed(data))
        for number, message in enumerate(self._read):
            if "stop" in message:
                return self._read.pop(number)
        return None


def decoded(line: bytes) -> Message:
    """What `encoded` made it of. Raises ValueError."""
    message = _decode(line.decode("ascii"))
    if not isinstance(message, dict):
        raise ValueError("a message is an object")
    return message


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)
