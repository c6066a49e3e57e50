"""A service of S3 that takes objects and keeps their sizes alone, so that a bench measures the client.

    s3_sink.py [MB_PER_S]       all connections together take in no more than that, as a link to a far store would

Prints its port, then serves until its standard input ends. What it knows: PutObject, the three steps of an upload in
parts, HeadObject, HeadBucket, AbortMultipartUpload. It looks at no signature and no checksum.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_BLOCK = 1 << 18
_ETAG = '"0123456789abcdef0123456789abcdef"'


class Link:
    """Lets so many bytes a second through, of all connections together; None: all there are."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def carry(self, size: int) -> None:
        """Waits until `size` bytes have gone over it."""
        if self._rate is None:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size / self._rate
            free_at = self._free_at
        time.sleep(max(0.0, free_at - time.monotonic()))


class Sink(ThreadingHTTPServer):
    """Sizes by path; those of parts by upload."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, link: Link) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.link = link
        self.lock = threading.Lock()
        self.sizes: dict[str, int] = {}
        self.uploads: dict[str, dict[str, int]] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Sink

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BLOCK)  # no more waits before the link

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def handle_expect_100(self) -> bool:
        """At once: boto3 waits a second for it."""
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def do_PUT(self) -> None:
        size = self._taken()
        path, query = self._asked()
        with self.server.lock:
            if "uploadId" in query:
                self.server.uploads[query["uploadId"][0]][query["partNumber"][0]] = size
            else:
                self.server.sizes[path] = size
        self._answer(headers={"ETag": _ETAG})

    def do_POST(self) -> None:
        self._taken()
        path, query = self._asked()
        with self.server.lock:
            if "uploads" in query:
                upload = str(len(self.server.uploads) + 1)
                self.server.uploads[upload] = {}
                body = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            else:
                self.server.sizes[path] = sum(self.server.uploads[query["uploadId"][0]].values())
                body = f"<CompleteMultipartUploadResult><ETag>{_ETAG}</ETag></CompleteMultipartUploadResult>"
        self._answer(body=body.encode())

    def do_HEAD(self) -> None:
        path, _ = self._asked()
        size = self.server.sizes.get(path) if path.count("/") > 1 else 0  # every bucket is there
        if size is None:
            self._answer(404, headers={"Content-Length": "0"})
            return
        moment = self.date_time_string()
        self._answer(headers={"Content-Length": str(size), "ETag": _ETAG, "Last-Modified": moment})

    def do_DELETE(self) -> None:
        self._answer(204)

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        return parts.path, parse_qs(parts.query, keep_blank_values=True)

    def _taken(self) -> int:
        """Reads the body; how long the object's content in it is."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self._pass(size + 2)
            self.rfile.readline()
        else:
            self._pass(int(self.headers.get("Content-Length") or 0))
        decoded = self.headers.get("X-Amz-Decoded-Content-Length") or self.headers.get("Content-Length") or 0
        return int(decoded)

    def _pass(self, left: int) -> None:
        view = memoryview(bytearray(min(left, _BLOCK)))
        while left > 0:
            got = self.rfile.readinto(view[:left])
            if not got:
                return
            self.server.link.carry(got)
            left -= got

    def _answer(self, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def main() -> None:
    """Serves."""
    with Sink(Link(float(sys.argv[1]) * 1e6 if len(sys.argv) > 1 else None)) as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        print(sink.server_address[1], flush=True)
        sys.stdin.read()
        sink.shutdown()


if __name__ == "__main__":
    main()
