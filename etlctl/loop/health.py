"""Health of a loop for those who look after it: three pages over HTTP, and a file. It knows only vitals.

    GET /live       200 while the loop's thread turns, else 503 with the reason
    GET /ready      200 when work is done as it should, else 503 with the reason
    GET /metrics    what Prometheus scrapes, where the extra `metrics` is installed

Whoever is slow holds nothing: a request has TIMEOUT_S, and of more than MOST_CLIENTS at once the oldest is dropped.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from etlctl.engine.failures import lines_of
from etlctl.errors import UsageError
from etlctl.loop.vitals import Vitals
from etlctl.targets.temporaries import temporary_beside

_logger = logging.getLogger("etlctl")
TIMEOUT_S = 5.0
MOST_CLIENTS = 16
_NO_METRICS = 'No metrics here: pip install "etlctl[metrics]"\n'
_POLL_S = 0.2
_MOST_BODY_BYTES = 1 << 16


class HealthServer:
    """A server that runs; `port` is the one it listens on, also where 0 was asked for."""

    def __init__(self, server: _Server, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread
        self.port = int(server.server_address[1])

    def close(self) -> None:
        """Answers nobody any more; the port is free."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.drop_all()

    def __enter__(self) -> HealthServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def serve(vitals: Vitals, host: str, port: int, metrics_text: Callable[[], str] | None = None) -> HealthServer:
    """Answers on that address from a thread of its own, until it is closed. UsageError where it cannot be had."""
    try:
        server = _Server(host, port, vitals, metrics_text)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Health cannot be served on {host} port {port}: {why}. Choose another by --health-port, or by health_port "
            "and health_host in [loop] of the settings."
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="etlctl-health", daemon=True)
    thread.start()
    return HealthServer(server, thread)


def write_file(vitals: Vitals, path: Path) -> None:
    """Replaces the file by what vitals say now: JSON, whole at each moment, `written_at` and its mtime are its age.
    Raises OSError."""
    fresh = Path(temporary_beside(str(path), keep_suffix=False))
    try:
        with fresh.open("x", encoding="utf-8") as file:
            file.write(_json(vitals.document()))
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


class _Server(ThreadingHTTPServer):
    """The threads are daemons, and nobody waits for them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, vitals: Vitals, metrics_text: Callable[[], str] | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.vitals = vitals
        self.metrics_text = metrics_text
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, float] = {}
        """Those that are answered now, the oldest first, and until when."""
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks the name server for a name that nobody needs

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._clients[request] = time.monotonic() + TIMEOUT_S
            surplus = list(self._clients)[: max(0, len(self._clients) - MOST_CLIENTS)]
            for client in surplus:
                _drop(client)
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Called several times a second: a client that sends a byte now and then has its time, too."""
        now = time.monotonic()
        with self._lock:
            for client, until in self._clients.items():
                if until < now:
                    _drop(client)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def drop_all(self) -> None:
        """For the end."""
        with self._lock:
            for client in self._clients:
                _drop(client)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was dropped, is nothing to tell."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            _logger.warning("health could not be told: %s", lines_of(error)[0])


def _drop(client: socket.socket) -> None:
    with suppress(OSError):  # it has ended meanwhile
        client.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One request, one answer: HTTP/1.0 closes the connection."""

    server: _Server
    timeout = TIMEOUT_S
    server_version = "etlctl"
    sys_version = ""

    def do_GET(self) -> None:
        page = _PAGES.get(self.path.partition("?")[0])
        if page is None:
            self._answer(HTTPStatus.NOT_FOUND, f"There are {', '.join(_PAGES)}.\n")
        else:
            self._answer(*page(self.server))

    do_HEAD = do_GET  # noqa: N815  http.server's name

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself, in plain text; another method than ours is none of these pages'."""
        status = HTTPStatus(code)
        if status is not HTTPStatus.NOT_IMPLEMENTED:
            self._answer(status, f"{status.phrase}.\n")
            return
        given = self.headers.get("Content-Length", "")
        if given.isdecimal():  # closed with something unread, a connection loses the answer too
            self.rfile.read(min(int(given), _MOST_BODY_BYTES))
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, f"GET {', '.join(_PAGES)}.\n")

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        kind = "application/json" if text.startswith("{") else "text/plain; version=0.0.4"
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A probe every few seconds is nothing for a log."""


def _live(server: _Server) -> tuple[HTTPStatus, str]:
    return _status(server.vitals.why_not_live()), _json(server.vitals.document())


def _ready(server: _Server) -> tuple[HTTPStatus, str]:
    return _status(server.vitals.why_not_ready()), _json(server.vitals.document())


def _metrics(server: _Server) -> tuple[HTTPStatus, str]:
    if server.metrics_text is None:
        return HTTPStatus.NOT_FOUND, _NO_METRICS
    return HTTPStatus.OK, server.metrics_text()


_PAGES: dict[str, Callable[[_Server], tuple[HTTPStatus, str]]] = {
    "/live": _live,
    "/ready": _ready,
    "/metrics": _metrics,
}


def _status(why_not: str) -> HTTPStatus:
    return HTTPStatus.SERVICE_UNAVAILABLE if why_not else HTTPStatus.OK


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"
