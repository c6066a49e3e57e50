"""Real receivers on loopback: HTTP and SMTP servers that keep what they are sent, and one that never answers."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Web:
    """An HTTP server; it answers with `answers` one after the other, the last of them for ever."""

    port: int = 0
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(200, {}, b"ok")])
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Path, headers (names in lower case) and body of each."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def documents(self) -> list[Any]:
        """The bodies as JSON."""
        return [json.loads(body) for _, _, body in self.requests]

    def taken(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.changed:
            self.requests.append((path, headers, body))
            self.changed.notify_all()
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def web() -> Iterator[Web]:
    """A server for the block."""
    kept = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, answer = kept.taken(self.path, headers, body)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


@dataclass
class MailServer:
    """What an SMTP server was sent."""

    port: int = 0
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    """Sender, recipients and the message of each."""
    logins: list[str] = field(default_factory=list)
    """The words after AUTH PLAIN, and whether TLS was on: `tls <base64>`."""
    refuses: str = ""
    """The answer to MAIL FROM, where it refuses: `450 later`."""
    refused_recipient: str = ""


@contextmanager
def mail_server(certificate: Path | None = None) -> Iterator[MailServer]:
    """An SMTP server for the block, which offers STARTTLS where it has a certificate (with its key, in one file)."""
    kept = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _Smtp(self, kept, certificate).run()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = False

    with Server(("127.0.0.1", 0), Handler) as server:
        kept.port = int(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


class _Smtp:
    """One connection."""

    def __init__(self, handler: socketserver.StreamRequestHandler, kept: MailServer, certificate: Path | None) -> None:
        self._socket: socket.socket = handler.request
        self._file = handler.request.makefile("rwb", buffering=0)
        self._kept = kept
        self._certificate = certificate
        self._is_encrypted = False
        self._sender = ""
        self._recipients: list[str] = []

    def run(self) -> None:
        self._say("220 here")
        try:
            while line := self._file.readline():
                word, _, rest = line.decode().strip().partition(" ")
                if not self._answer(word.upper(), rest):
                    return
        finally:
            self._file.close()
            if self._is_encrypted:
                self._socket.close()

    def _answer(self, word: str, rest: str) -> bool:
        if word in ("EHLO", "HELO"):
            offers = ["250-here", "250-AUTH PLAIN"]
            offers += ["250-STARTTLS"] if self._certificate is not None and not self._is_encrypted else []
            self._say("\r\n".join([*offers, "250 SMTPUTF8"]))
        elif word == "STARTTLS" and self._certificate is not None:
            self._encrypt(self._certificate)
        elif word == "AUTH":
            self._kept.logins.append(f"{'tls' if self._is_encrypted else 'clear'} {rest.split()[-1]}")
            self._say("235 yes")
        elif word == "MAIL":
            self._sender = rest.partition("<")[2].partition(">")[0]
            self._say(self._kept.refuses or "250 yes")
        elif word == "RCPT":
            recipient = rest.partition("<")[2].partition(">")[0]
            if recipient == self._kept.refused_recipient:
                self._say("550 nobody of this name")
            else:
                self._recipients.append(recipient)
                self._say("250 yes")
        elif word == "DATA":
            self._data()
        else:
            self._say("221 bye" if word == "QUIT" else "250 yes")
        return word != "QUIT"

    def _data(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self._file.readline()) != b".\r\n":
            lines.append(line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self._kept.mails.append((self._sender, list(self._recipients), mail))
        self._say("250 taken")

    def _encrypt(self, certificate: Path) -> None:
        self._say("220 go on")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._file.close()
        self._socket = context.wrap_socket(self._socket, server_side=True)
        self._file = self._socket.makefile("rwb", buffering=0)
        self._is_encrypted = True

    def _say(self, text: str) -> None:
        self._file.write(f"{text}\r\n".encode())


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield int(listening.getsockname()[1])
