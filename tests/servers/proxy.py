"""A TCP proxy that misbehaves: `with Proxy(host, port) as proxy: proxy.set(latency_s=0.1)`.

It runs as a process of its own, which reads one JSON object a line and answers each with what it has counted. It knows
just enough of PostgreSQL's and MySQL's protocols to see a load's COMMIT go by.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

COMMITS = (
    b"Q\0\0\0\x0bCOMMIT\0",  # PostgreSQL: a simple Query
    b"\x07\0\0\0\x03COMMIT",  # MySQL: COM_QUERY
)
KINDS = ("before", "with", "after")
"""Of cuts."""
LONGEST_COMMIT = max(len(commit) for commit in COMMITS)
IS_LOAD = b"UPDATE "
MARKERS = b"table_updates"


class Proxy:
    """The proxy, from the side of a test. `port` is where it listens, on loopback."""

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self._command = [sys.executable, __file__, host, str(port), str(seed)]
        self.port = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._answer()["port"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=20)

    def set(self, **values: Any) -> dict[str, int]:
        """Changes how it behaves; returns what it has counted so far.

        `latency_s`: before each piece of data. `is_black_hole`: takes connections and data, and passes on nothing.
        `cut_all`: resets every connection now. `upstream`: the port that new connections go to. `commit`: what happens
        to a load's COMMIT, "before" (it is swallowed and the connection reset), "with" (passed on and reset at once),
        "after" (its reply is swallowed, and then reset), "any" of them, or None; `share`: to how many of them;
        `most_cuts`: after so many no more.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(values) + "\n")
        self._process.stdin.flush()
        return self._answer()

    @property
    def counts(self) -> dict[str, int]:
        """Connections taken, and cuts by kind."""
        return self.set()

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer


class _Middle:
    """The proxy itself."""

    def __init__(self, host: str, port: int, rng: random.Random) -> None:
        self.host = host
        self.rng = rng
        self.values: dict[str, Any] = {"upstream": port, "latency_s": 0, "is_black_hole": False, "share": 1.0}
        self.counts = {"connections": 0, **dict.fromkeys(KINDS, 0)}
        self.links: set[_Link] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        self.counts["connections"] += 1
        link = _Link(self, writer)
        self.links.add(link)
        try:
            while self.values["is_black_hole"]:
                await asyncio.sleep(0.02)
            server_reader, link.server = await asyncio.open_connection(self.host, self.values["upstream"])
            pumps = [asyncio.create_task(link.up(reader)), asyncio.create_task(link.down(server_reader))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the server takes no connections: the client sees the same
        finally:
            self.links.discard(link)
            link.close()

    def obey(self, values: dict[str, Any]) -> None:
        """What `Proxy.set` asks for."""
        if values.pop("cut_all", False):
            for link in list(self.links):
                link.reset()
        self.values.update(values)

    def drawn_cut(self) -> str | None:
        """What is to happen to the COMMIT that goes by."""
        kind = self.values.get("commit")
        cuts = sum(self.counts[kind] for kind in KINDS)
        if kind is None or cuts >= self.values.get("most_cuts", cuts + 1) or self.rng.random() >= self.values["share"]:
            return None
        return self.rng.choice(["before", "with", "after", "after"]) if kind == "any" else str(kind)


class _Link:
    """One client and its server."""

    def __init__(self, middle: _Middle, client: asyncio.StreamWriter) -> None:
        self.middle = middle
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.marks = False
        self.swallows = False
        self.tail = b""

    async def up(self, reader: asyncio.StreamReader) -> None:
        """From the client to the server."""
        while data := await reader.read(65536):
            await self._passable()
            seen, self.tail = self.tail + data, data[-LONGEST_COMMIT:]
            self.marks = self.marks or (IS_LOAD in seen and MARKERS in seen)
            if self.marks and any(commit in seen for commit in COMMITS):
                self.marks = False
                cut = self.middle.drawn_cut()
                if cut is not None:
                    await self._cut(cut, data)
                    if cut != "after":
                        return
                    continue
            await self._send(self.server, data)

    async def down(self, reader: asyncio.StreamReader) -> None:
        """From the server to the client."""
        while data := await reader.read(65536):
            await self._passable()
            if self.swallows:
                self.middle.counts["after"] += 1
                self.reset()
                return
            await self._send(self.client, data)

    async def _cut(self, kind: str, data: bytes) -> None:
        if kind == "after":
            self.swallows = True
            await self._send(self.server, data)
            return
        if kind == "with":
            await self._send(self.server, data)
        self.middle.counts[kind] += 1
        self.reset()

    async def _passable(self) -> None:
        if self.middle.values["latency_s"]:
            await asyncio.sleep(self.middle.values["latency_s"])
        while self.middle.values["is_black_hole"]:
            await asyncio.sleep(0.02)

    @staticmethod
    async def _send(writer: asyncio.StreamWriter | None, data: bytes) -> None:
        if writer is not None:
            writer.write(data)
            await writer.drain()

    def reset(self) -> None:
        """The client gets an RST, the server a plain end."""
        sock = self.client.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        self.close()

    def close(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                writer.close()


async def _serve(host: str, port: int, seed: int) -> None:
    middle = _Middle(host, port, random.Random(seed))
    server = await asyncio.start_server(middle.take, "127.0.0.1", 0)
    _tell({"port": server.sockets[0].getsockname()[1]})
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        middle.obey(json.loads(line))
        _tell(middle.counts)


def _tell(values: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
