"""One client's session: its statements go, rewritten, to a session of its own of the server behind.

serve()                      one message of the client after another
  _query()                   a text of one or several statements
    _statement()             → statements.step(): what is to be done
      ask()                  one exchange with the server behind
      copying, unloading     S3 on one side, COPY of the server behind on the other
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from servers.redshift import copying, rules, unloading, wire
from servers.redshift.errors import Refusal, translated
from servers.redshift.faults import Killed
from servers.redshift.statements import Step, step
from servers.redshift.wire import Gone, Message, Wire, readable
from servers.redshift.words import names, relation, starts, statements, tokens

if TYPE_CHECKING:
    from servers.redshift.service import Service

_ISOLATION = {"serializable": "serializable", "snapshot": "repeatable\\ read"}
_OPTIONS = (
    "-c standard_conforming_strings=off -c escape_string_warning=off -c backslash_quote=on "
    "-c client_connection_check_interval=100 -c default_transaction_isolation="
)
_OPTION = re.compile(r"(?:-c\s*|--)([\w.]+)\s*=")
_HIDDEN = names(
    "standard_conforming_strings in_hot_standby scram_iterations search_path default_transaction_read_only "
    "IntervalStyle application_name"
)
"""Parameters that a server of 8.0 does not report."""
_REPORTED = {"server_version": "8.0.2", "server_encoding": "UNICODE"}
_NEEDS_ANSWER = (3, 5, 7, 8, 10, 11)
"""Requests for a password, by their numbers."""
_RELAYED = b"TDCINS"
ABORTED = "current transaction is aborted, commands ignored until end of transaction block"


class Session:
    """`pid` is that of the session behind. `table` was written or locked last: errors name it."""

    def __init__(self, service: Service, client: socket.socket) -> None:
        self.service = service
        self.isolation = service.isolation
        self.client = Wire(client)
        self.server = Wire(socket.create_connection(service.upstream))
        self.pid = 0
        self.database = ""
        self.table = ""
        self.status = b"I"
        self._client_speaks = False
        self._is_implicit = False

    def serve(self) -> None:
        """Until either side ends."""
        with contextlib.suppress(Gone, Killed):
            if self._started():
                while self._message():
                    pass
        self.close()

    def close(self) -> None:
        self.client.close()
        self.server.close()

    def _started(self) -> bool:
        """The beginning: refuses TLS, passes on a cancel, shows who the client thinks it talks to."""
        while True:
            code, body = self.client.startup()
            if code in (wire.TLS_REQUEST, wire.GSS_REQUEST):
                self.client.raw(b"N")
            elif code == wire.CANCEL_REQUEST:
                self.server.raw(wire.packet(code, body))
                with contextlib.suppress(Gone):
                    self.server.fill()  # the server has acted on it when it closes
                return False
            else:
                return self._greeted(code, body)

    def _greeted(self, code: int, body: bytes) -> bool:
        values = wire.parameters(body)
        self.database = values.get("database", values.get("user", ""))
        try:
            for name in _OPTION.findall(values.get("options", "")):
                rules.check_setting(name)
        except Refusal as refusal:
            self._fatal(refusal)
            return False
        values["options"] = f"{values.get('options', '')} {_OPTIONS}{_ISOLATION[self.isolation]}".strip()
        self.server.raw(wire.packet(code, wire.startup_body(values)))
        while True:
            kind, said = self.server.message()
            if kind == b"E":
                self.client.put(kind, said)
                self.client.flush()
                return False
            self._relay(kind, said)
            if kind == b"K":
                self.pid = int.from_bytes(said[:4], "big")
            if kind == b"R" and int.from_bytes(said[:4], "big") in _NEEDS_ANSWER:
                self.client.flush()
                self.server.put(*self.client.message())
                self.server.flush()
            if kind == b"Z":
                self.client.flush()
                return True

    def _message(self) -> bool:
        """Takes one message of the client, or what the server says unasked; False at the end."""
        while not self.client.has_message:
            for one in readable([self.client, self.server]):
                one.fill()
            while self.server.has_message:
                self._relay(*self.server.message())
            self.client.flush()
        self._client_speaks = False
        kind, body = self.client.message()
        if kind == b"X":
            self.server.put(b"X")
            self.server.flush()
            return False
        if kind == b"Q":
            self._query(body[:-1])
            return True
        self._fatal(Refusal("the tests' stand-in understands simple queries only, which is what psycopg2 sends"))
        return False

    def _fatal(self, refusal: Refusal) -> None:
        self.client.put(b"E", wire.error_body(refusal, "FATAL"))
        self.client.flush()

    def _relay(self, kind: bytes, body: bytes) -> None:
        """To the client, in the words of a server of 8.0."""
        if kind == b"S":
            name, value = (part.decode() for part in body.split(b"\0")[:2])
            if name in _HIDDEN:
                return
            value = _REPORTED.get(name, "UNICODE" if (name, value) == ("client_encoding", "UTF8") else value)
            body = f"{name}\0{value}\0".encode()
        self.client.put(kind, body)

    def _query(self, sent: bytes) -> None:
        text = sent.decode(errors="replace")
        self.service.log.append((self.pid, text))
        pieces = statements(text)
        try:
            if text.encode() != sent:
                raise Refusal('invalid byte sequence for encoding "UNICODE"', "22021")
            if not pieces:
                self.client.put(b"I")
            for piece in pieces:
                self._statement(piece, is_script=len(pieces) > 1)
            if self._is_implicit:
                self.ask("COMMIT")
            for piece in pieces:
                self.service.faults.after(piece)
        except Refusal as refusal:
            self._refused(refusal)
        except Killed:
            self.client.reset()
            raise
        self._is_implicit = False
        self.client.put(b"Z", self.status)
        self.client.flush()

    def _refused(self, refusal: Refusal) -> None:
        """The client sees the error; a transaction that is open is broken by it."""
        if self._is_implicit:
            self._silent("ROLLBACK")
        elif self.status == b"T":
            self._silent("redshift_standin breaks the transaction")
        self.client.put(b"E", wire.error_body(refusal))

    def _silent(self, sql: str) -> None:
        with contextlib.suppress(Refusal):
            self.ask(sql)

    def _statement(self, sql: str, *, is_script: bool) -> None:
        words = tokens(sql)
        if self.status == b"E" and words[0].low not in ("rollback", "abort", "commit", "end"):
            raise Refusal(ABORTED, "25P02")
        self.service.faults.before(sql)
        wanted = step(sql)
        if is_script and self.status == b"I" and wanted.do not in ("begin", "end"):
            self.ask("BEGIN")
            self._is_implicit = True
        self._do(wanted, sql)
        if wanted.said is not None:
            self.service.said[(self.database, wanted.table[-1])] = wanted.said

    def _do(self, wanted: Step, sql: str) -> None:
        match wanted.do:
            case "answer":
                self.answer(wanted.sql)
            case "begin" if self._is_implicit:
                self._is_implicit = False
                self.answer("BEGIN")
            case "begin" | "end":
                if wanted.do == "end":
                    self._is_implicit = False
                self.ask(wanted.sql, self._relay)
            case "truncate":
                self._truncate(wanted.sql)
            case "append":
                self._append(wanted)
            case "copy":
                copying.copy(self, wanted.words, sql)
            case "unload":
                unloading.unload(self, wanted.words, sql)
            case _:
                self._send(wanted)

    def _send(self, wanted: Step) -> None:
        if starts(wanted.words, "lock"):
            self.table = relation([wanted.words[-1].name])
        if not wanted.writes and not wanted.after:
            self.ask(wanted.sql, self._relay)
            return
        kept: list[Message] = []
        with self.block():
            if wanted.writes:
                self.lock(wanted.writes)
            self.ask(wanted.sql, lambda kind, body: kept.append((kind, body)))
            for sql in wanted.after:
                self.ask(sql)
        for message in kept:
            self._relay(*message)

    def _truncate(self, sql: str) -> None:
        """TRUNCATE commits the transaction that it stands in, and itself (r_TRUNCATE)."""
        if self.status == b"T":
            self.ask("COMMIT")
            self._is_implicit = False
        self.ask(sql, self._relay)

    def _append(self, wanted: Step) -> None:
        if self.status == b"T":
            raise Refusal("ALTER TABLE APPEND cannot run inside a transaction block", "25001")
        with self.block():
            self.ask(f"INSERT INTO {wanted.writes} SELECT * FROM {wanted.sql}")
            self.ask(f"TRUNCATE {wanted.sql}")
        self.answer("ALTER TABLE")

    @contextlib.contextmanager
    def block(self) -> Iterator[None]:
        """A transaction: the client's own, or one around this statement alone."""
        if self.status == b"T":
            yield
            return
        self.ask("BEGIN")
        try:
            yield
            self.ask("COMMIT")
        except Refusal:
            if self.status != b"I":
                self._silent("ROLLBACK")
            raise

    def lock(self, table: str) -> None:
        """Writers of a table wait for each other in Redshift, until the transaction ends; readers do not.

        The statement that waits has its snapshot already (c_serial_isolation), as after an explicit LOCK it has not.
        """
        self.table = table
        self.ask("SELECT 1")
        self.ask(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")

    def answer(self, tag: str) -> None:
        self.client.put(b"C", tag.encode() + b"\0")

    def info(self, text: str) -> None:
        self.client.put(b"N", wire.error_body(Refusal(text, "00000"), "INFO"))

    def rows(self, sql: str) -> list[list[str | None]]:
        """Of a query of our own on the client's session behind."""
        found: list[list[str | None]] = []

        def keep(kind: bytes, body: bytes) -> None:
            if kind == b"D":
                found.append(wire.row_values(body))

        self.ask(sql, keep)
        return found

    def ask(self, sql: str, take: Callable[[bytes, bytes], None] | None = None) -> None:
        """One exchange: `take` gets what comes back. Raises the server's error, translated, when all is read."""
        self.say(sql)
        self.until_ready(take)

    def say(self, sql: str) -> None:
        self.server.put(b"Q", wire.query(sql))
        self.server.flush()

    def until_ready(self, take: Callable[[bytes, bytes], None] | None = None) -> None:
        refusal = None
        while True:
            kind, body = self.server_message()
            if kind == b"Z":
                self.status = body
                break
            if kind == b"E":
                refusal = self.translated(wire.error_fields(body))
            elif kind in (b"G", b"W"):
                self.server.put(b"f", b"no data\0")
                self.server.flush()
            elif take is not None and kind in _RELAYED:
                take(kind, body)
        if refusal is not None:
            raise refusal

    def translated(self, said: dict[str, str]) -> Refusal:
        table = self.service.table_id(self.database, self.table) if said.get("C") == "40001" and self.table else 0
        return translated(said, table=table, pid=self.pid, is_snapshot=self.isolation == "snapshot")

    def server_message(self) -> Message:
        """The next message of the server behind. A client that is gone in the meantime ends the session."""
        while not self.server.has_message:
            self.client.flush()
            ready = readable([self.server] if self._client_speaks else [self.server, self.client])
            if self.server in ready:
                self.server.fill()
            elif self.client.is_ended:
                raise Gone
            else:
                self._client_speaks = True
        return self.server.message()

    @property
    def server_speaks(self) -> bool:
        """Has the server said something, an error say, while we are sending rows to it?"""
        return self.server.has_message or bool(readable([self.server], 0))
