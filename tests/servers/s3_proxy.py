"""A proxy that misbehaves between etlctl and a service of S3: `with S3Proxy(server.url) as proxy: proxy.answer(…)`.

It knows S3's operations by method, path and query, counts them, and plays the tricks it is told to, each on the next
request of its operation. It runs in threads of the test's own process, and serves other processes too.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

LOOPBACK = "127.0.0.1"
BLOCK = 1 << 14
ERRORS = {
    403: ("AccessDenied", "Access Denied"),
    404: ("NoSuchBucket", "The specified bucket does not exist"),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    503: ("SlowDown", "Please reduce your request rate."),
}
_SUBRESOURCES = {
    ("GET", "uploads"): "ListMultipartUploads",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "partNumber"): "UploadPart",
    ("GET", "uploadId"): "ListParts",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "list-type"): "ListObjectsV2",
    ("POST", "delete"): "DeleteObjects",
}
_OF_A_KEY = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_OF_A_BUCKET = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}

Act = Literal["answer", "reset", "cut", "lose", "stall", "edit"]


@dataclass
class _Trick:
    """What is done to the next requests of an operation."""

    operation: str
    act: Act
    times: int
    skip: int
    """So many requests pass unharmed before."""
    status: int = 0
    body: bytes = b""
    passes_on: bool = False
    after_bytes: int = 0
    seconds: float = 0
    change: Callable[[bytes], bytes] = bytes


class S3Proxy:
    """The proxy, from the side of a test. `url` is where it listens, on loopback."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._tricks: list[_Trick] = []
        self.counts: Counter[str] = Counter()
        """Requests by operation, as S3's reference calls them; those harmed are among them."""
        self.played: Counter[str] = Counter()
        """Tricks by operation that have been played."""
        self.paths: list[tuple[str, str]] = []
        """Operation and path of each request, in order."""
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(self, urlsplit(self._upstream))
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def answer(
        self,
        operation: str,
        status: int,
        code: str = "",
        *,
        times: int = 1,
        skip: int = 0,
        passes_on: bool = False,
    ) -> None:
        """Answers with an error document in the service's place; `passes_on`: the service does it all the same.

        With status 200 it is what S3 does when a Complete or a copy fails half-way: the error comes in the body. A 301
        tells that the bucket is in eu-west-1.
        """
        known, message = ERRORS.get(status, ("InternalError", "We encountered an internal error. Please try again."))
        region = "<Region>eu-west-1</Region>" if status in (301, 400) else ""
        document = (
            f"<Error><Code>{code or known}</Code><Message>{message}</Message>{region}<RequestId>x</RequestId></Error>"
        )
        body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + document.encode()
        self._add(_Trick(operation, "answer", times, skip, status=status, body=body, passes_on=passes_on))

    def reset(self, operation: str, *, after_bytes: int = 0, times: int = 1, skip: int = 0) -> None:
        """Resets the connection once so much of the request's body has gone to the service, which sees no more."""
        self._add(_Trick(operation, "reset", times, skip, after_bytes=after_bytes))

    def cut(self, operation: str, *, after_bytes: int = 0, times: int = 1, skip: int = 0) -> None:
        """Ends the connection once so much of the answer's body has come."""
        self._add(_Trick(operation, "cut", times, skip, after_bytes=after_bytes))

    def lose(self, operation: str, *, times: int = 1, skip: int = 0) -> None:
        """The service does what it is asked; its answer never arrives: the connection is reset."""
        self._add(_Trick(operation, "lose", times, skip))

    def stall(self, operation: str, seconds: float, *, times: int = 1, skip: int = 0) -> None:
        """The answer waits for so long."""
        self._add(_Trick(operation, "stall", times, skip, seconds=seconds))

    def edit(self, operation: str, change: Callable[[bytes], bytes], *, times: int = 1, skip: int = 0) -> None:
        """The answer's body is what `change` makes of it."""
        self._add(_Trick(operation, "edit", times, skip, change=change))

    def forget(self) -> None:
        """Sets counts back to nothing, and drops tricks that were not played."""
        with self._lock:
            self._tricks.clear()
            self.counts.clear()
            self.played.clear()
            self.paths.clear()

    def _add(self, trick: _Trick) -> None:
        with self._lock:
            self._tricks.append(trick)

    def take(self, operation: str, path: str) -> _Trick | None:
        """Counts a request; the trick to be played on it."""
        with self._lock:
            self.counts[operation] += 1
            self.paths.append((operation, path))
            for trick in self._tricks:
                if trick.operation not in (operation, "*") or trick.times == 0:
                    continue
                if trick.skip:
                    trick.skip -= 1
                    continue
                trick.times -= 1
                self.played[operation] += 1
                return trick
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # they are waited for, so that no test leaves a thread or a socket behind
    request_queue_size = 100

    def __init__(self, proxy: S3Proxy, upstream: Any) -> None:
        self.proxy = proxy
        self.upstream = upstream
        self._open: set[socket.socket] = set()
        super().__init__((LOOPBACK, 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Of clients that keep theirs open."""
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that goes away is what these tests are about
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, and its connection to the service."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server
    _service: http.client.HTTPConnection

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream = self.server.upstream
        self._service = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=60)

    def finish(self) -> None:
        self._service.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest's output is for failures."""

    def handle_expect_100(self) -> bool:
        """At once: boto3 waits a second for it."""
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        operation = operation_of(self.command, self.path, self.headers)
        trick = self.server.proxy.take(operation, urlsplit(self.path).path)
        if trick is None:
            self._pass_on()
            return
        plays = {
            "answer": self._answer,
            "reset": self._reset_in_body,
            "cut": self._cut,
            "lose": self._lose,
            "stall": self._stall,
            "edit": self._edit,
        }
        plays[trick.act](trick)

    def _answer(self, trick: _Trick) -> None:
        if trick.passes_on:
            self._asked().read()
        else:
            for _ in self._body():
                pass
        region = {"x-amz-bucket-region": "eu-west-1"} if trick.status == 301 else {}  # botocore asks for ever without
        self._send(trick.status, {"Content-Type": "application/xml", **region}, trick.body)

    def _reset_in_body(self, trick: _Trick) -> None:
        """The service gets a part of the body, and then the end of the connection."""
        self._send_head()
        left = trick.after_bytes
        for block in self._body(raw=True):
            self._service.send(block[:left])
            left -= len(block[:left])
            if left <= 0:
                break
        self._service.close()
        self._reset()

    def _cut(self, trick: _Trick) -> None:
        answer = self._asked()
        content = answer.read()
        self.send_response(answer.status, answer.reason)
        for name, value in _kept(answer.getheaders(), but=("content-length",)):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: trick.after_bytes])
        self.wfile.flush()
        self.close_connection = True

    def _lose(self, trick: _Trick) -> None:
        self._asked().read()
        self._reset()

    def _stall(self, trick: _Trick) -> None:
        answer = self._asked()
        content = answer.read()
        self.server.proxy.stopping.wait(trick.seconds)
        self._send(answer.status, dict(answer.getheaders()), content)

    def _edit(self, trick: _Trick) -> None:
        answer = self._asked()
        headers = dict(answer.getheaders())
        self._send(answer.status, headers, trick.change(answer.read()))

    def _pass_on(self) -> None:
        """The request as it is to the service, its answer as it is to the client, block by block."""
        answer = self._asked()
        length = answer.getheader("Content-Length")
        if length is None and self.command != "HEAD":
            self._send(answer.status, dict(answer.getheaders()), answer.read())
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in _kept(answer.getheaders()):
            self.send_header(name, value)
        self.end_headers()
        while block := answer.read(BLOCK):
            self.wfile.write(block)
        self.wfile.flush()

    def _asked(self) -> http.client.HTTPResponse:
        """What the service answers to this request."""
        self._send_head()
        for block in self._body(raw=True):
            self._service.send(block)
        return self._service.getresponse()

    def _send_head(self) -> None:
        self._service.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in _kept(self.headers.items(), but=("expect",)):  # as they are: they are signed
            self._service.putheader(name, value)
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self._service.putheader("Transfer-Encoding", "chunked")
        self._service.endheaders()

    def _body(self, *, raw: bool = False) -> Iterator[bytes]:
        """The request's body; `raw` keeps the frames of a chunked one."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            yield from self._chunks(raw)
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (block := self.rfile.read(min(left, BLOCK))):
            left -= len(block)
            yield block

    def _chunks(self, raw: bool) -> Iterator[bytes]:
        while size := self.rfile.readline():
            data = self.rfile.read(int(size.split(b";")[0], 16) + 2)
            yield size + data if raw else data[:-2]
            if int(size.split(b";")[0], 16) == 0:
                return

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in _kept(headers.items(), but=("content-length",)):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _reset(self) -> None:
        """The client gets an RST: a close with nothing left to linger for."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()


def operation_of(method: str, path: str, headers: Any) -> str:
    """What S3's reference calls this request."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    for (wanted, name), operation in _SUBRESOURCES.items():
        if method == wanted and name in query:
            copies = operation == "UploadPart" and "x-amz-copy-source" in headers
            return "UploadPartCopy" if copies else operation
    bucket, _, key = parts.path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets"
    if not key:
        return _OF_A_BUCKET.get(method, method)
    return "CopyObject" if method == "PUT" and "x-amz-copy-source" in headers else _OF_A_KEY.get(method, method)


def _kept(headers: Any, but: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Headers without those that belong to one connection."""
    dropped = {"connection", "keep-alive", "transfer-encoding", *but}
    return ((name, value) for name, value in headers if name.lower() not in dropped)
